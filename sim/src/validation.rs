//! What the API server refuses.
//!
//! Source: `pkg/apis/core/validation/validation.go` and its neighbours.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::Wrong;
use crate::kinds::Kind;
use crate::quantity;
use crate::selector::Labels;
use crate::value::{at, entries, int, list, text};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
    or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
    regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or \
    '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
    'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUANTITY: &str = "quantities must match the regular expression \
    '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Everything that is wrong with an object; `before` is what it is put in place of.
pub(crate) fn check(kind: Kind, object: &Value, before: Option<&Value>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    metadata(kind, object, &mut wrong);
    match kind {
        Kind::Pod => {
            match before {
                None => pod_spec(at(object, "/spec"), "spec", &mut wrong),
                Some(before) => pod_update(object, before, &mut wrong),
            };
        }
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => {
            workload(kind, object, before, &mut wrong);
        }
        Kind::ReplicationController => template(object, "spec.template", &["Always"], &mut wrong),
        Kind::Job => {
            let policies = ["OnFailure", "Never"];
            template(object, "spec.template", &policies, &mut wrong);
            job_policies(object, &mut wrong);
            if let Some(before) = before
                && at(before, "/spec/template") != at(object, "/spec/template")
            {
                wrong.push(immutable("spec.template", at(object, "/spec/template")));
            }
        }
        Kind::CronJob => {
            let schedule = at(object, "/spec/schedule");
            match schedule.as_str() {
                None | Some("") => wrong.push(Wrong::required("spec.schedule", "")),
                Some(line) => {
                    if let Err(why) = crate::cron::Schedule::parse(line) {
                        wrong.push(Wrong::invalid("spec.schedule", schedule, &why));
                    }
                }
            }
            let inner = json!({ "spec": at(object, "/spec/jobTemplate/spec") });
            let policies = ["OnFailure", "Never"];
            template(
                &inner,
                "spec.jobTemplate.spec.template",
                &policies,
                &mut wrong,
            );
        }
        Kind::Service => service(object, before, &mut wrong),
        Kind::ConfigMap | Kind::Secret => {
            let immutable_now =
                before.is_some_and(|before| at(before, "/immutable") == &json!(true));
            for path in ["/data", "/binaryData"] {
                for (key, _) in entries(object, path) {
                    let fine = !key.is_empty()
                        && key.len() <= 253
                        && key
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
                    if !fine {
                        let field = format!("{}[{key}]", &path[1..]);
                        wrong.push(Wrong::invalid(
                            field,
                            &json!(key),
                            "a valid config key must consist of alphanumeric characters, '-', '_' \
                             or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used \
                             for validation is '[-._a-zA-Z0-9]+')",
                        ));
                    }
                }
                if let (true, Some(before)) = (immutable_now, before)
                    && at(before, path) != at(object, path)
                {
                    wrong.push(Wrong::forbidden(
                        &path[1..],
                        "field is immutable when `immutable` is set",
                    ));
                }
            }
        }
        Kind::PersistentVolumeClaim => claim(object, before, &mut wrong),
        Kind::PersistentVolume => {
            if list(object, "/spec/accessModes").is_empty() {
                wrong.push(Wrong::required("spec.accessModes", ""));
            }
            if at(object, "/spec/capacity/storage").is_null() {
                wrong.push(Wrong::required("spec.capacity", ""));
            }
        }
        Kind::ResourceQuota => amounts(object, "/spec/hard", "spec.hard", &mut wrong),
        Kind::NetworkPolicy => {
            for direction in ["ingress", "egress"] {
                for (i, rule) in list(object, &format!("/spec/{direction}"))
                    .iter()
                    .enumerate()
                {
                    for (j, port) in list(rule, "/ports").iter().enumerate() {
                        if let Some(number) = int(port, "/port")
                            && !(1..=65535).contains(&number)
                        {
                            let field = format!("spec.{direction}[{i}].ports[{j}].port");
                            wrong.push(range(field, number));
                        }
                    }
                }
            }
        }
        Kind::StorageClass if text(object, "/provisioner").is_empty() => {
            wrong.push(Wrong::required("provisioner", ""));
        }
        Kind::HorizontalPodAutoscaler => {
            let most = int(object, "/spec/maxReplicas").unwrap_or(0);
            let field = "spec.maxReplicas";
            wrong.extend(
                (most < 1).then(|| Wrong::invalid(field, &json!(most), "must be greater than 0")),
            );
        }
        Kind::PriorityClass => {
            if let Some(before) = before
                && at(before, "/value") != at(object, "/value")
            {
                wrong.push(Wrong::forbidden(
                    "value",
                    "may not be changed in an update.",
                ));
            }
        }
        _ => {}
    }
    wrong
}

