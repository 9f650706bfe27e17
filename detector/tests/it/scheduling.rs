//! Pods that no node takes, and pods that lost their node to others.

use crashbook_detector::Kind;

use crate::support::State;

/// A control plane, a large worker (23.5Gi) and a small one (7.5Gi), of 2 CPUs each.
const NODES: &str = include_str!("../fixtures/scheduling/nodes.yaml");
const PREEMPTION: &str = include_str!("../fixtures/scheduling/preemption.yaml");
const PREEMPTION_EVENTS_V1: &str = include_str!("../fixtures/scheduling/preemption-eventsv1.yaml");

/// A pod that the scheduler found no node for ten minutes ago.
fn stuck(name: &str, spec: &str) -> String {
    stuck_as(name, "", spec)
}

fn stuck_as(name: &str, metadata: &str, spec: &str) -> String {
    let message = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient memory. no \
         new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful \
         for scheduling.";
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: {name}-uid{metadata}}}
spec: {{{spec}}}
status:
  phase: Pending
  conditions:
  - {{type: PodScheduled, status: 'False', reason: Unschedulable, lastTransitionTime: '2026-11-24T11:50:00Z', message: \"{message}\"}}
"
    )
}

/// A pod that runs on a node.
fn running(name: &str, node: &str, spec: &str) -> String {
    running_as(name, "", node, spec)
}

fn running_as(name: &str, metadata: &str, node: &str, spec: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: {name}-uid{metadata}}}
spec: {{nodeName: {node}, {spec}}}
status: {{phase: Running, conditions: [{{type: Ready, status: 'True'}}]}}
"
    )
}

fn asking(resource: &str, amount: &str) -> String {
    format!("containers: [{{name: app, resources: {{requests: {{{resource}: {amount}}}}}}}]")
}

const OF_WEB: &str = ", ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d, uid: rs, controller: true}]";
const OF_LOG: &str = ", ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: log, uid: ds, controller: true}]";

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 1, selector: {}, template: {}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-5d
  namespace: shop
  uid: rs
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]
spec: {replicas: 1, selector: {}}
";

/// The nodes with one of their lines replaced.
fn nodes(from: &str, to: &str) -> State {
    let nodes = NODES.replace(from, to);
    assert_ne!(nodes, NODES);
    State::of(&nodes)
}

fn on_nodes() -> State {
    State::of(NODES)
}

const TOO_LARGE: &str = "request-exceeds-nodes";

