//! What the rules of memory share: a container's limit, and what a node says when it is out of
//! memory itself.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, ResourceRequirements};

use crate::facts::{Container, Event, Pod};
use crate::object::Kind;
use crate::rules::runs::{self, Ended};
use crate::verdict::Reference;
use crate::view::View;

/// What runtimes say when a container's first process does not survive its start.
///
/// Source: `opencontainers/runc`, `libcontainer/process_linux.go`.
pub(super) const AT_START: &str = "OOM-killed (memory limit too low?)";

/// How far the node's event and the end of the container can be apart.
const APART: SignedDuration = SignedDuration::from_secs(10);

/// The memory limit that binds a container, its own or its pod's, and where that stands in the pod.
pub(super) fn limit(pod: &Pod, container: &Container<'_>) -> Option<(String, String)> {
    let of = |resources: Option<&ResourceRequirements>| {
        let limit = resources?.limits.as_ref()?.get("memory")?;
        Some(limit.0.clone()).filter(|limit| limit != "0")
    };
    if let Some(limit) = of(container.spec.resources.as_deref()) {
        return Some((
            format!("{}.resources.limits.memory", container.path()),
            limit,
        ));
    }
    of(pod.spec.resources.as_deref())
        .map(|limit| ("spec.resources.limits.memory".to_owned(), limit))
}

/// The event by which the node tells that it was out of memory when this run ended.
///
/// Source: `pkg/kubelet/oom/oom_watcher_linux.go` (`SystemOOM`);
/// `node-problem-detector/config/kernel-monitor.json` (`OOMKilling`, also for a container's limit).
pub(super) fn node_event<'a>(ended: &Ended<'_>, pod: &Pod, view: &View<'a>) -> Option<&'a Event> {
    if ended.run.exit_code == 0 {
        return None;
    }
    let name = pod.node.as_deref()?;
    let node = view.get::<Node>("", name).found();
    let uid = node
        .and_then(|node| node.metadata.uid.as_deref())
        .unwrap_or_default();
    let end = ended.at()?;
    view.events_about(&Reference::cluster("Node", name), uid)
        .find(|event| {
            let of_node = match event.reason.as_str() {
                "SystemOOM" => true,
                "OOMKilling" => !event.message.contains("emory cgroup out of memory"),
                _ => false,
            };
            let near = |at: jiff::Timestamp| at.duration_since(end).abs() <= APART;
            of_node && (event.last.is_some_and(near) || event.first.is_some_and(near))
        })
}

/// Whether the run ended as a killed one does, and all who could have killed it are known not to
/// have done so.
pub(super) fn is_unexplained_kill(ended: &Ended<'_>, pod: &Pod, view: &View<'_>) -> bool {
    ended.run.exit_code == 137
        && ended.run.reason.as_deref() == Some("Error")
        && view.is_listed(Kind::Event, &pod.namespace)
        && runs::killer(ended, pod, view).is_none()
}
