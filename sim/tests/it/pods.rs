//! Pods on their nodes.

use std::time::Duration;

use crashbook_sim::{Cluster, Config, NodeConfig};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

struct Test {
    _cluster: Cluster,
    pods: Api<Pod>,
    client: kube::Client,
}

impl Test {
    async fn new() -> Self {
        let config = Config {
            nodes: vec![NodeConfig::worker("worker")],
            ..Config::default()
        };
        let cluster = Cluster::start(config);
        let client = kube::Client::new(cluster.router(), "default");
        let test = Self {
            _cluster: cluster,
            pods: Api::default_namespaced(client.clone()),
            client,
        };
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::default_namespaced(test.client.clone());
        test.until(async || accounts.get_opt("default").await.unwrap().is_some())
            .await;
        test
    }

    /// Waits, with a deadline in virtual time, until something is so.
    async fn until(&self, is_so: impl AsyncFn() -> bool) {
        let waiting = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(600), waiting)
            .await
            .expect("it never came to be");
    }

    async fn run(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!("worker");
        let pod = json!({ "metadata": { "name": name }, "spec": spec });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
    }

    async fn pod(&self, name: &str) -> Value {
        serde_json::to_value(self.pods.get(name).await.unwrap()).unwrap()
    }

    /// Waits until the pod shows a value at a path.
    async fn shows(&self, name: &str, path: &str, value: Value) {
        let waiting = async {
            loop {
                let pod = self.pod(name).await;
                if pod.pointer(path).unwrap_or(&Value::Null) == &value {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(900), waiting).await;
        if waited.is_err() {
            let pod = self.pod(name).await;
            panic!("{path} never was {value} but {:#}", pod["status"]);
        }
    }
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_ends_when_it_is_deleted() {
    let test = Test::new().await;
    test.run(
        "web",
        json!({ "containers": [{ "name": "web", "image": "nginx:1.28",
            "ports": [{ "containerPort": 80 }],
            "readinessProbe": { "httpGet": { "port": 80 }, "periodSeconds": 1 } }] }),
    )
    .await;
    test.shows("web", "/status/phase", json!("Running")).await;
    test.shows("web", "/status/containerStatuses/0/ready", json!(true))
        .await;
    let pod = test.pod("web").await;
    assert_eq!(condition(&pod, "Ready")["status"], "True");
    assert_eq!(
        pod["status"]["containerStatuses"][0]["image"],
        "docker.io/library/nginx:1.28"
    );
    test.pods
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    test.until(async || test.pods.get_opt("web").await.unwrap().is_none())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_needs_the_handler_of_its_runtime_class() {
    let test = Test::new().await;
    let classes: Api<RuntimeClass> = Api::all(test.client.clone());
    for (name, handler) in [("plain", "runc"), ("isolated", "kata")] {
        let class = json!({ "metadata": { "name": name }, "handler": handler,
            "overhead": { "podFixed": { "memory": "16Mi" } } });
        let class = serde_json::from_value(class).unwrap();
        classes
            .create(&PostParams::default(), &class)
            .await
            .unwrap();
        let containers = json!([{ "name": "c", "image": "busybox:1.37",
            "command": ["sleep", "infinity"] }]);
        let spec = json!({ "runtimeClassName": name, "containers": containers });
        test.run(name, spec).await;
    }
    test.shows("plain", "/status/phase", json!("Running")).await;
    let pod = test.pod("plain").await;
    assert_eq!(pod["spec"]["overhead"], json!({ "memory": "16Mi" }));
    let events: Api<Event> = Api::default_namespaced(test.client.clone());
    let failures = async || {
        let listed = events.list(&ListParams::default()).await.unwrap();
        let failed = |event: &Event| event.reason.as_deref() == Some("FailedCreatePodSandBox");
        listed.items.into_iter().find(failed)
    };
    test.until(async || failures().await.is_some_and(|event| event.count >= Some(2)))
        .await;
    assert_eq!(
        failures().await.unwrap().message.unwrap(),
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox \
         runtime: no runtime for \"kata\" is configured"
    );
    let absent = json!({ "metadata": { "name": "absent" }, "spec": { "runtimeClassName": "none",
        "containers": [{ "name": "c", "image": "busybox:1.37" }] } });
    let absent = serde_json::from_value(absent).unwrap();
    let refused = test.pods.create(&PostParams::default(), &absent).await;
    assert_eq!(
        refused.unwrap_err().to_string().split(": ").nth(1),
        Some("pods \"absent\" is forbidden")
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_tried_again_and_again() {
    let test = Test::new().await;
    test.run(
        "web",
        json!({ "containers": [{ "name": "web", "image": "registry.example.com/cart:9.9" }] }),
    )
    .await;
    let reason = "/status/containerStatuses/0/state/waiting/reason";
    test.shows("web", reason, json!("ErrImagePull")).await;
    test.shows("web", reason, json!("ImagePullBackOff")).await;
    let pod = test.pod("web").await;
    let message = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert_eq!(
        message,
        "Back-off pulling image \"registry.example.com/cart:9.9\": ErrImagePull: failed to pull and \
         unpack image \"registry.example.com/cart:9.9\": failed to resolve reference \
         \"registry.example.com/cart:9.9\": failed to do request: Head \
         \"https://registry.example.com/v2/cart/manifests/9.9\": dial tcp: lookup \
         registry.example.com on 172.18.0.1:53: no such host"
    );
}
