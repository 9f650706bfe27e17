//! What becomes of nodes that fall silent, and of the pods on them.

use std::time::Duration;

use crashbook_sim::{Cluster, Config};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A cluster with a node that has no kubelet.
async fn cluster() -> (Cluster, kube::Client) {
    let cluster = Cluster::start(Config::default());
    let client = kube::Client::new(cluster.router(), "default");
    let nodes: Api<Node> = Api::all(client.clone());
    let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady",
        "message": "kubelet is posting ready status", "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "2026-01-01T00:00:00Z" });
    for name in ["here", "silent"] {
        let node = json!({ "metadata": { "name": name }, "status": { "conditions": [ready],
            "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" } } });
        let node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    }
    (cluster, client)
}

async fn pod(client: &kube::Client, name: &str, node: &str, spec: Value) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let mut pod = json!({ "metadata": { "name": name, "labels": { "app": "web" } }, "spec": {
        "nodeName": node, "containers": [{ "name": "app", "image": "app:1" }] } });
    json_patch::merge(&mut pod["spec"], &spec);
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

/// Says that a pod is ready, as its kubelet would.
async fn ready(client: &kube::Client, name: &str) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let status = json!({ "status": { "phase": "Running", "conditions": [
        { "type": "Ready", "status": "True" }] } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

/// Says that a node is there, as its kubelet would.
async fn beat(client: &kube::Client, name: &str, second: u32) {
    let nodes: Api<Node> = Api::all(client.clone());
    let beat = json!([{ "op": "replace", "path": "/status/conditions/0/lastHeartbeatTime",
        "value": format!("2026-01-01T00:00:{second:02}Z") }]);
    let beat = Patch::Json::<()>(serde_json::from_value(beat).unwrap());
    nodes
        .patch_status(name, &PatchParams::default(), &beat)
        .await
        .unwrap();
}

async fn node(client: &kube::Client, name: &str) -> Value {
    let nodes: Api<Node> = Api::all(client.clone());
    serde_json::to_value(nodes.get(name).await.unwrap()).unwrap()
}

async fn events(client: &kube::Client, name: &str) -> Vec<(String, String, String)> {
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let fields = format!("involvedObject.name={name}");
    let found = events
        .list(&ListParams::default().fields(&fields))
        .await
        .unwrap();
    let told = |event: Event| {
        (
            event.type_.unwrap(),
            event.reason.unwrap(),
            event.message.unwrap(),
        )
    };
    found.items.into_iter().map(told).collect()
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_not_ready_and_its_pods_leave() {
    let (_cluster, client) = cluster().await;
    let patient = json!({ "tolerations": [{ "key": "node.kubernetes.io/unreachable",
        "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 }] });
    pod(&client, "quick", "silent", patient).await;
    pod(&client, "slow", "silent", json!({})).await;
    ready(&client, "quick").await;
    for turn in 0..5 {
        wait(10).await;
        beat(&client, "here", turn + 1).await;
    }
    assert_eq!(
        node(&client, "silent").await["status"]["conditions"][0]["status"],
        "True"
    );
    // It was first seen after 5 s: 50 s of patience, and a look every 5 s.
    wait(11).await;
    let silent = node(&client, "silent").await;
    let ready = &silent["status"]["conditions"][0];
    assert_eq!(ready["status"], "Unknown");
    assert_eq!(ready["reason"], "NodeStatusUnknown");
    assert_eq!(ready["message"], "Kubelet stopped posting node status.");
    let taints = silent["spec"]["taints"].as_array().unwrap();
    let of = |effect: &str| {
        taints
            .iter()
            .any(|t| t["key"] == "node.kubernetes.io/unreachable" && t["effect"] == effect)
    };
    assert!(of("NoSchedule") && of("NoExecute"), "{taints:?}");
    let told = |kind: &str, reason: &str, message: &str| {
        (kind.to_owned(), reason.to_owned(), message.to_owned())
    };
    assert!(events(&client, "silent").await.contains(&told(
        "Normal",
        "NodeNotReady",
        "Node silent status is now: NodeNotReady"
    )));
    let warned = told("Warning", "NodeNotReady", "Node is not ready");
    assert_eq!(events(&client, "quick").await, [warned]);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let quick = pods.get("quick").await.unwrap();
    assert!(quick.metadata.deletion_timestamp.is_none());
    assert_eq!(quick.status.unwrap().conditions.unwrap()[0].status, "False");

    wait(5).await;
    let quick = pods.get("quick").await.unwrap();
    assert!(quick.metadata.deletion_timestamp.is_some());
    let conditions = quick.status.unwrap().conditions.unwrap();
    let target = conditions.iter().find(|c| c.type_ == "DisruptionTarget");
    let reason = target.unwrap().reason.as_deref();
    assert_eq!(reason, Some("DeletionByTaintManager"));
    let marked = "Marking for deletion Pod default/quick";
    let marked = told("Normal", "TaintManagerEviction", marked);
    assert!(events(&client, "quick").await.contains(&marked));
    let slow = pods.get("slow").await.unwrap();
    assert!(slow.metadata.deletion_timestamp.is_none());

    // The kubelet is back: nobody has to leave any more.
    let back = json!([{ "op": "replace", "path": "/status/conditions/0/status", "value": "True" }]);
    let back = Patch::Json::<()>(serde_json::from_value(back).unwrap());
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .patch_status("silent", &PatchParams::default(), &back)
        .await
        .unwrap();
    beat(&client, "silent", 50).await;
    wait(6).await;
    assert_eq!(node(&client, "silent").await["spec"].get("taints"), None);
    let spared = "Cancelling deletion of Pod default/slow";
    let spared = told("Normal", "TaintManagerEviction", spared);
    assert!(events(&client, "slow").await.contains(&spared));
}

#[tokio::test(start_paused = true)]
async fn conditions_and_cordons_taint_a_node() {
    let (_cluster, client) = cluster().await;
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.cordon("here").await.unwrap();
    let pressed = json!([{ "op": "add", "path": "/status/conditions/-", "value":
        { "type": "MemoryPressure", "status": "True" } }]);
    let pressed = Patch::Json::<()>(serde_json::from_value(pressed).unwrap());
    nodes
        .patch_status("here", &PatchParams::default(), &pressed)
        .await
        .unwrap();
    wait(1).await;
    let here = node(&client, "here").await;
    let taints: Vec<&str> = here["spec"]["taints"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|taint| taint["effect"] == "NoSchedule" && taint["timeAdded"].is_string())
        .filter_map(|taint| taint["key"].as_str())
        .collect();
    let pressure = "node.kubernetes.io/memory-pressure";
    assert_eq!(taints, [pressure, "node.kubernetes.io/unschedulable"]);
    nodes.uncordon("here").await.unwrap();
    wait(1).await;
    let here = node(&client, "here").await;
    assert_eq!(here["spec"]["taints"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pods_of_no_node_are_cleared_away() {
    let (_cluster, client) = cluster().await;
    pod(&client, "orphan", "nowhere", json!({})).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    wait(39).await;
    assert!(pods.get_opt("orphan").await.unwrap().is_some());
    wait(42).await;
    assert!(pods.get_opt("orphan").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_budget_counts_what_is_healthy() {
    let (_cluster, client) = cluster().await;
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(client.clone());
    let budget = json!({ "metadata": { "name": "web" }, "spec": { "minAvailable": 1,
        "selector": { "matchLabels": { "app": "web" } } } });
    let budget = serde_json::from_value(budget).unwrap();
    budgets
        .create(&PostParams::default(), &budget)
        .await
        .unwrap();
    let allowed = async || {
        wait(1).await;
        let status = budgets.get("web").await.unwrap().status.unwrap();
        let condition = status.conditions.unwrap()[0].clone();
        assert_eq!(condition.type_, "DisruptionAllowed");
        assert_eq!(status.desired_healthy, Some(1));
        (
            status.expected_pods,
            status.disruptions_allowed,
            condition.reason,
        )
    };
    assert_eq!(
        allowed().await,
        (Some(0), Some(0), "InsufficientPods".to_owned())
    );
    for name in ["a", "b"] {
        pod(&client, name, "here", json!({})).await;
    }
    ready(&client, "a").await;
    assert_eq!(
        allowed().await,
        (Some(2), Some(0), "InsufficientPods".to_owned())
    );
    ready(&client, "b").await;
    assert_eq!(
        allowed().await,
        (Some(2), Some(1), "SufficientPods".to_owned())
    );
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.evict("a", &kube::api::EvictParams::default())
        .await
        .unwrap();
    let refused = pods
        .evict("b", &kube::api::EvictParams::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 429));
    assert_eq!(
        allowed().await,
        (Some(2), Some(0), "InsufficientPods".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn who_was_to_go_and_did_not_is_told_that_it_stays() {
    let (_cluster, client) = cluster().await;
    pod(&client, "a", "here", json!({})).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let told = json!({ "status": { "conditions": [{ "type": "DisruptionTarget", "status": "True",
        "reason": "EvictionByEvictionAPI", "lastTransitionTime": "2026-01-01T00:00:00Z" }] } });
    pods.patch_status("a", &PatchParams::default(), &Patch::Merge(told))
        .await
        .unwrap();
    let status = async || {
        let pod = pods.get("a").await.unwrap();
        pod.status.unwrap().conditions.unwrap()[0].status.clone()
    };
    wait(119).await;
    assert_eq!(status().await, "True");
    wait(2).await;
    assert_eq!(status().await, "False");
}
