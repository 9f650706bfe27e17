//! Whether a workload has the pods again that it asks for.

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::ReplicationController;

use crate::facts::{Deployment, Pod, ReplicaSet};
use crate::verdict::Reference;
use crate::view::{Lookup, View, controller};

/// Whether what controls this pod has as many ready pods as it asks for, or is itself gone.
///
/// A bare pod has nothing that would replace it: it lacks itself.
pub(super) fn are_there(pod: &Pod, view: &View<'_>) -> bool {
    let Some(controller) = &pod.controller else {
        return false;
    };
    let replaces =
        |other: &Pod| other.uid != pod.uid && other.created >= pod.created && is_awaited(other);
    if pod.deleting.is_some() && view.pods_of(&controller.uid).any(replaces) {
        return false;
    }
    let workload = view.workload(pod).reference;
    let answer = match workload.kind.as_str() {
        "Job" | "CronJob" => view
            .get::<Job>(&pod.namespace, &controller.name)
            .map(goes_on),
        "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet" | "DaemonSet" => {
            has_all(&workload, view)
        }
        _ => return false,
    };
    answer.unwrap_or_else(|| {
        let mut siblings = view.pods_of(&controller.uid);
        siblings.any(|pod| pod.is_ready() && !pod.is_finished() && pod.deleting.is_none())
    })
}

/// Whether a controller has a pod that is not ready: a workload's status comes later than its pods,
/// and until then still counts the one that this replaces.
pub(super) fn is_any_waiting(uid: &str, view: &View<'_>) -> bool {
    view.pods_of(uid).any(is_awaited)
}

fn is_awaited(pod: &Pod) -> bool {
    pod.deleting.is_none() && !pod.is_finished() && !pod.is_ready()
}

/// Whether a workload's status tells that as many of its pods are ready as it asks for; true where
/// the workload is known to be gone, none where it is not known.
pub(super) fn has_all(workload: &Reference, view: &View<'_>) -> Option<bool> {
    let namespace = workload.namespace.as_deref().unwrap_or_default();
    let name = workload.name.as_str();
    match workload.kind.as_str() {
        "Deployment" => view.get::<Deployment>(namespace, name).map(|deployment| {
            let asked = deployment.spec.replicas.unwrap_or(1);
            let status = deployment.status.as_ref();
            let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
            let observed = status.and_then(|status| status.observed_generation);
            ready >= asked && observed >= deployment.metadata.generation
        }),
        "ReplicaSet" => view.get::<ReplicaSet>(namespace, name).map(|set| {
            let asked = set.spec.replicas.unwrap_or(1);
            let ready = set.status.as_ref().and_then(|status| status.ready_replicas);
            ready.unwrap_or(0) >= asked
        }),
        "ReplicationController" => {
            view.get::<ReplicationController>(namespace, name)
                .map(|controller| {
                    let asked = controller
                        .spec
                        .as_ref()
                        .and_then(|spec| spec.replicas)
                        .unwrap_or(1);
                    let ready = controller
                        .status
                        .as_ref()
                        .and_then(|status| status.ready_replicas);
                    ready.unwrap_or(0) >= asked
                })
        }
        "StatefulSet" => view.get::<StatefulSet>(namespace, name).map(|set| {
            let asked = set.spec.replicas.unwrap_or(1);
            let ready = set.status.as_ref().and_then(|status| status.ready_replicas);
            ready.unwrap_or(0) >= asked
        }),
        "DaemonSet" => view.get::<DaemonSet>(namespace, name).map(|set| {
            let status = set.status.as_ref();
            status.is_none_or(|status| status.number_ready >= status.desired_number_scheduled)
        }),
        _ => None,
    }
}

/// Whether the pod is one of a former template: its ReplicaSet is scaled to nothing.
pub(super) fn are_not_asked_for(pod: &Pod, view: &View<'_>) -> bool {
    let controller = pod
        .controller
        .as_ref()
        .filter(|owner| owner.kind == "ReplicaSet");
    let set =
        controller.and_then(|owner| view.get::<ReplicaSet>(&pod.namespace, &owner.name).found());
    set.is_some_and(|set| set.spec.replicas == Some(0))
}

/// Whether a Job is done, asks for nothing, or has a pod at work; not if it failed.
fn goes_on(job: &Job) -> bool {
    let status = job.status.as_ref();
    let is = |type_: &str| {
        let conditions = status.and_then(|status| status.conditions.as_ref());
        (conditions.into_iter().flatten())
            .any(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let at_work = |status: &JobStatus| status.ready.or(status.active).unwrap_or(0) > 0;
    let suspended = job
        .spec
        .as_ref()
        .and_then(|spec| spec.suspend)
        .unwrap_or(false);
    !is("Failed") && (is("Complete") || suspended || status.is_some_and(at_work))
}

impl<T> Lookup<'_, T> {
    /// What is said of the object; true where it is known to be gone, none where it is not known.
    fn map(self, says: impl FnOnce(&T) -> bool) -> Option<bool> {
        match self {
            Lookup::Found(object) => Some(says(object)),
            Lookup::Absent => Some(true),
            Lookup::Unknown => None,
        }
    }
}

/// The workload that a pod of this name, which is gone, was one of, and the unique id of what made
/// it.
pub(super) fn workload_named<'a>(
    namespace: &str,
    name: &str,
    view: &View<'a>,
) -> Option<(Reference, &'a str)> {
    let (owner, ending) = name.rsplit_once('-')?;
    let here = |kind: &str, name: &str| Reference::namespaced(kind, namespace, name);
    let (workload, uid) = if let Some(set) = view.get::<ReplicaSet>(namespace, owner).found() {
        let deployment = controller(&set.metadata).filter(|owner| owner.kind == "Deployment");
        let workload = deployment.map_or_else(
            || here("ReplicaSet", owner),
            |owner| here("Deployment", &owner.name),
        );
        (workload, set.metadata.uid.as_deref())
    } else if let Some(set) = view.get::<StatefulSet>(namespace, owner).found()
        && ending.parse::<u32>().is_ok()
    {
        (here("StatefulSet", owner), set.metadata.uid.as_deref())
    } else {
        let set = view.get::<DaemonSet>(namespace, owner).found()?;
        (here("DaemonSet", owner), set.metadata.uid.as_deref())
    };
    Some((workload, uid.unwrap_or_default()))
}
