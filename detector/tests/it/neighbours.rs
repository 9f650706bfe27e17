//! Pods that their neighbours keep from every node: affinity, anti-affinity, spread.

use crate::support::State;

/// Two workers in two zones.
const NODES: &str = "
apiVersion: v1
kind: Node
metadata: {name: a, labels: {kubernetes.io/hostname: a, zone: east}}
spec: {}
status: {allocatable: {cpu: '2', memory: 8Gi, pods: '110'}}
---
apiVersion: v1
kind: Node
metadata: {name: b, labels: {kubernetes.io/hostname: b, zone: west}}
spec: {}
status: {allocatable: {cpu: '2', memory: 8Gi, pods: '110'}}
";

fn running(name: &str, node: &str, app: &str) -> String {
    running_as(name, "", node, app, "")
}

fn running_as(name: &str, metadata: &str, node: &str, app: &str, spec: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: {name}, labels: {{app: {app}}}{metadata}}}
spec: {{nodeName: {node}, containers: []{spec}}}
status: {{phase: Running, conditions: [{{type: Ready, status: 'True'}}]}}
"
    )
}

/// A pod with the label app=web that no node takes since 11:50.
fn stuck(spec: &str) -> String {
    stuck_with(spec, "x")
}

fn stuck_with(spec: &str, message: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: web, labels: {{app: web}}}}
spec: {{containers: []{spec}}}
status:
  phase: Pending
  conditions:
  - {{type: PodScheduled, status: 'False', reason: Unschedulable, lastTransitionTime: '2026-11-24T11:50:00Z', message: \"{message}\"}}
"
    )
}

fn term(kind: &str, app: &str, key: &str) -> String {
    format!(
        ", affinity: {{{kind}: {{requiredDuringSchedulingIgnoredDuringExecution: \
         [{{labelSelector: {{matchLabels: {{app: {app}}}}}, topologyKey: {key}}}]}}}}"
    )
}

fn spread(skew: u8, policy: &str) -> String {
    format!(
        ", topologySpreadConstraints: [{{maxSkew: {skew}, topologyKey: zone, whenUnsatisfiable: \
         {policy}, labelSelector: {{matchLabels: {{app: web}}}}}}]"
    )
}

#[test]
fn a_pod_that_keeps_away_from_its_siblings() {
    let apart = term("podAntiAffinity", "web", "kubernetes.io/hostname");
    let one = State::of(NODES)
        .and(&running("one", "a", "web"))
        .and(&stuck(&apart));
    one.says(&[]);
    one.and(&running("two", "b", "web")).says(&[
        "certain pod-affinity-unsatisfiable Pod shop/web <- Pod shop/web \
         spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0] \
         {\"term\":\"no pod of app=web in its kubernetes.io/hostname\"}",
    ]);
}

#[test]
fn a_sibling_that_is_leaving_will_make_way() {
    let apart = term("podAntiAffinity", "web", "kubernetes.io/hostname");
    let leaving = ", deletionTimestamp: '2026-11-24T11:50:00Z'";
    let state = State::of(NODES)
        .and(&running("one", "a", "web"))
        .and(&running_as("two", leaving, "b", "web", ""))
        .and(&stuck(&apart));
    state.clone().at("2026-11-24T11:51:59Z").says(&[]);
    assert_eq!(state.at("2026-11-24T11:52:00Z").verdicts().len(), 1);
}

#[test]
fn a_pod_that_wants_to_be_beside_another() {
    let beside = term("podAffinity", "cache", "zone");
    let state = State::of(NODES).and(&stuck(&beside));
    state.says(&[
        "certain pod-affinity-unsatisfiable Pod shop/web <- Pod shop/web \
         spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0] \
         {\"term\":\"a pod of app=cache in its zone\"}",
    ]);
    state.and(&running("cache", "b", "cache")).says(&[]);
    // The first of its own kind may go anywhere.
    State::of(NODES)
        .and(&stuck(&term("podAffinity", "web", "zone")))
        .says(&[]);
}

#[test]
fn the_room_beside_the_other_is_full() {
    let beside = term("podAffinity", "cache", "zone");
    let full = running("cache", "b", "cache").replace(
        "containers: []",
        "containers: [{name: app, resources: {requests: {cpu: '2'}}}]",
    );
    let spec = format!("{beside}, nodeSelector: {{}}");
    let web = stuck(&spec).replace(
        "containers: []",
        "containers: [{name: app, resources: {requests: {cpu: '1'}}}]",
    );
    let verdicts = State::of(NODES).and(&full).and(&web).verdicts();
    let classes: Vec<&str> = verdicts
        .iter()
        .map(|verdict| verdict.class.name())
        .collect();
    assert_eq!(classes, ["capacity-exhausted"]);
}

#[test]
fn a_pod_that_is_to_be_spread() {
    let state = State::of(NODES)
        .and(&running("one", "a", "web"))
        .and(&running("two", "a", "web"))
        .and(
            "
apiVersion: v1
kind: Node
metadata: {name: b, labels: {kubernetes.io/hostname: b, zone: west}}
spec: {taints: [{key: dedicated, effect: NoSchedule}]}
status: {allocatable: {cpu: '2', memory: 8Gi, pods: '110'}}
",
        );
    state
        .clone()
        .and(&stuck(&spread(1, "DoNotSchedule")))
        .says(&[
            "certain pod-affinity-unsatisfiable Pod shop/web <- Pod shop/web \
         spec.topologySpreadConstraints[0] \
         {\"term\":\"at most 1 more pods of app=web than in any other zone\"}",
        ]);
    state
        .clone()
        .and(&stuck(&spread(1, "ScheduleAnyway")))
        .says(&[]);
    state
        .clone()
        .and(&stuck(&spread(3, "DoNotSchedule")))
        .says(&[]);
    let honoured = spread(1, "DoNotSchedule, nodeTaintsPolicy: Honor");
    state.and(&stuck(&honoured)).says(&[]);
}

#[test]
fn pods_that_are_there_keep_it_away() {
    let message =
        "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.";
    let alone = term("podAntiAffinity", "web", "kubernetes.io/hostname");
    let state = State::of(NODES)
        .and(&running_as("one", "", "a", "db", &alone))
        .and(&running_as("two", "", "b", "db", &alone));
    state.clone().and(&stuck_with("", message)).says(&[
        "certain pod-affinity-unsatisfiable Pod shop/web <- Pod shop/web metadata.labels \
         {\"term\":\"no pod in its kubernetes.io/hostname that keeps pods of such labels away\"}",
    ]);
    // From another namespace: only the scheduler says so, and has looked again by now.
    let likely = State::of(NODES).and(&stuck_with("", message));
    likely
        .says(&["likely pod-affinity-unsatisfiable Pod shop/web <- Pod shop/web spec.affinity {}"]);
    likely.at("2026-11-24T11:55:59Z").says(&[]);
}
