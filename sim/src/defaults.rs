//! What the API server fills in where an object says nothing.
//!
//! Source: `pkg/apis/*/v1/defaults.go`.

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::quantity;
use crate::value::{at, default, entries, is_true, list, list_mut, set, text};

/// Fills in the defaults of an object.
pub(crate) fn apply(kind: Kind, object: &mut Value) {
    match kind {
        Kind::Pod => {
            if let Some(spec) = object.pointer_mut("/spec") {
                pod_spec(spec);
                default(spec, "/enableServiceLinks", true);
                requests(spec);
            }
            default(
                object,
                "/status",
                json!({ "phase": "Pending", "qosClass": "" }),
            );
            let class = qos(object);
            if text(object, "/status/qosClass").is_empty() {
                set(object, "/status/qosClass", class);
            }
        }
        Kind::Deployment => {
            template(object);
            default(object, "/spec/replicas", 1);
            default(object, "/spec/revisionHistoryLimit", 10);
            default(object, "/spec/progressDeadlineSeconds", 600);
            default(object, "/spec/strategy/type", "RollingUpdate");
            if text(object, "/spec/strategy/type") == "RollingUpdate" {
                default(object, "/spec/strategy/rollingUpdate/maxSurge", "25%");
                default(object, "/spec/strategy/rollingUpdate/maxUnavailable", "25%");
            }
            default(object, "/status", json!({}));
        }
        Kind::ReplicaSet => {
            template(object);
            default(object, "/spec/replicas", 1);
            default(object, "/status", json!({ "replicas": 0 }));
        }
        Kind::ReplicationController => {
            template(object);
            default(object, "/spec/replicas", 1);
            let labels = at(object, "/spec/template/metadata/labels").clone();
            default(object, "/spec/selector", labels);
            default(object, "/status", json!({ "replicas": 0 }));
        }
        Kind::StatefulSet => {
            template(object);
            default(object, "/spec/replicas", 1);
            default(object, "/spec/revisionHistoryLimit", 10);
            default(object, "/spec/podManagementPolicy", "OrderedReady");
            default(object, "/spec/updateStrategy/type", "RollingUpdate");
            if text(object, "/spec/updateStrategy/type") == "RollingUpdate" {
                default(object, "/spec/updateStrategy/rollingUpdate/partition", 0);
            }
            default(
                object,
                "/spec/persistentVolumeClaimRetentionPolicy",
                json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }),
            );
            let claims = list_mut(object, "/spec/volumeClaimTemplates");
            for claim in claims.into_iter().flatten() {
                default(claim, "/apiVersion", "v1");
                default(claim, "/kind", "PersistentVolumeClaim");
                default(claim, "/spec/volumeMode", "Filesystem");
                default(claim, "/status", json!({ "phase": "Pending" }));
            }
            default(
                object,
                "/status",
                json!({ "replicas": 0, "availableReplicas": 0 }),
            );
        }
        Kind::DaemonSet => {
            template(object);
            default(object, "/spec/revisionHistoryLimit", 10);
            default(object, "/spec/updateStrategy/type", "RollingUpdate");
            if text(object, "/spec/updateStrategy/type") == "RollingUpdate" {
                default(
                    object,
                    "/spec/updateStrategy/rollingUpdate/maxUnavailable",
                    1,
                );
                default(object, "/spec/updateStrategy/rollingUpdate/maxSurge", 0);
            }
            default(
                object,
                "/status",
                json!({ "currentNumberScheduled": 0, "desiredNumberScheduled": 0,
                    "numberMisscheduled": 0, "numberReady": 0 }),
            );
        }
        Kind::Job => {
            job(object);
            default(object, "/status", json!({}));
        }
        Kind::CronJob => {
            default(object, "/spec/concurrencyPolicy", "Allow");
            default(object, "/spec/suspend", false);
            default(object, "/spec/successfulJobsHistoryLimit", 3);
            default(object, "/spec/failedJobsHistoryLimit", 1);
            default(object, "/spec/jobTemplate/metadata", json!({}));
            default(
                object,
                "/spec/jobTemplate/spec/template/metadata",
                json!({}),
            );
            if let Some(spec) = object.pointer_mut("/spec/jobTemplate/spec/template/spec") {
                pod_spec(spec);
            }
            default(object, "/status", json!({}));
        }
        Kind::Service => {
            default(object, "/spec/type", "ClusterIP");
            default(object, "/spec/sessionAffinity", "None");
            if text(object, "/spec/type") != "ExternalName" {
                default(object, "/spec/internalTrafficPolicy", "Cluster");
            }
            if matches!(text(object, "/spec/type"), "NodePort" | "LoadBalancer") {
                default(object, "/spec/externalTrafficPolicy", "Cluster");
            }
            if text(object, "/spec/type") == "LoadBalancer" {
                default(object, "/spec/allocateLoadBalancerNodePorts", true);
            }
            for port in list_mut(object, "/spec/ports").into_iter().flatten() {
                default(port, "/protocol", "TCP");
                let number = at(port, "/port").clone();
                default(port, "/targetPort", number);
            }
            default(object, "/status", json!({ "loadBalancer": {} }));
        }
        Kind::Namespace => {
            default(object, "/spec/finalizers", json!(["kubernetes"]));
            default(object, "/status", json!({ "phase": "Active" }));
            let name = text(object, "/metadata/name").to_owned();
            set(
                object,
                "/metadata/labels/kubernetes.io~1metadata.name",
                name,
            );
        }
        Kind::Secret => {
            default(object, "/type", "Opaque");
            let plain: Vec<(String, String)> = entries(object, "/stringData")
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect();
            for (key, value) in plain {
                let path = format!("/data/{}", key.replace('~', "~0").replace('/', "~1"));
                set(object, &path, base64(value.as_bytes()));
            }
            crate::value::remove(object, "/stringData");
        }
        Kind::PersistentVolumeClaim => {
            default(object, "/spec/volumeMode", "Filesystem");
            default(object, "/status", json!({ "phase": "Pending" }));
            amounts(object, "/spec/resources/requests");
        }
        Kind::PersistentVolume => {
            default(object, "/spec/volumeMode", "Filesystem");
            default(object, "/spec/persistentVolumeReclaimPolicy", "Retain");
            default(object, "/status", json!({ "phase": "Pending" }));
            if at(object, "/spec/hostPath").is_object() {
                default(object, "/spec/hostPath/type", "");
            }
            amounts(object, "/spec/capacity");
        }
        Kind::StorageClass => {
            default(object, "/reclaimPolicy", "Delete");
            default(object, "/volumeBindingMode", "Immediate");
        }
        Kind::ResourceQuota => {
            amounts(object, "/spec/hard");
            default(object, "/status", json!({}));
        }
        Kind::NetworkPolicy => {
            if at(object, "/spec/policyTypes").is_null() {
                let types = if at(object, "/spec/egress").is_array() {
                    json!(["Ingress", "Egress"])
                } else {
                    json!(["Ingress"])
                };
                set(object, "/spec/policyTypes", types);
            }
            for direction in ["/spec/ingress", "/spec/egress"] {
                for rule in list_mut(object, direction).into_iter().flatten() {
                    for port in list_mut(rule, "/ports").into_iter().flatten() {
                        default(port, "/protocol", "TCP");
                    }
                }
            }
        }
        Kind::PodDisruptionBudget => default(
            object,
            "/status",
            json!({ "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0,
                "expectedPods": 0 }),
        ),
        Kind::HorizontalPodAutoscaler => {
            default(object, "/spec/minReplicas", 1);
            let target = json!({ "type": "Utilization", "averageUtilization": 80 });
            let cpu =
                json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
            default(object, "/spec/metrics", json!([cpu]));
            default(
                object,
                "/status",
                json!({ "currentMetrics": null, "desiredReplicas": 0 }),
            );
        }
        Kind::PriorityClass => default(object, "/preemptionPolicy", "PreemptLowerPriority"),
        Kind::RoleBinding | Kind::ClusterRoleBinding => {
            default(object, "/roleRef/apiGroup", "rbac.authorization.k8s.io");
            for subject in list_mut(object, "/subjects").into_iter().flatten() {
                if matches!(text(subject, "/kind"), "User" | "Group") {
                    default(subject, "/apiGroup", "rbac.authorization.k8s.io");
                }
            }
        }
        Kind::LimitRange => {
            for limit in list_mut(object, "/spec/limits").into_iter().flatten() {
                for field in ["max", "min", "default", "defaultRequest"] {
                    amounts(limit, &format!("/{field}"));
                }
                if text(limit, "/type") == "Container" {
                    for (field, from) in [
                        ("default", "max"),
                        ("defaultRequest", "default"),
                        ("defaultRequest", "min"),
                    ] {
                        let given: Vec<(String, Value)> = entries(limit, &format!("/{from}"))
                            .map(|(name, amount)| (name.clone(), amount.clone()))
                            .collect();
                        for (resource, amount) in given {
                            let path = format!("/{field}/{}", resource.replace('/', "~1"));
                            default(limit, &path, amount);
                        }
                    }
                }
            }
        }
        Kind::ValidatingWebhookConfiguration | Kind::MutatingWebhookConfiguration => {
            for webhook in list_mut(object, "/webhooks").into_iter().flatten() {
                default(webhook, "/failurePolicy", "Fail");
                default(webhook, "/matchPolicy", "Equivalent");
                default(webhook, "/namespaceSelector", json!({}));
                default(webhook, "/objectSelector", json!({}));
                default(webhook, "/timeoutSeconds", 10);
                if at(webhook, "/clientConfig/service").is_object() {
                    default(webhook, "/clientConfig/service/port", 443);
                }
            }
        }
        Kind::ServiceAccount
        | Kind::ConfigMap
        | Kind::Endpoints
        | Kind::EndpointSlice
        | Kind::Event
        | Kind::Lease
        | Kind::Node
        | Kind::Role
        | Kind::ClusterRole
        | Kind::Ingress
        | Kind::IngressClass
        | Kind::ControllerRevision
        | Kind::PodTemplate
        | Kind::VolumeAttachment
        | Kind::CSINode
        | Kind::CSIDriver
        | Kind::RuntimeClass => {}
    }
}

