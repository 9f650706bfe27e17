//! Services, what is behind them, and programs that cannot reach it.

use crashbook_detector::facts::Run;

use crate::support::State;

/// A pod of the Deployment `web` that ends again and again, with what its container has besides.
fn client(container: &str, spec: &str) -> String {
    format!(
        "
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {{name: web-1, namespace: shop, uid: rs, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}}]}}
  spec: {{selector: {{}}}}
- apiVersion: v1
  kind: Pod
  metadata: {{name: web, namespace: shop, uid: u, labels: {{app: web}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: rs, controller: true}}]}}
  spec:
    nodeName: n1
    containers:
    - {{name: app, {container}}}
    {spec}
  status:
    phase: Running
    podIP: 10.244.1.9
    conditions: [{{type: Ready, status: 'False'}}]
    containerStatuses:
    - name: app
      image: ''
      imageID: ''
      ready: false
      restartCount: 3
      state: {{waiting: {{reason: CrashLoopBackOff}}}}
      lastState: {{terminated: {{exitCode: 1, reason: Error, startedAt: '2026-11-24T11:59:20Z', finishedAt: '2026-11-24T11:59:21Z'}}}}
- apiVersion: v1
  kind: Pod
  metadata: {{name: dns-1, namespace: kube-system, uid: k, labels: {{k8s-app: kube-dns}}}}
  spec: {{containers: [{{name: coredns}}]}}
  status: {{phase: Running, podIP: 10.244.0.2, conditions: [{{type: Ready, status: 'True', lastTransitionTime: '2026-11-24T09:00:00Z'}}]}}
- apiVersion: v1
  kind: Service
  metadata: {{name: kube-dns, namespace: kube-system}}
  spec: {{clusterIP: 10.96.0.10, selector: {{k8s-app: kube-dns}}, ports: [{{port: 53, protocol: UDP}}]}}
"
    )
}

/// The database: its Service, its pod, whether that is ready, and its container's ports.
fn db(selector: &str, port: &str, ready: &str, ports: &str) -> String {
    format!(
        "
- apiVersion: v1
  kind: Service
  metadata: {{name: db, namespace: shop, creationTimestamp: '2026-11-24T09:00:00Z'}}
  spec: {{clusterIP: 10.96.0.7, selector: {{app: {selector}}}, ports: [{port}]}}
- apiVersion: v1
  kind: Pod
  metadata: {{name: db-0, namespace: shop, uid: db, labels: {{app: db}}}}
  spec:
    nodeName: n1
    containers: [{{name: db, ports: [{ports}]}}]
  status:
    phase: Running
    podIP: 10.244.2.2
    conditions: [{{type: Ready, status: '{ready}', lastTransitionTime: '2026-11-24T09:00:00Z'}}]
"
    )
}

const PORT: &str = "{port: 5432}";

const UNREACHABLE: &str = "certain dependency-unreachable Deployment shop/web <- Service shop/db";

/// Asserts what is said, without details.
#[track_caller]
fn check(state: State, expected: &[&str]) {
    let said: Vec<String> = state
        .verdicts()
        .iter()
        .map(|verdict| {
            let field = verdict.culprit.field.as_deref();
            let field = field.map(|field| format!(" {field}")).unwrap_or_default();
            format!(
                "{} {} {} <- {}{field}",
                verdict.confidence, verdict.class, verdict.subject, verdict.culprit.object
            )
        })
        .collect();
    assert_eq!(said, expected);
}

fn failing(container: &str, words: &str) -> State {
    State::of(&client(container, "")).log(Run::Current, words)
}

