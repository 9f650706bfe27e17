//! Claims find their volumes, and volumes outlive their claims or go with them.
//!
//! Source: `pkg/controller/volume/persistentvolume/pv_controller.go`,
//! `staging/src/k8s.io/component-helpers/storage/volume/pv_helpers.go`,
//! `pkg/controller/volume/{pvc,pv}protection/`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agenda::Work;
use crate::events;
use crate::kinds::Kind;
use crate::quantity::{self, Nanos};
use crate::scheduler::{NodeFacts, selects};
use crate::selector::Labels;
use crate::store::{Change, Key, Store, What};
use crate::value::{at, deleting, list, name, namespace, remove, set, text, uid};
use crate::world::{Deletion, World};

const COMPONENT: &str = "persistentvolume-controller";
/// How often every claim and volume is looked at again: the controller's
/// `--pvclaimbinder-sync-period`.
const RESYNC: i64 = 15;
const BOUND: &str = "/metadata/annotations/pv.kubernetes.io~1bind-completed";
const BY_CONTROLLER: &str = "/metadata/annotations/pv.kubernetes.io~1bound-by-controller";
/// Keeps a claim while a pod uses it.
pub(crate) const CLAIM_IN_USE: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume while it is bound.
pub(crate) const VOLUME_IN_USE: &str = "kubernetes.io/pv-protection";

/// The class of a claim or a volume.
pub(crate) fn class_of(object: &Value) -> &str {
    match text(
        object,
        "/metadata/annotations/volume.beta.kubernetes.io~1storage-class",
    ) {
        "" => text(object, "/spec/storageClassName"),
        class => class,
    }
}

/// Whether a claim is bound for good.
pub(crate) fn bound(claim: &Value) -> bool {
    !text(claim, "/spec/volumeName").is_empty() && !at(claim, BOUND).is_null()
}

/// Whether a claim waits until a pod that uses it is scheduled.
pub(crate) fn delayed(store: &Store, claim: &Value) -> bool {
    store
        .get(Kind::StorageClass, &Key::new("", class_of(claim)))
        .is_some_and(|class| text(class, "/volumeBindingMode") == "WaitForFirstConsumer")
}

/// Who makes volumes of a class, if anybody does.
pub(crate) fn provisioner(class: &Value) -> Option<&str> {
    let name = text(class, "/provisioner");
    (!name.is_empty() && name != "kubernetes.io/no-provisioner").then_some(name)
}

/// How much a claim asks for.
pub(crate) fn size(claim: &Value) -> Nanos {
    quantity::of(at(claim, "/spec/resources/requests/storage")).unwrap_or(0)
}

fn is_of(volume: &Value, claim: &Value) -> bool {
    let reference = at(volume, "/spec/claimRef");
    let by_uid = text(reference, "/uid");
    text(reference, "/name") == name(claim)
        && text(reference, "/namespace") == namespace(claim)
        && (by_uid.is_empty() || by_uid == uid(claim))
}

/// The smallest volume that does for a claim, on a node where one is given. What waits for its
/// first consumer is bound on a node alone.
pub(crate) fn best(
    store: &Store,
    claim: &Value,
    node: Option<&NodeFacts>,
    taken: &BTreeSet<String>,
) -> Option<Arc<Value>> {
    let wanted = size(claim);
    let labels = Labels::of(at(claim, "/spec/selector"));
    let waits = node.is_none() && delayed(store, claim);
    let mut smallest: Option<(Nanos, &Arc<Value>)> = None;
    for volume in store.list(Kind::PersistentVolume, None) {
        let reserved = !at(volume, "/spec/claimRef").is_null();
        let capacity = quantity::of(at(volume, "/spec/capacity/storage")).unwrap_or(0);
        let mode = |object: &Value| match text(object, "/spec/volumeMode") {
            "" => "Filesystem".to_owned(),
            mode => mode.to_owned(),
        };
        let offered = list(volume, "/spec/accessModes");
        let modes = list(claim, "/spec/accessModes");
        if taken.contains(uid(volume))
            || reserved && !is_of(volume, claim)
            || capacity < wanted
            || mode(volume) != mode(claim)
            || deleting(volume)
            || !modes.iter().all(|mode| offered.contains(mode))
        {
            continue;
        }
        let needed = at(volume, "/spec/nodeAffinity/required");
        let reached = needed.is_null() || node.is_none_or(|node| selects(needed, node));
        if reserved {
            return reached.then(|| volume.clone());
        }
        if waits
            || text(volume, "/status/phase") != "Available"
            || labels.as_ref().is_some_and(|labels| !labels.select(volume))
            || class_of(volume) != class_of(claim)
            || !reached
        {
            continue;
        }
        if smallest.is_none_or(|(least, _)| capacity < least) {
            smallest = Some((capacity, volume));
        }
    }
    smallest.map(|(_, volume)| volume.clone())
}

