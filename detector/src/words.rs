//! What a run of a container printed: which of the logs that were fetched is that run's.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ContainerStateTerminated;

use crate::facts::{Container, ContainerRole, LogLine, Pod, Run, duration};
use crate::verdict::{Evidence, Reference};
use crate::view::{Lookup, View};

/// The least time that a run must outlast the one before, for a crash loop to be over.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// The longest that a run need last for a crash loop to be over.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// How long the log of a run that has ended may be on its way.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(10);

/// How long the failed pod of a Job that nothing came after is a trouble.
pub(crate) const LASTING: SignedDuration = SignedDuration::from_hours(24);

/// How long a run must last for a crash loop to be over, after runs of at most this length.
///
/// Source: a kubelet forgets its back-off after twice the longest back-off of 5 minutes
/// (`pkg/kubelet/kubelet.go`, `MaxCrashLoopBackOff`).
pub(crate) fn proof(longest: SignedDuration) -> SignedDuration {
    longest
        .saturating_mul(2)
        .saturating_add(MARGIN)
        .min(LONGEST)
}

/// What one run of a container printed last, the oldest line first.
#[derive(Clone, Debug, PartialEq)]
pub struct Words<'a> {
    /// The lines; empty where the log was fetched and the run printed nothing.
    pub lines: Cow<'a, [LogLine]>,
    pod: Reference,
}

impl Words<'_> {
    /// A line as evidence.
    pub fn evidence(&self, line: &LogLine) -> Evidence {
        Evidence {
            object: self.pod.clone(),
            field: "log".to_owned(),
            quote: line.text.trim_end().to_owned(),
            at: line.at,
        }
    }
}

/// A container whose runs fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Crash<'a, 'p> {
    /// How the last run ended.
    pub ended: &'p ContainerStateTerminated,
    /// What it printed; none where that cannot be had.
    pub words: Option<Words<'a>>,
    /// When the first of its failures that is still known of became visible.
    pub since: Timestamp,
    /// How many runs have ended.
    pub times: i32,
}

impl Crash<'_, '_> {
    /// The end of the run as evidence.
    pub fn evidence(&self, pod: &Pod, container: &Container<'_>) -> Evidence {
        let reason = self.ended.reason.as_deref().unwrap_or("Error");
        Evidence {
            object: pod.reference(),
            field: container.status_path(),
            quote: format!(
                "{reason}, exit code {}, {} times started again",
                self.ended.exit_code,
                container.restarts()
            ),
            at: self.ended.finished_at.as_ref().map(|time| time.0),
        }
    }
}

