//! How many pods may be disrupted at one time.
//!
//! Source: `pkg/controller/disruption/disruption.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agenda::Work;
use crate::clock::{after, seconds};
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::{Change, Key};
use crate::value::{
    at, condition, condition_true, controller, deleting, entries, int, name, set, text, uid,
};
use crate::world::{World, put_condition};

const COMPONENT: &str = "controllermanager";
/// How long a pod that was evicted may take to be deleted.
const DELETION: Duration = Duration::from_secs(120);

/// Sees what budgets are about.
pub(crate) fn notice(world: &mut World, change: &Change) {
    match change.kind {
        Kind::PodDisruptionBudget => world.soon(Work::Budget(Key::of(&change.object))),
        Kind::Pod => {
            let home = text(&change.object, "/metadata/namespace");
            let budgets: Vec<Key> = world
                .store
                .list(Kind::PodDisruptionBudget, Some(home))
                .filter(|budget| {
                    Labels::of(at(budget, "/spec/selector")).is_some_and(|labels| {
                        labels.select(&change.object)
                            || change.before.as_ref().is_some_and(|pod| labels.select(pod))
                    })
                })
                .map(|budget| Key::of(budget))
                .collect();
            for budget in budgets {
                world.soon(Work::Budget(budget));
            }
            if spared(&change.object).is_some() {
                world.later(DELETION, Work::Spared(Key::of(&change.object)));
            }
        }
        _ => {}
    }
}

/// Counts what a budget is about.
pub(crate) fn sync(world: &mut World, key: &Key) {
    let Some(budget) = world.store.get(Kind::PodDisruptionBudget, key).cloned() else {
        return;
    };
    let labels = Labels::of(at(&budget, "/spec/selector"));
    let pods: Vec<Arc<Value>> = world
        .store
        .list(Kind::Pod, Some(&key.namespace))
        .filter(|pod| labels.as_ref().is_some_and(|labels| labels.select(pod)))
        .cloned()
        .collect();
    if pods.is_empty() {
        let message = "No matching pods found";
        world.event(COMPONENT, "", &budget, "Normal", "NoPods", message);
    }
    let (expected, desired) = match wanted(world, &budget, &pods) {
        Ok(wanted) => wanted,
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            let reason = "CalculateExpectedPodCountFailed";
            world.event(COMPONENT, "", &budget, "Warning", reason, &message);
            let seen = at(&budget, "/status/observedGeneration").clone();
            let mut failed = json!({ "type": "DisruptionAllowed", "status": "False",
                "reason": "SyncFailed", "message": why });
            if !seen.is_null() {
                set(&mut failed, "/observedGeneration", seen);
            }
            let now = seconds(world.now());
            world.modify(Kind::PodDisruptionBudget, key, |budget| {
                set(budget, "/status/disruptionsAllowed", 0);
                put_condition(budget, failed, &now);
            });
            return;
        }
    };
    let now = world.now();
    let mut disrupted = serde_json::Map::new();
    let mut again: Option<Timestamp> = None;
    for (pod, time) in entries(&budget, "/status/disruptedPods") {
        let Some(end) = time
            .as_str()
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map(|time| after(time, DELETION))
        else {
            continue;
        };
        let Some(object) = pods.iter().find(|object| name(object) == pod) else {
            continue;
        };
        if deleting(object) {
            continue;
        }
        if end < now {
            let home = &key.namespace;
            let message =
                format!("Pod was expected by PDB {home}/{home} to be deleted but it wasn't");
            let object = object.clone();
            world.event(COMPONENT, "", &object, "Warning", "NotDeleted", &message);
            continue;
        }
        again = Some(again.map_or(end, |again| again.min(end)));
        disrupted.insert(pod.clone(), time.clone());
    }
    let healthy = pods.iter().filter(|pod| {
        !deleting(pod) && !disrupted.contains_key(name(pod)) && condition_true(pod, "Ready")
    });
    let healthy = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let generation = int(&budget, "/metadata/generation").unwrap_or(0);
    let (status, reason) = match allowed {
        0 => ("False", "InsufficientPods"),
        _ => ("True", "SufficientPods"),
    };
    let verdict = json!({ "type": "DisruptionAllowed", "status": status, "reason": reason,
        "message": "", "observedGeneration": generation });
    let time = seconds(now);
    world.modify(Kind::PodDisruptionBudget, key, |budget| {
        set(budget, "/status/currentHealthy", healthy);
        set(budget, "/status/desiredHealthy", desired);
        set(budget, "/status/expectedPods", expected);
        set(budget, "/status/disruptionsAllowed", allowed);
        set(budget, "/status/observedGeneration", generation);
        if disrupted.is_empty() {
            crate::value::remove(budget, "/status/disruptedPods");
        } else {
            set(budget, "/status/disruptedPods", disrupted);
        }
        put_condition(budget, verdict, &time);
    });
    if let Some(again) = again {
        let again = after(again, Duration::from_millis(1));
        world.agenda.at(again, Work::Budget(key.clone()));
    }
}

