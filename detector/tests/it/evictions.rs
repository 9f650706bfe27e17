//! Pods that a kubelet evicted: because their node was short of something, or for a limit of
//! their own.

use crashbook_detector::Observation;
use crashbook_detector::observation::{
    FsUse, MemoryUse, NodeStats, NodeUse, PodRef, PodUse, RuntimeUse,
};

use crate::support::State;

const MEMORY: &str = include_str!("../fixtures/evictions/memory.yaml");
const MEMORY_RECOVERED: &str = include_str!("../fixtures/evictions/memory-recovered.yaml");
const TWO_VICTIMS: &str = include_str!("../fixtures/evictions/disk-two-victims.yaml");
const INODES: &str = include_str!("../fixtures/evictions/inodes.yaml");

const SHORT_OF_MEMORY: &str = "certain node-pressure-eviction Node trial-worker3 \
    <- Node trial-worker3 status.conditions[type=MemoryPressure] \
    {\"available\":\"22306248Ki\",\
    \"biggestUser\":{\"kind\":\"Deployment\",\"name\":\"hog\",\"namespace\":\"memory-pressure\"},\
    \"resource\":\"memory\",\"threshold\":\"23254389813\"} affects Deployment memory-pressure/hog";

#[test]
fn memory_pressure() {
    State::of(MEMORY)
        .at("2026-11-23T18:12:56Z")
        .says(&[SHORT_OF_MEMORY]);
}

#[test]
fn an_eviction_tells_before_the_condition_turns() {
    let state = MEMORY.replace(
        "{type: MemoryPressure, status: 'True', reason: KubeletHasInsufficientMemory, message: kubelet has insufficient memory available, lastTransitionTime: '2026-11-23T18:12:55Z'}",
        "{type: MemoryPressure, status: 'False', reason: KubeletHasSufficientMemory, lastTransitionTime: '2026-11-23T18:12:34Z'}",
    );
    assert_ne!(state, MEMORY);
    State::of(&state)
        .at("2026-11-23T18:12:57Z")
        .says(&[SHORT_OF_MEMORY]);
}

#[test]
fn memory_pressure_is_over_when_the_condition_cleared_and_the_replicas_are_back() {
    State::of(MEMORY_RECOVERED)
        .at("2026-11-23T18:13:13Z")
        .says(&[]);
}

#[test]
fn memory_pressure_stands_while_a_replica_is_missing() {
    let state = MEMORY_RECOVERED.replace("readyReplicas: 1, ", "");
    assert_ne!(state, MEMORY_RECOVERED);
    State::of(&state)
        .at("2026-11-23T18:13:13Z")
        .says(&[SHORT_OF_MEMORY]);
    State::of(&state).at("2026-11-23T18:22:57Z").says(&[]);
}

#[test]
fn an_eviction_of_long_ago_is_history() {
    let state = MEMORY_RECOVERED.replace("readyReplicas: 1, ", "");
    State::of(&state).at("2026-11-24T18:13:13Z").says(&[]);
}

#[test]
fn refused_pods_and_pods_that_end_well_are_affected() {
    State::of(TWO_VICTIMS).at("2026-11-23T17:57:26Z").says(&[
        "certain node-pressure-eviction Node trial-worker3 \
         <- Node trial-worker3 status.conditions[type=DiskPressure] \
         {\"available\":\"11311228Ki\",\
         \"biggestUser\":{\"kind\":\"Deployment\",\"name\":\"hog\",\"namespace\":\"disk-pressure\"},\
         \"resource\":\"nodefs\",\"threshold\":\"11753575432\"} \
         affects Deployment disk-pressure/bystander, Deployment disk-pressure/hog",
    ]);
}

const SHORT_OF_INODES: &str = "certain node-pressure-eviction Node trial-worker3 \
    <- Node trial-worker3 status.conditions[type=DiskPressure] \
    {\"available\":\"3015195\",\
    \"biggestUser\":{\"kind\":\"Deployment\",\"name\":\"hog\",\"namespace\":\"inode-pressure\"},\
    \"resource\":\"inodes\",\"threshold\":\"3023800\"} affects Deployment inode-pressure/hog";

#[test]
fn events_of_an_earlier_pressure_do_not_count() {
    State::of(INODES)
        .at("2026-11-23T18:14:03Z")
        .says(&[SHORT_OF_INODES]);
}

