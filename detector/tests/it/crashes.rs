//! Containers that end although they should run on: who or what ended them.

use crashbook_detector::facts::{Log, Run};
use crashbook_detector::{Kind, Observation};

use crate::support::{State, quotes};

/// A pod whose container `app` waits to be started again after a run from 11:59:30 to 11:59:40.
fn crashing(ended: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: u, creationTimestamp: '2026-11-24T11:50:00Z'}}
spec:
  nodeName: worker
  containers:
  - name: app
    resources: {{limits: {{memory: 32Mi}}}}
    livenessProbe: {{httpGet: {{port: 8080}}}}
  - name: proxy
status:
  phase: Running
  startTime: '2026-11-24T11:50:00Z'
  containerStatuses:
  - name: app
    image: ''
    imageID: ''
    ready: false
    restartCount: 3
    state: {{waiting: {{reason: CrashLoopBackOff, message: back-off}}}}
    lastState: {{terminated: {{{ended}, containerID: c, startedAt: '2026-11-24T11:59:30Z', finishedAt: '2026-11-24T11:59:40Z'}}}}
  - name: proxy
    image: ''
    imageID: ''
    ready: true
    restartCount: 0
    state: {{running: {{startedAt: '2026-11-24T11:50:01Z'}}}}
"
    )
}

const WAITS: &str = "waiting: {reason: CrashLoopBackOff, message: back-off}";
const EXIT_1: &str = "exitCode: 1, reason: Error";
const EXIT_137: &str = "exitCode: 137, reason: Error";

fn event(reason: &str, message: &str, at: &str) -> String {
    format!(
        "apiVersion: v1
kind: Event
metadata: {{name: web.{reason}, namespace: shop}}
involvedObject: {{kind: Pod, namespace: shop, name: web, uid: u, fieldPath: 'spec.containers{{app}}'}}
reason: {reason}
message: '{message}'
type: Normal
firstTimestamp: '{at}'
lastTimestamp: '{at}'
"
    )
}

fn node_event(reason: &str, message: &str, at: &str) -> String {
    format!(
        "apiVersion: v1
kind: Event
metadata: {{name: worker.{reason}, namespace: default}}
involvedObject: {{kind: Node, name: worker, uid: worker}}
reason: {reason}
message: '{message}'
type: Warning
firstTimestamp: '{at}'
lastTimestamp: '{at}'
"
    )
}

fn unexplained(exit_code: i32, lines: &str) -> String {
    format!(
        "likely crash-unexplained Pod shop/web <- Pod shop/web \
         {{\"container\":\"app\",\"exitCode\":{exit_code},\"lastLines\":{lines}}}"
    )
}

const OOM: &str = "oom-killed Pod shop/web <- Pod shop/web \
    spec.containers[0].resources.limits.memory {\"container\":\"app\",\"limit\":\"32Mi\"}";

#[test]
fn a_crash_that_nothing_explains() {
    let state = State::of(&crashing(EXIT_1));
    state.says(&[&unexplained(1, "[]")]);
    let words = "frobnicating\n\nfrobnication failed\n";
    let said = unexplained(1, "[\"frobnicating\",\"frobnication failed\"]");
    state.clone().log(Run::Current, words).says(&[&said]);
    state.log(Run::Previous, words).says(&[&said]);
}

#[test]
fn the_line_that_tells_is_quoted_and_not_where_it_happened() {
    let words = "Exception in thread \"main\" app.Broken: Validate failed: checksum mismatch\n\tat app.Main.main(Main.java:7)\nINFO stopping\nINFO stopped\nINFO one\nINFO two\nINFO three\n\t... 20 more";
    let verdicts = State::of(&crashing(EXIT_1))
        .log(Run::Current, words)
        .verdicts();
    let quotes = quotes(&verdicts[0]);
    assert_eq!(
        quotes[1..],
        ["Exception in thread \"main\" app.Broken: Validate failed: checksum mismatch"]
    );
    let lines = verdicts[0].detail["lastLines"].to_string();
    assert!(lines.starts_with("[\"Exception in thread"), "{lines}");
    assert!(
        !lines.contains("more") && lines.ends_with("three\"]"),
        "{lines}"
    );
}

