//! Whether a node takes a pod that was bound to it.
//!
//! Source: `pkg/kubelet/lifecycle/predicate.go`, `pkg/kubelet/eviction/eviction_manager.go`.

use serde_json::Value;

use super::pod::Pod;
use crate::admission::{amounts, sum};
use crate::kinds::Kind;
use crate::quantity::Nanos;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{at, list, text};
use crate::world::World;

/// The reason and the message of a refusal.
pub(crate) fn check(world: &World, pod: &Pod, object: &Value) -> Result<(), (String, String)> {
    let Some(node) = world.store.get(Kind::Node, &Key::new("", &pod.node)) else {
        return Ok(());
    };
    let others: Vec<_> = world
        .store
        .pods_on(&pod.node)
        .into_iter()
        .filter(|other| crate::value::uid(other) != pod.uid)
        .filter(|other| !matches!(text(other, "/status/phase"), "Succeeded" | "Failed"))
        .collect();
    // Pods that came to the node after this one are not there yet.
    let others: Vec<_> = others
        .into_iter()
        .filter(|other| {
            let known = world.kubelets.pods.get(crate::value::uid(other));
            known.is_some_and(|known| known.stage > super::pod::Stage::New)
        })
        .collect();
    under_pressure(world, pod, object)?;
    let allocatable = amounts(node, "/status/allocatable");
    let room = |resource: &str| allocatable.get(resource).copied();
    if let Some(most) = room("pods") {
        let count = Nanos::try_from(others.len() + 1).unwrap_or(Nanos::MAX);
        if count * 1_000_000_000 > most {
            return Err(out_of(
                "pods",
                1_000_000_000,
                (count - 1) * 1_000_000_000,
                most,
            ));
        }
    }
    let wanted = sum(object, "/resources/requests");
    for (resource, asked) in wanted {
        if asked == 0 {
            continue;
        }
        let used: Nanos = others
            .iter()
            .map(|other| {
                sum(other, "/resources/requests")
                    .get(&resource)
                    .copied()
                    .unwrap_or(0)
            })
            .sum();
        let Some(most) = room(&resource) else {
            continue;
        };
        if used + asked > most {
            return Err(out_of(&resource, asked, used, most));
        }
    }
    let selector = Labels::of_map(at(object, "/spec/nodeSelector"));
    if !selector.select(node) {
        return Err((
            "NodeAffinity".to_owned(),
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
                .to_owned(),
        ));
    }
    for taint in list(node, "/spec/taints") {
        if text(taint, "/effect") == "NoExecute" && !tolerated(object, taint) {
            return Err((
                "TaintToleration".to_owned(),
                "Predicate TaintToleration failed: node(s) had untolerated taint(s)".to_owned(),
            ));
        }
    }
    let ports = host_ports(object);
    if others
        .iter()
        .any(|other| host_ports(other).iter().any(|port| ports.contains(port)))
    {
        return Err((
            "NodePorts".to_owned(),
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
                .to_owned(),
        ));
    }
    Ok(())
}

fn out_of(resource: &str, asked: Nanos, used: Nanos, most: Nanos) -> (String, String) {
    // Processors are counted in thousandths here.
    let count = |amount: Nanos| match resource {
        "cpu" => amount / 1_000_000,
        _ => amount / 1_000_000_000,
    };
    (
        format!("OutOf{resource}"),
        format!(
            "Node didn't have enough resource: {resource}, requested: {}, used: {}, capacity: {}",
            count(asked),
            count(used),
            count(most)
        ),
    )
}

fn host_ports(object: &Value) -> Vec<(String, i64)> {
    list(object, "/spec/containers")
        .iter()
        .flat_map(|container| list(container, "/ports"))
        .filter_map(|port| {
            let number = crate::value::int(port, "/hostPort").filter(|port| *port > 0)?;
            Some((text(port, "/protocol").to_owned(), number))
        })
        .collect()
}

fn tolerated(object: &Value, taint: &Value) -> bool {
    list(object, "/spec/tolerations").iter().any(|toleration| {
        let effect = text(toleration, "/effect");
        let key = text(toleration, "/key");
        (effect.is_empty() || effect == text(taint, "/effect"))
            && (key.is_empty() || key == text(taint, "/key"))
            && (text(toleration, "/operator") == "Exists"
                || text(toleration, "/value") == text(taint, "/value"))
    })
}

/// Under pressure a node takes only pods that are critical, or, where memory alone is short, that
/// ask for some.
fn under_pressure(world: &World, pod: &Pod, object: &Value) -> Result<(), (String, String)> {
    let Some(node) = world.kubelets.nodes.get(&pod.node) else {
        return Ok(());
    };
    let conditions = node.pressures();
    if conditions.is_empty() || is_critical(object) {
        return Ok(());
    }
    if conditions == ["MemoryPressure"] {
        let tolerates = list(object, "/spec/tolerations").iter().any(|toleration| {
            text(toleration, "/key") == "node.kubernetes.io/memory-pressure"
                && matches!(text(toleration, "/effect"), "" | "NoSchedule")
        });
        if tolerates || text(object, "/status/qosClass") != "BestEffort" {
            return Ok(());
        }
    }
    Err((
        "Evicted".to_owned(),
        format!("The node had condition: [{}]. ", conditions.join(" ")),
    ))
}

/// Source: `pkg/kubelet/types/pod_update.go`, `IsCriticalPod`.
pub(crate) fn is_critical(object: &Value) -> bool {
    const CRITICAL: i64 = 2_000_000_000;
    let annotations = at(object, "/metadata/annotations");
    let is_static = annotations
        .get("kubernetes.io/config.source")
        .is_some_and(|source| source != "api");
    is_static || crate::value::int(object, "/spec/priority").is_some_and(|one| one >= CRITICAL)
}
