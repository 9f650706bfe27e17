//! Pods that wait for their claims, and volumes that are elsewhere.

use crate::support::State;

const NODES: &str = include_str!("../fixtures/scheduling/nodes.yaml");

/// A StatefulSet's pod that no node takes, for its claim.
const DB: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop, uid: sts}
spec:
  selector: {}
  template: {}
  serviceName: db
  volumeClaimTemplates: [{metadata: {name: data}, spec: {}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: db-0
  namespace: shop
  uid: db-0-uid
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: sts, controller: true}]
spec:
  containers: [{name: app}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data-db-0}}]
status:
  phase: Pending
  conditions:
  - {type: PodScheduled, status: 'False', reason: Unschedulable, lastTransitionTime: '2026-11-24T11:50:00Z', message: '0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found'}
";

fn claim(class: &str, phase: &str, more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data-db-0, namespace: shop, uid: claim}}
spec: {{{class}accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 10Gi}}}}{more}}}
status: {{phase: {phase}}}
"
    )
}

fn class(name: &str, provisioner: &str, mode: &str) -> String {
    format!(
        "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {name}}}
provisioner: {provisioner}
volumeBindingMode: {mode}
"
    )
}

fn volume(size: &str, node: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolume
metadata: {{name: pv}}
spec:
  storageClassName: local
  accessModes: [ReadWriteOnce]
  capacity: {{storage: {size}}}
  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{node}]}}]}}]}}}}
status: {{phase: Available}}
"
    )
}

fn db() -> State {
    State::of(NODES).and(DB)
}

const LOCAL: &str = "storageClassName: local, ";

fn local() -> String {
    class(
        "local",
        "kubernetes.io/no-provisioner",
        "WaitForFirstConsumer",
    )
}

#[test]
fn a_claim_that_does_not_exist() {
    db().says(&["certain claim-missing StatefulSet shop/db \
         <- PersistentVolumeClaim shop/data-db-0 \
         {\"reference\":\"spec.volumeClaimTemplates[0]\",\"volume\":\"data\"}"]);
    db().at("2026-11-24T11:50:02Z").says(&[]);
}

#[test]
fn a_class_that_does_not_exist() {
    db().and(&claim("storageClassName: fast, ", "Pending", ""))
        .says(&[
            "certain storage-class-missing StatefulSet shop/db <- StatefulSet shop/db \
         spec.volumeClaimTemplates[0].spec.storageClassName \
         {\"storageClass\":\"fast\",\"volume\":\"data\"}",
        ]);
}

#[test]
fn no_class_and_no_default() {
    let state = db().and(&claim("", "Pending", "")).and(&local());
    state.says(&[
        "certain storage-class-missing StatefulSet shop/db <- StatefulSet shop/db \
         spec.volumeClaimTemplates[0].spec.storageClassName {\"volume\":\"data\"}",
    ]);
}

#[test]
fn a_claim_that_waits_for_its_provisioner_is_healthy() {
    let waits = class("fast", "example.com/disks", "WaitForFirstConsumer");
    db().and(&claim("storageClassName: fast, ", "Pending", ""))
        .and(&waits)
        .says(&[]);
}

#[test]
fn no_volume_is_large_enough() {
    let small = volume("5Gi", "trial-worker");
    let state = db().and(&claim(LOCAL, "Pending", "")).and(&local());
    state.clone().and(&small).says(&[
        "certain no-matching-volume StatefulSet shop/db <- PersistentVolumeClaim shop/data-db-0 \
         {\"volume\":\"data\",\"volumes\":[{\"name\":\"pv\",\"reason\":\"capacity\"}]}",
    ]);
    let of_another_class = volume("10Gi", "trial-worker")
        .replace("name: pv", "name: a-fast-one")
        .replace("Name: local", "Name: fast");
    state.clone().and(&of_another_class).and(&small).says(&[
        "certain no-matching-volume StatefulSet shop/db <- PersistentVolumeClaim shop/data-db-0 \
         {\"volume\":\"data\",\"volumes\":[{\"name\":\"pv\",\"reason\":\"capacity\"},\
         {\"name\":\"a-fast-one\",\"reason\":\"storageClassName\"}]}",
    ]);
    state.and(&volume("10Gi", "trial-worker")).says(&[]);
}

