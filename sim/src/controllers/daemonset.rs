//! DaemonSets: one pod on every node that takes it.
//!
//! Source: `pkg/controller/daemon/{daemon_controller,update}.go`, `util/daemonset_util.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pods::{self, count, int_or, is_available, is_ready, share};
use super::revisions;
use crate::agenda::Work;
use crate::clock::{after, since};
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{at, deleting, int, is_true, list, name, namespace, set, text};
use crate::world::World;

const COMPONENT: &str = "daemonset-controller";

/// How long a node's failed pod is left, and the longest that it is when it fails on and on.
const FAILED: Duration = Duration::from_secs(1);
const FAILED_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// Brings a DaemonSet's pods to the nodes that take them.
pub(super) fn sync(world: &mut World, key: &Key) -> Result<(), Refusal> {
    let Some(object) = world.store.get(Kind::DaemonSet, key).cloned() else {
        return Ok(());
    };
    let Some(selector) = Labels::of(at(&object, "/spec/selector")) else {
        return Ok(());
    };
    if selector.is_empty() || deleting(&object) {
        return Ok(());
    }
    let owned = pods::claim(world, Kind::Pod, Kind::DaemonSet, &object, &selector);
    let revisions = revisions::sync(world, Kind::DaemonSet, &object, &selector)?;
    let Some(update) = revisions.last() else {
        return Ok(());
    };
    let hash = revisions::hash_of(Kind::DaemonSet, update).to_owned();
    let outcome = manage(world, &object, &owned, &hash);
    if outcome.is_ok() && text(&object, "/spec/updateStrategy/type") == "RollingUpdate" {
        roll(world, &object, &hash);
    }
    write_status(world, key, &object, &hash);
    revisions::clean(
        world,
        Kind::DaemonSet,
        &object,
        &revisions,
        &owned,
        &[name(update)],
    );
    outcome
}

/// The node that a daemon pod is for.
fn node_of(pod: &Value) -> &str {
    let bound = text(pod, "/spec/nodeName");
    if !bound.is_empty() {
        return bound;
    }
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    list(at(pod, required), "/nodeSelectorTerms")
        .iter()
        .flat_map(|term| list(term, "/matchFields"))
        .find(|field| text(field, "/key") == "metadata.name")
        .map_or("", |field| text(field, "/values/0"))
}

fn by_node(owned: &[Arc<Value>]) -> BTreeMap<String, Vec<Arc<Value>>> {
    let mut all: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for pod in owned {
        all.entry(node_of(pod).to_owned())
            .or_default()
            .push(pod.clone());
    }
    all
}

/// Taints that every daemon pod bears.
fn tolerations(spec: &Value) -> Vec<Value> {
    let mut all = list(spec, "/tolerations").to_vec();
    let mut bears = |key: &str, effect: &str| {
        let one = json!({ "key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
            "effect": effect });
        if !all.contains(&one) {
            all.push(one);
        }
    };
    bears("not-ready", "NoExecute");
    bears("unreachable", "NoExecute");
    for key in [
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
    ] {
        bears(key, "NoSchedule");
    }
    if is_true(spec, "/hostNetwork") {
        bears("network-unavailable", "NoSchedule");
    }
    all
}

/// Whether a node should run a daemon, and whether one that runs there may stay.
fn takes(object: &Value, node: &Value) -> (bool, bool) {
    let spec = at(object, "/spec/template/spec");
    let named = text(spec, "/nodeName");
    if !named.is_empty() && named != name(node) || !selects(spec, node) {
        return (false, false);
    }
    let borne = tolerations(spec);
    let mut run = true;
    let mut stay = true;
    for taint in list(node, "/spec/taints") {
        if borne.iter().any(|toleration| tolerates(toleration, taint)) {
            continue;
        }
        match text(taint, "/effect") {
            "NoExecute" => (run, stay) = (false, false),
            "NoSchedule" => run = false,
            _ => {}
        }
    }
    (run, stay)
}

/// Whether a pod's node selector and required affinity admit a node.
fn selects(spec: &Value, node: &Value) -> bool {
    let labels = at(node, "/metadata/labels");
    if !Labels::of_map(at(spec, "/nodeSelector")).matches(labels) {
        return false;
    }
    let required = at(
        spec,
        "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
    );
    if required.is_null() {
        return true;
    }
    list(required, "/nodeSelectorTerms").iter().any(|term| {
        let expressions = json!({ "matchExpressions": at(term, "/matchExpressions") });
        let fields = json!({ "matchExpressions": at(term, "/matchFields") });
        let place = json!({ "metadata.name": name(node) });
        let fits = |wanted: &Value, of: &Value| {
            Labels::of(wanted).is_some_and(|labels| labels.matches(of))
        };
        !(at(term, "/matchExpressions").is_null() && at(term, "/matchFields").is_null())
            && fits(&expressions, labels)
            && fits(&fields, &place)
    })
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
    (effect.is_empty() || effect == text(taint, "/effect"))
        && (key.is_empty() || key == text(taint, "/key"))
        && (text(toleration, "/operator") == "Exists"
            || text(toleration, "/value") == text(taint, "/value"))
}