/// Asserts which classes are named, with the culprits, and nothing else.
#[track_caller]
fn check(state: &State, expected: &[(&str, &str)]) {
    let verdicts = state.verdicts();
    let said: Vec<(&str, String)> = verdicts
        .iter()
        .map(|verdict| {
            let field = verdict.culprit.field.as_deref();
            let field = field.map(|field| format!(" {field}")).unwrap_or_default();
            (
                verdict.class.name(),
                format!("{}{field}", verdict.culprit.object),
            )
        })
        .collect();
    let said: Vec<(&str, &str)> = said
        .iter()
        .map(|(class, of)| (*class, of.as_str()))
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn a_request_that_no_node_could_hold() {
    on_nodes()
        .and(WEB)
        .and(&stuck_as("web-5d-x", OF_WEB, &asking("memory", "64Gi")))
        .says(&[
            "certain request-exceeds-nodes Deployment shop/web <- Deployment shop/web \
         spec.template.spec.containers[0].resources.requests.memory \
         {\"largestAllocatable\":\"24684092Ki\",\"nodes\":[\
         {\"name\":\"trial-worker\",\"reason\":\"memory: 24684092Ki of 64Gi\"},\
         {\"name\":\"trial-worker2\",\"reason\":\"memory: 7906876Ki of 64Gi\"}],\
         \"request\":\"64Gi\",\"resource\":\"memory\"}",
        ]);
}

#[test]
fn replicas_of_one_workload_are_one_verdict() {
    let large = asking("memory", "64Gi");
    let state = on_nodes()
        .and(WEB)
        .and(&stuck_as("web-5d-x", OF_WEB, &large))
        .and(&stuck_as("web-5d-y", OF_WEB, &large));
    let field = "Deployment shop/web spec.template.spec.containers[0].resources.requests.memory";
    check(&state, &[(TOO_LARGE, field)]);
}

#[test]
fn the_control_plane_is_background() {
    // It is as large as the large worker, and closed whatever is asked.
    let state = nodes("name: trial-worker, labels", "name: gone, labels").and(&stuck(
        "web",
        &format!(
            "nodeSelector: {{suite: small}}, {}",
            asking("memory", "8Gi")
        ),
    ));
    check(
        &state,
        &[(
            TOO_LARGE,
            "Pod shop/web spec.containers[0].resources.requests.memory",
        )],
    );
}

#[test]
fn the_share_of_daemon_sets_is_never_free() {
    let daemon = running_as("log-a", OF_LOG, "trial-worker", &asking("cpu", "300m"));
    let other = running_as("log-b", OF_LOG, "trial-worker2", &asking("cpu", "300m"));
    let state = on_nodes().and(&daemon).and(&other);
    let state = state.and(&stuck("web", &asking("cpu", "1800m")));
    let field = "Pod shop/web spec.containers[0].resources.requests.cpu";
    check(&state, &[(TOO_LARGE, field)]);
    assert_eq!(state.verdicts()[0].detail["largestAllocatable"], "1700m");
}

#[test]
fn the_share_of_others_is_room_that_is_taken() {
    let state = on_nodes()
        .and(&running("a", "trial-worker", &asking("cpu", "300m")))
        .and(&running("b", "trial-worker2", &asking("cpu", "500m")))
        .and(&stuck("web", &asking("cpu", "1800m")));
    check(&state, &[("capacity-exhausted", "Pod shop/web")]);
    let detail = &state.verdicts()[0].detail;
    assert_eq!(detail["resource"], "cpu");
    assert_eq!(detail["request"], "1800m");
    assert_eq!(detail["largestFree"], "1700m");
}

#[test]
fn a_node_can_be_full_of_pods() {
    let nodes = NODES.replace("pods: '110'", "pods: '1'");
    let state = State::of(&nodes)
        .and(&running("a", "trial-worker", "containers: []"))
        .and(&running("b", "trial-worker2", "containers: []"))
        .and(&stuck("web", "containers: [{name: app}]"));
    check(&state, &[("capacity-exhausted", "Pod shop/web")]);
    assert_eq!(state.verdicts()[0].detail["resource"], "pods");
}

#[test]
fn pods_that_ended_hold_no_room() {
    let ended = running("a", "trial-worker", &asking("cpu", "2")).replace("Running", "Succeeded");
    let state = on_nodes()
        .and(&ended)
        .and(&stuck("web", &asking("cpu", "1800m")));
    check(&state, &[]);
}

#[test]
fn pods_that_are_leaving_will_make_room() {
    let leaving = running_as(
        "a",
        ", deletionTimestamp: '2026-11-24T11:50:00Z'",
        "trial-worker",
        &asking("cpu", "2"),
    );
    let state = on_nodes()
        .and(&leaving)
        .and(&running("b", "trial-worker2", &asking("cpu", "2")))
        .and(&stuck("web", &asking("cpu", "1")));
    check(&state.clone().at("2026-11-24T11:51:00Z"), &[]);
    check(
        &state.at("2026-11-24T11:52:00Z"),
        &[("capacity-exhausted", "Pod shop/web")],
    );
}

#[test]
fn a_full_cluster_is_no_news_for_a_moment() {
    let state = on_nodes()
        .and(&running("a", "trial-worker", &asking("cpu", "2")))
        .and(&running("b", "trial-worker2", &asking("cpu", "2")))
        .and(&stuck("web", &asking("cpu", "1")));
    check(&state.clone().at("2026-11-24T11:50:04Z"), &[]);
    check(
        &state.at("2026-11-24T11:50:05Z"),
        &[("capacity-exhausted", "Pod shop/web")],
    );
}

#[test]
fn a_node_that_is_on_its_way() {
    let scale_up = |at: &str| {
        format!(
            "
apiVersion: v1
kind: Event
metadata: {{name: web.1, namespace: shop}}
involvedObject: {{kind: Pod, namespace: shop, name: web, uid: web-uid}}
reason: TriggeredScaleUp
message: 'pod triggered scale-up: [{{workers 1->2 (max: 5)}}]'
type: Normal
lastTimestamp: '{at}'
"
        )
    };
    let state = on_nodes().and(&stuck("web", &asking("memory", "64Gi")));
    check(&state.clone().and(&scale_up("2026-11-24T11:55:00Z")), &[]);
    let field = "Pod shop/web spec.containers[0].resources.requests.memory";
    check(
        &state.and(&scale_up("2026-11-24T11:45:00Z")),
        &[(TOO_LARGE, field)],
    );
}

#[test]
fn a_device_that_no_node_has() {
    let state = on_nodes().and(&stuck("web", &asking("nvidia.com/gpu", "1")));
    let field = "Pod shop/web spec.containers[0].resources.requests[\"nvidia.com/gpu\"]";
    check(&state, &[(TOO_LARGE, field)]);
    assert_eq!(state.verdicts()[0].detail["largestAllocatable"], "0");
}

#[test]
fn a_device_selects_the_nodes_that_have_it() {
    let gpu = nodes(
        "name: trial-worker2, labels: {kubernetes.io/hostname: trial-worker2, suite: small}}
spec: {}
status:
  allocatable: {",
        "name: trial-worker2, labels: {kubernetes.io/hostname: trial-worker2, suite: small}}
spec: {taints: [{key: nvidia.com/gpu, value: present, effect: NoSchedule}]}
status:
  allocatable: {nvidia.com/gpu: '1', ",
    );
    let state = gpu.and(&stuck("web", &asking("nvidia.com/gpu", "1")));
    let taint = "Node trial-worker2 spec.taints[key=nvidia.com/gpu]";
    check(&state, &[("taint-untolerated", taint)]);
}

#[test]
fn a_selector_that_matches_no_node() {
    let selector = "nodeSelector: {disktype: nvme}, containers: []";
    on_nodes()
        .and(WEB)
        .and(&stuck_as("web-5d-x", OF_WEB, selector))
        .says(&[
            "certain node-selector-unmatched Deployment shop/web <- Deployment shop/web \
         spec.template.spec.nodeSelector {\"term\":\"disktype=nvme\"}",
        ]);
}

#[test]
fn an_affinity_that_matches_no_node() {
    let affinity = "nodeSelector: {suite: small}, containers: [], affinity: {nodeAffinity: \
        {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
        [{matchExpressions: [{key: zone, operator: In, values: [a, b]}]}]}}}";
    on_nodes().and(&stuck("web", affinity)).says(&[
        "certain node-selector-unmatched Pod shop/web <- Pod shop/web \
         spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution\
         .nodeSelectorTerms[0] {\"term\":\"zone in (a, b)\"}",
    ]);
}

