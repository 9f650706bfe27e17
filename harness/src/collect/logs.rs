//! Which logs are fetched, and when: once for each run of a container that ended, and again and
//! again for containers that run and stay unready.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crashbook_detector::Observation;
use crashbook_detector::facts::{Container, ContainerRole, Log, LogLine, Pod, Run};
use futures::AsyncReadExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;
use kube::api::LogParams;
use kube::{Api, Client};

/// How long a fetch may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most bytes that are fetched.
const MAX_BYTES: i64 = (Log::MAX_LINES * LogLine::MAX_BYTES) as i64;
/// How long a container may be unready before its log is looked at while it runs.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// How far apart two looks at the log of one run are, at least.
const APART: SignedDuration = SignedDuration::from_secs(10);
/// How many containers are looked at while they run.
const MAX_FOLLOWED: usize = 20;
/// How long after its end a run's log is of interest though the container runs well again.
const LATELY: SignedDuration = SignedDuration::from_mins(10);
/// How many ended runs of a container are remembered as fetched.
const MAX_REMEMBERED: usize = 4;
/// What a kubelet answers, with status 200 and in the log's place, when it has removed the container
/// or its log since: others have taken its place, and the pod's newer state tells of them.
///
/// Source: pkg/kubelet/kuberuntime/kuberuntime_container.go, `GetContainerLogs`, and
/// staging/src/k8s.io/cri-client/pkg/logs/logs.go, `ReadLogs`.
const REMOVED: &[&str] = &[
    "unable to retrieve container logs for ",
    "failed to try resolving symlinks in path ",
];
/// Finish times are told in whole seconds.
const GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// One log that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    namespace: String,
    pod: String,
    uid: String,
    container: String,
    run: Run,
    container_id: String,
    /// When the run started and ended; none while it is under way.
    ended: Option<(Timestamp, Timestamp)>,
}

impl Wanted {
    /// Whether it is of a run that ended: it is fetched once, and soon.
    pub(super) fn is_of_ended_run(&self) -> bool {
        self.ended.is_some()
    }
}

/// What is known of the logs of every pod.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By namespace and name.
    pods: HashMap<(String, String), PodLogs>,
    followed: usize,
}

#[derive(Debug, Default)]
struct PodLogs {
    uid: String,
    containers: BTreeMap<String, ContainerLogs>,
}

#[derive(Debug, Default)]
struct ContainerLogs {
    /// The ids of the ended runs whose logs were asked for, the latest last.
    asked: VecDeque<String>,
    /// What was fetched last.
    last: Option<Log>,
    /// The run that is followed, and when it is to be looked at.
    followed: Option<(String, Timestamp)>,
}

impl Plan {
    /// Takes in a pod's state: says what is to be fetched now, and what is known of it already.
    pub(super) fn see(&mut self, pod: &Pod, now: Timestamp) -> (Vec<Wanted>, Vec<Observation>) {
        let (mut wanted, mut known) = (Vec::new(), Vec::new());
        let id = (pod.namespace.clone(), pod.name.clone());
        if self.pods.get(&id).is_some_and(|logs| logs.uid != pod.uid) {
            self.forget(pod);
        }
        let containers = pod
            .containers()
            .filter(|container| container.status.is_some());
        for container in containers {
            let ended = ended_run(pod, &container, now);
            let unready_since = unready_since(pod, &container);
            if ended.is_none() && unready_since.is_none() && !self.pods.contains_key(&id) {
                continue; // As most are.
            }
            let logs = self.pods.entry(id.clone()).or_insert_with(|| PodLogs {
                uid: pod.uid.clone(),
                ..PodLogs::default()
            });
            let logs = logs
                .containers
                .entry(container.name().to_owned())
                .or_default();
            if let Some((container_id, run, ended)) = ended {
                if !logs.asked.contains(&container_id) {
                    if logs.asked.len() == MAX_REMEMBERED {
                        logs.asked.pop_front();
                    }
                    logs.asked.push_back(container_id.clone());
                    wanted.push(Wanted {
                        namespace: pod.namespace.clone(),
                        pod: pod.name.clone(),
                        uid: pod.uid.clone(),
                        container: container.name().to_owned(),
                        run,
                        container_id,
                        ended: Some(ended),
                    });
                } else if let Some(last) = &mut logs.last
                    && last.container_id.as_ref() == Some(&container_id)
                    && last.run != run
                {
                    // The container was started again: its current log is now its previous one.
                    last.run = run;
                    known.push(Observation::Log(last.clone()));
                }
            }
            let was_followed = logs.followed.take();
            self.followed -= usize::from(was_followed.is_some());
            let running = container
                .status
                .and_then(|status| status.container_id.as_ref());
            if let (Some(since), Some(running)) = (unready_since, running)
                && self.followed < MAX_FOLLOWED
            {
                let due = match was_followed {
                    Some((id, due)) if *id == **running => due,
                    _ => since.checked_add(PATIENCE).unwrap_or(now).max(now),
                };
                logs.followed = Some((running.to_string(), due));
                self.followed += 1;
            }
        }
        (wanted, known)
    }

