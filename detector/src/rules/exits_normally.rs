//! A container that should run on ends without an error, and is started again and again.
//!
//! # What it finds
//!
//! A program that does its work and ends, in a pod whose containers are always started again: a
//! task where a service is expected, a shell without a terminal, a program that goes into the
//! background.
//!
//! # How it tells
//!
//! The container ended with exit code 0 at least twice, is restarted always, and no event tells of
//! the kubelet ending it.
//!
//! # Not before
//!
//! The second end. Over when the present run has outlasted twice the longest of the last three
//! plus 10 s, or 10 minutes.
//!
//! # Looks like
//!
//! - `liveness-probe-failing`: a program that ends well when it is told to ends with 0 too.
//! - The container of a Job, or an init container: ending well is what is expected of them.
//!
//! # Remedy
//!
//! Run a task as a Job or CronJob; keep a service in the foreground.

use crate::facts::{ContainerRole, Pod};
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::runs::{self, Ended};
use crate::rules::{Judge, Rule};
use crate::verdict::{Class, Confidence};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::ExitsNormally, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    for ended in runs::ended(pod, view) {
        let again = ended.repeats && ended.times >= 2;
        if ended.run.exit_code != 0 || !again || !should_run_on(&ended, pod) {
            continue;
        }
        if runs::killer(&ended, pod, view).is_some() {
            continue;
        }
        let spec = ended.container.spec;
        let probed = spec.liveness_probe.is_some() || spec.startup_probe.is_some();
        let confidence = if probed && !view.is_listed(Kind::Event, &pod.namespace) {
            Confidence::Possible
        } else {
            Confidence::Certain
        };
        let workload = view.workload(pod);
        let name = ended.container.name();
        let summary = format!(
            "Container {name} of {} ends without an error and is started again, {} times so far: it does not run on as a service",
            workload.reference, ended.times
        );
        let culprit = workload.culprit(&format!("{}.command", ended.container.path()));
        let command = format!("kubectl edit {}", workload.reference.kubectl());
        let since = ended.since(pod, view);
        findings.push(
            Finding::new(Class::ExitsNormally, workload.reference, culprit, since, summary)
                .container(name)
                .confidence(confidence)
                .detail("container", name)
                .evidence([ended.evidence(pod)])
                .remedy("Run it in the foreground, or as a Job if it is a task", command),
        );
    }
}

fn should_run_on(ended: &Ended<'_>, pod: &Pod) -> bool {
    match ended.container.role {
        ContainerRole::Init => false,
        ContainerRole::Sidecar => true,
        ContainerRole::Main => {
            let policy = ended.container.spec.restart_policy.as_ref();
            let policy = policy.or(pod.spec.restart_policy.as_ref());
            policy.is_none_or(|policy| policy == "Always")
        }
    }
}
