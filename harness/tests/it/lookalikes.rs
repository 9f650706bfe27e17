//! Causes that look alike: states cut from recordings of a real cluster, that differ only in what
//! tells the causes apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// A recorded state, to be cut.
struct Cut {
    objects: Vec<Value>,
    files: BTreeMap<String, String>,
}

impl Cut {
    fn of(recording: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
        let file = File::open(folder.join(format!("{recording}.tar.gz"))).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(GzDecoder::new(file)).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            if entry.header().entry_type().is_file() {
                let mut content = String::new();
                std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
                files.insert(path, content);
            }
        }
        let objects: Value = serde_json::from_str(&files.remove("objects.json").unwrap()).unwrap();
        let objects = objects["items"].as_array().unwrap().clone();
        Self { objects, files }
    }

    /// The state of which only these pods of a namespace are left.
    fn only(recording: &str, namespace: &str, pods: &[&str]) -> Self {
        let mut cut = Self::of(recording);
        cut.objects.retain(|object| {
            let of_namespace = object["metadata"]["namespace"] == namespace;
            let about = &object["involvedObject"];
            let name = match object["kind"].as_str() {
                Some("Pod") if of_namespace => &object["metadata"]["name"],
                Some("Event") if about["kind"] == "Node" => return false,
                Some("Event") if about["namespace"] == namespace => &about["name"],
                Some("Deployment" | "ReplicaSet" | "StatefulSet" | "Job") if of_namespace => {
                    return false;
                }
                Some("HorizontalPodAutoscaler" | "PodDisruptionBudget") => return false,
                // A namespace of another case.
                _ => {
                    return object["metadata"]["namespace"] != "quick-quota"
                        || namespace == "quick-quota";
                }
            };
            pods.iter().any(|pod| name == pod)
        });
        cut.each("Node", "", |node| {
            for condition in node["status"]["conditions"].as_array_mut().unwrap() {
                if condition["type"] != "Ready" {
                    condition["status"] = json!("False");
                }
            }
        });
        cut
    }

    /// Changes every object of a kind in a namespace; all of a kind without namespaces.
    fn each(&mut self, kind: &str, namespace: &str, change: impl Fn(&mut Value)) -> &mut Self {
        let mut changed = 0;
        for object in &mut self.objects {
            let of = object["metadata"]["namespace"].as_str().unwrap_or_default();
            if object["kind"] == kind && of == namespace {
                change(object);
                changed += 1;
            }
        }
        assert!(changed > 0, "the recording has no {kind} in {namespace}");
        self
    }

    /// Changes every node but the control plane.
    fn workers(&mut self, change: impl Fn(&mut Value)) -> &mut Self {
        self.each("Node", "", |node| {
            if node["spec"]["taints"][0]["key"] != "node-role.kubernetes.io/control-plane" {
                change(node);
            }
        })
    }

    fn add(&mut self, object: Value) -> &mut Self {
        self.objects.push(object);
        self
    }

    fn remove(&mut self, kind: &str, namespace: &str) -> &mut Self {
        self.objects.retain(|object| {
            let of = match kind {
                "Event" => &object["involvedObject"]["namespace"],
                _ => &object["metadata"]["namespace"],
            };
            object["kind"] != kind || of != namespace
        });
        self
    }

    /// What every log says.
    fn say(&mut self, words: &str) -> &mut Self {
        for (path, content) in &mut self.files {
            if path.starts_with("logs/") {
                *content = words.to_owned();
            }
        }
        self
    }

    /// Asserts which causes are named: class, subject's kind and name, the culprit's field.
    #[track_caller]
    fn says(&mut self, expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": self.objects });
        fs::write(folder.path().join("objects.json"), list.to_string()).unwrap();
        for (path, content) in &self.files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let input = crashbook::diagnose::read(folder.path(), crashbook::clock::now()).unwrap();
        let report = crashbook::diagnose::report(input);
        let said: Vec<String> = (report.verdicts.iter())
            .map(|verdict| {
                let field = verdict.culprit.field.as_deref();
                let field = field.map(|field| format!(" {field}")).unwrap_or_default();
                format!(
                    "{} {} {}{field}",
                    verdict.class, verdict.subject.kind, verdict.subject.name
                )
            })
            .collect();
        assert_eq!(said, expected);
    }
}

