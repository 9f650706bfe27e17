//! Containers that do not get ready, get no image or no sandbox, or are held back.

use crashbook_detector::Observation;
use crashbook_detector::observation::{
    ContainerUse, CpuPeriods, CpuUse, NodeStats, PeriodsByContainer, PodRef, PodUse,
};

use crate::support::State;

/// A pod on a node whose container `app` is in this state.
fn pod(phase: &str, ready: bool, state: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: u, creationTimestamp: '2026-11-24T11:50:00Z'}}
spec:
  nodeName: worker
  imagePullSecrets: []
  containers:
  - name: app
    image: registry.example.com/shop/web:1
    ports: [{{name: http, containerPort: 80}}]
    readinessProbe: {{httpGet: {{port: 8080}}, initialDelaySeconds: 40}}
    resources: {{limits: {{cpu: 500m}}}}
status:
  phase: {phase}
  startTime: '2026-11-24T11:50:00Z'
  conditions: [{{type: Ready, status: '{ready}', lastTransitionTime: '2026-11-24T11:58:00Z'}}]
  containerStatuses:
  - {{name: app, image: '', imageID: '', ready: {ready}, restartCount: 0, state: {{{state}}}}}
---
apiVersion: v1
kind: Node
metadata: {{name: worker, uid: n-1, creationTimestamp: '2026-11-24T10:00:00Z'}}
status: {{conditions: [{{type: Ready, status: 'True'}}]}}
"
    )
    .replace("'true'", "'True'")
    .replace("'false'", "'False'")
}

fn event(reason: &str, message: &str, at: &str) -> String {
    format!(
        "apiVersion: v1
kind: Event
metadata: {{name: web.{reason}, namespace: shop}}
involvedObject: {{kind: Pod, namespace: shop, name: web, uid: u, fieldPath: 'spec.containers{{app}}'}}
reason: {reason}
message: '{message}'
firstTimestamp: '{at}'
lastTimestamp: '{at}'
"
    )
}

#[test]
fn a_readiness_probe_fails() {
    let unready = pod(
        "Running",
        false,
        "running: {startedAt: '2026-11-24T11:58:00Z'}",
    );
    let said = |confidence: &str, error: &str| {
        format!(
            "{confidence} readiness-probe-failing Pod shop/web <- Pod shop/web spec.containers[0].readinessProbe \
             {{\"container\":\"app\",{error}\"port\":8080,\"probe\":\"httpGet\"}}"
        )
    };
    let refused = event(
        "Unhealthy",
        "Readiness probe failed: connection refused",
        "2026-11-24T11:59:20Z",
    );
    let state = State::of(&unready);
    state.says(&[&said("likely", "")]);
    state
        .clone()
        .and(&refused)
        .says(&[&said("certain", "\"error\":\"connection refused\",")]);
    let summary = state.and(&refused).verdicts()[0].summary.clone();
    assert!(
        summary.contains("it asks port 8080, while the container declares 80 (http)"),
        "{summary}"
    );
}

#[test]
fn a_readiness_that_comes_and_goes() {
    let unready = pod(
        "Running",
        false,
        "running: {startedAt: '2026-11-24T10:00:00Z'}",
    );
    let since = |time: &str| {
        let unready = unready.replace("2026-11-24T11:50:00Z", "2026-11-24T10:00:00Z");
        unready.replace("2026-11-24T11:58:00Z", time)
    };
    State::of(&since("2026-11-24T11:59:31Z")).says(&[]);
    let classes = State::of(&since("2026-11-24T11:59:30Z")).verdicts();
    assert_eq!(classes[0].class.name(), "readiness-probe-failing");
}

