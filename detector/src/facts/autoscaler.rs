use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::{Value, json};

use crate::object::{Described, Meta};

impl Described for HorizontalPodAutoscaler {
    fn meta(&self) -> Meta<'_> {
        Meta::of(&self.metadata)
    }

    fn decode(mut value: Value) -> Result<Self, serde_json::Error> {
        of_v1(&mut value);
        serde_json::from_value(value)
    }
}

/// Gives an autoscaler of version 1 the form of version 2: it has its conditions in an annotation,
/// and of metrics only the use of CPU in fields of its own. One of version 2 has neither.
///
/// Source: `pkg/apis/autoscaling/v1/conversion.go`.
fn of_v1(value: &mut Value) {
    let annotation = "/metadata/annotations/autoscaling.alpha.kubernetes.io~1conditions";
    let conditions = value.pointer(annotation).and_then(Value::as_str);
    let conditions = conditions.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let (asked, used) = (
        value
            .pointer("/spec/targetCPUUtilizationPercentage")
            .cloned(),
        value
            .pointer("/status/currentCPUUtilizationPercentage")
            .cloned(),
    );
    let of_cpu = |field: &str, percent: Value| {
        json!([{ "type": "Resource", "resource": {
            "name": "cpu", field: { "type": "Utilization", "averageUtilization": percent },
        }}])
    };
    if let (Some(asked), Some(spec)) = (asked, value.pointer_mut("/spec")) {
        spec["metrics"] = of_cpu("target", asked);
    }
    let Some(status) = value
        .pointer_mut("/status")
        .filter(|status| status.is_object())
    else {
        return;
    };
    if let Some(used) = used {
        status["currentMetrics"] = of_cpu("current", used);
    }
    if let Some(conditions) = conditions {
        status["conditions"] = conditions;
    }
}
