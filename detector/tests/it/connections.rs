//! Connections that policies drop, and configuration that programs refuse.

use crashbook_detector::facts::{Log, LogLine, Run};
use crashbook_detector::{Engine, Object, Observation};

use crate::support::State;

/// A gateway that fails, and what it connects to.
const GATEWAY: &str = "
- apiVersion: v1
  kind: Namespace
  metadata: {name: logs}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: gateway-1, namespace: logs, uid: rs, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: gateway, uid: d, controller: true}]}
  spec: {selector: {}}
- apiVersion: v1
  kind: Pod
  metadata: {name: gateway-1-x, namespace: logs, uid: p, labels: {app: gateway}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: gateway-1, uid: rs, controller: true}]}
  spec:
    nodeName: n1
    containers: [{name: gateway}]
  status:
    phase: Running
    podIP: 10.244.3.20
    containerStatuses:
    - name: gateway
      image: ''
      imageID: ''
      ready: true
      restartCount: 2
      state: {running: {startedAt: '2026-11-24T11:59:55Z'}}
      lastState: {terminated: {exitCode: 1, reason: Error, startedAt: '2026-11-24T11:59:20Z', finishedAt: '2026-11-24T11:59:36Z'}}
- apiVersion: v1
  kind: Pod
  metadata: {name: loki-0, namespace: logs, uid: l, labels: {app: loki}}
  spec:
    containers: [{name: loki, ports: [{name: http, containerPort: 3100}]}]
  status: {phase: Running, podIP: 10.244.2.16, conditions: [{type: Ready, status: 'True'}]}
- apiVersion: v1
  kind: Service
  metadata: {name: loki, namespace: logs}
  spec: {clusterIP: 10.96.243.172, selector: {app: loki}, ports: [{port: 80, targetPort: http}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: dns-1, namespace: kube-system, uid: k, labels: {k8s-app: kube-dns}}
  spec: {containers: [{name: coredns}]}
  status: {phase: Running, podIP: 10.244.0.2, conditions: [{type: Ready, status: 'True'}]}
- apiVersion: v1
  kind: Service
  metadata: {name: kube-dns, namespace: kube-system}
  spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}
";

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: logs}}\nspec: {spec}"
    )
}

/// Egress from the gateway to these ports only.
fn egress(ports: &str) -> String {
    policy(
        "traffic",
        &format!(
            "{{podSelector: {{matchLabels: {{app: gateway}}}}, policyTypes: [Egress], egress: [{{ports: [{ports}]}}]}}"
        ),
    )
}

const DNS: &str = "{port: 53, protocol: UDP}";

fn log(run: Run, text: &str) -> Observation {
    Observation::Log(Log {
        namespace: "logs".to_owned(),
        pod: "gateway-1-x".to_owned(),
        uid: None,
        container: "gateway".to_owned(),
        run,
        container_id: None,
        lines: text
            .lines()
            .map(|line| LogLine::parse(line.as_bytes()))
            .collect(),
    })
}

/// What is said of policies where the last run printed this.
#[track_caller]
fn check(policies: &[String], last_words: &str, expected: &[&str]) {
    let mut state = State::of(GATEWAY).seen(log(Run::Previous, last_words));
    for policy in policies {
        state = state.and(policy);
    }
    let said = state.verdicts();
    let said: Vec<String> = said
        .iter()
        .filter(|verdict| verdict.class.name().starts_with("network-policy"))
        .map(|verdict| {
            format!(
                "{} {} {} <- {} {} {} {}",
                verdict.confidence,
                verdict.class,
                verdict.subject,
                verdict.culprit.object,
                verdict.culprit.field.as_deref().unwrap_or_default(),
                verdict.detail["port"],
                verdict.detail["protocol"],
            )
        })
        .collect();
    assert_eq!(said, expected, "{last_words}");
}

const BLOCKED: &str = "certain network-policy-blocks-egress Deployment logs/gateway <- NetworkPolicy logs/traffic spec.egress 3100 \"TCP\"";
const NO_DNS: &str = "certain network-policy-blocks-egress Deployment logs/gateway <- NetworkPolicy logs/traffic spec.egress 53 \"UDP\"";

/// The four kinds of line that a gateway prints, none of which says what failed.
const FOUR: &str = "INFO - Endpoint: http://loki:80\nINFO - Initializing\nERROR - IO Error while listening\nWARN - Exiting. Could not connect after 10 retries.";