#[test]
fn a_start_has_its_time() {
    // 40 s until it is asked, and three times 10 s.
    let unready = pod(
        "Running",
        false,
        "running: {startedAt: '2026-11-24T11:58:51Z'}",
    );
    State::of(&unready).says(&[]);
    State::of(&unready)
        .at("2026-11-24T12:00:01Z")
        .verdicts()
        .first()
        .expect("its time is over");
    let starting = unready.replace(
        "readinessProbe:",
        "startupProbe: {httpGet: {port: 80}}\n    readinessProbe:",
    );
    State::of(&starting).at("2026-11-24T12:00:01Z").says(&[]);
    let going = unready.replace(
        "uid: u,",
        "uid: u, deletionTimestamp: '2026-11-24T12:00:30Z',",
    );
    State::of(&going).at("2026-11-24T12:00:01Z").says(&[]);
    State::of(&pod(
        "Running",
        true,
        "running: {startedAt: '2026-11-24T11:58:00Z'}",
    ))
    .and(&event(
        "Unhealthy",
        "Readiness probe failed: connection refused",
        "2026-11-24T11:58:20Z",
    ))
    .says(&[]);
}

#[test]
fn a_crash_loop_is_not_its_probe() {
    let crashing = pod("Running", false, "running: {startedAt: '2026-11-24T11:58:00Z'}").replace(
        "restartCount: 0,",
        "restartCount: 5, lastState: {terminated: {exitCode: 1, reason: Error, startedAt: '2026-11-24T11:50:00Z', finishedAt: '2026-11-24T11:57:00Z'}},",
    );
    let classes: Vec<_> = State::of(&crashing)
        .verdicts()
        .iter()
        .map(|verdict| verdict.class.name())
        .collect();
    assert_eq!(classes, ["crash-unexplained"]);
}

fn unpulled(message: &str) -> String {
    let state = format!("waiting: {{reason: ErrImagePull, message: '{message}'}}");
    pod("Pending", false, &state)
}

#[test]
fn images() {
    let image = "spec.containers[0].image {\"container\":\"app\",";
    let name = "\"image\":\"registry.example.com/shop/web:1\"";
    let check = |message: &str, expected: &str| {
        let said = format!("certain {expected}");
        State::of(&unpulled(message)).says(&[&said]);
        // While it backs off, an older kubelet leaves the reason to the event.
        let backs_off = unpulled(message)
            .replace("ErrImagePull", "ImagePullBackOff")
            .replace(message, "Back-off pulling image \"web\"");
        let failed = event(
            "Failed",
            &format!("Failed to pull image \"web\": {message}"),
            "2026-11-24T11:59:50Z",
        );
        State::of(&backs_off).and(&failed).says(&[&said]);
        // Where nothing tells, the most frequent reason is left, once an event would have come.
        State::of(&backs_off).says(&[&format!(
            "possible image-not-found Pod shop/web <- Pod shop/web {image}{name}}}"
        )]);
    };
    check(
        "failed to resolve reference \"registry.example.com/shop/web:1\": registry.example.com/shop/web:1: not found",
        &format!("image-not-found Pod shop/web <- Pod shop/web {image}{name}}}"),
    );
    check(
        "pull failed: unexpected status: 401 Unauthorized",
        &format!(
            "image-auth-failed Pod shop/web <- Pod shop/web spec.imagePullSecrets {{\"container\":\"app\",{name},\"secrets\":[]}}"
        ),
    );
    check(
        "Head \"https://registry.example.com/v2/\": dial tcp: lookup registry.example.com: no such host",
        &format!(
            "registry-unreachable Pod shop/web <- Pod shop/web {image}\
             \"error\":\"dial tcp: lookup registry.example.com: no such host\",{name},\"registry\":\"registry.example.com\"}}"
        ),
    );
    check(
        "no match for platform in manifest: not found",
        &format!("image-invalid Pod shop/web <- Pod shop/web {image}{name}}}"),
    );
}