const SHORT: &str = "oversized-requests";
const STUCK: &str = "Deployment nginx-deployment";
const POD: &str = "spec.template.spec";

/// Three pods that ask for more memory than there is, on nodes that are large enough.
fn on_large_nodes() -> Cut {
    let mut cut = Cut::of("oversized-requests-failing");
    cut.workers(|node| node["status"]["allocatable"]["memory"] = json!("128Gi"));
    // Long enough to be no passing trouble.
    let later = "2026-11-23T17:41:00Z".to_owned();
    cut.files.insert("collected_at".to_owned(), later);
    cut
}

#[test]
fn insufficient_memory() {
    Cut::of("oversized-requests-failing").says(&[&format!(
        "request-exceeds-nodes {STUCK} {POD}.containers[0].resources.requests.memory"
    )]);
    // The nodes are large enough, and others have taken what there is.
    let mut full = on_large_nodes();
    for node in ["trial-worker", "trial-worker2", "trial-worker3"] {
        full.add(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "other", "name": format!("on-{node}"), "uid": node },
            "spec": { "nodeName": node, "containers": [
                { "name": "a", "resources": { "requests": { "memory": "100Gi" } } },
            ]},
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        }));
    }
    full.says(&[&format!("capacity-exhausted {STUCK}")]);
    // They are cordoned.
    on_large_nodes()
        .workers(|node| node["spec"]["unschedulable"] = json!(true))
        .says(&[&format!("nodes-cordoned {STUCK} spec.unschedulable")]);
    // Somebody tainted them.
    on_large_nodes()
        .workers(|node| {
            node["spec"]["taints"] =
                json!([{ "key": "team", "value": "a", "effect": "NoSchedule" }]);
        })
        .says(&[&format!("taint-untolerated {STUCK} spec.taints[key=team]")]);
    // By now there is room.
    on_large_nodes().says(&[]);
}

#[test]
fn no_node_matches() {
    let selector = json!({ "disk": "ssd" });
    Cut::of("oversized-requests-failing")
        .each("Pod", SHORT, |pod| {
            pod["spec"]["nodeSelector"] = selector.clone()
        })
        .says(&[&format!(
            "node-selector-unmatched {STUCK} {POD}.nodeSelector"
        )]);
    let required = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "disk", "operator": "Exists" }] }],
    }}});
    Cut::of("oversized-requests-failing")
        .each("Pod", SHORT, |pod| {
            pod["spec"]["affinity"] = required.clone()
        })
        .says(&[&format!(
            "node-selector-unmatched {STUCK} {POD}.affinity.nodeAffinity\
             .requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
        )]);
    let beside = json!({ "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "none" } } },
    ]}});
    on_large_nodes()
        .each("Pod", SHORT, |pod| pod["spec"]["affinity"] = beside.clone())
        .says(&[&format!(
            "pod-affinity-unsatisfiable {STUCK} {POD}.affinity.podAffinity\
             .requiredDuringSchedulingIgnoredDuringExecution[0]"
        )]);
    let volumes = json!([{ "name": "d", "persistentVolumeClaim": { "claimName": "absent" } }]);
    on_large_nodes()
        .each("Pod", SHORT, |pod| pod["spec"]["volumes"] = volumes.clone())
        .says(&[&format!("claim-missing {STUCK}")]);
    let ports = json!([{ "containerPort": 80, "hostPort": 8080 }]);
    let mut taken = on_large_nodes();
    taken.each("Pod", SHORT, |pod| {
        pod["spec"]["containers"][0]["ports"] = ports.clone()
    });
    for node in ["trial-worker", "trial-worker2", "trial-worker3"] {
        taken.add(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "other", "name": format!("on-{node}"), "uid": node },
            "spec": { "nodeName": node, "containers": [{ "name": "a", "ports": [{ "containerPort": 1, "hostPort": 8080 }] }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        }));
    }
    taken.says(&[&format!(
        "host-port-conflict {STUCK} {POD}.containers[0].ports[0].hostPort"
    )]);
}

