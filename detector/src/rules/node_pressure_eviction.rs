//! A node is short of memory, disk, inodes or process ids, and its kubelet evicts pods for it.
//!
//! # What it finds
//!
//! A node that is short of a resource by its kubelet's thresholds, or whose kubelet evicted pods
//! for it lately. The Node is the subject, for one shortage hits many pods: those that were
//! evicted, and those that the node refused meanwhile, are what is affected. A node that is short
//! of two resources has two verdicts.
//!
//! # How it tells
//!
//! The node's condition `MemoryPressure`, `DiskPressure` or `PIDPressure` is True, or pods on it
//! carry the kubelet's word that `The node was low on resource`. Which resource a full disk is
//! short of, the evictions and the node's `EvictionThresholdMet` events say; whether it is the
//! kubelet's file system or that of the images, the file systems' sizes, of which the threshold is
//! a share. The biggest user is the pod with the most by the kubelet's statistics, or the evicted
//! one that used the most; where no use is known, the one that requests the most.
//!
//! # Not before
//!
//! At once; 10 s for a DiskPressure that neither an eviction nor an event explains yet. Over when
//! the condition is False and every workload hit has its replicas again, at the latest 10 minutes
//! after the last eviction.
//!
//! # Looks like
//!
//! - `storage-limit-eviction`: the pod's own limit; also `Evicted`, but the node has enough.
//! - `oom-killed`: the container's own limit, by the kernel, and the container is restarted.
//! - `node-out-of-memory`: the kernel had to act before the kubelet could.
//! - A pod with `TerminationByKubelet` because its node shuts down, or makes room for a critical
//!   pod, was not evicted for a shortage.
//! - The container of an evicted pod ends with 137 and reason `Error`, not `OOMKilled`.
//!
//! # Remedy
//!
//! Move or limit the biggest user, and give pods requests that say what they use, so that the
//! scheduler leaves room and the kubelet evicts the right one first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition};

use crate::facts::{Event, Pod};
use crate::finding::Finding;
use crate::kubernetes::quantity::Quantity;
use crate::observation::{FsUse, NodeStats, PodUse};
use crate::rules::eviction::{self, Eviction, Shortage};
use crate::rules::{Judge, Rule, image, replicas};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule {
        class: Class::NodePressureEviction,
        needs: &[],
        judges: &[
            Judge::Node(judge),
            Judge::Pod(judge_pull),
            Judge::Event(&["Evicted"], judge_event),
        ],
    };

/// How long an eviction counts.
const LASTING: SignedDuration = SignedDuration::from_mins(10);

/// How much later than the shortage a node's condition can turn: kubelets report it every 10 s.
const LAG: SignedDuration = SignedDuration::from_secs(20);

/// How long to wait for word of what a disk is short of.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// What a node can be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Memory,
    NodeFs,
    ImageFs,
    Inodes,
    Pid,
}

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::NodeFs => "nodefs",
            Resource::ImageFs => "imagefs",
            Resource::Inodes => "inodes",
            Resource::Pid => "pid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::NodeFs => "disk space (nodefs)",
            Resource::ImageFs => "disk space for images (imagefs)",
            Resource::Inodes => "inodes",
            Resource::Pid => "process ids",
        }
    }

    fn condition(self) -> &'static str {
        match self {
            Resource::Memory => "MemoryPressure",
            Resource::NodeFs | Resource::ImageFs | Resource::Inodes => "DiskPressure",
            Resource::Pid => "PIDPressure",
        }
    }

    /// The resource that a kubelet's message names. Disk space is the kubelet's file system's
    /// until more is known.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "memory" | "[MemoryPressure]" => Resource::Memory,
            "ephemeral-storage" | "nodefs" | "[DiskPressure]" => Resource::NodeFs,
            "imagefs" => Resource::ImageFs,
            "inodes" | "nodefsInodes" | "imagefsInodes" => Resource::Inodes,
            "pids" | "[PIDPressure]" => Resource::Pid,
            _ => return None,
        })
    }

    /// How much of it a pod uses.
    fn used_by(self, pod: &PodUse) -> Option<u64> {
        match self {
            Resource::Memory => pod.memory.working_set_bytes.or_else(|| {
                let containers = pod.containers.iter();
                containers.map(|container| container.memory.working_set_bytes).sum()
            }),
            Resource::NodeFs | Resource::ImageFs => pod.ephemeral_storage.used_bytes,
            Resource::Inodes => pod.ephemeral_storage.inodes_used,
            Resource::Pid => pod.processes.process_count,
        }
    }
}

