//! What programs say when they fail, and what is said of them.

use crashbook_detector::Kind;
use crashbook_detector::facts::Run;

use crate::support::State;

/// A container that ends again and again, with what its specification has besides.
fn failing(container: &str, spec: &str, status: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: u, creationTimestamp: '2026-11-24T11:58:00Z'}}
spec:
  containers:
  - {{name: app, image: 'shop/api:2', {container}}}
  {spec}
status:
  phase: Running
  podIP: 10.244.1.9
  containerStatuses:
  - {{name: app, image: '', imageID: '', ready: false, {status}}}
"
    )
}

const LOOPING: &str = "restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, startedAt: '2026-11-24T11:59:20Z', finishedAt: '2026-11-24T11:59:21Z'}}";

/// What is said of a container that looped, and whose last run printed this.
#[track_caller]
fn check(container: &str, words: &str, expected: &[&str]) {
    let state = State::of(&failing(container, "restartPolicy: Always", LOOPING));
    state.log(Run::Current, words).says(expected);
}

#[test]
fn parts_of_the_program_that_are_missing() {
    for (words, file) in [
        (
            "error while loading shared libraries: libssl.so.1.1: cannot open shared object file: No such file or directory",
            "libssl.so.1.1",
        ),
        (
            "Traceback (most recent call last):\n  File \"/app/main.py\", line 1\nModuleNotFoundError: No module named 'flask'",
            "flask",
        ),
        ("missing library libfoo.so.1", "libfoo.so.1"),
    ] {
        let verdict = format!(
            "certain library-missing Pod shop/web <- Pod shop/web spec.containers[0].image {{\"file\":\"{file}\"}}"
        );
        check("", words, &[&verdict]);
    }
}

#[test]
fn a_variable_that_is_set_by_now() {
    let settings = |data: &str| {
        format!(
            "apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: shop}}
data: {{{data}}}
"
        )
    };
    let given = "envFrom: [{configMapRef: {name: settings}}]";
    let state = State::of(&failing(given, "restartPolicy: Always", LOOPING))
        .log(Run::Current, "sh: DATABASE_URL: parameter not set")
        .and(&settings("PORT: '80'"));
    state.clone().says(&[
        r#"certain app-config-invalid Pod shop/web <- Pod shop/web spec.containers[0].env {"problem":"DATABASE_URL: parameter not set"}"#,
    ]);
    state.and(&settings("DATABASE_URL: db")).says(&[]);
}

