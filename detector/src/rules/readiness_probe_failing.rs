//! A container runs and is not ready, because its readiness probe fails.
//!
//! # What it finds
//!
//! A container that has been running for long enough and gets no traffic, because its readiness
//! probe does not succeed.
//!
//! # How it tells
//!
//! The container runs, has a readiness probe, and its status says that it is not ready. The last
//! event `Unhealthy` of this run is quoted: kubelets hold back repetitions, so it may be minutes
//! old. The port is compared with those that the container declares. Without the event, it is
//! `likely`.
//!
//! # Not before
//!
//! The container has run for 30 s, and for the probe's `initialDelaySeconds` and
//! `failureThreshold` times `periodSeconds`; with a startup probe, not before that succeeded. One
//! that was ready before has not been for 30 s.
//!
//! # Looks like
//!
//! - A crash loop: between its ends the container runs and is not ready either.
//! - `node-not-ready`: the pod's condition Ready is False, its containers are ready.
//! - A probe that fails because of what the program depends on is part of that verdict: where a
//!   Service that the program was given or names in its log has no ready pod, and something is known
//!   to be wrong with what is behind it, over however many steps.
//!
//! # Remedy
//!
//! Let the probe ask a port and path that the program answers; see what the program waits for.

use jiff::SignedDuration;

use crate::facts::{Container, ContainerRole, Pod};
use crate::finding::Finding;
use crate::rules::probes::{self, Which};
use crate::rules::{Judge, Rule};
use crate::verdict::{Class, Confidence};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::ReadinessProbeFailing, needs: &[], judges: &[Judge::Pod(judge)] };

/// How long a container may run without being ready, or not be ready any more, whatever its probe
/// says.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() || pod.is_finished() || pod.deleting.is_some() {
        return;
    }
    for container in pod.containers().filter(|container| container.role != ContainerRole::Init) {
        findings.extend(unready(pod, &container, view));
    }
}

fn unready(pod: &Pod, container: &Container<'_>, view: &View<'_>) -> Option<Finding> {
    let probe = container.spec.readiness_probe.as_ref()?;
    let since = container.running_since()?;
    let status = container.status.filter(|status| !status.ready)?;
    if container.spec.startup_probe.is_some() && status.started != Some(true) {
        return None;
    }
    let crashes = container.ended().next().is_some_and(|run| !view.is_crash_over(pod, container, run));
    if crashes {
        return None;
    }
    // The API server sets these where the manifest does not.
    let seconds = |value: Option<i32>, default: i32| i64::from(value.unwrap_or(default).max(0));
    let threshold = seconds(probe.period_seconds, 10).saturating_mul(seconds(probe.failure_threshold, 3));
    let delay = seconds(probe.initial_delay_seconds, 0).saturating_add(threshold);
    if !view.ripe(since, SignedDuration::from_secs(delay).max(PATIENCE)) {
        return None;
    }
    let ready = pod.condition("Ready").filter(|ready| ready.status != "True");
    let unready_since = ready.and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0);
    // A readiness that comes and goes is what the probe is for.
    if unready_since.is_some_and(|unready| !view.ripe(unready, PATIENCE)) {
        return None;
    }
    let event = probes::unhealthy(Which::Readiness, pod, container, view);
    let event = event.filter(|event| event.last >= Some(since));
    let began = event.and_then(|event| event.first).or(unready_since).unwrap_or(since).max(since);
    let evidence = vec![container.evidence(pod, "ready", "false")];
    let found = ("so it is not ready and gets no traffic", began, evidence);
    let looked_for = (Class::ReadinessProbeFailing, Which::Readiness);
    let confidence = if event.is_some() { Confidence::Certain } else { Confidence::Likely };
    Some(probes::finding(looked_for, pod, container, view, found).confidence(confidence))
}
