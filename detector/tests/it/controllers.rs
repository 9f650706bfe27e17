//! What keeps controllers from their work: budgets, autoscalers, rollouts, no replicas at all.

use crate::support::State;

fn node(spec: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Node
metadata: {{name: a}}
spec: {{{spec}}}
status: {{allocatable: {{cpu: '2'}}, conditions: [{{type: Ready, status: 'True'}}]}}
"
    )
}

fn pod(name: &str, ready: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: {name}, labels: {{app: web}}}}
spec: {{nodeName: a, containers: [{{name: app}}]}}
status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}]}}
"
    )
}

fn budget(allowed: u8, healthy: u8, expected: u8) -> String {
    format!(
        "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: shop}}
spec: {{minAvailable: 1, selector: {{matchLabels: {{app: web}}}}}}
status:
  disruptionsAllowed: {allowed}
  currentHealthy: {healthy}
  desiredHealthy: 1
  expectedPods: {expected}
  conditions:
  - {{type: DisruptionAllowed, status: 'False', reason: InsufficientPods, message: '', lastTransitionTime: '2026-11-24T11:59:50Z'}}
"
    )
}

const CORDONED: &str = "unschedulable: true";

const BLOCKED: &str = "certain disruption-blocked PodDisruptionBudget shop/web \
    <- PodDisruptionBudget shop/web spec.minAvailable {\"disruptionsAllowed\":0,\"node\":\"a\"}";

#[test]
fn a_budget_holds_a_cordoned_node() {
    let with = |node: &str, budget: &str| State::of(node).and(&pod("w", "True")).and(budget);
    with(&node(CORDONED), &budget(0, 1, 1)).says(&[BLOCKED]);
    with(&node(""), &budget(0, 1, 1)).says(&[]);
    with(&node(CORDONED), &budget(1, 2, 2)).says(&[]);
    State::of(&node(CORDONED)).and(&budget(0, 0, 0)).says(&[]);
}

#[test]
fn a_drain_waits_for_the_next_pod() {
    let state = State::of(&node(CORDONED))
        .and(&pod("w", "True"))
        .and(&budget(0, 1, 2));
    state.says(&[]);
    state.at("2026-11-24T12:01:50Z").says(&[BLOCKED]);
}

/// An autoscaler's mark, in place of a cordon; and pods whose owner cannot say how many there are to be.
#[test]
fn a_budget_holds_a_node_that_is_taken_away() {
    let marked = node("taints: [{key: karpenter.sh/disrupted, effect: NoSchedule}]");
    let state = State::of(&marked).and(&pod("web-0", "True"));
    let said = state.clone().and(&budget(0, 1, 1)).verdicts();
    assert_eq!(said[0].class.name(), "disruption-blocked");
    let unknown = budget(0, 0, 0).replace("InsufficientPods", "SyncFailed");
    let said = state
        .clone()
        .and(&unknown)
        .at("2026-11-24T12:10:00Z")
        .verdicts();
    assert_eq!(said[0].class.name(), "disruption-blocked");
    state.and(&budget(0, 0, 0)).says(&[]);
    let other = node("taints: [{key: other, effect: NoSchedule}]");
    State::of(&other)
        .and(&pod("web-0", "True"))
        .and(&budget(0, 1, 1))
        .says(&[]);
}

fn autoscaler(condition: &str, more: &str) -> State {
    State::of(&format!(
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: shop}}
spec:
  minReplicas: 1
  maxReplicas: 3
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]
status:
  desiredReplicas: 3
  currentReplicas: 3
  conditions: [{{{condition}, lastTransitionTime: '2026-11-24T11:50:00Z'}}]
{more}
"
    ))
}

fn stuck(reason: &str, field: &str) -> String {
    format!(
        "certain autoscaler-stuck HorizontalPodAutoscaler shop/web \
         <- HorizontalPodAutoscaler shop/web {field} {{\"reason\":\"{reason}\"}}"
    )
}

