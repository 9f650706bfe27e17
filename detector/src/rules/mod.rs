//! What the detector finds: one rule for each class, each in a file of its own.
//!
//! The documentation of a rule's file is the reference of its class, in fixed sections: what it
//! finds, how it tells, not before, looks like, remedy.

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::facts::{Deployment, Event, Pod, ReplicaSet};
use crate::finding::Finding;
use crate::object::{Kind, Object};
use crate::verdict::Class;
use crate::view::View;

mod affinity;
mod agents;
mod claims;
mod config_source;
mod dependency;
mod dropped;
mod eviction;
mod failing;
mod given;
mod image;
mod out_of_memory;
mod policy;
mod ports;
mod probes;
mod refusal;
mod replicas;
mod runs;
mod target_port;
mod tried;
mod unschedulable;

macro_rules! rules {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// Every rule.
        pub const RULES: &[Rule] = &[$($module::RULE,)*];

        /// The source of every rule's file, in the order of [`RULES`].
        const SOURCES: &[&str] = &[$(include_str!(concat!(stringify!($module), ".rs")),)*];
    };
}

rules! {
    quota_exceeded,
    limit_range_violated,
    service_account_missing,
    pod_security_rejected,
    webhook_unavailable,
    node_name_unknown,
    node_selector_unmatched,
    taint_untolerated,
    nodes_cordoned,
    request_exceeds_nodes,
    host_port_conflict,
    pod_affinity_unsatisfiable,
    capacity_exhausted,
    preempted,
    kubelet_rejected,
    scheduler_unavailable,
    claim_missing,
    storage_class_missing,
    no_matching_volume,
    volume_node_conflict,
    volume_mount_failed,
    config_map_missing,
    config_map_key_missing,
    secret_missing,
    secret_key_missing,
    image_not_found,
    image_auth_failed,
    registry_unreachable,
    image_invalid,
    sandbox_failed,
    app_config_invalid,
    command_not_found,
    library_missing,
    permission_denied,
    access_denied,
    port_in_use,
    login_refused,
    init_container_failing,
    startup_probe_failing,
    liveness_probe_failing,
    exits_normally,
    crash_unexplained,
    job_failed,
    oom_killed,
    node_out_of_memory,
    network_policy_blocks_egress,
    network_policy_blocks_ingress,
    dependency_unreachable,
    dependency_refusing,
    dns_unavailable,
    service_selector_unmatched,
    service_port_mismatch,
    readiness_probe_failing,
    node_pressure_eviction,
    storage_limit_eviction,
    node_not_ready,
    taint_evicted,
    disruption_blocked,
    cpu_throttled,
    autoscaler_stuck,
    scaled_to_zero,
    rollout_stalled,
}

/// How one class is found.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The class.
    pub class: Class,
    /// What it cannot do without: if the input lacks it, the class is not evaluable.
    pub needs: &'static [Need],
    /// Which objects it judges, and how.
    pub judges: &'static [Judge],
}

/// Something that a rule cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A list of this kind.
    List(Kind),
    /// What containers that fail printed last.
    Words,
    /// The kubelets' `stats/summary`.
    NodeStats,
    /// The kubelets' `/metrics/cadvisor`.
    CpuPeriods,
}

/// Judges one object: adds what it finds.
type Judgement<T> = fn(&T, &View<'_>, &mut Vec<Finding>);

/// Judges the objects of one kind.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "each is the judge of the kind that it is named after"
)]
pub enum Judge {
    Pod(Judgement<Pod>),
    Node(Judgement<Node>),
    Service(Judgement<Service>),
    Deployment(Judgement<Deployment>),
    ReplicaSet(Judgement<ReplicaSet>),
    ReplicationController(Judgement<ReplicationController>),
    StatefulSet(Judgement<StatefulSet>),
    DaemonSet(Judgement<DaemonSet>),
    Job(Judgement<Job>),
    CronJob(Judgement<CronJob>),
    PersistentVolumeClaim(Judgement<PersistentVolumeClaim>),
    PodDisruptionBudget(Judgement<PodDisruptionBudget>),
    HorizontalPodAutoscaler(Judgement<HorizontalPodAutoscaler>),
    /// Only the events with one of these reasons.
    Event(&'static [&'static str], Judgement<Event>),
}

impl Judge {
    /// The kind of object that is judged.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Judge::Pod(_) => Kind::Pod,
            Judge::Node(_) => Kind::Node,
            Judge::Service(_) => Kind::Service,
            Judge::Deployment(_) => Kind::Deployment,
            Judge::ReplicaSet(_) => Kind::ReplicaSet,
            Judge::ReplicationController(_) => Kind::ReplicationController,
            Judge::StatefulSet(_) => Kind::StatefulSet,
            Judge::DaemonSet(_) => Kind::DaemonSet,
            Judge::Job(_) => Kind::Job,
            Judge::CronJob(_) => Kind::CronJob,
            Judge::PersistentVolumeClaim(_) => Kind::PersistentVolumeClaim,
            Judge::PodDisruptionBudget(_) => Kind::PodDisruptionBudget,
            Judge::HorizontalPodAutoscaler(_) => Kind::HorizontalPodAutoscaler,
            Judge::Event(..) => Kind::Event,
        }
    }

    fn judge(self, object: &Object, view: &View<'_>, findings: &mut Vec<Finding>) {
        match (self, object) {
            (Judge::Pod(judge), Object::Pod(object)) => judge(object, view, findings),
            (Judge::Node(judge), Object::Node(object)) => judge(object, view, findings),
            (Judge::Service(judge), Object::Service(object)) => judge(object, view, findings),
            (Judge::Deployment(judge), Object::Deployment(object)) => judge(object, view, findings),
            (Judge::ReplicaSet(judge), Object::ReplicaSet(object)) => judge(object, view, findings),
            (Judge::ReplicationController(judge), Object::ReplicationController(object)) => {
                judge(object, view, findings);
            }
            (Judge::StatefulSet(judge), Object::StatefulSet(object)) => {
                judge(object, view, findings)
            }
            (Judge::DaemonSet(judge), Object::DaemonSet(object)) => judge(object, view, findings),
            (Judge::Job(judge), Object::Job(object)) => judge(object, view, findings),
            (Judge::CronJob(judge), Object::CronJob(object)) => judge(object, view, findings),
            (Judge::PersistentVolumeClaim(judge), Object::PersistentVolumeClaim(object)) => {
                judge(object, view, findings);
            }
            (Judge::PodDisruptionBudget(judge), Object::PodDisruptionBudget(object)) => {
                judge(object, view, findings);
            }
            (Judge::HorizontalPodAutoscaler(judge), Object::HorizontalPodAutoscaler(object)) => {
                judge(object, view, findings);
            }
            (Judge::Event(reasons, judge), Object::Event(object))
                if reasons.contains(&object.reason.as_str()) =>
            {
                judge(object, view, findings);
            }
            _ => {}
        }
    }
}

impl Rule {
    pub(crate) fn judge(&self, object: &Object, view: &View<'_>, findings: &mut Vec<Finding>) {
        for judge in self.judges {
            judge.judge(object, view, findings);
        }
    }
}

/// What the rule of a class says of itself, in Markdown; none where no rule finds the class yet.
pub fn documentation(class: Class) -> Option<String> {
    let index = RULES.iter().position(|rule| rule.class == class)?;
    let lines = SOURCES[index]
        .lines()
        .map_while(|line| line.strip_prefix("//!"));
    Some(
        lines
            .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
            .collect(),
    )
}