#[test]
fn its_log_is_waited_for() {
    let state = State::of(&crashing(EXIT_1)).at("2026-11-24T11:59:41Z");
    state.says(&[]);
    state
        .clone()
        .log(Run::Previous, "")
        .says(&[&unexplained(1, "[]")]);
    state
        .clone()
        .seen(Observation::LogUnavailable {
            namespace: "shop".to_owned(),
            pod: "web".to_owned(),
            container: "app".to_owned(),
            run: Run::Previous,
            container_id: None,
            because: "the node does not answer".to_owned(),
        })
        .says(&[&unexplained(1, "[]")]);
    state
        .at("2026-11-24T11:59:50Z")
        .says(&[&unexplained(1, "[]")]);
}

#[test]
fn what_is_missing_of_an_earlier_run_says_nothing_of_the_last() {
    let state = State::of(&crashing(EXIT_1)).at("2026-11-24T11:59:41Z");
    let missing = |id: &str| Observation::LogUnavailable {
        namespace: "shop".to_owned(),
        pod: "web".to_owned(),
        container: "app".to_owned(),
        run: Run::Current,
        container_id: Some(id.to_owned()),
        because: "the node does not answer".to_owned(),
    };
    let first = state.clone().seen(missing("b"));
    first.says(&[]);
    first.seen(missing("c")).says(&[&unexplained(1, "[]")]);
    // That the first printed nothing, neither.
    let nothing = Log {
        namespace: "shop".to_owned(),
        pod: "web".to_owned(),
        uid: None,
        container: "app".to_owned(),
        run: Run::Current,
        container_id: Some("b".to_owned()),
        lines: Vec::new(),
    };
    state.seen(Observation::Log(nothing)).says(&[]);
}

#[test]
fn lines_belong_to_the_run_that_printed_them() {
    let log = "2026-11-24T11:59:00Z of the run before\n\
               2026-11-24T11:59:39Z of the run that ended\n\
               2026-11-24T11:59:55Z of the run that ended\n";
    let running = crashing(EXIT_1).replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}");
    let said = unexplained(1, "[\"of the run that ended\"]");
    State::of(&running).log(Run::Previous, log).says(&[&said]);
    // Without times, the current log is the present run's.
    State::of(&running)
        .log(Run::Current, "well so far")
        .says(&[&unexplained(1, "[]")]);
}

#[test]
fn a_run_that_goes_another_way_is_waited_for() {
    let running = crashing(EXIT_1).replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}");
    let state = State::of(&running).log(Run::Previous, "try 1\ntry 2\ngiving up");
    let said = unexplained(1, "[\"try 1\",\"try 2\",\"giving up\"]");
    state.clone().log(Run::Current, "try 7").says(&[&said]);
    state.log(Run::Current, "try 1\nconnected").says(&[]);
}

#[test]
fn what_changed_since_may_have_mended_it() {
    let policy = |port: u16| {
        format!(
            "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: web, namespace: shop}}
spec: {{podSelector: {{}}, egress: [{{ports: [{{port: {port}}}]}}]}}
"
        )
    };
    let crash = crashing(EXIT_1);
    State::of(&policy(80))
        .and(&crash)
        .says(&[&unexplained(1, "[]")]);
    State::of(&policy(80))
        .and(&crash)
        .and(&policy(3100))
        .says(&[]);
}

#[test]
fn a_program_that_ends_well_and_should_run_on() {
    let ended = crashing("exitCode: 0, reason: Completed");
    let said = "exits-normally Pod shop/web <- Pod shop/web spec.containers[0].command {\"container\":\"app\"}";
    State::of(&ended).says(&[&format!("certain {said}")]);
    State::of(&ended)
        .without_list_of(Kind::Event)
        .says(&[&format!("possible {said}")]);
    State::of(&ended.replace("spec:\n", "spec:\n  restartPolicy: OnFailure\n")).says(&[]);
    let once = ended
        .replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}")
        .replace("restartCount: 3", "restartCount: 1");
    State::of(&once).says(&[]);
}