#[test]
fn an_autoscaler_without_metrics() {
    let blind = |message: &str| {
        let condition = "type: ScalingActive, status: 'False', reason: FailedGetResourceMetric";
        autoscaler(&format!("{condition}, message: '{message}'"), "")
    };
    let expected = stuck("FailedGetResourceMetric", "spec.metrics");
    let not_served =
        blind("the server could not find the requested resource (get pods.metrics.k8s.io)");
    not_served.at("2026-11-24T11:50:05Z").says(&[&expected]);
    let not_yet = blind("did not receive metrics for targeted pods (pods might be unready)");
    not_yet.clone().at("2026-11-24T11:50:59Z").says(&[]);
    not_yet.at("2026-11-24T11:51:00Z").says(&[&expected]);
    let disabled = "type: ScalingActive, status: 'False', reason: ScalingDisabled";
    autoscaler(disabled, "").says(&[]);
}

#[test]
fn an_autoscaler_without_a_target() {
    let gone = "type: AbleToScale, status: 'False', reason: FailedGetScale, message: not found";
    autoscaler(gone, "").says(&[&stuck("FailedGetScale", "spec.scaleTargetRef")]);
}

#[test]
fn an_autoscaler_at_its_maximum() {
    let limited = "type: ScalingLimited, status: 'True', reason: TooManyReplicas";
    let uses = |percent: u8| {
        let more = format!(
            "  currentMetrics: [{{type: Resource, resource: {{name: cpu, current: \
             {{averageUtilization: {percent}, averageValue: 90m}}}}}}]"
        );
        autoscaler(limited, &more)
    };
    uses(90).says(&[&stuck("TooManyReplicas", "spec.maxReplicas")]);
    uses(90).at("2026-11-24T11:54:59Z").says(&[]);
    uses(50).says(&[]);
}

fn deployment(replicas: u8, more: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop, generation: 2}}
spec: {{replicas: {replicas}, selector: {{}}, template: {{metadata: {{labels: {{app: web}}}}}}}}
status: {{observedGeneration: 2, {more}}}
"
    )
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}}
";

#[test]
fn no_replicas_behind_a_service() {
    let state = State::of(&deployment(0, "")).and(SERVICE);
    state.clone().says(&[
        "likely scaled-to-zero Deployment shop/web <- Deployment shop/web spec.replicas \
         {\"service\":{\"kind\":\"Service\",\"name\":\"web\",\"namespace\":\"shop\"}} \
         affects Service shop/web",
    ]);
    State::of(&deployment(0, "")).says(&[]);
    // The other half of a pair serves.
    state.clone().and(&pod("other", "True")).says(&[]);
    let by_events = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: keda-hpa-web, namespace: shop}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
";
    state.clone().and(by_events).says(&[]);
    // Something makes the autoscaler, or points the Service there: that scales as well.
    let owner = |kind: &str| {
        format!(
            "namespace: shop, ownerReferences: [{{apiVersion: x/v1, kind: {kind}, name: web, uid: o, controller: true}}]}}"
        )
    };
    let of_scaled = by_events
        .replace("keda-hpa-web", "web")
        .replace("namespace: shop}", &owner("ScaledObject"));
    state.and(&of_scaled).says(&[]);
    let of_canary = SERVICE.replace("namespace: shop}", &owner("Canary"));
    State::of(&deployment(0, "")).and(&of_canary).says(&[]);
}

#[test]
fn a_rollout_that_does_not_go_on() {
    let late = "conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, \
        message: 'ReplicaSet web-2 has timed out progressing.', lastTransitionTime: '2026-11-24T11:50:00Z'}]";
    let stalled = format!("replicas: 3, updatedReplicas: 1, availableReplicas: 2, {late}");
    State::of(&deployment(2, &stalled)).says(&[
        "certain rollout-stalled Deployment shop/web <- Deployment shop/web \
         {\"reason\":\"ProgressDeadlineExceeded\"}",
    ]);
    // The pods that are available are those of the former template.
    let surged = format!("replicas: 3, updatedReplicas: 2, availableReplicas: 2, {late}");
    assert_eq!(State::of(&deployment(2, &surged)).verdicts().len(), 1);
    let done = format!("replicas: 2, updatedReplicas: 2, availableReplicas: 2, {late}");
    State::of(&deployment(2, &done)).says(&[]);
    let newer = deployment(2, &stalled).replace("generation: 2}", "generation: 3}");
    State::of(&newer).says(&[]);
    let gated = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-2, namespace: shop, uid: rs, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2-x, namespace: shop, uid: p, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-2, uid: rs, controller: true}]}