/// Reserves a volume for a claim: the rest of the binding follows.
pub(crate) fn promise(world: &mut World, claim: &Key, volume: &str) {
    let Some(claim) = world.store.get(Kind::PersistentVolumeClaim, claim).cloned() else {
        return;
    };
    let mut reference = events::reference(&claim);
    remove(&mut reference, "/fieldPath");
    world.modify(Kind::PersistentVolume, &Key::new("", volume), |volume| {
        if at(volume, "/spec/claimRef").is_null() {
            set(volume, BY_CONTROLLER, "yes");
        }
        if text(volume, "/spec/claimRef/uid") != uid(&claim) {
            set(volume, "/spec/claimRef", reference);
        }
    });
}

/// Asks for what a change leads to.
pub(crate) fn notice(world: &mut World, change: &Change) {
    let object = &change.object;
    match (change.kind, change.what) {
        (Kind::PersistentVolumeClaim, What::Deleted) => {
            let volume = text(object, "/spec/volumeName");
            if !volume.is_empty() {
                world.soon(Work::Volume(volume.to_owned()));
            }
        }
        (Kind::PersistentVolumeClaim, _) => world.soon(Work::Claim(Key::of(object))),
        (Kind::PersistentVolume, What::Deleted) => {
            let reference = at(object, "/spec/claimRef");
            if !reference.is_null() {
                let claim = Key::new(text(reference, "/namespace"), text(reference, "/name"));
                world.soon(Work::Claim(claim));
            }
        }
        (Kind::PersistentVolume, _) => world.soon(Work::Volume(name(object).to_owned())),
        (Kind::Pod, What::Added) => {
            for volume in list(object, "/spec/volumes") {
                let template = at(volume, "/ephemeral/volumeClaimTemplate");
                if !template.is_null() {
                    claim_for(world, object, text(volume, "/name"), template);
                }
            }
        }
        (Kind::Pod, _) => {
            let ended = change.what == What::Deleted
                || matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
            for volume in list(object, "/spec/volumes").iter().filter(|_| ended) {
                let claim = text(volume, "/persistentVolumeClaim/claimName");
                if !claim.is_empty() {
                    world.soon(Work::Claim(Key::new(namespace(object), claim)));
                }
            }
        }
        _ => {}
    }
}

/// Makes the claim of a volume that lives and dies with its pod.
///
/// Source: `pkg/controller/volume/ephemeral/controller.go`.
fn claim_for(world: &mut World, pod: &Value, volume: &str, template: &Value) {
    let mut claim = json!({
        "metadata": at(template, "/metadata"),
        "spec": at(template, "/spec"),
    });
    set(
        &mut claim,
        "/metadata/name",
        format!("{}-{volume}", name(pod)),
    );
    let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": name(pod), "uid": uid(pod),
        "controller": true, "blockOwnerDeletion": true }]);
    set(&mut claim, "/metadata/ownerReferences", owner);
    // One that is there already is another's, or this one's: the scheduler tells.
    let _made = world.create(Kind::PersistentVolumeClaim, namespace(pod), claim, false);
}

