//! Which PersistentVolumes a claim could be bound to, and on which nodes they can be used.
//!
//! Source: `pkg/controller/volume/persistentvolume/index.go` (`findBestMatchForClaim`) and
//! `pkg/scheduler/framework/plugins/volumezone`.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::scheduling::NodeShape;
use crate::kubernetes::{resources, selector};

/// The class that a claim names: empty for none at all, as opposed to the default one.
pub fn class_of_claim(claim: &PersistentVolumeClaim) -> Option<&str> {
    let annotations = claim.metadata.annotations.as_ref();
    let former = annotations.and_then(|all| all.get("volume.beta.kubernetes.io/storage-class"));
    let spec = claim.spec.as_ref();
    former
        .or(spec.and_then(|spec| spec.storage_class_name.as_ref()))
        .map(String::as_str)
}

/// The class that a volume is of; empty for none.
pub fn class_of_volume(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    let class = spec.and_then(|spec| spec.storage_class_name.as_deref());
    class.unwrap_or_default()
}

/// Why a volume cannot be bound to a claim: the name of what differs, none if it can.
pub fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let have = volume.spec.clone().unwrap_or_default();
    let asked = claim.spec.clone().unwrap_or_default();
    if let Some(holder) = &have.claim_ref {
        let is_this = holder.namespace == claim.metadata.namespace
            && holder.name == claim.metadata.name
            && holder
                .uid
                .as_ref()
                .is_none_or(|uid| uid.is_empty() || Some(uid) == claim.metadata.uid.as_ref());
        if !is_this {
            return Some("claimRef");
        }
    }
    if volume.metadata.deletion_timestamp.is_some() {
        return Some("deletionTimestamp");
    }
    if class_of_volume(volume) != class_of_claim(claim).unwrap_or_default() {
        return Some("storageClassName");
    }
    let modes = have.access_modes.unwrap_or_default();
    let asked_modes = asked.access_modes.unwrap_or_default();
    if !asked_modes.iter().all(|mode| modes.contains(mode)) {
        return Some("accessModes");
    }
    let file_system = "Filesystem".to_owned();
    if have.volume_mode.as_ref().unwrap_or(&file_system)
        != asked.volume_mode.as_ref().unwrap_or(&file_system)
    {
        return Some("volumeMode");
    }
    let requests = asked.resources.and_then(|resources| resources.requests);
    let storage = |amounts| resources::amounts(amounts).get("storage").copied();
    let wanted = storage(requests.as_ref()).unwrap_or(Quantity::ZERO);
    if storage(have.capacity.as_ref()).unwrap_or(Quantity::ZERO) < wanted {
        return Some("capacity");
    }
    let labels = volume.metadata.labels.clone().unwrap_or_default();
    if asked.selector.is_some() && !selector::matches(asked.selector.as_ref(), &labels) {
        return Some("selector");
    }
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    // Bound to this very claim by its name, or about to be.
    matches!(phase, Some("Failed" | "Released")).then_some("phase")
}

/// Whether a volume can be used on a node.
pub fn is_usable_on(volume: &PersistentVolume, node: &NodeShape) -> bool {
    let affinity = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    // Volumes of before 1.17 have the older labels, newer nodes have not.
    //
    // Source: `pkg/scheduler/framework/plugins/volumezone` (`translateToGALabel`).
    let zones = [
        (
            "topology.kubernetes.io/zone",
            "failure-domain.beta.kubernetes.io/zone",
        ),
        (
            "topology.kubernetes.io/region",
            "failure-domain.beta.kubernetes.io/region",
        ),
    ];
    let in_zone = |(label, older): (&str, &str)| {
        let labels = volume.metadata.labels.as_ref();
        let asked = labels.and_then(|labels| labels.get(label).or(labels.get(older)));
        let has = node.labels.get(label).or(node.labels.get(older));
        match (asked, has) {
            (Some(asked), Some(has)) => asked.split("__").any(|zone| zone == has),
            // A node without zones is in any of them.
            _ => true,
        }
    };
    required.is_none_or(|required| selector::matches_node(required, &node.name, &node.labels))
        && zones.into_iter().all(in_zone)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(volume: Value, expected: Option<&str>) {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": { "namespace": "shop", "name": "data", "uid": "c" },
            "spec": {
                "storageClassName": "local",
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "10Gi" } },
                "selector": { "matchLabels": { "disk": "fast" } },
            },
        }))
        .unwrap();
        let mut whole = json!({
            "metadata": { "name": "pv", "labels": { "disk": "fast" } },
            "spec": {
                "storageClassName": "local",
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "capacity": { "storage": "10Gi" },
            },
        });
        merge(&mut whole, volume);
        let volume: PersistentVolume = serde_json::from_value(whole).unwrap();
        assert_eq!(mismatch(&volume, &claim), expected);
    }

    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    #[test]
    fn why_a_volume_is_not_for_a_claim() {
        check(json!({}), None);
        check(
            json!({ "spec": { "capacity": { "storage": "9Gi" } } }),
            Some("capacity"),
        );
        check(
            json!({ "spec": { "accessModes": ["ReadOnlyMany"] } }),
            Some("accessModes"),
        );
        check(
            json!({ "spec": { "storageClassName": "" } }),
            Some("storageClassName"),
        );
        check(
            json!({ "spec": { "volumeMode": "Block" } }),
            Some("volumeMode"),
        );
        check(
            json!({ "metadata": { "labels": { "disk": "slow" } } }),
            Some("selector"),
        );
        let of = |name: &str, uid: &str| {
            let holder = json!({ "namespace": "shop", "name": name, "uid": uid });
            json!({ "spec": { "claimRef": holder } })
        };
        check(of("other", "o"), Some("claimRef"));
        check(of("data", "former"), Some("claimRef"));
        check(of("data", ""), None);
        check(of("data", "c"), None);
    }
}
