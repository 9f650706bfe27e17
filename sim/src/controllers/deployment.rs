//! Deployments: one set of pods is replaced by the next.
//!
//! Source: `pkg/controller/deployment/{sync,rolling,recreate,progress}.go`, `util/deployment_util.go`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::pods::{self, count, int_or, share};
use crate::agenda::Work;
use crate::clock::{after, seconds, since};
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{
    at, condition, deleting, entries, int, is_true, list, name, remove, set, text, uid,
};
use crate::world::{Deletion, World};

const COMPONENT: &str = "deployment-controller";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";
const HISTORY: &str = "/metadata/annotations/deployment.kubernetes.io~1revision-history";
const DESIRED: &str = "/metadata/annotations/deployment.kubernetes.io~1desired-replicas";
const MAX: &str = "/metadata/annotations/deployment.kubernetes.io~1max-replicas";

/// The ReplicaSets of a Deployment, oldest first.
struct Sets {
    /// The one of the present template.
    new: Option<Arc<Value>>,
    old: Vec<Arc<Value>>,
}

impl Sets {
    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    fn replicas(&self) -> i64 {
        self.all().map(|set| replicas(set)).sum()
    }
}

/// Moves a Deployment one step towards what it asks for.
pub(super) fn sync(world: &mut World, key: &Key) -> Result<(), Refusal> {
    let Some(deployment) = world.store.get(Kind::Deployment, key).cloned() else {
        return Ok(());
    };
    let Some(selector) = Labels::of(at(&deployment, "/spec/selector")) else {
        return Ok(());
    };
    if selector.is_empty() {
        return Ok(());
    }
    let mut owned = pods::claim(
        world,
        Kind::ReplicaSet,
        Kind::Deployment,
        &deployment,
        &selector,
    );
    owned.sort_by_key(|set| {
        (
            text(set, "/metadata/creationTimestamp").to_owned(),
            revision(set),
            Key::of(set),
        )
    });
    if deleting(&deployment) {
        let sets = divide(&deployment, owned);
        write_status(world, key, &sets, false);
        return Ok(());
    }
    let paused = is_true(&deployment, "/spec/paused");
    pause_conditions(world, key, paused);
    let wanted = int_or(&deployment, "/spec/replicas", 1);
    let resized = owned.iter().any(|set| {
        replicas(set) > 0
            && text(set, DESIRED)
                .parse::<i64>()
                .is_ok_and(|said| said != wanted)
    });
    if paused || resized {
        let sets = revised(world, key, owned, false)?;
        scale(world, key, &sets);
        let sets = again(world, &sets);
        write_status(world, key, &sets, false);
        return Ok(());
    }
    if text(&deployment, "/spec/strategy/type") == "Recreate" {
        recreate(world, key, owned)
    } else {
        roll(world, key, owned)
    }
}

fn replicas(set: &Value) -> i64 {
    int_or(set, "/spec/replicas", 0)
}

fn available(set: &Value) -> i64 {
    int_or(set, "/status/availableReplicas", 0)
}

fn revision(object: &Value) -> i64 {
    text(object, REVISION).parse().unwrap_or(0)
}

/// Tells the set of the present template from the others.
fn divide(deployment: &Value, owned: Vec<Arc<Value>>) -> Sets {
    let wanted = at(deployment, "/spec/template");
    let is_new = |set: &Value| {
        let mut template = at(set, "/spec/template").clone();
        remove(&mut template, &format!("/metadata/labels/{HASH}"));
        template == *wanted
    };
    let place = owned.iter().position(|set| is_new(set));
    let mut old = owned;
    let new = place.map(|place| old.remove(place));
    Sets { new, old }
}

/// The sets as they are now.
fn again(world: &World, sets: &Sets) -> Sets {
    let fresh = |set: &Arc<Value>| {
        let found = world.store.get(Kind::ReplicaSet, &Key::of(set));
        found.cloned().unwrap_or_else(|| set.clone())
    };
    Sets {
        new: sets.new.as_ref().map(fresh),
        old: sets.old.iter().map(fresh).collect(),
    }
}