fn manage(
    world: &mut World,
    object: &Value,
    owned: &[Arc<Value>],
    hash: &str,
) -> Result<(), Refusal> {
    let placed = by_node(owned);
    let nodes: Vec<Arc<Value>> = world.store.list(Kind::Node, None).cloned().collect();
    let now = world.now();
    let mut missing = Vec::new();
    let mut surplus = Vec::new();
    for node in &nodes {
        let here: &[Arc<Value>] = placed.get(name(node)).map_or(&[], Vec::as_slice);
        let (run, stay) = takes(object, node);
        if run && here.is_empty() {
            missing.push(name(node).to_owned());
        } else if stay {
            let mut kept: Vec<&Arc<Value>> = Vec::new();
            for pod in here.iter().filter(|pod| !deleting(pod)) {
                if text(pod, "/status/phase") == "Failed" {
                    if let Some(time) = failed_until(world, object, pod, now) {
                        let work = Work::Sync(Kind::DaemonSet, Key::of(object));
                        world.agenda.at(time, work);
                        continue;
                    }
                    let told = format!(
                        "Found failed daemon pod {}/{} on node {}, will try to kill it",
                        namespace(pod),
                        name(pod),
                        name(node)
                    );
                    world.event(COMPONENT, "", object, "Warning", "FailedDaemonPod", &told);
                    surplus.push(pod.clone());
                } else if text(pod, "/status/phase") == "Succeeded" {
                    let told = format!(
                        "Found succeeded daemon pod {}/{} on node {}, will try to delete it",
                        namespace(pod),
                        name(pod),
                        name(node)
                    );
                    world.event(COMPONENT, "", object, "Normal", "SucceededDaemonPod", &told);
                    surplus.push(pod.clone());
                } else {
                    kept.push(pod);
                }
            }
            // One is enough: the oldest stays, unless a newer one is to take its place.
            let most = if surge(object) > 0 { 2 } else { 1 };
            kept.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
            surplus.extend(kept.into_iter().skip(most).cloned());
        } else {
            surplus.extend(here.iter().filter(|pod| !deleting(pod)).cloned());
        }
    }
    // Pods that were meant for nodes that are gone.
    for (node, pods) in &placed {
        if !nodes.iter().any(|present| name(present) == node) {
            let waiting = pods
                .iter()
                .filter(|pod| text(pod, "/spec/nodeName").is_empty());
            surplus.extend(waiting.filter(|pod| !deleting(pod)).cloned());
        }
    }
    let mut outcome = Ok(());
    let mut batch = 1;
    let mut left = missing.as_slice();
    while !left.is_empty() && outcome.is_ok() {
        let (these, rest) = left.split_at(batch.min(left.len()));
        for node in these {
            let pod = pod_for(object, node, hash);
            match pods::make(world, COMPONENT, object, pod) {
                Err(refusal) if !pods::ends_with_namespace(&refusal) => outcome = Err(refusal),
                _ => {}
            }
        }
        left = rest;
        batch *= 2;
    }
    for pod in surplus {
        pods::delete(world, COMPONENT, object, &pod);
    }
    outcome
}

/// Until when a node's failed pod is left, if it may not be replaced yet.
fn failed_until(
    world: &mut World,
    object: &Value,
    pod: &Value,
    now: Timestamp,
) -> Option<Timestamp> {
    let node = format!("{}/{}", crate::value::uid(object), node_of(pod));
    let daemons = &mut world.controllers.daemons;
    let wait = match daemons.get(&node) {
        Some((last, wait)) if after(*last, *wait) > now => return Some(after(*last, *wait)),
        Some((last, wait)) if since(now, *last) <= FAILED_AT_MOST * 2 => {
            (*wait * 2).min(FAILED_AT_MOST)
        }
        _ => FAILED,
    };
    daemons.insert(node, (now, wait));
    None
}

fn surge(object: &Value) -> i64 {
    let rolling = at(object, "/spec/updateStrategy/rollingUpdate");
    share(at(rolling, "/maxSurge"), i64::MAX / 200, true)
}

