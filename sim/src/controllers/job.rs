//! Jobs: pods that are to end well so many times.
//!
//! Source: `pkg/controller/job/{job_controller,indexed_job_utils,backoff_utils}.go`,
//! `pkg/controller/ttlafterfinished`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pods::{self, count, int_or, is_active, is_finished, is_ready};
use crate::agenda::Work;
use crate::clock::{after, seconds};
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{
    at, condition_true, controller, deleting, int, is_true, list, name, set, text, uid,
};
use crate::world::{Deletion, World};

const COMPONENT: &str = "job-controller";
const TRACKED: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "/metadata/annotations/batch.kubernetes.io~1job-completion-index";

/// How long a Job waits after a failed pod, and at most after many.
const FAILED: Duration = Duration::from_secs(10);
const FAILED_AT_MOST: Duration = Duration::from_secs(600);

/// How soon the API is tried again that refused a pod, and at most.
pub(super) const REFUSED: Duration = Duration::from_secs(1);
pub(super) const REFUSED_AT_MOST: Duration = Duration::from_secs(60);

/// A verdict on a whole Job: its reason, and in words.
type Judgement = (&'static str, &'static str);

/// Brings a Job one step further.
pub(super) fn sync(world: &mut World, key: &Key) -> Result<(), Refusal> {
    let Some(job) = world.store.get(Kind::Job, key).cloned() else {
        let orphans: Vec<Arc<Value>> = world
            .store
            .list(Kind::Pod, Some(&key.namespace))
            .filter(|pod| {
                controller(pod).is_some_and(|owner| {
                    text(owner, "/kind") == "Job" && text(owner, "/name") == key.name
                })
            })
            .cloned()
            .collect();
        for pod in orphans {
            untrack(world, &pod);
        }
        return Ok(());
    };
    if deleting(&job) {
        for pod in pods_of(world, &job) {
            untrack(world, &pod);
        }
        return Ok(());
    }
    if finished(&job) {
        for pod in pods_of(world, &job) {
            untrack(world, &pod);
        }
        expire(world, &job);
        return Ok(());
    }
    step(world, &job)
}

/// Whether a Job is over, well or not.
pub(crate) fn finished(job: &Value) -> bool {
    condition_true(job, "Complete") || condition_true(job, "Failed")
}

/// When a Job was over.
pub(crate) fn finished_at(job: &Value) -> Option<Timestamp> {
    ["Complete", "Failed"]
        .iter()
        .filter(|kind| condition_true(job, kind))
        .find_map(|kind| crate::value::condition(job, kind))
        .and_then(|condition| pods::time(condition, "/lastTransitionTime"))
}

/// Deletes a finished Job when its time is up.
fn expire(world: &mut World, job: &Value) {
    let Some(kept) = int(job, "/spec/ttlSecondsAfterFinished") else {
        return;
    };
    let Some(ended) = finished_at(job) else {
        return;
    };
    let due = after(ended, Duration::from_secs(kept.max(0).unsigned_abs()));
    if due > world.now() {
        world.agenda.at(due, Work::Sync(Kind::Job, Key::of(job)));
        return;
    }
    let how = Deletion {
        propagation: Some("Foreground".to_owned()),
        ..Deletion::default()
    };
    // Gone already is as good as deleted.
    let _gone = world.delete(Kind::Job, &Key::of(job), &how);
}

fn pods_of(world: &World, job: &Value) -> Vec<Arc<Value>> {
    let dependents = world.store.dependents(uid(job)).into_iter();
    dependents
        .filter(|(kind, _)| *kind == Kind::Pod)
        .filter_map(|(kind, key)| world.store.get(kind, &key).cloned())
        .collect()
}

fn tracked(pod: &Value) -> bool {
    list(pod, "/metadata/finalizers")
        .iter()
        .any(|finalizer| finalizer == TRACKED)
}

/// Lets a pod go that was counted.
fn untrack(world: &mut World, pod: &Value) {
    if tracked(pod) {
        world.modify(Kind::Pod, &Key::of(pod), |pod| {
            let mut finalizers = list(pod, "/metadata/finalizers").to_vec();
            finalizers.retain(|finalizer| finalizer != TRACKED);
            if finalizers.is_empty() {
                crate::value::remove(pod, "/metadata/finalizers");
            } else {
                set(pod, "/metadata/finalizers", finalizers);
            }
        });
    }
}

