//! # What it finds
//!
//! A pod has a node and does not start because a volume cannot be made, attached or mounted, and
//! what it refers to is not a missing ConfigMap or Secret.
//!
//! # How it tells
//!
//! A container waits with `ContainerCreating` or `PodInitializing`, and an event `FailedMount`,
//! `FailedAttachVolume` or `FailedMapVolume` of the pod within the last five minutes names the
//! volume and the error. Or a container is not made or started, because the kubelet or the runtime
//! cannot put a volume, or the part of it that `subPath` names, where it is to be mounted. For a pod
//! without a node: its claim waits for a provisioner that says `ProvisioningFailed`.
//!
//! # Not before
//!
//! 15 seconds after the first such event: the next try may succeed. Two minutes for a volume that
//! is still attached to another node, and for a provisioner.
//!
//! # Looks like
//!
//! - `config-map-missing`, `secret-missing` and their keys: the error names them.
//! - What keeps the storage driver that serves the volume from running: then this is part of that.
//! - `failed to sync configmap cache: timed out` and `no relationship found between node 'n' and this
//!   object` are start noise of healthy pods.
//!
//! # Remedy
//!
//! As the error says; the kubelet tries again by itself.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::facts::{Container, Event, Pod, Secret};
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::claims::{self, Trouble};
use crate::rules::{Judge, Need, Rule, agents, dropped, unschedulable};
use crate::verdict::{Class, Confidence, Culprit, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::VolumeMountFailed,
    needs: &[Need::List(Kind::Event)],
    judges: &[Judge::Pod(judge)],
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(15);
const SLOW: SignedDuration = SignedDuration::from_mins(2);
/// Tries are at most about two minutes apart.
const RETRIED: SignedDuration = SignedDuration::from_mins(5);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_finished() || pod.deleting.is_some() {
        return;
    }
    if pod.node.is_none() {
        provisioning(pod, view, findings);
        return;
    }
    for container in pod.containers() {
        findings.extend(at_start(pod, &container, view));
    }
    let waits = pod.containers().any(|container| {
        matches!(
            container.waiting(),
            Some(("ContainerCreating" | "PodInitializing", _))
        )
    });
    if !waits || pod.containers().any(|container| container.is_running()) {
        return;
    }
    let failures = view.events_of(pod).filter(|event| {
        matches!(
            event.reason.as_str(),
            "FailedMount" | "FailedAttachVolume" | "FailedMapVolume"
        ) && !is_of_another_class(&event.message)
    });
    // The event that names the volume, rather than the sum of them.
    let Some(event) = failures.max_by_key(|event| (event.message.contains("for volume \""), event.last)) else {
        return;
    };
    let (Some(first), Some(last)) = (event.first.or(event.last), event.last) else {
        return;
    };
    let is_attached = event.message.contains("Multi-Attach");
    let patience = if is_attached { SLOW } else { PATIENCE };
    // That a volume is in use elsewhere is said once, however often it is tried again.
    let is_present = match is_attached {
        true => view
            .latest_event(pod, &["SuccessfulAttachVolume"])
            .is_none_or(|attached| attached.last < Some(last)),
        false => dropped::is_present(event, view, RETRIED),
    };
    if !is_present || !view.ripe(first, patience) {
        return;
    }
    let unmounted = unmounted(&event.message);
    let is_missing = |name: &&str| refers_to_missing(pod, name, view);
    if !unmounted.is_empty() && unmounted.iter().all(|name| refers_to_missing(pod, name, view)) {
        return;
    }
    let others: Vec<&str> = unmounted.iter().copied().filter(|name| !is_missing(name)).collect();
    let named = named_volume(event).or(match others.as_slice() {
        [only] => Some(*only),
        _ => None,
    });
    let place = named.and_then(|name| place(pod, name, view));
    let workload = view.workload(pod);
    let culprit = match place {
        Some((index, _)) => culprit(pod, index, view),
        None => workload.reference.clone().whole(),
    };
    let name = place.map(|(_, name)| name).or(named).map(str::to_owned);
    let error = error(&event.message);
    let summary = format!(
        "Volume {} of {} cannot be mounted: {error}",
        name.as_deref().unwrap_or("(not named)"),
        workload.reference
    );
    let node = pod
        .node
        .as_deref()
        .map(|node| Reference::cluster("Node", node));
    let drivers = driver_of(&event.message)
        .map(|driver| agents::unready_drivers(driver, pod.node.as_deref(), view))
        .unwrap_or_default();
    findings.push(
        Finding::new(
            Class::VolumeMountFailed,
            workload.reference,
            culprit,
            first,
            summary,
        )
        .detail("volume", name)
        .detail("error", error)
        .evidence([event.evidence()])
        .remedy(
            "Mend what the error names; the kubelet tries again by itself",
            format!("kubectl describe {}", pod.reference().kubectl()),
        )
        .explained_by(drivers)
        .explained_by(node),
    );
}