    /// Forgets a pod that is gone.
    pub(super) fn forget(&mut self, pod: &Pod) {
        let id = (pod.namespace.clone(), pod.name.clone());
        if let Some(logs) = self.pods.remove(&id) {
            let containers = logs.containers.values();
            self.followed -= containers.filter(|logs| logs.followed.is_some()).count();
        }
    }

    /// What is to be looked at now, of the runs that are under way.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for ((namespace, pod), logs) in &mut self.pods {
            for (container, of) in &mut logs.containers {
                let Some((container_id, due)) = &mut of.followed else {
                    continue;
                };
                if *due > now {
                    continue;
                }
                *due = now.checked_add(APART).unwrap_or(now);
                wanted.push(Wanted {
                    namespace: namespace.clone(),
                    pod: pod.clone(),
                    uid: logs.uid.clone(),
                    container: container.clone(),
                    run: Run::Current,
                    container_id: container_id.clone(),
                    ended: None,
                });
            }
        }
        wanted
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        if self.followed == 0 {
            return None;
        }
        let containers = self.pods.values().flat_map(|logs| logs.containers.values());
        let followed = containers.filter_map(|logs| logs.followed.as_ref());
        followed.map(|(_, due)| *due).min()
    }

    /// Takes in what was fetched; nothing if it is no news.
    pub(super) fn fetched(
        &mut self,
        wanted: Wanted,
        lines: Result<Vec<LogLine>, String>,
    ) -> Option<Observation> {
        let id = (wanted.namespace.clone(), wanted.pod.clone());
        let logs = self.pods.get_mut(&id)?;
        if logs.uid != wanted.uid {
            return None;
        }
        let is_ended = wanted.is_of_ended_run();
        let lines = match lines {
            Ok(lines) => lines,
            Err(because) if is_ended && !is_removed(&because) => {
                return Some(Observation::LogUnavailable {
                    namespace: wanted.namespace,
                    pod: wanted.pod,
                    container: wanted.container,
                    run: wanted.run,
                    container_id: Some(wanted.container_id),
                    because,
                });
            }
            // It is tried again, or a later one is.
            Err(_) => return None,
        };
        let log = Log {
            namespace: wanted.namespace,
            pod: wanted.pod,
            uid: Some(wanted.uid),
            container: wanted.container,
            run: wanted.run,
            container_id: Some(wanted.container_id),
            lines,
        };
        let of = logs.containers.entry(log.container.clone()).or_default();
        if is_ended {
            of.last = Some(log.clone());
        }
        Some(Observation::Log(log))
    }
}

/// The run of a container that ended last, by which of its logs it can be had, and when it started
/// and ended; none where its log is of no interest.
fn ended_run(
    pod: &Pod,
    container: &Container<'_>,
    now: Timestamp,
) -> Option<(String, Run, (Timestamp, Timestamp))> {
    let ended = container.ended().next()?;
    let id = ended.container_id.clone().filter(|id| !id.is_empty())?;
    let restart = pod.spec.restart_policy.as_deref().unwrap_or("Always");
    let should_run_on = match container.role {
        ContainerRole::Init => false,
        ContainerRole::Sidecar => true,
        ContainerRole::Main => restart == "Always",
    };
    if ended.exit_code == 0 && !should_run_on {
        return None;
    }
    let finished = ended.finished_at.as_ref().map_or(now, |time| time.0);
    let is_well = container.is_running() && container.is_ready();
    if is_well && now.duration_since(finished) > LATELY {
        return None;
    }
    let run = if container.is_running() {
        Run::Previous
    } else {
        Run::Current
    };
    let started = ended.started_at.as_ref().map_or(finished, |time| time.0);
    Some((id, run, (started, finished)))
}