#[test]
fn a_port_that_egress_forgets() {
    check(
        &[egress(&format!("{{port: 8443}}, {DNS}"))],
        FOUR,
        &[BLOCKED],
    );
    check(
        &[egress(&format!("{{port: 8443}}, {DNS}"))],
        "dial tcp 10.96.243.172:80: i/o timeout",
        &[BLOCKED],
    );
    // The Service's own port admits nothing: policies see the pod's.
    check(&[egress(&format!("{{port: 80}}, {DNS}"))], FOUR, &[BLOCKED]);
}

#[test]
fn what_is_admitted_is_not_blamed() {
    check(&[], FOUR, &[]);
    check(&[egress(&format!("{{port: 3100}}, {DNS}"))], FOUR, &[]);
    check(
        &[
            egress(DNS),
            policy(
                "more",
                "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}",
            ),
        ],
        FOUR,
        &[],
    );
}

#[test]
fn a_refusal_is_no_drop() {
    let policies = [egress(DNS)];
    check(
        &policies,
        "dial tcp 10.96.243.172:80: connect: connection refused",
        &[],
    );
    let other = "http://loki:80\nhttpd: Syntax error on line 3 of /etc/httpd.conf: bad";
    check(&policies, other, &[]);
}

#[test]
fn names_that_policies_keep_from_resolving() {
    check(
        &[egress("{port: 8443}")],
        "wget: bad address 'loki:80'",
        &[NO_DNS],
    );
    check(&[egress(DNS)], "wget: bad address 'loki:80'", &[]);
    // The name service answered.
    check(
        &[egress("{port: 8443}")],
        "dial tcp: lookup loki on 10.96.0.10:53: no such host",
        &[],
    );
}

#[test]
fn the_receiver_admits_others_only() {
    let ingress = policy(
        "loki-only",
        "{podSelector: {matchLabels: {app: loki}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}",
    );
    check(
        &[ingress],
        FOUR,
        &[
            "certain network-policy-blocks-ingress Deployment logs/gateway <- NetworkPolicy logs/loki-only spec.ingress 3100 \"TCP\"",
        ],
    );
}

#[test]
fn of_several_policies_the_one_with_rules_is_to_blame() {
    let deny = policy("deny", "{podSelector: {}, policyTypes: [Egress]}");
    check(&[deny.clone(), egress(DNS)], FOUR, &[BLOCKED]);
    check(
        &[deny],
        "dial tcp 10.96.243.172:80: i/o timeout",
        &[
            "certain network-policy-blocks-egress Deployment logs/gateway <- NetworkPolicy logs/deny spec.egress 3100 \"TCP\"",
        ],
    );
}

#[test]
fn a_policy_that_was_mended_leaves_nothing_to_explain() {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let blocking = egress(DNS);
    let mended = egress(&format!("{{port: 3100}}, {DNS}"));
    let mut engine = State::of(GATEWAY)
        .and(&blocking)
        .seen(log(Run::Previous, FOUR))
        .engine();
    let classes = |engine: &mut Engine| -> Vec<&str> {
        let verdicts = engine.verdicts().iter();
        verdicts.map(|verdict| verdict.class.name()).collect()
    };
    assert_eq!(classes(&mut engine), ["network-policy-blocks-egress"]);
    // One that came in the second in which the run ended: whether after it, nobody can tell.
    let more = policy(
        "more",
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 3100}]}]}",
    );
    let at = |second: u8| format!("name: more, creationTimestamp: '2026-11-24T11:59:{second}Z'");
    let state = State::of(GATEWAY)
        .and(&blocking)
        .seen(log(Run::Previous, FOUR));
    let mut of_then = state
        .clone()
        .and(&more.replace("name: more", &at(36)))
        .engine();
    assert_eq!(classes(&mut of_then), [""; 0]);
    let mut before = state.and(&more.replace("name: more", &at(35))).engine();
    assert_eq!(classes(&mut before), ["crash-unexplained"]);
    let object = serde_saphyr::from_str(&mended).unwrap();
    let policy = Object::decode(object).unwrap();
    engine.observe(Observation::Applied(policy), now);
    assert_eq!(classes(&mut engine), [""; 0]);
}

/// A web server that ends with what it prints, its configuration from a ConfigMap.
fn refused(mount: &str, volume: &str, words: &str) -> State {
    let pod = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: gateway-1-x, namespace: logs, uid: p}}
spec:
  containers:
  - name: gateway
    volumeMounts: [{mount}]
  volumes: [{volume}]
status:
  phase: Running
  containerStatuses:
  - name: gateway
    image: ''
    imageID: ''
    ready: false
    restartCount: 3
    state: {{waiting: {{reason: CrashLoopBackOff}}}}
    lastState: {{terminated: {{exitCode: 1, reason: Error, startedAt: '2026-11-24T11:59:20Z', finishedAt: '2026-11-24T11:59:20Z'}}}}