/// A pod that was evicted for a shortage.
struct Evicted<'a> {
    pod: &'a Pod,
    resource: Resource,
    shortage: Shortage<'a>,
    at: Timestamp,
    evidence: Evidence,
    /// Whether the pod is still listed.
    there: bool,
}

fn judge(node: &Node, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(name) = node.metadata.name.as_deref() else {
        return;
    };
    let mut evicted = Vec::new();
    let mut refused = Vec::new();
    let there = view.pods_on(name).map(|pod| (pod, true));
    let gone = view.gone_from(name).map(|gone| (&*gone.pod, false));
    for (pod, there) in there.chain(gone) {
        let Some((eviction, evidence)) = eviction::of(pod) else {
            continue;
        };
        match eviction {
            Eviction::Pressure(shortage) => {
                let (Some(resource), Some(at)) = (Resource::named(shortage.resource), evidence.at)
                else {
                    continue;
                };
                evicted.push(Evicted { pod, resource, shortage, at, evidence, there });
            }
            Eviction::Refused { conditions } => refused.push((pod, conditions, evidence.at)),
            Eviction::OwnLimit(_) => {}
        }
    }
    evicted.sort_by(|a, b| (a.at, &a.pod.namespace, &a.pod.name).cmp(&(b.at, &b.pod.namespace, &b.pod.name)));
    for type_ in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        let condition = condition(node, type_);
        let pressed = condition.filter(|condition| condition.status == "True");
        let of_this = evicted.iter().filter(|evicted| evicted.resource.condition() == type_);
        let episode = match pressed {
            Some(condition) => started(condition, view),
            None => None,
        };
        let counted: Vec<&Evicted<'_>> = of_this
            .filter(|evicted| match pressed {
                Some(_) => episode.is_none_or(|start| evicted.at >= start),
                None => view.within(evicted.at, LASTING),
            })
            .collect();
        let turned_away: Vec<&Pod> = refused
            .iter()
            .filter(|(_, conditions, at)| {
                conditions.contains(type_)
                    && match (episode, at) {
                        (Some(start), Some(at)) => *at >= start,
                        (None, Some(at)) => view.within(*at, LASTING),
                        _ => true,
                    }
            })
            .map(|(pod, ..)| *pod)
            .collect();
        if pressed.is_none() && is_over(condition, &counted, &turned_away, view) {
            continue;
        }
        let mut resources: BTreeMap<Resource, Vec<&Evicted<'_>>> = BTreeMap::new();
        let stats = view.stats(name).map(|(_, stats)| stats);
        for evicted in counted {
            let resource = match evicted.resource {
                Resource::NodeFs => file_system(Some(&evicted.shortage), stats),
                other => other,
            };
            resources.entry(resource).or_default().push(evicted);
        }
        let events = threshold_events(node, name, type_, episode, view);
        if pressed.is_some() {
            for resource in events.keys() {
                let known = match resource {
                    // Evictions say more of it than the events do.
                    Resource::NodeFs => [Resource::NodeFs, Resource::ImageFs].as_slice(),
                    other => std::slice::from_ref(other),
                };
                if !known.iter().any(|resource| resources.contains_key(resource)) {
                    let resource = match resource {
                        Resource::NodeFs => file_system(None, stats),
                        other => *other,
                    };
                    resources.insert(resource, Vec::new());
                }
            }
            if resources.is_empty() {
                let resource = match type_ {
                    "MemoryPressure" => Resource::Memory,
                    "PIDPressure" => Resource::Pid,
                    _ => {
                        let since = condition.and_then(turned);
                        if since.is_some_and(|since| !view.ripe(since, PATIENCE)) {
                            continue;
                        }
                        file_system(None, stats)
                    }
                };
                resources.insert(resource, Vec::new());
            }
        }
        for (resource, evicted) in resources {
            let shortage = Found { name, resource, pressed, evicted, turned_away: &turned_away };
            let mut finding = shortage.finding(view);
            let event = match resource {
                Resource::ImageFs => events.get(&Resource::NodeFs),
                other => events.get(&other),
            };
            finding.evidence.extend(event.cloned());
            findings.push(finding);
        }
    }
}

