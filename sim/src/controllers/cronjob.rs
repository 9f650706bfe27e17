//! CronJobs: Jobs that are made when the time has come.
//!
//! Source: `pkg/controller/cronjob/{cronjob_controllerv2,utils}.go`.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::job;
use super::pods::{self, int_or};
use crate::agenda::Work;
use crate::clock::{after, seconds, since};
use crate::cron::Schedule;
use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{at, condition_true, deleting, int, is_true, list, name, set, text, uid};
use crate::world::{Deletion, World};

const COMPONENT: &str = "cronjob-controller";

/// Makes the Job that is due, and keeps account of those that were made.
pub(crate) fn sync(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(Kind::CronJob, key).cloned() else {
        return;
    };
    let made: Vec<Arc<Value>> = jobs_of(world, &object);
    account(world, &object, &made);
    if deleting(&object) || is_true(&object, "/spec/suspend") {
        return;
    }
    let Some(object) = world.store.get(Kind::CronJob, key).cloned() else {
        return;
    };
    let now = world.now();
    let zone = match text(&object, "/spec/timeZone") {
        "" => TimeZone::UTC,
        named => match TimeZone::get(named) {
            Ok(zone) => zone,
            Err(_) => {
                let told = format!("invalid timeZone: {named:?}: unknown time zone {named}");
                world.event(COMPONENT, "", &object, "Warning", "UnknownTimeZone", &told);
                return;
            }
        },
    };
    let line = text(&object, "/spec/schedule");
    let schedule = match Schedule::parse(line) {
        Ok(schedule) => schedule,
        Err(error) => {
            let told = format!("unparseable schedule: {line:?} : {error}");
            world.event(
                COMPONENT,
                "",
                &object,
                "Warning",
                "UnparseableSchedule",
                &told,
            );
            return;
        }
    };
    let (due, missed) = last_due(&object, &schedule, &zone, now);
    if missed > 100 {
        let told = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or \
            check clock skew";
        world.event(
            COMPONENT,
            "",
            &object,
            "Warning",
            "TooManyMissedTimes",
            told,
        );
    }
    if let Some(due) = due {
        start(world, &object, due, now);
    }
    if let Some(next) = schedule.next(&now.to_zoned(zone)) {
        let soon = after(next.timestamp(), Duration::from_millis(100));
        world
            .agenda
            .at(soon, Work::Sync(Kind::CronJob, key.clone()));
    }
}

fn jobs_of(world: &World, object: &Value) -> Vec<Arc<Value>> {
    let dependents = world.store.dependents(uid(object)).into_iter();
    dependents
        .filter(|(kind, _)| *kind == Kind::Job)
        .filter_map(|(kind, key)| world.store.get(kind, &key).cloned())
        .collect()
}

/// The latest time that is past and for which no Job was made, and how many there are.
fn last_due(
    object: &Value,
    schedule: &Schedule,
    zone: &TimeZone,
    now: Timestamp,
) -> (Option<Timestamp>, usize) {
    let begun = pods::time(object, "/status/lastScheduleTime")
        .or_else(|| pods::time(object, "/metadata/creationTimestamp"));
    let Some(mut from) = begun else {
        return (None, 0);
    };
    if let Some(late) = int(object, "/spec/startingDeadlineSeconds") {
        let earliest = now.checked_sub(Duration::from_secs(late.max(0).unsigned_abs()));
        from = from.max(earliest.unwrap_or(from));
    }
    let mut time: Zoned = from.to_zoned(zone.clone());
    let (mut due, mut missed) = (None, 0);
    while let Some(next) = schedule.next(&time) {
        if next.timestamp() > now || missed > 100_000 {
            break;
        }
        due = Some(next.timestamp());
        missed += 1;
        time = next;
    }
    (due, missed)
}

