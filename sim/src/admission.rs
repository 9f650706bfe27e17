//! What stands between a checked request and the store: service accounts, priorities, limit
//! ranges, quotas, Pod Security.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::controllers::volumes;
use crate::error::{Refusal, Result};
use crate::kinds::Kind;
use crate::quantity::{self, Nanos};
use crate::value::{
    at, default, entries, int, is_true, list, list_mut, name, namespace, set, text,
};
use crate::world::World;

/// Fills in what the cluster's own objects say of a new one.
pub(crate) fn mutate(world: &mut World, kind: Kind, object: &mut Value) -> Result<()> {
    match kind {
        Kind::Pod => {
            service_account(world, object)?;
            limits(world, object);
            priority(world, object)?;
            runtime_class(world, object)?;
            tolerations(object);
            let class = crate::defaults::qos(object);
            set(object, "/status/qosClass", class);
            if !list(object, "/spec/schedulingGates").is_empty() {
                let now = crate::clock::seconds(world.now());
                let gated = json!([{ "type": "PodScheduled", "status": "False",
                    "lastProbeTime": null, "lastTransitionTime": now, "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates" }]);
                set(object, "/status/conditions", gated);
            }
        }
        Kind::PersistentVolumeClaim => {
            if at(object, "/spec/storageClassName").is_null()
                && let Some(class) = default_class(world)
            {
                set(object, "/spec/storageClassName", class);
            }
            protect(object, volumes::CLAIM_IN_USE);
        }
        Kind::PersistentVolume => protect(object, volumes::VOLUME_IN_USE),
        _ => {}
    }
    Ok(())
}

/// Keeps an object from going while it is used.
///
/// Source: `plugin/pkg/admission/storage/storageobjectinuseprotection/admission.go`.
fn protect(object: &mut Value, finalizer: &str) {
    let mut finalizers = list(object, "/metadata/finalizers").to_vec();
    if !finalizers.iter().any(|present| present == finalizer) {
        finalizers.push(json!(finalizer));
        set(object, "/metadata/finalizers", finalizers);
    }
}

/// The StorageClass of claims that name none.
fn default_class(world: &World) -> Option<String> {
    let path = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    world
        .store
        .list(Kind::StorageClass, None)
        .filter(|class| text(class, path) == "true")
        .max_by(|a, b| {
            text(a, "/metadata/creationTimestamp").cmp(text(b, "/metadata/creationTimestamp"))
        })
        .map(|class| name(class).to_owned())
}

/// Source: `plugin/pkg/admission/serviceaccount/admission.go`.
fn service_account(world: &mut World, pod: &mut Value) -> Result<()> {
    if is_mirror(pod) {
        return Ok(());
    }
    default(pod, "/spec/serviceAccountName", "default");
    let account_name = text(pod, "/spec/serviceAccountName").to_owned();
    set(pod, "/spec/serviceAccount", account_name.as_str());
    let home = namespace(pod).to_owned();
    let Some(account) = world.find(Kind::ServiceAccount, &home, &account_name) else {
        return Err(Refusal::forbidden(
            Kind::Pod,
            called(pod),
            &format!(
                "error looking up service account {home}/{account_name}: serviceaccount \
                 {account_name:?} not found"
            ),
        ));
    };
    if list(pod, "/spec/imagePullSecrets").is_empty()
        && let secrets @ [_, ..] = list(&account, "/imagePullSecrets")
    {
        set(pod, "/spec/imagePullSecrets", secrets.to_vec());
    }
    let mount = match at(pod, "/spec/automountServiceAccountToken") {
        Value::Null => at(&account, "/automountServiceAccountToken") != &json!(false),
        said => said != &json!(false),
    };
    if !mount {
        return Ok(());
    }
    const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let volume = format!("kube-api-access-{}", world.random.suffix(5));
    let mut used = false;
    for group in ["/spec/initContainers", "/spec/containers"] {
        for container in list_mut(pod, group).into_iter().flatten() {
            let mounted = list(container, "/volumeMounts")
                .iter()
                .any(|mount| text(mount, "/mountPath") == TOKEN);
            if !mounted {
                let mut mounts = list(container, "/volumeMounts").to_vec();
                mounts.push(json!({ "name": volume, "readOnly": true, "mountPath": TOKEN }));
                set(container, "/volumeMounts", mounts);
                used = true;
            }
        }
    }
    if used {
        let mut volumes = list(pod, "/spec/volumes").to_vec();
        volumes.push(
            json!({ "name": volume, "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt",
                "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [{ "path": "namespace",
                "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }] } },
        ] } }),
        );
        set(pod, "/spec/volumes", volumes);
    }
    Ok(())
}