fn metadata(kind: Kind, object: &Value, wrong: &mut Vec<Wrong>) {
    let name = at(object, "/metadata/name");
    match name.as_str() {
        None | Some("") => {
            let field = "metadata.name";
            let why = "name or generateName is required";
            wrong.push(Wrong::required(field, why));
        }
        Some(text) => {
            let why = match kind {
                Kind::Namespace if !label(text) => Some(LABEL),
                Kind::Service
                    if !label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) =>
                {
                    Some(LABEL_1035)
                }
                Kind::Role | Kind::RoleBinding | Kind::ClusterRole | Kind::ClusterRoleBinding => {
                    None
                }
                _ if !subdomain(text) => Some(SUBDOMAIN),
                _ => None,
            };
            if let Some(why) = why {
                wrong.push(Wrong::invalid("metadata.name", name, why));
            }
        }
    }
    labels(object, "/metadata/labels", "metadata.labels", wrong);
}

fn labels(object: &Value, path: &str, field: &str, wrong: &mut Vec<Wrong>) {
    for (_, value) in entries(object, path) {
        let fine = value.as_str().is_some_and(|value| {
            value.len() <= 63
                && value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !value.starts_with(['-', '_', '.'])
                && !value.ends_with(['-', '_', '.'])
        });
        if !fine {
            wrong.push(Wrong::invalid(field, value, LABEL_VALUE));
        }
    }
}

/// Whether a text is a DNS label of RFC 1123.
pub(crate) fn label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
}

fn immutable(field: &str, value: &Value) -> Wrong {
    Wrong::invalid(field, value, "field is immutable")
}

fn range(field: String, number: i64) -> Wrong {
    Wrong::invalid(
        field,
        &json!(number),
        "must be between 1 and 65535, inclusive",
    )
}