#[test]
fn each_failed_pull_may_tell_of_itself_in_other_words() {
    let words = |port: u16| {
        format!("dial tcp: lookup r: read udp 10.0.0.1:{port} to 10.0.0.2:53: i/o timeout")
    };
    let failed = |port, at| {
        let message = format!("Failed to pull image \"web\": {}", words(port));
        event("Failed", &message, at).replace("web.Failed", &format!("web.{port}"))
    };
    // The last one is too young to be told of, and the first is not.
    let last = failed(4001, "2026-11-24T11:59:59Z");
    let waiting = unpulled(&words(4000));
    let classes = |state: State| {
        let verdicts = state.verdicts();
        verdicts
            .iter()
            .map(|verdict| verdict.class.name())
            .collect::<Vec<_>>()
    };
    assert!(classes(State::of(&waiting).and(&last)).is_empty());
    let first = failed(4000, "2026-11-24T11:59:40Z");
    let both = State::of(&waiting).and(&first).and(&last);
    assert_eq!(classes(both), ["registry-unreachable"]);
}

#[test]
fn a_node_that_cannot_take_an_image() {
    let full =
        "failed to extract layer sha256:0: write /var/lib/a.so: no space left on device: unknown";
    let full = State::of(&unpulled(full));
    let said = "likely node-pressure-eviction Node worker <- Node worker \
                status.conditions[type=DiskPressure] {\"resource\":\"imagefs\"} affects Pod shop/web";
    full.says(&[said]);
    // Once its kubelet says so itself, there is one verdict.
    let pressed = "apiVersion: v1
kind: Node
metadata: {name: worker, uid: n-1, creationTimestamp: '2026-11-24T10:00:00Z'}
status: {conditions: [{type: Ready, status: 'True'}, {type: DiskPressure, status: 'True', lastTransitionTime: '2026-11-24T11:58:00Z'}]}
";
    full.and(pressed).names(
        &["certain node-pressure-eviction Node worker <- Node worker \
         status.conditions[type=DiskPressure] affects Pod shop/web"],
    );
    let gone = "connection error: desc = \"transport: Error while dialing: dial unix \
                /run/containerd/containerd.sock: connect: connection refused\"";
    State::of(&unpulled(gone)).names(&["likely sandbox-failed Pod shop/web <- Node worker"]);
}

#[test]
fn images_that_nobody_can_pull() {
    for reason in ["InvalidImageName", "ErrImageNeverPull"] {
        let waiting = unpulled("not present").replace("ErrImagePull", reason);
        State::of(&waiting).says(&[
            "certain image-invalid Pod shop/web <- Pod shop/web spec.containers[0].image \
             {\"container\":\"app\",\"image\":\"registry.example.com/shop/web:1\"}",
        ]);
    }
}

#[test]
fn a_pull_secret_that_is_missing() {
    let named = unpulled("pull failed: unexpected status: 401 Unauthorized").replace(
        "imagePullSecrets: []",
        "imagePullSecrets: [{name: regcred}]",
    );
    let secret = "apiVersion: v1
kind: Secret
metadata: {name: regcred, namespace: shop}
type: kubernetes.io/dockerconfigjson
";
    for state in [State::of(&named), State::of(&named).and(secret)] {
        let verdicts = state.verdicts();
        assert_eq!(verdicts[0].class.name(), "image-auth-failed");
        assert_eq!(
            verdicts[0].culprit.object.to_string(),
            "Secret shop/regcred"
        );
        assert_eq!(verdicts.len(), 1);
    }
}

#[test]
fn a_sandbox_that_cannot_be_made() {
    let waiting = pod("Pending", false, "waiting: {reason: ContainerCreating}");
    let failed = event(
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: plugin type=\"calico\" failed (add): no route",
        "2026-11-24T11:59:30Z",
    );
    let said = "certain sandbox-failed Pod shop/web <- Node worker \
        {\"error\":\"plugin type=\\\"calico\\\" failed (add): no route\"}";
    State::of(&waiting).and(&failed).says(&[said]);
    State::of(&waiting)
        .and(&failed)
        .at("2026-11-24T11:59:49Z")
        .says(&[]);
    // Hours ago; and overcome.
    State::of(&waiting)
        .and(&failed.replace("11:59:30Z", "09:59:30Z"))
        .says(&[]);
    State::of(&waiting)
        .and(&failed)
        .and(&event("Pulling", "Pulling image", "2026-11-24T11:59:35Z"))
        .says(&[]);
    let running = pod(
        "Running",
        true,
        "running: {startedAt: '2026-11-24T11:59:40Z'}",
    );
    State::of(&running).and(&failed).says(&[]);
}

