//! A container used more memory than its limit allows, and the kernel killed it.
//!
//! # What it finds
//!
//! A container that is killed because it outgrew its own memory limit: while it works, or already
//! when it is started with a limit too small to start in.
//!
//! # How it tells
//!
//! Its last run ended with reason `OOMKilled` while it, or its whole pod, has a memory limit; or
//! the runtime says that the container's first process was OOM-killed. Some runtimes miss the
//! kernel's word: a container with a memory limit that ends with 137 again and again while no event
//! tells of anyone killing it counts as `likely`.
//!
//! # Not before
//!
//! At once; where only the exit code tells, after the second time. Over when the present run has
//! outlasted twice the longest of the last three plus 10 s, or 10 minutes.
//!
//! # Looks like
//!
//! - `node-out-of-memory`: also `OOMKilled`, but there is no limit, or the node says that it was
//!   out of memory itself.
//! - `liveness-probe-failing`: exit code 137 too, but an event tells of the probe.
//! - `node-pressure-eviction`: the kubelet ended the whole pod, with 137 and reason `Error`.
//! - A child process that is killed leaves no trace while the first one goes on.
//!
//! # Remedy
//!
//! Raise the limit, or let the program use less: many have a setting that must fit below it.

use crate::facts::{Container, Pod};
use crate::finding::Finding;
use crate::rules::runs::{self, Ended};
use crate::rules::{Judge, Rule, out_of_memory};
use crate::verdict::{Class, Confidence, Evidence};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::OomKilled, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    for ended in runs::ended(pod, view) {
        let Some((field, limit)) = out_of_memory::limit(pod, &ended.container) else {
            continue;
        };
        let Some(confidence) = killed(&ended, pod, view) else {
            continue;
        };
        let evidence = ended.evidence(pod);
        let since = ended.since(pod, view);
        let finding = finding(pod, &ended.container, (&field, &limit), view, since, evidence);
        findings.push(finding.confidence(confidence));
    }
    findings.extend(at_start(pod, view));
}

fn killed(ended: &Ended<'_>, pod: &Pod, view: &View<'_>) -> Option<Confidence> {
    let message = ended.run.message.as_deref().unwrap_or_default();
    if message.contains(out_of_memory::AT_START) {
        return Some(Confidence::Certain);
    }
    if out_of_memory::node_event(ended, pod, view).is_some() {
        return None;
    }
    if ended.run.reason.as_deref() == Some("OOMKilled") {
        return Some(Confidence::Certain);
    }
    let unexplained = out_of_memory::is_unexplained_kill(ended, pod, view);
    (unexplained && ended.repeats && ended.times >= 2).then_some(Confidence::Likely)
}

/// A limit too small for the pod's sandbox or a container's first process shows in an event alone.
fn at_start(pod: &Pod, view: &View<'_>) -> Option<Finding> {
    if pod.is_finished() || pod.deleting.is_some() || pod.containers().any(|container| container.is_running()) {
        return None;
    }
    let waits = |container: &Container<'_>| matches!(container.waiting(), Some(("ContainerCreating", _)));
    let waiting = pod.containers().find(waits)?;
    let event = view.latest_event(pod, &["FailedCreatePodSandBox"])?;
    if !event.message.contains(out_of_memory::AT_START) {
        return None;
    }
    let (field, limit) = out_of_memory::limit(pod, &waiting)?;
    let since = event.first.unwrap_or(view.now());
    Some(finding(pod, &waiting, (&field, &limit), view, since, event.evidence()))
}

fn finding(
    pod: &Pod,
    container: &Container<'_>,
    (field, limit): (&str, &str),
    view: &View<'_>,
    since: jiff::Timestamp,
    evidence: Evidence,
) -> Finding {
    let workload = view.workload(pod);
    let name = container.name();
    let summary = format!(
        "Container {name} of {} needs more memory than its limit of {limit}, and was killed for it",
        workload.reference
    );
    let command = format!("kubectl edit {}", workload.reference.kubectl());
    let culprit = workload.culprit(field);
    Finding::new(Class::OomKilled, workload.reference, culprit, since, summary)
        .container(name)
        .detail("container", name)
        .detail("limit", limit)
        .evidence([evidence])
        .remedy("Raise the memory limit, or let the program use less", command)
}
