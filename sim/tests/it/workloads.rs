//! What the controllers make of workloads. Nodes and kubelets have no part in it: the tests say
//! what becomes of the pods.

use std::time::Duration;

use crashbook_sim::{Cluster, Config};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    Endpoints, Event, Node, PersistentVolumeClaim, Pod, ResourceQuota, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

struct Shop {
    _cluster: Cluster,
    client: kube::Client,
}

impl Shop {
    fn open() -> Self {
        let cluster = Cluster::start(Config::default());
        let client = kube::Client::new(cluster.router(), "default");
        Self {
            _cluster: cluster,
            client,
        }
    }

    fn of<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::default_namespaced(self.client.clone())
    }

    async fn make<K>(&self, object: Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let object = serde_json::from_value(object).unwrap();
        self.of::<K>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        settle().await;
    }

    /// The objects of a kind as JSON, in order of their names.
    async fn all<K>(&self) -> Vec<Value>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let list = self.of::<K>().list(&ListParams::default()).await.unwrap();
        list.items
            .into_iter()
            .map(|item| serde_json::to_value(item).unwrap())
            .collect()
    }

    async fn patch<K>(&self, name: &str, patch: Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let patch = Patch::Merge(patch);
        self.of::<K>()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
        settle().await;
    }

    /// Lets every pod come to the same state.
    async fn pods_are(&self, status: &Value) {
        for pod in self.all::<Pod>().await {
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            self.pod_is(&name, status).await;
        }
        settle().await;
    }

    async fn pod_is(&self, name: &str, status: &Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        self.of::<Pod>()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn events(&self, reason: &str) -> Vec<String> {
        let events = self.all::<Event>().await;
        let told = events.iter().filter(|event| event["reason"] == reason);
        told.map(|event| event["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Gives the controllers time for all that follows from what was done.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

fn running() -> Value {
    json!({ "phase": "Running", "podIP": "10.244.1.7", "conditions":
        [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }] })
}

fn ended(phase: &str) -> Value {
    json!({ "phase": phase, "conditions": [] })
}

fn template(image: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{
        "name": "web", "image": image, "ports": [{ "name": "http", "containerPort": 8080 }],
        "resources": { "requests": { "cpu": "100m" } } }] } })
}

