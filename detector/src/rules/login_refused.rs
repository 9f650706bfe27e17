//! What a program connects to refuses its user, password, token or certificate.
//!
//! # What it finds
//!
//! A container that fails because it connects to something that answers and does not accept its
//! credentials.
//!
//! # How it tells
//!
//! The last run failed, or the present one goes on failing and is not ready, and the last thing that
//! it printed, of all that is understood, is that the login was refused. The culprit is where the container gets its credentials from: the variable
//! whose name speaks of a password, token or the like, or the Secret behind it.
//!
//! # Not before
//!
//! The second failure: what it connects to may not have made its users yet. Over when the present
//! run has outlasted twice the last plus 10 s.
//!
//! # Looks like
//!
//! - `access-denied`: the API server knows who asks, and does not allow it.
//! - `dependency-refusing`: it refuses the work and not the credentials.
//!
//! # Remedy
//!
//! Correct the credentials, or what they are compared with, and restart the workload.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::facts::{Container, Pod};
use crate::finding::Finding;
use crate::kubernetes::files;
use crate::kubernetes::references::Source;
use crate::kubernetes::services::{self, Host};
use crate::rules::{failing, tried};
use crate::rules::{Judge, Need, Rule};
use crate::signatures::Meaning;
use crate::verdict::{Class, Confidence, Culprit, Reference};
use crate::view::{View, Workload};

pub(super) const RULE: Rule = Rule {
    class: Class::LoginRefused,
    needs: &[Need::Words],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        if failing.ended_well() || !failing.is_lasting(pod) {
            continue;
        }
        let Some((line, said)) = failing.main_if(|meaning| meaning == Meaning::LoginRefused) else {
            continue;
        };
        let workload = view.workload(pod);
        let name = failing.container.name();
        let user = said
            .field("user")
            .or_else(|| failing.field(Meaning::LoginRefused, "user"));
        let target = target(pod, &failing, view);
        let (culprit, is_found) = match credentials(pod, &failing.container, &workload, view) {
            Some(culprit) => (culprit, true),
            None => (workload.culprit(&format!("{}.env", failing.container.path())), false),
        };
        let of_user = user.map(|user| format!(" of user {user}")).unwrap_or_default();
        let by = target.as_ref().map_or("What it connects to".to_owned(), ToString::to_string);
        let summary = format!(
            "{by} refuses the login{of_user} that container {name} of {} tries with {}",
            workload.reference, culprit.object,
        );
        let edit = format!("kubectl edit {}", culprit.object.kubectl());
        let mut finding = Finding::new(
            Class::LoginRefused,
            workload.reference.clone(),
            culprit,
            failing.since,
            summary,
        )
        .container(name)
        .confidence(if is_found { Confidence::Certain } else { Confidence::Likely })
        .detail("user", user)
        .evidence(failing.quote(line))
        .evidence([failing.symptom.clone()])
        .remedy("Correct the credentials, or what they are compared with", edit);
        if let Some(target) = &target {
            finding = finding.detail_object("target", target);
        }
        findings.push(finding);
    }
}

/// The Service that it logs in to, by its words or by what it was given.
fn target(pod: &Pod, failing: &failing::Failing<'_, '_>, view: &View<'_>) -> Option<Reference> {
    let said = failing.field(Meaning::LoginRefused, "host").map(str::to_owned);
    let in_words = tried::in_words(failing).into_iter().map(|tried| tried.host);
    let given = tried::in_configuration(pod, &failing.container, view);
    let given = given.into_iter().map(|given| given.endpoint.host);
    let hosts = said.into_iter().chain(in_words).chain(given);
    let mut services = hosts.filter_map(|host| match services::host(view, pod, &host) {
        Host::Service(service) => Some(services::reference(service)),
        _ => None,
    });
    services.next()
}

/// Where the container gets its password, token or certificate from: a Secret's key before a
/// plain value, a name that speaks of a password before one that speaks of an address.
fn credentials(
    pod: &Pod,
    container: &Container<'_>,
    workload: &Workload,
    view: &View<'_>,
) -> Option<Culprit> {
    const NAMES: &[&str] =
        &["PASSWORD", "PASSWD", "PASS", "PWD", "TOKEN", "SECRET", "CREDENTIAL", "API_KEY", "APIKEY"];
    const ADDRESSES: &[&str] = &["DATABASE_URL", "_URL", "_URI", "_DSN", "CONNECTION"];
    let path = container.path();
    let by_names = |names: &[&str]| {
        let mut found: Vec<(bool, Culprit)> = Vec::new();
        for (index, variable) in container.spec.env.iter().flatten().enumerate() {
            let upper = variable.name.to_uppercase();
            if !names.iter().any(|name| upper.contains(name)) {
                continue;
            }
            match files::holder_of_variable(container, &variable.name) {
                Some(held) => {
                    found.push((held.source == Source::Secret, held.culprit(&pod.namespace)));
                }
                None if variable.value.is_some() => {
                    found.push((false, workload.culprit(&format!("{path}.env[{index}].value"))));
                }
                None => {}
            }
        }
        found.sort_by_key(|(is_secret, _)| !is_secret);
        found.into_iter().next().map(|(_, culprit)| culprit)
    };
    // A ConfigMap that is taken as a whole, with the key of such a name.
    let in_maps = || {
        let from = container.spec.env_from.iter().flatten();
        let mut maps = from.filter_map(|from| from.config_map_ref.as_ref());
        maps.find_map(|from| {
            let map = view.get::<ConfigMap>(&pod.namespace, &from.name).found()?;
            let mut keys = map.data.iter().flat_map(|data| data.keys());
            let key = keys.find(|key| {
                let upper = key.to_uppercase();
                NAMES.iter().any(|name| upper.contains(name))
            })?;
            let map = Reference::namespaced("ConfigMap", &pod.namespace, &from.name);
            Some(map.field(format!("data[{key:?}]")))
        })
    };
    let secret = |name: &str| Reference::namespaced("Secret", &pod.namespace, name).whole();
    by_names(NAMES)
        .or_else(|| {
            let from = container.spec.env_from.iter().flatten();
            from.filter_map(|from| from.secret_ref.as_ref()).next().map(|from| secret(&from.name))
        })
        .or_else(in_maps)
        .or_else(|| by_names(ADDRESSES))
        .or_else(|| {
            let mounted = container.spec.volume_mounts.iter().flatten();
            let mut volumes = mounted.filter_map(|mount| {
                pod.spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)
            });
            volumes.find_map(|volume| {
                let mut all = files::sources(volume).into_iter();
                let (_, name, _) = all.find(|(source, ..)| *source == Source::Secret)?;
                Some(secret(name))
            })
        })
}