/// A claim whose provisioner fails, of a pod that no node takes for it.
fn provisioning(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let complaint = unschedulable::complaint(pod);
    for claim in claims::of(pod) {
        // While the scheduler waits for the volume it says nothing.
        let is_waited_for = claims::has_node(pod, &claim.name, view);
        let is_stuck = complaint.is_some() || is_waited_for && pod.deleting.is_none();
        if !is_stuck || claims::trouble(pod, &claim.name, view) != Some(Trouble::BeingMade) {
            continue;
        }
        let object = claims::reference(pod, &claim.name);
        let failures = view.events_about(&object, "");
        let failures = failures.filter(|event| event.reason == "ProvisioningFailed");
        let Some(event) = failures.max_by_key(|event| event.last) else {
            continue;
        };
        let since = complaint.as_ref().map(|(_, since)| *since).or(event.first).or(event.last);
        let since = since.unwrap_or(view.now());
        let evidence = complaint.as_ref().map(|(evidence, _)| evidence.clone());
        let is_current = dropped::is_present(event, view, RETRIED);
        if !is_current || !view.ripe(since, SLOW) {
            continue;
        }
        let workload = view.workload(pod);
        let culprit = culprit(pod, claim.index, view);
        let summary = format!("No volume can be made for {object}: {}", event.message);
        findings.push(
            Finding::new(
                Class::VolumeMountFailed,
                workload.reference,
                culprit,
                since,
                summary,
            )
            .confidence(Confidence::Likely)
            .detail("volume", claim.volume)
            .detail("error", event.message.clone())
            .evidence([event.evidence()].into_iter().chain(evidence))
            .remedy(
                "See what the provisioner says",
                format!("kubectl describe {}", object.kubectl()),
            ),
        );
    }
}

/// A container that cannot be made because what it mounts is not as the mount says: the runtime
/// cannot put it there, or the kubelet cannot make the part of the volume that it asks for.
///
/// Source: `pkg/kubelet/kubelet_pods.go` (`makeMounts`); `opencontainers/runc: libcontainer/rootfs_linux.go`.
fn at_start(pod: &Pod, container: &Container<'_>, view: &View<'_>) -> Option<Finding> {
    let (reason, message) = container.waiting().unwrap_or_default();
    let ended = container.ended().next();
    let could_not_start = ended
        .filter(|run| !container.is_running() && !view.is_crash_over(pod, container, run))
        .filter(|run| matches!(run.reason.as_deref(), Some("StartError" | "ContainerCannotRun")));
    let is_making = matches!(
        reason,
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError"
    );
    let message = match could_not_start.and_then(|run| run.message.as_deref()) {
        Some(said) if !is_making => said,
        _ if is_making => message,
        _ => return None,
    };
    let mounts = container.spec.volume_mounts.iter().flatten();
    let quoted = |text: &str| message.contains(&format!("\"{text}\""));
    let by_sub_path = message.contains("subPath");
    let at_path = message.contains("error mounting \"") || message.contains("not a shared mount");
    let mount = mounts.into_iter().find(|mount| {
        by_sub_path && quoted(&mount.name)
            || at_path && message.contains(&format!("{}\"", mount.mount_path))
    })?;
    let volume = mount.name.as_str();
    let workload = view.workload(pod);
    let first = (view.events_of(pod))
        .filter(|event| event.reason == "Failed" && event.about.container() == Some(container.name()))
        .filter_map(|event| event.first)
        .min();
    let finished = ended.and_then(|run| run.finished_at.as_ref()).map(|time| time.0);
    let since = first.or(finished).or(pod.created).unwrap_or(view.now());
    let error = message.rfind("error mounting ").and_then(|at| message.get(at..));
    let error = error.unwrap_or(message).trim();
    let name = container.name();
    let summary = format!(
        "Volume {volume} cannot be mounted at {} of container {name} of {}: {error}",
        mount.mount_path, workload.reference
    );
    let mut volumes = pod.spec.volumes.iter().flatten();
    let culprit = match volumes.position(|volume| volume.name == mount.name) {
        Some(index) => culprit(pod, index, view),
        None => workload.culprit(&format!("{}.volumeMounts", container.path())),
    };
    let command = format!("kubectl edit {}", workload.reference.kubectl());
    Some(
        Finding::new(Class::VolumeMountFailed, workload.reference, culprit, since, summary)
            .container(name)
            .detail("volume", volume)
            .detail("error", error)
            .evidence([Evidence { at: Some(since), ..container.evidence(pod, "state", message) }])
            .remedy("Mount a file onto a file and a folder onto a folder, at a path that exists", command),
    )
}

