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
/// How often an index has failed before.
const INDEX_FAILURES: &str = "/metadata/annotations/batch.kubernetes.io~1job-index-failure-count";

/// How long a Job waits after a failed pod, and at most after many.
const FAILED: Duration = Duration::from_secs(10);
const FAILED_AT_MOST: Duration = Duration::from_secs(600);

/// How soon the API is tried again that refused a pod, and at most.
pub(super) const REFUSED: Duration = Duration::from_secs(1);
pub(super) const REFUSED_AT_MOST: Duration = Duration::from_secs(60);

/// A verdict on a whole Job: its reason, and in words.
type Judgement = (String, String);

/// What a pod's failure means, as the Job's policy says.
///
/// Source: `pkg/controller/job/pod_failure_policy.go`.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// It counts.
    Counts,
    /// It does not count.
    Nothing,
    /// Its index has failed.
    FailsIndex,
    /// The Job has failed, for this reason.
    FailsJob(String),
}

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
    let only_failed = text(job, "/spec/podReplacementPolicy") == "Failed"
        || !at(job, "/spec/podFailurePolicy").is_null();
    let per_index = int(job, "/spec/backoffLimitPerIndex");
    let indexed = text(job, "/spec/completionMode") == "Indexed";
    let is_failed = |pod: &Value| match text(pod, "/status/phase") {
        "Failed" => true,
        "Succeeded" => false,
        _ => deleting(pod) && !only_failed,
    };
    let mut status = at(job, "/status").clone();
    let mut done = indexes(text(&status, "/completedIndexes"));
    let mut lost = indexes(text(&status, "/failedIndexes"));
    let mut condemned = None;
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
        let index = index_of(pod).filter(|_| per_index.is_some());
        let memory = (uid(job).to_owned(), index);
        let failures = &mut world.controllers.jobs;
        if is_failed(pod) {
            let entry = failures.entry(memory).or_insert((0, now));
            *entry = (entry.0 + 1, ended(pod).unwrap_or(now));
            let meaning = meaning(job, pod);
            if meaning == Meaning::Nothing {
                entry.0 -= 1;
                continue;
            }
            ill += 1;
            if let (Some(index), Some(limit)) = (index, per_index)
                && (i64::from(entry.0) > limit || meaning == Meaning::FailsIndex)
            {
                lost.insert(index);
            }
            if let Meaning::FailsJob(why) = meaning {
                condemned.get_or_insert(("PodFailurePolicy".to_owned(), why));
            }
        } else {
            if indexed && !index_of(pod).is_some_and(|index| done.insert(index)) {
                continue;
            }
            well += 1;
            failures.remove(&memory);
        }
    }
    let active: Vec<Arc<Value>> = owned.iter().filter(|pod| is_active(pod)).cloned().collect();
    let terminating = pods::number(&owned, |pod| deleting(pod) && !is_finished(pod));
    if !suspended && at(&status, "/startTime").is_null() {
        set(&mut status, "/startTime", seconds(now));
    }
    let mut failed = condemned
        .or_else(|| failure(job, &status, &active, ill, now))
        .or_else(|| failed_indexes(job, &done, &lost));
    if let Some(before) = decided(job, "FailureTarget") {
        failed = Some(before);
    } else if failed.is_none()
        && !suspended
        && let Some(due) = deadline(job, &status)
    {
        world.agenda.at(due, Work::Sync(Kind::Job, key.clone()));
    }
    let completions = int(job, "/spec/completions");
    let succeeded = match &failed {
        Some(_) => None,
        None => decided(job, "SuccessCriteriaMet").or_else(|| success(job, &done)),
    };
    let mut outcome = Ok(());
    let mut running = active.clone();
    if failed.is_some() || succeeded.is_some() {
        for pod in running.drain(..) {
            pods::delete(world, COMPONENT, job, &pod);
        }
    } else {
        let over = well + i64::try_from(lost.len()).unwrap_or(0);
        let wanted = wanted(job, over, pods::number(&active, |_| true), suspended);
        let ended: BTreeSet<i64> = done.union(&lost).copied().collect();
        outcome = manage(
            world,
            job,
            &mut running,
            wanted,
            terminating * i64::from(only_failed),
            &ended,
        );
    }
    let is_complete = match completions {
        None => well > 0 && running.is_empty(),
        Some(wanted) => well >= wanted,
    } && failed.is_none()
        && !suspended;
    let succeeded = succeeded.or_else(|| is_complete.then(|| judged(REACHED)));
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
    if per_index.is_some() {
        set(&mut status, "/failedIndexes", spelled(&lost));
    }
    let over = gone == 0 && (running.is_empty() || failed.is_some());
    conditions(world, job, &mut status, failed, succeeded, over);
    world.modify(Kind::Job, &key, |job| set(job, "/status", status));
    outcome
}