#[test]
fn the_file_that_holds_the_setting_that_is_refused() {
    let given = "volumeMounts: [{name: etc, mountPath: /etc/rabbitmq}]";
    let volume = "restartPolicy: Always\n  volumes: [{name: etc, configMap: {name: settings}}]";
    let settings = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data:
  advanced.config: '[].'
  enabled_plugins: '[rabbitmq_management].'
  rabbitmq.conf: |
    listeners.tcp.defalt = 5672
";
    for words in [
        "[error] Conf file attempted to set unknown variable: listeners.tcp.defalt",
        "configuration error: field listeners.tcp.defalt is not known",
    ] {
        let state = State::of(&failing(given, volume, LOOPING)).log(Run::Current, words);
        let verdicts = state.and(settings).verdicts();
        let culprits: Vec<String> = (verdicts.iter())
            .map(|one| format!("{:?} {:?}", one.class, one.culprit.field))
            .collect();
        assert_eq!(
            culprits,
            [r#"AppConfigInvalid Some("data[\"rabbitmq.conf\"]")"#],
            "{words}"
        );
    }
}

#[test]
fn commands_that_are_missing() {
    let start_error = |message: &str| {
        format!(
            "restartCount: 3, state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{terminated: {{exitCode: 128, reason: StartError, startedAt: '1970-01-01T00:00:00Z', finishedAt: '2026-11-24T11:59:21Z', message: '{message}'}}}}"
        )
    };
    let start = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: ";
    let missing = format!(
        "{start}\"/no/such/program\": stat /no/such/program: no such file or directory: unknown"
    );
    State::of(&failing("command: [/no/such/program]", "", &start_error(&missing))).says(&[
        r#"certain command-not-found Pod shop/web <- Pod shop/web spec.containers[0].command {"command":"/no/such/program"}"#,
    ]);
    let denied = format!("{start}\"/etc/passwd\": permission denied: unknown");
    State::of(&failing("command: [/etc/passwd]", "", &start_error(&denied))).says(&[
        r#"certain permission-denied Pod shop/web <- Pod shop/web spec.containers[0].securityContext {"what":"exec \"/etc/passwd\""}"#,
    ]);
    let shell = LOOPING.replace("exitCode: 1,", "exitCode: 127,");
    State::of(&failing("command: [sh, -c, 'curl x']", "", &shell))
        .log(Run::Current, "sh: curl: not found")
        .says(&[r#"certain command-not-found Pod shop/web <- Pod shop/web spec.containers[0].command {"command":"curl"}"#]);
}

#[test]
fn what_the_system_refuses() {
    check(
        "securityContext: {readOnlyRootFilesystem: true}",
        "sh: can't create /x: Read-only file system",
        &[
            r#"certain permission-denied Pod shop/web <- Pod shop/web spec.containers[0].securityContext.readOnlyRootFilesystem {"what":"/x"}"#,
        ],
    );
    check(
        "securityContext: {runAsUser: 1000}",
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
        &[
            r#"certain permission-denied Pod shop/web <- Pod shop/web spec.containers[0].securityContext.runAsUser {"what":"bind() to 0.0.0.0:80"}"#,
        ],
    );
    let waits = "restartCount: 0, state: {waiting: {reason: CreateContainerConfigError, message: 'container has runAsNonRoot and image will run as root (pod: \"x\", container: app)'}}";
    State::of(&failing("securityContext: {runAsNonRoot: true}", "", waits)).says(&[
        r#"certain permission-denied Pod shop/web <- Pod shop/web spec.containers[0].securityContext.runAsNonRoot {"what":"runAsNonRoot"}"#,
    ]);
}

#[test]
fn ports_that_are_taken() {
    check(
        "ports: [{containerPort: 8080}]",
        "listen tcp :8080: bind: address already in use",
        &[
            r#"certain port-in-use Pod shop/web <- Pod shop/web spec.containers[0].ports[0].containerPort {"port":8080}"#,
        ],
    );
}

#[test]
fn logins_that_are_refused() {
    let words = "connecting to db:5432\nFATAL:  password authentication failed for user \"shop\"";
    check(
        "env: [{name: DB_USER, value: shop}, {name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]",
        words,
        &[
            r#"certain login-refused Pod shop/web <- Secret shop/db data["password"] {"user":"shop"}"#,
        ],
    );
    check(
        "env: [{name: DB_PASSWORD, value: x}]",
        words,
        &[
            r#"certain login-refused Pod shop/web <- Pod shop/web spec.containers[0].env[0].value {"user":"shop"}"#,
        ],
    );
}

const FORBIDDEN: &str = "pods is forbidden: User \"system:serviceaccount:shop:web\" cannot list resource \"pods\" in API group \"\" in the namespace \"shop\"";

const ROLE: &str = "
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: reader, namespace: shop}
  rules: [{apiGroups: [''], resources: [RESOURCE], verbs: [get, list]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: reader, namespace: shop}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
  subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
";

#[test]
fn what_the_api_server_refuses() {
    let of_web = failing("", "serviceAccountName: web", LOOPING);
    let state = State::of(&of_web).log(Run::Current, FORBIDDEN);
    let detail = r#""resource":"pods""#;
    state.clone().says(&[&format!(
        "certain access-denied Pod shop/web <- ServiceAccount shop/web {{{detail},\"verb\":\"list\"}}"
    )]);
    let other = ROLE.replace("RESOURCE", "services");
    state.clone().and(&other).says(&[&format!(
        "certain access-denied Pod shop/web <- ServiceAccount shop/web {{{detail},\"role\":{{\"kind\":\"Role\",\"name\":\"reader\",\"namespace\":\"shop\"}},\"verb\":\"list\"}}"
    )]);
    let unlisted = state.clone().without_list_of(Kind::ClusterRoleBinding);
    unlisted.says(&[&format!(
        "likely access-denied Pod shop/web <- ServiceAccount shop/web {{{detail},\"verb\":\"list\"}}"
    )]);
    // It says last that it waited in vain, and not for what.
    let waited = format!("{FORBIDDEN}\nproblem running manager: context deadline exceeded");
    let waited = State::of(&of_web).log(Run::Current, &waited);
    assert_eq!(waited.verdicts()[0].class.name(), "access-denied");
    // It is allowed by now, and waits to be tried again.
    state.and(&ROLE.replace("RESOURCE", "pods")).says(&[]);
}

#[test]
fn a_start_that_a_second_try_mends_is_none() {
    let once = LOOPING
        .replace("restartCount: 3", "restartCount: 1")
        .replace(
            "waiting: {reason: CrashLoopBackOff}",
            "running: {startedAt: '2026-11-24T11:59:22Z'}",
        );
    for words in [
        FORBIDDEN,
        "listen tcp :8080: bind: address already in use",
        "password authentication failed for user \"shop\"",
    ] {
        State::of(&failing("", "serviceAccountName: web", &once))
            .log(Run::Previous, words)
            .says(&[]);
    }
}

#[test]
fn words_of_a_container_that_runs_are_no_fault() {
    let runs = "restartCount: 0, state: {running: {startedAt: '2026-11-24T11:50:00Z'}}";
    for words in [
        "KeyError: 'DATABASE_URL'",
        "FATAL:  password authentication failed for user \"shop\"",
        "warning: could not load config /etc/app/x.yaml, using defaults\nlistening",
        "dial tcp 10.96.0.7:80: i/o timeout\nconnected",
    ] {
        let ready = failing("", "", runs).replace("ready: false", "ready: true");
        State::of(&ready).log(Run::Current, words).says(&[]);
    }
}