#[test]
fn a_selector_comes_before_a_size() {
    let both = format!(
        "nodeSelector: {{disktype: nvme}}, {}",
        asking("memory", "64Gi")
    );
    let state = on_nodes().and(&stuck("web", &both));
    check(
        &state,
        &[("node-selector-unmatched", "Pod shop/web spec.nodeSelector")],
    );
}

const SMALL: &str = "nodeSelector: {suite: small}, containers: []";

fn tainted(taint: &str) -> State {
    nodes(
        "suite: small}}
spec: {}",
        &format!("suite: small}}}}\nspec: {{taints: [{{{taint}}}]}}"),
    )
}

#[test]
fn a_taint_that_is_not_tolerated() {
    let state = tainted("key: dedicated, value: db, effect: NoSchedule");
    state.clone().and(&stuck("web", SMALL)).says(&[
        "certain taint-untolerated Pod shop/web <- Node trial-worker2 \
         spec.taints[key=dedicated] \
         {\"effect\":\"NoSchedule\",\"key\":\"dedicated\",\"nodes\":[\"trial-worker2\"]}",
    ]);
    let tolerates = |toleration: &str| format!("tolerations: [{{{toleration}}}], {SMALL}");
    let tolerated = |toleration: &str| state.clone().and(&stuck("web", &tolerates(toleration)));
    check(&tolerated("key: dedicated, value: db"), &[]);
    check(&tolerated("operator: Exists"), &[]);
    check(
        &tolerated("key: dedicated, operator: Exists, effect: NoSchedule"),
        &[],
    );
    let taint = (
        "taint-untolerated",
        "Node trial-worker2 spec.taints[key=dedicated]",
    );
    check(&tolerated("key: dedicated, value: web"), &[taint]);
    check(
        &tolerated("key: dedicated, operator: Exists, effect: NoExecute"),
        &[taint],
    );
}

