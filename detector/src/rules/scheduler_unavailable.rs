//! # What it finds
//!
//! A pod stays Pending because no scheduler has looked at it: the scheduler is down, or the pod
//! names one that does not run.
//!
//! # How it tells
//!
//! The pod has no node, no condition PodScheduled, no event and no scheduling gate.
//!
//! # Not before
//!
//! 30 seconds after the pod was created.
//!
//! # Looks like
//!
//! - A pod behind a scheduling gate waits on purpose, and says so.
//! - A pod that no node takes has the condition PodScheduled with reason Unschedulable.
//! - A pod whose node is chosen and whose volume is being made for it: its claim names the node.
//!
//! # Remedy
//!
//! Bring the scheduler back, or name one that runs.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::{Judge, Rule, claims};
use crate::verdict::{Class, Evidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::SchedulerUnavailable,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

const DEFAULT: &str = "default-scheduler";

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let is_waiting = pod.node.is_none()
        && pod.deleting.is_none()
        && matches!(pod.phase(), "Pending" | "")
        && pod.condition("PodScheduled").is_none()
        && pod.spec.scheduling_gates.iter().flatten().next().is_none();
    let Some(created) = pod.created.filter(|_| is_waiting) else {
        return;
    };
    if view.events_of(pod).next().is_some() || !view.ripe(created, PATIENCE) {
        return;
    }
    // The scheduler chose a node, and waits for a volume to be made there.
    let mut claims = claims::of(pod).into_iter();
    if claims.any(|claim| claims::has_node(pod, &claim.name, view)) {
        return;
    }
    let workload = view.workload(pod);
    let name = pod.spec.scheduler_name.as_deref().unwrap_or(DEFAULT);
    let scheduler = (name == DEFAULT)
        .then(|| {
            let pods = view.in_namespace::<Pod>("kube-system");
            pods.filter(|pod| {
                let component = pod.labels.get("component").or(pod.labels.get("k8s-app"));
                component.is_some_and(|component| component == "kube-scheduler")
            })
            // One that is not ready, rather than its standby.
            .min_by_key(|pod| (pod.is_ready(), &pod.name))
        })
        .flatten();
    let summary = format!(
        "No scheduler has looked at {}: is {name} running?",
        workload.reference
    );
    let evidence = Evidence {
        object: pod.reference(),
        field: "spec.schedulerName".to_owned(),
        quote: name.to_owned(),
        at: Some(created),
    };
    let (culprit, command) = match scheduler {
        Some(scheduler) => {
            let scheduler = scheduler.reference();
            let command = format!("kubectl describe {}", scheduler.kubectl());
            (scheduler.whole(), command)
        }
        None => {
            let command = "kubectl get pods -A -l component=kube-scheduler".to_owned();
            (workload.culprit("spec.schedulerName"), command)
        }
    };
    let explained_by = scheduler.map(Pod::reference);
    findings.push(
        Finding::new(
            Class::SchedulerUnavailable,
            workload.reference,
            culprit,
            created,
            summary,
        )
        .detail("schedulerName", name)
        .evidence([evidence])
        .remedy("Bring the scheduler back, or name one that runs", command)
        .explained_by(explained_by),
    );
}
