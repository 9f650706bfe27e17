//! A taint with the effect NoExecute removed pods that do not tolerate it.
//!
//! # What it finds
//!
//! A workload whose pod was deleted because its node got a NoExecute taint that somebody set: not
//! those of a node that is not ready, which are that class's.
//!
//! # How it tells
//!
//! An event `TaintManagerEviction`, of type Normal, marks the pod for deletion, or the pod's
//! condition DisruptionTarget says `DeletionByTaintManager`; and the node has such a taint now. Of
//! a pod that is gone and was not seen alive, the name tells its workload, and the taint that was
//! set last before the event its node (`likely`).
//!
//! # Not before
//!
//! At once. Over when the taint is gone, when the workload has its pods, or for a bare pod after
//! 10 minutes.
//!
//! # Looks like
//!
//! - `node-not-ready`: the taints `node.kubernetes.io/not-ready` and `unreachable`.
//! - `taint-untolerated`: the pod was never there.
//! - A deletion that was cancelled: the taint went in time.
//!
//! # Remedy
//!
//! Remove the taint, or let the pods tolerate it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Taint};

use crate::facts::{Event, Pod};
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::{Judge, Need, Rule, replicas};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::TaintEvicted,
    needs: &[Need::List(Kind::Event)],
    judges: &[
        Judge::Event(&["TaintManagerEviction"], judge),
        Judge::Pod(judge_pod),
    ],
};

/// How long the end of a bare pod, and an event of a pod that nobody saw, count.
const LASTING: SignedDuration = SignedDuration::from_mins(10);

fn judge(event: &Event, view: &View<'_>, findings: &mut Vec<Finding>) {
    let marks = event.message.starts_with("Marking for deletion");
    let (true, Some(at), "Pod") = (marks, event.last, event.about.kind.as_str()) else {
        return;
    };
    let (namespace, name) = (event.about.namespace.as_str(), event.about.name.as_str());
    // Another pod may have its name by now.
    let is_same = |pod: &&Pod| {
        event.about.uid.is_empty() || pod.uid.is_empty() || pod.uid == event.about.uid
    };
    let there = view.get::<Pod>(namespace, name).found().filter(is_same);
    let gone = view.gone_in(namespace).map(|gone| &*gone.pod).find(|pod| pod.name == name && is_removed(pod));
    let finding = match (there.filter(|pod| is_removed(pod)), gone, there) {
        (Some(pod), ..) | (None, Some(pod), _) => known(pod, at, Some(event), view),
        // It stayed: the deletion was cancelled, or it is another pod of the same name.
        (None, None, Some(pod)) if pod.created.is_none_or(|created| created <= at) => None,
        _ => guessed(event, at, view),
    };
    findings.extend(finding);
}

/// A pod that is on its way out, of which no event tells yet.
fn judge_pod(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(at) = pod.deleting.filter(|_| is_removed(pod)) else {
        return;
    };
    if view.latest_event(pod, &["TaintManagerEviction"]).is_none() {
        findings.extend(known(pod, at, None, view));
    }
}

fn is_removed(pod: &Pod) -> bool {
    let target = pod.condition("DisruptionTarget");
    target.and_then(|target| target.reason.as_deref()) == Some("DeletionByTaintManager")
}

/// Those of the node's taints that could have removed the pod.
fn taints<'a>(node: &'a Node, pod: Option<&Pod>) -> impl Iterator<Item = &'a Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let tolerations = pod.and_then(|pod| pod.spec.tolerations.clone()).unwrap_or_default();
    taints.into_iter().flatten().filter(move |taint| {
        let of_not_ready =
            matches!(taint.key.as_str(), "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable");
        let tolerated = tolerations.iter().any(|toleration| {
            let effect = toleration.effect.as_deref().unwrap_or_default();
            let key = toleration.key.as_deref().unwrap_or_default();
            let value = toleration.value.as_deref().unwrap_or_default();
            let any_value = toleration.operator.as_deref() == Some("Exists");
            toleration.toleration_seconds.is_none()
                && matches!(effect, "" | "NoExecute")
                && (key.is_empty() && any_value || key == taint.key)
                && (any_value || value == taint.value.as_deref().unwrap_or_default())
        });
        taint.effect == "NoExecute" && !of_not_ready && !tolerated
    })
}

/// Of a pod whose last state is known.
fn known(pod: &Pod, at: Timestamp, event: Option<&Event>, view: &View<'_>) -> Option<Finding> {
    let node = view.get::<Node>("", pod.node.as_deref()?).found()?;
    let taint = taints(node, Some(pod)).next()?;
    let over = match pod.controller {
        Some(_) => replicas::are_there(pod, view),
        None => view.ripe(at, LASTING),
    };
    if over {
        return None;
    }
    let target = pod.condition("DisruptionTarget").map(|target| pod.condition_evidence(target));
    let evidence = target.into_iter().chain(event.map(Event::evidence)).collect();
    Some(finding(view.workload(pod).reference, node, taint, at, evidence))
}

/// Of a pod of which nothing but the event is left.
fn guessed(event: &Event, at: Timestamp, view: &View<'_>) -> Option<Finding> {
    let (namespace, name) = (event.about.namespace.as_str(), event.about.name.as_str());
    if view.ripe(at, LASTING) || !view.is_listed(Kind::Pod, namespace) {
        return None;
    }
    let (workload, uid) = replicas::workload_named(namespace, name, view)?;
    let waits = replicas::is_any_waiting(uid, view);
    if !waits && replicas::has_all(&workload, view).unwrap_or(true) {
        return None;
    }
    let set_before = |taint: &Taint| taint.time_added.as_ref().is_none_or(|time| time.0 <= at);
    let tainted = view.all::<Node>().filter_map(|node| {
        let taint = taints(node, None).find(|taint| set_before(taint))?;
        Some((taint.time_added.as_ref().map(|time| time.0), node, taint))
    });
    let (_, node, taint) = tainted.max_by_key(|(added, node, _)| (*added, std::cmp::Reverse(node.metadata.name.as_ref())))?;
    Some(finding(workload, node, taint, at, vec![event.evidence()]).confidence(Confidence::Likely))
}

fn finding(
    workload: Reference,
    node: &Node,
    taint: &Taint,
    since: Timestamp,
    evidence: Vec<Evidence>,
) -> Finding {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let node = Reference::cluster("Node", name);
    let key = taint.key.as_str();
    let summary = format!("The taint {key}:NoExecute of {node} removed a pod of {workload}, which does not tolerate it");
    let tainted = Evidence {
        object: node.clone(),
        field: "spec.taints".to_owned(),
        quote: format!("{key}={}:NoExecute", taint.value.as_deref().unwrap_or_default()),
        at: taint.time_added.as_ref().map(|time| time.0),
    };
    Finding::new(Class::TaintEvicted, workload, node.whole(), since, summary)
        .detail("key", key)
        .evidence(evidence)
        .evidence([tainted])
        .remedy("Remove the taint, or let the pods tolerate it", format!("kubectl taint node {name} {key}:NoExecute-"))
}
