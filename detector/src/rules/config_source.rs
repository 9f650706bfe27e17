//! What the four rules of missing ConfigMaps, Secrets and keys of them share: they differ only in
//! what is referred to and in what of it is missing.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::facts::{Container, Pod, Secret};
use crate::finding::Finding;
use crate::kubernetes::references::{ConfigReference, Source, config_references};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::{Lookup, View};

/// How long a pod may wait for its volumes before it counts as held up though no event says so.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);

/// What is missing.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Missing {
    Object,
    Key,
}

/// Finds, for one class, the references of a pod that hold it up.
pub(super) fn judge(
    (class, source, missing): (Class, Source, Missing),
    pod: &Pod,
    view: &View<'_>,
    findings: &mut Vec<Finding>,
) {
    if pod.phase() != "Pending" && pod.is_ready() || pod.is_finished() || pod.deleting.is_some() {
        return;
    }
    for reference in config_references(pod) {
        if reference.source != source || reference.optional {
            continue;
        }
        let Some(symptom) = symptom(&reference, pod, view) else {
            continue;
        };
        let (lacks, confidence) = match contains(&reference, pod, view) {
            Lookup::Found(true) => continue,
            Lookup::Found(false) => (Missing::Key, Confidence::Certain),
            Lookup::Absent => (Missing::Object, Confidence::Certain),
            // Not listed: the kubelet's word for it is all there is.
            Lookup::Unknown => match said_missing(&reference, pod, &symptom.quote) {
                Some(missing) => (missing, Confidence::Likely),
                None => continue,
            },
        };
        if lacks == missing {
            findings.push(finding(class, &reference, pod, view, symptom).confidence(confidence));
        }
    }
}

/// Whether what is referred to has the key, where one is named.
fn contains(reference: &ConfigReference, pod: &Pod, view: &View<'_>) -> Lookup<'static, bool> {
    let has = |has_key: &dyn Fn(&str) -> bool| {
        if reference.key.as_deref().is_none_or(has_key) {
            Lookup::Found(&true)
        } else {
            Lookup::Found(&false)
        }
    };
    match reference.source {
        Source::ConfigMap => match view.get::<ConfigMap>(&pod.namespace, &reference.name) {
            Lookup::Found(map) => has(&|key| {
                map.data.as_ref().is_some_and(|data| data.contains_key(key))
                    || map
                        .binary_data
                        .as_ref()
                        .is_some_and(|data| data.contains_key(key))
            }),
            Lookup::Absent => Lookup::Absent,
            Lookup::Unknown => Lookup::Unknown,
        },
        Source::Secret => match view.get::<Secret>(&pod.namespace, &reference.name) {
            Lookup::Found(secret) => has(&|key| secret.keys.contains(key)),
            Lookup::Absent => Lookup::Absent,
            Lookup::Unknown => Lookup::Unknown,
        },
    }
}

/// What shows that the reference holds the pod up now: a container that the kubelet cannot
/// configure, or a volume that it failed to mount while the containers still wait for it.
fn symptom(reference: &ConfigReference, pod: &Pod, view: &View<'_>) -> Option<Evidence> {
    if let Some(name) = &reference.container {
        let container = pod.container(name)?;
        let (reason, message) = container.waiting()?;
        return (reason == "CreateContainerConfigError").then(|| {
            let mut evidence = container.evidence(pod, "state.waiting", message);
            evidence.at = (view.events_of(pod))
                .filter(|event| event.reason == "Failed")
                .filter(|event| event.about.container() == Some(name.as_str()))
                .filter(|event| event.message.contains(message))
                .filter_map(|event| event.first)
                .min();
            evidence
        });
    }
    let volume = reference.volume.as_ref()?;
    let waits = |container: &Container<'_>| {
        matches!(
            container.waiting(),
            Some(("ContainerCreating" | "PodInitializing", _))
        )
    };
    if pod.containers().any(|container| container.is_running()) {
        return None; // Its volumes are mounted.
    }
    let waiting = pod.containers().find(waits)?;
    let quoted = format!("\"{volume}\"");
    let failed_mount = (view.events_of(pod))
        .filter(|event| event.reason == "FailedMount" && event.message.contains(&quoted))
        .max_by_key(|event| event.last);
    if let Some(event) = failed_mount {
        return Some(Evidence {
            at: event.first,
            ..event.evidence()
        });
    }
    // Without its events: containers that wait for so long, and no image is being pulled.
    let since = pod.status.start_time.as_ref().map(|time| time.0)?;
    let pulls = view.latest_event(pod, &["Pulling", "Pulled"]).is_some();
    (!pulls && view.ripe(since, PATIENCE)).then(|| {
        let (reason, _) = waiting.waiting().unwrap_or_default();
        Evidence {
            at: Some(since),
            ..waiting.evidence(pod, "state.waiting.reason", reason)
        }
    })
}