/// The most pods that may be beyond what is asked for, and the most that may be missing.
fn slack(deployment: &Value) -> (i64, i64) {
    if text(deployment, "/spec/strategy/type") == "Recreate" {
        return (0, 0);
    }
    let wanted = int_or(deployment, "/spec/replicas", 1);
    let rolling = at(deployment, "/spec/strategy/rollingUpdate");
    let surge = share(at(rolling, "/maxSurge"), wanted, true);
    let mut unavailable = share(at(rolling, "/maxUnavailable"), wanted, false);
    if surge == 0 && unavailable == 0 {
        // One of them must be, or nothing would ever move.
        unavailable = 1;
    }
    (surge, unavailable.min(wanted))
}

/// The sets, with the new one's revision and annotations up to date, and made where asked for.
fn revised(
    world: &mut World,
    key: &Key,
    owned: Vec<Arc<Value>>,
    make: bool,
) -> Result<Sets, Refusal> {
    let deployment = world.get(Kind::Deployment, key)?;
    let mut sets = divide(&deployment, owned);
    let next = sets.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
    let wanted = int_or(&deployment, "/spec/replicas", 1);
    let most = wanted + slack(&deployment).0;
    if let Some(new) = &sets.new {
        let patience = int_or(&deployment, "/spec/minReadySeconds", 0);
        let annotated = world.modify(Kind::ReplicaSet, &Key::of(new), |set| {
            annotate(set, &deployment, next, wanted, most);
            count_spec(set, patience);
        });
        sets.new = annotated.or(sets.new);
        let told = sets.new.as_ref().map(|set| text(set, REVISION).to_owned());
        let found = format!(
            "Found new replica set {:?}",
            name(sets.new.as_deref().unwrap_or(&Value::Null))
        );
        let now = seconds(world.now());
        world.modify(Kind::Deployment, key, |deployment| {
            if let Some(told) = told {
                set(deployment, REVISION, told);
            }
            if has_deadline(deployment) && condition(deployment, "Progressing").is_none() {
                put(
                    deployment,
                    "Progressing",
                    "True",
                    "FoundNewReplicaSet",
                    &found,
                    &now,
                );
            }
        });
        return Ok(sets);
    }
    if !make {
        return Ok(sets);
    }
    let template = at(&deployment, "/spec/template");
    let hash = pods::hash(template, int_or(&deployment, "/status/collisionCount", 0));
    let called = format!("{}-{hash}", name(&deployment));
    let mut new = json!({
        "metadata": {
            "name": called,
            "labels": at(template, "/metadata/labels"),
            "ownerReferences": [pods::owner_reference(Kind::Deployment, &deployment)],
        },
        "spec": { "selector": at(&deployment, "/spec/selector"), "template": template },
    });
    for labels in [
        "/metadata/labels",
        "/spec/selector/matchLabels",
        "/spec/template/metadata/labels",
    ] {
        set(&mut new, &format!("{labels}/{HASH}"), hash.as_str());
    }
    count_spec(&mut new, int_or(&deployment, "/spec/minReadySeconds", 0));
    let size = new_size(&deployment, &sets, &new);
    set(&mut new, "/spec/replicas", size);
    annotate(&mut new, &deployment, next, wanted, most);
    let made = world.create(Kind::ReplicaSet, &key.namespace, new, false);
    let now = seconds(world.now());
    match made {
        Ok(made) => {
            if size > 0 {
                let told = format!("Scaled up replica set {called} from 0 to {size}");
                world.event(
                    COMPONENT,
                    "",
                    &deployment,
                    "Normal",
                    "ScalingReplicaSet",
                    &told,
                );
            }
            let told = format!("Created new replica set {called:?}");
            world.modify(Kind::Deployment, key, |deployment| {
                set(deployment, REVISION, next.to_string());
                if has_deadline(deployment) {
                    put(
                        deployment,
                        "Progressing",
                        "True",
                        "NewReplicaSetCreated",
                        &told,
                        &now,
                    );
                }
            });
            sets.new = Some(made);
            Ok(sets)
        }
        Err(refusal) if pods::ends_with_namespace(&refusal) => Err(refusal),
        Err(refusal) if refusal.reason == "AlreadyExists" => {
            world.modify(Kind::Deployment, key, |deployment| {
                let collisions = int_or(deployment, "/status/collisionCount", 0) + 1;
                set(deployment, "/status/collisionCount", collisions);
            });
            Err(refusal)
        }
        Err(refusal) => {
            let told = format!("Failed to create new replica set {called:?}: {refusal}");
            world.modify(Kind::Deployment, key, |deployment| {
                if has_deadline(deployment) {
                    put(
                        deployment,
                        "Progressing",
                        "False",
                        "ReplicaSetCreateError",
                        &told,
                        &now,
                    );
                }
            });
            world.event(
                COMPONENT,
                "",
                &deployment,
                "Warning",
                "ReplicaSetCreateError",
                &told,
            );
            Err(refusal)
        }
    }
}

