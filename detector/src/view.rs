//! How rules look at the cluster: every look is remembered, so that a judgement is made again when
//! what it looked at changes.

use std::cell::{Cell, RefCell};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::facts::{Event, Log, Pod, PodSpec, ReplicaSet, Run};
use crate::key::Key;
use crate::kubernetes::scheduling::{Load, NodeShape, Scan};
use crate::kubernetes::selector::{self, Labels};
use crate::memory::{Gone, Memory};
use crate::object::{Kind, Resource};
use crate::observation::{NodeStats, PeriodsByContainer};
use crate::verdict::{Culprit, Reference};

/// The answer to a look for one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lookup<'a, T> {
    /// It is there.
    Found(&'a T),
    /// It is not there: all objects of its kind are known.
    Absent,
    /// It was not seen, and that means nothing: its kind was not listed.
    Unknown,
}

impl<'a, T> Lookup<'a, T> {
    /// The object, if it is there.
    pub fn found(self) -> Option<&'a T> {
        match self {
            Lookup::Found(object) => Some(object),
            Lookup::Absent | Lookup::Unknown => None,
        }
    }

    /// Whether it is known not to be there.
    pub fn is_absent(self) -> bool {
        matches!(self, Lookup::Absent)
    }
}

/// What suffers when a pod does: the outermost of its owners that users write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The workload; the pod itself where nothing of a known kind owns it.
    pub reference: Reference,
    /// The path of the pod's template in it, with a dot at the end; empty for a pod.
    template: &'static str,
    /// An owner of another kind, such as an operator's own object.
    pub managed_by: Option<Reference>,
}

impl Workload {
    /// The path, from the workload's root, of what has this path from a pod's root.
    pub fn field(&self, path_in_pod: &str) -> String {
        format!("{}{path_in_pod}", self.template)
    }

    /// The workload as the culprit, with the field that has this path from a pod's root.
    pub fn culprit(&self, path_in_pod: &str) -> Culprit {
        self.reference.clone().field(self.field(path_in_pod))
    }
}

/// A look at the cluster, at one moment, for one judgement after the other.
pub struct View<'a> {
    memory: &'a Memory,
    now: Timestamp,
    read: RefCell<Vec<Key>>,
    deadline: Cell<Option<Timestamp>>,
    /// The namespace whose pods were looked for by labels last; none where few are to be judged.
    labelled: Option<RefCell<Labelled>>,
    /// The workload whose pods this judgement looked for last, and their places in its namespace.
    pods_of: RefCell<Option<(Reference, Vec<usize>)>>,
}

/// The pods of a namespace by their labels: as many Services as it has look for theirs.
#[derive(Default)]
struct Labelled {
    namespace: Option<String>,
    /// Neighbours that share their labels: the first one's name, and how many they are.
    groups: Vec<(String, usize)>,
    /// The hashes of labels, in their order, and the places of the groups that have them.
    by_label: Vec<(u64, usize)>,
    hasher: RandomState,
}

impl Labelled {
    fn of(namespace: &str, memory: &Memory) -> Self {
        let mut labelled = Self {
            namespace: Some(namespace.to_owned()),
            ..Self::default()
        };
        let mut last: Option<&Arc<Labels>> = None;
        for pod in memory.in_namespace::<Pod>(namespace) {
            match (labelled.groups.last_mut(), last) {
                (Some((_, count)), Some(last)) if Arc::ptr_eq(last, &pod.labels) => *count += 1,
                _ => {
                    let place = labelled.groups.len();
                    let labels = pod.labels.iter();
                    let hashes = labels.map(|label| (labelled.hasher.hash_one(label), place));
                    labelled.by_label.extend(hashes);
                    labelled.groups.push((pod.name.clone(), 1));
                    last = Some(&pod.labels);
                }
            }
        }
        labelled.by_label.sort_unstable();
        labelled
    }

