//! A container fails again and again, and nothing that is known says why.
//!
//! # What it finds
//!
//! A container that failed at least twice, or once if it is a Job's, and whose failure no other
//! class explains. It is what is left when all others are silent: the program's last lines are
//! shown, for a person to read.
//!
//! # How it tells
//!
//! The last run ended with another exit code than 0, nobody killed it (no probe, no sandbox that
//! was made anew), and it was not out of memory. The pod may be Running and Ready at the moment: in
//! a slow crash loop it is so most of the time.
//!
//! # Not before
//!
//! The last run's log was read, or cannot be had: at the latest 10 s after its kubelet knew of its
//! end. Over when the present run has outlasted twice the longest of the last three plus 10 s, or
//! 10 minutes; when it prints what the one that failed did not; when a policy, Service, ConfigMap
//! or Secret around it changed since, until it fails again; for a Job when a later try or a later
//! run of its CronJob succeeds, at the latest after a day.
//!
//! # Looks like
//!
//! - `liveness-probe-failing`, `startup-probe-failing`: exit code 137 or 143, or even 0, but an
//!   event of type Normal says that the kubelet killed it.
//! - `oom-killed`: reason `OOMKilled`, or exit code 137 with a memory limit and no such event.
//! - A failure that the program explains is the class of what it says.
//! - An evicted pod's containers end with 137: `node-pressure-eviction`.
//! - A connection that failed and is open again since, or leads to what is just starting, and a
//!   refusal of the API server that roles allow by now: nothing is left to explain.
//! - A container that failed once after it ran for long, or whose node was restarted.
//!
//! # Remedy
//!
//! Read the last lines of the run that failed, and look for what changed before.

use serde_json::json;

use crate::facts::{ContainerRole, Pod};
use crate::finding::Finding;
use crate::rules::runs::{self, Ended, LastWords, Printed};
use crate::rules::{Judge, Rule};
use crate::verdict::{Class, Confidence, Evidence};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::CrashUnexplained, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    for ended in runs::ended(pod, view) {
        if ended.container.role == ContainerRole::Init || !ended.is_failing() || is_explained(&ended) {
            continue;
        }
        if runs::killer(&ended, pod, view).is_some() || runs::may_be_mended(&ended, pod, view) {
            continue;
        }
        let (words, unread) = match runs::printed(&ended, pod, view) {
            Printed::Read(words) => (runs::last_words(&words), None),
            Printed::Unavailable(why) => (LastWords::default(), why),
            Printed::Awaited => continue,
        };
        findings.push(finding(&ended, (words, unread), pod, view));
    }
}

/// Whether its own end says what ended it: the kernel for want of memory, a container that was
/// lost with its node.
fn is_explained(ended: &Ended<'_>) -> bool {
    let reason = ended.run.reason.as_deref();
    matches!(reason, Some("OOMKilled" | "ContainerStatusUnknown" | "Unknown"))
}

fn finding(ended: &Ended<'_>, (words, unread): (LastWords, Option<&str>), pod: &Pod, view: &View<'_>) -> Finding {
    let workload = view.workload(pod);
    let name = ended.container.name();
    let exit_code = ended.run.exit_code;
    let times = if ended.times > 1 { format!(", {} times so far", ended.times) } else { String::new() };
    let last = words.last.as_ref().map(|line| format!("; its last words: {line}")).unwrap_or_default();
    let summary = format!(
        "Container {name} of {} fails with exit code {exit_code}{times}, and nothing that is known explains it{last}",
        workload.reference
    );
    let unread = unread.map(|why| Evidence {
        object: pod.reference(),
        field: "log".to_owned(),
        quote: why.to_owned(),
        at: ended.at(),
    });
    let previous = if ended.container.is_running() { " --previous" } else { "" };
    let command = format!("kubectl logs {} -n {} -c {name}{previous}", pod.name, pod.namespace);
    Finding::new(
        Class::CrashUnexplained,
        workload.reference.clone(),
        workload.reference.whole(),
        ended.since(pod, view),
        summary,
    )
    .container(name)
    .confidence(Confidence::Likely)
    .detail("container", name)
    .detail("exitCode", exit_code)
    .detail("lastLines", json!(words.lines))
    .evidence([ended.evidence(pod)])
    .evidence(words.telling)
    .evidence(unread)
    .remedy("Read what the program printed before it failed", command)
}