spec: {schedulingGates: [{name: example.com/queue}], containers: [{name: app}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]}
";
    State::of(&deployment(2, &stalled)).and(gated).says(&[]);
}

fn starting(event: &str, first: &str, last: &str) -> State {
    State::of(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: web}}
spec:
  nodeName: a
  containers: [{{name: app}}]
  volumes: [{{name: logs, hostPath: {{path: /var/missing, type: Directory}}}}]
status:
  phase: Pending
  conditions: [{{type: PodScheduled, status: 'True'}}]
  containerStatuses: [{{name: app, image: i, imageID: '', ready: false, restartCount: 0, state: {{waiting: {{reason: ContainerCreating}}}}}}]
---
apiVersion: v1
kind: Event
metadata: {{name: web.1, namespace: shop}}
involvedObject: {{kind: Pod, namespace: shop, name: web, uid: web}}
reason: FailedMount
message: '{event}'
type: Warning
firstTimestamp: '{first}'
lastTimestamp: '{last}'
"
    ))
}

#[test]
fn a_volume_that_cannot_be_mounted() {
    let failed = "MountVolume.SetUp failed for volume \"logs\" : hostPath type check failed: /var/missing is not a directory";
    let state = starting(failed, "2026-11-24T11:58:00Z", "2026-11-24T11:59:00Z");
    state.clone().says(&[
        "certain volume-mount-failed Pod shop/web <- Pod shop/web spec.volumes[0] \
         {\"error\":\"hostPath type check failed: /var/missing is not a directory\",\
         \"volume\":\"logs\"}",
    ]);
    state.clone().at("2026-11-24T11:58:14Z").says(&[]);
    state.at("2026-11-24T12:04:00Z").says(&[]);
    let noise = "MountVolume.SetUp failed for volume \"kube-api-access-x\" : failed to sync configmap cache: timed out waiting for the condition";
    starting(noise, "2026-11-24T11:58:00Z", "2026-11-24T11:59:00Z").says(&[]);
    let noise = "Unable to attach or mount volumes: unmounted volumes=[logs], unattached volumes=[], failed to process volumes=[logs]: error processing PVC shop/logs: failed to fetch PVC from API server: persistentvolumeclaims \"logs\" is forbidden: User \"system:node:a\" cannot get resource \"persistentvolumeclaims\" in API group \"\" in the namespace \"shop\": no relationship found between node ''a'' and this object";
    starting(noise, "2026-11-24T11:58:00Z", "2026-11-24T11:59:00Z").says(&[]);
}

/// The sum of what is not mounted repeats what is missing.
#[test]
fn a_sum_of_volumes_of_which_one_is_missing() {
    let sum = "Unable to attach or mount volumes: unmounted volumes=[certs], unattached volumes=[]: timed out waiting for the condition";
    let state = starting(sum, "2026-11-24T11:58:00Z", "2026-11-24T11:59:00Z");
    let both = sum.replace("[certs]", "[certs logs]");
    let both = starting(&both, "2026-11-24T11:58:00Z", "2026-11-24T11:59:00Z");
    let certs = |state: State| {
        let pod = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: web, creationTimestamp: '2026-11-24T11:57:00Z'}
spec:
  nodeName: a
  containers: [{name: app, volumeMounts: [{name: certs, mountPath: /c}, {name: logs, mountPath: /l}]}]
  volumes: [{name: certs, secret: {secretName: certs}}, {name: logs, hostPath: {path: /l}}]
status:
  phase: Pending
  startTime: '2026-11-24T11:57:00Z'
  conditions: [{type: PodScheduled, status: 'True'}]
  containerStatuses: [{name: app, image: i, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]
";
        state.and(pod)
    };
    let missing = "certain secret-missing Pod shop/web <- Secret shop/certs";
    certs(state).names(&[missing]);
    certs(both).names(&[
        missing,
        "certain volume-mount-failed Pod shop/web <- Pod shop/web spec.volumes[1]",
    ]);
}