#[test]
fn the_probe_ends_it() {
    for (probe, class) in [
        ("liveness", "liveness-probe-failing"),
        ("startup", "startup-probe-failing"),
    ] {
        let message = format!("Container app failed {probe} probe, will be restarted");
        let killed = event("Killing", &message, "2026-11-24T11:59:39Z");
        let said = |port: &str| {
            format!(
                "certain {class} Pod shop/web <- Pod shop/web spec.containers[0].{probe}Probe \
                 {{\"container\":\"app\",\"port\":{port},\"probe\":\"httpGet\"}}"
            )
        };
        for ended in [
            EXIT_137,
            "exitCode: 143, reason: Error",
            "exitCode: 0, reason: Completed",
        ] {
            let pod = crashing(ended).replace("livenessProbe", &format!("{probe}Probe"));
            State::of(&pod).and(&killed).says(&[&said("8080")]);
            let named = pod.replace("port: 8080", "port: web");
            State::of(&named).and(&killed).says(&[&said("\"web\"")]);
        }
    }
}

#[test]
fn the_event_of_a_probe_that_ends_a_container_again_may_come_late() {
    let pod = crashing("exitCode: 0, reason: Completed");
    let before = event(
        "Killing",
        "Container app failed liveness probe, will be restarted",
        "2026-11-24T11:59:20Z",
    );
    let probe = "certain liveness-probe-failing Pod shop/web <- Pod shop/web spec.containers[0].livenessProbe \
         {\"container\":\"app\",\"port\":8080,\"probe\":\"httpGet\"}";
    let state = State::of(&pod).and(&before);
    state.clone().at("2026-11-24T11:59:44Z").says(&[probe]);
    let itself = "certain exits-normally Pod shop/web <- Pod shop/web spec.containers[0].command \
         {\"container\":\"app\"}";
    state.at("2026-11-24T11:59:45Z").says(&[itself]);
}

/// Source: what a kubelet of 1.34.4 showed of a container that it ended for the seventh time.
#[test]
fn the_event_of_a_probe_that_ends_a_container_for_long_is_dropped() {
    let many = |text: String, count: u32| {
        text.replace("type: Normal", &format!("type: Normal\ncount: {count}"))
    };
    let killed = "Container app failed liveness probe, will be restarted";
    let killed = many(event("Killing", killed, "2026-11-24T11:50:20Z"), 6);
    let fails = "Liveness probe failed: timeout";
    let fails = |count| many(event("Unhealthy", fails, "2026-11-24T11:51:20Z"), count);
    let probe = "certain liveness-probe-failing Pod shop/web <- Pod shop/web spec.containers[0].livenessProbe \
         {\"container\":\"app\",\"error\":\"timeout\",\"port\":8080,\"probe\":\"httpGet\"}";
    let state = State::of(&crashing(EXIT_137));
    state.clone().and(&killed).and(&fails(19)).says(&[probe]);
    // An event that is not sent again is gone after an hour.
    state.clone().and(&fails(25)).says(&[probe]);
    // With so few of them none is dropped.
    state
        .and(&killed)
        .and(&fails(18))
        .says(&[&format!("likely {OOM}")]);
    // It ended by itself.
    let itself = crashing("exitCode: 3, reason: Error");
    State::of(&itself)
        .and(&killed)
        .and(&fails(19))
        .says(&[&unexplained(3, "[]")]);
}

