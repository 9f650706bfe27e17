//! StatefulSets: pods with names and claims of their own, one after the other.
//!
//! Source: `pkg/controller/statefulset/{stateful_set_control,stateful_pod_control,stateful_set_utils}.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pods::{self, count, int_or, is_available, is_ready};
use super::revisions;
use crate::agenda::Work;
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{at, deleting, int, list, name, namespace, set, text};
use crate::world::{Deletion, World};

const COMPONENT: &str = "statefulset-controller";

/// Moves a StatefulSet one step towards what it asks for.
pub(super) fn sync(world: &mut World, key: &Key) -> Result<(), Refusal> {
    let outcome = step(world, key);
    let Some(object) = world.store.get(Kind::StatefulSet, key) else {
        return outcome;
    };
    let now = world.now();
    let patience = int_or(object, "/spec/minReadySeconds", 0);
    let uid = crate::value::uid(object).to_owned();
    let owned: Vec<Arc<Value>> = world
        .store
        .dependents(&uid)
        .iter()
        .filter_map(|(kind, key)| world.store.get(*kind, key).cloned())
        .collect();
    if let Some(time) = pods::next_available(&owned, patience, now) {
        world
            .agenda
            .at(time, Work::Sync(Kind::StatefulSet, key.clone()));
    }
    outcome
}

/// A StatefulSet and the two templates that its pods may have.
struct Templates {
    object: Arc<Value>,
    current: Arc<Value>,
    update: Arc<Value>,
}

fn step(world: &mut World, key: &Key) -> Result<(), Refusal> {
    let Some(object) = world.store.get(Kind::StatefulSet, key).cloned() else {
        return Ok(());
    };
    let Some(selector) = Labels::of(at(&object, "/spec/selector")) else {
        return Ok(());
    };
    if selector.is_empty() {
        return Ok(());
    }
    let mut owned = pods::claim(world, Kind::Pod, Kind::StatefulSet, &object, &selector);
    owned.retain(|pod| ordinal(&object, pod).is_some());
    let revisions = revisions::sync(world, Kind::StatefulSet, &object, &selector)?;
    let Some(update) = revisions.last().cloned() else {
        return Ok(());
    };
    let said = text(&object, "/status/currentRevision");
    let current = revisions.iter().find(|revision| name(revision) == said);
    let templates = Templates {
        current: current.cloned().unwrap_or_else(|| update.clone()),
        update,
        object,
    };
    let outcome = if deleting(&templates.object) {
        Ok(())
    } else {
        manage(world, &templates, &owned)
    };
    write_status(world, key, &templates);
    let live = [name(&templates.current), name(&templates.update)];
    revisions::clean(
        world,
        Kind::StatefulSet,
        &templates.object,
        &revisions,
        &owned,
        &live,
    );
    outcome
}

/// The number at the end of the name of one of the set's pods.
fn ordinal(object: &Value, pod: &Value) -> Option<i64> {
    name(pod)
        .strip_prefix(name(object))?
        .strip_prefix('-')?
        .parse()
        .ok()
}

fn running_and_ready(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running" && is_ready(pod)
}

fn revision_of(pod: &Value) -> &str {
    text(pod, "/metadata/labels/controller-revision-hash")
}

