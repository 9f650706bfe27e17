//! The system refuses what a container's program does: file modes, a read-only root, its user,
//! missing capabilities.
//!
//! # What it finds
//!
//! A container that cannot start or ends because it may not execute its command, open or write a
//! file, or listen on a port; or that is not started because it must not run as root and would.
//!
//! # How it tells
//!
//! The runtime could not start the last run and says `permission denied`; or the last thing that
//! the run printed, of all that is understood, is that the system refused it; or the container
//! waits because of `runAsNonRoot`.
//!
//! # Not before
//!
//! At once: rights do not come by themselves. Over when the present run has outlasted twice the
//! last plus 10 s.
//!
//! # Looks like
//!
//! - `access-denied`: the API server refuses it, not the system.
//! - `login-refused`: what it connects to refuses it.
//! - `command-not-found`: there is no such file.
//!
//! # Remedy
//!
//! Give the container a volume to write to, a user that may, or the capability; or make the file
//! executable.

use crate::facts::{Container, Pod};
use crate::finding::Finding;
use crate::rules::failing;
use crate::rules::{Judge, Rule};
use crate::signatures::Meaning;
use crate::verdict::{Class, Evidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::PermissionDenied,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    if pod.deleting.is_none() {
        for container in pod.containers() {
            if let Some((reason, message)) = container.waiting()
                && reason == "CreateContainerConfigError"
                && (message.contains("runAsNonRoot") || message.contains("non-root policy"))
            {
                let evidence = container.evidence(pod, "state.waiting", message);
                let since = pod.created.unwrap_or(view.now());
                let by_user = message.contains("runAsUser breaks");
                let what = if by_user { "runAsUser" } else { "runAsNonRoot" };
                findings.push(finding(pod, &container, view, what, message, since).evidence([evidence]));
            }
        }
    }
    for failing in failing::containers(pod, view) {
        let Some(ended) = failing.ended.filter(|ended| ended.exit_code != 0) else {
            continue;
        };
        let is_denied = |meaning| meaning == Meaning::PermissionDenied;
        let message = ended.message.as_deref().unwrap_or_default();
        let evidence = if failing.could_not_start() {
            if !message.contains("permission denied") {
                continue;
            }
            let what = message.split("exec: ").nth(1).unwrap_or(message);
            let what = what.split(": permission denied").next().unwrap_or(what);
            (format!("exec {what}"), message.to_owned(), None)
        } else {
            let Some((line, said)) = failing.main_if(is_denied) else {
                continue;
            };
            let what = said.field("what").unwrap_or(line.text.trim()).to_owned();
            (what, line.text.trim().to_owned(), failing.quote(line))
        };
        let (what, quote, line) = evidence;
        let symptom = Evidence { quote: quote.clone(), ..failing.symptom.clone() };
        let made = finding(pod, &failing.container, view, &what, &quote, failing.since);
        findings.push(made.evidence(line).evidence([symptom]));
    }
}

fn finding(
    pod: &Pod,
    container: &Container<'_>,
    view: &View<'_>,
    what: &str,
    quote: &str,
    since: jiff::Timestamp,
) -> Finding {
    let workload = view.workload(pod);
    let path = container.path();
    let security = container.spec.security_context.as_ref();
    let of_pod = pod.spec.security_context.as_ref();
    let lower = quote.to_lowercase();
    // The setting that refuses it, as far as the specification tells.
    let field = if what == "runAsNonRoot" {
        match security.and_then(|context| context.run_as_non_root) {
            Some(_) => format!("{path}.securityContext.runAsNonRoot"),
            None => "spec.securityContext.runAsNonRoot".to_owned(),
        }
    } else if what == "runAsUser" {
        match security.and_then(|context| context.run_as_user) {
            Some(_) => format!("{path}.securityContext.runAsUser"),
            None => "spec.securityContext.runAsUser".to_owned(),
        }
    } else if lower.contains("read-only file system") || lower.contains("erofs") {
        format!("{path}.securityContext.readOnlyRootFilesystem")
    } else if security.and_then(|context| context.run_as_user).is_some() {
        format!("{path}.securityContext.runAsUser")
    } else if of_pod.and_then(|context| context.run_as_user).is_some() {
        "spec.securityContext.runAsUser".to_owned()
    } else if security.and_then(|context| context.capabilities.as_ref()).is_some() {
        format!("{path}.securityContext.capabilities")
    } else {
        format!("{path}.securityContext")
    };
    // What a structured log puts around it is not for reading.
    const LONGEST: usize = 160;
    let told = if quote.len() > LONGEST { what } else { quote };
    let summary = format!(
        "Container {} of {} is refused by the system: {told}",
        container.name(),
        workload.reference,
    );
    Finding::new(
        Class::PermissionDenied,
        workload.reference.clone(),
        workload.culprit(&field),
        since,
        summary,
    )
    .container(container.name())
    .detail("what", what)
    .remedy(
        "Give the container the right, or a place that it may write to",
        format!("kubectl edit {}", workload.reference.kubectl()),
    )
}