#[test]
fn a_probe_that_ended_one_long_run_is_history_unless_it_fails_again() {
    let long = crashing(EXIT_137)
        .replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}")
        .replace("restartCount: 3", "restartCount: 1")
        .replace("11:59:30Z", "01:59:30Z")
        .replace("11:50:00Z", "01:50:00Z");
    let killed = event(
        "Killing",
        "Container app failed liveness probe, will be restarted",
        "2026-11-24T11:59:39Z",
    );
    State::of(&long).and(&killed).says(&[]);
    let fails = event(
        "Unhealthy",
        "Liveness probe failed: timeout",
        "2026-11-24T11:59:55Z",
    );
    let said = "certain liveness-probe-failing Pod shop/web <- Pod shop/web spec.containers[0].livenessProbe \
         {\"container\":\"app\",\"error\":\"timeout\",\"port\":8080,\"probe\":\"httpGet\"}";
    State::of(&long).and(&killed).and(&fails).says(&[said]);
}

#[test]
fn an_init_container_fails() {
    let pod = "apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: u}
spec:
  initContainers: [{name: wait}, {name: app}]
  containers: [{name: main}]
status:
  phase: Pending
  initContainerStatuses:
  - {name: app, image: '', imageID: '', ready: false, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 7, reason: Error, containerID: c, startedAt: '2026-11-24T11:59:30Z', finishedAt: '2026-11-24T11:59:40Z'}}}
";
    State::of(pod).says(&[
        "certain init-container-failing Pod shop/web <- Pod shop/web spec.initContainers[1] \
        {\"container\":\"app\",\"exitCode\":7}",
    ]);
    let once = pod.replace("restartCount: 1", "restartCount: 0").replace(
        "waiting: {reason: CrashLoopBackOff}",
        "running: {startedAt: '2026-11-24T11:59:50Z'}",
    );
    State::of(&once).says(&[]);
}

#[test]
fn a_job_that_is_given_up() {
    let failed = JOB.replace("status: {}", "status: {conditions: [{type: Failed, status: 'True', reason: DeadlineExceeded, message: too long, lastTransitionTime: '2026-11-24T11:59:45Z'}]}");
    let said = "certain job-failed CronJob shop/backup <- Job shop/backup-1 {\"reason\":\"DeadlineExceeded\"}";
    let state = State::of(&failed).and(CRON_JOB);
    state.says(&[said]);
    // The crash of its pod says more; a later run mended it; it was yesterday.
    state
        .clone()
        .and(OF_JOB)
        .says(&[&unexplained(2, "[]").replace("Pod shop/web", "CronJob shop/backup")]);
    let created = failed.replace(
        "uid: j",
        "uid: j\n  creationTimestamp: '2026-11-24T11:59:00Z'",
    );
    State::of(&created)
        .and(&CRON_JOB.replace("11:00:00Z", "11:59:50Z"))
        .says(&[]);
    state.at("2026-11-25T12:00:00Z").says(&[]);
}

#[test]
fn a_crash_loop_is_over_when_a_run_outlasts_the_others() {
    let running = crashing(EXIT_1).replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}");
    // Twice ten seconds and ten more.
    State::of(&running)
        .at("2026-11-24T12:00:19Z")
        .says(&[&unexplained(1, "[]")]);
    State::of(&running).at("2026-11-24T12:00:20Z").says(&[]);
}

#[test]
fn the_longest_of_the_last_runs_is_to_be_outlasted() {
    let long = crashing(EXIT_1)
        .replace("containerID: c", "containerID: b")
        .replace("11:59:30Z", "11:58:00Z");
    let running = crashing(EXIT_1).replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}");
    let state = State::of(&long).and(&running);
    state
        .clone()
        .at("2026-11-24T12:00:20Z")
        .says(&[&unexplained(1, "[]")]);
    state.at("2026-11-24T12:03:20Z").says(&[]);
}

#[test]
fn an_end_that_is_told_of_late_leaves_its_log_its_time() {
    // The run ended at 11:59:40, and its kubelet knew of it 15 s later.
    let late = "conditions: [{type: ContainersReady, status: 'False', lastTransitionTime: '2026-11-24T11:59:55Z'}]";
    let ended = crashing(EXIT_1).replace("phase: Running", &format!("phase: Running\n  {late}"));
    State::of(&ended).at("2026-11-24T12:00:04Z").says(&[]);
    let said = unexplained(1, "[]");
    State::of(&ended).at("2026-11-24T12:00:05Z").says(&[&said]);
}