/// When a pod's last container ended.
fn ended(pod: &Value) -> Option<Timestamp> {
    list(pod, "/status/containerStatuses")
        .iter()
        .filter_map(|status| pods::time(status, "/state/terminated/finishedAt"))
        .max()
}

fn index_of(pod: &Value) -> Option<i64> {
    text(pod, INDEX).parse().ok()
}

fn step(world: &mut World, job: &Arc<Value>) -> Result<(), Refusal> {
    let key = Key::of(job);
    let now = world.now();
    let suspended = is_true(job, "/spec/suspend");
    let selector = Labels::of(at(job, "/spec/selector")).unwrap_or_default();
    let owned = pods::claim(world, Kind::Pod, Kind::Job, job, &selector);
    let only_failed = text(job, "/spec/podReplacementPolicy") == "Failed";
    let indexed = text(job, "/spec/completionMode") == "Indexed";
    let is_failed = |pod: &Value| match text(pod, "/status/phase") {
        "Failed" => true,
        "Succeeded" => false,
        _ => deleting(pod) && !only_failed,
    };
    let mut status = at(job, "/status").clone();
    let mut done = indexes(text(&status, "/completedIndexes"));
    let (mut well, mut ill) = (
        int_or(&status, "/succeeded", 0),
        int_or(&status, "/failed", 0),
    );
    // What ended since the last look, in the order of its end.
    let mut fresh: Vec<&Arc<Value>> = owned
        .iter()
        .filter(|pod| tracked(pod) && (is_finished(pod) || is_failed(pod)))
        .collect();
    fresh.sort_by_key(|pod| ended(pod).unwrap_or(now));
    for pod in &fresh {
        let failures = &mut world.controllers.jobs;
        if is_failed(pod) {
            ill += 1;
            let entry = failures.entry(uid(job).to_owned()).or_insert((0, now));
            *entry = (entry.0 + 1, ended(pod).unwrap_or(now));
        } else {
            if indexed && !index_of(pod).is_some_and(|index| done.insert(index)) {
                continue;
            }
            well += 1;
            failures.remove(uid(job));
        }
    }
    let active: Vec<Arc<Value>> = owned.iter().filter(|pod| is_active(pod)).cloned().collect();
    let terminating = pods::number(&owned, |pod| deleting(pod) && !is_finished(pod));
    if !suspended && at(&status, "/startTime").is_null() {
        set(&mut status, "/startTime", seconds(now));
    }
    let mut failed = failure(job, &status, &active, ill, now);
    if let Some(before) = crate::value::condition(job, "FailureTarget") {
        failed = Some(match text(before, "/reason") {
            "DeadlineExceeded" => LATE,
            _ => EXHAUSTED,
        });
    } else if failed.is_none()
        && !suspended
        && let Some(due) = deadline(job, &status)
    {
        world.agenda.at(due, Work::Sync(Kind::Job, key.clone()));
    }
    let completions = int(job, "/spec/completions");
    let mut outcome = Ok(());
    let mut running = active.clone();
    if failed.is_some() {
        for pod in running.drain(..) {
            pods::delete(world, COMPONENT, job, &pod);
        }
    } else {
        let wanted = wanted(job, well, pods::number(&active, |_| true), suspended);
        outcome = manage(
            world,
            job,
            &mut running,
            wanted,
            terminating * i64::from(only_failed),
            &done,
        );
    }
    let complete = match completions {
        None => well > 0 && running.is_empty(),
        Some(wanted) => well >= wanted,
    } && failed.is_none()
        && !suspended;
    for pod in &fresh {
        untrack(world, pod);
    }
    count(&mut status, "active", pods::number(&running, |_| true));
    count(&mut status, "succeeded", well);
    count(&mut status, "failed", ill);
    set(&mut status, "/ready", pods::number(&running, is_ready));
    let gone = pods::number(&pods_of(world, job), |pod| {
        deleting(pod) && !is_finished(pod)
    });
    set(&mut status, "/terminating", gone);
    set(&mut status, "/uncountedTerminatedPods", json!({}));
    if indexed && !done.is_empty() {
        set(&mut status, "/completedIndexes", spelled(&done));
    }
    let over = gone == 0 && (running.is_empty() || failed.is_some());
    conditions(world, job, &mut status, failed, complete, over);
    world.modify(Kind::Job, &key, |job| set(job, "/status", status));
    outcome
}