fn template(object: &mut Value) {
    if let Some(spec) = object.pointer_mut("/spec/template/spec") {
        pod_spec(spec);
    }
}

fn job(object: &mut Value) {
    template(object);
    let is_per_index = !at(object, "/spec/backoffLimitPerIndex").is_null();
    let limit = if is_per_index { i32::MAX } else { 6 };
    default(object, "/spec/backoffLimit", limit);
    if at(object, "/spec/completions").is_null() && at(object, "/spec/parallelism").is_null() {
        set(object, "/spec/completions", 1);
    }
    default(object, "/spec/parallelism", 1);
    default(object, "/spec/completionMode", "NonIndexed");
    default(object, "/spec/suspend", false);
    let replaced = match at(object, "/spec/podFailurePolicy") {
        Value::Null => "TerminatingOrFailed",
        _ => "Failed",
    };
    default(object, "/spec/podReplacementPolicy", replaced);
    let rules = list_mut(object, "/spec/podFailurePolicy/rules");
    for rule in rules.into_iter().flatten() {
        for pattern in list_mut(rule, "/onPodConditions").into_iter().flatten() {
            default(pattern, "/status", "True");
        }
    }
    default(object, "/spec/manualSelector", false);
    if !is_true(object, "/spec/manualSelector") {
        let uid = text(object, "/metadata/uid").to_owned();
        let name = text(object, "/metadata/name").to_owned();
        if !uid.is_empty() && at(object, "/spec/selector").is_null() {
            set(
                object,
                "/spec/selector",
                json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }),
            );
            for (label, value) in [
                ("batch.kubernetes.io~1controller-uid", &uid),
                ("batch.kubernetes.io~1job-name", &name),
                ("controller-uid", &uid),
                ("job-name", &name),
            ] {
                let path = format!("/spec/template/metadata/labels/{label}");
                set(object, &path, value.as_str());
            }
            // A Job without labels has its template's.
            let labels = at(object, "/spec/template/metadata/labels").clone();
            default(object, "/metadata/labels", labels);
        }
    }
}