#[test]
fn one_failure_is_none() {
    let once = crashing(EXIT_1)
        .replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}")
        .replace("restartCount: 3", "restartCount: 1");
    State::of(&once).says(&[]);
    // After days of work, however often it happened before.
    let rarely = crashing(EXIT_1)
        .replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}")
        .replace("11:59:30Z", "09:59:30Z")
        .replace("11:50:00Z", "01:50:00Z");
    State::of(&rarely).says(&[]);
    let often = rarely.replace("restartCount: 3", "restartCount: 30");
    State::of(&often).says(&[&unexplained(1, "[]")]);
}

#[test]
fn a_pod_that_goes_is_no_trouble() {
    let going = crashing(EXIT_1).replace(
        "uid: u,",
        "uid: u, deletionTimestamp: '2026-11-24T12:00:00Z',",
    );
    State::of(&going).says(&[]);
}

#[test]
fn out_of_memory_by_its_own_limit() {
    let state = State::of(&crashing("exitCode: 137, reason: OOMKilled"));
    state.says(&[&format!("certain {OOM}")]);
    // It was the first time, and it runs again.
    let once = crashing("exitCode: 137, reason: OOMKilled")
        .replace(WAITS, "running: {startedAt: '2026-11-24T11:59:50Z'}")
        .replace("restartCount: 3", "restartCount: 1");
    State::of(&once).says(&[&format!("certain {OOM}")]);
    State::of(&once).at("2026-11-24T12:00:20Z").says(&[]);
}

#[test]
fn out_of_memory_by_the_exit_code_alone() {
    let state = State::of(&crashing(EXIT_137));
    state.says(&[&format!("likely {OOM}")]);
    // Somebody else killed it.
    for (reason, message) in [
        (
            "Killing",
            "Container app failed liveness probe, will be restarted",
        ),
        (
            "Killing",
            "Container app definition changed, will be restarted",
        ),
        (
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        ),
    ] {
        let killed = state
            .clone()
            .and(&event(reason, message, "2026-11-24T11:59:39Z"));
        let unwanted = killed
            .verdicts()
            .into_iter()
            .find(|verdict| ["oom-killed", "crash-unexplained"].contains(&verdict.class.name()));
        assert_eq!(unwanted, None, "{message}");
    }
    // Of an earlier run; and another container's.
    let before = event(
        "Killing",
        "Container app failed liveness probe, will be restarted",
        "2026-11-24T11:59:20Z",
    );
    state.clone().and(&before).says(&[&format!("likely {OOM}")]);
    let other = event(
        "Killing",
        "Stopping container proxy",
        "2026-11-24T11:59:39Z",
    )
    .replace("{app}", "{proxy}");
    state.clone().and(&other).says(&[&format!("likely {OOM}")]);
    // Without events nobody knows who killed it; without a limit it was not the limit.
    state
        .without_list_of(Kind::Event)
        .says(&[&unexplained(137, "[]")]);
    let unlimited =
        crashing(EXIT_137).replace("limits: {memory: 32Mi}", "requests: {memory: 32Mi}");
    State::of(&unlimited).says(&[&unexplained(137, "[]")]);
}

#[test]
fn out_of_memory_at_the_start() {
    let message =
        "failed to create containerd task: container init was OOM-killed (memory limit too low?)";
    let ended = format!("exitCode: 128, reason: StartError, message: '{message}'");
    State::of(&crashing(&ended)).says(&[&format!("certain {OOM}")]);
    let waiting = crashing(EXIT_1)
        .replace(WAITS, "waiting: {reason: ContainerCreating}")
        .replace(
            "running: {startedAt: '2026-11-24T11:50:01Z'}",
            "waiting: {reason: ContainerCreating}",
        );
    let waiting: String = waiting
        .lines()
        .filter(|line| !line.contains("lastState"))
        .map(|line| format!("{line}\n"))
        .collect();
    let waiting = waiting.replace("restartCount: 3", "restartCount: 0");
    State::of(&waiting)
        .and(&event(
            "FailedCreatePodSandBox",
            message,
            "2026-11-24T11:59:50Z",
        ))
        .says(&[&format!("certain {OOM}")]);
}