#[test]
fn two_resources_of_one_node_are_two_verdicts() {
    let both = INODES
        .replace("'2026-11-23T18:13:27Z'", "'2026-11-23T18:14:00Z'")
        .replace(
            "type: MemoryPressure, status: 'False'",
            "type: MemoryPressure, status: 'True'",
        );
    let of_node = "certain node-pressure-eviction Node trial-worker3 <- Node trial-worker3";
    State::of(&both).at("2026-11-23T18:14:03Z").says(&[
        SHORT_OF_INODES,
        &format!("{of_node} status.conditions[type=MemoryPressure] {{\"resource\":\"memory\"}}"),
        &format!("{of_node} status.conditions[type=DiskPressure] {{\"resource\":\"nodefs\"}}"),
    ]);
}

fn used_on_worker3(node: NodeUse, pod: PodUse) -> Observation {
    Observation::NodeStats {
        node: "trial-worker3".to_owned(),
        stats: NodeStats {
            node,
            pods: vec![pod],
        },
    }
}

#[test]
fn who_uses_the_most_is_measured() {
    let bystander = |bytes| {
        let name = "bystander-6dbffd6c4b-d6kbc".to_owned();
        used_on_worker3(
            NodeUse::default(),
            PodUse {
                pod_ref: PodRef {
                    name,
                    namespace: "memory-pressure".to_owned(),
                    uid: String::new(),
                },
                memory: MemoryUse {
                    working_set_bytes: Some(bytes),
                    ..Default::default()
                },
                ..Default::default()
            },
        )
    };
    let state = State::of(MEMORY).at("2026-11-23T18:12:56Z");
    state
        .clone()
        .seen(bystander(30 << 20))
        .says(&[SHORT_OF_MEMORY]);
    let hog = "\"Deployment\",\"name\":\"hog\"";
    let other = "\"ReplicaSet\",\"name\":\"bystander-6dbffd6c4b\"";
    let said = SHORT_OF_MEMORY.replace(hog, other);
    state.seen(bystander(8 << 30)).says(&[&said]);
}

#[test]
fn the_file_system_of_images_is_told_by_the_threshold_or_by_what_was_available() {
    let stats = |(of_node, left_of_node), (of_images, left_of_images)| {
        let fs = |bytes, left| FsUse {
            capacity_bytes: Some(bytes),
            available_bytes: left,
            ..Default::default()
        };
        let node = NodeUse {
            fs: fs(of_node, left_of_node),
            runtime: RuntimeUse {
                image_fs: fs(of_images, left_of_images),
            },
            ..Default::default()
        };
        used_on_worker3(node, PodUse::default())
    };
    let resource = |of_node, of_images| {
        let state = State::of(TWO_VICTIMS).at("2026-11-23T17:57:26Z");
        let verdicts = state.seen(stats(of_node, of_images)).verdicts();
        assert_eq!(verdicts.len(), 1);
        verdicts[0].detail["resource"].clone()
    };
    let threshold = 11_753_575_432_f64;
    let (capacity, other) = ((threshold / 0.93) as u64, 63_000_000_001);
    assert_eq!(resource((capacity, None), (other, None)), "nodefs");
    assert_eq!(resource((other, None), (capacity, None)), "imagefs");
    assert_eq!(resource((capacity, None), (capacity, None)), "nodefs");
    // It is a share of neither: what was available tells.
    let near = (other, Some(11_311_228 * 1024 + 4096));
    let far = (other + 1, Some(9_000_000_000));
    assert_eq!(resource(near, far), "nodefs");
    assert_eq!(resource(far, near), "imagefs");
}

/// A pod as it is after it was evicted for a limit of its own, at 11:59.
fn evicted(message: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: u}}
spec:
  nodeName: worker
  containers:
  - name: proxy
  - name: app
    resources: {{limits: {{ephemeral-storage: 20Mi}}}}
  volumes:
  - name: cache
    emptyDir: {{sizeLimit: 1Mi}}
status:
  phase: Failed
  reason: Evicted
  message: '{message}'
  startTime: '2026-11-24T11:58:00Z'
  conditions:
  - {{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T11:59:00Z'}}
---
apiVersion: v1
kind: Node
metadata: {{name: worker}}
status:
  conditions:
  - {{type: DiskPressure, status: 'False', lastTransitionTime: '2026-11-24T10:00:00Z'}}
"
    )
}

