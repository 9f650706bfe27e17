use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    self as core, ContainerPort, ContainerStateTerminated, ContainerStateWaiting,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde_json::Value;

use super::spec::{ContainerSpec, PodSpec};
use super::symbol::{Symbol, Symbols};
use crate::object::{Described, Meta};
use crate::verdict::{Evidence, Reference};

/// A pod: its specification, labels and annotations shared with its siblings, the rest its own.
///
/// The node's name is taken out of the specification, and the token volume's random name made
/// plain, so that the pods of one template have equal specifications.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The unique id.
    pub uid: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deleting: Option<Timestamp>,
    /// The labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The annotations.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// The owner that controls it.
    pub controller: Option<Arc<OwnerReference>>,
    /// The node it is bound to, or that its specification named.
    pub node: Option<Symbol>,
    /// The specification.
    pub spec: Arc<PodSpec>,
    /// The status.
    pub status: PodStatus,
}

impl Described for Pod {
    fn meta(&self) -> Meta<'_> {
        Meta {
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
            created: self.created,
            deleting: self.deleting,
        }
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(value).map(|pod: core::Pod| pod.into())
    }
}

impl From<core::Pod> for Pod {
    fn from(pod: core::Pod) -> Self {
        let core::Pod {
            metadata,
            spec,
            status,
        } = pod;
        let mut spec = spec.unwrap_or_default();
        let node = spec.node_name.take().filter(|name| !name.is_empty());
        let mut spec = PodSpec::from(spec);
        make_token_volume_plain(&mut spec);
        Self {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            created: metadata.creation_timestamp.map(|time| time.0),
            deleting: metadata.deletion_timestamp.map(|time| time.0),
            labels: Arc::new(metadata.labels.unwrap_or_default()),
            annotations: Arc::new(metadata.annotations.unwrap_or_default()),
            controller: (metadata.owner_references.into_iter().flatten())
                .find(|owner| owner.controller == Some(true))
                .map(Arc::new),
            node: node.map(Symbol::from),
            spec: Arc::new(spec),
            status: status.map(PodStatus::from).unwrap_or_default(),
        }
    }
}

/// What rules read of a pod's status. There are as many as pods: it is kept small.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct PodStatus {
    pub phase: Option<Symbol>,
    pub reason: Option<Symbol>,
    pub message: Option<Box<str>>,
    pub conditions: Box<[PodCondition]>,
    pub container_statuses: Box<[ContainerStatus]>,
    pub init_container_statuses: Box<[ContainerStatus]>,
    pub nominated_node_name: Option<Symbol>,
    /// Whether it has `hostIP`: a kubelet has taken it.
    pub has_host_ip: bool,
    /// `podIP` and `podIPs`, each once.
    pub addresses: Box<[IpAddr]>,
    pub start_time: Option<Time>,
}

/// What rules read of a condition of a pod.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct PodCondition {
    pub type_: Symbol,
    pub status: Symbol,
    pub reason: Option<Symbol>,
    pub message: Option<Box<str>>,
    pub last_transition_time: Option<Time>,
}

/// What rules read of a container's status.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct ContainerStatus {
    pub name: Symbol,
    pub ready: bool,
    pub started: Option<bool>,
    pub restart_count: i32,
    pub container_id: Option<Box<str>>,
    state: Option<ContainerState>,
    /// How it ended before, if it did: `lastState.terminated`.
    last: Option<Box<ContainerStateTerminated>>,
}

/// What a container does: most run.
#[derive(Clone, Debug, PartialEq)]
enum ContainerState {
    Waiting(Box<ContainerStateWaiting>),
    Running(Option<Time>),
    Terminated(Box<ContainerStateTerminated>),
}

impl PodStatus {
    /// Lets what is the same in many pods be held once.
    pub(crate) fn share(&mut self, symbols: &mut Symbols) {
        let own = [
            &mut self.phase,
            &mut self.reason,
            &mut self.nominated_node_name,
        ];
        for symbol in own.into_iter().flatten() {
            symbols.share(symbol);
        }
        for condition in &mut self.conditions {
            symbols.share(&mut condition.type_);
            symbols.share(&mut condition.status);
            if let Some(reason) = &mut condition.reason {
                symbols.share(reason);
            }
        }
    }

    /// Lets the names of containers be held once for all pods of a controller.
    pub(crate) fn share_names(&mut self, sibling: &PodStatus) {
        let others = sibling.init_container_statuses.iter();
        let others = others.chain(&sibling.container_statuses);
        let statuses = self.init_container_statuses.iter_mut();
        for (status, other) in statuses.chain(&mut self.container_statuses).zip(others) {
            if status.name == other.name {
                status.name = other.name.clone();
            }
        }
    }
}