/// A pull that ends for want of room tells of a full disk before its kubelet does.
fn judge_pull(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(name) = pod.node.as_deref().filter(|_| !pod.is_untroubled()) else {
        return;
    };
    for unpulled in image::unpulled(pod, view) {
        if unpulled.class != Class::NodePressureEviction {
            continue;
        }
        let node = Reference::cluster("Node", name);
        let of_pod = image::finding(&unpulled, pod, view, (None, ""));
        let summary = format!(
            "Node {name} has no room for the image of container {} of {}: {}",
            unpulled.container.name(),
            of_pod.subject,
            unpulled.error
        );
        let field = format!("status.conditions[type={}]", Resource::ImageFs.condition());
        let culprit = node.clone().field(field);
        findings.push(
            Finding::new(Class::NodePressureEviction, node.clone(), culprit, of_pod.since, summary)
                .confidence(unpulled.confidence)
                .detail("resource", Resource::ImageFs.name())
                .evidence(of_pod.evidence)
                .remedy(
                    "Remove what fills the node's disk, such as images that nobody uses",
                    format!("kubectl describe node {name}"),
                )
                .affects([of_pod.subject])
                // What the node itself says of its disk tells more.
                .explained_by([node]),
        );
    }
}

/// An eviction from a node that is still short, of a pod that nobody saw: a StatefulSet's controller
/// deletes it at once.
fn judge_event(event: &Event, view: &View<'_>, findings: &mut Vec<Finding>) {
    let about = &event.about;
    let Some(Eviction::Pressure(shortage)) = eviction::parse(&event.message) else {
        return;
    };
    let (Some(resource), Some(at)) = (Resource::named(shortage.resource), event.last) else {
        return;
    };
    let is_same = |pod: &Pod| pod.name == about.name && (about.uid.is_empty() || pod.uid == about.uid);
    let is_there = view.get::<Pod>(&about.namespace, &about.name).found().is_some_and(is_same);
    if is_there || view.gone_in(&about.namespace).any(|gone| is_same(&gone.pod)) {
        return;
    }
    let Some(node) = view.get::<Node>("", &event.host).found() else {
        return;
    };
    let pressed = condition(node, resource.condition()).filter(|pressed| pressed.status == "True");
    let start = pressed.and_then(|pressed| started(pressed, view));
    if start.is_none_or(|start| at < start) {
        return;
    }
    let stats = view.stats(&event.host).map(|(_, stats)| stats);
    let resource = match resource {
        Resource::NodeFs => file_system(Some(&shortage), stats),
        other => other,
    };
    let workload = replicas::workload_named(&about.namespace, &about.name, view);
    let node = Reference::cluster("Node", &event.host);
    let field = format!("status.conditions[type={}]", resource.condition());
    let words = resource.words();
    let summary = format!("{node} is short of {words}, and its kubelet evicted {}", about.reference());
    findings.push(
        Finding::new(Class::NodePressureEviction, node.clone(), node.clone().field(field), at, summary)
            .detail("resource", resource.name())
            .detail("threshold", shortage.threshold)
            .detail("available", shortage.available)
            .evidence([event.evidence()])
            .remedy(
                "See what uses the most on the node, and limit or move it",
                format!("kubectl describe {}", node.kubectl()),
            )
            .affects(workload.map(|(workload, _)| workload)),
    );
}

