//! A pod's sandbox, in which its containers would run, cannot be made.
//!
//! # What it finds
//!
//! A pod that stays without containers because the node's network plugin or container runtime
//! does not give it a sandbox.
//!
//! # How it tells
//!
//! The containers wait with `ContainerCreating`, none runs, and the pod's last event
//! `FailedCreatePodSandBox` is recent. The Node is to blame, for its plugin and runtime serve all
//! pods; the pod itself where it asks for a runtime that the node does not have. A runtime whose
//! socket does not answer, or whose disk cannot be written, when an image is to be pulled is to
//! blame in the same way (`likely`); so is one that does not get done with making a container.
//!
//! # Not before
//!
//! 20 s, or the third failure: network plugins often need a moment on a fresh node. At once where
//! the sandbox's own image cannot be had.
//!
//! # Looks like
//!
//! - `oom-killed`: the memory limit is too small for the sandbox to start in.
//! - `volume-mount-failed` and missing ConfigMaps: containers wait in the same way, the events are
//!   others.
//! - What keeps the pod of the node's network plugin from running: then this is part of that.
//!
//! # Remedy
//!
//! See to the node's network plugin and container runtime.

use jiff::SignedDuration;

use crate::facts::{Container, Pod};
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::{Judge, Need, Rule, agents, dropped, image, out_of_memory};
use crate::verdict::{Class, Confidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::SandboxFailed, needs: &[Need::List(Kind::Event)], judges: &[Judge::Pod(judge)] };

/// How long a sandbox may fail before it counts.
const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// For how long the last failure is taken for the present state: kubelets try again sooner.
const RECENT: SignedDuration = SignedDuration::from_mins(5);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.phase() != "Pending" && pod.is_ready() || pod.is_finished() || pod.deleting.is_some() {
        return;
    }
    unpulled(pod, view, findings);
    uncreated(pod, view, findings);
    let waits = |container: &Container<'_>| {
        matches!(container.waiting(), Some(("ContainerCreating" | "PodInitializing", _)))
    };
    if !pod.containers().any(|container| waits(&container))
        || pod.containers().any(|container| container.is_running())
    {
        return;
    }
    let Some(event) = view.latest_event(pod, &["FailedCreatePodSandBox"]) else {
        return;
    };
    let (Some(node), Some(last)) = (pod.node.as_deref(), event.last) else {
        return;
    };
    let since = event.first.unwrap_or(last);
    let later = view.latest_event(pod, &["Pulling", "Pulled", "Created", "Started"]);
    let is_past = later.is_some_and(|later| later.last > Some(last));
    let is_sure = event.count >= 3 || event.message.contains("failed to get sandbox image");
    if is_past
        || event.message.contains(out_of_memory::AT_START)
        || !dropped::is_present(event, view, RECENT)
        || !(is_sure || view.ripe(since, PATIENCE))
    {
        return;
    }
    let workload = view.workload(pod);
    let node = Reference::cluster("Node", node);
    let lacks_runtime = event.message.contains("no runtime for") || event.message.contains("RuntimeHandler");
    let of_pod = lacks_runtime && pod.spec.runtime_class_name.is_some();
    let culprit = if of_pod {
        workload.culprit("spec.runtimeClassName")
    } else {
        node.clone().whole()
    };
    let error = event.words();
    let error = error.strip_prefix("Failed to create pod sandbox: ").unwrap_or(error);
    let plugins = agents::unready_on(&node.name, view, |pod| agents::is_network_plugin(pod, error));
    let summary = format!("{node} cannot make a sandbox for {}: {error}", workload.reference);
    let remedy = match of_pod {
        true => (
            "Name a runtime class that the node has",
            format!("kubectl edit {}", workload.reference.kubectl()),
        ),
        false => (
            "See to the node's network plugin and container runtime",
            format!("kubectl describe node {}", node.name),
        ),
    };
    findings.push(
        Finding::new(Class::SandboxFailed, workload.reference, culprit, since, summary)
            .detail("error", error)
            .explained_by(plugins)
            .explained_by([node])
            .evidence([event.evidence()])
            .remedy(remedy.0, remedy.1),
    );
}

/// The runtime that is to pull the images does not answer, or cannot write its disk: it would make
/// no sandbox either.
fn unpulled(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(node) = pod.node.as_deref() else {
        return;
    };
    let node = Reference::cluster("Node", node);
    for unpulled in image::unpulled(pod, view) {
        if unpulled.class != Class::SandboxFailed {
            continue;
        }
        let error = unpulled.error.clone();
        let problem = format!("cannot be pulled by {node}'s runtime: {error}");
        let finding = image::finding(&unpulled, pod, view, (Some(node.clone().whole()), &problem));
        if !view.ripe(finding.since, PATIENCE) {
            continue;
        }
        let command = format!("kubectl describe node {}", node.name);
        findings.push(
            finding
                .detail("error", error)
                .explained_by([node.clone()])
                .remedy("See to the node's container runtime and its disk", command),
        );
    }
}

/// What a runtime says that does not get done with making a container, or cannot write its disk.
///
/// Source: `reserve` in `internal/registrar/registrar.go` of containerd, of the second try.
const OVERLOADED: [&str; 3] = [
    "failed to reserve container name",
    "context deadline exceeded",
    "no space left on device",
];

/// The runtime made a sandbox, and makes no container in it.
fn uncreated(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(node) = pod.node.as_deref() else {
        return;
    };
    for container in pod.containers() {
        let Some(("CreateContainerError", error)) = container.waiting() else {
            continue;
        };
        let event = view.latest_event(pod, &["Failed"]);
        let since = event.and_then(|event| event.first).or(pod.created);
        let since = since.unwrap_or(view.now());
        if !OVERLOADED.iter().any(|sign| error.contains(sign)) || !view.ripe(since, PATIENCE) {
            continue;
        }
        let workload = view.workload(pod);
        let node = Reference::cluster("Node", node);
        let name = container.name();
        let summary =
            format!("{node} cannot make container {name} of {}: {error}", workload.reference);
        let command = format!("kubectl describe node {}", node.name);
        findings.push(
            Finding::new(Class::SandboxFailed, workload.reference, node.clone().whole(), since, summary)
                .container(name)
                .confidence(Confidence::Likely)
                .detail("error", error)
                .explained_by([node])
                .evidence([container.evidence(pod, "state.waiting", error)])
                .remedy("See to the node's container runtime and its disk", command),
        );
    }
}
