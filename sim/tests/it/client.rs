//! kube-rs, in the process and in virtual time.

use std::time::Duration;

use crashbook_sim::{Cluster, Config};
use futures::StreamExt;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Pod, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, EvictParams, GroupVersionKind, ListParams,
    Patch, PatchParams, PostParams,
};
use kube::runtime::watcher;
use serde_json::{Value, json};

fn cluster() -> (Cluster, kube::Client) {
    let cluster = Cluster::start(Config::default());
    let client = kube::Client::new(cluster.router(), "default");
    (cluster, client)
}

fn map(name: &str, value: &str) -> ConfigMap {
    let map = json!({ "metadata": { "name": name, "labels": { "of": name } },
        "data": { "key": value } });
    serde_json::from_value(map).unwrap()
}

fn code(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn objects_are_made_listed_changed_and_deleted() {
    let (_cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let made = maps
        .create(&PostParams::default(), &map("a", "1"))
        .await
        .unwrap();
    let twice = maps
        .create(&PostParams::default(), &map("a", "1"))
        .await
        .unwrap_err();
    assert_eq!(code(twice), (409, "AlreadyExists".to_owned()));

    let selected = maps
        .list(&ListParams::default().labels("of=a"))
        .await
        .unwrap();
    assert_eq!(selected.items.len(), 1);

    let merge = Patch::Merge(json!({ "data": { "key": "2" } }));
    let changed = maps
        .patch("a", &PatchParams::default(), &merge)
        .await
        .unwrap();
    assert_ne!(
        changed.metadata.resource_version,
        made.metadata.resource_version
    );
    let stale = maps
        .replace("a", &PostParams::default(), &made)
        .await
        .unwrap_err();
    assert_eq!(code(stale), (409, "Conflict".to_owned()));

    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(
        code(maps.get("a").await.unwrap_err()),
        (404, "NotFound".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_no_longer_is_taken_away() {
    let (_cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let apply = async |data: Value| {
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "a" }, "data": data });
        maps.patch("a", &PatchParams::apply("test"), &Patch::Apply(object))
            .await
            .unwrap()
    };
    apply(json!({ "one": "1", "two": "2" })).await;
    let data = apply(json!({ "two": "3" })).await.data.unwrap();
    assert_eq!(
        data.into_iter().collect::<Vec<_>>(),
        [("two".to_owned(), "3".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_in_the_servers_words() {
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
    let (_cluster, client) = cluster();
    let send = async |method: &str, path: &str, kind: &str, body: Value| {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(serde_json::to_vec(&body).unwrap());
        client.request::<Value>(request.unwrap()).await
    };
    let container = json!({ "name": "web", "image": "web:1" });
    let template = json!({ "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [container] } });
    let deployment = |version: &str, kind: &str| {
        json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "web" },
            "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": template } })
    };
    let made = deployment("apps/v1", "Deployment");
    send("POST", DEPLOYMENTS, "application/json", made)
        .await
        .unwrap();
    let pod = json!({ "metadata": { "name": "shell" }, "spec": { "containers": [container] } });
    let pods = "/api/v1/namespaces/default/pods";
    send("POST", pods, "application/json", pod).await.unwrap();
    let web = format!("{DEPLOYMENTS}/web");
    let wrong = json!({ "spec": { "replicas": "x" } });
    let strategic = "application/strategic-merge-patch+json";
    let merge = "application/merge-patch+json";
    let mistyped = {
        let mut object = deployment("apps/v1", "Deployment");
        object["spec"]["replicas"] = json!("x");
        object
    };
    let cases = [
        (
            ("PATCH", web.as_str(), strategic, wrong.clone()),
            (
                422,
                " \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:x]]\": unrecognized type: int32",
            ),
        ),
        (
            ("PATCH", &web, merge, json!([])),
            (
                400,
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
        ),
        (
            ("PATCH", &web, "application/json-patch+json", json!({})),
            (
                400,
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
        ),
        (
            ("POST", DEPLOYMENTS, "application/json", mistyped),
            (
                400,
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
        ),
        (
            (
                "POST",
                DEPLOYMENTS,
                "application/json",
                deployment("apps/v9", "Deployment"),
            ),
            (
                400,
                "Deployment in version \"v9\" cannot be handled as a Deployment: no kind \"Deployment\" is registered for version \"apps/v9\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            ),
        ),
        (
            (
                "POST",
                DEPLOYMENTS,
                "application/json",
                deployment("v1", "Pod"),
            ),
            (
                400,
                "the API version in the data (v1) does not match the expected API version (apps/v1)",
            ),
        ),
        (
            (
                "POST",
                DEPLOYMENTS,
                "application/json",
                deployment("apps/v1", "ReplicaSet"),
            ),
            (
                400,
                "ReplicaSet in version \"v1\" cannot be handled as a Deployment: converting (v1.ReplicaSet) to (apps.Deployment): unknown conversion",
            ),
        ),
        (
            (
                "POST",
                "/api/v1/namespaces/default/pods/none/exec",
                "",
                Value::Null,
            ),
            (404, "pods \"none\" not found"),
        ),
        (
            (
                "POST",
                "/api/v1/namespaces/default/pods/shell/exec?container=other",
                "",
                Value::Null,
            ),
            (400, "container other is not valid for pod shell"),
        ),
        (
            (
                "POST",
                "/api/v1/namespaces/default/pods/shell/portforward",
                "",
                Value::Null,
            ),
            (400, "pod shell does not have a host assigned"),
        ),
    ];
    for ((method, path, kind, body), expected) in cases {
        match send(method, path, kind, body).await {
            Err(kube::Error::Api(status)) => {
                assert_eq!((status.code, status.message.as_str()), expected, "{path}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
    let said = match send("PATCH", &web, merge, wrong).await {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => panic!("{other:?}"),
    };
    assert!(
        said.starts_with(" \"\" is invalid: patch: Invalid value: \"{"),
        "{said}"
    );
    let end = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type \
         int32";
    assert!(said.ends_with(end), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_roles_of_every_cluster_are_there_and_grow() {
    use k8s_openapi::api::rbac::v1::ClusterRole;
    let (_cluster, client) = cluster();
    let roles: Api<ClusterRole> = Api::all(client);
    let may = async |role: &str, verb: &str, resource: &str| {
        let role = roles.get(role).await.unwrap();
        role.rules.into_iter().flatten().any(|rule| {
            let resources = rule.resources.unwrap_or_default();
            resources.iter().any(|one| one == resource) && rule.verbs.iter().any(|one| one == verb)
        })
    };
    for (role, verb, resource, expected) in [
        ("view", "get", "pods", true),
        ("view", "get", "secrets", false),
        ("view", "delete", "pods", false),
        ("edit", "get", "secrets", true),
        ("edit", "list", "deployments", true),
        ("edit", "create", "roles", false),
        ("admin", "create", "roles", true),
        ("admin", "patch", "deployments", true),
    ] {
        assert_eq!(
            may(role, verb, resource).await,
            expected,
            "{role} {verb} {resource}"
        );
    }
    let more = json!({
        "metadata": { "name": "more",
            "labels": { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
        "rules": [{ "apiGroups": ["shop"], "resources": ["orders"], "verbs": ["get"] }],
    });
    let more = serde_json::from_value(more).unwrap();
    roles.create(&PostParams::default(), &more).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for role in ["view", "edit", "admin"] {
        assert!(may(role, "get", "orders").await, "{role}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_lists_come_in_pages() {
    let (_cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for index in 0..7 {
        maps.create(&PostParams::default(), &map(&format!("m{index}"), ""))
            .await
            .unwrap();
    }
    let mut params = ListParams::default().limit(3);
    let mut names = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        assert!(page.items.len() <= 3);
        names.extend(page.items.into_iter().filter_map(|map| map.metadata.name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    names.retain(|name| name.starts_with('m'));
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_what_changes_and_outlives_a_compaction() {
    let (cluster, client) = cluster();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let only = watcher::Config::default().labels("of=a").timeout(10);
    let mut seen = watcher(maps.clone(), only).boxed();
    let next = async |seen: &mut futures::stream::BoxStream<'_, _>| {
        let event = tokio::time::timeout(Duration::from_secs(120), seen.next()).await;
        event.unwrap().unwrap()
    };
    assert!(matches!(next(&mut seen).await, Ok(watcher::Event::Init)));
    assert!(matches!(
        next(&mut seen).await,
        Ok(watcher::Event::InitDone)
    ));
    maps.create(&PostParams::default(), &map("b", ""))
        .await
        .unwrap();
    maps.create(&PostParams::default(), &map("a", ""))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut seen).await,
        Ok(watcher::Event::Apply(_))
    ));
    cluster.compact();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let mut gone = false;
    for _ in 0..10 {
        match next(&mut seen).await {
            Ok(watcher::Event::Delete(_) | watcher::Event::InitDone) => {
                gone = true;
                break;
            }
            _ => continue,
        }
    }
    assert!(gone);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_what_is_in_it_along() {
    let (_cluster, client) = cluster();
    let spaces: Api<Namespace> = Api::all(client.clone());
    let space = json!({ "metadata": { "name": "shop" } });
    let space = serde_json::from_value(space).unwrap();
    spaces.create(&PostParams::default(), &space).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "shop");
    maps.create(&PostParams::default(), &map("a", ""))
        .await
        .unwrap();
    spaces
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    let gone = async {
        while spaces.get_opt("shop").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn roles_say_what_others_than_the_administrator_may_do() {
    let (_cluster, client) = cluster();
    let post = async |path: &str, body: Value| -> Value {
        let request = http::Request::post(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).unwrap();
        client.request(request).await.unwrap()
    };
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let rules = json!([
        { "apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"] },
        { "apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["*"] },
        { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["own"] },
    ]);
    let role = json!({ "metadata": { "name": "reader" }, "rules": rules });
    post(&format!("{rbac}/namespaces/default/roles"), role).await;
    let binding = json!({ "metadata": { "name": "readers" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
        "subjects": [{ "kind": "ServiceAccount", "name": "app", "namespace": "default" }] });
    post(&format!("{rbac}/namespaces/default/rolebindings"), binding).await;
    let role = json!({ "metadata": { "name": "health" },
        "rules": [{ "nonResourceURLs": ["/healthz/*"], "verbs": ["get"] }] });
    post(&format!("{rbac}/clusterroles"), role).await;
    let binding = json!({ "metadata": { "name": "everybody" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "health" },
        "subjects": [{ "kind": "Group", "name": "system:serviceaccounts",
            "apiGroup": "rbac.authorization.k8s.io" }] });
    post(&format!("{rbac}/clusterrolebindings"), binding).await;

    let review = async |user: &str, spec: Value| -> Value {
        let mut spec = spec;
        spec["user"] = json!(user);
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        post(path, json!({ "spec": spec })).await["status"].clone()
    };
    let app = "system:serviceaccount:default:app";
    for (user, verb, group, resource, name, namespace, allowed) in [
        (app, "list", "", "pods", "", "default", true),
        (app, "list", "", "pods", "", "kube-system", false),
        (app, "list", "", "pods", "", "", false),
        (app, "delete", "", "pods", "", "default", false),
        (app, "get", "", "pods/log", "a", "default", true),
        (
            app,
            "update",
            "apps",
            "deployments/scale",
            "a",
            "default",
            true,
        ),
        (app, "update", "apps", "deployments", "a", "default", false),
        (app, "get", "", "secrets", "own", "default", true),
        (app, "get", "", "secrets", "other", "default", false),
        (
            "system:serviceaccount:default:other",
            "list",
            "",
            "pods",
            "",
            "default",
            false,
        ),
        ("jane", "list", "", "pods", "", "default", false),
    ] {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let of = json!({ "verb": verb, "group": group, "resource": resource, "subresource": sub,
            "name": name, "namespace": namespace });
        let told = review(user, json!({ "resourceAttributes": of })).await;
        assert_eq!(
            told["allowed"], allowed,
            "{user} {verb} {resource} {sub} {name} {namespace}"
        );
    }
    let told = review(
        app,
        json!({ "resourceAttributes":
        { "verb": "list", "resource": "pods", "namespace": "default" } }),
    );
    assert_eq!(
        told.await["reason"],
        "RBAC: allowed by RoleBinding \"readers/default\" of Role \"reader\" to ServiceAccount \
         \"app/default\""
    );
    let path = json!({ "nonResourceAttributes": { "path": "/healthz/etcd", "verb": "get" } });
    assert_eq!(review(app, path.clone()).await["allowed"], true);
    assert_eq!(review("jane", path).await["allowed"], false);

    let asked =
        json!({ "spec": { "resourceAttributes": { "verb": "create", "resource": "pods" } } });
    let asked: SelfSubjectAccessReview = serde_json::from_value(asked).unwrap();
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let told = reviews.create(&PostParams::default(), &asked).await;
    assert!(told.unwrap().status.unwrap().allowed);

    let in_the_name = async |path: &str| {
        let request = http::Request::get(path).header("impersonate-user", app);
        client
            .request::<Value>(request.body(Vec::new()).unwrap())
            .await
    };
    in_the_name("/api/v1/namespaces/default/pods")
        .await
        .unwrap();
    for (path, expected) in [
        (
            "/api/v1/namespaces/default/configmaps",
            "configmaps is forbidden: User \"system:serviceaccount:default:app\" cannot list \
             resource \"configmaps\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "/api/v1/nodes/a",
            "nodes \"a\" is forbidden: User \"system:serviceaccount:default:app\" cannot get \
             resource \"nodes\" in API group \"\" at the cluster scope",
        ),
    ] {
        let Err(kube::Error::Api(status)) = in_the_name(path).await else {
            panic!("{path} is answered");
        };
        assert_eq!((status.code, status.message.as_str()), (403, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_and_a_pod_of_no_node_are_gone_when_deleted() {
    let (_cluster, client) = cluster();
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let claim = json!({ "metadata": { "name": "a" }, "spec": { "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Gi" } } } });
    let claim = serde_json::from_value(claim).unwrap();
    let made = claims.create(&PostParams::default(), &claim).await.unwrap();
    let class = made.spec.and_then(|spec| spec.storage_class_name);
    assert_eq!(class.as_deref(), Some("standard"));
    claims.delete("a", &DeleteParams::default()).await.unwrap();
    // Who keeps claims that are in use lets it go.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(claims.get_opt("a").await.unwrap().is_none());

    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = json!({ "metadata": { "name": "a" },
        "spec": { "containers": [{ "name": "a", "image": "a:1" }] } });
    let pod = serde_json::from_value(pod).unwrap();
    let made = pods.create(&PostParams::default(), &pod).await.unwrap();
    let tolerated = made.spec.and_then(|spec| spec.tolerations).unwrap();
    let keys: Vec<&str> = tolerated
        .iter()
        .filter_map(|one| one.key.as_deref())
        .collect();
    assert_eq!(
        keys,
        [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable"
        ]
    );
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
    pods.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("a").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn admission_refuses_what_the_clusters_objects_forbid() {
    let bound = |kind: &str, version: &str, spec: Value| {
        json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "bound" },
            "spec": spec })
    };
    let quota = bound("ResourceQuota", "v1", json!({ "hard": { "pods": "0" } }));
    let most = json!({ "limits": [{ "type": "Container", "max": { "cpu": "1" } }] });
    let range = bound("LimitRange", "v1", most);
    let hook = json!({ "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration", "metadata": { "name": "hook" },
        "webhooks": [{ "name": "hook.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": { "service": { "namespace": "shop", "name": "hook" } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
                "operations": ["CREATE"] }] }] });
    let resources = |cpu: &str| json!({ "limits": { "cpu": cpu } });
    let cases = [
        (None, json!({}), json!({}), None),
        (
            Some(quota),
            json!({}),
            json!({}),
            Some("exceeded quota: bound"),
        ),
        (
            Some(range.clone()),
            json!({}),
            json!({ "resources": resources("2") }),
            Some("maximum cpu usage per Container is 1, but limit is 2"),
        ),
        (
            Some(range),
            json!({}),
            json!({ "resources": resources("500m") }),
            None,
        ),
        (
            None,
            json!({ "priorityClassName": "none" }),
            json!({}),
            Some("no PriorityClass with name none was found"),
        ),
        (
            None,
            json!({ "serviceAccountName": "none" }),
            json!({}),
            Some("error looking up service account shop/none"),
        ),
        (
            None,
            json!({}),
            json!({ "securityContext": { "privileged": true } }),
            Some("violates PodSecurity \"baseline:latest\": privileged"),
        ),
        (
            None,
            json!({}),
            json!({ "securityContext": { "capabilities": { "add": ["NET_ADMIN", "CHOWN"] } } }),
            Some("non-default capabilities (container \"a\" must not include \"NET_ADMIN\" in"),
        ),
        (
            Some(hook),
            json!({}),
            json!({}),
            Some("failed calling webhook \"hook.example.com\""),
        ),
    ];
    for (bound, mut spec, mut container, expected) in cases {
        let (_cluster, client) = cluster();
        let spaces: Api<Namespace> = Api::all(client.clone());
        let level = json!({ "pod-security.kubernetes.io/enforce": "baseline" });
        let space = json!({ "metadata": { "name": "shop", "labels": level } });
        let space = serde_json::from_value(space).unwrap();
        spaces.create(&PostParams::default(), &space).await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
        let provided = async {
            while accounts.get_opt("default").await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let provided = tokio::time::timeout(Duration::from_secs(10), provided).await;
        provided.unwrap();
        if let Some(bound) = bound {
            let bound: DynamicObject = serde_json::from_value(bound).unwrap();
            let kind = GroupVersionKind::try_from(bound.types.as_ref().unwrap()).unwrap();
            let resource = ApiResource::from_gvk(&kind);
            let bounds: Api<DynamicObject> = if kind.group.is_empty() {
                Api::namespaced_with(client.clone(), "shop", &resource)
            } else {
                Api::all_with(client.clone(), &resource)
            };
            bounds.create(&PostParams::default(), &bound).await.unwrap();
        }
        container["name"] = json!("a");
        container["image"] = json!("a:1");
        spec["containers"] = json!([container]);
        let pod = json!({ "metadata": { "name": "a" }, "spec": spec });
        let pods: Api<Pod> = Api::namespaced(client, "shop");
        let pod = serde_json::from_value(pod).unwrap();
        let told = pods.create(&PostParams::default(), &pod).await;
        let told = told.err().map(|error| error.to_string());
        match (&told, expected) {
            (None, None) => {}
            (Some(told), Some(expected)) if told.contains(expected) => {}
            _ => panic!("expected {expected:?}, not {told:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_holds_back_an_eviction() {
    let (_cluster, client) = cluster();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({ "metadata": { "name": "a", "labels": { "app": "a" } },
        "spec": { "containers": [{ "name": "a", "image": "a:1" }] } });
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let running = Patch::Merge(json!({ "status": { "phase": "Running" } }));
    let params = PatchParams::default();
    pods.patch_status("a", &params, &running).await.unwrap();
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(client);
    let budget = json!({ "metadata": { "name": "b" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } } } });
    let budget = serde_json::from_value(budget).unwrap();
    budgets
        .create(&PostParams::default(), &budget)
        .await
        .unwrap();
    let held = pods.evict("a", &EvictParams::default()).await.unwrap_err();
    assert_eq!(code(held), (429, "TooManyRequests".to_owned()));
    budgets.delete("b", &DeleteParams::default()).await.unwrap();
    pods.evict("a", &EvictParams::default()).await.unwrap();
    assert!(pods.get_opt("a").await.unwrap().is_none());
}
