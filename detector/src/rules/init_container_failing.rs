//! An init container fails, so the pod's containers are never started.
//!
//! # What it finds
//!
//! An init container that failed at least twice, or once if it is a Job's, for a reason that no
//! other class names.
//!
//! # How it tells
//!
//! Its last run ended with another exit code than 0, and nobody killed it. Sidecars, init
//! containers that are always restarted, are containers like others.
//!
//! # Not before
//!
//! The last run's log was read, or cannot be had: 10 s after its end at the latest. Over when it
//! has succeeded, or its present run has outlasted twice the longest of the last three plus 10 s,
//! or 10 minutes.
//!
//! # Looks like
//!
//! - An init container that waits for something runs on, or fails once and then succeeds.
//! - What the init container's own words explain is the class of what it says.
//!
//! # Remedy
//!
//! Read what the init container printed.

use crate::facts::{ContainerRole, Pod};
use crate::finding::Finding;
use crate::rules::runs::{self, LastWords, Printed};
use crate::rules::{Judge, Rule};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::InitContainerFailing, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    for ended in runs::ended(pod, view) {
        if ended.container.role != ContainerRole::Init || !ended.is_failing() {
            continue;
        }
        if runs::killer(&ended, pod, view).is_some() || runs::may_be_mended(&ended, pod, view) {
            continue;
        }
        let words = match runs::printed(&ended, pod, view) {
            Printed::Read(words) => runs::last_words(&words),
            Printed::Unavailable(_) => LastWords::default(),
            Printed::Awaited => continue,
        };
        let workload = view.workload(pod);
        let name = ended.container.name();
        let exit_code = ended.run.exit_code;
        let last = words.last.as_ref().map(|line| format!("; its last words: {line}")).unwrap_or_default();
        let summary = format!(
            "Init container {name} of {} fails with exit code {exit_code}, so its containers do not start{last}",
            workload.reference
        );
        let culprit = workload.culprit(&ended.container.path());
        let command = format!("kubectl logs {} -n {} -c {name}", pod.name, pod.namespace);
        let since = ended.since(pod, view);
        findings.push(
            Finding::new(Class::InitContainerFailing, workload.reference, culprit, since, summary)
                .container(name)
                .detail("container", name)
                .detail("exitCode", exit_code)
                .evidence([ended.evidence(pod)])
                .evidence(words.telling)
                .remedy("Read what the init container printed before it failed", command),
        );
    }
}