const EXHAUSTED: Judgement = (
    "BackoffLimitExceeded",
    "Job has reached the specified backoff limit",
);
const LATE: Judgement = (
    "DeadlineExceeded",
    "Job was active longer than specified deadline",
);
const REACHED: Judgement = (
    "CompletionsReached",
    "Reached expected number of succeeded pods",
);

/// Why a Job has failed, if it has.
fn failure(
    job: &Value,
    status: &Value,
    active: &[Arc<Value>],
    ill: i64,
    now: Timestamp,
) -> Option<Judgement> {
    let most = int_or(job, "/spec/backoffLimit", 6);
    let restarts: i64 = active
        .iter()
        .flat_map(|pod| {
            list(pod, "/status/containerStatuses")
                .iter()
                .chain(list(pod, "/status/initContainerStatuses"))
        })
        .map(|status| int_or(status, "/restartCount", 0))
        .sum();
    let restarting = text(job, "/spec/template/spec/restartPolicy") == "OnFailure"
        && if most == 0 {
            restarts > 0
        } else {
            restarts >= most
        };
    if ill > most || restarting {
        return Some(EXHAUSTED);
    }
    let late =
        !is_true(job, "/spec/suspend") && deadline(job, status).is_some_and(|due| due <= now);
    late.then_some(LATE)
}

fn deadline(job: &Value, status: &Value) -> Option<Timestamp> {
    let most = int(job, "/spec/activeDeadlineSeconds")?
        .max(0)
        .unsigned_abs();
    Some(after(
        pods::time(status, "/startTime")?,
        Duration::from_secs(most),
    ))
}

/// How many pods are to run at the same time.
fn wanted(job: &Value, well: i64, active: i64, suspended: bool) -> i64 {
    if suspended {
        return 0;
    }
    let at_once = int_or(job, "/spec/parallelism", 1);
    match int(job, "/spec/completions") {
        None if well > 0 => active,
        None => at_once,
        Some(completions) => (completions - well).clamp(0, at_once.max(0)),
    }
}

/// Makes the pods that are missing, or deletes those that are too many.
fn manage(
    world: &mut World,
    job: &Value,
    running: &mut Vec<Arc<Value>>,
    wanted: i64,
    held: i64,
    done: &BTreeSet<i64>,
) -> Result<(), Refusal> {
    let wanted = usize::try_from(wanted).unwrap_or(0);
    if running.len() > wanted {
        running.sort_by_key(|pod| {
            (
                is_ready(pod),
                std::cmp::Reverse(pods::time(pod, "/metadata/creationTimestamp")),
            )
        });
        let surplus = running.len() - wanted;
        for pod in running.drain(..surplus) {
            pods::delete(world, COMPONENT, job, &pod);
        }
        return Ok(());
    }
    let missing = (wanted - running.len()).saturating_sub(usize::try_from(held).unwrap_or(0));
    if missing == 0 {
        return Ok(());
    }
    let now = world.now();
    if let Some((failures, last)) = world.controllers.jobs.get(uid(job)) {
        let wait = FAILED.saturating_mul(1 << (failures.saturating_sub(1)).min(16));
        let due = after(*last, wait.min(FAILED_AT_MOST));
        if due > now {
            world.agenda.at(due, Work::Sync(Kind::Job, Key::of(job)));
            return Ok(());
        }
    }
    let indexed = text(job, "/spec/completionMode") == "Indexed";
    let taken: BTreeSet<i64> = running.iter().filter_map(|pod| index_of(pod)).collect();
    let mut free = (0..).filter(|index| !done.contains(index) && !taken.contains(index));
    let (mut left, mut batch) = (missing, 1);
    while left > 0 {
        let mut refused = None;
        for _ in 0..batch.min(left) {
            let pod = pod_for(world, job, if indexed { free.next() } else { None });
            match pods::make(world, COMPONENT, job, pod) {
                Ok(made) => running.push(made),
                Err(refusal) if pods::ends_with_namespace(&refusal) => {}
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        left -= batch.min(left);
        batch *= 2;
    }
    Ok(())
}

fn pod_for(world: &mut World, job: &Value, index: Option<i64>) -> Value {
    let mut pod = pods::from_template(at(job, "/spec/template"), Kind::Job, job);
    set(&mut pod, "/metadata/finalizers", json!([TRACKED]));
    let Some(index) = index else { return pod };
    let called = format!("{}-{index}", name(job));
    crate::value::remove(&mut pod, "/metadata/generateName");
    let suffix = world.random.suffix(5);
    set(&mut pod, "/metadata/name", format!("{called}-{suffix}"));
    set(&mut pod, INDEX, index.to_string());
    set(
        &mut pod,
        "/metadata/labels/batch.kubernetes.io~1job-completion-index",
        index.to_string(),
    );
    set(&mut pod, "/spec/hostname", called);
    let field = "metadata.labels['batch.kubernetes.io/job-completion-index']";
    let variable = json!({ "name": "JOB_COMPLETION_INDEX",
        "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": field } } });
    for group in ["/spec/initContainers", "/spec/containers"] {
        for container in crate::value::list_mut(&mut pod, group)
            .into_iter()
            .flatten()
        {
            let mut env = list(container, "/env").to_vec();
            env.push(variable.clone());
            set(container, "/env", env);
        }
    }
    pod
}