#[test]
fn pending_and_nobody_says_why() {
    // No scheduler has looked.
    Cut::of("oversized-requests-failing")
        .remove("Event", SHORT)
        .each("Pod", SHORT, |pod| {
            pod["status"] = json!({ "phase": "Pending" });
            pod["metadata"]["creationTimestamp"] = json!("2026-11-23T17:30:00Z");
        })
        .says(&["scheduler-unavailable Deployment nginx-deployment"]);
    // It waits behind a gate.
    Cut::of("oversized-requests-failing")
        .remove("Event", SHORT)
        .each("Pod", SHORT, |pod| {
            pod["spec"]["schedulingGates"] = json!([{ "name": "quota" }]);
            pod["status"]["conditions"][0]["reason"] = json!("SchedulingGated");
        })
        .says(&[]);
}

fn claim() -> Cut {
    Cut::only("quick-failures-failing", "quick-failures", &["pvc-no-pv"])
}

#[test]
fn a_claim_that_is_not_bound() {
    let volume = |change: &dyn Fn(&mut Value)| {
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "pv" },
            "spec": {
                "storageClassName": "standard", "accessModes": ["ReadWriteOnce"],
                "capacity": { "storage": "1Gi" }, "hostPath": { "path": "/d" },
            },
            "status": { "phase": "Available" },
        });
        change(&mut volume);
        volume
    };
    let with = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        let mut cut = claim();
        cut.add(volume(change)).says(expected);
    };
    let unmatched = "no-matching-volume Pod pvc-no-pv";
    let only = |cut: &mut Cut| {
        cut.objects
            .retain(|one| one["metadata"]["name"] != "no-class")
    };
    let mut none = claim();
    only(&mut none);
    none.says(&[unmatched]);
    with(
        &|volume| volume["spec"]["capacity"]["storage"] = json!("500Mi"),
        &[unmatched],
    );
    with(
        &|volume| volume["spec"]["accessModes"] = json!(["ReadOnlyMany"]),
        &[unmatched],
    );
    with(
        &|volume| {
            volume["spec"]["claimRef"] =
                json!({ "namespace": "other", "name": "taken", "uid": "t" });
        },
        &[unmatched],
    );
    with(
        &|volume| volume["spec"]["volumeMode"] = json!("Block"),
        &[unmatched],
    );
    // One that fits will be bound.
    with(&|_| {}, &[]);
    // The class is not there.
    let mut classless = claim();
    classless
        .objects
        .retain(|object| object["kind"] != "StorageClass");
    classless.says(&["storage-class-missing Pod pvc-no-pv spec.storageClassName"]);
}

fn creating() -> Cut {
    Cut::only(
        "missing-configmap-failing",
        "missing-configmap",
        &["missing-cm-volume"],
    )
}

#[test]
fn container_creating() {
    let said = |cut: &mut Cut, reason: &str, message: &str, from: &str| {
        cut.each("Event", "missing-configmap", |event| {
            if event["reason"] == "FailedMount" {
                event["reason"] = json!(reason);
                event["message"] = json!(message);
                event["firstTimestamp"] = json!(from);
            }
        });
    };
    creating().says(&["config-map-missing Pod missing-cm-volume"]);
    let there = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {},
        "metadata": { "namespace": "missing-configmap", "name": "key-cm" },
    });
    let early = "2026-11-23T17:38:00Z";
    let mut noise = creating();
    noise.add(there.clone());
    said(
        &mut noise,
        "FailedMount",
        "MountVolume.SetUp failed for volume \"settings\" : failed to sync configmap cache: timed out waiting for the condition",
        early,
    );
    noise.says(&[]);
    let mut mount = creating();
    mount.add(there.clone());
    said(
        &mut mount,
        "FailedMount",
        "MountVolume.SetUp failed for volume \"settings\" : hostPath type check failed: /data is not a directory",
        early,
    );
    mount.says(&["volume-mount-failed Pod missing-cm-volume spec.volumes[0]"]);
    let mut sandbox = creating();
    sandbox.add(there);
    said(
        &mut sandbox,
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: plugin type=\"bridge\" failed (add)",
        early,
    );
    sandbox.says(&["sandbox-failed Pod missing-cm-volume"]);
}

