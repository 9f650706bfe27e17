//! Autoscalers, as far as they get in a cluster that serves no metrics.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go`, `replica_calculator.go`.

use std::time::Duration;

use serde_json::{Value, json};

use super::pods::int_or;
use crate::agenda::Work;
use crate::clock::seconds;
use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{at, list, set, text};
use crate::world::{World, put_condition};

const COMPONENT: &str = "horizontal-pod-autoscaler";

/// How often an autoscaler looks.
const PERIOD: Duration = Duration::from_secs(15);

/// Looks at an autoscaler's target and metrics, and says in its conditions what came of it.
pub(crate) fn sync(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(Kind::HorizontalPodAutoscaler, key).cloned() else {
        return;
    };
    let now = world.now();
    world.later(
        PERIOD,
        Work::Sync(Kind::HorizontalPodAutoscaler, key.clone()),
    );
    let target = at(&object, "/spec/scaleTargetRef");
    let of = Kind::named(text(target, "/apiVersion"), text(target, "/kind"));
    let found = of
        .filter(|kind| kind.facts().scale)
        .and_then(|kind| world.find(kind, &key.namespace, text(target, "/name")));
    let mut status = json!({ "kind": "HorizontalPodAutoscaler", "status": at(&object, "/status") });
    let time = seconds(now);
    let mut put = |kind: &str, is: &str, reason: &str, message: &str| {
        let condition = json!({ "type": kind, "status": is, "reason": reason, "message": message });
        put_condition(&mut status, condition, &time);
    };
    let mut told: Vec<(&str, String)> = Vec::new();
    let Some(found) = found else {
        let why = match of.filter(|kind| kind.facts().scale) {
            Some(kind) => format!("{} {:?} not found", kind.resource(), text(target, "/name")),
            None => format!(
                "no matches for kind {:?} in group {:?}",
                text(target, "/kind"),
                text(target, "/apiVersion")
                    .split_once('/')
                    .map_or("", |(group, _)| group)
            ),
        };
        put(
            "AbleToScale",
            "False",
            "FailedGetScale",
            &format!("the HPA controller was unable to get the target's current scale: {why}"),
        );
        told.push(("FailedGetScale", why));
        finish(world, key, &object, status, told);
        return;
    };
    put(
        "AbleToScale",
        "True",
        "SucceededGetScale",
        "the HPA controller was able to get the target's current scale",
    );
    let replicas = int_or(&found, "/spec/replicas", 0);
    let (least, most) = (
        int_or(&object, "/spec/minReplicas", 1),
        int_or(&object, "/spec/maxReplicas", 1),
    );
    let bounded = match replicas {
        0 => None,
        over if over > most => Some((most, "Current number of replicas above Spec.MaxReplicas")),
        under if under < least => {
            Some((least, "Current number of replicas below Spec.MinReplicas"))
        }
        _ => None,
    };
    if let (Some((size, why)), Some(kind)) = (bounded, of) {
        put(
            "AbleToScale",
            "True",
            "SucceededRescale",
            &format!("the HPA controller was able to update the target scale to {size}"),
        );
        let message = format!("New size: {size}; reason: {why}");
        world.event(
            COMPONENT,
            "",
            &object,
            "Normal",
            "SuccessfulRescale",
            &message,
        );
        world.modify(kind, &Key::of(&found), |found| {
            set(found, "/spec/replicas", size)
        });
        set(&mut status, "/status/desiredReplicas", size);
        set(&mut status, "/status/lastScaleTime", time.as_str());
    } else if replicas == 0 {
        put(
            "ScalingActive",
            "False",
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        );
    } else if let Some(metric) = list(&object, "/spec/metrics").first() {
        let (reason, first, why) = unread(metric);
        put(
            "ScalingActive",
            "False",
            reason,
            &format!("the HPA was unable to compute the replica count: {why}"),
        );
        told.push((reason, why.clone()));
        let all = list(&object, "/spec/metrics").len();
        told.push((
            "FailedComputeMetricsReplicas",
            format!("invalid metrics ({all} invalid out of {all}), first error is: {first}: {why}"),
        ));
    }
    set(
        &mut status,
        "/status/currentReplicas",
        int_or(&found, "/status/replicas", 0),
    );
    finish(world, key, &object, status, told);
}

/// Why a metric cannot be read: the reason, what was asked for, and in words.
fn unread(metric: &Value) -> (&'static str, String, String) {
    let missing = |group: &str, what: &str| {
        format!("the server could not find the requested resource (get {what}{group})")
    };
    match text(metric, "/type") {
        kind @ ("Resource" | "ContainerResource") => {
            let path = if kind == "Resource" {
                "/resource"
            } else {
                "/containerResource"
            };
            let (of, resource) = (at(metric, path), text(metric, &format!("{path}/name")));
            let fetch = format!(
                "unable to get metrics for resource {resource}: unable to fetch metrics from \
                 resource metrics API: {}",
                missing(".metrics.k8s.io", "pods")
            );
            let why = if text(of, "/target/type") == "Utilization" {
                format!("failed to get {resource} utilization: {fetch}")
            } else {
                format!("failed to get {resource} usage: {fetch}")
            };
            let reason = match kind {
                "Resource" => "FailedGetResourceMetric",
                _ => "FailedGetContainerResourceMetric",
            };
            (
                reason,
                format!("failed to get {resource} resource metric value"),
                why,
            )
        }
        "External" => {
            let called = text(metric, "/external/metric/name");
            let why = format!(
                "unable to get external metric {called}: unable to fetch metrics from external \
                 metrics API: {}",
                missing(".external.metrics.k8s.io", called)
            );
            (
                "FailedGetExternalMetric",
                format!("failed to get {called} external metric value"),
                why,
            )
        }
        kind => {
            let path = format!("/{}/metric/name", kind.to_lowercase());
            let called = text(metric, &path);
            let why = format!(
                "unable to get metric {called}: unable to fetch metrics from custom metrics API: {}",
                missing(".custom.metrics.k8s.io", called)
            );
            let reason = if kind == "Pods" {
                "FailedGetPodsMetric"
            } else {
                "FailedGetObjectMetric"
            };
            (
                reason,
                format!("failed to get {} metric value", kind.to_lowercase()),
                why,
            )
        }
    }
}

fn finish(world: &mut World, key: &Key, object: &Value, status: Value, told: Vec<(&str, String)>) {
    for (reason, message) in told {
        world.event(COMPONENT, "", object, "Warning", reason, &message);
    }
    let status = at(&status, "/status").clone();
    world.modify(Kind::HorizontalPodAutoscaler, key, |object| {
        set(object, "/status", status)
    });
}