const EXHAUSTED: (&str, &str) = (
    "BackoffLimitExceeded",
    "Job has reached the specified backoff limit",
);
const LATE: (&str, &str) = (
    "DeadlineExceeded",
    "Job was active longer than specified deadline",
);
const REACHED: (&str, &str) = (
    "CompletionsReached",
    "Reached expected number of succeeded pods",
);
const INDEXES_FAILED: (&str, &str) = ("FailedIndexes", "Job has failed indexes");
const TOO_MANY_INDEXES_FAILED: (&str, &str) = (
    "MaxFailedIndexesExceeded",
    "Job has exceeded the specified maximal number of failed indexes",
);

fn judged((reason, message): (&str, &str)) -> Judgement {
    (reason.to_owned(), message.to_owned())
}

/// What was decided about a Job before, by a condition that is not its last.
fn decided(job: &Value, kind: &str) -> Option<Judgement> {
    let condition = crate::value::condition(job, kind).filter(|_| condition_true(job, kind))?;
    Some(judged((
        text(condition, "/reason"),
        text(condition, "/message"),
    )))
}

/// What a pod's failure means: the first rule of the Job's policy that matches says it.
fn meaning(job: &Value, pod: &Value) -> Meaning {
    let place = format!("{}/{}", crate::value::namespace(pod), name(pod));
    for (index, rule) in list(job, "/spec/podFailurePolicy/rules").iter().enumerate() {
        let action = text(rule, "/action");
        let codes = at(rule, "/onExitCodes");
        let why = if codes.is_null() {
            let patterns = list(rule, "/onPodConditions");
            let matches = |condition: &&Value| {
                patterns.iter().any(|pattern| {
                    let same = |path| text(pattern, path) == text(condition, path);
                    same("/type") && same("/status")
                })
            };
            let condition = list(pod, "/status/conditions").iter().find(matches);
            condition.map(|condition| {
                let kind = text(condition, "/type");
                format!("Pod {place} has condition {kind} matching {action} rule at index {index}")
            })
        } else {
            let statuses = ["/status/containerStatuses", "/status/initContainerStatuses"];
            let mut statuses = statuses.iter().flat_map(|path| list(pod, path));
            let only = text(codes, "/containerName");
            statuses.find_map(|status| {
                let called = text(status, "/name");
                let code = int(status, "/state/terminated/exitCode").filter(|code| *code != 0)?;
                let is_in = list(codes, "/values")
                    .iter()
                    .any(|value| value.as_i64() == Some(code));
                let matches = is_in == (text(codes, "/operator") == "In");
                (matches && (only.is_empty() || only == called)).then(|| {
                    format!(
                        "Container {called} for pod {place} failed with exit code {code} matching \
                         {action} rule at index {index}"
                    )
                })
            })
        };
        if let Some(why) = why {
            return match action {
                "Ignore" => Meaning::Nothing,
                "FailIndex" => Meaning::FailsIndex,
                "FailJob" => Meaning::FailsJob(why),
                _ => Meaning::Counts,
            };
        }
    }
    Meaning::Counts
}

/// Whether too many indexes have failed, or those that are left cannot be had.
fn failed_indexes(job: &Value, done: &BTreeSet<i64>, lost: &BTreeSet<i64>) -> Option<Judgement> {
    int(job, "/spec/backoffLimitPerIndex")?;
    let many = |indexes: &BTreeSet<i64>| i64::try_from(indexes.len()).unwrap_or(i64::MAX);
    if int(job, "/spec/maxFailedIndexes").is_some_and(|most| many(lost) > most) {
        return Some(judged(TOO_MANY_INDEXES_FAILED));
    }
    let all = int(job, "/spec/completions")?;
    (!lost.is_empty() && many(lost) + many(done) >= all).then(|| judged(INDEXES_FAILED))
}