#[test]
fn a_dependency_without_a_ready_pod() {
    let down = db("db", PORT, "False", "{containerPort: 5432}");
    for words in [
        "dial tcp 10.96.0.7:5432: connect: connection refused",
        "psql: error: connection to server at \"db\" (10.96.0.7), port 5432 failed: Connection timed out",
        "ERROR cannot connect to postgres://shop@db:5432/shop",
    ] {
        check(failing("", words).and(&down), &[UNREACHABLE]);
    }
    // Its words name nothing: what it was given does.
    let env = "env: [{name: DB_HOST, value: db}, {name: DB_PORT, value: '5432'}]";
    let words = "java.net.ConnectException: Connection refused";
    let likely = UNREACHABLE.replace("certain", "likely");
    check(failing(env, words).and(&down), &[&likely]);
    // The name stands beside an address that nothing has any more.
    let words = "failed to connect to `host=db user=shop database=shop`: \
                 dial error (dial tcp 10.96.0.99:5432: connect: connection refused)";
    check(failing("", words).and(&down), &[UNREACHABLE]);
    // Such an address alone: what it was given with this port tells, and only with this one.
    let words = "dial tcp 10.96.0.99:5432: connect: connection refused";
    for given in [
        "{name: DSN, value: 'host=db user=shop port=5432'}",
        "{name: DATABASE_URL, value: 'postgres://shop@db/shop'}",
    ] {
        let env = format!("env: [{given}]");
        check(failing(&env, words).and(&down), &[UNREACHABLE]);
    }
    let other = "env: [{name: DSN, value: 'host=db port=3306'}]";
    let said = failing(other, words).and(&down).verdicts();
    assert_ne!(said[0].culprit.object.kind, "Service");
}

#[test]
fn a_dependency_that_is_starting_is_awaited() {
    let scheduled = "conditions: [{type: PodScheduled, status: 'True', lastTransitionTime: '2026-11-24T11:59:40Z'}, {type: Ready";
    let new = db("db", PORT, "False", "{containerPort: 5432}")
        .replace("conditions: [{type: Ready", scheduled);
    let state = failing("", "dial tcp 10.96.0.7:5432: connect: connection refused");
    check(state.clone().and(&new).at("2026-11-24T12:00:09Z"), &[]);
    check(
        state.clone().and(&new).at("2026-11-24T12:00:10Z"),
        &[UNREACHABLE],
    );
    // No node was found for it.
    let unscheduled = new.replacen("status: 'True'", "status: 'False'", 1);
    check(
        state.clone().and(&unscheduled).at("2026-11-24T11:59:44Z"),
        &[],
    );
    check(
        state.clone().and(&unscheduled).at("2026-11-24T11:59:45Z"),
        &[UNREACHABLE],
    );
    // What it waited for has just come.
    let claims = unscheduled.replace(
        "nodeName: n1\n",
        "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]\n",
    );
    let volume = "
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {name: data, namespace: shop}
  spec: {storageClassName: disk, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
  status: {phase: Pending}
- apiVersion: v1
  kind: PersistentVolume
  metadata: {name: disk-1, creationTimestamp: '2026-11-24T11:59:50Z'}
  spec: {storageClassName: disk, accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /srv}}
";
    let provided = state.clone().and(&claims).and(volume);
    check(provided.at("2026-11-24T11:59:55Z"), &[]);
    // It has failed already.
    let failed = new.replace(
        "    podIP: 10.244.2.2",
        "    podIP: 10.244.2.2
    containerStatuses: [{name: db, image: '', imageID: '', ready: false, restartCount: 1, state: {running: {}}}]",
    );
    check(state.and(&failed), &[UNREACHABLE]);
}

#[test]
fn a_dependency_that_is_ready_is_not_blamed() {
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    let crash = "likely crash-unexplained Deployment shop/web <- Deployment shop/web";
    let words = "dial tcp 10.96.0.7:5432: i/o timeout";
    check(failing("", words).and(&up), &[crash]);
    // It became ready after the run had ended: the next run will tell.
    let since = up.replacen("09:00:00", "09:30:00", 1).replace(
        "lastTransitionTime: '2026-11-24T09:00:00Z'",
        "lastTransitionTime: '2026-11-24T11:59:40Z'",
    );
    check(failing("", words).and(&since), &[]);
    let given = "env: [{name: DB_HOST, value: db}, {name: DB_PORT, value: '5432'}]";
    check(failing(given, "wget: download timed out").and(&since), &[]);
    // Not every node knew of it when the run ended.
    let refused = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let just = since.replace("11:59:40", "11:59:17");
    check(failing("", refused).and(&just), &[]);
    let before = since.replace("11:59:40", "11:59:16");
    let likely = UNREACHABLE.replace("certain", "likely");
    check(failing("", refused).and(&before), &[&likely]);
}

#[test]
fn what_is_just_starting_is_not_blamed() {
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let down = db("db", PORT, "False", "{containerPort: 5432}");
    let starting = down.replace(
        "uid: db,",
        "uid: db, creationTimestamp: '2026-11-24T11:59:15Z',",
    );
    check(
        failing("", words).and(&starting).at("2026-11-24T11:59:44Z"),
        &[],
    );
    check(
        failing("", words).and(&starting).at("2026-11-24T11:59:45Z"),
        &[UNREACHABLE],
    );
}