fn manage(world: &mut World, templates: &Templates, owned: &[Arc<Value>]) -> Result<(), Refusal> {
    let object = &templates.object;
    let first = int_or(object, "/spec/ordinals/start", 0);
    let wanted = int_or(object, "/spec/replicas", 1);
    let patience = int_or(object, "/spec/minReadySeconds", 0);
    let ordered = text(object, "/spec/podManagementPolicy") != "Parallel";
    let now = world.now();
    let mut by_ordinal: BTreeMap<i64, Arc<Value>> = BTreeMap::new();
    for pod in owned {
        if let Some(ordinal) = ordinal(object, pod) {
            by_ordinal.insert(ordinal, pod.clone());
        }
    }
    let healthy = |pod: &Value| running_and_ready(pod) && !deleting(pod);
    for place in first..first.saturating_add(wanted) {
        let Some(pod) = by_ordinal.get(&place) else {
            make(world, templates, place)?;
            if ordered {
                return Ok(());
            }
            continue;
        };
        if pods::is_finished(pod) {
            if !deleting(pod) {
                let (kind, reason, what) = match text(pod, "/status/phase") {
                    "Failed" => ("Warning", "RecreatingFailedPod", "failed"),
                    _ => ("Normal", "RecreatingTerminatedPod", "terminated"),
                };
                let told = format!(
                    "StatefulSet {}/{} is recreating {what} Pod {}",
                    namespace(object),
                    name(object),
                    name(pod)
                );
                world.event(COMPONENT, "", object, kind, reason, &told);
                remove(world, object, pod);
            }
            if ordered {
                return Ok(());
            }
            continue;
        }
        if text(pod, "/status/phase") == "Pending" {
            claims(world, object, pod)?;
        }
        let settled = running_and_ready(pod) && is_available(pod, patience, now);
        if ordered && (deleting(pod) || !settled) {
            return Ok(());
        }
    }
    let outside = |place: i64| place < first || place >= first.saturating_add(wanted);
    let first_unhealthy = by_ordinal
        .iter()
        .find(|(_, pod)| !healthy(pod))
        .map(|(place, _)| *place);
    for (place, pod) in by_ordinal
        .iter()
        .rev()
        .filter(|(place, _)| outside(**place))
    {
        if deleting(pod) {
            if ordered {
                return Ok(());
            }
            continue;
        }
        if ordered && !healthy(pod) && first_unhealthy != Some(*place) {
            return Ok(());
        }
        remove(world, object, pod);
        if ordered {
            return Ok(());
        }
    }
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ok(());
    }
    let partition = int_or(object, "/spec/updateStrategy/rollingUpdate/partition", 0);
    for (place, pod) in by_ordinal
        .iter()
        .rev()
        .filter(|(place, _)| !outside(**place))
    {
        if *place < first + partition {
            break;
        }
        if revision_of(pod) != name(&templates.update) && !deleting(pod) {
            remove(world, object, pod);
            return Ok(());
        }
        if !healthy(pod) {
            return Ok(());
        }
    }
    Ok(())
}

fn remove(world: &mut World, object: &Value, pod: &Value) {
    if world
        .delete(Kind::Pod, &Key::of(pod), &Deletion::default())
        .is_ok()
    {
        let told = format!(
            "delete Pod {} in StatefulSet {} successful",
            name(pod),
            name(object)
        );
        world.event(COMPONENT, "", object, "Normal", "SuccessfulDelete", &told);
    }
}

fn make(world: &mut World, templates: &Templates, place: i64) -> Result<(), Refusal> {
    let object = &templates.object;
    let strategy = at(object, "/spec/updateStrategy");
    // What a rolling update is not to reach is still made of the old template.
    let spared = int_or(strategy, "/rollingUpdate/partition", 0);
    let first = int_or(object, "/spec/ordinals/start", 0);
    let revision = if text(strategy, "/type") != "OnDelete" && place < first + spared {
        &templates.current
    } else {
        &templates.update
    };
    let template = revisions::template(revision);
    let called = format!("{}-{place}", name(object));
    let mut pod = pods::from_template(&template, Kind::StatefulSet, object);
    crate::value::remove(&mut pod, "/metadata/generateName");
    set(&mut pod, "/metadata/name", called.as_str());
    for (label, value) in [
        ("statefulset.kubernetes.io~1pod-name", called.as_str()),
        ("apps.kubernetes.io~1pod-index", &place.to_string()),
        (revisions::HASH, name(revision)),
    ] {
        set(&mut pod, &format!("/metadata/labels/{label}"), value);
    }
    set(&mut pod, "/spec/hostname", called.as_str());
    let service = text(object, "/spec/serviceName");
    if !service.is_empty() {
        set(&mut pod, "/spec/subdomain", service);
    }
    let mut volumes: Vec<Value> = Vec::new();
    for claim in list(object, "/spec/volumeClaimTemplates") {
        volumes.push(json!({ "name": name(claim), "persistentVolumeClaim":
            { "claimName": format!("{}-{called}", name(claim)), "readOnly": false } }));
    }
    let claimed: Vec<Value> = volumes
        .iter()
        .map(|volume| at(volume, "/name").clone())
        .collect();
    let others = list(&pod, "/spec/volumes").iter();
    volumes.extend(
        others
            .filter(|volume| !claimed.contains(at(volume, "/name")))
            .cloned(),
    );
    if !volumes.is_empty() {
        set(&mut pod, "/spec/volumes", volumes);
    }
    let outcome = claims(world, object, &pod).and_then(|()| {
        world
            .create(Kind::Pod, namespace(object), pod, false)
            .map(drop)
    });
    tell(
        world,
        object,
        "create",
        &format!("Pod {called} in StatefulSet {}", name(object)),
        "successful",
        &outcome,
    );
    outcome
}

