//! Where a pod's claims let it be.
//!
//! Source: `pkg/scheduler/framework/plugins/volumebinding/`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::facts::{NodeFacts, PodFacts, selects};
use crate::controllers::volumes::{best, bound, class_of, delayed, provisioner, size};
use crate::kinds::Kind;
use crate::store::{Key, Store};
use crate::value::{at, controller, deleting, list, name, text, uid};

/// What a pod's claims are, before any node is looked at.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// The volumes that are bound; those that are not there are missing.
    bound: Vec<Option<Arc<Value>>>,
    /// The claims that wait for their first consumer, the smallest first.
    waiting: Vec<Arc<Value>>,
    /// A claim that only one pod may use is used by another.
    taken: bool,
}

/// What becomes of a claim that waited.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// It is bound to a volume that is there.
    Volume(Key, String),
    /// A volume is to be made for it.
    Provision(Key),
}

impl Volumes {
    /// Looks at the claims of a pod. The error is why no node does.
    pub(crate) fn of(
        store: &Store,
        pod: &PodFacts,
        used: impl Fn(&Key) -> bool,
    ) -> Result<Self, String> {
        let mut volumes = Self::default();
        let mut unbound = false;
        for (claim, made) in &pod.claims {
            let key = Key::new(&pod.key.namespace, claim);
            let Some(claim) = store.get(Kind::PersistentVolumeClaim, &key) else {
                return Err(match made {
                    true => format!(
                        "waiting for ephemeral volume controller to create the persistentvolumeclaim {:?}",
                        key.name
                    ),
                    false => format!("persistentvolumeclaim {:?} not found", key.name),
                });
            };
            let volume = text(claim, "/spec/volumeName");
            if text(claim, "/status/phase") == "Lost" {
                return Err(format!(
                    "persistentvolumeclaim {:?} bound to non-existent persistentvolume {volume:?}",
                    key.name
                ));
            }
            if deleting(claim) {
                return Err(format!(
                    "persistentvolumeclaim {:?} is being deleted",
                    key.name
                ));
            }
            let owner = controller(claim).map_or("", |owner| text(owner, "/uid"));
            if *made && owner != pod.uid {
                return Err(format!(
                    "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
                    key.namespace, key.name, pod.key.namespace, pod.key.name
                ));
            }
            if bound(claim) {
                let key = Key::new("", volume);
                volumes
                    .bound
                    .push(store.get(Kind::PersistentVolume, &key).cloned());
            } else if volume.is_empty() && delayed(store, claim) {
                volumes.waiting.push(claim.clone());
            } else {
                unbound = true;
            }
            let alone = list(claim, "/spec/accessModes")
                .iter()
                .any(|mode| mode == "ReadWriteOncePod");
            volumes.taken |= alone && used(&key);
        }
        if unbound {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        volumes.waiting.sort_by_key(|claim| size(claim));
        Ok(volumes)
    }

    /// Whether all is bound already.
    pub(crate) fn settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another pod has what only one may have.
    pub(crate) fn taken(&self) -> bool {
        self.taken
    }

    /// Why a node does not do for the claims.
    pub(crate) fn refusals(&self, store: &Store, node: &NodeFacts) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        let reaches = |volume: &Value| {
            let needed = at(volume, "/spec/nodeAffinity/required");
            needed.is_null() || selects(needed, node)
        };
        if !self.bound.iter().flatten().all(|volume| reaches(volume)) {
            reasons.push("node(s) didn't match PersistentVolume's node affinity");
        }
        if !self.waiting.is_empty() && self.choose(store, node).is_none() {
            reasons.push("node(s) didn't find available persistent volumes to bind");
        }
        if self.bound.iter().any(Option::is_none) {
            reasons
                .push("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
        }
        reasons
    }

    /// What becomes of each waiting claim if the pod goes to a node.
    pub(crate) fn choose(&self, store: &Store, node: &NodeFacts) -> Option<Vec<Choice>> {
        let mut choices = Vec::new();
        let mut taken = BTreeSet::new();
        for claim in &self.waiting {
            let key = Key::of(claim);
            let selected = at(claim, "/metadata/annotations")
                .get("volume.kubernetes.io/selected-node")
                .and_then(Value::as_str);
            if selected.is_some_and(|selected| selected != node.name) {
                return None;
            }
            if selected.is_none()
                && let Some(volume) = best(store, claim, Some(node), &taken)
            {
                taken.insert(uid(&volume).to_owned());
                choices.push(Choice::Volume(key, name(&volume).to_owned()));
                continue;
            }
            let class = store.get(Kind::StorageClass, &Key::new("", class_of(claim)))?;
            let there = at(class, "/allowedTopologies");
            let allowed = there.is_null()
                || list(class, "/allowedTopologies").iter().any(|term| {
                    list(term, "/matchLabelExpressions")
                        .iter()
                        .all(|expression| {
                            node.label(text(expression, "/key")).is_some_and(|value| {
                                list(expression, "/values")
                                    .iter()
                                    .any(|wanted| wanted == value)
                            })
                        })
                });
            if provisioner(class).is_none() || !allowed {
                return None;
            }
            choices.push(Choice::Provision(key));
        }
        Some(choices)
    }
}