/// Since when a container runs and is not ready; an init container is not ready until it has
/// ended.
fn unready_since(pod: &Pod, container: &Container<'_>) -> Option<Timestamp> {
    let running = container.running_since()?;
    if container.is_ready() || pod.is_finished() || pod.deleting.is_some() {
        return None;
    }
    let condition = pod.condition("ContainersReady");
    let unready = condition
        .filter(|condition| condition.status != "True")
        .and_then(|condition| condition.last_transition_time.as_ref())
        .map(|time| time.0);
    Some(unready.map_or(running, |unready| unready.max(running)))
}

/// Fetches the end of a log, with timestamps.
pub(super) async fn fetch(client: &Client, wanted: &mut Wanted) -> Result<Vec<LogLine>, String> {
    let all = async {
        let lines = read(client, wanted).await?;
        let (Run::Current, Some(ended)) = (wanted.run, wanted.ended) else {
            return Ok(lines);
        };
        if is_of(&lines, ended) == Some(true) {
            return Ok(lines);
        }
        // The container may have been started again in the meantime: then this is the new run's
        // log, which is empty at first.
        let before = Wanted {
            run: Run::Previous,
            ..wanted.clone()
        };
        match read(client, &before).await {
            Ok(previous) if is_of(&previous, ended) == Some(true) || !lines.is_empty() => {
                wanted.run = Run::Previous;
                Ok(previous)
            }
            Err(because) if !lines.is_empty() => Err(because),
            _ => Ok(lines),
        }
    };
    match tokio::time::timeout(DEADLINE, all).await {
        Ok(lines) => lines,
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

/// Whether a log is that of the run between these times, which are told in whole seconds; none
/// where it does not tell.
fn is_of(lines: &[LogLine], (started, finished): (Timestamp, Timestamp)) -> Option<bool> {
    let first = lines.first().and_then(|line| line.at)?;
    Some(first >= started && first <= finished.checked_add(GRAIN).unwrap_or(finished))
}

async fn read(client: &Client, wanted: &Wanted) -> Result<Vec<LogLine>, String> {
    let pods: Api<core::Pod> = Api::namespaced(client.clone(), &wanted.namespace);
    let parameters = LogParams {
        container: Some(wanted.container.clone()),
        previous: wanted.run == Run::Previous,
        tail_lines: Some(Log::MAX_LINES as i64),
        limit_bytes: Some(MAX_BYTES),
        timestamps: true,
        ..LogParams::default()
    };
    let explained = |error: kube::Error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    let stream = pods
        .log_stream(&wanted.pod, &parameters)
        .await
        .map_err(explained)?;
    let mut bytes = Vec::new();
    let mut stream = stream.take(MAX_BYTES as u64);
    stream
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| error.to_string())?;
    lines(&bytes)
}

/// Whether this says that a container or its log was removed.
fn is_removed(text: &str) -> bool {
    REMOVED.iter().any(|start| text.starts_with(start))
}

/// The lines of a log that was asked for with timestamps.
fn lines(bytes: &[u8]) -> Result<Vec<LogLine>, String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let lines: Vec<_> = lines.map(LogLine::parse).collect();
    match lines.as_slice() {
        [line] if line.at.is_none() && is_removed(&line.text) => Err(line.text.clone()),
        _ => Ok(lines),
    }
}

#[cfg(test)]
mod tests {
    use crashbook_detector::Object;
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-24T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn terminated(id: &str, exit_code: i32) -> Value {
        json!({ "terminated": {
            "containerID": id, "exitCode": exit_code, "finishedAt": "2026-11-24T11:59:50Z",
        }})
    }

    fn running(since: &str) -> Value {
        json!({ "running": { "startedAt": since } })
    }