fn tell(
    world: &mut World,
    object: &Value,
    verb: &str,
    what: &str,
    done: &str,
    outcome: &Result<(), Refusal>,
) {
    match outcome {
        Ok(()) => {
            let told = format!("{verb} {what} {done}");
            world.event(COMPONENT, "", object, "Normal", "SuccessfulCreate", &told);
        }
        Err(refusal) if pods::ends_with_namespace(refusal) => {}
        Err(refusal) => {
            let told = format!("{verb} {what} failed error: {refusal}");
            world.event(COMPONENT, "", object, "Warning", "FailedCreate", &told);
        }
    }
}

/// Makes the claims of a pod that are not there yet.
fn claims(world: &mut World, object: &Value, pod: &Value) -> Result<(), Refusal> {
    for template in list(object, "/spec/volumeClaimTemplates") {
        let called = format!("{}-{}", name(template), name(pod));
        let there = world.find(Kind::PersistentVolumeClaim, namespace(object), &called);
        if there.is_some() {
            continue;
        }
        let mut claim = template.clone();
        set(&mut claim, "/metadata/name", called.as_str());
        set(&mut claim, "/metadata/namespace", namespace(object));
        let labels = crate::value::entries(object, "/spec/selector/matchLabels");
        let labels: Vec<(String, Value)> = labels
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for (key, value) in labels {
            let path = format!(
                "/metadata/labels/{}",
                key.replace('~', "~0").replace('/', "~1")
            );
            set(&mut claim, &path, value);
        }
        let made = world
            .create(Kind::PersistentVolumeClaim, namespace(object), claim, false)
            .map(drop);
        let what = format!(
            "Claim {called} Pod {} in StatefulSet {}",
            name(pod),
            name(object)
        );
        tell(world, object, "create", &what, "success", &made);
        made.map_err(|mut refusal| {
            refusal.message = format!("failed to create PVC {called}: {refusal}");
            refusal
        })?;
    }
    Ok(())
}

fn write_status(world: &mut World, key: &Key, templates: &Templates) {
    let object = &templates.object;
    let now = world.now();
    let owned: Vec<Arc<Value>> = world
        .store
        .dependents(crate::value::uid(object))
        .iter()
        .filter(|(kind, _)| *kind == Kind::Pod)
        .filter_map(|(kind, key)| world.store.get(*kind, key).cloned())
        .filter(|pod| ordinal(object, pod).is_some())
        .collect();
    let patience = int_or(object, "/spec/minReadySeconds", 0);
    let (current, update) = (name(&templates.current), name(&templates.update));
    let of =
        |revision: &str| pods::number(&owned, |pod| !deleting(pod) && revision_of(pod) == revision);
    let replicas = pods::number(&owned, |_| true);
    let ready = pods::number(&owned, running_and_ready);
    let updated = of(update);
    // A rolling update ends when all that is there is new and ready.
    let rolled = text(object, "/spec/updateStrategy/type") == "RollingUpdate"
        && updated == replicas
        && ready == replicas
        && updated == int_or(object, "/spec/replicas", 1);
    let current = if rolled { update } else { current };
    world.modify(Kind::StatefulSet, key, |object| {
        let mut status = at(object, "/status").clone();
        set(&mut status, "/replicas", replicas);
        set(
            &mut status,
            "/availableReplicas",
            pods::number(&owned, |pod| {
                running_and_ready(pod) && is_available(pod, patience, now)
            }),
        );
        count(&mut status, "readyReplicas", ready);
        count(&mut status, "currentReplicas", of(current));
        count(&mut status, "updatedReplicas", updated);
        set(&mut status, "/currentRevision", current);
        set(&mut status, "/updateRevision", update);
        crate::value::default(&mut status, "/collisionCount", 0);
        if let Some(generation) = int(object, "/metadata/generation") {
            set(&mut status, "/observedGeneration", generation);
        }
        set(object, "/status", status);
    });
}
