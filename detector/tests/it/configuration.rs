//! ConfigMaps and Secrets that pods refer to.

use crashbook_detector::Kind;

use crate::support::State;

/// A pod whose container waits for what its environment refers to.
const WAITING: &str = "apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: u}
spec:
  containers:
  - name: app
    env:
    - name: LEVEL
      valueFrom: {configMapKeyRef: {name: settings, key: level}}
    - name: TOKEN
      valueFrom: {secretKeyRef: {name: tokens, key: token}}
    envFrom:
    - configMapRef: {name: extra, optional: true}
status:
  phase: Pending
  containerStatuses:
  - name: app
    image: ''
    imageID: ''
    ready: false
    restartCount: 0
    state: {waiting: {reason: CreateContainerConfigError, message: 'configmap \"settings\" not found'}}
";

/// A pod that mounts a key of a ConfigMap and of a Secret.
const MOUNTING: &str = "apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: u}
spec:
  containers: [{name: app}]
  volumes:
  - name: files
    configMap: {name: settings, items: [{key: level, path: level}]}
  - name: all
    projected:
      sources:
      - secret: {name: tokens, items: [{key: token, path: token}]}
status:
  phase: Pending
  startTime: '2026-11-24T11:59:58Z'
  containerStatuses:
  - name: app
    image: ''
    imageID: ''
    ready: false
    restartCount: 0
    state: {waiting: {reason: ContainerCreating}}
";

fn failed_mount(volume: &str, message: &str) -> String {
    format!(
        "apiVersion: v1
kind: Event
metadata: {{name: web.{volume}, namespace: shop}}
involvedObject: {{kind: Pod, namespace: shop, name: web, uid: u}}
reason: FailedMount
message: 'MountVolume.SetUp failed for volume \"{volume}\" : {message}'
type: Warning
firstTimestamp: '2026-11-24T11:59:59Z'
lastTimestamp: '2026-11-24T11:59:59Z'
"
    )
}

const SETTINGS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {level: info}
";
const TOKENS: &str = "apiVersion: v1
kind: Secret
metadata: {name: tokens, namespace: shop}
data: {token: c2VjcmV0}
";

const BY_VARIABLE: &str = "\"container\":\"app\",\"key\":\"level\",\
    \"reference\":\"spec.containers[0].env[0].valueFrom.configMapKeyRef\"";
const BY_SECRET_VARIABLE: &str = "\"container\":\"app\",\"key\":\"token\",\
    \"reference\":\"spec.containers[0].env[1].valueFrom.secretKeyRef\"";

#[test]
fn variables() {
    let check = |state: State, expected: &[String]| {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        state.says(&expected);
    };
    let missing =
        format!("config-map-missing Pod shop/web <- ConfigMap shop/settings {{{BY_VARIABLE}}}");
    let state = State::of(WAITING);
    check(state.clone().and(TOKENS), &[format!("certain {missing}")]);
    check(
        state.clone().and(TOKENS).without_list_of(Kind::ConfigMap),
        &[format!("likely {missing}")],
    );
    check(state.clone().and(TOKENS).and(SETTINGS), &[]);
    check(
        state
            .clone()
            .and(TOKENS)
            .and(&SETTINGS.replace("level", "levels")),
        &[format!(
            "certain config-map-key-missing Pod shop/web <- ConfigMap shop/settings data[\"level\"] {{{BY_VARIABLE}}}"
        )],
    );
    check(
        state.clone().and(SETTINGS),
        &[format!(
            "certain secret-missing Pod shop/web <- Secret shop/tokens {{{BY_SECRET_VARIABLE}}}"
        )],
    );
    check(
        state
            .and(SETTINGS)
            .and(&TOKENS.replace("token:", "tokens:")),
        &[format!(
            "certain secret-key-missing Pod shop/web <- Secret shop/tokens data[\"token\"] {{{BY_SECRET_VARIABLE}}}"
        )],
    );
}

#[test]
fn keys_that_only_the_kubelet_tells_of() {
    let says = |message: &str| {
        let waiting = WAITING.replace("configmap \"settings\" not found", message);
        State::of(&waiting)
            .and(TOKENS)
            .without_list_of(Kind::ConfigMap)
    };
    says("couldn''t find key level in ConfigMap shop/settings").says(&[&format!(
        "likely config-map-key-missing Pod shop/web <- ConfigMap shop/settings data[\"level\"] {{{BY_VARIABLE}}}"
    )]);
    says("couldn''t find key level in ConfigMap shop/others").says(&[]);
    says("container has runAsNonRoot and image will run as root").says(&[
        r#"certain permission-denied Pod shop/web <- Pod shop/web spec.securityContext.runAsNonRoot {"what":"runAsNonRoot"}"#,
    ]);
}

#[test]
fn volumes() {
    let state = State::of(MOUNTING)
        .and(&failed_mount(
            "files",
            "configmap references non-existent config key: level",
        ))
        .and(&failed_mount(
            "all",
            "references non-existent secret key: token",
        ));
    state.clone().and(SETTINGS).and(TOKENS).says(&[]);
    state.clone().and(&SETTINGS.replace("level", "levels")).and(TOKENS).says(&[
        "certain config-map-key-missing Pod shop/web <- ConfigMap shop/settings data[\"level\"] \
         {\"key\":\"level\",\"reference\":\"spec.volumes[0].configMap\",\"volume\":\"files\"}",
    ]);
    state.clone().and(SETTINGS).says(&[
        "certain secret-missing Pod shop/web <- Secret shop/tokens \
         {\"key\":\"token\",\"reference\":\"spec.volumes[1].projected.sources[0].secret\",\"volume\":\"all\"}",
    ]);
    // The noise of a healthy start: all is there, the kubelet's cache is not yet.
    State::of(MOUNTING)
        .and(SETTINGS)
        .and(TOKENS)
        .and(&failed_mount(
            "files",
            "failed to sync configmap cache: timed out waiting for the condition",
        ))
        .says(&[]);
}

#[test]
fn a_volume_without_its_event() {
    let state = State::of(MOUNTING).and(TOKENS);
    state.says(&[]);
    state.at("2026-11-24T12:01:00Z").says(&[
        "certain config-map-missing Pod shop/web <- ConfigMap shop/settings \
         {\"key\":\"level\",\"reference\":\"spec.volumes[0].configMap\",\"volume\":\"files\"}",
    ]);
}

#[test]
fn who_runs_or_goes_needs_nothing() {
    let running = MOUNTING
        .replace(
            "waiting: {reason: ContainerCreating}",
            "running: {startedAt: '2026-11-24T11:59:59Z'}",
        )
        .replace("phase: Pending", "phase: Running");
    let event = failed_mount("files", "configmap \"settings\" not found");
    State::of(&running).and(&event).says(&[]);
    let going = MOUNTING.replace(
        "uid: u}",
        "uid: u, deletionTimestamp: '2026-11-24T12:00:00Z'}",
    );
    State::of(&going).and(&event).says(&[]);
}

#[test]
fn of_a_workload_the_template_is_to_blame() {
    for kind in ["StatefulSet", "Job", "DaemonSet"] {
        let owner = format!(
            "uid: u, ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: web, uid: o, controller: true}}]}}"
        );
        let verdicts = State::of(&WAITING.replace("uid: u}", &owner))
            .and(TOKENS)
            .verdicts();
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdicts[0].subject.to_string(), format!("{kind} shop/web"));
        assert_eq!(
            verdicts[0].culprit.object.to_string(),
            "ConfigMap shop/settings"
        );
    }
}