/// The volume of this place in the pod, where the workload has it.
fn culprit(pod: &Pod, index: usize, view: &View<'_>) -> Culprit {
    let field = claims::field_of_volume(pod, index, view);
    view.workload(pod).reference.field(field)
}

/// The storage driver that a message says is not there, or does not answer.
///
/// Source: `pkg/volume/csi/csi_client.go`; `pkg/volume/csi/csi_attacher.go`.
fn driver_of(message: &str) -> Option<&str> {
    let named = |before: &str, after: &str| {
        let (_, rest) = message.split_once(before)?;
        Some(rest.split_once(after)?.0)
    };
    named("driver name ", " not found in the list of registered CSI drivers")
        .or_else(|| named("/plugins/", "/csi.sock"))
        .or_else(|| named("external-attacher of ", " CSI driver"))
}

fn is_of_another_class(message: &str) -> bool {
    let refers = ["configmap \"", "secret \""]
        .iter()
        .any(|kind| message.contains(kind));
    refers && message.contains("not found")
        || message.contains("references non-existent")
        || message.contains("failed to sync")
        || message.contains("not registered")
        // The API server's list of what a node's pods refer to lags behind their binding:
        // plugin/pkg/auth/authorizer/node/node_authorizer.go.
        || message.contains("no relationship found between node")
}

/// The volume that a message names: `MountVolume.SetUp failed for volume "data" : ...`.
fn named_volume(event: &Event) -> Option<&str> {
    let (_, rest) = event.message.split_once("for volume \"")?;
    Some(rest.split_once('"')?.0)
}

/// The volumes that a message sums up: `Unable to attach or mount volumes: unmounted volumes=[data
/// conf], ...`.
fn unmounted(message: &str) -> Vec<&str> {
    let names = message.split_once("unmounted volumes=[").and_then(|(_, rest)| rest.split_once(']'));
    names.map_or(Vec::new(), |(names, _)| names.split_whitespace().collect())
}

/// Whether a volume is of a ConfigMap or Secret that does not exist.
fn refers_to_missing(pod: &Pod, name: &str, view: &View<'_>) -> bool {
    let mut volumes = pod.spec.volumes.iter().flatten();
    let Some(volume) = volumes.find(|volume| volume.name == name) else {
        return false;
    };
    let config_map = |name: &str| view.get::<ConfigMap>(&pod.namespace, name).is_absent();
    let secret = |name: &str| view.get::<Secret>(&pod.namespace, name).is_absent();
    let parts = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let mut parts = parts.map(|part| (&part.config_map, &part.secret));
    volume.config_map.as_ref().is_some_and(|source| config_map(&source.name))
        || (volume.secret.as_ref().and_then(|source| source.secret_name.as_ref()))
            .is_some_and(|name| secret(name))
        || parts.any(|(of_map, of_secret)| {
            of_map.as_ref().is_some_and(|source| config_map(&source.name))
                || of_secret.as_ref().is_some_and(|source| secret(&source.name))
        })
}

/// A volume's place and name in the pod: messages name a claim's volume by its PersistentVolume.
fn place<'p>(pod: &'p Pod, name: &str, view: &View<'_>) -> Option<(usize, &'p str)> {
    let mut volumes = pod.spec.volumes.iter().flatten().enumerate();
    let named = volumes.find(|(_, volume)| volume.name == name);
    named
        .map(|(index, volume)| (index, volume.name.as_str()))
        .or_else(|| {
            claims::of(pod).into_iter().find_map(|claim| {
                let bound = claims::volume_of(pod, &claim.name, view)?;
                (bound.metadata.name.as_deref() == Some(name))
                    .then_some((claim.index, claim.volume))
            })
        })
}

/// What a message says went wrong, without the volume before it.
fn error(message: &str) -> String {
    let (_, error) = message.split_once("\" : ").unwrap_or(("", message));
    error.trim().to_owned()
}