/// Looks at a claim: binds it, or tells why not.
pub(crate) fn sync_claim(world: &mut World, key: &Key) {
    let Some(claim) = world.store.get(Kind::PersistentVolumeClaim, key).cloned() else {
        return;
    };
    if deleting(&claim) {
        if !in_use(world, key) {
            release(world, Kind::PersistentVolumeClaim, key, CLAIM_IN_USE);
        }
        return;
    }
    let volume = text(&claim, "/spec/volumeName");
    let place = Key::new("", volume);
    let found = world.store.get(Kind::PersistentVolume, &place).cloned();
    if bound(&claim) || !at(&claim, BOUND).is_null() {
        let lost = match &found {
            _ if volume.is_empty() => Some((
                "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
            )),
            None => Some((
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            )),
            Some(found) => {
                let of = text(found, "/spec/claimRef/uid");
                (!of.is_empty() && of != uid(&claim)).then_some((
                    "ClaimMisbound",
                    "Two claims are bound to the same volume, this one is bound incorrectly",
                ))
            }
        };
        match (lost, found) {
            (Some((reason, message)), _) if text(&claim, "/status/phase") != "Lost" => {
                world.modify(Kind::PersistentVolumeClaim, key, |claim| {
                    set(claim, "/status", json!({ "phase": "Lost" }));
                });
                world.event(COMPONENT, "", &claim, "Warning", reason, message);
            }
            (None, Some(found)) => bind(world, &claim, &found),
            _ => {}
        }
        return;
    }
    if volume.is_empty() {
        match best(&world.store, &claim, None, &BTreeSet::new()) {
            Some(volume) => bind(world, &claim, &volume),
            None => unbound(world, &claim),
        }
    } else if let Some(found) = found
        && (at(&found, "/spec/claimRef").is_null() || is_of(&found, &claim))
    {
        bind(world, &claim, &found);
    } else {
        look_again(world, key);
    }
}

/// When all claims are next looked at again.
fn look_again(world: &mut World, key: &Key) {
    let second = world.now().as_second().div_euclid(RESYNC) * RESYNC + RESYNC;
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    world.agenda.at(time, Work::Claim(key.clone()));
}

/// Tells why a claim has no volume yet.
fn unbound(world: &mut World, claim: &Value) {
    let key = Key::of(claim);
    look_again(world, &key);
    let class_name = class_of(claim).to_owned();
    let selected = "/metadata/annotations/volume.kubernetes.io~1selected-node";
    if delayed(&world.store, claim) && at(claim, selected).is_null() {
        let pods: Vec<String> = world
            .store
            .list(Kind::Pod, Some(&key.namespace))
            .filter(|pod| text(pod, "/spec/nodeName").is_empty() && uses(pod, &key.name))
            .map(|pod| name(pod).to_owned())
            .collect();
        let (reason, message) = match pods.as_slice() {
            [] => (
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding".to_owned(),
            ),
            [pod] => (
                "WaitForPodScheduled",
                format!("waiting for pod {pod} to be scheduled"),
            ),
            pods => (
                "WaitForPodScheduled",
                format!("waiting for pods {} to be scheduled", pods.join(",")),
            ),
        };
        world.event(COMPONENT, "", claim, "Normal", reason, &message);
        return;
    }
    if class_name.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        world.event(COMPONENT, "", claim, "Normal", "FailedBinding", message);
        return;
    }
    let class = Key::new("", &class_name);
    let Some(class) = world.store.get(Kind::StorageClass, &class).cloned() else {
        let message = format!("storageclass.storage.k8s.io {class_name:?} not found");
        world.event(
            COMPONENT,
            "",
            claim,
            "Warning",
            "ProvisioningFailed",
            &message,
        );
        return;
    };
    let maker = text(&class, "/provisioner");
    if maker.starts_with("kubernetes.io/") {
        let message = format!("no volume plugin matched name: {maker}");
        world.event(
            COMPONENT,
            "",
            claim,
            "Warning",
            "ProvisioningFailed",
            &message,
        );
        return;
    }
    world.modify(Kind::PersistentVolumeClaim, &key, |claim| {
        for path in ["volume.beta.kubernetes.io", "volume.kubernetes.io"] {
            set(
                claim,
                &format!("/metadata/annotations/{path}~1storage-provisioner"),
                maker,
            );
        }
    });
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{maker}' or \
         manually by the system administrator. If volume creation is delayed, please verify that \
         the provisioner is running and correctly registered."
    );
    world.event(
        COMPONENT,
        "",
        claim,
        "Normal",
        "ExternalProvisioning",
        &message,
    );
}

fn bind(world: &mut World, claim: &Value, volume: &Value) {
    let (key, place) = (Key::of(claim), Key::of(volume));
    promise(world, &key, name(volume));
    phase(world, &place, "Bound");
    let by_user = text(claim, "/spec/volumeName") == name(volume);
    world.modify(Kind::PersistentVolumeClaim, &key, |claim| {
        set(claim, "/spec/volumeName", name(volume));
        if !by_user {
            set(claim, BY_CONTROLLER, "yes");
        }
        set(claim, BOUND, "yes");
        set(claim, "/status/phase", "Bound");
        set(
            claim,
            "/status/accessModes",
            at(volume, "/spec/accessModes").clone(),
        );
        set(
            claim,
            "/status/capacity",
            at(volume, "/spec/capacity").clone(),
        );
    });
}