fn count_spec(set: &mut Value, patience: i64) {
    if let Some(spec) = set.pointer_mut("/spec") {
        count(spec, "minReadySeconds", patience);
    }
}

/// Writes the Deployment's annotations and what it asks for into those of its new set.
fn annotate(new: &mut Value, deployment: &Value, next: i64, wanted: i64, most: i64) {
    const OWN: [&str; 6] = [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        "deployment.kubernetes.io/revision-history",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deprecated.deployment.rollback.revision",
    ];
    let given: Vec<(String, Value)> = entries(deployment, "/metadata/annotations")
        .filter(|(key, _)| !OWN.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in given {
        let path = format!(
            "/metadata/annotations/{}",
            key.replace('~', "~0").replace('/', "~1")
        );
        set(new, &path, value);
    }
    let before = text(new, REVISION).to_owned();
    if before.parse::<i64>().unwrap_or(0) < next {
        set(new, REVISION, next.to_string());
        if !before.is_empty() {
            let history = match text(new, HISTORY) {
                "" => before,
                history => format!("{history},{before}"),
            };
            set(new, HISTORY, history);
        }
    }
    set(new, DESIRED, wanted.to_string());
    set(new, MAX, most.to_string());
}

/// How many pods the new set may have now.
fn new_size(deployment: &Value, sets: &Sets, new: &Value) -> i64 {
    let wanted = int_or(deployment, "/spec/replicas", 1);
    if text(deployment, "/spec/strategy/type") == "Recreate" {
        return wanted;
    }
    let most = wanted + slack(deployment).0;
    let present = sets.replicas();
    let own = replicas(new);
    if present >= most {
        return own;
    }
    own + (most - present).min(wanted - own)
}

/// Gives a set another number of pods, and tells of it.
fn resize(world: &mut World, deployment: &Value, one: &Value, size: i64) -> bool {
    let before = replicas(one);
    let wanted = int_or(deployment, "/spec/replicas", 1);
    let most = wanted + slack(deployment).0;
    world.modify(Kind::ReplicaSet, &Key::of(one), |one| {
        set(one, "/spec/replicas", size);
        set(one, DESIRED, wanted.to_string());
        set(one, MAX, most.to_string());
    });
    if before == size {
        return false;
    }
    let direction = if before < size { "up" } else { "down" };
    let told = format!(
        "Scaled {direction} replica set {} from {before} to {size}",
        name(one)
    );
    world.event(
        COMPONENT,
        "",
        deployment,
        "Normal",
        "ScalingReplicaSet",
        &told,
    );
    true
}

fn roll(world: &mut World, key: &Key, owned: Vec<Arc<Value>>) -> Result<(), Refusal> {
    let sets = revised(world, key, owned, true)?;
    let deployment = world.get(Kind::Deployment, key)?;
    let wanted = int_or(&deployment, "/spec/replicas", 1);
    if let Some(new) = &sets.new {
        let size = match replicas(new) {
            own if own > wanted => wanted,
            own if own < wanted => new_size(&deployment, &sets, new),
            own => own,
        };
        if size != replicas(new) && resize(world, &deployment, new, size) {
            write_status(world, key, &again(world, &sets), true);
            return Ok(());
        }
    }
    if shrink(world, &deployment, &sets) {
        write_status(world, key, &again(world, &sets), true);
        return Ok(());
    }
    if complete(&deployment) {
        clean(world, &deployment, &sets.old);
    }
    write_status(world, key, &sets, true);
    Ok(())
}

/// Takes pods from the old sets, first those that serve nobody.
fn shrink(world: &mut World, deployment: &Value, sets: &Sets) -> bool {
    if sets.old.iter().all(|set| replicas(set) == 0) {
        return false;
    }
    let wanted = int_or(deployment, "/spec/replicas", 1);
    let least = wanted - slack(deployment).1;
    let waits = sets
        .new
        .as_ref()
        .map_or(0, |new| replicas(new) - available(new));
    let room = sets.replicas() - least - waits;
    if room <= 0 {
        return false;
    }
    let mut moved = 0;
    let mut left: Vec<Arc<Value>> = sets.old.clone();
    for old in &mut left {
        let broken = (replicas(old) - available(old)).min(room - moved);
        if broken <= 0 {
            continue;
        }
        resize(world, deployment, old, replicas(old) - broken);
        moved += broken;
        if let Some(fresh) = world.store.get(Kind::ReplicaSet, &Key::of(old)) {
            *old = fresh.clone();
        }
    }
    let serving: i64 = sets.all().map(|set| available(set)).sum();
    let mut spare = serving - least;
    for old in &left {
        let fewer = replicas(old).min(spare);
        if fewer <= 0 {
            continue;
        }
        resize(world, deployment, old, replicas(old) - fewer);
        spare -= fewer;
        moved += fewer;
    }
    moved > 0
}

fn recreate(world: &mut World, key: &Key, owned: Vec<Arc<Value>>) -> Result<(), Refusal> {
    let sets = revised(world, key, owned, false)?;
    let deployment = world.get(Kind::Deployment, key)?;
    let mut shrunk = false;
    for old in &sets.old {
        if replicas(old) > 0 {
            shrunk |= resize(world, &deployment, old, 0);
        }
    }
    let running = sets.old.iter().any(|old| {
        world.store.dependents(uid(old)).iter().any(|(kind, key)| {
            let pod = (*kind == Kind::Pod)
                .then(|| world.store.get(*kind, key))
                .flatten();
            pod.is_some_and(|pod| !pods::is_finished(pod))
        })
    });
    if shrunk || running {
        write_status(world, key, &again(world, &sets), true);
        return Ok(());
    }
    let sets = match sets.new {
        Some(_) => sets,
        None => revised(world, key, sets.old, true)?,
    };
    let wanted = int_or(&deployment, "/spec/replicas", 1);
    if let Some(new) = &sets.new
        && replicas(new) != wanted
    {
        resize(world, &deployment, new, wanted);
    }
    if complete(&deployment) {
        clean(world, &deployment, &sets.old);
    }
    write_status(world, key, &again(world, &sets), true);
    Ok(())
}

/// Follows a change of the number of pods while nothing else moves.
fn scale(world: &mut World, key: &Key, sets: &Sets) {
    let Some(deployment) = world.store.get(Kind::Deployment, key).cloned() else {
        return;
    };
    let wanted = int_or(&deployment, "/spec/replicas", 1);
    let active: Vec<&Arc<Value>> = sets.all().filter(|set| replicas(set) > 0).collect();
    let latest = sets.new.as_ref().or_else(|| sets.old.last());
    let only = match active.as_slice() {
        [] => latest,
        [one] => Some(*one),
        _ => None,
    };
    if let Some(one) = only {
        resize(world, &deployment, one, wanted);
        return;
    }
    let saturated = sets.new.as_ref().is_some_and(|new| {
        replicas(new) == wanted
            && text(new, DESIRED).parse() == Ok(wanted)
            && available(new) == wanted
    });
    if saturated {
        for old in sets.old.iter().filter(|old| replicas(old) > 0) {
            resize(world, &deployment, old, 0);
        }
        return;
    }
    if text(&deployment, "/spec/strategy/type") == "Recreate" {
        return;
    }
    // In proportion to their sizes, the rest to the largest.
    let total = sets.replicas();
    let allowed = if wanted > 0 {
        wanted + slack(&deployment).0
    } else {
        0
    };
    let mut missing = allowed - total;
    let mut ordered = active;
    ordered.sort_by_key(|set| std::cmp::Reverse((replicas(set), missing < 0)));
    let mut sizes: Vec<i64> = Vec::new();
    for set in &ordered {
        let before = text(set, MAX).parse::<i64>().unwrap_or(total).max(1);
        let part = (replicas(set) * allowed * 2 + before) / (before * 2) - replicas(set);
        let part = if missing > 0 {
            part.clamp(0, missing)
        } else {
            part.clamp(missing, 0)
        };
        missing -= part;
        sizes.push(replicas(set) + part);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + missing).max(0);
    }
    for (set, size) in ordered.into_iter().zip(sizes) {
        resize(world, &deployment, set, size);
    }
}

