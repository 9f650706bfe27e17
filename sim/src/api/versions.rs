//! Objects in the shapes of other versions than the one in which they are kept: events of
//! `events.k8s.io`, and autoscalers of `autoscaling/v1`.

use std::borrow::Cow;

use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use serde_json::{Value, json};

use super::Target;
use crate::kinds::{EVENTS_GROUP, Kind};
use crate::value::{self, at, int, list, set, text};

/// What a field of an event is called in the core group, and in its own.
const EVENT: [(&str, &str); 7] = [
    ("/involvedObject", "/regarding"),
    ("/message", "/note"),
    ("/reportingComponent", "/reportingController"),
    ("/count", "/deprecatedCount"),
    ("/firstTimestamp", "/deprecatedFirstTimestamp"),
    ("/lastTimestamp", "/deprecatedLastTimestamp"),
    ("/source", "/deprecatedSource"),
];

/// The annotations that hold what the older version has no fields for.
const METRICS: &str = "/metadata/annotations/autoscaling.alpha.kubernetes.io~1metrics";
const CONDITIONS: &str = "/metadata/annotations/autoscaling.alpha.kubernetes.io~1conditions";
const BEHAVIOR: &str = "/metadata/annotations/autoscaling.alpha.kubernetes.io~1behavior";

fn is_new_event(target: &Target) -> bool {
    target.kind == Kind::Event && target.group == EVENTS_GROUP
}

fn is_old_autoscaler(target: &Target) -> bool {
    target.kind == Kind::HorizontalPodAutoscaler && target.version == "v1"
}

/// An object as it is shown where it was asked for.
pub(super) fn shown<'a>(target: &Target, object: &'a Value) -> Cow<'a, Value> {
    let mut object = Cow::Borrowed(object);
    if is_new_event(target) {
        set(object.to_mut(), "/apiVersion", "events.k8s.io/v1");
        rename(object.to_mut(), EVENT);
    } else if is_old_autoscaler(target) {
        to_v1(object.to_mut());
    }
    object
}

/// An object as it is kept, of the shape in which it was given.
pub(super) fn kept(target: &Target, object: &mut Value) {
    if is_new_event(target) {
        rename(object, EVENT.map(|(old, new)| (new, old)));
    } else if is_old_autoscaler(target) {
        to_v2(object);
    }
}

/// What Kubernetes' own type of the version keeps of an object, or why it is not one of it.
pub(super) fn decode(target: &Target, mut object: Value) -> Result<Value, serde_json::Error> {
    if is_old_autoscaler(target) {
        set(&mut object, "/apiVersion", "autoscaling/v1");
        return serde_json::to_value(serde_json::from_value::<HorizontalPodAutoscaler>(object)?);
    }
    // The newer shape of events is checked as the older, which it becomes.
    kept(target, &mut object);
    target.kind.decode(object)
}

fn rename<'a>(object: &mut Value, fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (from, to) in fields {
        if let Some(value) = value::remove(object, from) {
            set(object, to, value);
        }
    }
}

/// Source: `pkg/apis/autoscaling/v1/conversion.go`.
fn to_v1(object: &mut Value) {
    set(object, "/apiVersion", "autoscaling/v1");
    let mut others = Vec::new();
    let mut wanted = None;
    for metric in list(object, "/spec/metrics") {
        let utilization = int(metric, "/resource/target/averageUtilization");
        match (text(metric, "/resource/name"), utilization, wanted) {
            ("cpu", Some(percent), None) => wanted = Some(percent),
            _ => others.push(metric_to_v1(metric)),
        }
    }
    let used = list(object, "/status/currentMetrics")
        .iter()
        .find_map(|metric| {
            let is_cpu = text(metric, "/resource/name") == "cpu";
            int(metric, "/resource/current/averageUtilization").filter(|_| is_cpu)
        });
    let conditions = value::remove(object, "/status/conditions");
    let behavior = value::remove(object, "/spec/behavior");
    value::remove(object, "/spec/metrics");
    value::remove(object, "/status/currentMetrics");
    if let Some(percent) = wanted {
        set(object, "/spec/targetCPUUtilizationPercentage", percent);
    }
    if let Some(percent) = used {
        set(object, "/status/currentCPUUtilizationPercentage", percent);
    }
    let others = (!others.is_empty()).then_some(Value::Array(others));
    let notes = [
        (METRICS, others),
        (CONDITIONS, conditions),
        (BEHAVIOR, behavior),
    ];
    for (path, note) in notes {
        if let Some(note) = note {
            set(object, path, note.to_string());
        }
    }
}

fn to_v2(object: &mut Value) {
    let mut metrics = Vec::new();
    if let Some(percent) = value::remove(object, "/spec/targetCPUUtilizationPercentage") {
        let target = json!({ "type": "Utilization", "averageUtilization": percent });
        metrics
            .push(json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } }));
    }
    let mut note = |path: &str| -> Option<Value> {
        let note = value::remove(object, path)?;
        serde_json::from_str(note.as_str()?).ok()
    };
    if let Some(Value::Array(others)) = note(METRICS) {
        metrics.extend(others.iter().map(metric_to_v2));
    }
    let (conditions, behavior) = (note(CONDITIONS), note(BEHAVIOR));
    let used = value::remove(object, "/status/currentCPUUtilizationPercentage");
    let annotations = at(object, "/metadata/annotations").as_object();
    if annotations.is_some_and(serde_json::Map::is_empty) {
        value::remove(object, "/metadata/annotations");
    }
    if !metrics.is_empty() {
        set(object, "/spec/metrics", metrics);
    }
    if let Some(behavior) = behavior {
        set(object, "/spec/behavior", behavior);
    }
    if let Some(conditions) = conditions {
        set(object, "/status/conditions", conditions);
    }
    if let Some(percent) = used {
        let current = json!({ "averageUtilization": percent, "averageValue": "0" });
        let metric =
            json!({ "type": "Resource", "resource": { "name": "cpu", "current": current } });
        set(object, "/status/currentMetrics", json!([metric]));
    }
}