#[test]
fn a_service_that_was_mended_leaves_nothing_to_explain() {
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let wrong = db(
        "db",
        "{port: 5432, targetPort: 5433}",
        "True",
        "{containerPort: 5432}",
    );
    let right = db("db", PORT, "True", "{containerPort: 5432}");
    let mismatch =
        "likely service-port-mismatch Service shop/db <- Service shop/db spec.ports[0].targetPort";
    check(failing("", words).and(&wrong), &[mismatch]);
    check(failing("", words).and(&wrong).and(&right), &[]);
}

#[test]
fn an_address_that_leads_nowhere() {
    let env = "env: [{name: DB_URL, value: 'postgres://dbb:5432/shop'}]";
    let wrong = "certain dependency-unreachable Deployment shop/web <- Deployment shop/web spec.template.spec.containers[0].env[0].value";
    let words = "dial tcp: lookup dbb on 10.96.0.10:53: no such host";
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    check(failing(env, words).and(&up), &[wrong]);
    // Every domain that pods search is tried in turn.
    let words = "** server can't find dbb.svc.cluster.local: NXDOMAIN";
    check(failing(env, words).and(&up), &[wrong]);
    // The Service is there, and has no such port.
    let env = "env: [{name: DB_URL, value: 'postgres://db:5433/shop'}]";
    let words = "could not connect to postgres://db:5433/shop: connection timed out";
    check(failing(env, words).and(&up), &[wrong]);
    let outside = "env: [{name: API, value: 'https://api.example.com/v1'}]";
    let words = "dial tcp: lookup api.example.com on 10.96.0.10:53: no such host";
    check(
        failing(outside, words),
        &[&wrong.replace("certain", "likely")],
    );
}

#[test]
fn a_name_that_is_given_and_that_no_service_has() {
    let words = "ConfigException: No resolvable bootstrap urls given in bootstrap.servers";
    let env = "env: [{name: BROKERS, value: 'kafka.mq.svc:9092'}, {name: OLD, value: 'kafka.mq.svc:9092'}]";
    check(
        failing(env, words),
        &[
            "likely dependency-unreachable Deployment shop/web <- Deployment shop/web spec.template.spec.containers[0].env[0].value",
        ],
    );
}

#[test]
fn once_is_no_trouble() {
    let once = client("", "")
        .replace("restartCount: 3", "restartCount: 1")
        .replace(
            "state: {waiting: {reason: CrashLoopBackOff}}",
            "state: {running: {startedAt: '2026-11-24T11:59:59Z'}}",
        );
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let state = State::of(&once).and(&db("db", PORT, "False", ""));
    check(state.log(Run::Previous, words), &[]);
}

#[test]
fn the_service_is_to_blame() {
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let selector =
        "certain service-selector-unmatched Service shop/db <- Service shop/db spec.selector";
    let of_other = db("dbb", PORT, "True", "{containerPort: 5432}");
    check(failing("", words).and(&of_other), &[selector]);
    check(State::of(&of_other), &[selector]);
    let named = db(
        "db",
        "{port: 5432, targetPort: sql}",
        "True",
        "{name: pg, containerPort: 5432}",
    );
    let mismatch =
        "certain service-port-mismatch Service shop/db <- Service shop/db spec.ports[0].targetPort";
    check(failing("", words).and(&named), &[mismatch]);
    let number = db(
        "db",
        "{port: 5432, targetPort: 5433}",
        "True",
        "{containerPort: 5432}",
    );
    check(
        State::of(&number),
        &[&mismatch.replace("certain", "likely")],
    );
    let protocol = db(
        "db",
        "{port: 5432, protocol: UDP, targetPort: pg}",
        "True",
        "{name: pg, containerPort: 5432}",
    );
    check(
        State::of(&protocol),
        &[
            "certain service-port-mismatch Service shop/db <- Service shop/db spec.ports[0].protocol",
        ],
    );
}