const CRASH: &str = "bad-include";

/// The Deployment that crashes, with another end of its container's last run.
fn ended(code: i32, reason: &str, more: &dyn Fn(&mut Value)) -> Cut {
    let mut cut = Cut::of("bad-include-failing");
    cut.each("Pod", CRASH, |pod| {
        let status = &mut pod["status"]["containerStatuses"][0];
        if status["lastState"]["terminated"].is_object() {
            status["lastState"]["terminated"]["exitCode"] = json!(code);
            status["lastState"]["terminated"]["reason"] = json!(reason);
            more(pod);
        }
    });
    cut
}

#[test]
fn crash_loops_and_exit_codes() {
    let web = "Deployment web";
    let nothing = |_: &mut Value| {};
    ended(1, "Error", &nothing).says(&["app-config-invalid Deployment web data[\"httpd.conf\"]"]);
    ended(1, "Error", &nothing)
        .say("Segmentation fault")
        .says(&[&format!("crash-unexplained {web}")]);
    let limit = |pod: &mut Value| {
        pod["spec"]["containers"][0]["resources"]["limits"] = json!({ "memory": "64Mi" });
    };
    let field = format!("{POD}.containers[0]");
    ended(137, "OOMKilled", &limit)
        .say("")
        .says(&[&format!("oom-killed {web} {field}.resources.limits.memory")]);
    ended(137, "OOMKilled", &nothing)
        .say("")
        .says(&[&format!("node-out-of-memory {web}")]);
    // The runtime missed the kernel's word.
    ended(137, "Error", &limit)
        .say("")
        .says(&[&format!("oom-killed {web} {field}.resources.limits.memory")]);
    // The kubelet ended it: an event of type Normal tells.
    let probed = |code, reason| {
        let mut cut = ended(code, reason, &|pod| {
            limit(pod);
            pod["spec"]["containers"][0]["livenessProbe"] = json!({ "httpGet": { "port": 81 } });
        });
        let (mut killing, mut uid) = (Value::Null, Value::Null);
        for object in &cut.objects {
            if object["kind"] == "Event"
                && object["reason"] == "BackOff"
                && object["metadata"]["namespace"] == CRASH
            {
                killing = object.clone();
                uid = object["involvedObject"]["uid"].clone();
            }
        }
        assert!(!uid.is_null());
        killing["metadata"]["name"] = json!("killing");
        killing["type"] = json!("Normal");
        killing["reason"] = json!("Killing");
        killing["message"] = json!("Container httpd failed liveness probe, will be restarted");
        killing["lastTimestamp"] = json!("2026-11-23T17:42:00Z");
        cut.add(killing).say("");
        cut
    };
    for (code, reason) in [(137, "Error"), (143, "Error"), (0, "Completed")] {
        probed(code, reason).says(&[&format!(
            "liveness-probe-failing {web} {field}.livenessProbe"
        )]);
    }
    ended(0, "Completed", &nothing)
        .say("done")
        .says(&[&format!("exits-normally {web} {field}.command")]);
    let not_there = |pod: &mut Value| {
        pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] = json!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: \
             unable to start container process: exec: \"/srv/run\": stat /srv/run: no such file or directory: unknown"
        );
    };
    ended(128, "StartError", &not_there)
        .say("")
        .says(&[&format!("command-not-found {web} {field}.command")]);
}

const PRESSED: &str = "memory-pressure";

