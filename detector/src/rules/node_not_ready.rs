//! A node does not work: its kubelet or runtime is gone, stopped, or cannot be reached.
//!
//! # What it finds
//!
//! A node that is not ready. The Node is the subject; what runs there is affected.
//!
//! # How it tells
//!
//! The node's condition Ready is Unknown, when its kubelet has not been heard of for longer than
//! the grace period (its lease says since when), or False, when the kubelet itself reports that
//! its runtime or network plugin does not work. Pods there stay Running and their containers ready
//! in the API: nobody is left to say otherwise.
//!
//! # Not before
//!
//! At once when Unknown; 10 s after it turned False. A node younger than 2 minutes that has not been
//! ready yet may still be starting: its conditions are all of one age. Over when Ready is True.
//!
//! # Looks like
//!
//! - `node-pressure-eviction`: the node is short of something, and ready.
//! - `nodes-cordoned`: the node takes no new pods, and is ready.
//! - A node that is being deleted, or taken away by the cluster autoscaler.
//!
//! # Remedy
//!
//! See on the node whether kubelet and container runtime run and reach the API server.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition};

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::{Judge, Rule, agents};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::NodeNotReady, needs: &[], judges: &[Judge::Node(judge)] };

/// How long a node may need from its creation until it is ready.
const STARTING: SignedDuration = SignedDuration::from_mins(2);

/// By how much the conditions that a kubelet posts first may differ in age.
///
/// Source: `pkg/kubelet/nodestatus/setters.go`: each takes the time for itself, in whole seconds.
const POSTING: SignedDuration = SignedDuration::from_secs(2);

/// How long a kubelet may report that it is not ready: its runtime is started again, say.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// The cluster autoscaler's mark on a node that it takes away.
const TAKEN_AWAY: &str = "ToBeDeletedByClusterAutoscaler";

/// Whether a node is new, and has not been ready yet: its conditions are all of one age.
pub(super) fn is_starting(node: &Node, view: &View<'_>) -> bool {
    let created = node.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let turned = |condition: &NodeCondition| condition.last_transition_time.as_ref().map(|time| time.0);
    let first = conditions.clone().filter_map(turned).min();
    let ready = conditions.clone().find(|condition| condition.type_ == "Ready");
    let since = ready.and_then(turned).or(created);
    let was_ready = first.zip(since).is_some_and(|(first, since)| since.duration_since(first) > POSTING);
    !was_ready && created.is_some_and(|created| !view.ripe(created, STARTING))
}

fn judge(node: &Node, view: &View<'_>, findings: &mut Vec<Finding>) {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    let (Some(ready), Some(name)) = (ready, node.metadata.name.as_deref()) else {
        return;
    };
    if ready.status == "True" || node.metadata.deletion_timestamp.is_some() {
        return;
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    if taints.into_iter().flatten().any(|taint| taint.key == TAKEN_AWAY) {
        return;
    }
    let created = node.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let since = ready.last_transition_time.as_ref().map(|time| time.0).or(created);
    let since = since.unwrap_or(view.now());
    let patient = ready.status == "Unknown" || view.ripe(since, PATIENCE);
    if is_starting(node, view) || !patient {
        return;
    }
    let itself = Reference::cluster("Node", name);
    let reason = ready.reason.as_deref().unwrap_or("Unknown");
    let message = ready.message.as_deref().unwrap_or(reason);
    let lease = view.get::<Lease>("kube-node-lease", name).found();
    let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref());
    let renewed = renewed.map(|time| Evidence {
        object: Reference::namespaced("Lease", "kube-node-lease", name),
        field: "spec.renewTime".to_owned(),
        quote: time.0.to_string(),
        at: Some(time.0),
    });
    let pods: Vec<&Pod> = view.pods_on(name).filter(|pod| !pod.is_finished() && !pod.is_static()).collect();
    // A network plugin comes as a DaemonSet: what is wrong with it would explain the node.
    let lacks_network = ready.status == "False" && message.contains("NetworkPluginNotReady");
    let plugins = match lacks_network {
        true => agents::unready_on(name, view, agents::may_be_network_plugin),
        false => Vec::new(),
    };
    let affected: BTreeSet<Reference> = pods.iter().map(|pod| view.workload(pod).reference).collect();
    let summary = format!("{itself} is not ready: {message}");
    findings.push(
        Finding::new(Class::NodeNotReady, itself.clone(), itself.whole(), since, summary)
            .detail("reason", reason)
            .affects(affected)
            .explained_by(plugins)
            .evidence([Evidence {
                object: Reference::cluster("Node", name),
                field: "status.conditions[type=Ready]".to_owned(),
                quote: message.to_owned(),
                at: Some(since),
            }])
            .evidence(renewed)
            .remedy(
                "See on the node whether kubelet and container runtime run (systemctl status kubelet containerd)",
                format!("kubectl describe node {name}"),
            ),
    );
}