fn workload(replicas: i64) -> Value {
    json!({ "metadata": { "name": "web" }, "spec": { "replicas": replicas,
        "selector": { "matchLabels": { "app": "web" } }, "template": template("nginx:1") } })
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .unwrap()
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .map(|object| object["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_from_one_template_to_the_next() {
    let shop = Shop::open();
    shop.make::<Deployment>(workload(4)).await;
    assert_eq!(shop.all::<Pod>().await.len(), 4);
    let web = &shop.all::<Deployment>().await[0];
    assert_eq!(
        condition(web, "Available")["reason"],
        "MinimumReplicasUnavailable"
    );
    assert_eq!(condition(web, "Progressing")["reason"], "ReplicaSetUpdated");
    shop.pods_are(&running()).await;
    let web = &shop.all::<Deployment>().await[0];
    assert_eq!(
        condition(web, "Available")["reason"],
        "MinimumReplicasAvailable"
    );
    assert_eq!(
        condition(web, "Progressing")["reason"],
        "NewReplicaSetAvailable"
    );
    assert_eq!(web["status"]["availableReplicas"], 4);

    let change = json!({ "spec": { "template": template("nginx:2") } });
    shop.patch::<Deployment>("web", change).await;
    // One more than four, and three of the old ones at least.
    let sizes = |sets: &[Value]| -> Vec<i64> {
        let mut sizes: Vec<i64> = sets
            .iter()
            .map(|set| set["spec"]["replicas"].as_i64().unwrap())
            .collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&shop.all::<ReplicaSet>().await), [2, 3]);
    for _ in 0..4 {
        shop.pods_are(&running()).await;
    }
    assert_eq!(sizes(&shop.all::<ReplicaSet>().await), [0, 4]);
    let web = &shop.all::<Deployment>().await[0];
    assert_eq!(
        web["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    assert_eq!(
        condition(web, "Progressing")["reason"],
        "NewReplicaSetAvailable"
    );

    shop.patch::<Deployment>("web", json!({ "spec": { "replicas": 2 } }))
        .await;
    assert_eq!(shop.all::<Pod>().await.len(), 2);
    shop.of::<Deployment>()
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    settle().await;
    assert!(shop.all::<ReplicaSet>().await.is_empty() && shop.all::<Pod>().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_gets_nowhere_passes_its_deadline() {
    let shop = Shop::open();
    let mut web = workload(1);
    web["spec"]["progressDeadlineSeconds"] = json!(60);
    shop.make::<Deployment>(web).await;
    tokio::time::sleep(Duration::from_secs(55)).await;
    let web = &shop.all::<Deployment>().await[0];
    assert_eq!(condition(web, "Progressing")["status"], "True");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let web = &shop.all::<Deployment>().await[0];
    let progress = condition(web, "Progressing");
    assert_eq!(progress["reason"], "ProgressDeadlineExceeded");
    let message = progress["message"].as_str().unwrap();
    assert!(message.starts_with("ReplicaSet \"web-"), "{message}");
    assert!(
        message.ends_with("\" has timed out progressing."),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn pods_that_a_quota_refuses_are_told_of_and_tried_again() {
    let shop = Shop::open();
    let quota = json!({ "metadata": { "name": "small" }, "spec": { "hard": { "pods": "2" } } });
    shop.make::<ResourceQuota>(quota).await;
    shop.make::<Deployment>(workload(3)).await;
    assert_eq!(shop.all::<Pod>().await.len(), 2);
    let quota = &shop.all::<ResourceQuota>().await[0];
    assert_eq!(
        quota["status"],
        json!({ "hard": { "pods": "2" }, "used": { "pods": "2" } })
    );
    let why =
        "is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2";
    let set = &shop.all::<ReplicaSet>().await[0];
    let failure = condition(set, "ReplicaFailure");
    assert_eq!(failure["reason"], "FailedCreate");
    assert!(
        failure["message"].as_str().unwrap().ends_with(why),
        "{failure}"
    );
    let web = &shop.all::<Deployment>().await[0];
    assert_eq!(condition(web, "ReplicaFailure")["status"], "True");
    let told = shop.events("FailedCreate").await;
    assert!(
        told[0].starts_with("Error creating: pods \"web-") && told[0].ends_with(why),
        "{told:?}"
    );
    assert!(told.len() > 3, "it is tried again: {told:?}");

    let more = json!({ "spec": { "hard": { "pods": "3" } } });
    shop.patch::<ResourceQuota>("small", more).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(shop.all::<Pod>().await.len(), 3);
    let set = &shop.all::<ReplicaSet>().await[0];
    assert_eq!(set["status"].get("conditions"), None);
}

#[tokio::test(start_paused = true)]
async fn a_missing_service_account_refuses_before_there_is_a_name() {
    let shop = Shop::open();
    let mut web = workload(1);
    web["spec"]["template"]["spec"]["serviceAccountName"] = json!("nobody");
    shop.make::<ReplicaSet>(web).await;
    let told = shop.events("FailedCreate").await;
    let why = "Error creating: pods \"web-\" is forbidden: error looking up service account \
        default/nobody: serviceaccount \"nobody\" not found";
    assert_eq!(told, [why]);
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_goes_one_by_one() {
    let shop = Shop::open();
    let mut web = workload(2);
    web["spec"]["serviceName"] = json!("web");
    web["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } } } }]);
    shop.make::<StatefulSet>(web).await;
    assert_eq!(names(&shop.all::<Pod>().await), ["web-0"]);
    shop.pods_are(&running()).await;
    shop.pods_are(&running()).await;
    assert_eq!(names(&shop.all::<Pod>().await), ["web-0", "web-1"]);
    assert_eq!(
        names(&shop.all::<PersistentVolumeClaim>().await),
        ["data-web-0", "data-web-1"]
    );
    let set = &shop.all::<StatefulSet>().await[0];
    assert_eq!(set["status"]["readyReplicas"], 2);
    assert_eq!(
        set["status"]["currentRevision"],
        set["status"]["updateRevision"]
    );
    assert_eq!(
        shop.events("SuccessfulCreate").await,
        [
            "create Claim data-web-0 Pod web-0 in StatefulSet web success",
            "create Pod web-0 in StatefulSet web successful",
            "create Claim data-web-1 Pod web-1 in StatefulSet web success",
            "create Pod web-1 in StatefulSet web successful",
        ]
    );

    // The last is replaced first, and only when it is ready the one before.
    let change = json!({ "spec": { "template": template("nginx:2") } });
    shop.patch::<StatefulSet>("web", change).await;
    let images = |pods: &[Value]| -> Vec<String> {
        let image = |pod: &Value| pod["spec"]["containers"][0]["image"].to_string();
        pods.iter().map(image).collect()
    };
    assert_eq!(
        images(&shop.all::<Pod>().await),
        ["\"nginx:1\"", "\"nginx:2\""]
    );
    shop.pods_are(&running()).await;
    assert_eq!(
        images(&shop.all::<Pod>().await),
        ["\"nginx:2\"", "\"nginx:2\""]
    );
}

#[tokio::test(start_paused = true)]
async fn a_daemon_runs_on_the_nodes_that_take_it() {
    let shop = Shop::open();
    let nodes: Api<Node> = Api::all(shop.client.clone());
    for (name, taints) in [
        ("a", json!([])),
        (
            "b",
            json!([{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }]),
        ),
        (
            "c",
            json!([{ "key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule" }]),
        ),
    ] {
        let node = json!({ "metadata": { "name": name }, "spec": { "taints": taints } });
        let node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    }
    let mut web = workload(0);
    web["spec"].as_object_mut().unwrap().remove("replicas");
    shop.make::<DaemonSet>(web).await;
    let pods = shop.all::<Pod>().await;
    let wanted = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/\
        nodeSelectorTerms/0/matchFields/0/values/0";
    let mut places: Vec<&str> = pods
        .iter()
        .map(|pod| pod.pointer(wanted).unwrap().as_str().unwrap())
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["a", "c"]);
    let set = &shop.all::<DaemonSet>().await[0];
    assert_eq!(set["status"]["desiredNumberScheduled"], 2);
    assert_eq!(set["status"]["numberUnavailable"], 2);
}

fn job(restart: &str, more: Value) -> Value {
    let mut job =
        json!({ "metadata": { "name": "sum" }, "spec": { "template": template("sum:1") } });
    job["spec"]["template"]["spec"]["restartPolicy"] = json!(restart);
    for (field, value) in more.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job
}

#[tokio::test(start_paused = true)]
async fn a_job_is_complete_when_its_pods_ended_well() {
    let shop = Shop::open();
    let more = json!({ "completions": 2, "ttlSecondsAfterFinished": 60 });
    shop.make::<Job>(job("Never", more)).await;
    assert_eq!(shop.all::<Job>().await[0]["status"]["active"], 1);
    shop.pods_are(&ended("Succeeded")).await;
    assert_eq!(shop.all::<Pod>().await.len(), 2);
    shop.pods_are(&ended("Succeeded")).await;
    let sum = &shop.all::<Job>().await[0];
    assert_eq!(sum["status"]["succeeded"], 2);
    assert_eq!(
        condition(sum, "SuccessCriteriaMet")["reason"],
        "CompletionsReached"
    );
    assert_eq!(condition(sum, "Complete")["status"], "True");
    assert_eq!(shop.events("Completed").await, ["Job completed"]);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(shop.all::<Job>().await.is_empty() && shop.all::<Pod>().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_fails_when_its_pods_failed_too_often() {
    let shop = Shop::open();
    shop.make::<Job>(job("Never", json!({ "backoffLimit": 1 })))
        .await;
    shop.pods_are(&ended("Failed")).await;
    // After a failure it waits ten seconds.
    assert_eq!(shop.all::<Pod>().await.len(), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(shop.all::<Pod>().await.len(), 2);
    shop.pods_are(&ended("Failed")).await;
    let sum = &shop.all::<Job>().await[0];
    for kind in ["FailureTarget", "Failed"] {
        assert_eq!(condition(sum, kind)["reason"], "BackoffLimitExceeded");
    }
    assert_eq!(sum["status"]["failed"], 2);
    let told = ["Job has reached the specified backoff limit"];
    assert_eq!(shop.events("BackoffLimitExceeded").await, told);
}

fn exited(code: i64) -> Value {
    json!({ "phase": "Failed", "containerStatuses": [{ "name": "web", "image": "a", "imageID": "",
        "ready": false, "restartCount": 0, "state": { "terminated": { "exitCode": code } } }] })
}

#[tokio::test(start_paused = true)]
async fn a_job_fails_or_forgives_as_its_policy_says() {
    let codes = |operator: &str, values: Value| json!({ "operator": operator, "values": values });
    let rules = json!([
        { "action": "Ignore", "onExitCodes": codes("In", json!([7])) },
        { "action": "FailJob", "onExitCodes": codes("NotIn", json!([1])) },
    ]);
    let shop = Shop::open();
    let more = json!({ "backoffLimit": 1, "podFailurePolicy": { "rules": rules } });
    shop.make::<Job>(job("Never", more)).await;
    assert_eq!(
        shop.all::<Job>().await[0]["spec"]["podReplacementPolicy"],
        "Failed"
    );
    shop.pods_are(&exited(7)).await;
    assert!(shop.all::<Job>().await[0]["status"].get("failed").is_none());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let pods = shop.all::<Pod>().await;
    assert_eq!(pods.len(), 2);
    let last = pods.iter().find(|pod| pod["status"]["phase"] != "Failed");
    let name = last.unwrap()["metadata"]["name"].as_str().unwrap();
    shop.pod_is(name, &exited(3)).await;
    settle().await;
    let sum = &shop.all::<Job>().await[0];
    let why = format!(
        "Container web for pod default/{name} failed with exit code 3 matching FailJob rule at index 1"
    );
    for kind in ["FailureTarget", "Failed"] {
        let condition = condition(sum, kind);
        assert_eq!(condition["reason"], "PodFailurePolicy");
        assert_eq!(condition["message"], why.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn each_index_of_a_job_may_have_a_limit_of_its_own() {
    let shop = Shop::open();
    let more = json!({ "completionMode": "Indexed", "completions": 2, "parallelism": 2,
        "backoffLimitPerIndex": 1 });
    shop.make::<Job>(job("Never", more)).await;
    let index = "batch.kubernetes.io/job-completion-index";
    let of = async |wanted: &str| {
        let pods = shop.all::<Pod>().await;
        let mut own = pods.into_iter().filter(|pod| {
            let here = &pod["metadata"]["annotations"][index];
            here == wanted && pod["status"]["phase"] == "Pending"
        });
        own.next().map(|pod| pod["metadata"].clone())
    };
    let name = |metadata: Option<Value>| metadata.unwrap()["name"].as_str().unwrap().to_owned();
    shop.pod_is(&name(of("1").await), &exited(1)).await;
    settle().await;
    assert_eq!(of("1").await, None);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let second = of("1").await.unwrap();
    let count = "batch.kubernetes.io/job-index-failure-count";
    assert_eq!(second["annotations"][count], "1");
    shop.pod_is(&name(Some(second)), &exited(1)).await;
    settle().await;
    let sum = &shop.all::<Job>().await[0];
    assert_eq!(sum["status"]["failedIndexes"], "1");
    assert_eq!(sum["status"]["active"], 1);
    shop.pod_is(&name(of("0").await), &ended("Succeeded")).await;
    settle().await;
    let sum = &shop.all::<Job>().await[0];
    assert_eq!(condition(sum, "Failed")["reason"], "FailedIndexes");
    assert_eq!(sum["status"]["completedIndexes"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_job_succeeds_as_soon_as_its_policy_says() {
    let shop = Shop::open();
    let rules = json!([{ "succeededIndexes": "1-2", "succeededCount": 1 }]);
    let more = json!({ "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": { "rules": rules } });
    shop.make::<Job>(job("Never", more)).await;
    let pods = shop.all::<Pod>().await;
    let index = "batch.kubernetes.io/job-completion-index";
    let leader = pods
        .iter()
        .find(|pod| pod["metadata"]["annotations"][index] == "2");
    let name = leader.unwrap()["metadata"]["name"].as_str().unwrap();
    shop.pod_is(name, &ended("Succeeded")).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let sum = &shop.all::<Job>().await[0];
    let met = condition(sum, "SuccessCriteriaMet");
    assert_eq!(met["reason"], "SuccessPolicy");
    assert_eq!(met["message"], "Matched rules at index 0");
    assert_eq!(sum["status"]["succeeded"], 1);
    assert!(sum["status"].get("active").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_job_is_given_up_when_it_takes_too_long() {
    let shop = Shop::open();
    shop.make::<Job>(job("OnFailure", json!({ "activeDeadlineSeconds": 30 })))
        .await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let sum = &shop.all::<Job>().await[0];
    assert_eq!(condition(sum, "Failed")["reason"], "DeadlineExceeded");
    assert!(shop.all::<Pod>().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_makes_jobs_and_keeps_the_latest() {
    let shop = Shop::open();
    let cron = json!({ "metadata": { "name": "sum" }, "spec": { "schedule": "*/2 * * * *",
        "successfulJobsHistoryLimit": 1, "jobTemplate": { "spec": job("Never", json!({}))["spec"] } } });
    shop.make::<CronJob>(cron).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(names(&shop.all::<Job>().await), ["sum-29453762"]);
    let sum = &shop.all::<CronJob>().await[0];
    assert_eq!(sum["status"]["active"][0]["name"], "sum-29453762");
    shop.pods_are(&ended("Succeeded")).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    shop.pods_are(&ended("Succeeded")).await;
    assert_eq!(names(&shop.all::<Job>().await), ["sum-29453764"]);
    assert_eq!(
        shop.events("SawCompletedJob").await[0],
        "Saw completed job: sum-29453762, condition: Complete"
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_follow_the_pods() {
    let shop = Shop::open();
    let service = json!({ "metadata": { "name": "web" }, "spec": { "selector": { "app": "web" },
        "ports": [{ "name": "web", "port": 80, "targetPort": "http" }, { "name": "x", "port": 90 }] } });
    shop.make::<Service>(service).await;
    shop.make::<ReplicaSet>(workload(1)).await;
    let slices = shop.all::<EndpointSlice>().await;
    let of_web = |slices: &[Value]| -> Value {
        let label = "kubernetes.io/service-name";
        let mut of_web = slices
            .iter()
            .filter(|slice| slice["metadata"]["labels"][label] == "web");
        of_web.next().unwrap().clone()
    };
    assert_eq!(of_web(&slices)["endpoints"], json!([]));
    shop.pods_are(&running()).await;
    let slice = of_web(&shop.all::<EndpointSlice>().await);
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["10.244.1.7"]));
    let serving = json!({ "ready": true, "serving": true, "terminating": false });
    assert_eq!(slice["endpoints"][0]["conditions"], serving);
    assert_eq!(
        slice["ports"],
        json!([{ "name": "web", "port": 8080, "protocol": "TCP" },
            { "name": "x", "port": 90, "protocol": "TCP" }])
    );
    let endpoints = shop.all::<Endpoints>().await;
    assert_eq!(
        endpoints[0]["subsets"][0]["addresses"][0]["ip"],
        "10.244.1.7"
    );

    // A port that the pods do not have leaves the addresses, and no port.
    let change =
        json!({ "spec": { "ports": [{ "name": "web", "port": 80, "targetPort": "none" }] } });
    shop.patch::<Service>("web", change).await;
    let slice = of_web(&shop.all::<EndpointSlice>().await);
    assert_eq!(slice["endpoints"].as_array().unwrap().len(), 1);
    assert!(slice["ports"].is_null());
    assert_eq!(shop.all::<Endpoints>().await[0].get("subsets"), None);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_served_in_its_older_version_too() {
    use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler as Old;
    let shop = Shop::open();
    let scaler = json!({ "metadata": { "name": "web" }, "spec": { "maxReplicas": 3,
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
        "targetCPUUtilizationPercentage": 60 } });
    shop.make::<Old>(scaler).await;
    let new = &shop.all::<HorizontalPodAutoscaler>().await[0];
    let target = &new["spec"]["metrics"][0]["resource"]["target"];
    assert_eq!(target["averageUtilization"], 60);
    let patch = json!({ "spec": { "targetCPUUtilizationPercentage": 70 } });
    shop.patch::<Old>("web", patch).await;
    let old = &shop.all::<Old>().await[0];
    assert_eq!(old["spec"]["targetCPUUtilizationPercentage"], 70);
    assert_eq!(old["spec"]["minReplicas"], 1);
    let conditions = "autoscaling.alpha.kubernetes.io/conditions";
    let told = old["metadata"]["annotations"][conditions].as_str().unwrap();
    assert!(told.contains("FailedGetScale"));
    let new = &shop.all::<HorizontalPodAutoscaler>().await[0];
    assert!(new["metadata"].get("annotations").is_none());
    assert_eq!(condition(new, "AbleToScale")["status"], "False");
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_says_what_it_lacks() {
    let shop = Shop::open();
    let scaler = json!({ "metadata": { "name": "web" }, "spec": { "maxReplicas": 3,
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
        "metrics": [{ "type": "Resource", "resource": { "name": "cpu",
            "target": { "type": "Utilization", "averageUtilization": 50 } } }] } });
    shop.make::<HorizontalPodAutoscaler>(scaler).await;
    let scaler = &shop.all::<HorizontalPodAutoscaler>().await[0];
    let able = condition(scaler, "AbleToScale");
    assert_eq!(able["reason"], "FailedGetScale");
    assert_eq!(
        able["message"],
        "the HPA controller was unable to get the target's current scale: \
        deployments.apps \"web\" not found"
    );
    shop.make::<Deployment>(workload(1)).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let scaler = &shop.all::<HorizontalPodAutoscaler>().await[0];
    assert_eq!(
        condition(scaler, "AbleToScale")["reason"],
        "SucceededGetScale"
    );
    let active = condition(scaler, "ScalingActive");
    assert_eq!(active["reason"], "FailedGetResourceMetric");
    assert!(active["message"].as_str().unwrap().ends_with(
        "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch \
         metrics from resource metrics API: the server could not find the requested resource \
         (get pods.metrics.k8s.io)"
    ));
}