"
    );
    State::of(&pod).seen(log(Run::Current, words))
}

const INCLUDE: &str = "httpd: Syntax error on line 178 of /conf/httpd.conf: Could not open configuration file /conf/x.conf: No such file or directory";

#[test]
fn the_file_with_the_mistake_is_found_among_the_mounts() {
    let verdict = |culprit: &str| {
        format!(
            "certain app-config-invalid Pod logs/gateway-1-x <- {culprit} {}",
            r#"{"file":"/conf/httpd.conf","line":178,"problem":"Could not open configuration file /conf/x.conf: No such file or directory"}"#
        )
    };
    let map = verdict(r#"ConfigMap logs/web data["httpd.conf"]"#);
    let whole = "{name: conf, configMap: {name: web}}";
    refused(
        "{name: conf, mountPath: /conf/httpd.conf, subPath: httpd.conf}",
        whole,
        INCLUDE,
    )
    .says(&[&map]);
    refused("{name: conf, mountPath: /conf}", whole, INCLUDE).says(&[&map]);
    let items = "{name: conf, projected: {sources: [{secret: {name: web, items: [{key: main, path: httpd.conf}]}}]}}";
    refused("{name: conf, mountPath: /conf}", items, INCLUDE)
        .says(&[&verdict(r#"Secret logs/web data["main"]"#)]);
    refused("{name: conf, mountPath: /other}", whole, INCLUDE)
        .says(&[&verdict("Pod logs/gateway-1-x spec.containers[0]")]);
}

/// What is said where the gateway's egress is this list of rules of a policy of Calico's.
#[track_caller]
fn check_calico(objects: &str, rules: &str, last_words: &str, is_blocked: bool) {
    let policy = format!(
        "apiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nmetadata: {{name: traffic, namespace: logs}}\n\
         spec: {{selector: app == 'gateway', types: [Egress], egress: [{rules}, {{action: Allow, protocol: UDP, destination: {{ports: [53]}}}}]}}"
    );
    let state = State::of(GATEWAY).and(objects).and(&policy);
    let said = state.seen(log(Run::Previous, last_words)).verdicts();
    let blames = |name: &str| said.iter().any(|verdict| verdict.class.name() == name);
    assert_eq!(
        blames("network-policy-blocks-egress"),
        is_blocked,
        "{rules}"
    );
}

#[test]
fn calico_admits_by_service_account() {
    let account = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: logs, labels: {role: store}}
";
    for (accounts, is_blocked) in [
        ("{names: [default]}", false),
        ("{names: [other]}", true),
        ("{selector: role == 'store'}", false),
        ("{selector: role == 'web'}", true),
        ("{names: [default], selector: role == 'web'}", true),
    ] {
        let rule = format!("{{action: Allow, destination: {{serviceAccounts: {accounts}}}}}");
        let words = "dial tcp 10.96.243.172:80: i/o timeout";
        check_calico(account, &rule, words, is_blocked);
    }
    // Of an account that is not there nothing is known of its labels.
    let rule = "{action: Allow, destination: {serviceAccounts: {selector: role == 'web'}}}";
    let words = "dial tcp 10.96.243.172:80: i/o timeout";
    check_calico("[]", rule, words, false);
}

#[test]
fn calico_admits_by_network_sets() {
    let sets = "
- apiVersion: projectcalico.org/v3
  kind: NetworkSet
  metadata: {name: partners, namespace: logs, labels: {role: partner}}
  spec: {nets: [198.51.100.0/24]}
- apiVersion: projectcalico.org/v3
  kind: NetworkSet
  metadata: {name: partners, namespace: shop, labels: {role: partner}}
  spec: {nets: [203.0.113.0/24]}
- apiVersion: projectcalico.org/v3
  kind: GlobalNetworkSet
  metadata: {name: world, labels: {role: world}}
  spec: {nets: [192.0.2.7]}
";
    let partner = "{selector: role == 'partner'}";
    let anywhere = "{selector: role == 'partner', namespaceSelector: all()}";
    let global = "{selector: role == 'world', namespaceSelector: global()}";
    for (destination, address, is_blocked) in [
        (partner, "198.51.100.9", false),
        (partner, "203.0.113.9", true),
        (anywhere, "203.0.113.9", false),
        (global, "192.0.2.7", false),
        (global, "192.0.2.8", true),
        ("{selector: role == 'world'}", "192.0.2.7", true),
        ("{notSelector: role == 'partner'}", "198.51.100.9", true),
    ] {
        let rule = format!("{{action: Allow, destination: {destination}}}");
        let words = format!("dial tcp {address}:443: i/o timeout");
        check_calico(sets, &rule, &words, is_blocked);
    }
}