#[test]
fn a_client_that_only_times_out_at_a_wrong_port() {
    let words = "Error: connect ETIMEDOUT 10.96.0.7:5432";
    let mismatch =
        "likely service-port-mismatch Service shop/db <- Service shop/db spec.ports[0].targetPort";
    let declared = db(
        "db",
        "{port: 5432, targetPort: 5433}",
        "True",
        "{containerPort: 5432}",
    );
    check(failing("", words).and(&declared), &[mismatch]);
    // So it is where only what it was given names the Service.
    let env = "env: [{name: DB_URL, value: 'postgres://db/shop'}]";
    let silent = "java.net.SocketTimeoutException: Connect timed out";
    check(failing(env, silent).and(&declared), &[mismatch]);
    // Nothing of the pods names the number.
    let unheard_of = db("db", "{port: 5432, targetPort: 5433}", "True", "");
    check(
        failing("", words).and(&unheard_of),
        &[&mismatch.replace("likely", "possible")],
    );
    // The port is right, or a policy is in the way.
    let unexplained = "likely crash-unexplained Deployment shop/web <- Deployment shop/web";
    let right = db("db", PORT, "True", "{containerPort: 5432}");
    check(failing("", words).and(&right), &[unexplained]);
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
";
    check(
        failing("", words).and(&unheard_of).and(policy),
        &[
            "certain network-policy-blocks-ingress Deployment shop/web <- NetworkPolicy shop/db spec.ingress",
        ],
    );
}

#[test]
fn services_that_are_right() {
    for service in [
        db("db", PORT, "True", "{containerPort: 5432}"),
        db("db", PORT, "True", ""),
        db("db", PORT, "False", "{containerPort: 5432}"),
        db(
            "db",
            "{port: 80, targetPort: pg}",
            "True",
            "{name: pg, containerPort: 5432}",
        ),
        // Nothing comes near it.
        db("search", PORT, "True", "{containerPort: 5432}").replace(
            "name: db, namespace: shop, c",
            "name: search, namespace: shop, c",
        ),
        // It is young.
        db("dbb", PORT, "True", "").replace(
            "creationTimestamp: '2026-11-24T09:00:00Z'",
            "creationTimestamp: '2026-11-24T11:59:55Z'",
        ),
        // What listens there is told by an argument.
        db("db", "{port: 9090}", "True", "{containerPort: 5432}").replace(
            "{name: db, ports",
            "{name: db, args: ['--metrics=:9090'], ports",
        ),
    ] {
        check(State::of(&service), &[]);
    }
    // The leader's label is set by the program.
    let leader = db("db", PORT, "True", "{containerPort: 5432}")
        .replace("selector: {app: db}", "selector: {app: db, role: replica}");
    check(State::of(&leader), &[]);
}

const SILENT: &str =
    "dial tcp: lookup db on 10.96.0.10:53: read udp 10.244.1.9:4->10.96.0.10:53: i/o timeout";

#[test]
fn the_name_service_is_down() {
    let coredns = "
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: coredns, namespace: kube-system, creationTimestamp: '2026-11-24T09:00:00Z'}
  spec: {replicas: 2, selector: {}, template: {metadata: {labels: {k8s-app: kube-dns}}}}
- apiVersion: v1
  kind: Pod
  metadata: {name: dns-1, namespace: kube-system, uid: k, labels: {k8s-app: kube-dns}}
  spec: {containers: [{name: coredns}]}
  status: {phase: Running, podIP: 10.244.0.2, conditions: [{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T11:50:00Z'}]}
";
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    let verdict =
        "certain dns-unavailable Deployment kube-system/coredns <- Deployment kube-system/coredns";
    let state = failing("", SILENT).and(&up).and(coredns);
    check(state.clone(), &[verdict]);
    assert_eq!(state.verdicts()[0].affected[0].name, "web");
    // It is ready again since the run ended: the next one will tell.
    let back = coredns
        .replace("status: 'False'", "status: 'True'")
        .replace("11:50:00", "11:59:40");
    check(failing("", SILENT).and(&up).and(&back), &[]);
    let young = coredns.replace("11:50:00", "11:59:55");
    check(State::of(&up).and(&young), &[]);
    // What will not come by itself is not waited for.
    let refused = young
        .replace(
            "{type: Ready, status: 'False'",
            "{type: PodScheduled, status: 'False', reason: Unschedulable",
        )
        .replace(
            "uid: k, labels: {k8s-app: kube-dns}",
            "uid: k, labels: {k8s-app: kube-dns, pod-template-hash: '1'}, \
             ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: coredns-1, uid: r, controller: true}]",
        );
    let set = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: coredns-1, namespace: kube-system, uid: r, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: coredns, uid: d, controller: true}]}
