//! What the controllers of pods have in common: whose pods are whose, and in what state they are.
//!
//! Source: `pkg/controller/controller_utils.go`, `pkg/controller/controller_ref_manager.go`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::{after, since};
use crate::error::{Refusal, Result};
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{
    at, condition, controller, deleting, int, list, name, namespace, set, text, uid,
};
use crate::world::{Deletion, World};

/// The reference by which an object names its controller.
pub(crate) fn owner_reference(kind: Kind, owner: &Value) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.facts().name,
        "name": name(owner),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The objects of a kind that a controller owns, in order of their keys. Those that its selector
/// selects and nobody owns become its own; those that it owns and no longer selects are let go.
pub(crate) fn claim(
    world: &mut World,
    kind: Kind,
    of: Kind,
    owner: &Value,
    selector: &Labels,
) -> Vec<Arc<Value>> {
    let mut owned = Vec::new();
    for object in world.store.owned(kind, uid(owner)) {
        if controller(&object).is_none_or(|reference| text(reference, "/uid") != uid(owner)) {
            continue;
        }
        if selector.select(&object) || deleting(owner) {
            owned.push(object);
        } else {
            release(world, kind, &Key::of(&object), uid(owner));
        }
    }
    if deleting(owner) {
        return owned;
    }
    for orphan in world.store.orphans(kind, namespace(owner)) {
        if deleting(&orphan) || !selector.select(&orphan) {
            continue;
        }
        let reference = owner_reference(of, owner);
        let adopted = world.modify(kind, &Key::of(&orphan), |object| {
            set(object, "/metadata/ownerReferences", json!([reference]));
        });
        owned.extend(adopted);
    }
    owned.sort_by(|a, b| (namespace(a), name(a)).cmp(&(namespace(b), name(b))));
    owned
}

fn release(world: &mut World, kind: Kind, key: &Key, owner: &str) {
    world.modify(kind, key, |object| {
        let mut owners = list(object, "/metadata/ownerReferences").to_vec();
        owners.retain(|reference| text(reference, "/uid") != owner);
        set(object, "/metadata/ownerReferences", owners);
    });
}

/// Whether a pod is neither finished nor going.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !deleting(pod)
}

/// Whether a pod has ended, well or not.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod's Ready condition holds.
pub(crate) fn is_ready(pod: &Value) -> bool {
    crate::value::condition_true(pod, "Ready")
}

/// Whether a pod has been ready for so many seconds.
pub(crate) fn is_available(pod: &Value, seconds: i64, now: Timestamp) -> bool {
    is_ready(pod) && left_until_available(pod, seconds, now).is_zero()
}

/// How long a ready pod has to stay so until it counts as available.
pub(crate) fn left_until_available(pod: &Value, seconds: i64, now: Timestamp) -> Duration {
    let ready = condition(pod, "Ready").and_then(|ready| time(ready, "/lastTransitionTime"));
    let wanted = Duration::from_secs(seconds.max(0).unsigned_abs());
    match ready {
        Some(ready) => wanted.saturating_sub(since(now, ready)),
        None => wanted,
    }
}

/// When the next of the ready pods becomes available.
pub(crate) fn next_available(
    pods: &[Arc<Value>],
    seconds: i64,
    now: Timestamp,
) -> Option<Timestamp> {
    pods.iter()
        .filter(|pod| is_active(pod) && is_ready(pod))
        .map(|pod| left_until_available(pod, seconds, now))
        .filter(|left| !left.is_zero())
        .min()
        .map(|left| after(now, left))
}

/// The time at a path.
pub(crate) fn time(object: &Value, path: &str) -> Option<Timestamp> {
    text(object, path).parse().ok()
}

/// A pod as a template describes it, not yet made.
pub(crate) fn from_template(template: &Value, kind: Kind, owner: &Value) -> Value {
    let mut pod = json!({
        "metadata": {
            "generateName": format!("{}-", name(owner)),
            "ownerReferences": [owner_reference(kind, owner)],
        },
        "spec": at(template, "/spec"),
    });
    for field in ["labels", "annotations", "finalizers"] {
        let path = format!("/metadata/{field}");
        if let Some(given) = template.pointer(&path) {
            set(&mut pod, &path, given.clone());
        }
    }
    pod
}