/// Deletes the oldest sets without pods beyond the number that is kept.
fn clean(world: &mut World, deployment: &Value, old: &[Arc<Value>]) {
    let kept = usize::try_from(int_or(deployment, "/spec/revisionHistoryLimit", 10)).unwrap_or(0);
    let mut idle: Vec<&Arc<Value>> = old.iter().filter(|set| !deleting(set)).collect();
    idle.sort_by_key(|set| revision(set));
    let surplus = idle.len().saturating_sub(kept);
    for set in idle.into_iter().take(surplus) {
        let seen = int(set, "/status/observedGeneration") >= int(set, "/metadata/generation");
        if int_or(set, "/status/replicas", 0) == 0 && replicas(set) == 0 && seen {
            // Gone already is as good as deleted.
            let _gone = world.delete(Kind::ReplicaSet, &Key::of(set), &Deletion::default());
        }
    }
}

fn has_deadline(deployment: &Value) -> bool {
    int(deployment, "/spec/progressDeadlineSeconds").is_some_and(|most| most < i64::from(i32::MAX))
}

fn complete(deployment: &Value) -> bool {
    let wanted = int_or(deployment, "/spec/replicas", 1);
    let status = |field: &str| int_or(deployment, &format!("/status/{field}"), 0);
    status("updatedReplicas") == wanted
        && status("replicas") == wanted
        && status("availableReplicas") == wanted
        && status("observedGeneration") >= int_or(deployment, "/metadata/generation", 0)
}

