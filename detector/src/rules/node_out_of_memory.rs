//! A node ran out of memory, and its kernel killed a container that was within its limit.
//!
//! # What it finds
//!
//! A container that the kernel killed for memory although it had no limit, or was within it: the
//! node itself was out of memory, faster than its kubelet could evict.
//!
//! # How it tells
//!
//! The node's event `SystemOOM` (or the node problem detector's `OOMKilling` of the whole system)
//! tells of the moment in which the container ended. Without the event: its run ended with reason
//! `OOMKilled`, and neither it nor its pod has a memory limit (`likely`); so it is where a run before
//! did, and the last one ended with 137 and no event tells of anyone killing it, for some runtimes
//! miss the kernel's word.
//!
//! # Not before
//!
//! At once. Over when the present run has outlasted twice the longest of the last three plus 10 s,
//! or 10 minutes.
//!
//! # Looks like
//!
//! - `oom-killed`: the container has a limit and the node has memory left.
//! - `node-pressure-eviction`: the kubelet saw the shortage in time and ended whole pods.
//!
//! # Remedy
//!
//! Give the containers of the node memory requests that say what they use and limits that hold
//! them back, and let the kubelet reserve memory and evict earlier.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::runs::{self, Ended};
use crate::rules::{Judge, Rule, out_of_memory};
use crate::verdict::{Class, Confidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::NodeOutOfMemory, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(node) = pod.node.as_deref().filter(|_| !pod.is_untroubled()) else {
        return;
    };
    for ended in runs::ended(pod, view) {
        let event = out_of_memory::node_event(&ended, pod, view);
        let is_oom = ended.run.reason.as_deref() == Some("OOMKilled");
        let confidence = match event {
            Some(_) if is_oom => Confidence::Certain,
            Some(_) if out_of_memory::is_unexplained_kill(&ended, pod, view) => Confidence::Likely,
            None if (is_oom || is_killed_again(&ended, pod, view))
                && out_of_memory::limit(pod, &ended.container).is_none() =>
            {
                Confidence::Likely
            }
            _ => continue,
        };
        let workload = view.workload(pod).reference;
        let name = ended.container.name();
        let node = Reference::cluster("Node", node);
        let summary = format!(
            "{node} ran out of memory, and its kernel killed container {name} of {workload}, which was within its limit or had none"
        );
        let command = format!("kubectl describe node {}", node.name);
        let since = ended.at().unwrap_or(view.now());
        findings.push(
            Finding::new(Class::NodeOutOfMemory, workload, node.whole(), since, summary)
                .container(name)
                .confidence(confidence)
                .detail_object("victim", &pod.reference())
                .evidence(event.map(|event| event.evidence()))
                .evidence([ended.evidence(pod)])
                .remedy("See what the node's pods request and use; give them requests and limits", command),
        );
    }
}

/// Whether the run was killed, nobody knows by whom, and one before was for memory.
fn is_killed_again(ended: &Ended<'_>, pod: &Pod, view: &View<'_>) -> bool {
    out_of_memory::is_unexplained_kill(ended, pod, view)
        && view.was_oom_killed(pod, ended.container.name())
}