#[test]
fn a_taint_that_only_advises() {
    let state = tainted("key: spot, effect: PreferNoSchedule").and(&stuck("web", SMALL));
    check(&state, &[]);
}

#[test]
fn a_control_plane_that_alone_is_selected() {
    let spec = "nodeSelector: {kubernetes.io/hostname: trial-control-plane}, containers: []";
    let state = on_nodes().and(&stuck("web", spec));
    let taint = "Node trial-control-plane spec.taints[key=node-role.kubernetes.io/control-plane]";
    check(&state, &[("taint-untolerated", taint)]);
}

#[test]
fn a_node_without_the_taint_is_left_and_is_too_small() {
    let state = nodes(
        "suite: general}}
spec: {}",
        "suite: general}}\nspec: {taints: [{key: dedicated, effect: NoSchedule}]}",
    );
    let state = state.and(&stuck("web", &asking("memory", "20Gi")));
    check(
        &state,
        &[(
            TOO_LARGE,
            "Pod shop/web spec.containers[0].resources.requests.memory",
        )],
    );
}

#[test]
fn a_cordoned_node() {
    let cordon = "spec: {unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}";
    let cordoned = nodes(
        "suite: small}}\nspec: {}",
        &format!("suite: small}}}}\n{cordon}"),
    );
    check(&cordoned, &[]);
    cordoned.clone().and(&stuck("web", SMALL)).says(&[
        "certain nodes-cordoned Pod shop/web <- Node trial-worker2 spec.unschedulable \
         {\"nodes\":[\"trial-worker2\"]}",
    ]);
    // A node that would take it, and is full, is the nearer trouble.
    let state = cordoned
        .and(&running("a", "trial-worker", &asking("cpu", "2")))
        .and(&stuck("web", &asking("cpu", "1")));
    check(&state, &[("capacity-exhausted", "Pod shop/web")]);
}

#[test]
fn the_only_large_node_is_cordoned() {
    let cordoned = nodes(
        "suite: general}}\nspec: {}",
        "suite: general}}\nspec: {unschedulable: true}",
    );
    let state = cordoned.and(&stuck("web", &asking("memory", "20Gi")));
    check(
        &state,
        &[("nodes-cordoned", "Node trial-worker spec.unschedulable")],
    );
}

#[test]
fn a_node_that_comes_is_no_trouble_for_five_minutes() {
    let taint = "key: node.cloudprovider.kubernetes.io/uninitialized, effect: NoSchedule";
    let state = tainted(taint).and(&stuck("web", SMALL));
    check(&state.clone().at("2026-11-24T11:54:59Z"), &[]);
    let culprit =
        "Node trial-worker2 spec.taints[key=node.cloudprovider.kubernetes.io/uninitialized]";
    check(
        &state.at("2026-11-24T11:55:00Z"),
        &[("taint-untolerated", culprit)],
    );
}

#[test]
fn a_node_under_pressure_is_the_nodes_trouble() {
    let taint = "key: node.kubernetes.io/memory-pressure, effect: NoSchedule";
    let state = tainted(taint).and(
        "
apiVersion: v1
kind: Node
metadata: {name: trial-worker2, labels: {suite: small}}
spec: {taints: [{key: node.kubernetes.io/memory-pressure, effect: NoSchedule}]}
status:
  allocatable: {cpu: '2', memory: 7906876Ki, pods: '110'}
  conditions:
  - {type: MemoryPressure, status: 'True', lastTransitionTime: '2026-11-24T11:50:00Z'}
  - {type: Ready, status: 'True', lastTransitionTime: '2026-11-24T11:00:00Z'}
",
    );
    let culprit = "Node trial-worker2 status.conditions[type=MemoryPressure]";
    let state = state.and(&stuck("web", SMALL));
    check(&state, &[("node-pressure-eviction", culprit)]);
    assert_eq!(state.verdicts()[0].affected[0].to_string(), "Pod shop/web");
}