spec: {selector: {}}
";
    let refused = State::of(&up).and(&refused).and(set).and(NAME_SERVICE);
    check(refused, &[verdict]);
    let deployment = &young[..young.find("- apiVersion: v1").unwrap()];
    let none = deployment.replace("replicas: 2", "replicas: 0");
    check(
        State::of(&up).and(&none).and(NAME_SERVICE),
        &[&format!("{verdict} spec.replicas")],
    );
}

const NAME_SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}
";

#[test]
fn a_pod_that_asks_elsewhere() {
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    let words = "dial tcp: lookup db on 1.1.1.1:53: no such host";
    let elsewhere = "certain dns-unavailable Deployment shop/web <- Deployment shop/web ";
    let state = State::of(&client("", "dnsPolicy: Default"))
        .log(Run::Current, words)
        .and(&up);
    check(
        state,
        &[&format!("{elsewhere}spec.template.spec.dnsPolicy")],
    );
    let own = "dnsPolicy: None\n    dnsConfig: {nameservers: [1.1.1.1]}";
    let state = State::of(&client("", own))
        .log(Run::Current, words)
        .and(&up);
    check(
        state,
        &[&format!(
            "{elsewhere}spec.template.spec.dnsConfig.nameservers"
        )],
    );
}

#[test]
fn a_server_that_refuses_the_work() {
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    let words = "connecting to db:5432\nFATAL:  sorry, too many clients already";
    check(
        failing("", words).and(&up),
        &["certain dependency-refusing Deployment shop/web <- Pod shop/db-0"],
    );
}

#[test]
fn a_server_that_says_that_it_stops_or_starts() {
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    for passing in ["shutting down", "starting up"] {
        let words = format!("connecting to db:5432\nFATAL:  the database system is {passing}");
        let state = failing("", &words).and(&up);
        check(state.clone().at("2026-11-24T11:59:40Z"), &[]);
        check(
            state,
            &["certain dependency-refusing Deployment shop/web <- Pod shop/db-0"],
        );
    }
}

#[test]
fn what_is_behind_the_dependency_explains_it() {
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let waiting = db("db", PORT, "False", "{containerPort: 5432}").replace(
        "phase: Running\n    podIP: 10.244.2.2",
        "phase: Pending\n    containerStatuses: [{name: db, image: '', imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: CreateContainerConfigError, message: 'secret \"db\" not found'}}}]",
    );
    let waiting = waiting.replace(
        "{name: db, ports",
        "{name: db, envFrom: [{secretRef: {name: db}}], ports",
    );
    let waiting = waiting.replace("nodeName: n1", "hostname: db-0");
    let state = failing("", words).and(&waiting);
    check(
        state.clone(),
        &["certain secret-missing Pod shop/db-0 <- Secret shop/db"],
    );
    assert_eq!(state.verdicts()[0].affected[0].name, "web");
}

/// A pod of the Deployment `api` whose init container runs this since a time.
fn awaiting(command: &str, since: &str) -> String {
    format!(
        "
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {{name: api-1, namespace: shop, uid: ars, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: api, uid: a, controller: true}}]}}
  spec: {{selector: {{}}}}
- apiVersion: v1
  kind: Pod
  metadata: {{name: api, namespace: shop, uid: p, labels: {{app: api}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-1, uid: ars, controller: true}}]}}
  spec:
    nodeName: n1
    initContainers:
    - name: wait
      env: [{{name: DB_HOST, value: db}}, {{name: NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}]
      command: [sh, -c, {command:?}]
    containers: [{{name: app}}]
  status:
    phase: Pending
    podIP: 10.244.1.9
    conditions: [{{type: Ready, status: 'False'}}]
    initContainerStatuses:
    - name: wait
      image: ''
      imageID: ''
      ready: false
      restartCount: 0
      state: {{running: {{startedAt: '{since}'}}}}
"
    )
}

#[test]
fn an_init_container_that_waits_without_a_word() {
    let silent = |command, db: &str| {
        State::of(&awaiting(command, "2026-11-24T11:50:00Z"))
            .and(db)
            .at("2026-11-24T12:00:00Z")
    };
    let command = "until nc -z ${DB_HOST}.$NAMESPACE 5432; do sleep 2; done";
    let declared = "{name: pg, containerPort: 5432}";
    let up = db("db", PORT, "True", declared);
    let deny = "
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: db, namespace: shop}
  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