#[test]
fn a_container_that_the_runtime_does_not_get_done_with() {
    let stuck = |message: &str| {
        let waiting = format!("waiting: {{reason: CreateContainerError, message: '{message}'}}");
        State::of(&pod("Pending", false, &waiting))
    };
    let reserved = "failed to reserve container name \"app_web_shop_u_0\": name \"app_web_shop_u_0\" is reserved for \"8b21\"";
    for message in [reserved, "context deadline exceeded"] {
        stuck(message).names(&["likely sandbox-failed Pod shop/web <- Node worker"]);
    }
    // What it was told is wrong, or it has only just begun.
    let names = |state: State| -> Vec<&str> {
        let verdicts = state.verdicts();
        verdicts
            .iter()
            .map(|verdict| verdict.class.name())
            .collect()
    };
    assert!(!names(stuck("invalid mount config")).contains(&"sandbox-failed"));
    assert!(names(stuck(reserved).at("2026-11-24T11:50:10Z")).is_empty());
}

#[test]
fn a_kubelet_that_refuses() {
    let refused = pod("Failed", false, "waiting: {reason: ContainerCreating}").replace(
        "startTime: '2026-11-24T11:50:00Z'",
        "startTime: '2026-11-24T11:58:00Z'\n  reason: OutOfcpu\n  message: 'Pod was rejected: Node did not have enough resource: cpu'",
    );
    State::of(&refused).says(&["certain kubelet-rejected Pod shop/web <- Pod shop/web {\"node\":\"worker\",\"reason\":\"OutOfcpu\"}"]);
    State::of(&refused).at("2026-11-24T12:10:00Z").says(&[]);
    State::of(&refused.replace("OutOfcpu", "NodeShutdown")).says(&[]);
}

fn periods(total: u64, throttled: u64) -> Observation {
    let id = ("shop".to_owned(), "web".to_owned(), "app".to_owned());
    let periods = PeriodsByContainer::from([(id, CpuPeriods { total, throttled })]);
    Observation::CpuPeriods {
        node: "worker".to_owned(),
        periods,
    }
}

fn uses(nano_cores: u64) -> Observation {
    let container = ContainerUse {
        name: "app".to_owned(),
        cpu: CpuUse {
            usage_nano_cores: Some(nano_cores),
        },
        ..Default::default()
    };
    let pod_ref = PodRef {
        name: "web".to_owned(),
        namespace: "shop".to_owned(),
        uid: "u".to_owned(),
    };
    let pods = vec![PodUse {
        pod_ref,
        containers: vec![container],
        ..Default::default()
    }];
    Observation::NodeStats {
        node: "worker".to_owned(),
        stats: NodeStats {
            pods,
            ..Default::default()
        },
    }
}

#[test]
fn a_limit_that_holds_back() {
    let state = State::of(&pod(
        "Running",
        true,
        "running: {startedAt: '2026-11-24T11:50:00Z'}",
    ));
    let said = |confidence: &str, share: &str| {
        format!(
            "{confidence} cpu-throttled Pod shop/web <- Pod shop/web spec.containers[0].resources.limits.cpu \
             {{\"container\":\"app\",\"limit\":\"500m\",\"throttledShare\":{share}}}"
        )
    };
    let two = |throttled: u64| {
        state
            .clone()
            .seen(periods(5000, 100))
            .seen(periods(5600, 100 + throttled))
    };
    two(150)
        .seen(uses(450_000_000))
        .says(&[&said("certain", "0.25")]);
    two(149).seen(uses(450_000_000)).says(&[]);
    two(150).seen(uses(200_000_000)).says(&[]);
    two(150).says(&[]);
    two(300).says(&[&said("likely", "0.5")]);
    // One count tells of the whole life of the container.
    state
        .clone()
        .seen(periods(5000, 2000))
        .seen(uses(450_000_000))
        .says(&[&said("likely", "0.4")]);
    state.clone().seen(periods(599, 590)).says(&[]);
}
