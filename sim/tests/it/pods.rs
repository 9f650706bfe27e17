//! Pods on their nodes.

use std::time::Duration;

use crashbook_sim::{Beside, Cluster, Config, NodeConfig, NodeFault};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use serde_json::{Value, json};

struct Test {
    cluster: Cluster,
    pods: Api<Pod>,
    client: kube::Client,
}

impl Test {
    async fn new() -> Self {
        Self::of(NodeConfig::worker("worker")).await
    }

    async fn of(worker: NodeConfig) -> Self {
        let config = Config {
            nodes: vec![worker],
            ..Config::default()
        };
        let cluster = Cluster::start(config);
        let client = kube::Client::new(cluster.router(), "default");
        let test = Self {
            cluster,
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

impl Test {
    /// Makes an object of any kind.
    async fn make(&self, object: Value) {
        use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let kind = GroupVersionKind::try_from(object.types.as_ref().unwrap()).unwrap();
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::default_namespaced_with(self.client.clone(), &resource);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn map(&self, name: &str, data: Value) {
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name },
            "data": data });
        self.make(map).await;
    }

    /// The events of an object: reason and message.
    async fn events(&self, about: &str) -> Vec<(String, String)> {
        let events: Api<k8s_openapi::api::core::v1::Event> =
            Api::default_namespaced(self.client.clone());
        let events = events
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let events = events.items.into_iter();
        events
            .filter(|event| event.involved_object.name.as_deref() == Some(about))
            .map(|event| {
                (
                    event.reason.unwrap_or_default(),
                    event.message.unwrap_or_default(),
                )
            })
            .collect()
    }

    async fn has_event(&self, about: &str, reason: &str, message: &str) {
        let events = self.events(about).await;
        let found = events
            .iter()
            .any(|(told, said)| told == reason && said.contains(message));
        assert!(found, "no {reason} {message:?} among {events:#?}");
    }

    async fn node(&self) -> Value {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        serde_json::to_value(nodes.get("worker").await.unwrap()).unwrap()
    }

    async fn ask(&self, path: &str) -> Value {
        let path = format!("/api/v1/nodes/worker/proxy/{path}");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.client.request(request).await.unwrap()
    }
}

fn shell(script: &str) -> Value {
    json!({ "name": "app", "image": "busybox:1.37", "command": ["sh", "-c", script] })
}

const STATE: &str = "/status/containerStatuses/0/state";
const REASON: &str = "/status/containerStatuses/0/state/waiting/reason";

#[tokio::test(start_paused = true)]
async fn what_crashes_is_started_again_ever_later() {
    let test = Test::new().await;
    test.run("a", json!({ "containers": [shell("echo hi; exit 3")] }))
        .await;
    test.shows("a", REASON, json!("CrashLoopBackOff")).await;
    let pod = test.pod("a").await;
    let status = &pod["status"]["containerStatuses"][0];
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    assert_eq!(
        status["state"]["waiting"]["message"],
        format!("back-off 10s restarting failed container=app pod=a_default({uid})")
    );
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(
        condition(&pod, "Ready")["message"],
        "containers with unready status: [app]"
    );
    let begun = tokio::time::Instant::now();
    test.shows("a", "/status/containerStatuses/0/restartCount", json!(4))
        .await;
    // Back-offs of 10, 20 and 40 seconds, each looked at every 10 to 15 seconds.
    let took = begun.elapsed().as_secs();
    assert!((70..130).contains(&took), "{took}");
    test.has_event(
        "a",
        "BackOff",
        "Back-off restarting failed container app in pod a_default(",
    )
    .await;
    test.has_event("a", "Started", "Started container app")
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_container_needs_is_waited_for() {
    let test = Test::new().await;
    let mut container = shell("sleep infinity");
    container["env"] = json!([{ "name": "A",
        "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "a" } } }]);
    test.run("env", json!({ "containers": [container.clone()] }))
        .await;
    container["env"] = json!([]);
    container["volumeMounts"] = json!([{ "name": "settings", "mountPath": "/etc/app" }]);
    let volumes = json!([{ "name": "settings", "configMap": { "name": "settings",
        "items": [{ "key": "b", "path": "b" }] } }]);
    test.run(
        "volume",
        json!({ "containers": [container], "volumes": volumes }),
    )
    .await;
    test.shows("env", REASON, json!("CreateContainerConfigError"))
        .await;
    test.shows("volume", REASON, json!("ContainerCreating"))
        .await;
    let message = "/status/containerStatuses/0/state/waiting/message";
    test.shows("env", message, json!("configmap \"settings\" not found"))
        .await;
    test.has_event("env", "Failed", "Error: configmap \"settings\" not found")
        .await;
    let missing =
        "MountVolume.SetUp failed for volume \"settings\" : configmap \"settings\" not found";
    test.has_event("volume", "FailedMount", missing).await;
    test.map("settings", json!({ "a": "1" })).await;
    test.shows("env", "/status/phase", json!("Running")).await;
    test.until(async || {
        let events = test.events("volume").await;
        let missing = "configmap references non-existent config key: b";
        events.iter().any(|(_, message)| message.ends_with(missing))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_as_the_runtime_does() {
    let test = Test::new().await;
    let limited = |script: &str, memory: &str| {
        let mut container = shell(script);
        container["resources"] = json!({ "limits": { "memory": memory } });
        container
    };
    let command = |argv: Value| json!({ "name": "app", "image": "busybox:1.37", "command": argv });
    let start = "failed to create containerd task: failed to create shim task: OCI runtime create \
                 failed: runc create failed: unable to start container process: ";
    for (name, container, code, reason, message) in [
        ("error", shell("exit 7"), 7, "Error", String::new()),
        ("done", shell("true"), 0, "Completed", String::new()),
        (
            "oom",
            limited("exec tail /dev/zero", "32Mi"),
            137,
            "OOMKilled",
            String::new(),
        ),
        (
            "absent",
            command(json!(["/no/such/program"])),
            128,
            "StartError",
            format!(
                "{start}exec: \"/no/such/program\": stat /no/such/program: no such file or \
                 directory: unknown"
            ),
        ),
        (
            "path",
            command(json!(["server"])),
            128,
            "StartError",
            format!("{start}exec: \"server\": executable file not found in $PATH: unknown"),
        ),
        (
            "denied",
            command(json!(["/etc/passwd"])),
            128,
            "StartError",
            format!("{start}exec: \"/etc/passwd\": permission denied: unknown"),
        ),
        (
            "word",
            shell("echo why > /dev/termination-log; exit 1"),
            1,
            "Error",
            "why\n".to_owned(),
        ),
    ] {
        test.run(
            name,
            json!({ "restartPolicy": "Never", "containers": [container] }),
        )
        .await;
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        test.shows(name, "/status/phase", json!(phase)).await;
        let pod = test.pod(name).await;
        let ended = &pod.pointer(STATE).unwrap()["terminated"];
        assert_eq!(ended["exitCode"], code, "{name}: {ended}");
        assert_eq!(ended["reason"], reason, "{name}: {ended}");
        assert_eq!(ended["message"].as_str().unwrap_or(""), message, "{name}");
        let over = if code == 0 {
            "PodCompleted"
        } else {
            "PodFailed"
        };
        assert_eq!(condition(&pod, "Ready")["reason"], over, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn init_containers_come_first_and_sidecars_stay() {
    let test = Test::new().await;
    let named = |name: &str, script: &str| {
        let mut container = shell(script);
        container["name"] = json!(name);
        container
    };
    let fails = json!({ "initContainers": [named("migrate", "exit 7")],
        "containers": [shell("sleep infinity")] });
    test.run("fails", fails).await;
    let init = "/status/initContainerStatuses/0/state/waiting/reason";
    test.shows("fails", init, json!("CrashLoopBackOff")).await;
    let pod = test.pod("fails").await;
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod.pointer(REASON), Some(&json!("PodInitializing")));
    let initialized = condition(&pod, "Initialized");
    assert_eq!(
        initialized["message"],
        "containers with incomplete status: [migrate]"
    );

    let mut sidecar = named("proxy", "sleep infinity");
    sidecar["restartPolicy"] = json!("Always");
    let shares = json!({ "restartPolicy": "Never",
        "initContainers": [named("first", "echo 1 > /share/a"), sidecar],
        "containers": [shell("grep 1 /share/a; sleep 3")],
        "volumes": [{ "name": "share", "emptyDir": {} }] });
    let mut shares = shares;
    let mount = json!([{ "name": "share", "mountPath": "/share" }]);
    shares["initContainers"][0]["volumeMounts"] = mount.clone();
    shares["containers"][0]["volumeMounts"] = mount;
    test.run("shares", shares).await;
    test.shows("shares", "/status/phase", json!("Succeeded"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_say_what_is_wrong() {
    let test = Test::new().await;
    let probed = |probe: &str, how: Value| {
        let mut container = json!({ "name": "app", "image": "nginx:1.28" });
        container[probe] = how;
        container[probe]["periodSeconds"] = json!(1);
        json!({ "containers": [container], "terminationGracePeriodSeconds": 1 })
    };
    test.run(
        "port",
        probed("readinessProbe", json!({ "httpGet": { "port": 8080 } })),
    )
    .await;
    test.run(
        "path",
        probed(
            "livenessProbe",
            json!({ "httpGet": { "port": 80, "path": "/none" } }),
        ),
    )
    .await;
    test.run(
        "exec",
        probed(
            "startupProbe",
            json!({ "exec": { "command": ["cat", "/none"] } }),
        ),
    )
    .await;
    let restarts = "/status/containerStatuses/0/restartCount";
    test.shows("path", restarts, json!(1)).await;
    test.shows("exec", restarts, json!(1)).await;
    test.shows("port", "/status/containerStatuses/0/started", json!(true))
        .await;
    assert_eq!(
        condition(&test.pod("port").await, "Ready")["status"],
        "False"
    );
    let refused = "Readiness probe failed: Get \"http://10.244.0.";
    test.has_event("port", "Unhealthy", refused).await;
    test.has_event("port", "Unhealthy", ":8080: connect: connection refused")
        .await;
    let status = "Liveness probe failed: HTTP probe failed with statuscode: 404";
    test.has_event("path", "Unhealthy", status).await;
    test.has_event(
        "path",
        "Killing",
        "Container app failed liveness probe, will be restarted",
    )
    .await;
    test.has_event(
        "exec",
        "Unhealthy",
        "Startup probe failed: cat: can't open '/none': No such file or directory",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_and_policies_decide_who_reaches_whom() {
    let test = Test::new().await;
    let mut server =
        shell("mkdir /www && echo hello > /www/index.html && exec httpd -f -p 8080 -h /www");
    server["readinessProbe"] = json!({ "httpGet": { "port": 8080 }, "periodSeconds": 1 });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "labels": { "app": "web" } },
        "spec": { "containers": [server], "nodeName": "worker" } });
    test.make(pod).await;
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] } });
    test.make(service).await;
    // The name service has to be there before a name can be asked for.
    let asks = "until wget -q -T 1 -O /tmp/a http://web/; do sleep 1; done; cat /tmp/a >> \
                /dev/termination-log; while wget -q -T 1 -O /dev/null http://web/; do sleep 1; done; \
                wget -q -T 1 http://web/ 2>> /dev/termination-log; exit 4";
    let pod = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "client", "labels": { "app": "client" } },
        "spec": { "containers": [shell(asks)], "nodeName": "worker", "restartPolicy": "Never" } });
    test.make(pod).await;
    test.shows("web", "/status/containerStatuses/0/ready", json!(true))
        .await;
    test.shows("client", "/status/phase", json!("Running"))
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(test.pod("client").await["status"]["phase"], "Running");
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "shut" }, "spec": { "podSelector": { "matchLabels": { "app": "web" } },
            "policyTypes": ["Ingress"], "ingress": [{ "ports": [{ "port": 80 }] }] } });
    test.make(policy).await;
    test.shows("client", "/status/phase", json!("Failed")).await;
    let pod = test.pod("client").await;
    let said = &pod.pointer(STATE).unwrap()["terminated"]["message"];
    assert_eq!(said, "hello\nwget: download timed out\n");
    // A kubelet's own probes are no policy's.
    assert_eq!(condition(&test.pod("web").await, "Ready")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_node_short_of_memory_evicts_who_uses_most() {
    let mut worker = NodeConfig::worker("worker");
    worker
        .eviction_hard
        .insert("memory.available".to_owned(), "30Gi".to_owned());
    worker.status_frequency = Duration::from_secs(1);
    worker.pressure_transition = Duration::from_secs(10);
    let test = Test::of(worker).await;
    test.run("calm", json!({ "containers": [shell("sleep infinity")] }))
        .await;
    test.shows("calm", "/status/phase", json!("Running")).await;
    let hog = "for n in 1 2 3 4; do dd if=/dev/zero bs=512M count=1 2>/dev/null | sleep infinity & \
               done; wait";
    test.run("hog", json!({ "containers": [shell(hog)] })).await;
    test.shows("hog", "/status/phase", json!("Failed")).await;
    let pod = test.pod("hog").await;
    assert_eq!(pod["status"]["reason"], "Evicted");
    let message = pod["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "The node was low on resource: memory. Threshold quantity: 32212254720, available: "
        ) && message.ends_with(", request is 0, has larger consumption of memory. "),
        "{message}"
    );
    let target = condition(&pod, "DisruptionTarget");
    assert_eq!(
        (&target["reason"], &target["message"]),
        (&json!("TerminationByKubelet"), &json!(message))
    );
    assert_eq!(pod.pointer(STATE).unwrap()["terminated"]["exitCode"], 137);
    test.until(async || {
        let node = test.node().await;
        condition(&node, "MemoryPressure")["reason"] == "KubeletHasInsufficientMemory"
    })
    .await;
    test.has_event(
        "worker",
        "EvictionThresholdMet",
        "Attempting to reclaim memory",
    )
    .await;
    test.run("late", json!({ "containers": [shell("sleep infinity")] }))
        .await;
    test.shows("late", "/status/phase", json!("Failed")).await;
    let late = test.pod("late").await;
    assert_eq!(
        late["status"]["message"],
        "Pod was rejected: The node had condition: [MemoryPressure]. "
    );
    test.until(async || condition(&test.node().await, "MemoryPressure")["status"] == "False")
        .await;
    assert_eq!(test.pod("calm").await["status"]["phase"], "Running");
}

#[tokio::test(start_paused = true)]
async fn a_pod_over_its_own_limit_is_evicted() {
    let test = Test::new().await;
    let mut container = shell("dd if=/dev/zero of=/data/a bs=1M count=20; sleep infinity");
    container["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    let spec = json!({ "containers": [container],
        "volumes": [{ "name": "data", "emptyDir": { "sizeLimit": "10Mi" } }] });
    test.run("a", spec).await;
    test.shows("a", "/status/reason", json!("Evicted")).await;
    let pod = test.pod("a").await;
    let expected = "Usage of EmptyDir volume \"data\" exceeds the limit \"10Mi\". ";
    assert_eq!(pod["status"]["message"], expected);
    assert_eq!(condition(&pod, "DisruptionTarget"), &Value::Null);
}

#[tokio::test(start_paused = true)]
async fn kubelets_measure_and_say_how_they_are_set() {
    let test = Test::new().await;
    let mut container = shell("while :; do :; done");
    container["resources"] = json!({ "limits": { "cpu": "100m" } });
    test.run("busy", json!({ "containers": [container] })).await;
    test.shows("busy", "/status/phase", json!("Running")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let summary = test.ask("stats/summary").await;
    let pods = summary["pods"].as_array().unwrap();
    let busy = pods
        .iter()
        .find(|pod| pod["podRef"]["name"] == "busy")
        .unwrap();
    let used = busy["containers"][0]["cpu"]["usageCoreNanoSeconds"]
        .as_u64()
        .unwrap();
    assert!((4_000_000_000..7_000_000_000).contains(&used), "{used}");
    for path in [
        "/node/memory/availableBytes",
        "/node/fs/availableBytes",
        "/node/fs/inodesFree",
        "/node/runtime/imageFs/availableBytes",
        "/node/rlimit/curproc",
    ] {
        assert!(summary.pointer(path).is_some_and(Value::is_u64), "{path}");
    }
    let configz = test.ask("configz").await;
    assert_eq!(
        configz["kubeletconfig"]["evictionPressureTransitionPeriod"],
        "5m0s"
    );
    let path = "/api/v1/nodes/worker/proxy/metrics/cadvisor";
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let text = test.client.request_text(request).await.unwrap();
    let value = |metric: &str| -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(metric) && line.contains("pod=\"busy\""))
            .unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let share = value("container_cpu_cfs_throttled_periods_total")
        / value("container_cpu_cfs_periods_total");
    assert!(share > 0.9, "{share}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_answers_is_as_slow_as_its_limit() {
    let test = Test::new().await;
    let script = "mkdir -p /www/cgi-bin; echo hello > /www/index.html\n\
        printf '#!/bin/sh\\necho Content-Type: text/plain\\necho\\nhead -c 2000000 /dev/zero | sha256sum\\n' \
        > /www/cgi-bin/sum\nprintf 'echo Status: 403 Forbidden\\necho\\necho $QUERY_STRING\\n' > /www/cgi-bin/no\n\
        chmod +x /www/cgi-bin/*; exec httpd -f -p 8080 -h /www";
    let mut container = shell(script);
    container["readinessProbe"] =
        json!({ "httpGet": { "path": "/cgi-bin/sum", "port": 8080 }, "periodSeconds": 2 });
    container["resources"] = json!({ "limits": { "cpu": "50m" } });
    test.run("server", json!({ "containers": [container] }))
        .await;
    test.shows("server", "/status/containerStatuses/0/ready", json!(true))
        .await;
    let address = test.pod("server").await["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned();
    let asks = format!(
        "wget -q -O- {address}:8080/; wget -q -O- {address}:8080/cgi-bin/sum; \
         wget -q -O- {address}:8080/cgi-bin/no?x; wget -q -O- {address}:8080/cgi-bin/none; \
         for n in 1 2 3 4; do while :; do wget -q -O /dev/null {address}:8080/cgi-bin/sum; done & done; wait"
    );
    test.run("client", json!({ "containers": [shell(&asks)] }))
        .await;
    test.shows("client", "/status/phase", json!("Running"))
        .await;
    let late = "Readiness probe errored and resulted in failure state: context deadline exceeded \
                (Client.Timeout or context cancellation while reading body)";
    test.until(async || {
        let events = test.events("server").await;
        events.iter().any(|(_, message)| message == late)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let log = test
        .pods
        .logs("client", &LogParams::default())
        .await
        .unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let [first, sum, no, none] = lines.as_slice() else {
        panic!("{log}");
    };
    assert_eq!(*first, "hello");
    assert!(sum.ends_with("  -") && sum.len() == 67, "{sum}");
    assert_eq!(*no, "wget: server returned error: HTTP/1.1 403 Forbidden");
    assert_eq!(*none, "wget: server returned error: HTTP/1.1 404 Not Found");
    let summary = test.ask("stats/summary").await;
    let pods = summary["pods"].as_array().unwrap();
    let server = pods
        .iter()
        .find(|pod| pod["podRef"]["name"] == "server")
        .unwrap();
    let cores = server["cpu"]["usageNanoCores"].as_u64().unwrap();
    assert!((48_000_000..=50_000_000).contains(&cores), "{cores}");
}

#[tokio::test(start_paused = true)]
async fn all_pods_of_a_node_stay_within_what_is_theirs() {
    let test = Test::new().await;
    let mut promised = shell("dd if=/dev/zero bs=100M count=1 | sleep infinity");
    promised["resources"] = json!({ "requests": { "memory": "400Mi" } });
    test.run("promised", json!({ "containers": [promised] }))
        .await;
    test.shows("promised", "/status/phase", json!("Running"))
        .await;
    test.cluster
        .node_fault("worker", &NodeFault::Reserve((32 << 30) - (512 << 20)))
        .unwrap();
    test.until(async || test.node().await["status"]["allocatable"]["memory"] == "512Mi")
        .await;
    test.run(
        "greedy",
        json!({ "containers": [shell("tail /dev/zero"),
            { "name": "other", "image": "busybox:1.37", "command": ["sleep", "infinity"] }] }),
    )
    .await;
    test.shows(
        "greedy",
        "/status/containerStatuses/0/lastState/terminated/reason",
        json!("OOMKilled"),
    )
    .await;
    let pod = test.pod("greedy").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        137
    );
    assert_eq!(pod["status"]["containerStatuses"][1]["restartCount"], 0);
    let pod = test.pod("promised").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_and_a_runtime_stop_and_start() {
    let test = Test::new().await;
    test.run("a", json!({ "containers": [shell("sleep infinity")] }))
        .await;
    test.shows("a", "/status/phase", json!("Running")).await;
    let fault = |fault: NodeFault| test.cluster.node_fault("worker", &fault).unwrap();
    fault(NodeFault::StopRuntime);
    test.until(async || {
        let node = test.node().await;
        let ready = condition(&node, "Ready");
        ready["status"] == "False" && ready["message"] == "container runtime is down"
    })
    .await;
    test.run(
        "b",
        json!({ "containers": [shell("sleep infinity")],
        "tolerations": [{ "operator": "Exists" }] }),
    )
    .await;
    test.until(async || {
        let events = test.events("b").await;
        events
            .iter()
            .any(|(reason, _)| reason == "FailedCreatePodSandBox")
    })
    .await;
    fault(NodeFault::StartRuntime);
    test.shows("b", "/status/phase", json!("Running")).await;
    fault(NodeFault::StopKubelet);
    test.until(async || condition(&test.node().await, "Ready")["status"] == "Unknown")
        .await;
    fault(NodeFault::StartKubelet);
    test.until(async || condition(&test.node().await, "Ready")["status"] == "True")
        .await;
    test.until(async || condition(&test.pod("a").await, "Ready")["status"] == "True")
        .await;
    let unknown = test.cluster.node_fault("none", &NodeFault::StopKubelet);
    assert_eq!(
        unknown.unwrap_err(),
        "there is no node none: the nodes are worker"
    );
}

#[tokio::test(start_paused = true)]
async fn images_come_from_registries_that_know_them() {
    let test = Test::new().await;
    let registry = Beside {
        image: "registry:2".to_owned(),
        images: [("shop/cart:1".to_owned(), "busybox:1.37".to_owned())].into(),
        credentials: Some(("deploy".to_owned(), "right".to_owned())),
        ..Beside::default()
    };
    test.cluster.start_beside("registry", &registry).unwrap();
    test.cluster.beside_serves("registry", 5000).await;
    for (name, password) in [("good", "right"), ("old", "wrong")] {
        let config = json!({ "auths": { "registry:5000":
            { "username": "deploy", "password": password } } });
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": config.to_string() } });
        test.make(secret).await;
    }
    let pod = |image: &str, secret: &str| {
        json!({ "containers": [{ "name": "app", "image": image, "command": ["sleep", "infinity"] }],
            "imagePullSecrets": [{ "name": secret }] })
    };
    test.run("good", pod("registry:5000/shop/cart:1", "good"))
        .await;
    test.shows("good", "/status/phase", json!("Running")).await;
    test.run("old", pod("registry:5000/shop/cart:1b", "old"))
        .await;
    test.run("none", pod("registry:5000/shop/cart:2", "good"))
        .await;
    for (name, expected) in [
        ("old", "401 Unauthorized"),
        ("none", "shop/cart:2: not found"),
    ] {
        test.shows(name, REASON, json!("ErrImagePull")).await;
        test.has_event(name, "Failed", expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_beside_thecluster_lets_in_whom_it_knows() {
    let test = Test::new().await;
    let database = Beside {
        image: "postgres:17".to_owned(),
        env: [
            ("POSTGRES_USER".to_owned(), "orders".to_owned()),
            ("POSTGRES_PASSWORD".to_owned(), "right".to_owned()),
        ]
        .into(),
        ..Beside::default()
    };
    test.cluster.start_beside("database", &database).unwrap();
    test.cluster.beside_serves("database", 5432).await;
    let asks = "until pg_isready --host=database --quiet; do sleep 1; done; psql --host=database \
                --username=orders --command 'select 1' 2> /dev/termination-log";
    for (name, password, phase) in [("a", "right", "Succeeded"), ("b", "wrong", "Failed")] {
        let container = json!({ "name": "app", "image": "postgres:17", "command": ["sh", "-c", asks],
            "env": [{ "name": "PGPASSWORD", "value": password }] });
        test.run(
            name,
            json!({ "restartPolicy": "Never", "containers": [container] }),
        )
        .await;
        test.shows(name, "/status/phase", json!(phase)).await;
    }
    let pod = test.pod("b").await;
    let said = pod.pointer(STATE).unwrap()["terminated"]["message"]
        .as_str()
        .unwrap();
    let expected = "FATAL:  password authentication failed for user \"orders\"\n";
    assert!(said.ends_with(expected), "{said}");
}