";
    check(silent(command, &up), &[]);
    check(
        silent(command, &up).and(deny),
        &[
            "likely network-policy-blocks-ingress Deployment shop/api <- NetworkPolicy shop/db spec.ingress",
        ],
    );
    check(
        silent(command, &db("db", PORT, "False", declared)),
        &["likely dependency-unreachable Deployment shop/api <- Service shop/db"],
    );
    check(
        silent("until nslookup orders-db; do sleep 2; done", &up),
        &[
            "likely dependency-unreachable Deployment shop/api <- Deployment shop/api spec.template.spec.initContainers[0].command[2]",
        ],
    );
    // What leads out of the cluster may be a long download.
    check(
        silent("wget -q https://files.example.com/model.bin", &up),
        &[],
    );
    // It has only just begun.
    let young = State::of(&awaiting(command, "2026-11-24T11:59:30Z"));
    check(
        young
            .and(&db("db", PORT, "False", declared))
            .at("2026-11-24T12:00:00Z"),
        &[],
    );
}

#[test]
fn an_address_is_blamed_on_the_item_that_has_it() {
    let names_none = |given: &str| {
        let command = "command: [sh, -c, \"until nslookup orders-db; do sleep 2; done\"]";
        let pod = awaiting(
            "until nslookup orders-db; do sleep 2; done",
            "2026-11-24T11:50:00Z",
        );
        State::of(&pod.replace(command, given)).at("2026-11-24T12:00:00Z")
    };
    for (given, field) in [
        (
            "command: [wait-for], args: [--quiet, 'orders-db:5432']",
            "args[1]",
        ),
        ("command: [nc, -z], args: [orders-db, '5432']", "args[0]"),
        (
            "command: [/opt/orders-db-wait, nc, -z, orders-db, '5432']",
            "command[3]",
        ),
        (
            "command: [wait-for, 'orders-db:5432'], args: [--quiet]",
            "command[1]",
        ),
        ("args: ['tcp://orders-db:5432']", "args[0]"),
    ] {
        let given = given.replace("], args", "]\n      args");
        check(
            names_none(&given),
            &[&format!(
                "likely dependency-unreachable Deployment shop/api <- Deployment shop/api spec.template.spec.initContainers[0].{field}"
            )],
        );
    }
}

/// The Deployment behind the database's pod, that is, its template's labels.
const DB_SET: &str = "
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: db, namespace: shop, uid: s}
  spec: {replicas: 1, serviceName: db, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db}]}}}
";

/// The database's pod, owned by the set, with its Service changed.
fn set(ready: &str, from: &str, to: &str) -> String {
    let pod = db("db", PORT, ready, "{containerPort: 5432}");
    let owned = pod.replace(
        "uid: db,",
        "uid: db, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: s, controller: true}],",
    );
    assert!(owned.contains(from), "{from}");
    owned.replace(from, to) + DB_SET
}

#[test]
fn a_selector_that_asks_for_what_nothing_sets() {
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let leader = |ready| {
        set(
            ready,
            "selector: {app: db}",
            "selector: {app: db, role: leader}",
        )
    };
    let unmatched =
        "likely service-selector-unmatched Service shop/db <- Service shop/db spec.selector";
    let blamed = failing("", words).and(&leader("True"));
    check(blamed.clone(), &[unmatched]);
    assert_eq!(blamed.verdicts()[0].affected[0].name, "web");
    let silent = State::of(&awaiting(
        "until nc -z db 5432; do sleep 2; done",
        "2026-11-24T11:50:00Z",
    ));
    check(
        silent.and(&leader("True")).at("2026-11-24T12:00:00Z"),
        &[unmatched],
    );
    // Nobody fails on it: a program may set the label yet.
    check(State::of(&leader("True")), &[]);
    // What sets the label does not run.
    check(failing("", words).and(&leader("False")), &[UNREACHABLE]);
    // What comes near has another value.
    let other = set(
        "True",
        "selector: {app: db}",
        "selector: {app: queue, role: leader}",
    );
    check(failing("", words).and(&other), &[UNREACHABLE]);
}

#[test]
fn a_silent_wait_on_a_port_that_nothing_names() {
    let wait = || {
        State::of(&awaiting(
            "until nc -z db 5432; do sleep 2; done",
            "2026-11-24T11:50:00Z",
        ))
        .at("2026-11-24T12:00:00Z")
    };
    let wrong = db("db", "{port: 5432, targetPort: 5433}", "True", "");
    check(
        wait().and(&wrong),
        &[
            "possible service-port-mismatch Service shop/db <- Service shop/db spec.ports[0].targetPort",
        ],
    );
    // A variable names the number: the program may well listen there.
    let named = wrong.replace("ports: []", "env: [{name: PGPORT, value: '5433'}]");
    check(wait().and(&named), &[]);
}