    /// A pod with one container in this state.
    fn pod(ready: bool, id: &str, state: &Value, last: &Value) -> Pod {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "shop", "name": "web", "uid": "u" },
            "spec": { "containers": [{ "name": "app" }] },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "app", "image": "", "imageID": "", "ready": ready, "restartCount": 1,
                "containerID": id, "state": state, "lastState": last,
            }]},
        });
        match Object::decode(object).unwrap() {
            Object::Pod(pod) => Pod::clone(&pod),
            other => panic!("{other:?}"),
        }
    }

    fn ids(wanted: &[Wanted]) -> Vec<(&str, Run)> {
        wanted
            .iter()
            .map(|wanted| (wanted.container_id.as_str(), wanted.run))
            .collect()
    }

    fn is_nothing((wanted, known): &(Vec<Wanted>, Vec<Observation>)) -> bool {
        wanted.is_empty() && known.is_empty()
    }

    #[test]
    fn the_log_of_an_ended_run_is_fetched_once() {
        let mut plan = Plan::default();
        let ended = pod(false, "a", &terminated("a", 1), &json!({}));
        let (wanted, _) = plan.see(&ended, now());
        assert_eq!(ids(&wanted), [("a", Run::Current)]);
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let waits = pod(false, "a", &waiting, &terminated("a", 1));
        assert!(is_nothing(&plan.see(&waits, now())));
    }

    #[test]
    fn the_log_of_a_run_that_another_followed_is_told_as_the_previous_one() {
        let mut plan = Plan::default();
        let ended = pod(false, "a", &terminated("a", 1), &json!({}));
        let (mut wanted, _) = plan.see(&ended, now());
        let line = LogLine::parse(b"no such file");
        plan.fetched(wanted.remove(0), Ok(vec![line.clone()]))
            .unwrap();
        let runs = pod(true, "b", &running(NOW), &terminated("a", 1));
        let (wanted, known) = plan.see(&runs, now());
        assert_eq!(ids(&wanted), []);
        let [Observation::Log(log)] = known.as_slice() else {
            panic!("{known:?}");
        };
        assert_eq!(
            (log.run, log.container_id.as_deref()),
            (Run::Previous, Some("a"))
        );
        assert_eq!(log.lines, [line]);
        assert!(is_nothing(&plan.see(&runs, now())));
    }

    #[test]
    fn a_log_that_cannot_be_had_is_told() {
        let mut plan = Plan::default();
        let ended = pod(false, "a", &terminated("a", 1), &json!({}));
        let (mut wanted, _) = plan.see(&ended, now());
        let told = plan.fetched(wanted.remove(0), Err("gone".to_owned()));
        assert!(matches!(told, Some(Observation::LogUnavailable { .. })));
    }

    #[test]
    fn that_a_container_was_removed_is_no_log_and_no_news() {
        let unlinked = "failed to try resolving symlinks in path \"/var/log/pods/a/0.log\": lstat";
        assert_eq!(lines(unlinked.as_bytes()), Err(unlinked.to_owned()));
        let removed = "unable to retrieve container logs for containerd://a";
        assert_eq!(lines(removed.as_bytes()), Err(removed.to_owned()));
        let printed = format!("2026-11-24T11:59:50Z {removed}\n");
        assert_eq!(lines(printed.as_bytes()).map(|lines| lines.len()), Ok(1));
        let mut plan = Plan::default();
        let ended = pod(false, "a", &terminated("a", 1), &json!({}));
        let (mut wanted, _) = plan.see(&ended, now());
        assert!(
            plan.fetched(wanted.remove(0), Err(removed.to_owned()))
                .is_none()
        );
    }

    #[test]
    fn what_ends_as_it_should_is_not_fetched() {
        let mut plan = Plan::default();
        let mut done = pod(false, "a", &terminated("a", 0), &json!({}));
        std::sync::Arc::make_mut(&mut done.spec).restart_policy = Some("Never".to_owned());
        assert!(is_nothing(&plan.see(&done, now())));
    }

    #[test]
    fn a_container_that_stays_unready_is_looked_at_again_and_again() {
        let mut plan = Plan::default();
        let unready = pod(false, "a", &running("2026-11-24T11:59:50Z"), &json!({}));
        plan.see(&unready, now());
        assert_eq!(plan.due(now()), []);
        let due = now().checked_add(SignedDuration::from_secs(20)).unwrap();
        assert_eq!(plan.next_due(), Some(due));
        assert_eq!(ids(&plan.due(due)), [("a", Run::Current)]);
        plan.see(&unready, due);
        assert_eq!(plan.next_due(), due.checked_add(APART).ok());
        let ready = pod(true, "a", &running("2026-11-24T11:59:50Z"), &json!({}));
        plan.see(&ready, due);
        assert_eq!(plan.next_due(), None);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut plan = Plan::default();
        let unready = pod(false, "a", &running("2026-11-24T11:59:50Z"), &json!({}));
        plan.see(&unready, now());
        plan.forget(&unready);
        assert_eq!((plan.next_due(), plan.followed), (None, 0));
    }
}