impl<'a> View<'a> {
    /// The container's failure that is not over: its last run ended with a failure, or it ends
    /// again and again though it should run on; and it does not run again, or not yet for long
    /// enough to believe that it will go on.
    ///
    /// Nothing for a pod that is being deleted, that a controller has replaced, or whose Job has
    /// succeeded since.
    pub fn crash<'p>(&self, pod: &'p Pod, container: &Container<'p>) -> Option<Crash<'a, 'p>> {
        if pod.deleting.is_some() {
            return None;
        }
        let ended = container.ended().next()?;
        let backs_off = container
            .waiting()
            .is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
        if ended.exit_code == 0 && !(backs_off && container.role != ContainerRole::Init) {
            return None;
        }
        if self.is_crash_over(pod, container, ended) {
            return None;
        }
        let first = self
            .events_of(pod)
            .filter(|event| event.reason == "BackOff")
            .filter(|event| event.about.container() == Some(container.name()))
            .filter_map(|event| event.first);
        let ends = container.ended().filter_map(|run| run.finished_at.as_ref());
        let since = first.chain(ends.map(|time| time.0)).min();
        let runs_again = container.is_running();
        Some(Crash {
            ended,
            words: self.words_of_last_run(pod, container),
            since: since.or(pod.created).unwrap_or(self.now()),
            times: (container.restarts() + i32::from(!runs_again)).max(1),
        })
    }

    /// Whether the end of a container's run is no trouble any more: the present run has outlasted
    /// twice the longest of the last three plus 10 s, or 10 minutes; or the pod runs no more, and
    /// is not missed or was ended as a whole.
    pub fn is_crash_over(
        &self,
        pod: &Pod,
        container: &Container<'_>,
        ended: &ContainerStateTerminated,
    ) -> bool {
        let disrupted = || {
            let target = pod.condition("DisruptionTarget");
            target.is_some_and(|target| target.status == "True")
        };
        let reason = pod.status.reason.as_deref().unwrap_or_default();
        if pod.is_finished() && (!reason.is_empty() || disrupted()) {
            return true; // Not the program ended it: the node was short, a deadline passed.
        }
        let last = duration(ended);
        let longest = self
            .longest_run(pod, container.name())
            .unwrap_or(last)
            .max(last);
        if container
            .running_since()
            .is_some_and(|since| self.ripe(since, proof(longest)))
        {
            return true;
        }
        match pod.controller.as_ref().map(|owner| owner.kind.as_str()) {
            Some("Job") => self.is_try_over(pod),
            // Its controller makes another in its place.
            Some(_) => pod.is_finished(),
            None => {
                let finished = ended
                    .finished_at
                    .as_ref()
                    .map(|time| time.0)
                    .or(pod.created);
                pod.is_finished() && finished.is_none_or(|at| self.ripe(at, LONGEST))
            }
        }
    }

    /// Whether the Job that this pod is a try of does without it: a later try speaks for it, or
    /// the Job or its CronJob has succeeded since, or it was given up a day ago.
    fn is_try_over(&self, pod: &Pod) -> bool {
        let Some(owner) = &pod.controller else {
            return false;
        };
        let runs = pod
            .containers()
            .filter_map(|container| container.ended().next());
        let runs: Vec<_> = runs.collect();
        let longest = runs.iter().copied().map(duration).max().unwrap_or_default();
        let finished = runs
            .iter()
            .filter_map(|run| run.finished_at.as_ref())
            .map(|time| time.0)
            .max();
        let later = |other: &&Pod| other.uid != pod.uid && other.created > pod.created;
        let does_better = |other: &Pod| {
            let mut ends = other
                .containers()
                .filter_map(|container| container.ended().next());
            let since = other
                .containers()
                .filter_map(|container| container.running_since())
                .max();
            other.phase() == "Succeeded"
                || since.is_some_and(|since| self.ripe(since, proof(longest)))
                || ends.any(|run| run.exit_code != 0)
        };
        if self.pods_of(&owner.uid).filter(later).any(does_better) {
            return true;
        }
        if pod.is_finished() && finished.is_some_and(|at| self.ripe(at, LASTING)) {
            return true;
        }
        match self.get::<Job>(&pod.namespace, &owner.name) {
            Lookup::Found(job) => self.is_job_over(job, pod.created),
            Lookup::Absent => false,
            // Of a Job that is not known, its CronJob's pods tell.
            Lookup::Unknown => {
                let workload = self.workload(pod).reference;
                let siblings = self.pods_of_workload(&workload).into_iter();
                let mut siblings = siblings.filter(later);
                siblings.any(|other| other.phase() == "Succeeded")
            }
        }
    }

    /// Whether a Job that has had failures since then is no trouble: it is complete or suspended,
    /// or its CronJob succeeded since.
    pub fn is_job_over(&self, job: &Job, since: Option<Timestamp>) -> bool {
        let conditions = job
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        let is_done = (conditions.into_iter().flatten()).any(|condition| {
            let type_ = condition.type_.as_str();
            matches!(type_, "Complete" | "SuccessCriteriaMet" | "Suspended")
                && condition.status == "True"
        });
        let owner = crate::view::controller(&job.metadata).filter(|owner| owner.kind == "CronJob");
        let succeeded = || {
            let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
            let cron_job = self.get::<CronJob>(namespace, &owner?.name).found()?;
            Some(cron_job.status.as_ref()?.last_successful_time.as_ref()?.0)
        };
        // Older CronJobs do not say when they succeeded: their Jobs do.
        let later = |other: &Job| {
            let of_same = crate::view::controller(&other.metadata).map(|other| &other.uid);
            let status = other.status.as_ref();
            let completed = status.and_then(|status| status.completion_time.as_ref());
            of_same == owner.map(|owner| &owner.uid)
                && completed.is_some_and(|at| Some(at.0) > since)
        };
        let another = || {
            let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
            owner.is_some() && self.in_namespace::<Job>(namespace).any(later)
        };
        is_done || succeeded().is_some_and(|success| Some(success) > since) || another()
    }

    /// What the run that ended last printed; none where that cannot be had. While its log is on
    /// its way, what an earlier one printed.
    pub fn words_of_last_run(&self, pod: &Pod, container: &Container<'_>) -> Option<Words<'a>> {
        let ended = container.ended().next()?;
        let candidates: &[Run] = if container.is_running() {
            &[Run::Previous]
        } else if container.waiting().is_some() {
            &[Run::Current, Run::Previous]
        } else {
            &[Run::Current]
        };
        let started = ended.started_at.as_ref().map(|time| time.0);
        let finished = ended.finished_at.as_ref().map(|time| time.0);
        let id = ended.container_id.as_deref();
        let fetched = self.words(pod, container, id, (started, finished), candidates);
        fetched
            .or_else(|| {
                // The kubelet copies the end of the log there, if asked to.
                let message = ended.message.as_deref().filter(|text| !text.is_empty())?;
                let lines = message.lines().map(|line| LogLine::parse(line.as_bytes()));
                Some(Words {
                    lines: lines.collect(),
                    pod: pod.reference(),
                })
            })
            .or_else(|| {
                let known = end_known(pod, ended)?;
                let before = self.longest_run_but(pod, container.name(), id);
                let was_well = before.is_some_and(|before| duration(ended) >= proof(before));
                if was_well {
                    return None;
                }
                self.words_before(pod, container, id?, known)
            })
    }

    /// What an earlier run of a container printed than the one of this id, while it is a moment
    /// since the end of that one is known: a container that fails again has not changed its mind,
    /// unless it was well in between.
    fn words_before(
        &self,
        pod: &Pod,
        container: &Container<'_>,
        id: &str,
        known: Timestamp,
    ) -> Option<Words<'a>> {
        if self.ripe(known, ON_ITS_WAY) {
            return None;
        }
        let runs = [Run::Current, Run::Previous].into_iter();
        let logs = runs.filter_map(|run| self.log(pod, container.name(), run));
        let bare = |id: &str| id.rsplit('/').next().unwrap_or(id).to_owned();
        let is_other = |of: &str| bare(of) != bare(id);
        let of_others = logs.filter(|log| {
            log.container_id.as_deref().is_some_and(is_other)
                && !log.lines.is_empty()
                && !is_gone(&log.lines)
        });
        let log = of_others.max_by_key(|log| log.lines.last().and_then(|line| line.at))?;
        Some(Words {
            lines: Cow::Borrowed(log.lines.as_slice()),
            pod: pod.reference(),
        })
    }

    /// What the run that is under way has printed; none where that cannot be had.
    pub fn words_of_present_run(&self, pod: &Pod, container: &Container<'_>) -> Option<Words<'a>> {
        let since = container.running_since()?;
        let id = container.status?.container_id.as_deref();
        self.words(pod, container, id, (Some(since), None), &[Run::Current])
    }

    /// The lines of one run, from whichever log holds them.
    ///
    /// The container's id tells for certain. Without it the lines' own times do; without those
    /// what the log was asked for, which is right in a state that was recorded at one moment.
    fn words(
        &self,
        pod: &Pod,
        container: &Container<'_>,
        id: Option<&str>,
        (started, finished): (Option<Timestamp>, Option<Timestamp>),
        untimed: &[Run],
    ) -> Option<Words<'a>> {
        let bare = |id: &'_ str| id.rsplit('/').next().unwrap_or(id).to_owned();
        let id = id.map(bare);
        let mut found: Option<&'a [LogLine]> = None;
        for run in [Run::Current, Run::Previous] {
            let Some(log) = self.log(pod, container.name(), run) else {
                continue;
            };
            let lines = match (&id, log.container_id.as_deref().map(bare)) {
                (Some(id), Some(of)) if *id == of => log.lines.as_slice(),
                (Some(_), Some(_)) => continue,
                _ if log.lines.iter().any(|line| line.at.is_some()) => {
                    within(&log.lines, started, finished)
                }
                _ if untimed.contains(&run) => log.lines.as_slice(),
                _ => continue,
            };
            if is_gone(lines) {
                continue;
            }
            if found.is_none_or(<[LogLine]>::is_empty) {
                found = Some(lines);
            }
        }
        Some(Words {
            lines: Cow::Borrowed(found?),
            pod: pod.reference(),
        })
    }
}