#[test]
fn the_names_of_headless_services_lead_to_ready_pods() {
    let headless = |ready: &str| set(ready, "clusterIP: 10.96.0.7", "clusterIP: None");
    let pod_name = "nodeName: n1\n    containers: [{name: db,";
    let subdomain =
        "nodeName: n1\n    hostname: db-0\n    subdomain: db\n    containers: [{name: db,";
    let below = |ready: &str| headless(ready).replace(pod_name, subdomain);
    let of_name = "Error: getaddrinfo ENOTFOUND db.shop.svc.cluster.local";
    let of_pod = "Error: getaddrinfo ENOTFOUND db-0.db.shop.svc.cluster.local";
    check(failing("", of_name).and(&headless("False")), &[UNREACHABLE]);
    let pod = "likely dependency-unreachable Deployment shop/web <- StatefulSet shop/db";
    check(failing("", of_pod).and(&below("False")), &[pod]);
    // The set has no pods: the name is that of one to come.
    let pods = below("False");
    let service = pods
        .split("- apiVersion: v1\n  kind: Pod")
        .next()
        .unwrap_or_default();
    for name in ["db-0.db.shop.svc.cluster.local", "db-0.db.shop", "db-0.db"] {
        let words = format!("Error: getaddrinfo ENOTFOUND {name}");
        check(failing("", &words).and(service), &[UNREACHABLE]);
    }
    // The Service picks other pods.
    let unpicked =
        below("True").replace("selector: {app: db}, ports", "selector: {app: dbb}, ports");
    let selector =
        "certain service-selector-unmatched Service shop/db <- Service shop/db spec.selector";
    check(failing("", of_pod).and(&unpicked), &[selector]);
    // The names resolve, so that something else is amiss: a ready pod, or one that is named
    // whether it is ready or not.
    let unexplained = "likely crash-unexplained Deployment shop/web <- Deployment shop/web";
    let published = below("False").replace(
        "clusterIP: None",
        "clusterIP: None, publishNotReadyAddresses: true",
    );
    for state in [below("True"), published] {
        check(failing("", of_name).and(&state), &[unexplained]);
        check(failing("", of_pod).and(&state), &[unexplained]);
    }
}

#[test]
fn all_clients_of_what_is_not_ready_are_explained_by_it() {
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let down = set("False", "ports: [{containerPort: 5432}]", "readinessProbe: {tcpSocket: {port: 5433}}")
        .replace(
            "podIP: 10.244.2.2",
            "podIP: 10.244.2.2\n    containerStatuses: [{name: db, image: '', imageID: '', ready: false, restartCount: 0, state: {running: {startedAt: '2026-11-24T09:00:00Z'}}}]",
        );
    let state = failing("", words).and(&down).and(&awaiting(
        "until nc -z db 5432; do sleep 2; done",
        "2026-11-24T11:50:00Z",
    ));
    let state = state.at("2026-11-24T12:00:00Z");
    check(
        state.clone(),
        &[
            "likely readiness-probe-failing StatefulSet shop/db <- StatefulSet shop/db spec.template.spec.containers[0].readinessProbe",
        ],
    );
    let affected: Vec<String> = (state.verdicts()[0].affected.iter())
        .map(|object| object.name.clone())
        .collect();
    assert_eq!(affected, ["api", "web"]);
}

#[test]
fn a_container_that_connects_to_its_own_pod() {
    let words = "Error: connect ECONNREFUSED 127.0.0.1:6379";
    let env = "env: [{name: LOG, value: x}, {name: REDIS_URL, value: 'redis://localhost:6379'}]";
    let own = "likely dependency-unreachable Deployment shop/web <- Deployment shop/web spec.template.spec.containers[0]";
    check(failing(env, words), &[&format!("{own}.env[1].value")]);
    check(failing("", words), &[own]);
    let unexplained = "likely crash-unexplained Deployment shop/web <- Deployment shop/web";
    // It is to listen there itself, or only timed out.
    check(
        failing("ports: [{containerPort: 6379}]", words),
        &[unexplained],
    );
    check(
        failing("", "Error: connect ETIMEDOUT 127.0.0.1:6379"),
        &[unexplained],
    );
}

