//! What a program connects to answers and refuses the work.
//!
//! # What it finds
//!
//! A container that fails because a database or another server refuses what it asks: too many
//! connections, read-only, out of space, still starting, no such database.
//!
//! # How it tells
//!
//! The last run failed, or the present one goes on failing and is not ready, and the last thing that
//! it printed, of all that is understood, is such an answer. The culprit is the workload behind the Service that it names or was given.
//!
//! # Not before
//!
//! The second failure, a Job's first; where the server says that it is starting or shutting down,
//! 30 s after the first one. Over when the present run has outlasted twice the last plus 10 s.
//!
//! # Looks like
//!
//! - `login-refused`: it refuses the credentials.
//! - `dependency-unreachable`: it does not answer at all.
//!
//! # Remedy
//!
//! Look after the server: its limits, its volume, its role.

use jiff::SignedDuration;
use serde_json::json;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::services::{self, Host};
use crate::rules::failing::{self, Failing};
use crate::rules::{Judge, Need, Rule, dependency, tried};
use crate::signatures::Meaning;
use crate::verdict::{Class, Confidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::DependencyRefusing,
    needs: &[Need::Words],
    judges: &[Judge::Pod(judge)],
};

/// How long a server may say that it is starting or shutting down.
const PASSING: SignedDuration = SignedDuration::from_secs(30);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        if failing.ended_well() || !failing.is_lasting(pod) {
            continue;
        }
        let Some((line, said)) = failing.main_if(|meaning| meaning == Meaning::WorkRefused) else {
            continue;
        };
        if is_passing(&failing, view) {
            continue;
        }
        let workload = view.workload(pod);
        let name = failing.container.name();
        let in_words = tried::in_words(&failing).into_iter().map(|tried| tried.host);
        let given = tried::in_configuration(pod, &failing.container, view);
        let said_host = failing.field(Meaning::WorkRefused, "host").map(str::to_owned);
        let hosts = said_host.into_iter().chain(in_words).chain(given.into_iter().map(|given| given.endpoint.host));
        let target = hosts
            .filter_map(|host| match services::host(view, pod, &host) {
                Host::Service(service) => Some(service),
                _ => None,
            })
            .next();
        let behind = target.map(|service| dependency::behind(service, view));
        let error = said.field("problem").unwrap_or(line.text.trim());
        let who = behind.as_ref().map_or("What it connects to".to_owned(), ToString::to_string);
        let summary = format!(
            "{who} refuses the work of container {name} of {}: {error}",
            workload.reference,
        );
        let culprit = match &behind {
            Some(behind) => behind.clone().whole(),
            None => workload.culprit(&failing.container.path()),
        };
        let describe = format!("kubectl describe {}", culprit.object.kubectl());
        let confidence = if behind.is_some() { Confidence::Certain } else { Confidence::Likely };
        let finding = Finding::new(
            Class::DependencyRefusing,
            workload.reference,
            culprit,
            failing.since,
            summary,
        )
        .container(name)
        .confidence(confidence)
        .detail("target", target.map(|service| json!(services::reference(service))))
        .detail("error", error)
        .evidence(failing.quote(line))
        .evidence([failing.symptom.clone()])
        .explained_by(target.map(|service| dependency::explainers(service, view)).unwrap_or_default())
        .remedy("Look after what refuses: its limits, its volume, its role", describe);
        findings.push(finding);
    }
}

/// Whether a container failed of a server that was just starting or shutting down.
pub(super) fn is_passing(failing: &Failing<'_, '_>, view: &View<'_>) -> bool {
    let said = failing.main_if(|meaning| meaning == Meaning::WorkRefused);
    said.is_some_and(|(_, said)| said.field("passing").is_some())
        && !view.ripe(failing.since, PASSING)
}