/// Says in the conditions that a rollout is paused, or goes on.
fn pause_conditions(world: &mut World, key: &Key, paused: bool) {
    let now = seconds(world.now());
    world.modify(Kind::Deployment, key, |deployment| {
        let Some(present) = condition(deployment, "Progressing") else {
            return;
        };
        let said = text(present, "/reason");
        if !has_deadline(deployment) || said == "ProgressDeadlineExceeded" {
            return;
        }
        match (paused, said == "DeploymentPaused") {
            (true, false) => put(
                deployment,
                "Progressing",
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused",
                &now,
            ),
            (false, true) => put(
                deployment,
                "Progressing",
                "Unknown",
                "DeploymentResumed",
                "Deployment is resumed",
                &now,
            ),
            _ => {}
        }
    });
}

/// Puts a condition at the end, unless it says so already. Its transition is that of its status.
fn put(deployment: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    let mut moved = now.to_owned();
    if let Some(present) = condition(deployment, kind)
        && text(present, "/status") == status
    {
        if text(present, "/reason") == reason {
            return;
        }
        text(present, "/lastTransitionTime").clone_into(&mut moved);
    }
    let mut conditions = list(deployment, "/status/conditions").to_vec();
    conditions.retain(|present| text(present, "/type") != kind);
    conditions.push(
        json!({ "type": kind, "status": status, "lastUpdateTime": now,
        "lastTransitionTime": moved, "reason": reason, "message": message }),
    );
    set(deployment, "/status/conditions", conditions);
}

fn drop_condition(deployment: &mut Value, kind: &str) {
    let mut conditions = list(deployment, "/status/conditions").to_vec();
    conditions.retain(|present| text(present, "/type") != kind);
    set(deployment, "/status/conditions", conditions);
}

