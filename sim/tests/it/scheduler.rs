//! Pods get their nodes, or are told why not.

use std::time::Duration;

use crashbook_sim::{Cluster, Config, NodeConfig};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A control plane and three workers, of which the third is small.
fn cluster() -> (Cluster, kube::Client) {
    let mut nodes = vec![NodeConfig::control_plane("control-plane")];
    for number in 1..=3 {
        nodes.push(NodeConfig::worker(&format!("worker{number}")));
    }
    nodes[3]
        .labels
        .insert("size".to_owned(), "small".to_owned());
    nodes[3]
        .system_reserved
        .insert("memory".to_owned(), "24Gi".to_owned());
    let cluster = Cluster::start(Config {
        nodes,
        ..Config::default()
    });
    let client = kube::Client::new(cluster.router(), "default");
    (cluster, client)
}

fn pod(name: &str, spec: Value) -> Pod {
    let mut pod = json!({ "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }] } });
    json_patch::merge(&mut pod["spec"], &spec);
    serde_json::from_value(pod).unwrap()
}

fn asks(memory: &str) -> Value {
    json!({ "containers": [{ "name": "app", "image": "app:1",
        "resources": { "requests": { "memory": memory } } }] })
}

async fn create(client: &kube::Client, pod: Pod) -> Pod {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.create(&PostParams::default(), &pod).await.unwrap()
}

/// The pod a moment later.
async fn later(client: &kube::Client, name: &str) -> Pod {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.get(name).await.unwrap()
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Why a pod has no node: the reason and the message of its condition.
fn unscheduled(pod: &Pod) -> (String, String) {
    let conditions = pod.status.as_ref().unwrap().conditions.clone();
    let condition = conditions
        .unwrap()
        .into_iter()
        .find(|condition| condition.type_ == "PodScheduled")
        .unwrap();
    assert_eq!(condition.status, "False");
    (
        condition.reason.unwrap(),
        condition.message.unwrap_or_default(),
    )
}

async fn events(client: &kube::Client, name: &str, reason: &str) -> Vec<(String, Option<i32>)> {
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let fields = format!("involvedObject.name={name},reason={reason}");
    let found = events
        .list(&ListParams::default().fields(&fields))
        .await
        .unwrap();
    let told = |event: Event| (event.message.unwrap(), event.count);
    found.items.into_iter().map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_a_node_that_has_room() {
    let (_cluster, client) = cluster();
    create(&client, pod("web", json!({}))).await;
    let web = later(&client, "web").await;
    let node = node_of(&web).unwrap().to_owned();
    assert!(node.starts_with("worker"), "{node}");
    let told = events(&client, "web", "Scheduled").await;
    let message = format!("Successfully assigned default/web to {node}");
    assert_eq!(told, [(message, Some(1))]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_big_is_told_as_kubernetes_does() {
    let (_cluster, client) = cluster();
    create(&client, pod("big", asks("64Gi"))).await;
    let message = "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient \
                   memory. no new claims to deallocate, preemption: 0/4 nodes are available: 4 \
                   Preemption is not helpful for scheduling.";
    let big = later(&client, "big").await;
    let expected = ("Unschedulable".to_owned(), message.to_owned());
    assert_eq!(unscheduled(&big), expected);
    let told = events(&client, "big", "FailedScheduling").await;
    assert_eq!(told, [(message.to_owned(), Some(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_is_told_from_a_pod_that_is_too_big() {
    let (_cluster, client) = cluster();
    for name in ["a", "b"] {
        create(&client, pod(name, asks("20Gi"))).await;
    }
    create(&client, pod("c", asks("20Gi"))).await;
    let (_, message) = unscheduled(&later(&client, "c").await);
    assert_eq!(
        message,
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient memory. no \
         new claims to deallocate, preemption: 0/4 nodes are available: 2 No preemption victims \
         found for incoming pod, 2 Preemption is not helpful for scheduling."
    );
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let now = DeleteParams::default().grace_period(0);
    pods.delete("a", &now).await.unwrap();
    assert!(node_of(&later(&client, "c").await).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cordoned_node_takes_no_pods_until_it_is_uncordoned() {
    let (_cluster, client) = cluster();
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.cordon("worker3").await.unwrap();
    let small = json!({ "nodeSelector": { "size": "small" } });
    create(&client, pod("pinned", small)).await;
    let (_, message) = unscheduled(&later(&client, "pinned").await);
    assert_eq!(
        message,
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were \
         unschedulable, 2 node(s) didn't match Pod's node affinity/selector. no new claims to \
         deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for \
         scheduling."
    );
    nodes.uncordon("worker3").await.unwrap();
    assert_eq!(node_of(&later(&client, "pinned").await), Some("worker3"));
}

#[tokio::test(start_paused = true)]
async fn who_matters_less_makes_room() {
    let (_cluster, client) = cluster();
    let classes: Api<PriorityClass> = Api::all(client.clone());
    let class = json!({ "metadata": { "name": "high" }, "value": 100 });
    let class = serde_json::from_value(class).unwrap();
    classes
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
    // What does not listen to TERM takes its time to go.
    let mut small = asks("5Gi");
    small["nodeSelector"] = json!({ "size": "small" });
    small["terminationGracePeriodSeconds"] = json!(5);
    small["containers"][0]["image"] = json!("busybox:1.37");
    small["containers"][0]["command"] = json!(["sleep", "3600"]);
    create(&client, pod("less", small.clone())).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    small["priorityClassName"] = json!("high");
    let more = create(&client, pod("more", small)).await;
    // Before the kubelet has ended the other.
    tokio::time::sleep(Duration::from_millis(8)).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let waits = pods.get("more").await.unwrap();
    let less = pods.get("less").await.unwrap();
    assert!(less.metadata.deletion_timestamp.is_some());
    let target = less
        .status
        .unwrap()
        .conditions
        .unwrap()
        .into_iter()
        .find(|condition| condition.type_ == "DisruptionTarget")
        .unwrap();
    assert_eq!(target.reason.as_deref(), Some("PreemptionByScheduler"));
    assert_eq!(
        target.message.as_deref(),
        Some("default-scheduler: preempting to accommodate a higher priority pod")
    );
    let told = events(&client, "less", "Preempted").await;
    let uid = more.metadata.uid.unwrap();
    let message = format!("Preempted by pod {uid} on node worker3");
    assert_eq!(told, [(message, Some(1))]);
    assert_eq!(
        unscheduled(&waits).1,
        "0/4 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint(s), 2 \
         node(s) didn't match Pod's node affinity/selector."
    );
    let promised = waits.status.unwrap().nominated_node_name;
    assert_eq!(promised.as_deref(), Some("worker3"));
    // What does not listen to TERM has its grace.
    assert_eq!(node_of(&later(&client, "more").await), None);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let more = later(&client, "more").await;
    assert_eq!(node_of(&more), Some("worker3"));
    assert_eq!(more.status.unwrap().nominated_node_name, None);
}

#[tokio::test(start_paused = true)]
async fn pods_keep_apart_and_spread() {
    let (_cluster, client) = cluster();
    let apart = |key: &str| {
        json!({ "affinity": { "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{
                "labelSelector": { "matchLabels": { "app": "alone" } }, "topologyKey": key }] } } })
    };
    let mut nodes = Vec::new();
    for number in 0..4 {
        let mut alone = pod(&format!("alone{number}"), apart("kubernetes.io/hostname"));
        let labels = alone.metadata.labels.as_mut().unwrap();
        labels.insert("app".to_owned(), "alone".to_owned());
        create(&client, alone).await;
        let alone = later(&client, &format!("alone{number}")).await;
        match node_of(&alone) {
            Some(node) => nodes.push(node.to_owned()),
            None => assert_eq!(
                unscheduled(&alone).1,
                "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 node(s) didn't \
                 match pod anti-affinity rules. no new claims to deallocate, preemption: 0/4 nodes \
                 are available: 1 Preemption is not helpful for scheduling, 3 No preemption \
                 victims found for incoming pod."
            ),
        }
    }
    nodes.sort();
    assert_eq!(nodes, ["worker1", "worker2", "worker3"]);

    let spread = json!({ "nodeSelector": { "size": "small" }, "topologySpreadConstraints": [{
        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "spread" } } }] });
    create(&client, pod("spread", spread)).await;
    let (_, message) = unscheduled(&later(&client, "spread").await);
    assert!(
        message.contains(
            "1 node(s) didn't match pod topology spread constraints (missing required label)"
        ),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_gated_pod_waits_for_its_gates() {
    let (_cluster, client) = cluster();
    let gated = json!({ "schedulingGates": [{ "name": "example.com/wait" }] });
    create(&client, pod("gated", gated)).await;
    let (reason, _) = unscheduled(&later(&client, "gated").await);
    assert_eq!(reason, "SchedulingGated");
    assert_eq!(events(&client, "gated", "FailedScheduling").await, []);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let open = Patch::Json::<()>(
        serde_json::from_value(json!([{ "op": "remove", "path": "/spec/schedulingGates" }]))
            .unwrap(),
    );
    pods.patch("gated", &PatchParams::default(), &open)
        .await
        .unwrap();
    assert!(node_of(&later(&client, "gated").await).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_has_another_scheduler_is_left_alone() {
    let (_cluster, client) = cluster();
    create(&client, pod("other", json!({ "schedulerName": "mine" }))).await;
    let other = later(&client, "other").await;
    assert_eq!(node_of(&other), None);
    assert_eq!(other.status.unwrap().conditions, None);
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_pod_is_tried_again_after_five_minutes() {
    let (_cluster, client) = cluster();
    create(&client, pod("big", asks("64Gi"))).await;
    later(&client, "big").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let told = events(&client, "big", "FailedScheduling").await;
    assert_eq!(told[0].1, Some(2));
}

#[tokio::test(start_paused = true)]
async fn many_pods_are_spread_over_the_nodes() {
    let (_cluster, client) = cluster();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    for number in 0..30 {
        create(&client, pod(&format!("p{number}"), json!({}))).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        *counts.entry(node_of(&pod).unwrap().to_owned()).or_default() += 1;
    }
    // The small node has a quarter of the others' memory.
    assert!(
        counts["worker1"] >= 11 && counts["worker2"] >= 11,
        "{counts:?}"
    );
    assert!(counts["worker3"] >= 2, "{counts:?}");
}

/// What a kind cluster of v1.34.4 said of the same pods, on a control plane and three workers of
/// which two are tainted.
#[tokio::test(start_paused = true)]
async fn the_words_are_those_of_a_real_cluster() {
    let mut nodes = vec![
        NodeConfig::control_plane("control-plane"),
        NodeConfig::worker("worker"),
    ];
    for name in ["worker2", "worker3"] {
        let mut node = NodeConfig::worker(name);
        node.taints.push(k8s_openapi::api::core::v1::Taint {
            key: "pool".to_owned(),
            value: Some(name.to_owned()),
            effect: "NoSchedule".to_owned(),
            ..Default::default()
        });
        nodes.push(node);
    }
    let cluster = Cluster::start(Config {
        nodes,
        ..Config::default()
    });
    let client = kube::Client::new(cluster.router(), "default");
    let near = |app: &str, key: &str| json!([{ "labelSelector": { "matchLabels": { "app": app } }, "topologyKey": key }]);
    let apart = json!({ "affinity": { "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": near("apart", "kubernetes.io/os") } } });
    let port = json!({ "containers": [{ "name": "app", "image": "app:1",
        "ports": [{ "containerPort": 31999, "hostPort": 31999 }] }] });
    let named = json!({ "affinity": { "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchFields":
            [{ "key": "metadata.name", "operator": "In", "values": ["nowhere"] }] }] } } } });
    let helpless = "no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption \
                    is not helpful for scheduling.";
    let no_victims = "no new claims to deallocate, preemption: 0/4 nodes are available: 1 No \
                      preemption victims found for incoming pod, 3 Preemption is not helpful for \
                      scheduling.";
    for (app, spec, reasons, more) in [
        (
            "near",
            json!({ "affinity": { "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution":
                    near("nobody", "kubernetes.io/hostname") } } }),
            "1 node(s) didn't match pod affinity rules, 3 node(s) had untolerated taint(s).",
            helpless,
        ),
        (
            "spread",
            json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": { "matchLabels": { "app": "x" } } }] }),
            "1 node(s) didn't match pod topology spread constraints (missing required label), 3 \
             node(s) had untolerated taint(s).",
            helpless,
        ),
        (
            "named",
            named,
            "4 node(s) didn't satisfy plugin(s) [NodeAffinity].",
            helpless,
        ),
        (
            "gpu",
            json!({ "containers": [{ "name": "app", "image": "app:1", "resources": { "limits": {
                "example.com/gpu": "1", "cpu": "900", "memory": "900Gi",
                "ephemeral-storage": "90Ti" } } }] }),
            "1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 Insufficient \
             example.com/gpu, 1 Insufficient memory, 3 node(s) had untolerated taint(s).",
            helpless,
        ),
        ("port", port.clone(), "", ""),
        (
            "port",
            port,
            "1 node(s) didn't have free ports for the requested pod ports, 3 node(s) had \
             untolerated taint(s).",
            no_victims,
        ),
        ("apart", apart.clone(), "", ""),
        (
            "apart",
            apart,
            "1 node(s) didn't match pod anti-affinity rules, 3 node(s) had untolerated taint(s).",
            no_victims,
        ),
        (
            "apart",
            json!({}),
            "1 node(s) didn't satisfy existing pods anti-affinity rules, 3 node(s) had untolerated \
             taint(s).",
            no_victims,
        ),
    ] {
        let mut pod = pod(app, spec);
        pod.metadata.name = None;
        pod.metadata.generate_name = Some(format!("{app}-"));
        let made = create(&client, pod).await;
        let found = later(&client, &made.metadata.name.unwrap()).await;
        if reasons.is_empty() {
            assert_eq!(node_of(&found), Some("worker"), "{app}");
        } else {
            let message = format!("0/4 nodes are available: {reasons} {more}");
            assert_eq!(unscheduled(&found).1, message, "{app}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_is_the_least_that_no_budget_protects() {
    let (_cluster, client) = cluster();
    let classes: Api<PriorityClass> = Api::all(client.clone());
    for (name, value) in [("low", 10), ("middle", 50), ("high", 100)] {
        let class = json!({ "metadata": { "name": name }, "value": value });
        let class = serde_json::from_value(class).unwrap();
        classes
            .create(&PostParams::default(), &class)
            .await
            .unwrap();
    }
    let big = |class: &str, node: &str, memory: &str| {
        let mut spec = asks(memory);
        spec["priorityClassName"] = json!(class);
        spec["containers"][0]["image"] = json!("busybox:1.37");
        spec["containers"][0]["command"] = json!(["sleep", "3600"]);
        spec["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
        spec
    };
    // The lowest of all is protected; on the other node only one of two has to go.
    create(&client, pod("protected", big("low", "worker1", "30Gi"))).await;
    create(&client, pod("middle", big("middle", "worker2", "15Gi"))).await;
    create(&client, pod("low", big("low", "worker2", "15Gi"))).await;
    let budgets: Api<k8s_openapi::api::policy::v1::PodDisruptionBudget> =
        Api::default_namespaced(client.clone());
    let budget = json!({ "metadata": { "name": "one" }, "spec": { "minAvailable": 1,
        "selector": { "matchLabels": { "app": "protected" } } } });
    let budget = serde_json::from_value(budget).unwrap();
    budgets
        .create(&PostParams::default(), &budget)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut high = asks("16Gi");
    high["priorityClassName"] = json!("high");
    create(&client, pod("high", high)).await;
    tokio::time::sleep(Duration::from_millis(8)).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let going = async |name: &str| {
        let pod = pods.get(name).await.unwrap();
        pod.metadata.deletion_timestamp.is_some()
    };
    assert!(going("low").await);
    assert!(!going("middle").await);
    assert!(!going("protected").await);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_preempt_waits() {
    let (_cluster, client) = cluster();
    let classes: Api<PriorityClass> = Api::all(client.clone());
    let class = json!({ "metadata": { "name": "polite" }, "value": 100,
        "preemptionPolicy": "Never" });
    let class = serde_json::from_value(class).unwrap();
    classes
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
    for name in ["a", "b"] {
        create(&client, pod(name, asks("20Gi"))).await;
        later(&client, name).await;
    }
    let mut polite = asks("20Gi");
    polite["priorityClassName"] = json!("polite");
    create(&client, pod("polite", polite)).await;
    let (_, message) = unscheduled(&later(&client, "polite").await);
    assert!(
        message.ends_with("preemption: not eligible due to preemptionPolicy=Never."),
        "{message}"
    );
}