/// Writes what has become of a Job, and tells of its end.
fn conditions(
    world: &mut World,
    job: &Value,
    status: &mut Value,
    failed: Option<Judgement>,
    complete: bool,
    over: bool,
) {
    let now = seconds(world.now());
    let mut told = Vec::new();
    let suspended = is_true(job, "/spec/suspend");
    let was = condition_true(job, "Suspended");
    if suspended && !was && failed.is_none() {
        put(
            status,
            "Suspended",
            "True",
            ("JobSuspended", "Job suspended"),
            &now,
        );
        crate::value::remove(status, "/startTime");
        told.push(("Normal", "Suspended", "Job suspended"));
    } else if !suspended && was {
        put(
            status,
            "Suspended",
            "False",
            ("JobResumed", "Job resumed"),
            &now,
        );
        set(status, "/startTime", now.as_str());
        told.push(("Normal", "Resumed", "Job resumed"));
    }
    if let Some((reason, message)) = failed {
        put(status, "FailureTarget", "True", (reason, message), &now);
        if over {
            put(status, "Failed", "True", (reason, message), &now);
            told.push(("Warning", reason, message));
        }
    } else if complete {
        put(status, "SuccessCriteriaMet", "True", REACHED, &now);
        if over {
            put(status, "Complete", "True", REACHED, &now);
            set(status, "/completionTime", now.as_str());
            told.push(("Normal", "Completed", "Job completed"));
        }
    }
    for (kind, reason, message) in told {
        world.event(COMPONENT, "", job, kind, reason, message);
    }
}

fn put(status: &mut Value, kind: &str, is: &str, judgement: Judgement, now: &str) {
    let mut conditions = list(status, "/conditions").to_vec();
    let place = conditions
        .iter_mut()
        .find(|present| text(present, "/type") == kind);
    let new = json!({ "type": kind, "status": is, "lastProbeTime": now,
        "lastTransitionTime": now, "reason": judgement.0, "message": judgement.1 });
    match place {
        Some(present) if text(present, "/status") == is => return,
        Some(present) => *present = new,
        None => conditions.push(new),
    }
    set(status, "/conditions", conditions);
}

/// Reads indexes such as `0-2,5`.
fn indexes(text: &str) -> BTreeSet<i64> {
    text.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<i64>().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}

/// Writes indexes such as `0-2,5`.
fn spelled(indexes: &BTreeSet<i64>) -> String {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    let each = ranges.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    each.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_in_ranges() {
        let all = BTreeSet::from([0, 1, 2, 5, 7, 8]);
        assert_eq!(spelled(&all), "0-2,5,7,8");
        assert_eq!(indexes("0-2,5,7,8"), all);
        assert_eq!(indexes(""), BTreeSet::new());
    }
}