/// What the kubelet says is missing of this very reference.
///
/// Source: `pkg/kubelet/kubelet_pods.go` (environment), `pkg/volume/configmap/configmap.go` and
/// `pkg/volume/secret/secret.go` (volumes).
fn said_missing(reference: &ConfigReference, pod: &Pod, message: &str) -> Option<Missing> {
    let (kind, proper) = match reference.source {
        Source::ConfigMap => ("configmap", "ConfigMap"),
        Source::Secret => ("secret", "Secret"),
    };
    if message.contains(&format!("{kind} \"{}\" not found", reference.name)) {
        return Some(Missing::Object);
    }
    let key = reference.key.as_ref()?;
    let place = format!("{proper} {}/{}", pod.namespace, reference.name);
    let says_key = message.contains(&format!("couldn't find key {key} in {place}"))
        || message.contains(&format!("references non-existent {kind} key: {key}"))
        || message.contains(&format!("references non-existent config key: {key}"));
    says_key.then_some(Missing::Key)
}

fn finding(
    class: Class,
    reference: &ConfigReference,
    pod: &Pod,
    view: &View<'_>,
    symptom: Evidence,
) -> Finding {
    let workload = view.workload(pod);
    let kind = match reference.source {
        Source::ConfigMap => "ConfigMap",
        Source::Secret => "Secret",
    };
    let object = Reference::namespaced(kind, &pod.namespace, &reference.name);
    let needed_by = match (&reference.container, &reference.volume) {
        (Some(container), _) => format!("container {container} of {}", workload.reference),
        (None, Some(volume)) => format!("volume {volume} of {}", workload.reference),
        (None, None) => workload.reference.to_string(),
    };
    let since = symptom.at.or(pod.created).unwrap_or(view.now());
    let kubectl_kind = match reference.source {
        Source::ConfigMap => "configmap",
        Source::Secret => "secret generic",
    };
    let (culprit, summary) = match (&reference.key, class) {
        (Some(key), Class::ConfigMapKeyMissing | Class::SecretKeyMissing) => (
            object.clone().field(format!("data[{key:?}]")),
            format!("{object} has no key {key}, which {needed_by} needs"),
        ),
        _ => (
            object.clone().whole(),
            format!("{object} does not exist, and {needed_by} needs it"),
        ),
    };
    let remedy = match &culprit.field {
        None => (
            format!("Create the {kind}; the pod starts by itself"),
            format!(
                "kubectl create {kubectl_kind} {} -n {} --from-literal={}=...",
                reference.name,
                pod.namespace,
                reference.key.as_deref().unwrap_or("KEY"),
            ),
        ),
        Some(_) => (
            format!("Add the key to the {kind}, or name the key that it has"),
            format!("kubectl edit {}", object.kubectl()),
        ),
    };
    let mut finding = Finding::new(class, workload.reference, culprit, since, summary)
        .detail("container", reference.container.clone())
        .detail("volume", reference.volume.clone())
        .detail("reference", reference.path.clone())
        .detail("key", reference.key.clone())
        .evidence([symptom])
        .remedy(remedy.0, remedy.1);
    finding.container = reference.container.clone();
    finding
}
