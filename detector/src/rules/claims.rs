//! What the rules of claims share: which of a pod's claims keeps it from every node, and why.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::facts::Pod;
use crate::kubernetes::scheduling::NodeShape;
use crate::kubernetes::volumes;
use crate::object::Kind;
use crate::verdict::{Culprit, Reference};
use crate::view::{Lookup, View};

/// A claim that a pod names.
pub(super) struct Claim<'a> {
    /// Its name.
    pub name: String,
    /// The volume's place in the pod's list.
    pub index: usize,
    /// The volume's name in the pod.
    pub volume: &'a str,
}

/// The claims that a pod names, those of its ephemeral volumes among them.
pub(super) fn of(pod: &Pod) -> Vec<Claim<'_>> {
    let volumes = pod.spec.volumes.iter().flatten().enumerate();
    volumes
        .filter_map(|(index, volume)| {
            let named = volume.persistent_volume_claim.as_ref();
            let made = volume.ephemeral.is_some();
            let name = match named {
                Some(named) => named.claim_name.clone(),
                None if made => format!("{}-{}", pod.name, volume.name),
                None => return None,
            };
            Some(Claim {
                name,
                index,
                volume: &volume.name,
            })
        })
        .collect()
}

/// What is wrong with a claim that is not bound.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    /// It does not exist.
    Missing,
    /// It is being deleted: no further pod may use it.
    Leaving,
    /// Its class does not exist, or it names none and there is no default.
    NoClass {
        /// The class that it names.
        class: Option<String>,
    },
    /// No volume satisfies it: each with the reason.
    NoVolume(Vec<(String, &'static str)>),
    /// Its volume is to be made, and is not yet.
    BeingMade,
}

/// What is wrong with a claim; none if it is bound, healthy, or not known.
pub(super) fn trouble(pod: &Pod, claim_name: &str, view: &View<'_>) -> Option<Trouble> {
    let claim = match view.get::<PersistentVolumeClaim>(&pod.namespace, claim_name) {
        Lookup::Found(claim) => claim,
        Lookup::Absent => return Some(Trouble::Missing),
        Lookup::Unknown => return trouble_by_events(pod, claim_name, view),
    };
    if claim.metadata.deletion_timestamp.is_some() {
        return Some(Trouble::Leaving);
    }
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let asked = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_deref());
    if phase == Some("Lost") {
        // Its volume was deleted.
        let volume = asked.unwrap_or_default().to_owned();
        return Some(Trouble::NoVolume(vec![(volume, "absent")]));
    }
    if phase != Some("Pending") {
        return None;
    }
    let volumes: Vec<&PersistentVolume> = view.all::<PersistentVolume>().collect();
    let asked = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_deref());
    let reasons = || -> Vec<(String, &'static str)> {
        let named = |volume: &&&PersistentVolume| {
            asked.is_none_or(|asked| volume.metadata.name.as_deref() == Some(asked))
        };
        let of_name = volumes.iter().filter(named);
        let mut reasons: Vec<_> = of_name
            .filter_map(|volume| {
                let name = volume.metadata.name.clone().unwrap_or_default();
                Some((name, volumes::mismatch(volume, claim)?))
            })
            .collect();
        // What is free and of the right class first: of many, only some are told.
        reasons.sort_by_key(|(_, reason)| match *reason {
            "claimRef" => 1,
            "storageClassName" => 2,
            _ => 0,
        });
        reasons
    };
    let candidates = volumes
        .iter()
        .filter(|volume| asked.is_none_or(|asked| volume.metadata.name.as_deref() == Some(asked)))
        .count();
    let has_match = reasons().len() < candidates;
    let is_listed = view.is_listed_everywhere(Kind::PersistentVolume);
    let no_volume = || (!has_match && is_listed).then(|| Trouble::NoVolume(reasons()));
    let class_name = volumes::class_of_claim(claim);
    let class = match class_name {
        Some("") => return no_volume(),
        Some(name) => view.get::<StorageClass>("", name),
        None => {
            let is_default = |class: &&StorageClass| {
                let annotations = class.metadata.annotations.as_ref();
                let is = |key: &str| {
                    annotations
                        .and_then(|all| all.get(key))
                        .is_some_and(|value| value == "true")
                };
                is("storageclass.kubernetes.io/is-default-class")
                    || is("storageclass.beta.kubernetes.io/is-default-class")
            };
            match view.all::<StorageClass>().find(is_default) {
                Some(class) => Lookup::Found(class),
                None if view.is_listed_everywhere(Kind::StorageClass) => Lookup::Absent,
                None => Lookup::Unknown,
            }
        }
    };
    match class {
        Lookup::Unknown => trouble_by_events(pod, claim_name, view)
            .filter(|trouble| matches!(trouble, Trouble::NoClass { .. })),
        // A name that only volumes share is a class as well.
        Lookup::Absent if has_match && is_listed => None,
        Lookup::Absent => {
            let shared = class_name.is_some_and(|name| {
                volumes
                    .iter()
                    .any(|volume| volumes::class_of_volume(volume) == name)
            });
            if shared {
                return no_volume();
            }
            Some(Trouble::NoClass {
                class: class_name.map(str::to_owned),
            })
        }
        Lookup::Found(class) if class.provisioner == "kubernetes.io/no-provisioner" => {
            if asked.is_some() || !has_match {
                no_volume()
            } else {
                None
            }
        }
        Lookup::Found(class) => {
            let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
            (!has_match && (!waits || selected_node(claim).is_some())).then_some(Trouble::BeingMade)
        }
    }
}