/// When the end of a run became known to its kubelet, which is late with it where it has much to
/// do: its pod's condition tells when the kubelet wrote that down.
pub(crate) fn end_known(pod: &Pod, ended: &ContainerStateTerminated) -> Option<Timestamp> {
    const LATEST: SignedDuration = SignedDuration::from_secs(20);
    let finished = ended.finished_at.as_ref()?.0;
    let latest = finished.checked_add(LATEST).unwrap_or(finished);
    let ready = pod.condition("ContainersReady");
    let written = ready.and_then(|ready| ready.last_transition_time.as_ref());
    Some(written.map_or(finished, |written| written.0.clamp(finished, latest)))
}

/// Whether they are what the kubelet says in place of a log that is gone.
fn is_gone(lines: &[LogLine]) -> bool {
    let first = lines.first();
    first.is_some_and(|line| line.text.starts_with("unable to retrieve container logs"))
}

/// The lines between these times, which the kubelet cuts to whole seconds.
fn within(
    lines: &[LogLine],
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
) -> &[LogLine] {
    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    let end = finished.and_then(|finished| finished.checked_add(SECOND).ok());
    let is_before = |line: &LogLine| line.at.zip(started).is_some_and(|(at, from)| at < from);
    let is_after = |line: &LogLine| line.at.zip(end).is_some_and(|(at, end)| at > end);
    let from = lines.iter().take_while(|line| is_before(line)).count();
    let lines = lines.get(from..).unwrap_or_default();
    let until = lines.iter().take_while(|line| !is_after(line)).count();
    lines.get(..until).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::facts::Log;
    use crate::memory::Memory;
    use crate::object::Object;
    use crate::observation::Observation;

    fn at(second: &str) -> Timestamp {
        format!("2026-11-24T12:00:{second}Z").parse().unwrap()
    }

    /// What the last run of the container `app` printed, where a crash stands.
    fn check(
        state: Value,
        last: Value,
        logs: &[(Run, Option<&str>, &str)],
        expected: Option<&str>,
    ) {
        let value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "shop", "name": "web" },
            "spec": { "containers": [{ "name": "app" }] },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 2,
                "state": state, "lastState": last,
            }]},
        });
        let Ok(Object::Pod(pod)) = Object::decode(value) else {
            panic!("not a pod");
        };
        let mut memory = Memory::default();
        for (run, id, text) in logs {
            let lines = text.lines().map(|line| LogLine::parse(line.as_bytes()));
            let log = Log {
                namespace: "shop".to_owned(),
                pod: "web".to_owned(),
                uid: None,
                container: "app".to_owned(),
                run: *run,
                container_id: id.map(str::to_owned),
                lines: lines.collect(),
            };
            memory.observe(Observation::Log(log), at("50"), false);
        }
        let view = View::new(&memory, at("50"));
        let container = pod.container("app").unwrap();
        let words = view.crash(&pod, &container).map(|crash| {
            let lines = crash.words.map(|words| words.lines.into_owned());
            let texts = lines.unwrap_or_default().into_iter().map(|line| line.text);
            texts.collect::<Vec<_>>().join("|")
        });
        assert_eq!(words.as_deref(), expected);
    }

    fn ended(from: &str, to: &str, id: &str) -> Value {
        json!({ "terminated": {
            "exitCode": 1, "containerID": format!("containerd://{id}"),
            "startedAt": at(from), "finishedAt": at(to),
        }})
    }

    fn running(since: &str) -> Value {
        json!({ "running": { "startedAt": at(since) } })
    }

    #[test]
    fn while_it_waits_both_logs_are_of_the_last_run() {
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let last = || ended("30", "40", "b");
        let current = (Run::Current, None, "now");
        check(waiting.clone(), last(), &[current], Some("now"));
        let gone = "unable to retrieve container logs for containerd://b";
        let logs = [(Run::Current, None, gone), (Run::Previous, None, "then")];
        check(waiting.clone(), last(), &logs, Some("then"));
        check(waiting, last(), &[], Some(""));
    }

    #[test]
    fn while_it_runs_the_previous_log_is() {
        let logs = [(Run::Current, None, "now"), (Run::Previous, None, "then")];
        check(running("45"), ended("30", "40", "b"), &logs, Some("then"));
    }

    #[test]
    fn ids_tell_whatever_the_log_was_asked_for() {
        let logs = [(Run::Current, Some("containerd://b"), "its")];
        check(running("45"), ended("30", "40", "b"), &logs, Some("its"));
        let logs = [(Run::Previous, Some("containerd://a"), "older")];
        check(running("45"), ended("30", "40", "b"), &logs, Some(""));
    }

    #[test]
    fn times_tell_where_there_are_no_ids() {
        let text = "2026-11-24T12:00:20.5Z a\n2026-11-24T12:00:31.5Z b\n2026-11-24T12:00:40.7Z c";
        let logs = [(Run::Current, None, text)];
        check(running("45"), ended("30", "40", "b"), &logs, Some("b|c"));
    }

    #[test]
    fn a_run_that_outlasts_the_last_one_ends_the_crash() {
        let logs = [(Run::Previous, None, "then")];
        check(running("20"), ended("10", "20", "b"), &logs, None);
        check(running("21"), ended("10", "20", "b"), &logs, Some("then"));
    }
}