#[test]
fn out_of_memory_of_the_node() {
    let system = node_event(
        "SystemOOM",
        "System OOM encountered, victim process: app, pid: 7",
        "2026-11-24T11:59:41Z",
    );
    let said = |confidence: &str| {
        format!(
            "{confidence} node-out-of-memory Pod shop/web <- Node worker \
             {{\"victim\":{{\"kind\":\"Pod\",\"name\":\"web\",\"namespace\":\"shop\"}}}}"
        )
    };
    State::of(&crashing("exitCode: 137, reason: OOMKilled"))
        .and(&system)
        .says(&[&said("certain")]);
    State::of(&crashing(EXIT_137))
        .and(&system)
        .says(&[&said("likely")]);
    let unlimited = crashing("exitCode: 137, reason: OOMKilled")
        .replace("limits: {memory: 32Mi}", "requests: {memory: 32Mi}");
    State::of(&unlimited).says(&[&said("likely")]);
    // The next time the runtime misses the kernel's word.
    let missed = unlimited
        .replace("reason: OOMKilled", "reason: Error")
        .replace("containerID: c", "containerID: d");
    State::of(&unlimited).and(&missed).says(&[&said("likely")]);
    State::of(&missed).says(&[&unexplained(137, "[]")]);
    // An hour ago; and a container's limit, as the node problem detector sees it.
    State::of(&crashing(EXIT_137))
        .and(&system.replace("11:59:41Z", "10:59:41Z"))
        .says(&[&format!("likely {OOM}")]);
    let cgroup = node_event(
        "OOMKilling",
        "Memory cgroup out of memory: Killed process 7 (app)",
        "2026-11-24T11:59:41Z",
    );
    State::of(&crashing(EXIT_137))
        .and(&cgroup)
        .says(&[&format!("likely {OOM}")]);
    State::of(&crashing(EXIT_1))
        .and(&system)
        .says(&[&unexplained(1, "[]")]);
}

#[test]
fn a_sidecar_that_fails_while_the_pod_is_pending() {
    let pod = "apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: u}
spec:
  initContainers: [{name: app, restartPolicy: Always}, {name: migrate}]
  containers: [{name: main}]
status:
  phase: Pending
  initContainerStatuses:
  - {name: app, image: '', imageID: '', ready: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, containerID: c, startedAt: '2026-11-24T11:59:30Z', finishedAt: '2026-11-24T11:59:40Z'}}}
  - {name: migrate, image: '', imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: PodInitializing}}}
";
    State::of(pod).says(&[&unexplained(1, "[]")]);
}

/// A pod of a Job that failed at 11:59:40.
const OF_JOB: &str = "apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  uid: u
  creationTimestamp: '2026-11-24T11:59:30Z'
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: backup-1, uid: j, controller: true}]
spec: {restartPolicy: Never, containers: [{name: app}]}
status:
  phase: Failed
  containerStatuses:
  - {name: app, image: '', imageID: '', ready: false, restartCount: 0, state: {terminated: {exitCode: 2, reason: Error, containerID: c, startedAt: '2026-11-24T11:59:30Z', finishedAt: '2026-11-24T11:59:40Z'}}}
";
const JOB: &str = "apiVersion: batch/v1
kind: Job
metadata:
  name: backup-1
  namespace: shop
  uid: j
  ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: backup, uid: cj, controller: true}]
spec: {template: {}}
status: {}
";
const CRON_JOB: &str = "apiVersion: batch/v1
kind: CronJob
metadata: {name: backup, namespace: shop, uid: cj}
spec: {schedule: '* * * * *', jobTemplate: {}}
status: {lastSuccessfulTime: '2026-11-24T11:00:00Z'}
";