/// What the latest event says that is wrong with a claim which is not known itself, or whose class is
/// not.
///
/// Source: `pkg/controller/volume/persistentvolume/pv_controller.go`.
fn trouble_by_events(pod: &Pod, claim: &str, view: &View<'_>) -> Option<Trouble> {
    let events = view.events_about(&reference(pod, claim), "");
    let events = events.filter(|event| event.reason.starts_with("Provisioning"));
    let latest = events.max_by_key(|event| (event.last, event.warning))?;
    let class = (latest.message.split_once("storageclass.storage.k8s.io \""))
        .and_then(|(_, rest)| rest.split_once("\" not found"));
    match class {
        Some((class, _)) => Some(Trouble::NoClass {
            class: Some(class.to_owned()),
        }),
        None => (latest.reason == "ProvisioningFailed").then_some(Trouble::BeingMade),
    }
}

/// What is to make the volume of a claim.
pub(super) fn provisioner<'a>(pod: &Pod, name: &str, view: &View<'a>) -> Option<&'a str> {
    let claim = view
        .get::<PersistentVolumeClaim>(&pod.namespace, name)
        .found()?;
    let annotations = claim.metadata.annotations.as_ref();
    let asked = annotations.and_then(|all| all.get("volume.kubernetes.io/storage-provisioner"));
    let class = || {
        view.get::<StorageClass>("", volumes::class_of_claim(claim)?)
            .found()
    };
    asked
        .or_else(|| class().map(|class| &class.provisioner))
        .map(String::as_str)
}

/// The node that the scheduler chose for a claim that waits for its first pod.
///
/// Source: `AnnSelectedNode` in `staging/src/k8s.io/component-helpers/storage/volume`.
fn selected_node(claim: &PersistentVolumeClaim) -> Option<&str> {
    let annotations = claim.metadata.annotations.as_ref()?;
    annotations
        .get("volume.kubernetes.io/selected-node")
        .map(String::as_str)
}

/// Whether the scheduler chose a node for one of the pod's claims, whose volume is to be made there.
pub(super) fn has_node(pod: &Pod, name: &str, view: &View<'_>) -> bool {
    let claim = view
        .get::<PersistentVolumeClaim>(&pod.namespace, name)
        .found();
    claim.is_some_and(|claim| selected_node(claim).is_some())
}

/// Whether one of the pod's claims keeps it from every node.
pub(super) fn hold_up(pod: &Pod, view: &View<'_>) -> bool {
    of(pod)
        .iter()
        .any(|claim| trouble(pod, &claim.name, view).is_some())
}

/// Whether one of the pod's claims is not known, or the volume that it is bound to.
pub(super) fn are_unknown(pod: &Pod, view: &View<'_>) -> bool {
    of(pod).iter().any(|claim| {
        let claim = match view.get::<PersistentVolumeClaim>(&pod.namespace, &claim.name) {
            Lookup::Found(claim) => claim,
            other => return matches!(other, Lookup::Unknown),
        };
        let bound = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref());
        bound.is_some_and(|bound| view.get::<PersistentVolume>("", bound) == Lookup::Unknown)
    })
}

/// The volume that a claim is bound to.
pub(super) fn volume_of<'a>(
    pod: &Pod,
    name: &str,
    view: &View<'a>,
) -> Option<&'a PersistentVolume> {
    let claim = view
        .get::<PersistentVolumeClaim>(&pod.namespace, name)
        .found()?;
    let volume = claim.spec.as_ref()?.volume_name.as_deref()?;
    view.get::<PersistentVolume>("", volume).found()
}

/// Whether all volumes that the pod's claims are bound to can be used on a node, and for those
/// that wait for a node to be bound to a volume that exists, there is one that can.
pub(super) fn admit(pod: &Pod, node: &NodeShape, view: &View<'_>) -> bool {
    of(pod)
        .iter()
        .all(|claim| match volume_of(pod, &claim.name, view) {
            Some(volume) => volumes::is_usable_on(volume, node),
            None => waiting(pod, &claim.name, view).is_none_or(|mut volumes| {
                volumes.any(|volume| volumes::is_usable_on(volume, node))
            }),
        })
}