/// An empty text says as little as none.
fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl From<core::PodStatus> for PodStatus {
    fn from(status: core::PodStatus) -> Self {
        let containers = |statuses: Option<Vec<core::ContainerStatus>>| {
            let statuses = statuses.into_iter().flatten();
            statuses.map(ContainerStatus::from).collect()
        };
        let more = status.pod_ips.into_iter().flatten().map(|more| more.ip);
        let texts = status.pod_ip.into_iter().chain(more);
        let mut addresses: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
        addresses.dedup();
        Self {
            phase: status.phase.map(Symbol::from),
            reason: status.reason.map(Symbol::from),
            message: status.message.map(Box::from),
            conditions: (status.conditions.into_iter().flatten())
                .map(PodCondition::from)
                .collect(),
            container_statuses: containers(status.container_statuses),
            init_container_statuses: containers(status.init_container_statuses),
            nominated_node_name: status.nominated_node_name.map(Symbol::from),
            has_host_ip: status.host_ip.is_some(),
            addresses: addresses.into(),
            start_time: status.start_time,
        }
    }
}

impl From<core::PodCondition> for PodCondition {
    fn from(condition: core::PodCondition) -> Self {
        Self {
            type_: condition.type_.into(),
            status: condition.status.into(),
            reason: said(condition.reason).map(Symbol::from),
            message: said(condition.message).map(Box::from),
            last_transition_time: condition.last_transition_time,
        }
    }
}

impl From<core::ContainerStatus> for ContainerStatus {
    fn from(status: core::ContainerStatus) -> Self {
        let state = status.state.and_then(|state| {
            let ended = state.terminated.map(Box::new);
            let waiting = || state.waiting.map(Box::new);
            (ended.map(ContainerState::Terminated))
                .or(state
                    .running
                    .map(|run| ContainerState::Running(run.started_at)))
                .or_else(|| waiting().map(ContainerState::Waiting))
        });
        Self {
            name: status.name.into(),
            ready: status.ready,
            started: status.started,
            restart_count: status.restart_count,
            container_id: status.container_id.map(Box::from),
            state,
            last: (status.last_state.and_then(|state| state.terminated)).map(Box::new),
        }
    }
}

fn make_token_volume_plain(spec: &mut PodSpec) {
    const TOKEN: &str = "kube-api-access-";
    let plain = |name: &mut String| {
        if name.starts_with(TOKEN) {
            name.truncate(TOKEN.len() - 1);
        }
    };
    for volume in spec.volumes.iter_mut().flatten() {
        plain(&mut volume.name);
    }
    let containers = spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers);
    for mount in containers.flat_map(|container| container.volume_mounts.iter_mut().flatten()) {
        plain(&mut mount.name);
    }
}

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerRole {
    /// Runs to its end before the main ones start.
    Init,
    /// An init container that is restarted always: it runs beside the main ones.
    Sidecar,
    /// One of the pod's main containers.
    Main,
}

/// A container as specified, with what its status says of it.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// What it is for.
    pub role: ContainerRole,
    /// Its place in the list that it stands in.
    pub index: usize,
    /// Its specification.
    pub spec: &'a ContainerSpec,
    /// Its status, once the kubelet has written one.
    pub status: Option<&'a ContainerStatus>,
}

impl<'a> Container<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    /// Its path from the pod's root: `spec.containers[0]`.
    pub fn path(&self) -> String {
        let list = match self.role {
            ContainerRole::Main => "containers",
            ContainerRole::Init | ContainerRole::Sidecar => "initContainers",
        };
        format!("spec.{list}[{}]", self.index)
    }

    /// Its path in the pod's status: `status.containerStatuses[0]`.
    pub fn status_path(&self) -> String {
        let list = match self.role {
            ContainerRole::Main => "containerStatuses",
            ContainerRole::Init | ContainerRole::Sidecar => "initContainerStatuses",
        };
        format!("status.{list}[name={}]", self.name())
    }

    /// Why it waits, if it does: the reason and the message.
    pub fn waiting(&self) -> Option<(&'a str, &'a str)> {
        let Some(ContainerState::Waiting(waiting)) = self.state() else {
            return None;
        };
        Some((
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default(),
        ))
    }

    /// Since when it runs, if it does.
    pub fn running_since(&self) -> Option<Timestamp> {
        match self.state()? {
            ContainerState::Running(since) => since.as_ref().map(|time| time.0),
            _ => None,
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state(), Some(ContainerState::Running(_)))
    }

    /// How it ended, if it runs no more and was not started again.
    pub fn terminated(&self) -> Option<&'a ContainerStateTerminated> {
        match self.state()? {
            ContainerState::Terminated(ended) => Some(ended),
            _ => None,
        }
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.status.is_some_and(|status| status.ready)
    }

    /// How often it was started again.
    pub fn restarts(&self) -> i32 {
        self.status.map_or(0, |status| status.restart_count)
    }

    /// Its runs that have ended, as far as the status remembers, the latest first.
    ///
    /// In a crash loop the current and the last state can tell of the same run: it is given once.
    pub fn ended(&self) -> impl Iterator<Item = &'a ContainerStateTerminated> + use<'a> {
        let current = self.terminated();
        let last = self.status.and_then(|status| status.last.as_deref());
        let last =
            last.filter(|last| current.is_none_or(|now| now.container_id != last.container_id));
        current.into_iter().chain(last)
    }

    /// What its status says of how it is now, as evidence.
    pub fn evidence(&self, pod: &Pod, field: &str, quote: impl Into<String>) -> Evidence {
        Evidence {
            object: pod.reference(),
            field: format!("{}.{field}", self.status_path()),
            quote: quote.into(),
            at: None,
        }
    }

    fn state(&self) -> Option<&'a ContainerState> {
        self.status?.state.as_ref()
    }
}