#[test]
fn limits_of_the_pods_own() {
    let check = |message: &str, expected: &str| {
        let expected =
            format!("certain storage-limit-eviction Pod shop/web <- Pod shop/web {expected}");
        State::of(&evicted(message)).says(&[&expected]);
    };
    check(
        "Container app exceeded its local ephemeral storage limit \"20Mi\". ",
        "spec.containers[1].resources.limits.ephemeral-storage {\"limit\":\"20Mi\"}",
    );
    check(
        "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ",
        "spec.containers[1].resources.limits.ephemeral-storage {\"limit\":\"20Mi\"}",
    );
    check(
        "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ",
        "spec.volumes[0].emptyDir.sizeLimit {\"limit\":\"1Mi\",\"volume\":\"cache\"}",
    );
}

#[test]
fn a_limit_that_only_the_event_tells_of() {
    let succeeded = evicted("")
        .replace("  reason: Evicted\n  message: ''\n", "")
        .replace("phase: Failed", "phase: Succeeded");
    let event = "apiVersion: v1
kind: Event
metadata: {name: web.1, namespace: shop}
involvedObject: {kind: Pod, namespace: shop, name: web, uid: u}
reason: Evicted
message: 'Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". '
type: Warning
firstTimestamp: '2026-11-24T11:59:00Z'
lastTimestamp: '2026-11-24T11:59:00Z'
";
    let said = "certain storage-limit-eviction Pod shop/web <- Pod shop/web \
        spec.volumes[0].emptyDir.sizeLimit {\"limit\":\"1Mi\",\"volume\":\"cache\"}";
    State::of(&succeeded).and(event).says(&[said]);
    State::of(&succeeded).says(&[]);
    let other = event.replace("uid: u", "uid: of-a-former-pod");
    State::of(&succeeded).and(&other).says(&[]);
}

#[test]
fn a_limit_of_long_ago_or_of_a_former_template_is_history() {
    let state = evicted("Container app exceeded its local ephemeral storage limit \"20Mi\". ");
    State::of(&state).at("2026-11-24T12:09:01Z").says(&[]);
    let owned = state.replace(
        "uid: u}",
        "uid: u, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: r, controller: true}]}",
    );
    let set = "apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, namespace: shop, uid: r}
spec: {replicas: 1, selector: {}}
status: {replicas: 1}
";
    let said = "certain storage-limit-eviction ReplicaSet shop/web-1 <- ReplicaSet shop/web-1 \
        spec.template.spec.containers[1].resources.limits.ephemeral-storage {\"limit\":\"20Mi\"}";
    State::of(&owned).and(set).says(&[said]);
    State::of(&owned)
        .and(&set.replace("{replicas: 1, s", "{replicas: 0, s"))
        .says(&[]);
    // The next pod is ready: not over before it outlasted what the evicted one lived.
    let ready = set.replace(
        "status: {replicas: 1}",
        "status: {replicas: 1, readyReplicas: 1}",
    );
    State::of(&owned).and(&ready).says(&[said]);
    State::of(&owned)
        .and(&ready)
        .at("2026-11-24T12:01:11Z")
        .says(&[]);
}

/// A StatefulSet's controller deletes what was evicted: the event is all that is left of it.
#[test]
fn an_evicted_pod_that_its_controller_has_deleted() {
    let state = State::of(
        "
apiVersion: v1
kind: Node
metadata: {name: a}
status: {conditions: [{type: MemoryPressure, status: 'True', reason: KubeletHasInsufficientMemory, message: kubelet has insufficient memory available, lastTransitionTime: '2026-11-24T11:55:00Z'}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop, uid: sts}
spec: {selector: {}, serviceName: db, template: {}}
---
apiVersion: v1
kind: Event
metadata: {name: db-0.1, namespace: shop}
involvedObject: {kind: Pod, namespace: shop, name: db-0, uid: gone}
reason: Evicted
message: 'The node was low on resource: memory. Threshold quantity: 100Mi, available: 71580Ki. Container db was using 9123456Ki, request is 0, has larger consumption of memory. '
source: {component: kubelet, host: a}
type: Warning
lastTimestamp: '2026-11-24T11:56:00Z'
",
    );
    state.says(&[
        "certain node-pressure-eviction Node a <- Node a status.conditions[type=MemoryPressure] \
         {\"available\":\"71580Ki\",\"resource\":\"memory\",\"threshold\":\"100Mi\"} \
         affects StatefulSet shop/db",
    ]);
}
