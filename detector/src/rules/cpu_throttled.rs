//! A container's CPU limit holds it back.
//!
//! # What it finds
//!
//! A container that is stopped in at least a quarter of its CPU periods because it has used up what
//! its limit allows, and whose use is near the limit.
//!
//! # How it tells
//!
//! The node's kubelet counts periods in `/metrics/cadvisor`: of two counts, at least a minute of
//! periods apart, the share of throttled ones in between is at least a quarter, and
//! `stats/summary` shows a use of at least 80 % of the limit. Where the use is not known, half of
//! the periods are asked for (`likely`). A folder has one count, since the container started: it is
//! taken if the container has run for a minute, and is never more than `likely`.
//!
//! # Not before
//!
//! A minute of periods was counted.
//!
//! # Looks like
//!
//! - A program of many threads is throttled for moments while its use is far below the limit.
//! - A busy node without a limit: slow, but never throttled.
//!
//! # Remedy
//!
//! Raise or remove the CPU limit; let the program start no more threads than it may use cores.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::quantity::Quantity;
use crate::observation::CpuPeriods;
use crate::rules::{Judge, Need, Rule};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::CpuThrottled, needs: &[Need::CpuPeriods], judges: &[Judge::Node(judge)] };

/// The periods of a minute: Kubernetes lets them last 100 ms.
const MINUTE: u64 = 600;

/// The share of throttled periods that counts.
const SHARE: f64 = 0.25;

/// The share that counts where the use is not known.
const SHARE_ALONE: f64 = 0.5;

/// The share of the limit that is near it.
const NEAR: f64 = 0.8;

fn judge(node: &Node, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(name) = node.metadata.name.as_deref() else {
        return;
    };
    let samples = view.cpu_periods(name);
    let Some((_, latest)) = samples.last() else {
        return;
    };
    for ((namespace, pod, container), now) in latest {
        let before = samples.iter().rev().find_map(|(at, periods)| {
            let before = periods.get(&(namespace.clone(), pod.clone(), container.clone()))?;
            let apart = now.total.checked_sub(before.total)?;
            (apart >= MINUTE).then_some((*at, *before))
        });
        let Some(pod) = view.get::<Pod>(namespace, pod).found() else {
            continue;
        };
        if pod.node.as_deref() == Some(name) {
            findings.extend(throttled(pod, container, *now, before, view));
        }
    }
}

fn throttled(
    pod: &Pod,
    container: &str,
    now: CpuPeriods,
    before: Option<(Timestamp, CpuPeriods)>,
    view: &View<'_>,
) -> Option<Finding> {
    let container = pod.container(container)?;
    let started = container.running_since()?;
    let limits = container.spec.resources.as_ref()?.limits.as_ref()?;
    let limit = limits.get("cpu")?;
    let cores = Quantity::of(limit)?.as_f64();
    let (since, total, throttled) = match before {
        Some((at, before)) => {
            (at, now.total - before.total, now.throttled.saturating_sub(before.throttled))
        }
        None => (started, now.total, now.throttled),
    };
    if total < MINUTE || !view.ripe(started, SignedDuration::from_mins(1)) || cores <= 0.0 {
        return None;
    }
    let share = throttled.min(total) as f64 / total as f64;
    let used = used(pod, container.name(), view).map(|cores_used| cores_used / cores);
    let confidence = match (used, before) {
        (Some(used), Some(_)) if used >= NEAR && share >= SHARE => Confidence::Certain,
        (Some(used), None) if used >= NEAR && share >= SHARE => Confidence::Likely,
        (None, _) if share >= SHARE_ALONE => Confidence::Likely,
        _ => return None,
    };
    let workload = view.workload(pod);
    let name = container.name();
    let percent = (share * 100.0).round();
    let summary = format!(
        "Container {name} of {} is held back in {percent} % of its CPU periods by its limit of {}",
        workload.reference, limit.0
    );
    let culprit = workload.culprit(&format!("{}.resources.limits.cpu", container.path()));
    let command = format!("kubectl edit {}", workload.reference.kubectl());
    let counted = Evidence {
        object: Reference::namespaced("Pod", &pod.namespace, &pod.name),
        field: format!("metrics/cadvisor {name}"),
        quote: format!("{throttled} of {total} periods were throttled"),
        at: None,
    };
    Some(
        Finding::new(Class::CpuThrottled, workload.reference, culprit, since, summary)
            .container(name)
            .confidence(confidence)
            .detail("container", name)
            .detail("limit", limit.0.as_str())
            .detail("throttledShare", (share * 100.0).round() / 100.0)
            .evidence([counted])
            .remedy("Raise the CPU limit, or let the program use fewer threads", command),
    )
}

/// The cores that a container uses, by its kubelet's statistics.
fn used(pod: &Pod, container: &str, view: &View<'_>) -> Option<f64> {
    let (_, stats) = view.stats(pod.node.as_deref()?)?;
    let of_pod = stats.pods.iter().find(|used| {
        used.pod_ref.namespace == pod.namespace && used.pod_ref.name == pod.name
    })?;
    let used = of_pod.containers.iter().find(|used| used.name == container)?;
    Some(used.cpu.usage_nano_cores? as f64 / 1e9)
}