#[test]
fn a_pod_that_fits_by_now_is_no_trouble() {
    check(
        &on_nodes().and(&stuck("web", &asking("memory", "1Gi"))),
        &[],
    );
}

#[test]
fn a_pod_that_is_bound_gated_or_going_is_not_stuck() {
    let large = asking("memory", "64Gi");
    let bound = stuck("web", &format!("nodeName: trial-worker, {large}"));
    check(&on_nodes().and(&bound), &[]);
    let gated = stuck("web", &large).replace("reason: Unschedulable", "reason: SchedulingGated");
    check(&on_nodes().and(&gated), &[]);
    let going = stuck_as("web", ", deletionTimestamp: '2026-11-24T11:50:00Z'", &large);
    check(&on_nodes().and(&going), &[]);
}

#[test]
fn without_a_list_of_nodes_the_message_decides() {
    let alone = State::default().without_list_of(Kind::Node);
    alone.and(&stuck("web", &asking("memory", "64Gi"))).says(&[
        "likely request-exceeds-nodes Pod shop/web <- Pod shop/web \
         spec.containers[0].resources.requests.memory \
         {\"request\":\"64Gi\",\"resource\":\"memory\"}",
    ]);
}

#[test]
fn without_all_pods_the_message_decides_what_is_free() {
    let full = stuck("web", &asking("memory", "1Gi")).replace(
        "3 Preemption is not helpful for scheduling",
        "2 No preemption victims found for incoming pod",
    );
    on_nodes()
        .without_list_of(Kind::Pod)
        .and(&full)
        .says(&["likely capacity-exhausted Pod shop/web <- Pod shop/web \
         {\"request\":\"1Gi\",\"resource\":\"memory\"}"]);
    let large = on_nodes().without_list_of(Kind::Pod);
    let large = large.and(&stuck("web", &asking("memory", "64Gi")));
    check(
        &large,
        &[(
            TOO_LARGE,
            "Pod shop/web spec.containers[0].resources.requests.memory",
        )],
    );
}

const PREEMPTED: &str = "certain preempted Pod priority-preemption/high-mem-no-priority \
    <- Pod priority-preemption/high-mem-with-priority \
    {\"node\":\"trial-worker2\",\"preemptorPriority\":100,\"priorityClass\":\"high-priority\"}";

fn preempted() -> State {
    on_nodes().and(PREEMPTION).at("2026-11-23T17:42:50Z")
}

#[test]
fn a_preempted_pod() {
    preempted().says(&[PREEMPTED]);
}

#[test]
fn a_preempted_pod_by_an_event_of_the_other_form() {
    let (preemptor, _) = PREEMPTION.split_once("---").unwrap();
    let state = on_nodes().and(preemptor).and(PREEMPTION_EVENTS_V1);
    state.at("2026-11-23T17:42:50Z").says(&[PREEMPTED]);
}

#[test]
fn a_preempted_pod_by_an_event_of_old() {
    let old = PREEMPTION.replace(
        "by pod bf2f5b13-f9c2-46a0-ad80-f4650740f17c",
        "by priority-preemption/high-mem-with-priority",
    );
    on_nodes()
        .and(&old)
        .at("2026-11-23T17:42:50Z")
        .says(&[PREEMPTED]);
}

#[test]
fn a_bare_preempted_pod_is_told_of_for_ten_minutes() {
    preempted().at("2026-11-23T17:52:48Z").says(&[PREEMPTED]);
    preempted().at("2026-11-23T17:52:49Z").says(&[]);
}

#[test]
fn a_preemption_is_over_when_the_preemptor_is_gone() {
    let gone = PREEMPTION.replace("phase: Running", "phase: Succeeded");
    on_nodes().and(&gone).at("2026-11-23T17:42:50Z").says(&[]);
    let elsewhere = PREEMPTION.replace("nodeName: trial-worker2", "nodeName: trial-worker");
    on_nodes()
        .and(&elsewhere)
        .at("2026-11-23T17:42:50Z")
        .says(&[]);
}