/// The volumes that a claim could be bound to once its pod has a node; none if the claim does not
/// wait for that, or its volume is made then.
pub(super) fn waiting<'a>(
    pod: &Pod,
    name: &str,
    view: &View<'a>,
) -> Option<impl Iterator<Item = &'a PersistentVolume>> {
    let claim = view
        .get::<PersistentVolumeClaim>(&pod.namespace, name)
        .found()?;
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let class = view
        .get::<StorageClass>("", volumes::class_of_claim(claim)?)
        .found()?;
    let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
        && class.provisioner == "kubernetes.io/no-provisioner";
    if phase != Some("Pending") || !waits || !view.is_listed_everywhere(Kind::PersistentVolume) {
        return None;
    }
    let volumes = view.all::<PersistentVolume>();
    Some(volumes.filter(move |volume| volumes::mismatch(volume, claim).is_none()))
}

/// Since when there are both a claim and, where it names one that exists, its class.
pub(super) fn made(pod: &Pod, name: &str, view: &View<'_>) -> Option<Timestamp> {
    let claim = view
        .get::<PersistentVolumeClaim>(&pod.namespace, name)
        .found()?;
    let class = volumes::class_of_claim(claim);
    let class = class.and_then(|class| view.get::<StorageClass>("", class).found());
    let made = |metadata: &ObjectMeta| metadata.creation_timestamp.as_ref().map(|time| time.0);
    made(&claim.metadata).max(class.and_then(|class| made(&class.metadata)))
}

/// When the volume was made that a claim is bound to, or the last of those that it could be.
pub(super) fn provided(pod: &Pod, name: &str, view: &View<'_>) -> Option<Timestamp> {
    let claim = view
        .get::<PersistentVolumeClaim>(&pod.namespace, name)
        .found()?;
    let bound = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_ref());
    let volumes = view.all::<PersistentVolume>().filter(|volume| {
        let is_bound = bound.is_some() && volume.metadata.name.as_ref() == bound;
        is_bound || volumes::mismatch(volume, claim).is_none()
    });
    let made = volumes.filter_map(|volume| volume.metadata.creation_timestamp.as_ref());
    made.map(|time| time.0).max()
}

/// Refers to a claim of the pod's namespace.
pub(super) fn reference(pod: &Pod, name: &str) -> Reference {
    Reference::namespaced("PersistentVolumeClaim", &pod.namespace, name)
}

/// Where to change a field of a claim's specification: the claim, or the template of the
/// StatefulSet that it was made from.
pub(super) fn culprit(pod: &Pod, name: &str, field: &str, view: &View<'_>) -> Culprit {
    let place = stateful_set(pod, view).and_then(|(set, templates)| {
        let made = |template: &str| name == format!("{template}-{}", pod.name);
        Some((set, place_of(templates, made)?))
    });
    match place {
        Some((set, place)) => set.field(format!("spec.volumeClaimTemplates[{place}].{field}")),
        None => reference(pod, name).field(field),
    }
}

/// The path, from the root of a pod's workload, of the volume that has this place in the pod. In
/// the pods of a StatefulSet the volumes of its claim templates come before those of its template.
///
/// Source: `pkg/controller/statefulset/stateful_set_utils.go` (`updateStorage`).
pub(super) fn field_of_volume(pod: &Pod, index: usize, view: &View<'_>) -> String {
    let in_pod = || view.workload(pod).field(&format!("spec.volumes[{index}]"));
    let volumes = pod.spec.volumes.as_deref().unwrap_or_default();
    let Some((volume, (_, templates))) = volumes.get(index).zip(stateful_set(pod, view)) else {
        return in_pod();
    };
    match place_of(templates, |template| template == volume.name) {
        Some(place) => format!("spec.volumeClaimTemplates[{place}]"),
        None => {
            let before = volumes.iter().take(index);
            let claims =
                before.filter(|other| place_of(templates, |name| name == other.name).is_some());
            let place = index - claims.count();
            view.workload(pod).field(&format!("spec.volumes[{place}]"))
        }
    }
}

/// The StatefulSet of a pod, with its claim templates.
fn stateful_set<'a>(
    pod: &Pod,
    view: &View<'a>,
) -> Option<(Reference, &'a [PersistentVolumeClaim])> {
    let owner = pod
        .controller
        .as_ref()
        .filter(|owner| owner.kind == "StatefulSet")?;
    let set = view
        .get::<StatefulSet>(&pod.namespace, &owner.name)
        .found()?;
    let templates = set
        .spec
        .volume_claim_templates
        .as_deref()
        .unwrap_or_default();
    let reference = Reference::namespaced("StatefulSet", &pod.namespace, &owner.name);
    Some((reference, templates))
}

fn place_of(templates: &[PersistentVolumeClaim], is_it: impl Fn(&str) -> bool) -> Option<usize> {
    templates
        .iter()
        .position(|template| is_it(template.metadata.name.as_deref().unwrap_or_default()))
}