/// Fills in the defaults of a pod's specification, in a template or in the pod itself.
pub(crate) fn pod_spec(spec: &mut Value) {
    default(spec, "/restartPolicy", "Always");
    default(spec, "/dnsPolicy", "ClusterFirst");
    default(spec, "/schedulerName", "default-scheduler");
    default(spec, "/securityContext", json!({}));
    default(spec, "/terminationGracePeriodSeconds", 30);
    let account = text(spec, "/serviceAccountName").to_owned();
    if !account.is_empty() {
        set(spec, "/serviceAccount", account);
    }
    let host_network = is_true(spec, "/hostNetwork");
    for path in ["/containers", "/initContainers", "/ephemeralContainers"] {
        for container in list_mut(spec, path).into_iter().flatten() {
            let policy = match text(container, "/image") {
                image if latest(image) => "Always",
                _ => "IfNotPresent",
            };
            default(container, "/imagePullPolicy", policy);
            default(container, "/terminationMessagePath", "/dev/termination-log");
            default(container, "/terminationMessagePolicy", "File");
            default(container, "/resources", json!({}));
            amounts(container, "/resources/limits");
            amounts(container, "/resources/requests");
            for port in list_mut(container, "/ports").into_iter().flatten() {
                default(port, "/protocol", "TCP");
                if host_network {
                    let number = at(port, "/containerPort").clone();
                    default(port, "/hostPort", number);
                }
            }
            for variable in list_mut(container, "/env").into_iter().flatten() {
                if at(variable, "/valueFrom/fieldRef").is_object() {
                    default(variable, "/valueFrom/fieldRef/apiVersion", "v1");
                }
            }
            for probe in ["/livenessProbe", "/readinessProbe", "/startupProbe"] {
                if !at(container, probe).is_object() {
                    continue;
                }
                for (field, value) in [
                    ("timeoutSeconds", 1),
                    ("periodSeconds", 10),
                    ("successThreshold", 1),
                    ("failureThreshold", 3),
                ] {
                    default(container, &format!("{probe}/{field}"), value);
                }
                if at(container, &format!("{probe}/httpGet")).is_object() {
                    default(container, &format!("{probe}/httpGet/path"), "/");
                    default(container, &format!("{probe}/httpGet/scheme"), "HTTP");
                }
                if at(container, &format!("{probe}/grpc")).is_object() {
                    default(container, &format!("{probe}/grpc/service"), "");
                }
            }
        }
    }
    for volume in list_mut(spec, "/volumes").into_iter().flatten() {
        for kind in ["configMap", "secret", "projected", "downwardAPI"] {
            if at(volume, &format!("/{kind}")).is_object() {
                default(volume, &format!("/{kind}/defaultMode"), 420);
            }
        }
        if at(volume, "/hostPath").is_object() {
            default(volume, "/hostPath/type", "");
        }
        for source in list_mut(volume, "/projected/sources").into_iter().flatten() {
            if at(source, "/serviceAccountToken").is_object() {
                default(source, "/serviceAccountToken/expirationSeconds", 3600);
            }
        }
        for path in ["/downwardAPI/items"] {
            for item in list_mut(volume, path).into_iter().flatten() {
                if at(item, "/fieldRef").is_object() {
                    default(item, "/fieldRef/apiVersion", "v1");
                }
            }
        }
        let named = volume.as_object().is_some_and(|volume| volume.len() == 1);
        if named {
            set(volume, "/emptyDir", json!({}));
        }
    }
}

