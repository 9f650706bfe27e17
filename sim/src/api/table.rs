//! Objects as the rows of a table, as `kubectl get` shows them.
//!
//! Source: `pkg/printers/internalversion/printers.go`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::metadata_only;
use crate::clock::since;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::value::{at, entries, int, list, name, text};

/// A column: its title, and whether it shows only when asked for more.
type Column = (&'static str, bool);

/// A table of objects, with its columns if asked for them.
pub(super) fn table(
    now: Timestamp,
    kind: Kind,
    include: Option<&str>,
    objects: &[&Value],
    titled: bool,
) -> Value {
    let columns = columns(kind);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(title, wide)| {
            json!({ "name": title, "type": "string",
                "format": if *title == "Name" { "name" } else { "" },
                "description": "", "priority": i32::from(*wide) })
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({ "cells": cells(now, kind, object) });
            match include {
                Some("None") => {}
                Some("Object") => row["object"] = (*object).clone(),
                _ => row["object"] = metadata_only(object),
            }
            row
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": if titled { json!(definitions) } else { Value::Null },
        "rows": rows,
    })
}

fn columns(kind: Kind) -> Vec<Column> {
    let (plain, wide): (&[&str], &[&str]) = match kind {
        Kind::Pod => (
            &["Name", "Ready", "Status", "Restarts", "Age"],
            &["IP", "Node", "Nominated Node", "Readiness Gates"],
        ),
        Kind::Node => (
            &["Name", "Status", "Roles", "Age", "Version"],
            &[
                "Internal-IP",
                "External-IP",
                "OS-Image",
                "Kernel-Version",
                "Container-Runtime",
            ],
        ),
        Kind::Namespace => (&["Name", "Status", "Age"], &[]),
        Kind::Service => (
            &[
                "Name",
                "Type",
                "Cluster-IP",
                "External-IP",
                "Port(s)",
                "Age",
            ],
            &["Selector"],
        ),
        Kind::Endpoints => (&["Name", "Endpoints", "Age"], &[]),
        Kind::EndpointSlice => (&["Name", "AddressType", "Ports", "Endpoints", "Age"], &[]),
        Kind::ConfigMap => (&["Name", "Data", "Age"], &[]),
        Kind::Secret => (&["Name", "Type", "Data", "Age"], &[]),
        Kind::ServiceAccount => (&["Name", "Secrets", "Age"], &[]),
        Kind::Deployment => (
            &["Name", "Ready", "Up-to-date", "Available", "Age"],
            &["Containers", "Images", "Selector"],
        ),
        Kind::ReplicaSet | Kind::ReplicationController => (
            &["Name", "Desired", "Current", "Ready", "Age"],
            &["Containers", "Images", "Selector"],
        ),
        Kind::StatefulSet => (&["Name", "Ready", "Age"], &["Containers", "Images"]),
        Kind::DaemonSet => (
            &[
                "Name",
                "Desired",
                "Current",
                "Ready",
                "Up-to-date",
                "Available",
                "Node Selector",
                "Age",
            ],
            &["Containers", "Images", "Selector"],
        ),
        Kind::Job => (
            &["Name", "Status", "Completions", "Duration", "Age"],
            &["Containers", "Images", "Selector"],
        ),
        Kind::CronJob => (
            &[
                "Name",
                "Schedule",
                "Timezone",
                "Suspend",
                "Active",
                "Last Schedule",
                "Age",
            ],
            &["Containers", "Images", "Selector"],
        ),
        Kind::PersistentVolume => (
            &[
                "Name",
                "Capacity",
                "Access Modes",
                "Reclaim Policy",
                "Status",
                "Claim",
                "StorageClass",
                "VolumeAttributesClass",
                "Reason",
                "Age",
            ],
            &["VolumeMode"],
        ),
        Kind::PersistentVolumeClaim => (
            &[
                "Name",
                "Status",
                "Volume",
                "Capacity",
                "Access Modes",
                "StorageClass",
                "VolumeAttributesClass",
                "Age",
            ],
            &["VolumeMode"],
        ),
        Kind::StorageClass => (
            &[
                "Name",
                "Provisioner",
                "ReclaimPolicy",
                "VolumeBindingMode",
                "AllowVolumeExpansion",
                "Age",
            ],
            &[],
        ),
        Kind::Event => (
            &["Last Seen", "Type", "Reason", "Object", "Message"],
            &["Subobject", "Source", "First Seen", "Count", "Name"],
        ),
        Kind::NetworkPolicy => (&["Name", "Pod-Selector", "Age"], &[]),
        Kind::PodDisruptionBudget => (
            &[
                "Name",
                "Min Available",
                "Max Unavailable",
                "Allowed Disruptions",
                "Age",
            ],
            &[],
        ),
        Kind::HorizontalPodAutoscaler => (
            &[
                "Name",
                "Reference",
                "Targets",
                "MinPods",
                "MaxPods",
                "Replicas",
                "Age",
            ],
            &[],
        ),
        Kind::ResourceQuota => (&["Name", "Request", "Limit", "Age"], &[]),
        Kind::PriorityClass => (
            &["Name", "Value", "Global-Default", "Age", "PreemptionPolicy"],
            &[],
        ),
        Kind::RuntimeClass => (&["Name", "Handler", "Age"], &[]),
        Kind::Lease => (&["Name", "Holder", "Age"], &[]),
        Kind::LimitRange | Kind::Role | Kind::ClusterRole => (&["Name", "Created At"], &[]),
        Kind::RoleBinding | Kind::ClusterRoleBinding => (&["Name", "Role", "Age"], &[]),
        Kind::ValidatingWebhookConfiguration | Kind::MutatingWebhookConfiguration => {
            (&["Name", "Webhooks", "Age"], &[])
        }
        Kind::ControllerRevision => (&["Name", "Controller", "Revision", "Age"], &[]),
        _ => (&["Name", "Age"], &[]),
    };
    let plain = plain.iter().map(|title| (*title, false));
    plain
        .chain(wide.iter().map(|title| (*title, true)))
        .collect()
}