/// Whether the indexes that have succeeded are enough, as the Job's policy says.
///
/// Source: `pkg/controller/job/success_policy.go`.
fn success(job: &Value, done: &BTreeSet<i64>) -> Option<Judgement> {
    let rules = list(job, "/spec/successPolicy/rules");
    let rule = rules.iter().position(|rule| {
        let enough = int(rule, "/succeededCount").and_then(|count| usize::try_from(count).ok());
        match text(rule, "/succeededIndexes") {
            "" => enough.is_some_and(|enough| done.len() >= enough),
            asked => {
                let asked = indexes(asked);
                let found = asked.intersection(done).count();
                !asked.is_empty()
                    && (found == asked.len() || enough.is_some_and(|enough| found >= enough))
            }
        }
    })?;
    let rule = rule.to_string();
    (!done.is_empty()).then(|| {
        (
            "SuccessPolicy".to_owned(),
            format!("Matched rules at index {rule}"),
        )
    })
}

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
        return Some(judged(EXHAUSTED));
    }
    let late =
        !is_true(job, "/spec/suspend") && deadline(job, status).is_some_and(|due| due <= now);
    late.then(|| judged(LATE))
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
    if waits(world, job, None) {
        return Ok(());
    }
    let indexed = text(job, "/spec/completionMode") == "Indexed";
    let taken: BTreeSet<i64> = running.iter().filter_map(|pod| index_of(pod)).collect();
    let mut missing = missing;
    let mut free = (0..).filter(|index| !done.contains(index) && !taken.contains(index));
    let mut next = Vec::new();
    if indexed {
        let last = int_or(job, "/spec/completions", 0);
        let free = free.by_ref().take_while(|index| *index < last);
        next = free
            .filter(|index| !waits(world, job, Some(*index)))
            .take(missing)
            .collect();
        missing = next.len();
    }
    let mut next = next.into_iter();
    let (mut left, mut batch) = (missing, 1);
    while left > 0 {
        let mut refused = None;
        for _ in 0..batch.min(left) {
            let pod = pod_for(world, job, next.next());
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

/// Whether a Job, or one of its indexes, is still to wait since its last failure.
fn waits(world: &mut World, job: &Value, index: Option<i64>) -> bool {
    let now = world.now();
    let memory = (uid(job).to_owned(), index);
    let Some((failures, last)) = world.controllers.jobs.get(&memory) else {
        return false;
    };
    let wait = FAILED.saturating_mul(1 << (failures.saturating_sub(1)).min(16));
    let due = after(*last, wait.min(FAILED_AT_MOST));
    if due > now {
        world.agenda.at(due, Work::Sync(Kind::Job, Key::of(job)));
    }
    due > now
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
    if int(job, "/spec/backoffLimitPerIndex").is_some() {
        let memory = (uid(job).to_owned(), Some(index));
        let failures = world
            .controllers
            .jobs
            .get(&memory)
            .map_or(0, |(failures, _)| *failures);
        set(&mut pod, INDEX_FAILURES, failures.to_string());
    }
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
    succeeded: Option<Judgement>,
    over: bool,
) {
    let now = seconds(world.now());
    let mut told: Vec<(&str, String, String)> = Vec::new();
    let suspended = is_true(job, "/spec/suspend");
    let was = condition_true(job, "Suspended");
    if suspended && !was && failed.is_none() {
        put(
            status,
            "Suspended",
            "True",
            &judged(("JobSuspended", "Job suspended")),
            &now,
        );
        crate::value::remove(status, "/startTime");
        told.push(("Normal", "Suspended".to_owned(), "Job suspended".to_owned()));
    } else if !suspended && was {
        put(
            status,
            "Suspended",
            "False",
            &judged(("JobResumed", "Job resumed")),
            &now,
        );
        set(status, "/startTime", now.as_str());
        told.push(("Normal", "Resumed".to_owned(), "Job resumed".to_owned()));
    }
    if let Some(judgement) = failed {
        put(status, "FailureTarget", "True", &judgement, &now);
        if over {
            put(status, "Failed", "True", &judgement, &now);
            told.push(("Warning", judgement.0, judgement.1));
        }
    } else if let Some(judgement) = succeeded {
        put(status, "SuccessCriteriaMet", "True", &judgement, &now);
        if over {
            put(status, "Complete", "True", &judgement, &now);
            set(status, "/completionTime", now.as_str());
            told.push(("Normal", "Completed".to_owned(), "Job completed".to_owned()));
        }
    }
    for (kind, reason, message) in told {
        world.event(COMPONENT, "", job, kind, &reason, &message);
    }
}

fn put(status: &mut Value, kind: &str, is: &str, judgement: &Judgement, now: &str) {
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