/// Makes a pod for a controller, and tells of it in an event.
pub(crate) fn make(
    world: &mut World,
    component: &str,
    owner: &Value,
    pod: Value,
) -> Result<Arc<Value>> {
    match world.create(Kind::Pod, namespace(owner), pod, false) {
        Ok(made) => {
            let told = format!("Created pod: {}", name(&made));
            world.event(component, "", owner, "Normal", "SuccessfulCreate", &told);
            Ok(made)
        }
        Err(refusal) => {
            if !ends_with_namespace(&refusal) {
                let told = format!("Error creating: {refusal}");
                world.event(component, "", owner, "Warning", "FailedCreate", &told);
            }
            Err(refusal)
        }
    }
}

/// Whether something is refused because its namespace goes.
pub(crate) fn ends_with_namespace(refusal: &Refusal) -> bool {
    list(&refusal.details, "/causes")
        .iter()
        .any(|cause| text(cause, "/reason") == "NamespaceTerminating")
}

/// Deletes a pod for a controller, and tells of it in an event.
pub(crate) fn delete(world: &mut World, component: &str, owner: &Value, pod: &Value) {
    // Gone already is as good as deleted.
    if world
        .delete(Kind::Pod, &Key::of(pod), &Deletion::default())
        .is_ok()
    {
        let told = format!("Deleted pod: {}", name(pod));
        world.event(component, "", owner, "Normal", "SuccessfulDelete", &told);
    }
}

/// Writes a count into a status; none is left out, as Kubernetes' types do.
pub(crate) fn count(status: &mut Value, field: &str, number: i64) {
    let path = format!("/{field}");
    if number == 0 {
        crate::value::remove(status, &path);
    } else {
        set(status, &path, number);
    }
}

/// How many pods are as asked.
pub(crate) fn number(pods: &[Arc<Value>], is: impl Fn(&Value) -> bool) -> i64 {
    i64::try_from(pods.iter().filter(|pod| is(pod)).count()).unwrap_or(i64::MAX)
}

/// An amount that is a number, or a share of a total: rounded up, or down.
///
/// Source: `staging/src/k8s.io/apimachinery/pkg/util/intstr/intstr.go`.
pub(crate) fn share(value: &Value, total: i64, up: bool) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(0),
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let parts = percent.saturating_mul(total);
            if up {
                (parts + 99).div_euclid(100)
            } else {
                parts.div_euclid(100)
            }
        }
        _ => 0,
    }
}

/// A hash that names what is made from a template, in the letters of generated names.
///
/// Kubernetes hashes its own types' memory: its hashes are others than these.
pub(crate) fn hash(value: &Value, collisions: i64) -> String {
    let mut sum: u32 = 2_166_136_261;
    let mut written = value.to_string();
    if collisions > 0 {
        written.push_str(&collisions.to_string());
    }
    for byte in written.bytes() {
        sum = (sum ^ u32::from(byte)).wrapping_mul(16_777_619);
    }
    crate::random::spelled(&sum.to_string())
}

/// The number of a field, or what stands for it where it is missing.
pub(crate) fn int_or(object: &Value, path: &str, missing: i64) -> i64 {
    int(object, path).unwrap_or(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_as_asked() {
        assert_eq!(share(&json!("25%"), 3, true), 1);
        assert_eq!(share(&json!("25%"), 3, false), 0);
        assert_eq!(share(&json!("100%"), 3, false), 3);
        assert_eq!(share(&json!(2), 3, true), 2);
    }

    #[test]
    fn a_pod_is_available_when_it_was_ready_long_enough() {
        let pod = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:00Z" }] } });
        let now = "2026-01-01T00:00:04Z".parse().unwrap();
        assert!(is_available(&pod, 0, now) && is_available(&pod, 4, now));
        assert!(!is_available(&pod, 5, now));
        assert_eq!(left_until_available(&pod, 6, now), Duration::from_secs(2));
    }
}
