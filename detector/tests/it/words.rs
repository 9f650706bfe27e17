//! What programs say when they fail, and what is said of them.

use crashbook_detector::Kind;
use crashbook_detector::facts::Run;

use crate::support::{State, quotes};

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
        r#"certain app-config-invalid Pod shop/web <- Pod shop/web spec.containers[0].env {"problem":"DATABASE_URL: parameter not set","variable":"DATABASE_URL"}"#,
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

/// A ConfigMap of this data.
fn map(name: &str, data: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: shop}}
data: {{{data}}}
"
    )
}

/// Whom the refused configuration is laid to, where the words are the last.
#[track_caller]
fn blames(state: State, expected: Option<&str>) {
    let verdicts = state.verdicts();
    let culprit = verdicts.iter().find_map(|verdict| {
        (verdict.class.name() == "app-config-invalid").then(|| {
            let field = verdict.culprit.field.as_deref().unwrap_or_default();
            let variable = verdict
                .detail
                .get("variable")
                .and_then(|name| name.as_str());
            let variable = variable
                .map(|name| format!(" as {name}"))
                .unwrap_or_default();
            format!("{} {field}{variable}", verdict.culprit.object)
        })
    });
    assert_eq!(culprit.as_deref(), expected, "{verdicts:#?}");
}