/// The name of an object, or what it will begin with.
fn called(object: &Value) -> &str {
    match name(object) {
        "" => text(object, "/metadata/generateName"),
        name => name,
    }
}

fn is_mirror(pod: &Value) -> bool {
    !text(pod, "/metadata/annotations/kubernetes.io~1config.mirror").is_empty()
}

/// Source: `plugin/pkg/admission/priority/admission.go`.
fn priority(world: &World, pod: &mut Value) -> Result<()> {
    let named = text(pod, "/spec/priorityClassName").to_owned();
    let class = if named.is_empty() {
        world
            .store
            .list(Kind::PriorityClass, None)
            .filter(|class| is_true(class, "/globalDefault"))
            .min_by_key(|class| int(class, "/value").unwrap_or(0))
            .cloned()
    } else {
        let Some(class) = world.find(Kind::PriorityClass, "", &named) else {
            let why = format!("no PriorityClass with name {named} was found");
            return Err(Refusal::forbidden(Kind::Pod, called(pod), &why));
        };
        Some(class)
    };
    match class {
        Some(class) => {
            set(pod, "/spec/priorityClassName", name(&class));
            set(pod, "/spec/priority", int(&class, "/value").unwrap_or(0));
            let policy = text(&class, "/preemptionPolicy");
            let policy = if policy.is_empty() {
                "PreemptLowerPriority"
            } else {
                policy
            };
            default(pod, "/spec/preemptionPolicy", policy);
        }
        None => {
            set(pod, "/spec/priority", 0);
            default(pod, "/spec/preemptionPolicy", "PreemptLowerPriority");
        }
    }
    Ok(())
}

/// What a pod's RuntimeClass adds to it: the overhead, and where it can run.
///
/// Source: `plugin/pkg/admission/runtimeclass/admission.go`.
fn runtime_class(world: &World, pod: &mut Value) -> Result<()> {
    let named = text(pod, "/spec/runtimeClassName").to_owned();
    if named.is_empty() {
        return Ok(());
    }
    let refused = |why: &str| Refusal::forbidden(Kind::Pod, called(pod), why);
    let Some(class) = world.find(Kind::RuntimeClass, "", &named) else {
        let why = format!("pod rejected: RuntimeClass {named:?} not found");
        return Err(refused(&why));
    };
    let differs = entries(&class, "/scheduling/nodeSelector").find(|(label, value)| {
        let own = at(pod, "/spec/nodeSelector").get(label.as_str());
        own.is_some_and(|own| own != *value)
    });
    if let Some((label, _)) = differs {
        let why = format!(
            "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {}; \
             pod.spec.nodeSelector[{label}] = {}",
            text(at(&class, "/scheduling/nodeSelector"), &pointer(label)),
            text(at(pod, "/spec/nodeSelector"), &pointer(label)),
        );
        return Err(refused(&why));
    }
    for (label, value) in entries(&class, "/scheduling/nodeSelector") {
        let path = format!("/spec/nodeSelector{}", pointer(label));
        set(pod, &path, value.clone());
    }
    let added = list(&class, "/scheduling/tolerations");
    if !added.is_empty() {
        let own = list(pod, "/spec/tolerations");
        let own = own.iter().filter(|own| !added.contains(own));
        let all: Vec<Value> = own.chain(added).cloned().collect();
        set(pod, "/spec/tolerations", all);
    }
    let overhead = at(&class, "/overhead/podFixed");
    if overhead.is_object() {
        set(pod, "/spec/overhead", overhead.clone());
    }
    Ok(())
}

