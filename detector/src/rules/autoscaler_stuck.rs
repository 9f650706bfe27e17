//! # What it finds
//!
//! A HorizontalPodAutoscaler cannot find its target or read its metrics, or is at its maximum while
//! the metric stays above its target.
//!
//! # How it tells
//!
//! By its own conditions: `AbleToScale` False, `ScalingActive` False (but for `ScalingDisabled`:
//! someone asked for zero replicas), or `ScalingLimited` with reason `TooManyReplicas` while a
//! current metric is above its target.
//!
//! # Not before
//!
//! Five seconds for a target that is not there, a metrics API that is not served, or a missing
//! request; one minute for metrics otherwise: pods that just started have none yet. Five minutes at
//! the maximum.
//!
//! # Looks like
//!
//! - Pods that do not run give no metrics: then this is part of their trouble. So it is of a metrics
//!   server that does not run.
//! - `scaled-to-zero`: an autoscaler whose target has no replicas is disabled.
//!
//! # Remedy
//!
//! Bring the metrics server back, set requests, name the target right, or raise the maximum.

use jiff::SignedDuration;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
    MetricTarget, MetricValueStatus,
};
use k8s_openapi::api::core::v1::Service;

use crate::finding::Finding;
use crate::kubernetes::quantity::Quantity;
use crate::rules::{Judge, Rule, dependency};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::AutoscalerStuck,
    needs: &[],
    judges: &[Judge::HorizontalPodAutoscaler(judge)],
};

const BLIND: SignedDuration = SignedDuration::from_mins(1);
const SETTLED: SignedDuration = SignedDuration::from_secs(5);
const AT_MAXIMUM: SignedDuration = SignedDuration::from_mins(5);

fn judge(autoscaler: &HorizontalPodAutoscaler, view: &View<'_>, findings: &mut Vec<Finding>) {
    let spec = &autoscaler.spec;
    let Some(status) = &autoscaler.status else {
        return;
    };
    let namespace = autoscaler.metadata.namespace.as_deref().unwrap_or_default();
    let name = autoscaler.metadata.name.as_deref().unwrap_or_default();
    let object = Reference::namespaced("HorizontalPodAutoscaler", namespace, name);
    let target = &spec.scale_target_ref;
    let target = Reference::namespaced(&target.kind, namespace, &target.name);
    let is_above = is_above_target(spec, status);
    let stuck = status.conditions.iter().flatten().find_map(|condition| {
        let reason = condition.reason.as_deref().unwrap_or_default();
        let (field, patience) = match (condition.type_.as_str(), condition.status.as_str()) {
            ("AbleToScale", "False") if reason == "FailedGetScale" => {
                ("spec.scaleTargetRef", SETTLED)
            }
            ("ScalingActive", "False") if reason != "ScalingDisabled" => {
                let message = condition.message.as_deref().unwrap_or_default();
                (
                    "spec.metrics",
                    if is_lasting(message) { SETTLED } else { BLIND },
                )
            }
            ("ScalingLimited", "True") if reason == "TooManyReplicas" && is_above => {
                ("spec.maxReplicas", AT_MAXIMUM)
            }
            _ => return None,
        };
        let since = condition.last_transition_time.as_ref().map(|time| time.0);
        let since = since.or(autoscaler
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0))?;
        view.ripe(since, patience)
            .then_some((condition, reason, field, since))
    });
    let Some((condition, reason, field, since)) = stuck else {
        return;
    };
    let message = condition.message.clone().unwrap_or_default();
    let summary = if field == "spec.maxReplicas" {
        format!(
            "{object} is at its maximum of {} replicas, and the metric stays above its target",
            spec.max_replicas
        )
    } else {
        format!("{object} cannot scale {target}: {message}")
    };
    let evidence = Evidence {
        object: object.clone(),
        field: format!("status.conditions[type={}]", condition.type_),
        quote: message,
        at: Some(since),
    };
    let command = format!("kubectl describe {}", object.kubectl());
    findings.push(
        Finding::new(
            Class::AutoscalerStuck,
            object.clone(),
            object.field(field),
            since,
            summary,
        )
        .detail("reason", reason)
        .evidence([evidence])
        .remedy(
            "See what the autoscaler says, and mend its metrics, target or maximum",
            command,
        )
        .explained_by([target])
        .explained_by(metrics_servers(condition.message.as_deref(), view)),
    );
}

/// What serves the metrics API that does not answer: the metrics server, or the adapter of another
/// source of metrics, by the names that these have.
fn metrics_servers(message: Option<&str>, view: &View<'_>) -> Vec<Reference> {
    let asks = |api: &str| message.is_some_and(|message| message.contains(api));
    let names: &[&str] = if asks("resource metrics API") {
        &["metrics-server", "prometheus-adapter"]
    } else if asks("external metrics API") || asks("custom metrics API") {
        &["metrics-apiserver", "metrics-api", "metrics-adapter", "-adapter"]
    } else {
        return Vec::new();
    };
    let services = view.all::<Service>().filter(|service| {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        names.iter().any(|known| name.ends_with(known))
    });
    services.flat_map(|service| dependency::explainers(service, view)).collect()
}

/// Whether waiting for metrics would change nothing.
fn is_lasting(message: &str) -> bool {
    message.contains("could not find the requested resource")
        || message.contains("missing request for")
}

/// Whether a metric that is measured is above what it should be.
fn is_above_target(
    spec: &HorizontalPodAutoscalerSpec,
    status: &HorizontalPodAutoscalerStatus,
) -> bool {
    let asked = spec.metrics.iter().flatten();
    let measured = status.current_metrics.iter().flatten();
    // The status lists the metrics in the order of the specification.
    asked.zip(measured).any(|(asked, measured)| {
        let resource = || {
            Some((
                &asked.resource.as_ref()?.target,
                &measured.resource.as_ref()?.current,
            ))
        };
        let container = || {
            let asked = asked.container_resource.as_ref()?;
            Some((
                &asked.target,
                &measured.container_resource.as_ref()?.current,
            ))
        };
        let pods = || {
            Some((
                &asked.pods.as_ref()?.target,
                &measured.pods.as_ref()?.current,
            ))
        };
        let of_object = || {
            Some((
                &asked.object.as_ref()?.target,
                &measured.object.as_ref()?.current,
            ))
        };
        let external = || {
            Some((
                &asked.external.as_ref()?.target,
                &measured.external.as_ref()?.current,
            ))
        };
        let pair = resource()
            .or_else(container)
            .or_else(pods)
            .or_else(of_object)
            .or_else(external);
        pair.is_some_and(|(target, current)| exceeds(current, target))
    })
}

fn exceeds(current: &MetricValueStatus, target: &MetricTarget) -> bool {
    let amount = |quantity: &Option<_>| quantity.as_ref().and_then(Quantity::of);
    let above = |current: Option<Quantity>, target: Option<Quantity>| {
        target.is_some_and(|target| current.is_some_and(|current| current > target))
    };
    target.average_utilization.is_some_and(|target| {
        current
            .average_utilization
            .is_some_and(|current| current > target)
    }) || above(
        amount(&current.average_value),
        amount(&target.average_value),
    ) || above(amount(&current.value), amount(&target.value))
}