fn phase(world: &mut World, volume: &Key, phase: &str) {
    let now = crate::clock::seconds(world.now());
    world.modify(Kind::PersistentVolume, volume, |volume| {
        if text(volume, "/status/phase") != phase {
            set(volume, "/status/phase", phase);
            set(volume, "/status/lastPhaseTransitionTime", now);
        }
    });
}

/// Looks at a volume: whose it is, and what becomes of it once that claim is gone.
pub(crate) fn sync_volume(world: &mut World, name: &str) {
    let place = Key::new("", name);
    let Some(volume) = world.store.get(Kind::PersistentVolume, &place).cloned() else {
        return;
    };
    if deleting(&volume) && text(&volume, "/status/phase") != "Bound" {
        release(world, Kind::PersistentVolume, &place, VOLUME_IN_USE);
        return;
    }
    let reference = at(&volume, "/spec/claimRef");
    if text(reference, "/uid").is_empty() {
        phase(world, &place, "Available");
        return;
    }
    let key = Key::new(text(reference, "/namespace"), text(reference, "/name"));
    let claim = world
        .store
        .get(Kind::PersistentVolumeClaim, &key)
        .filter(|claim| uid(claim) == text(reference, "/uid"))
        .cloned();
    match claim {
        Some(claim) if text(&claim, "/spec/volumeName").is_empty() => {
            world.soon(Work::Claim(key));
        }
        Some(claim) if text(&claim, "/spec/volumeName") == name => phase(world, &place, "Bound"),
        // It is bound elsewhere: what was reserved for it is free again.
        Some(_) => {
            world.modify(Kind::PersistentVolume, &place, |volume| {
                if remove(volume, BY_CONTROLLER).is_some() {
                    remove(volume, "/spec/claimRef");
                }
            });
        }
        None => reclaim(world, &volume),
    }
}

/// What becomes of a volume whose claim is gone.
fn reclaim(world: &mut World, volume: &Value) {
    let place = Key::of(volume);
    if !matches!(text(volume, "/status/phase"), "Released" | "Failed") {
        phase(world, &place, "Released");
    }
    if text(volume, "/spec/persistentVolumeReclaimPolicy") != "Delete"
        || text(volume, "/status/phase") == "Failed"
        || !at(volume, "/spec/csi").is_null()
    {
        return;
    }
    let path = text(volume, "/spec/hostPath/path");
    if path.starts_with("/tmp/") {
        // Gone already is as good as deleted.
        let _gone = world.delete(Kind::PersistentVolume, &place, &Deletion::default());
        return;
    }
    let message = match path {
        "" => format!(
            "error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched",
            name(volume)
        ),
        path => format!("host_path deleter only supports /tmp/.+ but received provided {path}"),
    };
    world.modify(Kind::PersistentVolume, &place, |volume| {
        set(volume, "/status/phase", "Failed");
        set(volume, "/status/message", message.as_str());
    });
    world.event(
        COMPONENT,
        "",
        volume,
        "Warning",
        "VolumeFailedDelete",
        &message,
    );
}

fn uses(pod: &Value, claim: &str) -> bool {
    list(pod, "/spec/volumes").iter().any(|volume| {
        text(volume, "/persistentVolumeClaim/claimName") == claim
            || !at(volume, "/ephemeral").is_null()
                && format!("{}-{}", name(pod), text(volume, "/name")) == claim
    })
}

/// Whether a pod on a node uses a claim.
fn in_use(world: &World, claim: &Key) -> bool {
    world
        .store
        .list(Kind::Pod, Some(&claim.namespace))
        .any(|pod| {
            !text(pod, "/spec/nodeName").is_empty()
                && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
                && uses(pod, &claim.name)
        })
}

fn release(world: &mut World, kind: Kind, key: &Key, finalizer: &str) {
    world.modify(kind, key, |object| {
        let mut left = list(object, "/metadata/finalizers").to_vec();
        left.retain(|present| present != finalizer);
        set(object, "/metadata/finalizers", left);
    });
}
