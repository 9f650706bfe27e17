//! # What it finds
//!
//! A pod stays Pending because all nodes that it selects have taints that it does not tolerate.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, and each node that the pod's selector and
//! affinity leave has a taint with effect `NoSchedule` or `NoExecute` that no toleration of the
//! pod is for. A control plane's taint counts only if the pod selects no other nodes. A pod that
//! asks for a device, such as a GPU, selects the nodes that have any.
//!
//! # Not before
//!
//! At once. A taint that Kubernetes or an autoscaler puts on nodes that come, go, or are unwell
//! belongs to the node's own trouble; without such a trouble, it is named after five minutes. For
//! ten minutes after an autoscaler said that it makes a node for the pod, nothing is said.
//!
//! # Looks like
//!
//! - `nodes-cordoned`: the taint `node.kubernetes.io/unschedulable` is a cordon.
//! - `node-not-ready`, `node-pressure-eviction`: the taints are the node's trouble.
//! - What takes the taint of a new node away, such as a network plugin or a cloud's controller, and
//!   does not run: then this is part of its trouble.
//! - `request-exceeds-nodes`: a node without such a taint is left, and is too small.
//!
//! # Remedy
//!
//! Take the taint off the node, or let the pod tolerate it.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Taint;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::unschedulable::{self, Obstacle, Unschedulable};
use crate::rules::{Judge, Rule, agents};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::TaintUntolerated,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

/// How long a taint of a node that comes or goes is no trouble.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// On how many nodes is looked for what takes the taint away.
const MOST_NODES: usize = 20;

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    match stuck.obstacle {
        Obstacle::Taints => findings.push(by_taint(&stuck)),
        Obstacle::Unwell => {
            let nodes = stuck.unwell_nodes(view);
            if !nodes.is_empty() {
                findings.push(by_trouble_of(nodes, &stuck));
            } else if view.ripe(stuck.since, PATIENCE) {
                let unwell = &stuck.scan.unwell;
                let key = unwell.first().map_or("", |(_, taint)| taint.key.as_str());
                let nodes = unwell.iter().take(MOST_NODES).map(|(node, _)| node.name.as_str());
                // What takes such a taint away does not run.
                let agents = agents::unready_for_taint(key, nodes, view);
                findings.push(by_taint(&stuck).explained_by(agents));
            }
        }
        _ => {}
    }
}

fn by_taint(stuck: &Unschedulable) -> Finding {
    let scan = &stuck.scan;
    let (tainted, closed) = match stuck.obstacle {
        Obstacle::Unwell => (&scan.unwell, Vec::new()),
        // Background where other nodes are tainted: a control plane is never the node to open.
        _ => (
            &scan.tainted,
            unschedulable::names(scan.background.iter().map(|(node, _)| node)),
        ),
    };
    let holds = |node: &crate::kubernetes::scheduling::NodeShape| {
        scan.requests
            .iter()
            .all(|(resource, request)| node.allocatable(resource) >= *request)
    };
    let would_run_on = tainted.iter().find(|(node, _)| holds(node));
    let (culprit, taint) = match would_run_on.or(tainted.first()) {
        Some((node, taint)) if would_run_on.is_some() => {
            let field = format!("spec.taints[key={}]", taint.key);
            (
                Reference::cluster("Node", &node.name).field(field),
                Some(taint),
            )
        }
        first => {
            let taint = first.map(|(_, taint)| taint);
            (stuck.workload.culprit("spec.tolerations"), taint)
        }
    };
    let nodes = unschedulable::names(tainted.iter().map(|(node, _)| node));
    let subject = &stuck.workload.reference;
    let named = taint.map_or_else(
        || "taints".to_owned(),
        |taint| format!("the taint {}", text(taint)),
    );
    let count = tainted.len();
    let of = if count == 0 {
        "the nodes".to_owned()
    } else {
        format!("{count} node(s)")
    };
    let summary = format!("{subject} does not tolerate {named} of {of} that it could run on");
    let evidence = would_run_on.map(|(node, taint)| Evidence {
        object: Reference::cluster("Node", &node.name),
        field: format!("spec.taints[key={}]", taint.key),
        quote: text(taint),
        at: taint.time_added.as_ref().map(|time| time.0),
    });
    let mut finding = stuck
        .finding(Class::TaintUntolerated, culprit, summary)
        .detail("key", taint.map(|taint| taint.key.clone()))
        .detail("effect", taint.map(|taint| taint.effect.clone()))
        .detail("nodes", nodes)
        .evidence(evidence);
    if !closed.is_empty() {
        finding = finding.detail("alsoTainted", closed);
    }
    if stuck.obstacle == Obstacle::Unwell {
        let node = tainted.first().map_or("", |(node, _)| node.name.as_str());
        let command = format!("kubectl describe node {node}");
        return finding.remedy("See why what takes the taint away does not", command);
    }
    if let Some((node, taint)) = would_run_on {
        let taint = format!("{}:{}-", taint.key, taint.effect);
        let command = format!("kubectl taint node {} {taint}", node.name);
        finding = finding.remedy("Take the taint off the node", command);
    }
    let command = format!("kubectl edit {}", subject.kubectl());
    finding.remedy("Or let the pod tolerate it: spec.tolerations", command)
}

/// The pod waits for a node whose own trouble is a verdict: it becomes part of that.
fn by_trouble_of(nodes: Vec<Reference>, stuck: &Unschedulable) -> Finding {
    let subject = &stuck.workload.reference;
    let summary = format!("{subject} waits for {}, which is not well", nodes[0]);
    let taint = stuck.scan.unwell.first().map(|(_, taint)| taint);
    let command = format!("kubectl describe {}", nodes[0].kubectl());
    stuck
        .finding(
            Class::TaintUntolerated,
            stuck.workload.culprit("spec.tolerations"),
            summary,
        )
        .confidence(Confidence::Likely)
        .detail("key", taint.map(|taint| taint.key.clone()))
        .detail("effect", taint.map(|taint| taint.effect.clone()))
        .detail(
            "nodes",
            nodes
                .iter()
                .map(|node| node.name.clone())
                .collect::<Vec<_>>(),
        )
        .remedy("See what is wrong with the node", command)
        .explained_by(nodes)
}

fn text(taint: &Taint) -> String {
    match &taint.value {
        Some(value) => format!("{}={value}:{}", taint.key, taint.effect),
        None => format!("{}:{}", taint.key, taint.effect),
    }
}