/// Requests that a pod leaves out are as large as its limits.
fn requests(spec: &mut Value) {
    for path in ["/containers", "/initContainers"] {
        for container in list_mut(spec, path).into_iter().flatten() {
            let limits: Vec<(String, Value)> = entries(container, "/resources/limits")
                .map(|(name, amount)| (name.clone(), amount.clone()))
                .collect();
            for (resource, amount) in limits {
                let path = format!("/resources/requests/{}", resource.replace('/', "~1"));
                default(container, &path, amount);
            }
        }
    }
}

/// Whether an image reference means the newest: it says `latest`, or no tag and no digest.
fn latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

/// Writes amounts in their shortest form, as the API server does when it reads them.
pub(crate) fn amounts(object: &mut Value, path: &str) {
    let Some(Value::Object(map)) = object.pointer_mut(path) else {
        return;
    };
    for amount in map.values_mut() {
        let written = match &*amount {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        if let Some(nanos) = quantity::parse(&written) {
            *amount = Value::String(quantity::like(&written, nanos));
        }
    }
}

/// How a pod is served when its node runs short.
///
/// Source: `pkg/apis/core/v1/helper/qos/qos.go`.
pub(crate) fn qos(pod: &Value) -> &'static str {
    let mut any = false;
    let mut all = true;
    for path in ["/spec/containers", "/spec/initContainers"] {
        for container in list(pod, path) {
            for resource in ["cpu", "memory"] {
                let amount = |of: &str| {
                    quantity::of(at(container, &format!("/resources/{of}/{resource}")))
                        .filter(|nanos| *nanos > 0)
                };
                let (request, limit) = (amount("requests"), amount("limits"));
                any |= request.is_some() || limit.is_some();
                all &= limit.is_some() && (request.is_none() || request == limit);
            }
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Bytes in base64, as Secrets hold them.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(index).copied().unwrap_or(0));
        }
        for index in 0..4 {
            if index <= chunk.len() {
                let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
                text.push(char::from(letter));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// The bytes that base64 text stands for.
pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for letter in text.bytes().filter(|letter| !letter.is_ascii_whitespace()) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_defaults_are_those_of_a_recorded_one() {
        let mut pod = json!({ "spec": { "containers": [{ "name": "nginx", "image": "nginx:1.28",
            "ports": [{ "containerPort": 80 }],
            "resources": { "requests": { "memory": "65536Ki" } } }] } });
        apply(Kind::Pod, &mut pod);
        assert_eq!(
            pod,
            json!({
                "spec": {
                    "containers": [{
                        "name": "nginx", "image": "nginx:1.28", "imagePullPolicy": "IfNotPresent",
                        "ports": [{ "containerPort": 80, "protocol": "TCP" }],
                        "resources": { "requests": { "memory": "64Mi" } },
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                    }],
                    "dnsPolicy": "ClusterFirst", "enableServiceLinks": true,
                    "restartPolicy": "Always", "schedulerName": "default-scheduler",
                    "securityContext": {}, "terminationGracePeriodSeconds": 30,
                },
                "status": { "phase": "Pending", "qosClass": "Burstable" },
            })
        );
    }

    #[test]
    fn base64_goes_both_ways() {
        for text in ["", "a", "ab", "abc", "abcd"] {
            assert_eq!(unbase64(&base64(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert_eq!(base64(b"admin"), "YWRtaW4=");
    }

    #[test]
    fn images_without_a_tag_are_always_pulled() {
        assert!(latest("busybox") && latest("host:5000/a:latest"));
        assert!(!latest("busybox:1.37") && !latest("a@sha256:00"));
    }
}