#[test]
fn a_preemption_is_over_when_a_pod_of_that_name_runs() {
    let again = running("high-mem-no-priority", "trial-worker", "containers: []")
        .replace("namespace: shop", "namespace: priority-preemption");
    preempted().and(&again).says(&[]);
}

#[test]
fn a_victim_of_which_no_event_tells_yet() {
    let victim = "
apiVersion: v1
kind: Pod
metadata: {name: low, namespace: shop, uid: low-uid, deletionTimestamp: '2026-11-24T12:00:00Z'}
spec: {nodeName: trial-worker2, priority: 0, containers: [{name: app, resources: {requests: {memory: 5Gi}}}]}
status:
  phase: Running
  conditions:
  - {type: DisruptionTarget, status: 'True', reason: PreemptionByScheduler, lastTransitionTime: '2026-11-24T11:59:59Z', message: 'default-scheduler: preempting to accommodate a higher priority pod'}
";
    let preemptor = stuck(
        "high",
        &format!("priority: 100, {}", asking("memory", "6Gi")),
    )
    .replace(
        "phase: Pending",
        "phase: Pending\n  nominatedNodeName: trial-worker2",
    );
    on_nodes()
        .and(victim)
        .and(&preemptor)
        .says(&["likely preempted Pod shop/low <- Pod shop/high \
         {\"node\":\"trial-worker2\",\"preemptorPriority\":100,\"victimPriority\":0}"]);
}

/// A Deployment's pod was preempted by a pod of another Deployment.
fn preempted_web() -> State {
    let preemptor = running_as(
        "db-7f-x",
        ", ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: sts, controller: true}]",
        "trial-worker2",
        &format!(
            "priority: 100, priorityClassName: high, {}",
            asking("memory", "6Gi")
        ),
    );
    let event = "
apiVersion: v1
kind: Event
metadata: {name: web.1, namespace: shop}
involvedObject: {kind: Pod, namespace: shop, name: web-5d-abcde, uid: gone}
reason: Preempted
message: Preempted by pod db-7f-x-uid on node trial-worker2
type: Normal
firstTimestamp: '2026-11-24T11:50:00Z'
lastTimestamp: '2026-11-24T11:50:00Z'
";
    on_nodes().and(WEB).and(&preemptor).and(event)
}

#[test]
fn the_replacement_of_a_preempted_pod_finds_no_room() {
    let spec = format!(
        "nodeSelector: {{suite: small}}, {}",
        asking("memory", "5Gi")
    );
    preempted_web()
        .and(&stuck_as("web-5d-fghij", OF_WEB, &spec))
        .says(
            &["certain preempted Deployment shop/web <- Pod shop/db-7f-x \
         {\"node\":\"trial-worker2\",\"preemptorOwner\":\
         {\"kind\":\"StatefulSet\",\"name\":\"db\",\"namespace\":\"shop\"},\
         \"preemptorPriority\":100,\"priorityClass\":\"high\",\"victimPriority\":0}"],
        );
}

#[test]
fn the_replacement_of_a_preempted_pod_runs_elsewhere() {
    let spec = asking("memory", "5Gi");
    check(
        &preempted_web().and(&running_as("web-5d-fghij", OF_WEB, "trial-worker", &spec)),
        &[],
    );
}

#[test]
fn a_preemption_of_long_ago_does_not_explain_a_new_template() {
    let spec = asking("memory", "64Gi");
    let state = preempted_web().and(&stuck_as("web-5d-fghij", OF_WEB, &spec));
    let field = "Deployment shop/web spec.template.spec.containers[0].resources.requests.memory";
    check(&state, &[(TOO_LARGE, field)]);
}

#[test]
fn the_preemptor_that_waits_for_its_victims_is_not_stuck() {
    let preemptor = stuck("high", &format!("priority: 100, {}", asking("cpu", "2"))).replace(
        "phase: Pending",
        "phase: Pending\n  nominatedNodeName: trial-worker2",
    );
    let state = on_nodes()
        .and(&running("a", "trial-worker", &asking("cpu", "2")))
        .and(&running("b", "trial-worker2", &asking("cpu", "2")))
        .and(&preemptor);
    check(&state, &[]);
}