fn start(world: &mut World, object: &Arc<Value>, due: Timestamp, now: Timestamp) {
    if let Some(late) = int(object, "/spec/startingDeadlineSeconds")
        && since(now, due) > Duration::from_secs(late.max(0).unsigned_abs())
    {
        let told = format!("Missed scheduled time to start a job: {due}");
        world.event(COMPONENT, "", object, "Warning", "MissSchedule", &told);
        return;
    }
    let key = Key::of(object);
    let active = list(object, "/status/active").to_vec();
    match text(object, "/spec/concurrencyPolicy") {
        "Forbid" if !active.is_empty() => {
            let told = "Not starting job because prior execution is running and concurrency \
                policy is Forbid";
            world.event(COMPONENT, "", object, "Normal", "JobAlreadyActive", told);
            return;
        }
        "Replace" => {
            for reference in &active {
                delete(
                    world,
                    object,
                    &Key::new(&key.namespace, text(reference, "/name")),
                );
            }
            world.modify(Kind::CronJob, &key, |object| {
                set(object, "/status/active", json!([]))
            });
        }
        _ => {}
    }
    let template = at(object, "/spec/jobTemplate");
    let called = format!("{}-{}", name(object), due.as_second() / 60);
    let mut job = json!({
        "metadata": {
            "name": called,
            "annotations": { "batch.kubernetes.io/cronjob-scheduled-timestamp": seconds(due) },
            "ownerReferences": [pods::owner_reference(Kind::CronJob, object)],
        },
        "spec": at(template, "/spec"),
    });
    for field in ["labels", "annotations"] {
        for (key, value) in crate::value::entries(template, &format!("/metadata/{field}")) {
            let key = key.replace('~', "~0").replace('/', "~1");
            set(&mut job, &format!("/metadata/{field}/{key}"), value.clone());
        }
    }
    match world.create(Kind::Job, &key.namespace, job, false) {
        Ok(made) => {
            let told = format!("Created job {}", name(&made));
            world.event(COMPONENT, "", object, "Normal", "SuccessfulCreate", &told);
            let reference = json!({
                "kind": "Job", "apiVersion": "batch/v1", "namespace": key.namespace,
                "name": name(&made), "uid": uid(&made),
                "resourceVersion": text(&made, "/metadata/resourceVersion"),
            });
            world.modify(Kind::CronJob, &key, |object| {
                let mut active = list(object, "/status/active").to_vec();
                active.push(reference);
                set(object, "/status/active", active);
                set(object, "/status/lastScheduleTime", seconds(due));
            });
        }
        Err(refusal) if refusal.reason == "AlreadyExists" => {
            world.modify(Kind::CronJob, &key, |object| {
                set(object, "/status/lastScheduleTime", seconds(due));
            });
        }
        Err(refusal) if pods::ends_with_namespace(&refusal) => {}
        Err(refusal) => {
            let told = format!("Error creating job: {refusal}");
            world.event(COMPONENT, "", object, "Warning", "FailedCreate", &told);
        }
    }
}

fn delete(world: &mut World, object: &Value, job: &Key) {
    let how = Deletion {
        propagation: Some("Background".to_owned()),
        ..Deletion::default()
    };
    if world.delete(Kind::Job, job, &how).is_ok() {
        let told = format!("Deleted job {}", job.name);
        world.event(COMPONENT, "", object, "Normal", "SuccessfulDelete", &told);
    }
}

/// Notes which Jobs still run, tells of those that ended, and deletes the oldest of them.
fn account(world: &mut World, object: &Arc<Value>, made: &[Arc<Value>]) {
    let key = Key::of(object);
    let mut active = list(object, "/status/active").to_vec();
    let mut last = pods::time(object, "/status/lastSuccessfulTime");
    let listed: Vec<String> = active
        .iter()
        .map(|one| text(one, "/uid").to_owned())
        .collect();
    for job in made {
        let is_listed = listed.iter().any(|one| one == uid(job));
        if is_listed && job::finished(job) {
            active.retain(|one| text(one, "/uid") != uid(job));
            let how = if condition_true(job, "Complete") {
                "Complete"
            } else {
                "Failed"
            };
            let told = format!("Saw completed job: {}, condition: {how}", name(job));
            world.event(COMPONENT, "", object, "Normal", "SawCompletedJob", &told);
        }
        if condition_true(job, "Complete") {
            last = last.max(pods::time(job, "/status/completionTime"));
        }
    }
    for uid in &listed {
        if made.iter().any(|job| crate::value::uid(job) == uid) {
            continue;
        }
        let gone = active.iter().position(|one| text(one, "/uid") == uid);
        if let Some(gone) = gone.map(|place| active.remove(place)) {
            let told = format!("Active job went missing: {}", text(&gone, "/name"));
            world.event(COMPONENT, "", object, "Normal", "MissingJob", &told);
        }
    }
    world.modify(Kind::CronJob, &key, |object| {
        if active.is_empty() {
            crate::value::remove(object, "/status/active");
        } else {
            set(object, "/status/active", active);
        }
        if let Some(last) = last {
            set(object, "/status/lastSuccessfulTime", seconds(last));
        }
    });
    for (condition, limit, missing) in [
        ("Complete", "/spec/successfulJobsHistoryLimit", 3),
        ("Failed", "/spec/failedJobsHistoryLimit", 1),
    ] {
        let mut ended: Vec<&Arc<Value>> = made
            .iter()
            .filter(|job| condition_true(job, condition) && !deleting(job))
            .collect();
        ended.sort_by_key(|job| pods::time(job, "/status/startTime"));
        let kept = usize::try_from(int_or(object, limit, missing)).unwrap_or(0);
        let surplus = ended.len().saturating_sub(kept);
        for job in ended.into_iter().take(surplus) {
            delete(world, object, &Key::of(job));
        }
    }
}