/// The evicted pod and its successor, on a node that is well, with another end of the pod.
fn failed(change: &dyn Fn(&mut Value)) -> Cut {
    let mut cut = Cut::of("memory-pressure-failing");
    cut.each("Node", "", |node| {
        node["spec"].as_object_mut().unwrap().remove("taints");
        for condition in node["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "MemoryPressure" {
                condition["status"] = json!("False");
            }
        }
    });
    cut.remove("Event", PRESSED);
    cut.objects
        .retain(|object| object["involvedObject"]["kind"] != "Node");
    cut.each("Pod", PRESSED, |pod| {
        if pod["status"]["phase"] == "Failed" {
            change(pod);
        }
    });
    cut
}

#[test]
fn pods_that_failed_as_a_whole() {
    let node = "node-pressure-eviction Node trial-worker3 status.conditions[type=MemoryPressure]";
    Cut::of("memory-pressure-failing").says(&[node]);
    // The condition has cleared, and the replica is not back.
    failed(&|_| {}).says(&[node]);
    let ended_for = |reason: &'static str, message: &'static str| {
        move |pod: &mut Value| {
            pod["status"]["reason"] = json!(reason);
            pod["status"]["message"] = json!(message);
            let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
            conditions.retain(|condition| condition["type"] != "DisruptionTarget");
        }
    };
    failed(&|pod| {
        ended_for(
            "Evicted",
            "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ",
        )(pod);
        pod["spec"]["volumes"] = json!([{ "name": "cache", "emptyDir": { "sizeLimit": "1Mi" } }]);
    })
    .says(&[&format!(
        "storage-limit-eviction Deployment hog {POD}.volumes[0].emptyDir.sizeLimit"
    )]);
    failed(&|pod| {
        ended_for("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 1500, capacity: 2000")(pod);
        pod["status"].as_object_mut().unwrap().remove("containerStatuses");
    })
    .says(&["kubelet-rejected Deployment hog"]);
    failed(&ended_for(
        "Terminated",
        "Pod was terminated in response to imminent node shutdown.",
    ))
    .says(&[]);
}

#[test]
fn an_image_that_does_not_come() {
    let check = |words: &str, class: &str| {
        let mut cut = Cut::only("quick-failures-failing", "quick-failures", &["no-such-tag"]);
        cut.remove("PersistentVolumeClaim", "quick-failures")
            .remove("Event", "quick-failures");
        let message = format!(
            "failed to pull and unpack image \"docker.io/library/busybox:no-such-tag\": {words}"
        );
        cut.each("Pod", "quick-failures", |pod| {
            pod["status"]["containerStatuses"][0]["state"] =
                json!({ "waiting": { "reason": "ErrImagePull", "message": message } });
        });
        cut.says(&[&format!("{class} Pod no-such-tag spec.containers[0].image")]);
    };
    check(
        "docker.io/library/busybox:no-such-tag: not found",
        "image-not-found",
    );
    check(
        "failed to do request: Head: dial tcp: lookup registry-1.docker.io: no such host",
        "registry-unreachable",
    );
    check(
        "failed to do request: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "registry-unreachable",
    );
    check(
        "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit",
        "registry-unreachable",
    );
    check(
        "no match for platform in manifest: not found",
        "image-invalid",
    );
    let mut refused = Cut::only("quick-failures-failing", "quick-failures", &["no-such-tag"]);
    refused
        .remove("PersistentVolumeClaim", "quick-failures")
        .remove("Event", "quick-failures");
    refused.each("Pod", "quick-failures", |pod| {
        pod["spec"]["containers"][0]["image"] = json!("registry.example.com/shop/cart:1");
        pod["status"]["containerStatuses"][0]["state"] = json!({ "waiting": {
            "reason": "ImagePullBackOff",
            "message": "Back-off pulling image \"registry.example.com/shop/cart:1\": ErrImagePull: unexpected status from HEAD request to https://registry.example.com/v2/shop/cart/manifests/1: 401 Unauthorized",
        }});
    });
    refused.says(&["image-auth-failed Pod no-such-tag spec.imagePullSecrets"]);
}