#[test]
fn a_class_that_has_just_been_made_may_get_its_volumes_next() {
    let made = local().replace(
        "{name: local}",
        "{name: local, creationTimestamp: '2026-11-24T11:59:59Z'}",
    );
    let state = db().and(&claim(LOCAL, "Pending", "")).and(&made);
    state.clone().at("2026-11-24T12:00:01Z").says(&[]);
    state.at("2026-11-24T12:00:02Z").says(&[
        "certain no-matching-volume StatefulSet shop/db <- PersistentVolumeClaim shop/data-db-0 \
         {\"volume\":\"data\",\"volumes\":[]}",
    ]);
}

#[test]
fn a_class_name_that_only_volumes_share_needs_no_class() {
    let state = db()
        .and(&claim(LOCAL, "Pending", ""))
        .and(&volume("10Gi", "trial-worker"));
    state.says(&[]);
}

#[test]
fn a_bound_volume_on_a_node_that_is_gone() {
    let bound = claim(LOCAL, "Bound", ", volumeName: pv");
    let state = db().and(&bound).and(&local());
    state.clone().and(&volume("10Gi", "gone")).says(&[
        "certain volume-node-conflict StatefulSet shop/db <- PersistentVolume pv \
         spec.nodeAffinity {\"nodes\":[]}",
    ]);
    state.and(&volume("10Gi", "trial-worker")).says(&[]);
}

#[test]
fn a_host_port_that_is_taken_everywhere() {
    let pod = |name: &str, node: &str, status: &str| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: {name}}}
spec: {{{node}containers: [{{name: app, ports: [{{containerPort: 80, hostPort: 8080}}]}}]}}
status: {{{status}}}
"
        )
    };
    let running = "phase: Running, conditions: [{type: Ready, status: 'True'}]";
    let stuck = "phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, lastTransitionTime: '2026-11-24T11:50:00Z', message: x}]";
    let first = State::of(NODES)
        .and(&pod("a", "nodeName: trial-worker, ", running))
        .and(&pod("c", "", stuck));
    first.says(&[]);
    first.and(&pod("b", "nodeName: trial-worker2, ", running)).says(&[
        "certain host-port-conflict Pod shop/c <- Pod shop/c spec.containers[0].ports[0].hostPort \
         {\"holder\":{\"kind\":\"Pod\",\"name\":\"a\",\"namespace\":\"shop\"},\"port\":8080}",
    ]);
}

#[test]
fn a_claim_that_is_being_deleted() {
    let bound = claim(LOCAL, "Bound", ", volumeName: pv");
    let leaving = bound.replace(
        "uid: claim}",
        "uid: claim, deletionTimestamp: '2026-11-24T11:49:00Z'}",
    );
    let state = db()
        .and(&leaving)
        .and(&local())
        .and(&volume("10Gi", "trial-worker"));
    state.names(&[
        "certain claim-missing StatefulSet shop/db <- PersistentVolumeClaim shop/data-db-0",
    ]);
    assert!(state.verdicts()[0].summary.contains("is being deleted"));
}

/// Volumes of old have older labels than the nodes of today.
#[test]
fn a_volume_of_a_zone_without_nodes() {
    let of_zone = |zone: &str| {
        let labels =
            format!("name: pv, labels: {{failure-domain.beta.kubernetes.io/zone: {zone}}}");
        let volume = volume("10Gi", "x").replace("name: pv", &labels);
        let affinity = volume.find("  nodeAffinity").expect("an affinity");
        let end = volume.find("status:").expect("a status");
        format!("{}{}", &volume[..affinity], &volume[end..])
    };
    let node = "
apiVersion: v1
kind: Node
metadata: {name: trial-worker, labels: {topology.kubernetes.io/zone: east}}
status: {allocatable: {cpu: '2', memory: 8Gi, pods: '110'}}
";
    let state = State::of(DB)
        .and(node)
        .and(&claim(LOCAL, "Bound", ", volumeName: pv"))
        .and(&local());
    state.clone().and(&of_zone("east")).says(&[]);
    state.and(&of_zone("west")).names(&[
        "certain volume-node-conflict StatefulSet shop/db <- PersistentVolume pv spec.nodeAffinity",
    ]);
}