#[test]
fn a_value_that_is_refused_is_looked_up_in_what_was_given() {
    let given = "args: ['--period=60'], env: [{name: WORKERS, value: four}, {name: COOKIE_SECRET, valueFrom: {secretKeyRef: {name: keys, key: cookie}}}], envFrom: [{configMapRef: {name: settings}}]";
    let state = State::of(&failing(given, "restartPolicy: Always", LOOPING))
        .and(&map("settings", "HTTP_TIMEOUT: '30', MODE: fast"));
    let check = |words: &str, expected: Option<&str>| {
        blames(state.clone().log(Run::Current, words), expected);
    };
    check(
        "ValueError: invalid literal for int() with base 10: 'four'",
        Some("Pod shop/web spec.containers[0].env[0].value as WORKERS"),
    );
    check(
        "time: missing unit in duration \"30\"",
        Some(r#"ConfigMap shop/settings data["HTTP_TIMEOUT"] as HTTP_TIMEOUT"#),
    );
    check(
        "error: time: missing unit in duration \"60\"",
        Some("Pod shop/web spec.containers[0].args[0]"),
    );
    // Of several with this value, the one that the lines around name.
    let state = state
        .clone()
        .and(&map("settings", "DEBUG: 'on', POOL: 'on'"));
    blames(
        state.log(
            Run::Current,
            "reading POOL\nValueError: invalid literal for int() with base 10: 'on'",
        ),
        Some(r#"ConfigMap shop/settings data["POOL"] as POOL"#),
    );
    // Of a Secret only the name can tell, be it on the line below or without what all names share.
    check(
        "invalid configuration:\n  cookie_secret must be 16, 24, or 32 bytes",
        Some(r#"Secret shop/keys data["cookie"] as COOKIE_SECRET"#),
    );
    // Its source names a variable that comes with the image.
    check(
        "    PORT = int(os.environ['PORT'])\nValueError: invalid literal for int() with base 10: 'x1'",
        Some("Pod shop/web spec.containers[0].env as PORT"),
    );
    // It read this, or was sent it.
    check(
        "    rows.append(int(cells[3]))\nValueError: invalid literal for int() with base 10: 'n/a'",
        None,
    );
}

#[test]
fn a_service_that_stands_in_the_way_of_a_variable() {
    let service = "apiVersion: v1
kind: Service
metadata: {name: shop-metrics, namespace: shop}
spec: {clusterIP: 10.96.0.77, ports: [{port: 8090}], selector: {app: metrics}}
";
    let words = "Failed to bind properties under 'shop.metrics.port' to java.lang.Integer:\n\n    Property: shop.metrics.port\n    Value: \"tcp://10.96.0.77:8090\"\n    Reason: failed to convert (caused by java.lang.NumberFormatException: For input string: \"tcp://10.96.0.77:8090\")";
    let state = |spec| State::of(&failing("", spec, LOOPING)).log(Run::Current, words);
    blames(
        state("restartPolicy: Always").and(service),
        Some("Pod shop/web spec.enableServiceLinks as SHOP_METRICS_PORT"),
    );
    // Where it is used does not tell whence it is.
    let words =
        "Error: Invalid value for '--port': 'tcp://10.96.0.77:8090' is not a valid integer.";
    let told = failing("args: ['--port=$PORT']", "restartPolicy: Always", LOOPING);
    blames(
        State::of(&told).log(Run::Current, words).and(service),
        Some("Pod shop/web spec.enableServiceLinks as SHOP_METRICS_PORT"),
    );
    // Without the Service all that is known is that the program refuses it.
    blames(
        state("restartPolicy: Always"),
        Some("Pod shop/web spec.containers[0]"),
    );
}

#[test]
fn whom_to_trust_is_configured_or_not() {
    let words = "Put \"https://vault:8200\": x509: certificate signed by unknown authority";
    let mounted = "volumeMounts: [{name: ca, mountPath: /etc/ca}]";
    let volume = "restartPolicy: Always\n  volumes: [{name: ca, configMap: {name: corp}}]";
    let state = State::of(&failing(mounted, volume, LOOPING)).log(Run::Current, words);
    blames(
        state.clone().and(&map("corp", "ca.crt: PEM, app.conf: x")),
        Some(r#"ConfigMap shop/corp data["ca.crt"]"#),
    );
    // Nothing that it was given says whom to trust.
    blames(state.and(&map("corp", "app.conf: x")), None);
    // The server's certificate has expired: whom to trust is no question.
    let words = "x509: certificate has expired or is not yet valid: current time";
    let state = State::of(&failing(mounted, volume, LOOPING)).log(Run::Current, words);
    blames(state.and(&map("corp", "ca.crt: PEM")), None);
}

#[test]
fn a_warning_before_the_error_is_not_the_reason() {
    let check = |words: &str, expected: &str| {
        let state = State::of(&failing("", "restartPolicy: Always", LOOPING));
        let verdicts = state.log(Run::Current, words).verdicts();
        assert_eq!(verdicts[0].class.name(), expected, "{words}");
    };
    let warning = "WARN  ==> The file '/etc/app/app.conf' is not writable. It is left as it is.";
    check(warning, "permission-denied");
    check(
        &format!("{warning}\n[ERROR] Malformed log record"),
        "crash-unexplained",
    );
    check(
        &format!("{warning}\n[Note] shutting down"),
        "permission-denied",
    );
    // It tries to connect until it gives up.
    check(
        "level=warn msg=\"dial tcp 203.0.113.7:5432: connect: connection refused\"\nlevel=fatal msg=\"giving up\"",
        "dependency-unreachable",
    );
}

#[test]
fn what_a_program_makes_do_without_is_not_the_reason() {
    let check = |words: &str, expected: &str| {
        let state = State::of(&failing("", "restartPolicy: Always", LOOPING));
        let verdicts = state.log(Run::Current, words).verdicts();
        assert_eq!(verdicts[0].class.name(), expected, "{words}");
    };
    for words in [
        "LOG_MODE is not set, using default: plain",
        "no value in environment variable LOG_MODE, defaulting to plain",
        "open /etc/app/app.yaml: no such file or directory; falling back to the built-in settings",
        "WARN Could not import module 'extras', skipping",
    ] {
        check(words, "crash-unexplained");
        let before = format!("open /var/cache/app/x: permission denied\n{words}");
        check(&before, "permission-denied");
    }
    check("LOG_MODE is not set", "app-config-invalid");
    check(
        "[ERROR] LOG_MODE is not set, not falling back to plain",
        "app-config-invalid",
    );
}

#[test]
fn what_a_container_that_is_ready_looks_for() {
    let runs = "restartCount: 0, state: {running: {startedAt: '2026-11-24T11:00:00Z'}}";
    let check = |container: &str, words: &str, expected: &[&str]| {
        let ready = failing(container, "", runs).replace("ready: false", "ready: true");
        State::of(&ready).log(Run::Current, words).names(expected);
    };
    let line = |at: &str, host: &str| {
        format!(
            "time=\"2026-11-24T{at}Z\" level=error msg=\"Get https://{host}/: dial tcp 203.0.113.9:443: i/o timeout\"\n"
        )
    };
    let told = "env: [{name: PAY_URL, value: 'https://pay.example.com'}]";
    let missed = "likely dependency-unreachable Pod shop/web <- Pod shop/web spec.containers[0].env[0].value";
    let twice = |first, last, host| line(first, host) + &line(last, host);
    check(
        told,
        &twice("11:59:10", "11:59:50", "pay.example.com"),
        &[missed],
    );
    // More rarely than once a minute.
    check(
        told,
        &twice("11:53:00", "11:58:00", "pay.example.com"),
        &[missed],
    );
    // Once, in two lines; or long ago.
    check(told, &twice("11:59:50", "11:59:50", "pay.example.com"), &[]);
    check(told, &twice("11:50:00", "11:51:00", "pay.example.com"), &[]);
    // Nobody told it to: it looks for news of itself.
    check(
        told,
        &twice("11:59:10", "11:59:50", "news.example.org"),
        &[],
    );
    // A server tells of its clients.
    let clients = "LOG:  could not receive data from client: Connection reset by peer\n";
    check(told, &clients.repeat(3), &[]);
}

#[test]
fn what_it_could_not_connect_to_when_others_ended_it_later() {
    let killed = LOOPING.replace("exitCode: 1", "exitCode: 137");
    let check = |status: &str, rest: usize, expected: &str| {
        let words = "error: dial tcp 203.0.113.7:5432: connect: connection refused\n".to_owned();
        let words = words + &"served a request\n".repeat(rest);
        let state = State::of(&failing("", "restartPolicy: Always", status));
        let verdicts = state.log(Run::Current, &words).verdicts();
        assert_eq!(verdicts[0].class.name(), expected, "{status}");
    };
    check(&killed, 2, "dependency-unreachable");
    check(&killed, 9, "crash-unexplained");
    // It ended by itself.
    check(LOOPING, 9, "dependency-unreachable");
}

#[test]
fn of_errors_that_come_together_the_first_is_the_reason() {
    let words = "[Note] starting\n[ERROR] Upgrade after a crash is not supported\n[Note] stopping\n[ERROR] Unknown storage engine\n[ERROR] Aborting";
    let state = State::of(&failing("", "restartPolicy: Always", LOOPING));
    let verdicts = state.log(Run::Current, words).verdicts();
    let quotes = quotes(&verdicts[0]);
    assert_eq!(
        quotes[1..],
        [
            "[ERROR] Upgrade after a crash is not supported",
            "[ERROR] Aborting"
        ]
    );
}