fn workload(kind: Kind, object: &Value, before: Option<&Value>, wrong: &mut Vec<Wrong>) {
    let selector = at(object, "/spec/selector");
    if selector.is_null() {
        wrong.push(Wrong::required("spec.selector", ""));
    } else if let Some(parsed) = Labels::of(selector) {
        if parsed.is_empty() {
            let why = "empty selector is invalid for deployment";
            wrong.push(Wrong::invalid("spec.selector", selector, why));
        }
        let labels = at(object, "/spec/template/metadata/labels");
        if !parsed.matches(labels) {
            wrong.push(Wrong::invalid(
                "spec.template.metadata.labels",
                labels,
                "`selector` does not match template `labels`",
            ));
        }
    }
    if let Some(replicas) = int(object, "/spec/replicas")
        && replicas < 0
    {
        wrong.push(Wrong::invalid(
            "spec.replicas",
            &json!(replicas),
            "must be greater than or equal to 0",
        ));
    }
    // The pods of a StatefulSet are checked when they are made, with the volumes of their claims.
    if kind != Kind::StatefulSet {
        template(object, "spec.template", &["Always"], wrong);
    }
    let Some(before) = before else { return };
    if at(before, "/spec/selector") != selector {
        wrong.push(immutable("spec.selector", selector));
    }
    if kind == Kind::StatefulSet {
        let free = [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
            "selector",
        ];
        let fixed = |object: &Value| -> Vec<(String, Value)> {
            entries(object, "/spec")
                .filter(|(key, _)| !free.contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        if fixed(object) != fixed(before) {
            wrong.push(Wrong::forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
                 'template', 'updateStrategy', 'revisionHistoryLimit', \
                 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
    }
}

/// What a Job's policies ask of the rest of it.
///
/// Source: `pkg/apis/batch/validation/validation.go`, `validateJobSpec`.
fn job_policies(job: &Value, wrong: &mut Vec<Wrong>) {
    let spec = at(job, "/spec");
    let is_indexed = text(spec, "/completionMode") == "Indexed";
    if !at(spec, "/podFailurePolicy").is_null()
        && text(spec, "/template/spec/restartPolicy") != "Never"
    {
        wrong.push(Wrong::invalid(
            "spec.template.spec.restartPolicy",
            at(spec, "/template/spec/restartPolicy"),
            "only \"Never\" is supported when podFailurePolicy is specified",
        ));
    }
    let limit = at(spec, "/backoffLimitPerIndex");
    if !limit.is_null() && !is_indexed {
        let field = "spec.backoffLimitPerIndex";
        wrong.push(Wrong::invalid(field, limit, "requires indexed job"));
    }
    if limit.is_null() && !at(spec, "/maxFailedIndexes").is_null() {
        let why = "when maxFailedIndexes is specified";
        wrong.push(Wrong::required("spec.backoffLimitPerIndex", why));
    }
    for (index, rule) in list(spec, "/podFailurePolicy/rules").iter().enumerate() {
        let action = at(rule, "/action");
        let field = format!("spec.podFailurePolicy.rules[{index}].action");
        if action == "FailIndex" && limit.is_null() {
            let why = "requires the backoffLimitPerIndex to be set";
            wrong.push(Wrong::invalid(field, action, why));
        } else if !matches!(
            action.as_str(),
            Some("Count" | "FailIndex" | "FailJob" | "Ignore")
        ) {
            let known = ["Count", "FailIndex", "FailJob", "Ignore"];
            wrong.push(Wrong::unsupported(field, action, &known));
        }
    }
    let success = at(spec, "/successPolicy");
    if !success.is_null() && !is_indexed {
        let why = "requires indexed completion mode";
        wrong.push(Wrong::invalid("spec.successPolicy", success, why));
    }
}

fn template(object: &Value, field: &str, policies: &[&str], wrong: &mut Vec<Wrong>) {
    let spec = at(object, "/spec/template/spec");
    labels(
        object,
        "/spec/template/metadata/labels",
        &format!("{field}.labels"),
        wrong,
    );
    pod_spec(spec, &format!("{field}.spec"), wrong);
    let policy = at(spec, "/restartPolicy");
    if let Some(text) = policy.as_str()
        && ["Always", "OnFailure", "Never"].contains(&text)
        && !policies.contains(&text)
    {
        let path = format!("{field}.spec.restartPolicy");
        wrong.push(Wrong::unsupported(path, policy, policies));
    }
}

fn pod_spec(spec: &Value, field: &str, wrong: &mut Vec<Wrong>) {
    if list(spec, "/containers").is_empty() {
        wrong.push(Wrong::required(format!("{field}.containers"), ""));
    }
    let known = ["Always", "OnFailure", "Never"];
    let policy = at(spec, "/restartPolicy");
    if policy
        .as_str()
        .is_some_and(|policy| !known.contains(&policy))
    {
        wrong.push(Wrong::unsupported(
            format!("{field}.restartPolicy"),
            policy,
            &known,
        ));
    }
    let mut volumes = BTreeSet::new();
    for (i, volume) in list(spec, "/volumes").iter().enumerate() {
        let name = text(volume, "/name");
        if name.is_empty() {
            wrong.push(Wrong::required(format!("{field}.volumes[{i}].name"), ""));
        } else if !volumes.insert(name) {
            let path = format!("{field}.volumes[{i}].name");
            wrong.push(Wrong::duplicate(path, at(volume, "/name")));
        }
    }
    let mut names = BTreeSet::new();
    for group in ["initContainers", "containers"] {
        for (i, container) in list(spec, &format!("/{group}")).iter().enumerate() {
            let field = format!("{field}.{group}[{i}]");
            let name = at(container, "/name");
            match name.as_str() {
                None | Some("") => wrong.push(Wrong::required(format!("{field}.name"), "")),
                Some(text) if !label(text) => {
                    wrong.push(Wrong::invalid(format!("{field}.name"), name, LABEL));
                }
                Some(text) => {
                    if !names.insert(text) {
                        wrong.push(Wrong::duplicate(format!("{field}.name"), name));
                    }
                }
            }
            container_fields(
                container,
                &field,
                &volumes,
                group == "initContainers",
                wrong,
            );
        }
    }
}

fn container_fields(
    container: &Value,
    field: &str,
    volumes: &BTreeSet<&str>,
    init: bool,
    wrong: &mut Vec<Wrong>,
) {
    if text(container, "/image").is_empty() {
        wrong.push(Wrong::required(format!("{field}.image"), ""));
    }
    for (i, port) in list(container, "/ports").iter().enumerate() {
        match int(port, "/containerPort") {
            Some(number) if (1..=65535).contains(&number) => {}
            Some(number) => wrong.push(range(format!("{field}.ports[{i}].containerPort"), number)),
            None => wrong.push(Wrong::required(
                format!("{field}.ports[{i}].containerPort"),
                "",
            )),
        }
    }
    for (i, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let name = at(mount, "/name");
        if !name.as_str().is_some_and(|name| volumes.contains(name)) {
            wrong.push(Wrong::not_found(
                format!("{field}.volumeMounts[{i}].name"),
                name,
            ));
        }
        if text(mount, "/mountPath").is_empty() {
            wrong.push(Wrong::required(
                format!("{field}.volumeMounts[{i}].mountPath"),
                "",
            ));
        }
    }
    for (i, variable) in list(container, "/env").iter().enumerate() {
        if text(variable, "/name").is_empty() {
            wrong.push(Wrong::required(format!("{field}.env[{i}].name"), ""));
        }
    }
    for of in ["limits", "requests"] {
        let path = format!("/resources/{of}");
        amounts(container, &path, &format!("{field}.resources.{of}"), wrong);
    }
    for (resource, request) in entries(container, "/resources/requests") {
        let limit = at(
            container,
            &format!("/resources/limits/{}", resource.replace('/', "~1")),
        );
        if let (Some(asked), Some(most)) = (quantity::of(request), quantity::of(limit))
            && asked > most
        {
            wrong.push(Wrong::invalid(
                format!("{field}.resources.requests"),
                request,
                &format!(
                    "must be less than or equal to {resource} limit of {}",
                    limit.as_str().unwrap_or("")
                ),
            ));
        }
    }
    let sidecar = text(container, "/restartPolicy") == "Always";
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let found = at(container, &format!("/{probe}"));
        if found.is_null() {
            continue;
        }
        if init && !sidecar {
            let path = format!("{field}.{probe}");
            wrong.push(Wrong::forbidden(
                path,
                "may not be set for init containers without restartPolicy=Always",
            ));
        }
        let handlers = ["exec", "httpGet", "tcpSocket", "grpc"]
            .iter()
            .filter(|handler| found.get(**handler).is_some())
            .count();
        match handlers {
            0 => wrong.push(Wrong::required(
                format!("{field}.{probe}"),
                "must specify a handler type",
            )),
            1 => {}
            _ => wrong.push(Wrong::forbidden(
                format!("{field}.{probe}"),
                "may not specify more than 1 handler type",
            )),
        }
        if probe != "readinessProbe" && int(found, "/successThreshold").unwrap_or(1) != 1 {
            wrong.push(Wrong::invalid(
                format!("{field}.{probe}.successThreshold"),
                at(found, "/successThreshold"),
                "must be 1",
            ));
        }
    }
}

fn amounts(object: &Value, path: &str, field: &str, wrong: &mut Vec<Wrong>) {
    for (name, amount) in entries(object, path) {
        match quantity::of(amount) {
            None => wrong.push(Wrong::undecodable(format!("{field}.{name}"), QUANTITY)),
            Some(nanos) if nanos < 0 => wrong.push(Wrong::invalid(
                format!("{field}.{name}"),
                amount,
                "must be greater than or equal to 0",
            )),
            Some(_) => {}
        }
    }
}

/// Of a pod's specification only a few fields may change.
fn pod_update(object: &Value, before: &Value, wrong: &mut Vec<Wrong>) {
    let mut new = at(object, "/spec").clone();
    let mut old = at(before, "/spec").clone();
    for spec in [&mut new, &mut old] {
        for group in ["/containers", "/initContainers"] {
            for container in crate::value::list_mut(spec, group).into_iter().flatten() {
                crate::value::remove(container, "/image");
            }
        }
        for path in [
            "/activeDeadlineSeconds",
            "/terminationGracePeriodSeconds",
            "/tolerations",
            "/schedulingGates",
            "/ephemeralContainers",
        ] {
            crate::value::remove(spec, path);
        }
        if text(spec, "/nodeName").is_empty() {
            crate::value::remove(spec, "/nodeName");
        }
    }
    if new != old {
        wrong.push(Wrong::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
             additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to \
             be set to 1 if it was previously negative)",
        ));
    }
}

fn service(object: &Value, before: Option<&Value>, wrong: &mut Vec<Wrong>) {
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let kind = at(object, "/spec/type");
    if kind.as_str().is_some_and(|kind| !kinds.contains(&kind)) {
        wrong.push(Wrong::unsupported("spec.type", kind, &kinds));
    }
    let ports = list(object, "/spec/ports");
    if ports.is_empty()
        && text(object, "/spec/type") != "ExternalName"
        && text(object, "/spec/clusterIP") != "None"
    {
        wrong.push(Wrong::required("spec.ports", ""));
    }
    for (i, port) in ports.iter().enumerate() {
        if ports.len() > 1 && text(port, "/name").is_empty() {
            wrong.push(Wrong::required(format!("spec.ports[{i}].name"), ""));
        }
        match int(port, "/port") {
            Some(number) if (1..=65535).contains(&number) => {}
            other => wrong.push(range(format!("spec.ports[{i}].port"), other.unwrap_or(0))),
        }
        if let Some(number) = int(port, "/targetPort")
            && !(1..=65535).contains(&number)
        {
            wrong.push(range(format!("spec.ports[{i}].targetPort"), number));
        }
    }
    if let Some(before) = before {
        let (old, new) = (at(before, "/spec/clusterIP"), at(object, "/spec/clusterIP"));
        if !old.is_null() && !new.is_null() && old != new {
            let why = "may not change once set";
            wrong.push(Wrong::invalid("spec.clusterIPs[0]", &json!([new]), why));
        }
    }
}

fn claim(object: &Value, before: Option<&Value>, wrong: &mut Vec<Wrong>) {
    if list(object, "/spec/accessModes").is_empty() {
        wrong.push(Wrong::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if at(object, "/spec/resources/requests/storage").is_null() {
        wrong.push(Wrong::required("spec.resources[storage]", ""));
    }
    amounts(
        object,
        "/spec/resources/requests",
        "spec.resources.requests",
        wrong,
    );
    if let Some(before) = before {
        let fixed = |object: &Value| {
            let mut spec = at(object, "/spec").clone();
            crate::value::remove(&mut spec, "/resources");
            if text(before, "/spec/volumeName").is_empty() {
                crate::value::remove(&mut spec, "/volumeName");
            }
            if at(before, "/spec/storageClassName").is_null() {
                crate::value::remove(&mut spec, "/storageClassName");
            }
            spec
        };
        if fixed(object) != fixed(before) {
            wrong.push(Wrong::forbidden(
                "spec",
                "spec is immutable after creation except resources.requests and \
                 volumeAttributesClassName for bound claims",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_field(kind: Kind, object: Value, field: &str) {
        let wrong = check(kind, &object, None);
        let fields: Vec<&str> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, [field], "{wrong:?}");
    }

    fn pod(container: Value) -> Value {
        json!({ "metadata": { "name": "p" }, "spec": { "containers": [container] } })
    }

    #[test]
    fn wrong_fields_are_named() {
        let fine = json!({ "name": "a", "image": "b" });
        assert_eq!(check(Kind::Pod, &pod(fine), None), []);
        check_field(
            Kind::Pod,
            json!({ "metadata": { "name": "p" }, "spec": {} }),
            "spec.containers",
        );
        check_field(
            Kind::Pod,
            pod(json!({ "name": "a" })),
            "spec.containers[0].image",
        );
        check_field(
            Kind::Pod,
            pod(json!({ "name": "a", "image": "b", "resources": { "limits": { "cpu": "x" } } })),
            "spec.containers[0].resources.limits.cpu",
        );
        check_field(
            Kind::Pod,
            pod(json!({ "name": "a", "image": "b",
                "volumeMounts": [{ "name": "v", "mountPath": "/v" }] })),
            "spec.containers[0].volumeMounts[0].name",
        );
        let mounts = json!({ "name": "c", "image": "b",
            "volumeMounts": [{ "name": "data", "mountPath": "/v" }] });
        let claims = json!({ "metadata": { "name": "db" }, "spec": {
            "selector": { "matchLabels": { "app": "db" } },
            "template": { "metadata": { "labels": { "app": "db" } },
                "spec": { "containers": [mounts] } } } });
        assert_eq!(check(Kind::StatefulSet, &claims, None), Vec::new());
        check_field(
            Kind::Deployment,
            claims,
            "spec.template.spec.containers[0].volumeMounts[0].name",
        );
        check_field(
            Kind::ConfigMap,
            json!({ "metadata": { "name": "Upper" } }),
            "metadata.name",
        );
        check_field(
            Kind::CronJob,
            json!({ "metadata": { "name": "c" }, "spec": { "schedule": "never",
                "jobTemplate": { "spec": { "template": { "spec": {
                    "restartPolicy": "Never",
                    "containers": [{ "name": "a", "image": "b" }] } } } } } }),
            "spec.schedule",
        );
    }

    #[test]
    fn what_may_not_change_is_told() {
        let old = json!({ "metadata": { "name": "d" }, "spec": {
            "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b", "c": "d" } },
                "spec": { "containers": [{ "name": "a", "image": "b" }] } } } });
        let mut new = old.clone();
        crate::value::set(&mut new, "/spec/selector/matchLabels", json!({ "c": "d" }));
        let wrong = check(Kind::Deployment, &new, Some(&old));
        assert_eq!(wrong.len(), 1);
        assert!(
            wrong[0].message.ends_with("field is immutable"),
            "{wrong:?}"
        );
    }
}