/// Where the older shape of a metric has what the newer has elsewhere, by the metric's type.
fn moved(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "Resource" => &[
            (
                "/resource/targetAverageUtilization",
                "/resource/target/averageUtilization",
            ),
            (
                "/resource/targetAverageValue",
                "/resource/target/averageValue",
            ),
        ],
        "ContainerResource" => &[
            (
                "/containerResource/targetAverageUtilization",
                "/containerResource/target/averageUtilization",
            ),
            (
                "/containerResource/targetAverageValue",
                "/containerResource/target/averageValue",
            ),
        ],
        "Pods" => &[
            ("/pods/metricName", "/pods/metric/name"),
            ("/pods/selector", "/pods/metric/selector"),
            ("/pods/targetAverageValue", "/pods/target/averageValue"),
        ],
        "Object" => &[
            ("/object/metricName", "/object/metric/name"),
            ("/object/selector", "/object/metric/selector"),
            ("/object/target", "/object/describedObject"),
            ("/object/targetValue", "/object/wanted/value"),
            ("/object/averageValue", "/object/wanted/averageValue"),
        ],
        "External" => &[
            ("/external/metricName", "/external/metric/name"),
            ("/external/metricSelector", "/external/metric/selector"),
            ("/external/targetValue", "/external/target/value"),
            (
                "/external/targetAverageValue",
                "/external/target/averageValue",
            ),
        ],
        _ => &[],
    }
}

fn metric_to_v1(metric: &Value) -> Value {
    let mut metric = metric.clone();
    // What is aimed at is called `target` in one version, what is described in the other.
    if let Some(wanted) = value::remove(&mut metric, "/object/target") {
        set(&mut metric, "/object/wanted", wanted);
    }
    let kind = text(&metric, "/type").to_owned();
    rename(
        &mut metric,
        moved(&kind).iter().map(|(old, new)| (*new, *old)),
    );
    let field = lower(&kind);
    for rest in ["target", "metric", "wanted"] {
        if kind != "Object" || rest != "target" {
            value::remove(&mut metric, &format!("/{field}/{rest}"));
        }
    }
    metric
}

fn metric_to_v2(metric: &Value) -> Value {
    let mut metric = metric.clone();
    let kind = text(&metric, "/type").to_owned();
    rename(&mut metric, moved(&kind).iter().copied());
    if let Some(wanted) = value::remove(&mut metric, "/object/wanted") {
        set(&mut metric, "/object/target", wanted);
    }
    let target = format!("/{}/target", lower(&kind));
    let aim = ["averageUtilization", "averageValue", "value"]
        .into_iter()
        .find(|aim| !at(&metric, &format!("{target}/{aim}")).is_null());
    let aim = match aim {
        Some("averageUtilization") => "Utilization",
        Some("averageValue") => "AverageValue",
        _ => "Value",
    };
    set(&mut metric, &format!("{target}/type"), aim);
    metric
}

/// The field of a metric's type: `containerResource` of `ContainerResource`.
fn lower(kind: &str) -> String {
    let mut letters = kind.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_comes_back_as_it_was() {
        let target = Target {
            kind: Kind::HorizontalPodAutoscaler,
            group: "autoscaling".to_owned(),
            version: "v1".to_owned(),
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            subresource: String::new(),
        };
        let v2 = json!({
            "apiVersion": "autoscaling/v2",
            "metadata": { "name": "web" },
            "spec": {
                "maxReplicas": 3,
                "behavior": { "scaleDown": { "stabilizationWindowSeconds": 5 } },
                "metrics": [
                    { "type": "Resource", "resource": { "name": "cpu",
                        "target": { "type": "Utilization", "averageUtilization": 70 } } },
                    { "type": "Resource", "resource": { "name": "memory",
                        "target": { "type": "AverageValue", "averageValue": "1Gi" } } },
                    { "type": "Object", "object": { "metric": { "name": "queue" },
                        "describedObject": { "kind": "Service", "name": "web" },
                        "target": { "type": "Value", "value": "5" } } },
                ],
            },
            "status": { "conditions": [{ "type": "AbleToScale", "status": "True" }] },
        });
        let v1 = shown(&target, &v2).into_owned();
        assert_eq!(v1["apiVersion"], "autoscaling/v1");
        assert_eq!(
            v1["spec"],
            json!({ "maxReplicas": 3, "targetCPUUtilizationPercentage": 70 })
        );
        let others: Value = serde_json::from_str(text(&v1, METRICS)).unwrap();
        assert_eq!(
            others,
            json!([
                { "type": "Resource",
                    "resource": { "name": "memory", "targetAverageValue": "1Gi" } },
                { "type": "Object", "object": { "metricName": "queue", "targetValue": "5",
                    "target": { "kind": "Service", "name": "web" } } },
            ])
        );
        let mut back = v1;
        kept(&target, &mut back);
        set(&mut back, "/apiVersion", "autoscaling/v2");
        assert_eq!(back, v2);
    }
}
