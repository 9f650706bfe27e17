//! When a workload is well, from what the API says of it alone.

use serde_json::Value;

use super::proof::Shown;
use super::sight::{History, Version};

/// The kinds that run pods, and are well once they have rolled out.
const WORKLOADS: &[&str] = &[
    "DaemonSet",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// Whether an object is there for good: a workload rolled out wholly, a pod ready, a Job complete,
/// anything else with its condition `Available` or `Ready`, if it has one, true.
///
/// Source: kubectl's `rollout status` (pkg/polymorphichelpers/rollout_status.go).
pub fn is_available(kind: &str, object: &Value) -> bool {
    let (spec, status) = (&object["spec"], &object["status"]);
    let count = |key: &str| status[key].as_u64().unwrap_or_default();
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let is_observed = count("observedGeneration")
        >= object["metadata"]["generation"]
            .as_u64()
            .unwrap_or_default();
    match kind {
        "Deployment" => {
            is_observed
                && [
                    count("replicas"),
                    count("updatedReplicas"),
                    count("availableReplicas"),
                ]
                .iter()
                .all(|count| *count == wanted)
        }
        "StatefulSet" => {
            let is_updated = status["updateRevision"] == status["currentRevision"]
                || count("updatedReplicas") == wanted;
            is_observed
                && is_updated
                && [count("replicas"), count("availableReplicas")]
                    .iter()
                    .all(|count| *count == wanted)
        }
        "ReplicaSet" | "ReplicationController" => {
            is_observed
                && [count("replicas"), count("availableReplicas")]
                    .iter()
                    .all(|count| *count == wanted)
        }
        "DaemonSet" => {
            let desired = count("desiredNumberScheduled");
            is_observed
                && [count("updatedNumberScheduled"), count("numberAvailable")]
                    .iter()
                    .all(|count| *count == desired)
        }
        "Job" => is_true(object, "Complete") == Some(true),
        "Pod" => is_true(object, "Ready") == Some(true),
        _ => is_true(object, "Available")
            .or(is_true(object, "Ready"))
            .unwrap_or(true),
    }
}

fn is_true(object: &Value, condition: &str) -> Option<bool> {
    let conditions = object["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|c| c["type"] == condition)?;
    Some(condition["status"] == "True")
}

/// Whether a baseline is healthy: every workload of it available, every pod that is no Job's
/// ready, every Job complete. If not, who is to be waited for.
pub fn baseline<'a>(
    objects: impl Iterator<Item = &'a Value>,
    history: &History,
    namespace: &str,
) -> Result<Vec<Shown>, String> {
    let mut shown = Vec::new();
    for object in objects {
        let kind = object["kind"].as_str().unwrap_or_default();
        if !WORKLOADS.contains(&kind) && kind != "Job" && kind != "Pod" {
            continue;
        }
        let (name, within) = (
            &object["metadata"]["name"],
            &object["metadata"]["namespace"],
        );
        let standing = history.standing(kind).find(|(_, standing)| {
            standing["metadata"]["name"] == *name
                && standing["metadata"]["namespace"].as_str() == within.as_str().or(Some(namespace))
        });
        let what = format!("{kind}/{}", name.as_str().unwrap_or_default());
        match standing {
            None => return Err(format!("{what} is not seen yet")),
            Some((_, standing)) if !is_available(kind, standing) => {
                return Err(format!("{what} is not available"));
            }
            Some((sighting, standing)) => shown.push(Shown {
                at: sighting.at,
                versions: vec![Version::of(kind, standing)],
            }),
        }
    }
    for (sighting, pod) in history.standing("Pod") {
        let owners = pod["metadata"]["ownerReferences"].as_array();
        let is_of_job = owners
            .into_iter()
            .flatten()
            .any(|owner| owner["kind"] == "Job");
        let is_leaving = pod["metadata"]["deletionTimestamp"].is_string();
        if pod["metadata"]["namespace"] != namespace || is_of_job || is_leaving {
            continue;
        }
        if !is_available("Pod", pod) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            return Err(format!("Pod/{name} is not ready"));
        }
        shown.push(Shown {
            at: sighting.at,
            versions: vec![Version::of("Pod", pod)],
        });
    }
    Ok(shown)
}

/// The kinds that a baseline of these objects is judged by.
pub fn kinds<'a>(objects: impl Iterator<Item = &'a Value>) -> impl Iterator<Item = &'a str> {
    objects
        .filter_map(|object| object["kind"].as_str())
        .filter(|kind| WORKLOADS.contains(kind) || *kind == "Job")
}
