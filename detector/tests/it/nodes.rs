//! Nodes that do not work, and taints that remove pods.

use crashbook_detector::Object;
use crashbook_detector::Observation;
use serde_json::Value;

use crate::support::State;

fn node(ready: &str, reason: &str, message: &str) -> String {
    format!(
        "apiVersion: v1
kind: Node
metadata: {{name: worker, uid: n-1, creationTimestamp: '2026-11-24T10:00:00Z'}}
spec: {{}}
status:
  conditions: [{{type: Ready, status: '{ready}', reason: {reason}, message: '{message}', lastTransitionTime: '2026-11-24T11:59:00Z'}}]
"
    )
}

const STOPPED: &str = "Kubelet stopped posting node status.";

fn pod(name: &str, owner: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: shop
  uid: u-{name}
  creationTimestamp: '2026-11-24T11:00:00Z'
  ownerReferences: [{{apiVersion: apps/v1, kind: {owner}, name: web, uid: o, controller: true}}]
spec: {{nodeName: worker, containers: [{{name: app}}]}}
status:
  phase: Running
  conditions: [{{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T11:59:00Z'}}]
  containerStatuses: [{{name: app, image: '', imageID: '', ready: true, restartCount: 0, state: {{running: {{startedAt: '2026-11-24T11:00:01Z'}}}}}}]
"
    )
}

#[test]
fn a_kubelet_that_is_gone() {
    let state = State::of(&node("Unknown", "NodeStatusUnknown", STOPPED));
    let said =
        "certain node-not-ready Node worker <- Node worker {\"reason\":\"NodeStatusUnknown\"}";
    state.says(&[said]);
    let with_pods = state
        .and(&pod("web-0", "StatefulSet"))
        .and(&pod("etcd", "Node"));
    with_pods.says(&[&format!("{said} affects StatefulSet shop/web")]);
}

#[test]
fn a_node_that_is_ready_again_starts_or_goes() {
    State::of(&node("True", "KubeletReady", ""))
        .and(&pod("web-0", "StatefulSet"))
        .says(&[]);
    let down = node("Unknown", "NodeStatusUnknown", STOPPED);
    State::of(&down.replace("'2026-11-24T10:00:00Z'", "'2026-11-24T11:58:30Z'")).says(&[]);
    let taken = "spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}";
    State::of(&down.replace("spec: {}", taken)).says(&[]);
    let going = "uid: n-1, deletionTimestamp: '2026-11-24T11:59:59Z',";
    State::of(&down.replace("uid: n-1,", going)).says(&[]);
}

#[test]
fn a_runtime_that_does_not_work() {
    let down = node("False", "KubeletNotReady", "container runtime is down");
    State::of(&down).says(&[
        "certain node-not-ready Node worker <- Node worker {\"reason\":\"KubeletNotReady\"}",
    ]);
    State::of(&down).at("2026-11-24T11:59:09Z").says(&[]);
}

#[test]
fn a_young_node_that_was_ready_has_started() {
    let young = node("False", "KubeletNotReady", "container runtime is down")
        .replace("T10:00:00Z", "T11:58:30Z");
    let posted = |second: &str| {
        let first = format!(
            "conditions: [{{type: PIDPressure, status: 'False', lastTransitionTime: '2026-11-24T11:58:{second}Z'}}, "
        );
        State::of(&young.replace("conditions: [", &first))
    };
    posted("31").says(&[
        "certain node-not-ready Node worker <- Node worker {\"reason\":\"KubeletNotReady\"}",
    ]);
    // It has said so since it first said anything.
    posted("59").says(&[]);
}

fn tainted(key: &str) -> String {
    let taint = format!(
        "spec: {{taints: [{{key: {key}, effect: NoExecute, timeAdded: '2026-11-24T11:58:59Z'}}]}}"
    );
    node("True", "KubeletReady", "").replace("spec: {}", &taint)
}

const MARKED: &str = "apiVersion: v1
kind: Event
metadata: {name: web-0.1, namespace: shop}
involvedObject: {kind: Pod, namespace: shop, name: web-0}
reason: TaintManagerEviction
message: Marking for deletion Pod shop/web-0
type: Normal
firstTimestamp: '2026-11-24T11:59:00Z'
lastTimestamp: '2026-11-24T11:59:00Z'
";

const SET: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: shop, uid: o}
spec: {replicas: 1, selector: {}, serviceName: web, template: {}}
status: {replicas: 0}
";

fn removed() -> String {
    pod("web-0", "StatefulSet")
        .replace("uid: u-web-0", "uid: u-web-0\n  deletionTimestamp: '2026-11-24T11:59:30Z'")
        .replace("conditions: [", "conditions: [{type: DisruptionTarget, status: 'True', reason: DeletionByTaintManager, message: 'Taint manager: deleting due to NoExecute taint'}, ")
}

const BY_TAINT: &str =
    "taint-evicted StatefulSet shop/web <- Node worker {\"key\":\"maintenance\"}";

#[test]
fn a_taint_that_somebody_set() {
    let certain = format!("certain {BY_TAINT}");
    let state = State::of(&tainted("maintenance")).and(MARKED).and(SET);
    // It goes, it went before our eyes, and nobody saw it.
    state.clone().and(&removed()).says(&[&certain]);
    // The event has not come yet.
    let unsaid = State::of(&tainted("maintenance")).and(SET);
    unsaid.and(&removed()).says(&[&certain]);
    let object: Value = serde_saphyr::from_str(&removed()).expect("fixtures are YAML");
    let object = Object::decode(object).expect("fixtures are objects");
    let gone = state
        .clone()
        .and(&removed())
        .seen(Observation::Deleted(object));
    gone.says(&[&certain]);
    state.says(&[&format!("likely {BY_TAINT}")]);
    // Its replacement is there.
    let there = SET.replace(
        "status: {replicas: 0}",
        "status: {replicas: 1, readyReplicas: 1}",
    );
    gone.and(&there).says(&[]);
    state.clone().and(&there).says(&[]);
    // The set's status is not: it still counts the one that goes, and the other one waits.
    let waits = pod("web-1", "StatefulSet")
        .replace("T11:00:00Z", "T11:59:01Z")
        .replace("phase: Running", "phase: Pending");
    let stale = state.and(&there).and(&removed()).and(&waits);
    stale.says(&[&certain]);
}

#[test]
fn taints_of_a_node_that_is_not_ready_and_cancelled_deletions() {
    for key in [
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    ] {
        State::of(&tainted(key))
            .and(MARKED)
            .and(SET)
            .and(&removed())
            .says(&[]);
    }
    let stayed = pod("web-0", "StatefulSet");
    State::of(&tainted("maintenance"))
        .and(MARKED)
        .and(SET)
        .and(&stayed)
        .says(&[]);
    // The taint is gone, or it was long ago.
    let untainted = node("True", "KubeletReady", "");
    State::of(&untainted)
        .and(MARKED)
        .and(SET)
        .and(&removed())
        .says(&[]);
    State::of(&tainted("maintenance"))
        .and(MARKED)
        .and(SET)
        .at("2026-11-24T12:09:00Z")
        .says(&[]);
}

#[test]
fn a_replacement_that_finds_no_other_place() {
    let waits = "apiVersion: v1
kind: Pod
metadata:
  name: web-0
  namespace: shop
  uid: u-new
  creationTimestamp: '2026-11-24T11:59:05Z'
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: o, controller: true}]
spec:
  containers: [{name: app}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/2 nodes are available: 1 node(s) had untolerated taint {maintenance: }, 1 node(s) had volume node affinity conflict.', lastTransitionTime: '2026-11-24T11:59:06Z'}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop, uid: c}
spec: {volumeName: pv, storageClassName: local, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
status: {phase: Bound}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv, uid: v}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  claimRef: {namespace: shop, name: data, uid: c}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [worker]}]}]}}
status: {phase: Bound}
";
    let other = node("True", "KubeletReady", "").replace("name: worker", "name: other");
    let labelled = |node: String, name: &str| {
        node.replace(
            &format!("name: {name},"),
            &format!("name: {name}, labels: {{kubernetes.io/hostname: {name}}},"),
        )
    };
    let nodes = format!(
        "{}---\n{}",
        labelled(tainted("maintenance"), "worker"),
        labelled(other, "other")
    );
    let state = State::of(&nodes).and(MARKED).and(SET).and(waits);
    state.says(&[&format!("likely {BY_TAINT}")]);
    // The taint is gone, and the volume is on a node that is no more.
    let without = nodes.replace("name: worker", "name: third");
    let unfit = "certain volume-node-conflict StatefulSet shop/web <- PersistentVolume pv \
        spec.nodeAffinity {\"nodes\":[]}";
    State::of(&without).and(SET).and(waits).says(&[unfit]);
}