#[test]
fn the_only_address_outside_where_words_name_none() {
    let words = "kafka.errors.NoBrokersAvailable: NoBrokersAvailable";
    let env = "env: [{name: URL, value: 'kafka://kafka.example.com:9092'}]";
    let outside = "possible dependency-unreachable Deployment shop/web <- Deployment shop/web spec.template.spec.containers[0].env[0].value";
    check(failing(env, words), &[outside]);
    let unexplained = "likely crash-unexplained Deployment shop/web <- Deployment shop/web";
    // It may be what it connects to in the cluster, or another outside.
    let inside = env.replace("}]", "}, {name: DB, value: 'postgres://db/shop'}]");
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    check(failing(&inside, words).and(&up), &[unexplained]);
    let two = env.replace("}]", "}, {name: API, value: 'https://api.example.com'}]");
    check(failing(&two, words), &[unexplained]);
    // It runs on: some connections are lost now and then.
    let running = client(env, "").replace(
        "state: {waiting: {reason: CrashLoopBackOff}}",
        "state: {running: {startedAt: '2026-11-24T11:00:00Z'}}",
    );
    let running = running
        .replace("ready: false", "ready: true")
        .replace("restartCount: 3", "restartCount: 0");
    let running = running
        .lines()
        .filter(|line| !line.contains("lastState"))
        .collect::<Vec<_>>()
        .join("\n");
    let lost = "read ECONNRESET\nsocket hang up\nread ECONNRESET";
    check(State::of(&running).log(Run::Current, lost), &[]);
}

#[test]
fn a_service_that_stands_for_another_name() {
    let alias = |name: &str| {
        format!(
            "
- apiVersion: v1
  kind: Service
  metadata: {{name: store, namespace: shop}}
  spec: {{type: ExternalName, externalName: {name}, ports: [{{port: 5432}}]}}
"
        )
    };
    let of_name = "Error: getaddrinfo ENOTFOUND store";
    let refused = "dial tcp store:5432: connect: connection refused";
    let down = db("db", PORT, "False", "{containerPort: 5432}");
    let wrong = "certain dependency-unreachable Deployment shop/web <- Service shop/store spec.externalName";
    check(
        failing("", of_name)
            .and(&alias("dbb.shop.svc.cluster.local"))
            .and(&down),
        &[wrong],
    );
    check(
        failing("", of_name).and(&alias("db.example.com")),
        &[&wrong.replace("certain", "likely")],
    );
    // The other is in the cluster: what befalls it does.
    let inside = alias("db.shop.svc.cluster.local");
    check(failing("", refused).and(&inside).and(&down), &[UNREACHABLE]);
    let unselected = db("dbb", PORT, "True", "{containerPort: 5432}");
    let selector =
        "certain service-selector-unmatched Service shop/db <- Service shop/db spec.selector";
    check(
        failing("", refused).and(&inside).and(&unselected),
        &[selector],
    );
    // It is all right.
    let up = db("db", PORT, "True", "{containerPort: 5432}");
    check(State::of(&inside).and(&up), &[]);
}

#[test]
fn a_selector_of_another_value_where_one_workload_listens() {
    let words = "dial tcp 10.96.0.7:5432: connect: connection refused";
    let unlike = set(
        "True",
        "selector: {app: db}, ports",
        "selector: {app: mysql}, ports",
    );
    let unlike = unlike
        .replace(
            "kind: StatefulSet\n  metadata: {name: db,",
            "kind: StatefulSet\n  metadata: {name: maria,",
        )
        .replace(
            "kind: StatefulSet, name: db,",
            "kind: StatefulSet, name: maria,",
        );
    let unmatched =
        "likely service-selector-unmatched Service shop/db <- Service shop/db spec.selector";
    check(failing("", words).and(&unlike), &[unmatched]);
    // Nobody fails on it.
    check(State::of(&unlike), &[]);
    // It listens elsewhere, or another Service leads to it.
    let elsewhere = unlike.replace("containerPort: 5432", "containerPort: 3306");
    check(failing("", words).and(&elsewhere), &[UNREACHABLE]);
    let picked = "
- apiVersion: v1
  kind: Service
  metadata: {name: maria, namespace: shop}
  spec: {clusterIP: 10.96.0.8, selector: {app: db}, ports: [{port: 5432}]}
";
    check(failing("", words).and(&unlike).and(picked), &[UNREACHABLE]);
}