/// Since when a pod that was to go is still there, and does not go.
fn spared(pod: &Value) -> Option<Timestamp> {
    let target = condition(pod, "DisruptionTarget")?;
    let stays = text(target, "/status") == "True"
        && !deleting(pod)
        && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let time = text(target, "/lastTransitionTime");
    stays.then(|| time.parse().ok()).flatten()
}

/// Tells of a pod that was to go and did not that it stays.
pub(crate) fn spare(world: &mut World, key: &Key) {
    let Some(since) = world.store.get(Kind::Pod, key).and_then(|pod| spared(pod)) else {
        return;
    };
    let time = after(since, DELETION);
    if time > world.now() {
        world.agenda.at(time, Work::Spared(key.clone()));
        return;
    }
    let stays = json!({ "type": "DisruptionTarget", "status": "False" });
    world.set_condition(Kind::Pod, key, stays);
}

/// How many pods are expected, and how many of them are to be healthy.
fn wanted(world: &mut World, budget: &Value, pods: &[Arc<Value>]) -> Result<(i64, i64), String> {
    let least = at(budget, "/spec/minAvailable");
    if let Some(least) = least.as_i64() {
        return Ok((i64::try_from(pods.len()).unwrap_or(i64::MAX), least));
    }
    let most = at(budget, "/spec/maxUnavailable");
    if least.is_null() && most.is_null() {
        return Ok((0, 0));
    }
    let expected = scale(world, budget, pods)?;
    Ok(match most {
        Value::Null => (expected, part(least, expected)?),
        most => (expected, (expected - part(most, expected)?).max(0)),
    })
}

/// A number, or a percentage, rounded up.
fn part(amount: &Value, of: i64) -> Result<i64, String> {
    if let Some(number) = amount.as_i64() {
        return Ok(number);
    }
    let percent = amount.as_str().and_then(|text| text.strip_suffix('%'));
    let percent: Option<i64> = percent.and_then(|number| number.parse().ok());
    match percent {
        Some(percent) => Ok((percent.saturating_mul(of) + 99) / 100),
        None => Err(format!("invalid value for IntOrString: {amount}")),
    }
}

/// How many pods the controllers of some pods want together.
fn scale(world: &mut World, budget: &Value, pods: &[Arc<Value>]) -> Result<i64, String> {
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    let mut unmanaged: Vec<&str> = Vec::new();
    for pod in pods {
        let home = text(pod, "/metadata/namespace");
        let Some(owner) = controller(pod) else {
            unmanaged.push(name(pod));
            continue;
        };
        let mut owner = find(world, home, owner);
        // A ReplicaSet of a Deployment wants what the Deployment does.
        if let Some(set) = &owner
            && let Some(above) = controller(set)
        {
            owner = find(world, home, above).or(owner);
        }
        let Some(owner) = owner else {
            return Err(format!("found no controllers for pod {:?}", name(pod)));
        };
        let kind = Kind::named(text(&owner, "/apiVersion"), text(&owner, "/kind"));
        if !kind.is_some_and(|kind| kind.facts().scale) {
            let resource = kind.map_or_else(String::new, Kind::resource);
            return Err(format!(
                "{resource} does not implement the scale subresource"
            ));
        }
        scales.insert(
            uid(&owner).to_owned(),
            int(&owner, "/spec/replicas").unwrap_or(1),
        );
    }
    if !unmanaged.is_empty() {
        let labels: Vec<String> = entries(budget, "/spec/selector/matchLabels")
            .map(|(key, value)| format!("{key}:{}", value.as_str().unwrap_or("")))
            .collect();
        let message = format!(
            "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{{MatchLabels:\
             map[string]string{{{},}},MatchExpressions:[]LabelSelectorRequirement{{}},}}) were \
             found to be unmanaged. As a result, the status of the PDB cannot be calculated \
             correctly, which may result in undefined behavior. To account for these pods please \
             set \".spec.minAvailable\" field of the PDB to an integer value.",
            labels.join(",").replace(':', ": ")
        );
        world.event(COMPONENT, "", budget, "Warning", "UnmanagedPods", &message);
    }
    Ok(scales.values().sum())
}

fn find(world: &World, home: &str, owner: &Value) -> Option<Arc<Value>> {
    let kind = Kind::named(text(owner, "/apiVersion"), text(owner, "/kind"))?;
    world
        .find(kind, home, text(owner, "/name"))
        .filter(|found| uid(found) == text(owner, "/uid"))
}