/// Writes what there is of a Deployment, and, where asked for, how its rollout goes.
fn write_status(world: &mut World, key: &Key, sets: &Sets, rollout: bool) {
    let Some(before) = world.store.get(Kind::Deployment, key).cloned() else {
        return;
    };
    let time = world.now();
    let now = seconds(time);
    let sum = |field: &str| -> i64 {
        sets.all()
            .map(|set| int_or(set, &format!("/status/{field}"), 0))
            .sum()
    };
    let (total, serving) = (sum("replicas"), sum("availableReplicas"));
    let updated = sets
        .new
        .as_ref()
        .map_or(0, |new| int_or(new, "/status/replicas", 0));
    let mut deployment = (*before).clone();
    let mut status = at(&deployment, "/status").clone();
    for (field, number) in [
        (
            "observedGeneration",
            int_or(&before, "/metadata/generation", 0),
        ),
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", serving),
        ("unavailableReplicas", (total - serving).max(0)),
    ] {
        count(&mut status, field, number);
    }
    set(&mut deployment, "/status", status);
    let wanted = int_or(&before, "/spec/replicas", 1);
    if serving >= wanted - slack(&before).1 {
        put(
            &mut deployment,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            &now,
        );
    } else {
        put(
            &mut deployment,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            &now,
        );
    }
    if rollout {
        progress(&before, &mut deployment, sets, time, &now);
        let fails = |set: &Arc<Value>| condition(set, "ReplicaFailure").cloned();
        let failure = sets
            .new
            .as_ref()
            .and_then(fails)
            .or_else(|| sets.all().find_map(fails));
        match failure {
            Some(failure) => put(
                &mut deployment,
                "ReplicaFailure",
                text(&failure, "/status"),
                text(&failure, "/reason"),
                text(&failure, "/message"),
                &now,
            ),
            None => drop_condition(&mut deployment, "ReplicaFailure"),
        }
    }
    let status = at(&deployment, "/status").clone();
    world.modify(Kind::Deployment, key, |present| {
        set(present, "/status", status)
    });
    // When the rollout has taken too long, somebody must look again.
    if rollout && has_deadline(&before) && !complete(&deployment) {
        let deadline = int_or(&before, "/spec/progressDeadlineSeconds", 600).unsigned_abs();
        let last = condition(&deployment, "Progressing")
            .filter(|condition| text(condition, "/reason") != "ProgressDeadlineExceeded")
            .and_then(|condition| pods::time(condition, "/lastUpdateTime"));
        if let Some(last) = last {
            let due = after(last, Duration::from_secs(deadline + 1));
            world.agenda.at(
                due.max(after(time, Duration::from_millis(5))),
                Work::Sync(Kind::Deployment, key.clone()),
            );
        }
    }
}

/// Tells how a rollout goes in its condition.
fn progress(before: &Value, deployment: &mut Value, sets: &Sets, time: jiff::Timestamp, now: &str) {
    if !has_deadline(before) {
        drop_condition(deployment, "Progressing");
        return;
    }
    let present = condition(deployment, "Progressing").cloned();
    let reason = present
        .as_ref()
        .map_or("", |present| text(present, "/reason"));
    let status = |object: &Value, field: &str| int_or(object, &format!("/status/{field}"), 0);
    if status(deployment, "replicas") == status(deployment, "updatedReplicas")
        && reason == "NewReplicaSetAvailable"
    {
        return;
    }
    let who = match &sets.new {
        Some(new) => format!("ReplicaSet {:?}", name(new)),
        None => format!("Deployment {:?}", name(before)),
    };
    let old = |object: &Value| status(object, "replicas") - status(object, "updatedReplicas");
    let grew = |field: &str| status(deployment, field) > status(before, field);
    if complete(deployment) {
        let told = format!("{who} has successfully progressed.");
        put(
            deployment,
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
            &told,
            now,
        );
    } else if grew("updatedReplicas")
        || old(deployment) < old(before)
        || grew("readyReplicas")
        || grew("availableReplicas")
    {
        // The time of the last progress is kept in it, so it is put anew each time.
        let moved = present
            .as_ref()
            .filter(|present| text(present, "/status") == "True")
            .map_or(now, |present| text(present, "/lastTransitionTime"))
            .to_owned();
        drop_condition(deployment, "Progressing");
        let told = format!("{who} is progressing.");
        put(
            deployment,
            "Progressing",
            "True",
            "ReplicaSetUpdated",
            &told,
            now,
        );
        if let Some(last) = crate::value::list_mut(deployment, "/status/conditions")
            .and_then(|conditions| conditions.last_mut())
        {
            set(last, "/lastTransitionTime", moved);
        }
    } else if let Some(present) = &present {
        let deadline = int_or(before, "/spec/progressDeadlineSeconds", 600).unsigned_abs();
        let last = pods::time(present, "/lastUpdateTime").unwrap_or(time);
        let late = since(time, last) > Duration::from_secs(deadline);
        if late
            && !matches!(
                reason,
                "NewReplicaSetAvailable" | "ProgressDeadlineExceeded"
            )
        {
            let told = format!("{who} has timed out progressing.");
            put(
                deployment,
                "Progressing",
                "False",
                "ProgressDeadlineExceeded",
                &told,
                now,
            );
        }
    }
}