/// How long a run that has ended took; nothing for one that never started, whose start is said to
/// be that of 1970.
pub fn duration(run: &ContainerStateTerminated) -> SignedDuration {
    let start = run
        .started_at
        .as_ref()
        .map(|time| time.0)
        .filter(|start| start.as_second() > 0);
    match (start, &run.finished_at) {
        (Some(start), Some(end)) => end.0.duration_since(start).max(SignedDuration::ZERO),
        _ => SignedDuration::ZERO,
    }
}

impl Pod {
    /// Refers to the pod.
    pub fn reference(&self) -> Reference {
        Reference::namespaced("Pod", &self.namespace, &self.name)
    }

    /// The ports that its containers declare.
    pub fn ports(&self) -> impl Iterator<Item = &ContainerPort> {
        self.containers()
            .flat_map(|container| container.spec.ports.iter().flatten())
    }

    /// Its containers, in the order in which they start.
    pub fn containers(&self) -> impl Iterator<Item = Container<'_>> {
        let init = self
            .spec
            .init_containers
            .iter()
            .flatten()
            .enumerate()
            .map(|(index, spec)| {
                let sidecar = spec.restart_policy.as_deref() == Some("Always");
                let role = if sidecar {
                    ContainerRole::Sidecar
                } else {
                    ContainerRole::Init
                };
                let status = find(&self.status.init_container_statuses, &spec.name);
                Container {
                    role,
                    index,
                    spec,
                    status,
                }
            });
        let main = self
            .spec
            .containers
            .iter()
            .enumerate()
            .map(|(index, spec)| {
                let status = find(&self.status.container_statuses, &spec.name);
                Container {
                    role: ContainerRole::Main,
                    index,
                    spec,
                    status,
                }
            });
        init.chain(main)
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<Container<'_>> {
        self.containers().find(|container| container.name() == name)
    }

    /// The phase, such as `Pending`; empty where the status has none.
    pub fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }

    /// Whether a kubelet made it of a file on its node: only a mirror of it can be seen.
    pub fn is_static(&self) -> bool {
        let of_node = self
            .controller
            .as_ref()
            .is_some_and(|owner| owner.kind == "Node");
        of_node || self.annotations.contains_key("kubernetes.io/config.mirror")
    }

    /// Whether it will run no more: it succeeded or failed.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&PodCondition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_)
    }

    /// Whether its Ready condition is True.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready")
            .is_some_and(|condition| condition.status == "True")
    }

    /// Whether nothing is wrong with it that any rule would look at: it is running and ready, or
    /// it has succeeded, and none of its containers was ever restarted.
    pub fn is_untroubled(&self) -> bool {
        let quiet =
            |statuses: &[ContainerStatus]| statuses.iter().all(|status| status.restart_count == 0);
        (self.phase() == "Succeeded" || self.phase() == "Running" && self.is_ready())
            && self.condition("DisruptionTarget").is_none()
            && self.deleting.is_none()
            && quiet(&self.status.container_statuses)
            && quiet(&self.status.init_container_statuses)
    }

    /// A condition as evidence, quoting its message, or else its reason.
    pub fn condition_evidence(&self, condition: &PodCondition) -> Evidence {
        Evidence {
            object: self.reference(),
            field: format!("status.conditions[type={}]", condition.type_),
            quote: (condition.message.as_deref())
                .filter(|message| !message.is_empty())
                .or(condition.reason.as_deref())
                .unwrap_or(&condition.status)
                .to_owned(),
            at: condition.last_transition_time.as_ref().map(|time| time.0),
        }
    }
}

fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|status| status.name == name)
}