    /// The groups that can have all of these labels: those that have the rarest of them, or another
    /// of the same hash.
    fn candidates(&self, labels: &Labels) -> impl Iterator<Item = &(String, usize)> {
        let with = |label| {
            let hash = self.hasher.hash_one(label);
            let from = self.by_label.partition_point(|(other, _)| *other < hash);
            let rest = &self.by_label[from..];
            &rest[..rest.partition_point(|(other, _)| *other == hash)]
        };
        let rarest = labels.iter().map(with).min_by_key(|groups| groups.len());
        let places = rarest.into_iter().flatten();
        places.map(|(_, place)| &self.groups[*place])
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(memory: &'a Memory, now: Timestamp) -> Self {
        Self {
            memory,
            now,
            read: RefCell::default(),
            deadline: Cell::new(None),
            labelled: None,
            pods_of: RefCell::default(),
        }
    }

    /// A look for the judgement of all objects.
    pub(crate) fn for_all(memory: &'a Memory, now: Timestamp) -> Self {
        Self {
            labelled: Some(RefCell::default()),
            ..Self::new(memory, now)
        }
    }

    /// What was looked at for this judgement, and when it must be made again though nothing changes;
    /// the next judgement begins.
    pub(crate) fn take_read(&self) -> (Box<[Key]>, Option<Timestamp>) {
        let mut read = self.read.borrow_mut();
        read.sort_unstable();
        read.dedup();
        let keys = read.as_slice().into();
        read.clear();
        *self.pods_of.borrow_mut() = None;
        (keys, self.deadline.take())
    }

    fn note(&self, key: Key) {
        self.read.borrow_mut().push(key);
    }

    /// The present time. A rule that compares it with another time must use [`View::ripe`] or
    /// [`View::within`], which see to it that the judgement is made again in time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether this much time has passed since then. If not, the judgement is made again when it
    /// has.
    pub fn ripe(&self, since: Timestamp, patience: SignedDuration) -> bool {
        let Ok(due) = since.checked_add(patience) else {
            return false;
        };
        if due > self.now {
            let earlier = self.deadline.get().is_none_or(|deadline| due < deadline);
            if earlier {
                self.deadline.set(Some(due));
            }
        }
        due <= self.now
    }

    /// Whether less than this time has passed since then. The judgement is made again when it no
    /// longer holds.
    pub fn within(&self, since: Timestamp, span: SignedDuration) -> bool {
        !self.ripe(since, span)
    }

    /// Looks for one object; the namespace is empty for objects of the whole cluster.
    pub fn get<T: Resource>(&self, namespace: &str, name: &str) -> Lookup<'a, T> {
        self.note(Key::object(T::KIND, namespace, name));
        match self.memory.get(namespace, name) {
            Some(object) => Lookup::Found(object),
            None if self.is_listed(T::KIND, namespace) => Lookup::Absent,
            None => Lookup::Unknown,
        }
    }

    /// The objects of a namespace; empty for objects of the whole cluster.
    pub fn in_namespace<T: Resource>(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        self.note(Key::in_namespace(T::KIND, namespace));
        self.memory.in_namespace(namespace)
    }