fn pod_for(object: &Value, node: &str, hash: &str) -> Value {
    let mut pod = pods::from_template(at(object, "/spec/template"), Kind::DaemonSet, object);
    let spec = at(&pod, "/spec").clone();
    set(&mut pod, "/spec/tolerations", tolerations(&spec));
    set(
        &mut pod,
        &format!("/metadata/labels/{}", revisions::HASH),
        hash,
    );
    let generation = int_or(object, "/metadata/generation", 1).to_string();
    set(
        &mut pod,
        "/metadata/labels/pod-template-generation",
        generation,
    );
    let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let here = json!([{ "key": "metadata.name", "operator": "In", "values": [node] }]);
    let mut terms = list(at(&pod, path), "/nodeSelectorTerms").to_vec();
    if terms.is_empty() {
        terms.push(json!({}));
    }
    for term in &mut terms {
        set(term, "/matchFields", here.clone());
    }
    set(&mut pod, path, json!({ "nodeSelectorTerms": terms }));
    pod
}

/// Replaces the pods of old templates, as many at a time as may be missing.
fn roll(world: &mut World, object: &Value, hash: &str) {
    let owned = owned(world, object);
    let now = world.now();
    let patience = int_or(object, "/spec/minReadySeconds", 0);
    let nodes: Vec<Arc<Value>> = world.store.list(Kind::Node, None).cloned().collect();
    let placed = by_node(&owned);
    let desired: Vec<&Arc<Value>> = nodes.iter().filter(|node| takes(object, node).0).collect();
    let total = i64::try_from(desired.len()).unwrap_or(0);
    let rolling = at(object, "/spec/updateStrategy/rollingUpdate");
    let mut most = share(at(rolling, "/maxUnavailable"), total, true);
    if most == 0 && surge(object) == 0 {
        most = 1;
    }
    let mut unavailable = 0;
    let mut broken = Vec::new();
    let mut serving = Vec::new();
    for node in desired {
        let here: &[Arc<Value>] = placed.get(name(node)).map_or(&[], Vec::as_slice);
        let live: Vec<&Arc<Value>> = here.iter().filter(|pod| !deleting(pod)).collect();
        let available = live.iter().any(|pod| is_available(pod, patience, now));
        unavailable += i64::from(!available);
        for pod in live {
            if text(pod, "/metadata/labels/controller-revision-hash") == hash {
                continue;
            }
            if is_available(pod, patience, now) {
                serving.push(pod.clone());
            } else {
                broken.push(pod.clone());
            }
        }
    }
    let room = usize::try_from((most - unavailable).max(0)).unwrap_or(0);
    for pod in broken.iter().chain(serving.iter().take(room)) {
        pods::delete(world, COMPONENT, object, pod);
    }
}

fn owned(world: &World, object: &Value) -> Vec<Arc<Value>> {
    let uid = crate::value::uid(object);
    let dependents = world.store.dependents(uid).into_iter();
    dependents
        .filter(|(kind, _)| *kind == Kind::Pod)
        .filter_map(|(kind, key)| world.store.get(kind, &key).cloned())
        .collect()
}

fn write_status(world: &mut World, key: &Key, object: &Value, hash: &str) {
    let now = world.now();
    let patience = int_or(object, "/spec/minReadySeconds", 0);
    let owned = owned(world, object);
    let placed = by_node(&owned);
    let (mut desired, mut current, mut misplaced) = (0, 0, 0);
    let (mut ready, mut available, mut updated) = (0, 0, 0);
    for node in world.store.list(Kind::Node, None) {
        let here: &[Arc<Value>] = placed.get(name(node)).map_or(&[], Vec::as_slice);
        if !takes(object, node).0 {
            misplaced += i64::from(!here.is_empty());
            continue;
        }
        desired += 1;
        let oldest = here
            .iter()
            .min_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
        let Some(pod) = oldest else { continue };
        current += 1;
        let is = |fits: bool| i64::from(fits);
        ready += is(is_ready(pod));
        available += is(is_available(pod, patience, now));
        updated += is(text(pod, "/metadata/labels/controller-revision-hash") == hash);
    }
    world.modify(Kind::DaemonSet, key, |object| {
        let mut status = at(object, "/status").clone();
        for (field, number) in [
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misplaced),
            ("desiredNumberScheduled", desired),
            ("numberReady", ready),
        ] {
            set(&mut status, &format!("/{field}"), number);
        }
        count(&mut status, "updatedNumberScheduled", updated);
        count(&mut status, "numberAvailable", available);
        count(&mut status, "numberUnavailable", desired - available);
        if let Some(generation) = int(object, "/metadata/generation") {
            set(&mut status, "/observedGeneration", generation);
        }
        set(object, "/status", status);
    });
    if let Some(time) = pods::next_available(&owned, patience, now) {
        world
            .agenda
            .at(time, Work::Sync(Kind::DaemonSet, key.clone()));
    }
}