const GATEWAY: &str = "blocked-egress";

#[test]
fn a_connection_that_does_not_come_about() {
    let state = || Cut::of("blocked-egress-failing-with-dns");
    let gateway = "Deployment opscruise-bundle-loggw";
    state().says(&[&format!(
        "network-policy-blocks-egress {gateway} spec.egress"
    )]);
    let open = |cut: &mut Cut| {
        cut.objects
            .retain(|object| object["kind"] != "NetworkPolicy");
    };
    // The receiver's side.
    let mut ingress = state();
    open(&mut ingress);
    ingress.add(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": GATEWAY, "name": "closed", "creationTimestamp": "2026-11-23T17:50:00Z" },
        "spec": { "podSelector": { "matchLabels": { "app": "loki" } } },
    }));
    ingress.says(&[&format!(
        "network-policy-blocks-ingress {gateway} spec.ingress"
    )]);
    // Nothing answers.
    let mut down = state();
    open(&mut down);
    down.each("Pod", GATEWAY, |pod| {
        if pod["metadata"]["labels"]["app"] == "loki" {
            for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
                if condition["type"] == "Ready" {
                    condition["status"] = json!("False");
                }
            }
        }
    });
    down.says(&[&format!("dependency-unreachable {gateway}")]);
    // The Service leads nowhere.
    let mut elsewhere = state();
    open(&mut elsewhere);
    elsewhere.each("Service", GATEWAY, |service| {
        service["spec"]["selector"] = json!({ "app": "lokii" });
    });
    elsewhere.says(&["service-selector-unmatched Service opscruise-bundle-loki spec.selector"]);
    let mut port = state();
    open(&mut port);
    port.each("Service", GATEWAY, |service| {
        service["spec"]["ports"][0]["targetPort"] = json!("web");
    });
    port.says(&["service-port-mismatch Service opscruise-bundle-loki spec.ports[0].targetPort"]);
    // Names do not resolve.
    let mut dns = state();
    open(&mut dns);
    dns.say("wget: bad address 'opscruise-bundle-loki:3100'\nwget: bad address 'opscruise-bundle-loki:3100'\n");
    dns.each("Pod", "kube-system", |pod| {
        if pod["metadata"]["labels"]["k8s-app"] == "kube-dns" {
            for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
                if condition["type"] == "Ready" {
                    condition["status"] = json!("False");
                }
            }
        }
    });
    dns.says(&["dns-unavailable Deployment coredns"]);
    // The policy forgets the name service.
    let mut names = state();
    names.say("wget: bad address 'opscruise-bundle-loki:3100'\nwget: bad address 'opscruise-bundle-loki:3100'\n");
    names.each("NetworkPolicy", GATEWAY, |policy| {
        policy["spec"]["egress"] = json!([{ "ports": [{ "port": 3100 }] }]);
    });
    names.says(&[&format!(
        "network-policy-blocks-egress {gateway} spec.egress"
    )]);
}

