//! The entry point of a container does not exist.
//!
//! # What it finds
//!
//! A container that cannot start, or ends at once, because the command that it is told to run is
//! not in its image.
//!
//! # How it tells
//!
//! The runtime could not start the last run (`StartError`, `ContainerCannotRun`) and says that
//! there is no such file; or the run ended with exit code 127 and its last words name a command
//! that was not found; or the runtime's word is all that the run printed. Or the container cannot
//! be made, for neither it nor its image has a command.
//!
//! # Not before
//!
//! At once: what is not in an image will not come. Over when a run has lasted.
//!
//! # Looks like
//!
//! - `permission-denied`: the file is there and cannot be executed.
//! - `image-invalid`: `exec format error`, the image is of another architecture.
//! - `library-missing`: the program starts and lacks a part of itself.
//!
//! # Remedy
//!
//! Correct the command, or use an image that has it.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::failing;
use crate::rules::{Judge, Rule};
use crate::signatures::{self, Meaning};
use crate::verdict::{Class, Evidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::CommandNotFound,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

/// What runtimes say of a container without a command.
const NONE_GIVEN: &str = "no command specified";

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() || pod.deleting.is_some() {
        return;
    }
    for container in pod.containers() {
        let (reason, message) = container.waiting().unwrap_or_default();
        if reason != "CreateContainerError" || !message.to_lowercase().contains(NONE_GIVEN) {
            continue;
        }
        let workload = view.workload(pod);
        let summary = format!(
            "Container {} of {} is not told what to run, and neither is its image",
            container.name(),
            workload.reference,
        );
        let culprit = workload.culprit(&format!("{}.command", container.path()));
        let edit = format!("kubectl edit {}", workload.reference.kubectl());
        let since = pod.status.start_time.as_ref().map(|time| time.0);
        let since = since.or(pod.created).unwrap_or(view.now());
        findings.push(
            Finding::new(Class::CommandNotFound, workload.reference, culprit, since, summary)
                .container(container.name())
                .evidence([container.evidence(pod, "state.waiting", message)])
                .remedy("Name the command, or use an image that has one", edit),
        );
    }
    for failing in failing::containers(pod, view) {
        let Some(ended) = failing.ended else { continue };
        let message = ended.message.as_deref().unwrap_or_default();
        let is_missing = |meaning| meaning == Meaning::CommandNotFound;
        let by_runtime = signatures::read(message)
            .filter(|said| failing.could_not_start() && is_missing(said.meaning));
        let (said, evidence) = match by_runtime {
            Some(said) => {
                let evidence = Evidence {
                    quote: message.to_owned(),
                    ..failing.symptom.clone()
                };
                (said, Some(evidence))
            }
            // A runtime that finds out once the process exists says so in its place.
            None => match failing.main_if(is_missing) {
                Some((line, said))
                    if ended.exit_code == 127 || line.text.contains("exec ") && failing.says_little() =>
                {
                    (said.clone(), failing.quote(line))
                }
                _ => continue,
            },
        };
        let workload = view.workload(pod);
        let name = failing.container.name();
        let command = said.field("command");
        let list = if failing.container.spec.command.is_none() && failing.container.spec.args.is_some()
        {
            "args"
        } else {
            "command"
        };
        let summary = format!(
            "Container {name} of {} is told to run {}, which does not exist in its image",
            workload.reference,
            command.unwrap_or("a command"),
        );
        let finding = Finding::new(
            Class::CommandNotFound,
            workload.reference.clone(),
            workload.culprit(&format!("{}.{list}", failing.container.path())),
            failing.since,
            summary,
        )
        .container(name)
        .detail("command", command)
        .evidence(evidence)
        .evidence([failing.symptom.clone()])
        .remedy(
            "Correct the command, or use an image that has it",
            format!("kubectl edit {}", workload.reference.kubectl()),
        );
        findings.push(finding);
    }
}
