//! Claims find volumes, and pods wait for them.

use std::time::Duration;

use crashbook_sim::{Cluster, Config, NodeConfig};
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

fn cluster() -> (Cluster, kube::Client) {
    let cluster = Cluster::start(Config {
        nodes: vec![
            NodeConfig::control_plane("control-plane"),
            NodeConfig::worker("worker1"),
            NodeConfig::worker("worker2"),
        ],
        ..Config::default()
    });
    let client = kube::Client::new(cluster.router(), "default");
    (cluster, client)
}

async fn claim(client: &kube::Client, name: &str, class: Option<&str>) {
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let claim = json!({ "metadata": { "name": name }, "spec": { "storageClassName": class,
        "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
    let claim = serde_json::from_value(claim).unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();
}

async fn volume(client: &kube::Client, name: &str, class: &str, size: &str, node: Option<&str>) {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let mut volume = json!({ "metadata": { "name": name }, "spec": { "storageClassName": class,
        "accessModes": ["ReadWriteOnce"], "capacity": { "storage": size },
        "hostPath": { "path": "/data" } } });
    if let Some(node) = node {
        volume["spec"]["nodeAffinity"] = json!({ "required": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In",
                "values": [node] }] }] } });
    }
    let volume = serde_json::from_value(volume).unwrap();
    volumes
        .create(&PostParams::default(), &volume)
        .await
        .unwrap();
}

async fn pod(client: &kube::Client, name: &str, claim: &str) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({ "metadata": { "name": name }, "spec": {
        "containers": [{ "name": "app", "image": "app:1" }],
        "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }] } });
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

async fn phase(client: &kube::Client, name: &str) -> Option<String> {
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    claims.get(name).await.unwrap().status.unwrap().phase
}

/// The node of a pod, or the message that tells why it has none.
async fn place(client: &kube::Client, name: &str) -> String {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = pods.get(name).await.unwrap();
    if let Some(node) = pod.spec.unwrap().node_name {
        return node;
    }
    let conditions = pod.status.unwrap().conditions.unwrap_or_default();
    conditions
        .into_iter()
        .find_map(|condition| condition.message)
        .unwrap_or_default()
}

async fn events(client: &kube::Client, name: &str) -> Vec<(String, String, Option<i32>)> {
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let fields = format!("involvedObject.name={name}");
    let found = events
        .list(&ListParams::default().fields(&fields))
        .await
        .unwrap();
    let told = |event: Event| (event.reason.unwrap(), event.message.unwrap(), event.count);
    found.items.into_iter().map(told).collect()
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_pod_lacks_of_its_claims_is_told() {
    let (_cluster, client) = cluster();
    pod(&client, "lost", "absent").await;
    claim(&client, "no-class", Some("fast-ssd")).await;
    pod(&client, "classless", "no-class").await;
    claim(&client, "no-volume", None).await;
    pod(&client, "volumeless", "no-volume").await;
    wait(1).await;
    assert_eq!(
        place(&client, "lost").await,
        "0/3 nodes are available: persistentvolumeclaim \"absent\" not found. not found"
    );
    assert_eq!(
        place(&client, "classless").await,
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    );
    assert_eq!(
        place(&client, "volumeless").await,
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't find \
         available persistent volumes to bind. no new claims to deallocate, preemption: 0/3 nodes \
         are available: 3 Preemption is not helpful for scheduling."
    );
    wait(30).await;
    let told =
        |reason: &str, message: &str, count| (reason.to_owned(), message.to_owned(), Some(count));
    assert_eq!(
        events(&client, "no-class").await,
        [told(
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"fast-ssd\" not found",
            3
        )]
    );
    let waits = "waiting for pod volumeless to be scheduled";
    assert!(
        events(&client, "no-volume")
            .await
            .iter()
            .any(|(reason, message, _)| reason == "WaitForPodScheduled" && message == waits)
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_without_a_class_gets_the_smallest_volume_that_does() {
    let (_cluster, client) = cluster();
    claim(&client, "data", Some("")).await;
    wait(1).await;
    assert_eq!(phase(&client, "data").await.as_deref(), Some("Pending"));
    let told = events(&client, "data").await;
    assert_eq!(told[0].0, "FailedBinding");
    for (name, size) in [("big", "9Gi"), ("fits", "2Gi"), ("little", "1Mi")] {
        volume(&client, name, "", size, None).await;
    }
    wait(15).await;
    assert_eq!(phase(&client, "data").await.as_deref(), Some("Bound"));
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let bound = volumes.get("fits").await.unwrap();
    assert_eq!(bound.status.unwrap().phase.as_deref(), Some("Bound"));

    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let how = DeleteParams::default();
    claims.delete("data", &how).await.unwrap();
    wait(1).await;
    assert!(claims.get_opt("data").await.unwrap().is_none());
    let released = volumes.get("fits").await.unwrap();
    assert_eq!(released.status.unwrap().phase.as_deref(), Some("Released"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waits_is_bound_where_its_pod_goes() {
    let (_cluster, client) = cluster();
    claim(&client, "data", None).await;
    volume(&client, "there", "standard", "1Gi", Some("worker2")).await;
    wait(20).await;
    assert_eq!(phase(&client, "data").await.as_deref(), Some("Pending"));
    pod(&client, "db", "data").await;
    wait(1).await;
    assert_eq!(place(&client, "db").await, "worker2");
    assert_eq!(phase(&client, "data").await.as_deref(), Some("Bound"));

    // A claim that is in use stays until its pod is gone.
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    claims
        .delete("data", &DeleteParams::default())
        .await
        .unwrap();
    wait(1).await;
    assert!(claims.get_opt("data").await.unwrap().is_some());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let now = DeleteParams::default().grace_period(0);
    pods.delete("db", &now).await.unwrap();
    wait(1).await;
    assert!(claims.get_opt("data").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_bound_volume_on_another_node_keeps_a_pod_away() {
    let (_cluster, client) = cluster();
    claim(&client, "data", Some("")).await;
    volume(&client, "far", "", "1Gi", Some("elsewhere")).await;
    wait(16).await;
    pod(&client, "db", "data").await;
    wait(1).await;
    assert_eq!(
        place(&client, "db").await,
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match \
         PersistentVolume's node affinity. no new claims to deallocate, preemption: 0/3 nodes are \
         available: 3 Preemption is not helpful for scheduling."
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_nobody_makes_is_waited_for() {
    let (_cluster, client) = cluster();
    let class: k8s_openapi::api::storage::v1::StorageClass = serde_json::from_value::<_>(json!({
        "metadata": { "name": "cloud" }, "provisioner": "disks.example.com" })
        as Value)
    .unwrap();
    let classes: Api<k8s_openapi::api::storage::v1::StorageClass> = Api::all(client.clone());
    classes
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
    claim(&client, "data", Some("cloud")).await;
    wait(1).await;
    let told = events(&client, "data").await;
    assert_eq!(told[0].0, "ExternalProvisioning");
    assert!(told[0].1.contains("'disks.example.com'"), "{told:?}");
}