#[test]
fn no_pods_at_all() {
    let refused = |message: &str| {
        let mut cut = Cut::of("quick-failures-failing");
        let others = ["quick-failures", PRESSED];
        cut.objects.retain(|object| {
            let of = object["metadata"]["namespace"].as_str().unwrap_or_default();
            !others.contains(&of) && object["involvedObject"]["kind"] != "Node"
        });
        cut.each("Node", "", |node| {
            for condition in node["status"]["conditions"].as_array_mut().unwrap() {
                if condition["type"] != "Ready" {
                    condition["status"] = json!("False");
                }
            }
        });
        cut.each("ReplicaSet", "quick-quota", |set| {
            if !message.is_empty() {
                set["status"]["conditions"][0]["message"] = json!(message);
            }
        });
        cut
    };
    let subject = "Deployment over-quota";
    refused("").says(&[&format!(
        "quota-exceeded {subject} spec.hard[\"requests.memory\"]"
    )]);
    refused("pods \"x\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi")
        .says(&[&format!(
            "limit-range-violated {subject} spec.limits[0].max.memory"
        )]);
    refused("pods \"x\" is forbidden: error looking up service account quick-quota/robot: serviceaccount \"robot\" not found")
        .says(&[&format!("service-account-missing {subject}")]);
    refused("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true (pod or container \"web\" must set securityContext.runAsNonRoot=true)")
        .each("Namespace", "", |namespace| {
            if namespace["metadata"]["name"] == "quick-quota" {
                namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("restricted");
            }
        })
        .says(&[&format!("pod-security-rejected {subject} metadata.labels[\"pod-security.kubernetes.io/enforce\"]")]);
    refused("Internal error occurred: failed calling webhook \"check.example.com\": failed to call webhook: Post \"https://check.shop.svc:443/\": service \"check\" not found")
        .add(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "check" },
            "webhooks": [{ "name": "check.example.com", "clientConfig": { "service": { "namespace": "shop", "name": "check" } } }],
        }))
        .says(&[&format!("webhook-unavailable {subject} webhooks[0].clientConfig")]);
    // It has what it asks for, whatever its condition says.
    refused("")
        .each("ReplicaSet", "quick-quota", |set| {
            set["spec"]["replicas"] = json!(1)
        })
        .says(&[]);
}

#[test]
fn a_node_that_is_not_ready() {
    let node = "node-not-ready Node trial-worker";
    Cut::of("node-not-ready-failing").says(&[node]);
    // The kubelet lives, and says that its runtime does not.
    Cut::of("node-not-ready-failing")
        .each("Node", "", |node| {
            for condition in node["status"]["conditions"].as_array_mut().unwrap() {
                if condition["status"] == "Unknown" {
                    let is_ready = condition["type"] == "Ready";
                    condition["status"] = json!("False");
                    condition["reason"] = json!(if is_ready { "KubeletNotReady" } else { "Ok" });
                    condition["message"] = json!("container runtime is down");
                    condition["lastTransitionTime"] = json!("2026-11-23T17:00:00Z");
                }
            }
        })
        .says(&[node]);
    // It is short of disk, and ready.
    Cut::of("node-not-ready-failing")
        .each("Node", "", |node| {
            for condition in node["status"]["conditions"].as_array_mut().unwrap() {
                if condition["status"] == "Unknown" {
                    let is_pressed = condition["type"] == "DiskPressure";
                    let is_ready = condition["type"] == "Ready";
                    condition["status"] = json!(if is_ready || is_pressed {
                        "True"
                    } else {
                        "False"
                    });
                    condition["lastTransitionTime"] = json!("2026-11-23T17:00:00Z");
                }
            }
            node["spec"].as_object_mut().unwrap().remove("taints");
        })
        .says(&["node-pressure-eviction Node trial-worker status.conditions[type=DiskPressure]"]);
}

#[test]
fn a_container_that_is_not_ready() {
    let state = || {
        let mut cut = Cut::only("quick-failures-failing", "quick-failures", &["readiness"]);
        cut.remove("PersistentVolumeClaim", "quick-failures");
        cut
    };
    state().says(&["readiness-probe-failing Pod readiness spec.containers[0].readinessProbe"]);
    // It has not had its time yet.
    state()
        .each("Pod", "quick-failures", |pod| {
            pod["spec"]["containers"][0]["readinessProbe"]["initialDelaySeconds"] = json!(300);
        })
        .says(&[]);
    // Its startup probe has not succeeded yet.
    state()
        .each("Pod", "quick-failures", |pod| {
            pod["spec"]["containers"][0]["startupProbe"] =
                json!({ "tcpSocket": { "port": 80 }, "failureThreshold": 99 });
            pod["status"]["containerStatuses"][0]["started"] = json!(false);
        })
        .says(&[]);
    // It goes.
    state()
        .each("Pod", "quick-failures", |pod| {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T17:59:00Z");
        })
        .says(&[]);
}