#[test]
fn once_is_enough_for_a_job() {
    let of = |subject: &str| unexplained(2, "[]").replace("Pod shop/web", subject);
    let state = State::of(OF_JOB).and(JOB).and(CRON_JOB);
    state.says(&[&of("CronJob shop/backup")]);
    State::of(OF_JOB).says(&[&of("Job shop/backup-1")]);
    // A later run of the CronJob succeeded; a later try of the Job did; it was yesterday.
    state
        .clone()
        .and(&CRON_JOB.replace("11:00:00Z", "11:59:50Z"))
        .says(&[]);
    let retried = OF_JOB
        .replace("name: web", "name: web-2")
        .replace("uid: u", "uid: u2")
        .replace("11:59:", "11:58:")
        .replace("phase: Failed", "phase: Succeeded")
        .replace(
            "exitCode: 2, reason: Error",
            "exitCode: 0, reason: Completed",
        );
    state
        .clone()
        .and(&retried)
        .says(&[&of("CronJob shop/backup")]);
    state
        .clone()
        .and(&retried.replace("11:58:30Z", "11:59:50Z"))
        .says(&[]);
    state.at("2026-11-25T12:00:00Z").says(&[]);
}

#[test]
fn who_ends_a_whole_pod_is_not_the_program() {
    for reason in [
        "Evicted",
        "DeadlineExceeded",
        "NodeShutdown",
        "Preempting",
        "Terminated",
    ] {
        let ended = OF_JOB.replace(
            "phase: Failed",
            &format!("phase: Failed\n  reason: {reason}"),
        );
        State::of(&ended).says(&[]);
    }
}

#[test]
fn until_a_log_is_read_the_one_before_speaks() {
    let earlier = |of: &str| {
        Observation::Log(crashbook_detector::facts::Log {
            namespace: "shop".to_owned(),
            pod: "web".to_owned(),
            uid: None,
            container: "app".to_owned(),
            run: Run::Current,
            container_id: Some(of.to_owned()),
            lines: vec![crashbook_detector::facts::LogLine::parse(
                b"frobnication failed",
            )],
        })
    };
    let state = |of: &str, now: &str| State::of(&crashing(EXIT_1)).seen(earlier(of)).at(now);
    let heard = unexplained(1, "[\"frobnication failed\"]");
    state("containerd://c", "2026-11-24T11:59:41Z").says(&[&heard]);
    state("containerd://b", "2026-11-24T11:59:41Z").says(&[&heard]);
    state("containerd://b", "2026-11-24T11:59:51Z").says(&[&unexplained(1, "[]")]);
}

/// Of Jobs that are not in the input, the pods of their CronJob tell that a later one went well.
#[test]
fn a_scheduled_try_whose_successor_went_well() {
    let of_job = |name: &str, created: &str, status: &str| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata:
  name: {name}-x
  namespace: shop
  uid: {name}
  creationTimestamp: '{created}'
  ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: {name}, uid: {name}, controller: true}}]
spec: {{containers: [{{name: app}}], restartPolicy: Never}}
status: {status}
"
        )
    };
    let ended = |phase: &str, code: u8, at: &str| {
        format!(
            "{{phase: {phase}, containerStatuses: [{{name: app, image: '', imageID: '', ready: false, restartCount: 0, state: {{terminated: {{exitCode: {code}, reason: x, startedAt: '{at}', finishedAt: '{at}'}}}}}}]}}"
        )
    };
    // 29733750 minutes after the epoch, and an hour later.
    let failed = of_job(
        "backup-29733750",
        "2026-07-14T10:30:00Z",
        &ended("Failed", 1, "2026-07-14T10:31:00Z"),
    );
    let state = State::of(&failed)
        .without_list_of(Kind::Job)
        .at("2026-07-14T12:00:00Z");
    state.names(&["likely crash-unexplained CronJob shop/backup <- CronJob shop/backup"]);
    let later = of_job(
        "backup-29733810",
        "2026-07-14T11:30:00Z",
        &ended("Succeeded", 0, "2026-07-14T11:31:00Z"),
    );
    state.and(&later).says(&[]);
}