fn condition<'a>(node: &'a Node, type_: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

fn turned(condition: &NodeCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// From when on evictions belong to a condition that is True now.
fn started(condition: &NodeCondition, view: &View<'_>) -> Option<Timestamp> {
    let start = turned(condition).and_then(|since| since.checked_sub(LAG).ok());
    start.or_else(|| view.now().checked_sub(LASTING).ok())
}

/// Whether nothing is left to tell of evictions whose node is not under pressure.
fn is_over(
    condition: Option<&NodeCondition>,
    evicted: &[&Evicted<'_>],
    turned_away: &[&Pod],
    view: &View<'_>,
) -> bool {
    let Some(last) = evicted.last() else {
        return true;
    };
    // Not yet True is not False again.
    let is_false_again = condition.and_then(turned).is_some_and(|since| since >= last.at)
        || view.ripe(last.at, LAG);
    let mended = |pod: &Pod, there: bool| match pod.controller {
        None => !there,
        Some(_) => replicas::are_there(pod, view),
    };
    is_false_again
        && evicted.iter().all(|evicted| mended(evicted.pod, evicted.there))
        && turned_away.iter().all(|pod| mended(pod, true))
}

/// What the node's events say that its kubelet tries to free, since the pressure began.
fn threshold_events(
    node: &Node,
    name: &str,
    type_: &str,
    episode: Option<Timestamp>,
    view: &View<'_>,
) -> BTreeMap<Resource, Evidence> {
    let uid = node.metadata.uid.as_deref().unwrap_or_default();
    let mut said = BTreeMap::new();
    for event in view.events_about(&Reference::cluster("Node", name), uid) {
        if event.reason != "EvictionThresholdMet" || episode.is_some_and(|start| event.last < Some(start)) {
            continue;
        }
        let resource = event.message.trim().strip_prefix("Attempting to reclaim ");
        let Some(resource) = resource.and_then(Resource::named) else {
            continue;
        };
        if resource.condition() == type_ {
            said.insert(resource, event.evidence());
        }
    }
    said
}

/// Which file system is short of space: by the threshold, which is a whole share of one of them in
/// per cent; by what was available, which one of them has still; else by what is left.
fn file_system(shortage: Option<&Shortage<'_>>, stats: Option<&NodeStats>) -> Resource {
    let Some(stats) = stats else {
        return Resource::NodeFs;
    };
    let (node, image) = (&stats.node.fs, &stats.node.runtime.image_fs);
    let (Some(of_node), Some(of_image)) = (node.capacity_bytes, image.capacity_bytes) else {
        return Resource::NodeFs;
    };
    if of_node == of_image {
        return Resource::NodeFs;
    }
    let was = |what: Option<&str>| what.and_then(amount);
    let threshold = was(shortage.and_then(|shortage| shortage.threshold));
    let available = was(shortage.and_then(|shortage| shortage.available));
    let is_image = match threshold {
        Some(threshold) => match (is_share(threshold, of_node), is_share(threshold, of_image)) {
            (false, true) => true,
            (true, false) => false,
            _ => match (available, node.available_bytes, image.available_bytes) {
                (Some(was), Some(of_node), Some(of_image)) => {
                    was.abs_diff(of_image) < was.abs_diff(of_node)
                }
                _ => threshold > of_node,
            },
        },
        // What kubelets are told by default: 10 % of the one, 15 % of the other.
        None => left(image) < Some(0.15) && left(node) >= Some(0.10),
    };
    if is_image { Resource::ImageFs } else { Resource::NodeFs }
}

/// Whether an amount is a whole number of per cent of a capacity.
fn is_share(amount: u64, capacity: u64) -> bool {
    let share = 100.0 * amount as f64 / capacity as f64;
    (0.5..=100.0).contains(&share) && (share - share.round()).abs() < 0.001
}

fn left(fs: &FsUse) -> Option<f64> {
    Some(fs.available_bytes? as f64 / fs.capacity_bytes.filter(|bytes| *bytes > 0)? as f64)
}

/// An amount as kubelets print it: a quantity in bytes or a count.
fn amount(text: &str) -> Option<u64> {
    text.parse::<Quantity>().ok()?.ceil().try_into().ok()
}

/// What a node is short of, and whom it hit.
struct Found<'a> {
    name: &'a str,
    resource: Resource,
    pressed: Option<&'a NodeCondition>,
    evicted: Vec<&'a Evicted<'a>>,
    turned_away: &'a [&'a Pod],
}