    /// The pods of a namespace with all of these labels; without any, all of them.
    pub fn pods_with(&self, namespace: &str, labels: &Labels) -> Vec<&'a Pod> {
        let Some((key, value)) = labels.first_key_value() else {
            self.note(Key::in_namespace(Kind::Pod, namespace));
            return self.memory.in_namespace(namespace).collect();
        };
        self.note(Key::pods_labelled(namespace, key, value));
        let Some(labelled) = &self.labelled else {
            return having(labels, self.memory.in_namespace(namespace));
        };
        let mut labelled = labelled.borrow_mut();
        if labelled.namespace.as_deref() != Some(namespace) {
            *labelled = Labelled::of(namespace, self.memory);
        }
        let pods = labelled.candidates(labels).flat_map(|(name, count)| {
            let from = self.memory.in_namespace_from::<Pod>(namespace, name);
            from.take(*count)
        });
        having(labels, pods)
    }

    /// All objects of a kind. Not for pods and events, of which there are too many: each change of
    /// any of them would call for a new judgement.
    pub fn all<T: Resource>(&self) -> impl Iterator<Item = &'a T> + use<'a, T> {
        debug_assert!(!matches!(T::KIND, Kind::Pod | Kind::Event));
        self.note(Key::of_kind(T::KIND));
        self.memory.all()
    }

    /// Whether an absence of this kind means something in this namespace.
    pub fn is_listed(&self, kind: Kind, namespace: &str) -> bool {
        self.memory.is_listed(kind, namespace)
    }

    /// Whether the kind was listed in all namespaces.
    pub fn is_listed_everywhere(&self, kind: Kind) -> bool {
        self.memory.is_listed_everywhere(kind)
    }

    /// The Services that have this address in the cluster.
    pub fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &'a Service> + use<'a> {
        self.note(Key::at(address));
        self.memory.services_at(address)
    }

    /// The pods that have this address for themselves: not those on their hosts' network.
    pub fn pods_at(&self, address: IpAddr) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.note(Key::at(address));
        self.memory.pods_at(address)
    }

    /// The pods bound to a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.note(Key::pods_on(node));
        self.memory.pods_on(node)
    }

    /// The unbound pods that are to take a node once its pods of lower priority have left.
    pub fn nominated_to(&self, node: &str) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.note(Key::nominated_to(node));
        self.memory.nominated_to(node)
    }

    /// Which nodes a specification leaves, and which of them have room. What is free counts only
    /// the pods that are known: see [`View::is_listed_everywhere`].
    pub fn scan(&self, spec: &Arc<PodSpec>) -> Arc<Scan> {
        self.note(Key::scheduling());
        self.memory.nodes().scan(spec)
    }

    /// What the scheduler looks at of a node, if it is known.
    pub fn node_shape(&self, node: &str) -> Option<&'a NodeShape> {
        self.note(Key::scheduling());
        self.memory.nodes().shape(node).map(Arc::as_ref)
    }

    /// What the scheduler looks at of all nodes.
    pub fn node_shapes(&self) -> impl Iterator<Item = &'a NodeShape> + use<'a> {
        self.note(Key::scheduling());
        self.memory.nodes().shapes().map(Arc::as_ref)
    }

    /// What is requested on a node; none where nothing is.
    pub fn load(&self, node: &str) -> Option<&'a Load> {
        self.note(Key::scheduling());
        self.memory.nodes().load(node)
    }

    /// The pods that an owner controls, such as a ReplicaSet: those of a Deployment are its
    /// ReplicaSets' pods, see [`View::pods_of_workload`].
    pub fn pods_of(&self, controller_uid: &str) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.note(Key::pods_of(controller_uid));
        self.memory.pods_of(controller_uid)
    }

    /// The pods of a workload, through the ReplicaSets or Jobs between.
    pub fn pods_of_workload(&self, workload: &Reference) -> Vec<&'a Pod> {
        let namespace = workload.namespace.as_deref().unwrap_or_default();
        let pods = || self.in_namespace::<Pod>(namespace);
        let mut known = self.pods_of.borrow_mut();
        if let Some((of, places)) = &*known
            && of == workload
        {
            let mut places = places.iter().peekable();
            let pods = pods().enumerate();
            let pods = pods.filter(|(place, _)| places.next_if_eq(&place).is_some());
            return pods.map(|(_, pod)| pod).collect();
        }
        let mut places = Vec::new();
        let mut last: Option<(&Pod, bool)> = None;
        let pods = pods().enumerate().filter(|(place, pod)| {
            let has = match last {
                Some((sibling, has)) if are_siblings(sibling, pod) => has,
                _ => self.workload(pod).reference == *workload,
            };
            last = Some((pod, has));
            if has {
                places.push(*place);
            }
            has
        });
        let pods = pods.map(|(_, pod)| pod).collect();
        *known = Some((workload.clone(), places));
        pods
    }

    /// The events that tell of an object: of this very one, where it has a unique id.
    pub fn events_about(
        &self,
        object: &Reference,
        uid: &str,
    ) -> impl Iterator<Item = &'a Event> + use<'a> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        self.note(Key::events_about(&object.kind, namespace, &object.name));
        let uid = uid.to_owned();
        self.memory
            .events_about(&object.kind, namespace, &object.name)
            // A node's events give its name in place of its unique id.
            .filter(move |event| {
                let about = &event.about;
                uid.is_empty()
                    || about.uid.is_empty()
                    || about.uid == uid
                    || about.uid == about.name
            })
    }

    /// The events that tell of a pod.
    pub fn events_of(&self, pod: &Pod) -> impl Iterator<Item = &'a Event> + use<'a> {
        self.events_about(&pod.reference(), &pod.uid)
    }

    /// The latest event of a pod with one of these reasons.
    pub fn latest_event(&self, pod: &Pod, reasons: &[&str]) -> Option<&'a Event> {
        self.events_of(pod)
            .filter(|event| reasons.contains(&event.reason.as_str()))
            .max_by_key(|event| event.last)
    }

    /// The pods of a namespace that went within the last ten minutes.
    pub fn gone_in(&self, namespace: &str) -> impl Iterator<Item = &'a Gone> + use<'a> {
        self.note(Key::gone_in(namespace));
        self.memory.gone_in(namespace)
    }

    /// The pods that went from a node within the last ten minutes.
    pub fn gone_from(&self, node: &str) -> impl Iterator<Item = &'a Gone> + use<'a> {
        self.note(Key::gone_from(node));
        self.memory.gone_from(node)
    }

    /// When an object was last seen to change in what can break others, within ten minutes.
    pub fn changed(&self, kind: Kind, namespace: &str, name: &str) -> Option<Timestamp> {
        self.note(Key::object(kind, namespace, name));
        self.memory.changed(kind, namespace, name)
    }

    /// When any object of a kind in a namespace was last seen to change in what can break others,
    /// or to go, within ten minutes; the namespace is empty for objects of the whole cluster.
    pub fn changed_in(&self, kind: Kind, namespace: &str) -> Option<Timestamp> {
        self.note(Key::in_namespace(kind, namespace));
        self.memory.changed_in(kind, namespace)
    }

    /// What a container printed, as it was fetched for this run.
    pub fn log(&self, pod: &Pod, container: &str, run: Run) -> Option<&'a Log> {
        self.note(Key::logs_of(&pod.namespace, &pod.name));
        let log = self
            .memory
            .log(&pod.namespace, &pod.name, container, run)?
            .as_ref()
            .ok()?;
        log.uid
            .as_ref()
            .is_none_or(|uid| *uid == pod.uid)
            .then_some(log)
    }

    /// Whether anything that the pod printed is known. When that changes, the pod itself is judged
    /// again: only for rules that judge pods.
    pub fn has_log(&self, pod: &Pod) -> bool {
        self.memory.has_log(&pod.namespace, &pod.name)
    }

    /// Why the log of a container's run cannot be had, if it was tried in vain.
    pub fn log_unavailable(
        &self,
        pod: &Pod,
        container: &str,
        run: Run,
        id: Option<&str>,
    ) -> Option<&'a str> {
        self.note(Key::logs_of(&pod.namespace, &pod.name));
        let log = self.memory.log(&pod.namespace, &pod.name, container, run)?;
        let missing = log.as_ref().err()?;
        let of_another = id.zip(missing.container_id.as_deref());
        (of_another.is_none_or(|(id, of)| id == of)).then_some(missing.because.as_str())
    }

    /// How long the longest of a container's last three runs took, of those that were seen to have
    /// ended.
    pub fn longest_run(&self, pod: &Pod, container: &str) -> Option<SignedDuration> {
        self.longest_run_but(pod, container, None)
    }

    /// How long the longest of those took that are not the run of this id.
    pub fn longest_run_but(
        &self,
        pod: &Pod,
        container: &str,
        id: Option<&str>,
    ) -> Option<SignedDuration> {
        self.note(Key::object(Kind::Pod, &pod.namespace, &pod.name));
        self.memory.longest_run(pod, container, id)
    }

    /// Whether one of the container's last runs was killed for memory, of those that were seen to
    /// have ended.
    pub fn was_oom_killed(&self, pod: &Pod, container: &str) -> bool {
        self.note(Key::object(Kind::Pod, &pod.namespace, &pod.name));
        self.memory.was_oom_killed(pod, container)
    }

    /// What a node's kubelet measured last, and when.
    pub fn stats(&self, node: &str) -> Option<&'a (Timestamp, NodeStats)> {
        self.note(Key::stats_of(node));
        self.memory.stats(node)
    }

    /// What a node's kubelet counted of CPU periods within the last ten minutes, the oldest first;
    /// by namespace, pod and container.
    pub fn cpu_periods(&self, node: &str) -> &'a [(Timestamp, PeriodsByContainer)] {
        self.note(Key::stats_of(node));
        self.memory.cpu_periods(node)
    }

    /// What suffers when this pod does.
    pub fn workload(&self, pod: &Pod) -> Workload {
        let itself = || Workload {
            reference: pod.reference(),
            template: "",
            managed_by: None,
        };
        let Some(owner) = &pod.controller else {
            return itself();
        };
        let here = |kind: &str, name: &str| Reference::namespaced(kind, &pod.namespace, name);
        let with = |reference: Reference, template| Workload {
            reference,
            template,
            managed_by: None,
        };
        let outer = |metadata: &ObjectMeta, inner: Workload| match controller(metadata) {
            Some(outer) => Workload {
                managed_by: Some(here(&outer.kind, &outer.name)),
                ..inner
            },
            None => inner,
        };
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let inner = with(here("ReplicaSet", &owner.name), "spec.template.");
                match self.get::<ReplicaSet>(&pod.namespace, &owner.name) {
                    Lookup::Found(set) => match controller(&set.metadata) {
                        Some(outer) if outer.kind == "Deployment" => {
                            with(here("Deployment", &outer.name), "spec.template.")
                        }
                        _ => outer(&set.metadata, inner),
                    },
                    // Not known: a Deployment's controller names its ReplicaSets after the hash
                    // that it also labels their pods with.
                    Lookup::Absent | Lookup::Unknown => {
                        let hash = pod.labels.get("pod-template-hash");
                        let name = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str()));
                        match name.and_then(|name| name.strip_suffix('-')) {
                            Some(name) => with(here("Deployment", name), "spec.template."),
                            None => inner,
                        }
                    }
                }
            }
            "Job" => {
                let inner = with(here("Job", &owner.name), "spec.template.");
                match self.get::<Job>(&pod.namespace, &owner.name) {
                    Lookup::Found(job) => match controller(&job.metadata) {
                        Some(outer) if outer.kind == "CronJob" => with(
                            here("CronJob", &outer.name),
                            "spec.jobTemplate.spec.template.",
                        ),
                        _ => outer(&job.metadata, inner),
                    },
                    // Not known: a CronJob's controller names its Jobs after their time.
                    Lookup::Absent | Lookup::Unknown => match of_schedule(&owner.name, pod.created)
                    {
                        Some(name) => {
                            with(here("CronJob", name), "spec.jobTemplate.spec.template.")
                        }
                        None => inner,
                    },
                }
            }
            "StatefulSet" | "DaemonSet" | "ReplicationController" => {
                with(here(&owner.kind, &owner.name), "spec.template.")
            }
            // A mirror pod of a file on the node.
            "Node" => itself(),
            _ => Workload {
                managed_by: Some(here(&owner.kind, &owner.name)),
                ..itself()
            },
        }
    }
}