#[test]
fn what_a_rollout_replaces_lacks_nothing() {
    let set = |name: &str, revision: u32| {
        format!(
            "
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: {name}
  namespace: shop
  uid: {name}-uid
  annotations: {{deployment.kubernetes.io/revision: '{revision}'}}
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}}]
spec: {{replicas: 1, selector: {{}}}}
"
        )
    };
    let of = |name: &str| {
        format!(
            ", ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: {name}, uid: {name}-uid, controller: true}}]"
        )
    };
    let state = |stuck_revision: u32, other_revision: u32| {
        let (deployment, _) = WEB.split_once("---").unwrap();
        on_nodes()
            .and(deployment)
            .and(&set("web-a", stuck_revision))
            .and(&set("web-b", other_revision))
            .and(&stuck_as(
                "web-a-1",
                &of("web-a"),
                &asking("memory", "64Gi"),
            ))
            .and(&running_as(
                "web-b-1",
                &of("web-b"),
                "trial-worker",
                &asking("memory", "1Gi"),
            ))
    };
    check(&state(9, 10), &[]);
    // The pod of the new ReplicaSet may be seen before the ReplicaSet itself.
    let (deployment, _) = WEB.split_once("---").unwrap();
    let made = "creationTimestamp: '2026-11-24T11:5";
    let unseen = on_nodes()
        .and(deployment)
        .and(&set("web-a", 1))
        .and(&stuck_as(
            "web-a-1",
            &format!(", {made}0:00Z'{}", of("web-a")),
            &asking("memory", "64Gi"),
        ))
        .and(&running_as(
            "web-b-1",
            &format!(
                ", {made}1:00Z', labels: {{pod-template-hash: b}}{}",
                of("web-b")
            ),
            "trial-worker",
            &asking("memory", "1Gi"),
        ));
    check(&unseen, &[]);
    check(
        &state(10, 9),
        &[(
            "request-exceeds-nodes",
            "Deployment shop/web spec.template.spec.containers[0].resources.requests.memory",
        )],
    );
}

/// What the scheduler looks at, and no object that is read here tells.
#[test]
fn what_only_the_scheduler_knows_is_believed_in_time() {
    let full = "0/3 nodes are available: 3 node(s) exceed max volume count. preemption: 0/3 nodes are \
        available: 3 No preemption victims found for incoming pod.";
    let pod = stuck("web", "containers: [{name: app}]");
    let start = pod.find("message: ").expect("a message");
    let pod = format!("{}message: \"{full}\"}}\n", &pod[..start]);
    let state = State::of(NODES).and(&pod);
    state.clone().at("2026-11-24T11:55:00Z").says(&[]);
    state.says(&["likely capacity-exhausted Pod shop/web <- Pod shop/web \
         {\"request\":\"1\",\"resource\":\"attachable-volumes\"}"]);
}

/// Without nodes, the message decides: that the others have no such device is no news.
#[test]
fn a_taint_of_the_nodes_with_a_device() {
    let message = "0/4 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}, 3 \
        Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available: 4 Preemption is not helpful.";
    let pod = stuck(
        "web",
        "containers: [{name: app, resources: {limits: {nvidia.com/gpu: 1}}}]",
    );
    let start = pod.find("message: ").expect("a message");
    let pod = format!("{}message: \"{message}\"}}\n", &pod[..start]);
    State::of(&pod)
        .without_list_of(Kind::Node)
        .names(&["likely taint-untolerated Pod shop/web <- Pod shop/web spec.tolerations"]);
}

/// Without claims, the message decides as well.
#[test]
fn a_volume_that_is_elsewhere_as_the_scheduler_says() {
    let message = "0/3 nodes are available: 3 node(s) had volume node affinity conflict. preemption: 0/3 \
        nodes are available: 3 Preemption is not helpful for scheduling.";
    let claims = "containers: [{name: app}], volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]";
    let pod = stuck("web", claims);
    let start = pod.find("message: ").expect("a message");
    let pod = format!("{}message: \"{message}\"}}\n", &pod[..start]);
    let state = State::of(NODES)
        .and(&pod)
        .without_list_of(Kind::PersistentVolumeClaim);
    state.names(&["likely volume-node-conflict Pod shop/web <- PersistentVolumeClaim shop/data"]);
}