/// The JSON pointer of a key.
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Source: `plugin/pkg/admission/defaulttolerationseconds/admission.go`.
fn tolerations(pod: &mut Value) {
    let mut all = list(pod, "/spec/tolerations").to_vec();
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let there = all.iter().any(|toleration| {
            let wanted = text(toleration, "/key");
            let effect = text(toleration, "/effect");
            (wanted == key || wanted.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !there {
            all.push(
                json!({ "key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300 }),
            );
        }
    }
    set(pod, "/spec/tolerations", all);
}

/// Fills in a container's requests and limits from the namespace's limit ranges.
fn limits(world: &World, pod: &mut Value) {
    let home = namespace(pod).to_owned();
    for range in world.store.list(Kind::LimitRange, Some(&home)) {
        for limit in list(range, "/spec/limits") {
            if text(limit, "/type") != "Container" {
                continue;
            }
            for group in ["/spec/initContainers", "/spec/containers"] {
                for container in list_mut(pod, group).into_iter().flatten() {
                    let given: Vec<String> = entries(container, "/resources/limits")
                        .map(|(resource, _)| resource.clone())
                        .collect();
                    for (from, to) in [("default", "limits"), ("defaultRequest", "requests")] {
                        for (resource, amount) in entries(limit, &format!("/{from}")) {
                            if to == "requests" && given.contains(resource) {
                                continue;
                            }
                            let path = format!("/resources/{to}/{}", resource.replace('/', "~1"));
                            default(container, &path, amount.clone());
                        }
                    }
                }
            }
        }
    }
}

/// Refuses what the cluster's own objects forbid.
pub(crate) fn check(world: &mut World, kind: Kind, object: &Value) -> Result<()> {
    if kind == Kind::Pod {
        limit_ranges(world, object)?;
        crate::security::check(world, object)?;
    }
    webhooks(world, kind, object)?;
    quotas(world, kind, object)
}

/// Source: `plugin/pkg/admission/limitranger/admission.go`.
fn limit_ranges(world: &World, pod: &Value) -> Result<()> {
    let mut why = Vec::new();
    for range in world.store.list(Kind::LimitRange, Some(namespace(pod))) {
        for limit in list(range, "/spec/limits") {
            let kind = text(limit, "/type");
            let subjects: Vec<(BTreeMap<String, Nanos>, BTreeMap<String, Nanos>)> = match kind {
                "Container" => list(pod, "/spec/containers")
                    .iter()
                    .chain(list(pod, "/spec/initContainers"))
                    .map(|container| {
                        (
                            amounts(container, "/resources/requests"),
                            amounts(container, "/resources/limits"),
                        )
                    })
                    .collect(),
                "Pod" => vec![(
                    sum(pod, "/resources/requests"),
                    sum(pod, "/resources/limits"),
                )],
                _ => continue,
            };
            for (requests, most) in &subjects {
                for (resource, bound) in amounts(limit, "/min") {
                    let said = text(limit, &format!("/min/{}", resource.replace('/', "~1")));
                    match requests.get(&resource) {
                        None => why.push(format!(
                            "minimum {resource} usage per {kind} is {said}.  No request is specified"
                        )),
                        Some(asked) if *asked < bound => why.push(format!(
                            "minimum {resource} usage per {kind} is {said}, but request is {}",
                            quantity::like(said, *asked)
                        )),
                        Some(_) => {}
                    }
                }
                for (resource, bound) in amounts(limit, "/max") {
                    let said = text(limit, &format!("/max/{}", resource.replace('/', "~1")));
                    match most.get(&resource) {
                        None => why.push(format!(
                            "maximum {resource} usage per {kind} is {said}.  No limit is specified"
                        )),
                        Some(asked) if *asked > bound => why.push(format!(
                            "maximum {resource} usage per {kind} is {said}, but limit is {}",
                            quantity::like(said, *asked)
                        )),
                        Some(_) => {}
                    }
                }
            }
        }
    }
    match why.as_slice() {
        [] => Ok(()),
        [one] => Err(Refusal::forbidden(Kind::Pod, name(pod), one)),
        many => {
            let text = format!("[{}]", many.join(", "));
            Err(Refusal::forbidden(Kind::Pod, name(pod), &text))
        }
    }
}

/// The amounts of one map of resources.
pub(crate) fn amounts(object: &Value, path: &str) -> BTreeMap<String, Nanos> {
    entries(object, path)
        .filter_map(|(resource, amount)| Some((resource.clone(), quantity::of(amount)?)))
        .collect()
}

/// What a pod's containers ask for together: the most that runs at one time, and the overhead.
///
/// Source: `staging/src/k8s.io/component-helpers/resource/helpers.go`.
pub(crate) fn sum(pod: &Value, path: &str) -> BTreeMap<String, Nanos> {
    let mut total: BTreeMap<String, Nanos> = BTreeMap::new();
    for container in list(pod, "/spec/containers") {
        for (resource, amount) in amounts(container, path) {
            *total.entry(resource).or_default() += amount;
        }
    }
    let mut sidecars: BTreeMap<String, Nanos> = BTreeMap::new();
    let mut peak: BTreeMap<String, Nanos> = BTreeMap::new();
    for container in list(pod, "/spec/initContainers") {
        let asked = amounts(container, path);
        if text(container, "/restartPolicy") == "Always" {
            for (resource, amount) in asked {
                *total.entry(resource.clone()).or_default() += amount;
                *sidecars.entry(resource.clone()).or_default() += amount;
                let now = sidecars.get(&resource).copied().unwrap_or(0);
                let most = peak.entry(resource).or_default();
                *most = (*most).max(now);
            }
        } else {
            for (resource, amount) in asked {
                let now = amount + sidecars.get(&resource).copied().unwrap_or(0);
                let most = peak.entry(resource).or_default();
                *most = (*most).max(now);
            }
        }
    }
    for (resource, amount) in peak {
        let all = total.entry(resource).or_default();
        *all = (*all).max(amount);
    }
    // What is said of the pod as a whole goes before what its containers say.
    for (resource, amount) in amounts(pod, &format!("/spec{path}")) {
        total.insert(resource, amount);
    }
    for (resource, amount) in amounts(pod, "/spec/overhead") {
        *total.entry(resource).or_default() += amount;
    }
    total
}

/// What one object uses of what quotas count.
pub(crate) fn usage(kind: Kind, object: &Value) -> BTreeMap<String, Nanos> {
    let mut used = BTreeMap::new();
    used.insert(format!("count/{}", kind.resource()), quantity::whole(1));
    let facts = kind.facts();
    if matches!(
        kind,
        Kind::Service
            | Kind::ConfigMap
            | Kind::Secret
            | Kind::PersistentVolumeClaim
            | Kind::ReplicationController
            | Kind::ResourceQuota
    ) {
        used.insert(facts.plural.to_owned(), quantity::whole(1));
    }
    match kind {
        Kind::Pod => {
            if matches!(text(object, "/status/phase"), "Succeeded" | "Failed") {
                return BTreeMap::from([(format!("count/{}", facts.plural), quantity::whole(1))]);
            }
            used.insert("pods".to_owned(), quantity::whole(1));
            for (resource, amount) in sum(object, "/resources/requests") {
                if matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage") {
                    used.insert(resource.clone(), amount);
                }
                used.insert(format!("requests.{resource}"), amount);
            }
            for (resource, amount) in sum(object, "/resources/limits") {
                used.insert(format!("limits.{resource}"), amount);
            }
        }
        Kind::PersistentVolumeClaim => {
            if let Some(amount) = quantity::of(at(object, "/spec/resources/requests/storage")) {
                used.insert("requests.storage".to_owned(), amount);
            }
        }
        Kind::Service => {
            let kind = text(object, "/spec/type");
            for (counted, name) in [
                ("NodePort", "services.nodeports"),
                ("LoadBalancer", "services.loadbalancers"),
            ] {
                if kind == counted {
                    used.insert(name.to_owned(), quantity::whole(1));
                }
            }
        }
        _ => {}
    }
    used
}

/// What a namespace uses of what a quota bounds.
pub(crate) fn used(world: &World, quota: &Value) -> BTreeMap<String, Nanos> {
    let mut total: BTreeMap<String, Nanos> = amounts(quota, "/spec/hard")
        .into_keys()
        .map(|resource| (resource, 0))
        .collect();
    for kind in Kind::ALL
        .iter()
        .copied()
        .filter(|kind| kind.facts().namespaced)
    {
        if kind == Kind::Event || kind == Kind::Lease {
            continue;
        }
        for object in world.store.list(kind, Some(namespace(quota))) {
            if !scoped(quota, kind, object) {
                continue;
            }
            for (resource, amount) in usage(kind, object) {
                if let Some(all) = total.get_mut(&resource) {
                    *all += amount;
                }
            }
        }
    }
    total
}

/// Whether a quota's scopes let it count an object.
fn scoped(quota: &Value, kind: Kind, object: &Value) -> bool {
    let best_effort = text(object, "/status/qosClass") == "BestEffort";
    let terminating = int(object, "/spec/activeDeadlineSeconds").is_some();
    let class = text(object, "/spec/priorityClassName");
    let plain = list(quota, "/spec/scopes").iter().filter_map(Value::as_str);
    let simple = plain.map(|scope| match scope {
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        _ => true,
    });
    let selected = list(quota, "/spec/scopeSelector/matchExpressions")
        .iter()
        .map(|term| {
            let listed = list(term, "/values").iter().any(|value| value == class);
            match (text(term, "/scopeName"), text(term, "/operator")) {
                ("PriorityClass", "In") => listed,
                ("PriorityClass", "NotIn") => !listed,
                ("PriorityClass", "Exists") => !class.is_empty(),
                ("PriorityClass", "DoesNotExist") => class.is_empty(),
                ("BestEffort", _) => best_effort,
                ("NotBestEffort", _) => !best_effort,
                _ => true,
            }
        });
    let mut all = simple.chain(selected).peekable();
    all.peek().is_none() || kind == Kind::Pod && all.all(|fits| fits)
}

/// Source: `staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go`.
fn quotas(world: &mut World, kind: Kind, object: &Value) -> Result<()> {
    if !kind.facts().namespaced || matches!(kind, Kind::Event | Kind::Lease) {
        return Ok(());
    }
    let asked = usage(kind, object);
    let quotas: Vec<_> = world
        .store
        .list(Kind::ResourceQuota, Some(namespace(object)))
        .cloned()
        .collect();
    for quota in quotas {
        if !scoped(&quota, kind, object) {
            continue;
        }
        let hard = amounts(&quota, "/spec/hard");
        if kind == Kind::Pod {
            let mut missing = Vec::new();
            for resource in hard.keys() {
                let (of, plain) = match resource.split_once('.') {
                    Some(("requests", plain)) if plain != "storage" => ("requests", plain),
                    Some(("limits", plain)) => ("limits", plain),
                    None if matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage") => {
                        ("requests", resource.as_str())
                    }
                    _ => continue,
                };
                let lacking: Vec<&str> = list(object, "/spec/containers")
                    .iter()
                    .chain(list(object, "/spec/initContainers"))
                    .filter(|container| {
                        at(container, &format!("/resources/{of}/{plain}")).is_null()
                    })
                    .map(|container| text(container, "/name"))
                    .collect();
                if !lacking.is_empty() {
                    missing.push(format!("{resource} for: {}", lacking.join(",")));
                }
            }
            if !missing.is_empty() {
                let why = format!(
                    "failed quota: {}: must specify {}",
                    name(&quota),
                    missing.join("; ")
                );
                return Err(Refusal::forbidden(kind, name(object), &why));
            }
        }
        let present = used(world, &quota);
        let mut over = Vec::new();
        for (resource, bound) in &hard {
            let more = asked.get(resource).copied().unwrap_or(0);
            let now = present.get(resource).copied().unwrap_or(0);
            if more > 0 && now + more > *bound {
                over.push(resource.clone());
            }
        }
        if !over.is_empty() {
            let write = |which: &dyn Fn(&str) -> Nanos| {
                let each: Vec<String> = over
                    .iter()
                    .map(|resource| {
                        let said = text(
                            &quota,
                            &format!("/spec/hard/{}", resource.replace('/', "~1")),
                        );
                        let style = if resource.contains("memory") || resource.contains("storage") {
                            "i"
                        } else {
                            said
                        };
                        format!("{resource}={}", quantity::like(style, which(resource)))
                    })
                    .collect();
                each.join(",")
            };
            let why = format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                name(&quota),
                write(&|resource| asked.get(resource).copied().unwrap_or(0)),
                write(&|resource| present.get(resource).copied().unwrap_or(0)),
                write(&|resource| hard.get(resource).copied().unwrap_or(0)),
            );
            return Err(Refusal::forbidden(kind, name(object), &why));
        }
    }
    Ok(())
}

/// Refuses where a webhook that fails closed cannot be called. No program of the cluster serves
/// webhooks, so one that selects a request is always out of reach; the words say where it broke.
///
/// Source: `staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook`.
fn webhooks(world: &World, kind: Kind, object: &Value) -> Result<()> {
    let facts = kind.facts();
    if facts.group == "admissionregistration.k8s.io" {
        return Ok(());
    }
    let home = world.find(Kind::Namespace, "", namespace(object));
    for of in [
        Kind::MutatingWebhookConfiguration,
        Kind::ValidatingWebhookConfiguration,
    ] {
        for configuration in world.store.list(of, None) {
            for webhook in list(configuration, "/webhooks") {
                let rules = list(webhook, "/rules").iter().any(|rule| {
                    let says = |field: &str, wanted: &str| {
                        list(rule, field)
                            .iter()
                            .any(|one| one == wanted || one == "*")
                    };
                    says("/operations", "CREATE")
                        && says("/apiGroups", facts.group)
                        && says("/apiVersions", facts.version)
                        && says("/resources", facts.plural)
                });
                let selects = |path: &str, object: &Value| {
                    crate::selector::Labels::of(at(webhook, path))
                        .is_none_or(|labels| labels.select(object))
                };
                let here = match &home {
                    Some(home) => selects("/namespaceSelector", home),
                    None => true,
                };
                if !rules
                    || !here
                    || !selects("/objectSelector", object)
                    || text(webhook, "/failurePolicy") == "Ignore"
                {
                    continue;
                }
                let called = text(webhook, "/name");
                let seconds = int(webhook, "/timeoutSeconds").unwrap_or(10);
                let why = match at(webhook, "/clientConfig/service") {
                    Value::Null => {
                        let url = text(webhook, "/clientConfig/url");
                        format!("Post \"{url}?timeout={seconds}s\": context deadline exceeded")
                    }
                    service => {
                        let (at_home, service_name) =
                            (text(service, "/namespace"), text(service, "/name"));
                        let url = format!(
                            "https://{service_name}.{at_home}.svc:{}{}?timeout={seconds}s",
                            int(service, "/port").unwrap_or(443),
                            text(service, "/path")
                        );
                        if world.find(Kind::Service, at_home, service_name).is_none() {
                            format!("Post {url:?}: service {service_name:?} not found")
                        } else if !world.network.has_endpoints(world, at_home, service_name) {
                            format!(
                                "Post {url:?}: no endpoints available for service {service_name:?}"
                            )
                        } else {
                            format!("Post {url:?}: context deadline exceeded")
                        }
                    }
                };
                return Err(Refusal::internal(format!(
                    "failed calling webhook {called:?}: failed to call webhook: {why}"
                )));
            }
        }
    }
    Ok(())
}