fn number(object: &Value, path: &str) -> Value {
    json!(int(object, path).unwrap_or(0))
}

fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

fn age(now: Timestamp, object: &Value, path: &str) -> Value {
    match text(object, path).parse::<Timestamp>() {
        Ok(time) => json!(human(since(now, time).as_secs())),
        Err(_) => json!("<unknown>"),
    }
}

/// A duration as people read it.
///
/// Source: `staging/src/k8s.io/apimachinery/pkg/util/duration/duration.go`.
pub(crate) fn human(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |whole: u64, unit: &str, rest: u64, of: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{of}"),
    };
    match seconds {
        0..=119 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

fn cells(now: Timestamp, kind: Kind, object: &Value) -> Vec<Value> {
    let called = json!(name(object));
    let old = age(now, object, "/metadata/creationTimestamp");
    let template = at(object, "/spec/template/spec");
    match kind {
        Kind::Pod => pod(now, object, called, old),
        Kind::Node => {
            let mut status = vec![match crate::value::condition(object, "Ready") {
                Some(ready) if text(ready, "/status") == "True" => "Ready",
                Some(_) => "NotReady",
                None => "Unknown",
            }];
            if at(object, "/spec/unschedulable") == &json!(true) {
                status.push("SchedulingDisabled");
            }
            let roles: Vec<&str> = entries(object, "/metadata/labels")
                .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
                .collect();
            let address = |kind: &str| {
                let all = list(object, "/status/addresses");
                let found = all.iter().find(|address| text(address, "/type") == kind);
                or_none(found.map_or("", |address| text(address, "/address")))
            };
            let info = |field: &str| json!(text(object, &format!("/status/nodeInfo/{field}")));
            vec![
                called,
                json!(status.join(",")),
                or_none(&roles.join(",")),
                old,
                info("kubeletVersion"),
                address("InternalIP"),
                address("ExternalIP"),
                info("osImage"),
                info("kernelVersion"),
                info("containerRuntimeVersion"),
            ]
        }
        Kind::Namespace => vec![called, at(object, "/status/phase").clone(), old],
        Kind::Service => {
            let ports: Vec<String> = list(object, "/spec/ports")
                .iter()
                .map(|port| {
                    let number = int(port, "/port").unwrap_or(0);
                    let protocol = text(port, "/protocol");
                    match int(port, "/nodePort") {
                        Some(node) => format!("{number}:{node}/{protocol}"),
                        None => format!("{number}/{protocol}"),
                    }
                })
                .collect();
            let external = match text(object, "/spec/type") {
                "LoadBalancer" => json!("<pending>"),
                "ExternalName" => at(object, "/spec/externalName").clone(),
                _ => or_none(""),
            };
            vec![
                called,
                at(object, "/spec/type").clone(),
                or_none(text(object, "/spec/clusterIP")),
                external,
                or_none(&ports.join(",")),
                old,
                or_none(&map_text(at(object, "/spec/selector"))),
            ]
        }
        Kind::Endpoints => {
            let mut all = Vec::new();
            for subset in list(object, "/subsets") {
                for address in list(subset, "/addresses") {
                    for port in list(subset, "/ports") {
                        let port = int(port, "/port").unwrap_or(0);
                        all.push(format!("{}:{port}", text(address, "/ip")));
                    }
                }
            }
            vec![called, or_none(&few(&all, 3)), old]
        }
        Kind::EndpointSlice => {
            let ports: Vec<String> = list(object, "/ports")
                .iter()
                .map(|port| int(port, "/port").map_or("*".to_owned(), |port| port.to_string()))
                .collect();
            let ports = if ports.is_empty() {
                "<unset>".to_owned()
            } else {
                few(&ports, 3)
            };
            let addresses: Vec<String> = list(object, "/endpoints")
                .iter()
                .flat_map(|endpoint| list(endpoint, "/addresses"))
                .filter_map(|address| Some(address.as_str()?.to_owned()))
                .collect();
            let addresses = if addresses.is_empty() {
                "<unset>".to_owned()
            } else {
                few(&addresses, 3)
            };
            vec![
                called,
                at(object, "/addressType").clone(),
                json!(ports),
                json!(addresses),
                old,
            ]
        }
        Kind::ConfigMap => {
            let count = entries(object, "/data").count() + entries(object, "/binaryData").count();
            vec![called, json!(count), old]
        }
        Kind::Secret => {
            vec![
                called,
                at(object, "/type").clone(),
                json!(entries(object, "/data").count()),
                old,
            ]
        }
        Kind::ServiceAccount => vec![called, json!(list(object, "/secrets").len()), old],
        Kind::Deployment => with_images(
            vec![
                called,
                json!(format!(
                    "{}/{}",
                    int(object, "/status/readyReplicas").unwrap_or(0),
                    int(object, "/spec/replicas").unwrap_or(0)
                )),
                number(object, "/status/updatedReplicas"),
                number(object, "/status/availableReplicas"),
                old,
            ],
            template,
            object,
        ),
        Kind::ReplicaSet | Kind::ReplicationController => with_images(
            vec![
                called,
                number(object, "/spec/replicas"),
                number(object, "/status/replicas"),
                number(object, "/status/readyReplicas"),
                old,
            ],
            template,
            object,
        ),
        Kind::StatefulSet => {
            let ready = format!(
                "{}/{}",
                int(object, "/status/readyReplicas").unwrap_or(0),
                int(object, "/spec/replicas").unwrap_or(0)
            );
            let mut all = with_images(vec![called, json!(ready), old], template, object);
            all.pop();
            all
        }
        Kind::DaemonSet => with_images(
            vec![
                called,
                number(object, "/status/desiredNumberScheduled"),
                number(object, "/status/currentNumberScheduled"),
                number(object, "/status/numberReady"),
                number(object, "/status/updatedNumberScheduled"),
                number(object, "/status/numberAvailable"),
                or_none(&map_text(at(object, "/spec/template/spec/nodeSelector"))),
                old,
            ],
            template,
            object,
        ),
        Kind::Job => {
            let done = int(object, "/status/succeeded").unwrap_or(0);
            let completions = match int(object, "/spec/completions") {
                Some(wanted) => format!("{done}/{wanted}"),
                None => format!(
                    "{done}/1 of {}",
                    int(object, "/spec/parallelism").unwrap_or(1)
                ),
            };
            let status = ["Complete", "Failed", "Suspended", "FailureTarget"]
                .into_iter()
                .find(|kind| crate::value::condition_true(object, kind))
                .unwrap_or("Running");
            let began: Option<Timestamp> = text(object, "/status/startTime").parse().ok();
            let ended: Option<Timestamp> = text(object, "/status/completionTime").parse().ok();
            let took = began.map_or(String::new(), |began| {
                human(since(ended.unwrap_or(now), began).as_secs())
            });
            let row = vec![called, json!(status), json!(completions), json!(took), old];
            with_images(row, template, object)
        }
        Kind::CronJob => {
            let last = match at(object, "/status/lastScheduleTime") {
                Value::Null => or_none(""),
                _ => age(now, object, "/status/lastScheduleTime"),
            };
            let suspended = at(object, "/spec/suspend") == &json!(true);
            let row = vec![
                called,
                at(object, "/spec/schedule").clone(),
                or_none(text(object, "/spec/timeZone")),
                json!(if suspended { "True" } else { "False" }),
                json!(list(object, "/status/active").len()),
                last,
                old,
            ];
            with_images(
                row,
                at(object, "/spec/jobTemplate/spec/template/spec"),
                object,
            )
        }
        Kind::PersistentVolume => {
            let claim = match at(object, "/spec/claimRef") {
                Value::Null => String::new(),
                claim => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
            };
            vec![
                called,
                json!(text(object, "/spec/capacity/storage")),
                json!(modes(list(object, "/spec/accessModes"))),
                at(object, "/spec/persistentVolumeReclaimPolicy").clone(),
                at(object, "/status/phase").clone(),
                json!(claim),
                json!(text(object, "/spec/storageClassName")),
                json!("<unset>"),
                json!(text(object, "/status/reason")),
                old,
                at(object, "/spec/volumeMode").clone(),
            ]
        }
        Kind::PersistentVolumeClaim => vec![
            called,
            at(object, "/status/phase").clone(),
            json!(text(object, "/spec/volumeName")),
            json!(text(object, "/status/capacity/storage")),
            json!(modes(list(object, "/status/accessModes"))),
            json!(text(object, "/spec/storageClassName")),
            json!("<unset>"),
            old,
            at(object, "/spec/volumeMode").clone(),
        ],
        Kind::StorageClass => {
            let path = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
            let titled = match text(object, path) {
                "true" => format!("{} (default)", name(object)),
                _ => name(object).to_owned(),
            };
            vec![
                json!(titled),
                at(object, "/provisioner").clone(),
                at(object, "/reclaimPolicy").clone(),
                at(object, "/volumeBindingMode").clone(),
                json!((at(object, "/allowVolumeExpansion") == &json!(true)).to_string()),
                old,
            ]
        }
        Kind::Event => event(now, object),
        Kind::NetworkPolicy => {
            vec![
                called,
                or_none(&selector_text(at(object, "/spec/podSelector"))),
                old,
            ]
        }
        Kind::PodDisruptionBudget => {
            let bound = |path: &str| match at(object, path) {
                Value::Null => json!("N/A"),
                Value::String(text) => json!(text),
                other => json!(other.to_string()),
            };
            vec![
                called,
                bound("/spec/minAvailable"),
                bound("/spec/maxUnavailable"),
                number(object, "/status/disruptionsAllowed"),
                old,
            ]
        }
        Kind::HorizontalPodAutoscaler => {
            let targets: Vec<String> = list(object, "/spec/metrics")
                .iter()
                .map(|metric| {
                    let resource = text(metric, "/resource/name");
                    let target = at(metric, "/resource/target");
                    match int(target, "/averageUtilization") {
                        Some(wanted) => format!("{resource}: <unknown>/{wanted}%"),
                        None => format!("{resource}: <unknown>/{}", text(target, "/averageValue")),
                    }
                })
                .collect();
            vec![
                called,
                json!(format!(
                    "{}/{}",
                    text(object, "/spec/scaleTargetRef/kind"),
                    text(object, "/spec/scaleTargetRef/name")
                )),
                or_none(&few(&targets, 2)),
                number(object, "/spec/minReplicas"),
                number(object, "/spec/maxReplicas"),
                number(object, "/status/currentReplicas"),
                old,
            ]
        }
        Kind::ResourceQuota => {
            let (mut requests, mut limits) = (Vec::new(), Vec::new());
            for (resource, hard) in entries(object, "/status/hard") {
                let path = format!("/status/used/{}", resource.replace('/', "~1"));
                let line = format!(
                    "{resource}: {}/{}",
                    text(object, &path),
                    hard.as_str().unwrap_or("")
                );
                if resource.starts_with("limits.") {
                    limits.push(line);
                } else {
                    requests.push(line);
                }
            }
            vec![
                called,
                json!(requests.join(", ")),
                json!(limits.join(", ")),
                old,
            ]
        }
        Kind::PriorityClass => vec![
            called,
            number(object, "/value"),
            json!(at(object, "/globalDefault") == &json!(true)),
            old,
            at(object, "/preemptionPolicy").clone(),
        ],
        Kind::RuntimeClass => vec![called, json!(text(object, "/handler")), old],
        Kind::Lease => vec![called, json!(text(object, "/spec/holderIdentity")), old],
        Kind::LimitRange | Kind::Role | Kind::ClusterRole => {
            vec![called, json!(text(object, "/metadata/creationTimestamp"))]
        }
        Kind::RoleBinding | Kind::ClusterRoleBinding => {
            let role = at(object, "/roleRef");
            vec![
                called,
                json!(format!("{}/{}", text(role, "/kind"), text(role, "/name"))),
                old,
            ]
        }
        Kind::ValidatingWebhookConfiguration | Kind::MutatingWebhookConfiguration => {
            vec![called, json!(list(object, "/webhooks").len()), old]
        }
        Kind::ControllerRevision => {
            let owner = crate::value::controller(object).map_or(String::new(), |owner| {
                let kind = text(owner, "/kind").to_lowercase();
                format!("{kind}.apps/{}", text(owner, "/name"))
            });
            vec![called, or_none(&owner), number(object, "/revision"), old]
        }
        _ => vec![called, old],
    }
}

fn with_images(mut row: Vec<Value>, spec: &Value, object: &Value) -> Vec<Value> {
    let all = |field: &str| -> Value {
        let each: Vec<&str> = list(spec, "/containers")
            .iter()
            .map(|one| text(one, field))
            .collect();
        json!(each.join(","))
    };
    row.push(all("/name"));
    row.push(all("/image"));
    row.push(or_none(&selector_text(at(object, "/spec/selector"))));
    row
}

fn map_text(map: &Value) -> String {
    let each: Vec<String> = entries(map, "")
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    each.join(",")
}

fn selector_text(selector: &Value) -> String {
    if Labels::of(selector).is_none() {
        return String::new();
    }
    if selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none() {
        return map_text(selector);
    }
    let mut each = vec![map_text(at(selector, "/matchLabels"))];
    for term in list(selector, "/matchExpressions") {
        let values: Vec<&str> = list(term, "/values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let key = text(term, "/key");
        each.push(match text(term, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    each.retain(|part| !part.is_empty());
    each.join(",")
}

fn few(all: &[String], most: usize) -> String {
    if all.len() <= most {
        return all.join(",");
    }
    format!("{} + {} more...", all[..most].join(","), all.len() - most)
}

fn modes(modes: &[Value]) -> String {
    let each: Vec<&str> = modes
        .iter()
        .map(|mode| match mode.as_str() {
            Some("ReadWriteOnce") => "RWO",
            Some("ReadOnlyMany") => "ROX",
            Some("ReadWriteMany") => "RWX",
            Some("ReadWriteOncePod") => "RWOP",
            _ => "",
        })
        .collect();
    each.join(",")
}

fn event(now: Timestamp, object: &Value) -> Vec<Value> {
    // The two shapes of events, in either of the groups they are served under.
    let either = |one: &str, other: &str| match at(object, one) {
        Value::Null => at(object, other).clone(),
        found => found.clone(),
    };
    let about = either("/involvedObject", "/regarding");
    let when = |fields: [&str; 4]| {
        let found = fields.iter().find(|field| !text(object, field).is_empty());
        found.map_or(json!("<unknown>"), |field| age(now, object, field))
    };
    let last = when([
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]);
    let first = when([
        "/firstTimestamp",
        "/deprecatedFirstTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]);
    let source = either("/source", "/deprecatedSource");
    let mut from = text(&source, "/component").to_owned();
    if !text(&source, "/host").is_empty() {
        from = format!("{from}, {}", text(&source, "/host"));
    }
    let count = either("/count", "/deprecatedCount");
    vec![
        last,
        at(object, "/type").clone(),
        at(object, "/reason").clone(),
        json!(format!(
            "{}/{}",
            text(&about, "/kind").to_lowercase(),
            text(&about, "/name")
        )),
        json!(either("/message", "/note").as_str().unwrap_or("").trim()),
        json!(text(&about, "/fieldPath")),
        json!(from),
        first,
        json!(count.as_i64().unwrap_or(1)),
        json!(name(object)),
    ]
}

fn pod(now: Timestamp, pod: &Value, called: Value, old: Value) -> Vec<Value> {
    let containers = list(pod, "/spec/containers");
    let sidecars: Vec<&Value> = list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .collect();
    let total = containers.len() + sidecars.len();
    let mut reason = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    let gated = crate::value::condition(pod, "PodScheduled")
        .is_some_and(|condition| text(condition, "/reason") == "SchedulingGated");
    if gated {
        reason = "SchedulingGated".to_owned();
    }
    let (mut restarts, mut last_restart): (i64, Option<Timestamp>) = (0, None);
    let mut ready = 0;
    let mut count = |status: &Value| {
        restarts += int(status, "/restartCount").unwrap_or(0);
        let ended = text(status, "/lastState/terminated/finishedAt")
            .parse()
            .ok();
        last_restart = last_restart.max(ended);
    };
    let mut initializing = false;
    let sidecar = |status: &Value| {
        sidecars
            .iter()
            .any(|container| text(container, "/name") == text(status, "/name"))
    };
    let inits = list(pod, "/status/initContainerStatuses");
    for (index, status) in inits.iter().enumerate() {
        count(status);
        let ended = at(status, "/state/terminated");
        if ended.is_object() && int(ended, "/exitCode") == Some(0) {
            continue;
        }
        if sidecar(status) && at(status, "/started") == &json!(true) {
            ready += usize::from(at(status, "/ready") == &json!(true));
            continue;
        }
        let waiting = text(status, "/state/waiting/reason");
        reason = if ended.is_object() {
            format!("Init:{}", ended_as(ended))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", list(pod, "/spec/initContainers").len())
        };
        initializing = true;
        break;
    }
    if !initializing || crate::value::condition_true(pod, "Initialized") {
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            count(status);
            let ended = at(status, "/state/terminated");
            let waiting = text(status, "/state/waiting/reason");
            if !waiting.is_empty() {
                reason = waiting.to_owned();
            } else if ended.is_object() {
                reason = ended_as(ended);
            } else if at(status, "/ready") == &json!(true)
                && at(status, "/state/running").is_object()
            {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            let all = crate::value::condition_true(pod, "Ready");
            reason = if all { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if crate::value::deleting(pod) {
        let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        if text(pod, "/status/reason") == "NodeLost" {
            reason = "Unknown".to_owned();
        } else if !finished {
            reason = "Terminating".to_owned();
        }
    }
    let restarts = match last_restart {
        Some(time) if restarts > 0 => {
            format!("{restarts} ({} ago)", human(since(now, time).as_secs()))
        }
        _ => restarts.to_string(),
    };
    vec![
        called,
        json!(format!("{ready}/{total}")),
        json!(reason),
        json!(restarts),
        old,
        or_none(text(pod, "/status/podIP")),
        or_none(text(pod, "/spec/nodeName")),
        or_none(text(pod, "/status/nominatedNodeName")),
        or_none(""),
    ]
}

fn ended_as(ended: &Value) -> String {
    match text(ended, "/reason") {
        "" => match int(ended, "/signal") {
            Some(signal) if signal != 0 => format!("Signal:{signal}"),
            _ => format!("ExitCode:{}", int(ended, "/exitCode").unwrap_or(0)),
        },
        reason => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_human() {
        for (seconds, text) in [
            (5, "5s"),
            (119, "119s"),
            (150, "2m30s"),
            (3600, "60m"),
            (4 * 3600 + 300, "4h5m"),
            (3 * 86400, "3d"),
            (9 * 86400, "9d"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn every_row_has_a_cell_for_every_column() {
        for kind in Kind::ALL {
            let object = json!({ "metadata": { "name": "x" } });
            let cells = cells(Timestamp::UNIX_EPOCH, *kind, &object);
            assert_eq!(cells.len(), columns(*kind).len(), "{kind:?}");
        }
    }

    #[test]
    fn a_crash_loop_shows_as_its_reason() {
        let crashing = json!({
            "metadata": { "name": "x" },
            "spec": { "containers": [{ "name": "a" }] },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "a", "restartCount": 3, "ready": false,
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": { "finishedAt": "1970-01-01T00:00:00Z" } } }] },
        });
        let now = Timestamp::from_second(61).unwrap();
        let row = cells(now, Kind::Pod, &crashing);
        assert_eq!(
            row[1..4],
            [
                json!("0/1"),
                json!("CrashLoopBackOff"),
                json!("3 (61s ago)")
            ]
        );
    }
}