impl Found<'_> {
    fn finding(&self, view: &View<'_>) -> Finding {
        let node = Reference::cluster("Node", self.name);
        let field = format!("status.conditions[type={}]", self.resource.condition());
        let first = self.evicted.first();
        let since = [self.pressed.and_then(turned), first.map(|first| first.at)];
        let since = since.into_iter().flatten().min().unwrap_or(view.now());
        let shortage = self.evicted.iter().map(|evicted| evicted.shortage);
        let shortage = shortage.clone().find(|shortage| shortage.threshold.is_some()).or(shortage.into_iter().next());
        let available = (shortage.and_then(|shortage| shortage.available).map(str::to_owned))
            .or_else(|| self.available(view));
        let biggest = self.biggest_user(view);
        let victims: BTreeSet<Reference> = (self.evicted.iter().map(|evicted| evicted.pod))
            .chain(self.turned_away.iter().copied())
            .map(|pod| view.workload(pod).reference)
            .collect();
        let words = self.resource.words();
        let mut summary = format!("Node {} is short of {words}", self.name);
        if self.pressed.is_none() {
            summary = format!("Node {} was short of {words}", self.name);
        }
        if !self.evicted.is_empty() {
            let evicted = match self.evicted.len() {
                1 => "a pod".to_owned(),
                count => format!("{count} pods"),
            };
            summary += &format!(", and its kubelet evicted {evicted}");
        }
        if let Some(biggest) = &biggest {
            summary += &format!("; the biggest user is {biggest}");
        }
        let condition = self.pressed.map(|condition| Evidence {
            object: node.clone(),
            field: field.clone(),
            quote: condition.message.clone().or(condition.reason.clone()).unwrap_or_default(),
            at: turned(condition),
        });
        let evictions = self.evicted.iter().map(|evicted| evicted.evidence.clone());
        let remedy = match &biggest {
            Some(biggest) => (
                format!("Limit or move what uses the most: {biggest}"),
                format!("kubectl edit {}", biggest.kubectl()),
            ),
            None => (
                "See what uses the most on the node, and limit or move it".to_owned(),
                format!("kubectl describe node {}", self.name),
            ),
        };
        let mut finding = Finding::new(Class::NodePressureEviction, node.clone(), node.field(field), since, summary)
            .detail("resource", self.resource.name())
            .detail("threshold", shortage.and_then(|shortage| shortage.threshold))
            .detail("available", available)
            .evidence(condition)
            .evidence(evictions)
            .remedy(remedy.0, remedy.1)
            .affects(victims);
        if let Some(biggest) = &biggest {
            finding = finding.detail_object("biggestUser", biggest);
        }
        finding
    }

    /// What is left by the kubelet's statistics.
    fn available(&self, view: &View<'_>) -> Option<String> {
        let (_, stats) = view.stats(self.name)?;
        let node = &stats.node;
        let left = match self.resource {
            Resource::Memory => node.memory.available_bytes?,
            Resource::NodeFs => node.fs.available_bytes?,
            Resource::ImageFs => node.runtime.image_fs.available_bytes?,
            Resource::Inodes => node.fs.inodes_free?,
            Resource::Pid => {
                u64::try_from(node.rlimit.maxpid?.checked_sub(node.rlimit.curproc?)?).ok()?
            }
        };
        Some(left.to_string())
    }

    /// The workload whose pod uses the most. What a pod used before it was evicted is known for
    /// memory alone: what its files took is not counted as its containers'. Of other resources,
    /// the pod that was evicted last is taken: it took no further one.
    fn biggest_user(&self, view: &View<'_>) -> Option<Reference> {
        let there = self.measured(view);
        let most_evicted = self
            .evicted
            .iter()
            .map(|evicted| (usage(evicted, view), evicted))
            .min_by_key(|(used, evicted)| match self.resource {
                Resource::Memory => (Reverse(*used), Reverse(evicted.at)),
                _ => (Reverse(None), Reverse(evicted.at)),
            });
        let pod = match (there, most_evicted) {
            (Some((used, pod)), Some((by_evicted, evicted))) => {
                let counts = match self.resource {
                    Resource::Memory => Some(used) > by_evicted,
                    // It alone is more than what is missing.
                    _ => missing(&evicted.shortage).is_some_and(|missing| used > missing),
                };
                if counts { pod } else { evicted.pod }
            }
            (Some((_, pod)), None) => pod,
            (None, Some((_, evicted))) => evicted.pod,
            (None, None) => self.asks_most(view)?,
        };
        Some(view.workload(pod).reference)
    }

    /// The pod on the node that uses the most by the kubelet's statistics.
    fn measured<'v>(&self, view: &View<'v>) -> Option<(u64, &'v Pod)> {
        let (_, stats) = view.stats(self.name)?;
        let used = stats.pods.iter().filter_map(|used| Some((self.resource.used_by(used)?, &used.pod_ref)));
        let mut used: Vec<_> = used.collect();
        used.sort_by(|a, b| (Reverse(a.0), &a.1.namespace, &a.1.name).cmp(&(Reverse(b.0), &b.1.namespace, &b.1.name)));
        used.into_iter().find_map(|(used, of)| {
            let pod = view.get::<Pod>(&of.namespace, &of.name).found()?;
            (of.uid.is_empty() || pod.uid.is_empty() || pod.uid == of.uid).then_some((used, pod))
        })
    }

    /// The pod on the node that requests the most of it.
    fn asks_most<'v>(&self, view: &View<'v>) -> Option<&'v Pod> {
        let resource = match self.resource {
            Resource::Memory => "memory",
            Resource::NodeFs | Resource::ImageFs => "ephemeral-storage",
            Resource::Inodes | Resource::Pid => return None,
        };
        let asked = |pod: &Pod| -> u64 {
            let requests = pod.spec.containers.iter().filter_map(|container| {
                amount(&container.resources.as_ref()?.requests.as_ref()?.get(resource)?.0)
            });
            requests.fold(0, u64::saturating_add)
        };
        let pods = view.pods_on(self.name).filter(|pod| !pod.is_finished());
        let most = pods.map(|pod| (asked(pod), pod)).filter(|(asked, _)| *asked > 0);
        most.min_by_key(|(asked, pod)| (Reverse(*asked), &pod.namespace, &pod.name)).map(|(_, pod)| pod)
    }
}

fn missing(shortage: &Shortage<'_>) -> Option<u64> {
    amount(shortage.threshold?)?.checked_sub(amount(shortage.available?)?)
}

/// How much an evicted pod used, by the annotations of its event or the kubelet's message.
fn usage(evicted: &Evicted<'_>, view: &View<'_>) -> Option<u64> {
    let annotated = view.latest_event(evicted.pod, &["Evicted"]).and_then(|event| {
        let whole = event.annotations.get("offending_pod_usage");
        let parts = event.annotations.get("offending_containers_usage");
        sum(whole.or(parts)?)
    });
    annotated.or_else(|| {
        let said = evicted.evidence.quote.split(" was using ").skip(1);
        said.map(|rest| amount(rest.split([',', ' ']).next()?)).sum()
    })
}

fn sum(usages: &str) -> Option<u64> {
    usages.split(',').filter(|usage| !usage.is_empty()).map(amount).sum()
}