/// The CronJob that a Job of this name would be of, if the name ends with a time, in minutes, of the
/// day before its pod was made.
///
/// Source: `getJobName` in `pkg/controller/cronjob/utils.go`.
fn of_schedule(job: &str, created: Option<Timestamp>) -> Option<&str> {
    const DAY: i64 = 24 * 60;
    let (name, minutes) = job.rsplit_once('-')?;
    let minutes: i64 = minutes.parse().ok()?;
    let made = created?.as_second() / 60;
    (made - DAY..=made + 1).contains(&minutes).then_some(name)
}

/// Those of the pods that have all of these labels.
fn having<'a>(labels: &Labels, pods: impl Iterator<Item = &'a Pod>) -> Vec<&'a Pod> {
    // Siblings share their labels.
    let mut last: Option<(&Arc<Labels>, bool)> = None;
    let pods = pods.filter(|pod| {
        let has = match last {
            Some((seen, has)) if Arc::ptr_eq(seen, &pod.labels) => has,
            _ => selector::has_all(labels, &pod.labels),
        };
        last = Some((&pod.labels, has));
        has
    });
    pods.collect()
}

/// Whether both are of one ReplicaSet, and so of one workload: of other owners it can depend on the
/// pod's name or age.
fn are_siblings(a: &Pod, b: &Pod) -> bool {
    let (Some(of_a), Some(of_b)) = (&a.controller, &b.controller) else {
        return false;
    };
    Arc::ptr_eq(of_a, of_b) && Arc::ptr_eq(&a.labels, &b.labels) && of_a.kind == "ReplicaSet"
}

/// The owner that controls an object.
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}
