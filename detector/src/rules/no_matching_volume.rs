//! # What it finds
//!
//! A pod stays Pending because no PersistentVolume satisfies a claim that it names, and none is
//! made for it.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, its claim is Pending, nothing provisions
//! volumes of its class, and each volume differs from the claim: in capacity, access modes, volume
//! mode, selector, or class, belongs to another claim, or can only be used on nodes that the pod
//! cannot run on. Or the volume that the claim was bound to is gone. Or a provisioner is to make the
//! volume, and was not heard of (`likely`).
//!
//! # Not before
//!
//! Three seconds, also after the claim or its class was made: the volume may come next. Five minutes
//! for a provisioner that is silent.
//!
//! # Looks like
//!
//! - `storage-class-missing`: the claim's class does not exist.
//! - `volume-mount-failed`: the provisioner says that it fails.
//! - A claim that waits for its first pod (`WaitForFirstConsumer`) is healthy until then.
//!
//! # Remedy
//!
//! Change the claim, or add a volume that satisfies it.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::scheduling::NodeShape;
use crate::kubernetes::volumes::is_usable_on;
use crate::object::Kind;
use crate::rules::claims::{self, Trouble};
use crate::rules::unschedulable::Obstacle;
use crate::rules::{Judge, Need, Rule, agents, unschedulable};
use crate::verdict::{Class, Confidence, Evidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::NoMatchingVolume,
    needs: &[
        Need::List(Kind::PersistentVolumeClaim),
        Need::List(Kind::PersistentVolume),
    ],
    judges: &[Judge::Pod(judge)],
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

/// How long a provisioner may be silent.
const NEVER_MADE: SignedDuration = SignedDuration::from_mins(5);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let complaint = unschedulable::complaint(pod);
    for claim in claims::of(pod) {
        let Some((evidence, since)) = complaint.clone().or_else(|| waits(pod, &claim.name, view)) else {
            continue;
        };
        let is_silent = claims::trouble(pod, &claim.name, view) == Some(Trouble::BeingMade);
        let (reasons, confidence) = match claims::trouble(pod, &claim.name, view) {
            Some(Trouble::NoVolume(reasons)) => (reasons, Confidence::Certain),
            None => match elsewhere(pod, &claim.name, view) {
                Some(reasons) => (reasons, Confidence::Certain),
                None => continue,
            },
            Some(Trouble::BeingMade) if is_never_made(pod, &claim.name, since, view) => {
                (Vec::new(), Confidence::Likely)
            }
            Some(_) => continue,
        };
        let since = claims::made(pod, &claim.name, view).map_or(since, |made| since.max(made));
        if !view.ripe(since, PATIENCE) {
            continue;
        }
        let subject = view.workload(pod).reference;
        let object = claims::reference(pod, &claim.name);
        let driver = claims::provisioner(pod, &claim.name, view).filter(|_| is_silent);
        let summary = match driver {
            Some(driver) => format!("{driver} makes no volume for {object}, which {subject} needs"),
            None => format!("No PersistentVolume satisfies {object}, which {subject} needs"),
        };
        let drivers = driver.map(|driver| agents::unready_drivers(driver, None, view));
        let volumes: Vec<_> = reasons
            .iter()
            .take(20)
            .map(|(name, reason)| json!({ "name": name, "reason": reason }))
            .collect();
        let command = format!("kubectl describe {}", object.kubectl());
        findings.push(
            Finding::new(
                Class::NoMatchingVolume,
                subject,
                object.whole(),
                since,
                summary,
            )
            .confidence(confidence)
            .detail("volumes", volumes)
            .detail("volume", claim.volume)
            .evidence([evidence])
            .explained_by(drivers.unwrap_or_default())
            .remedy(
                "See which volumes there are",
                "kubectl get persistentvolumes",
            )
            .remedy(
                "Add a volume that satisfies the claim, or change the claim",
                command,
            ),
        );
    }
}

/// What is said of a claim for whose volume the scheduler chose a node, and waits: of the pod it says
/// nothing meanwhile, or that it waited in vain.
fn waits(pod: &Pod, claim: &str, view: &View<'_>) -> Option<(Evidence, Timestamp)> {
    let is_waiting = pod.node.is_none() && pod.deleting.is_none() && !pod.is_finished();
    if !is_waiting || !claims::has_node(pod, claim, view) {
        return None;
    }
    let events = view.events_about(&claims::reference(pod, claim), "");
    let said = events.filter(|event| event.reason == "ExternalProvisioning");
    let said = said.max_by_key(|event| event.last)?;
    Some((said.evidence(), said.first.or(said.last)?))
}

/// Whether nothing makes the volume of a claim: its provisioner has not said a word for long.
fn is_never_made(pod: &Pod, claim: &str, since: Timestamp, view: &View<'_>) -> bool {
    let mut events = view.events_about(&claims::reference(pod, claim), "");
    let says = ["ProvisioningFailed", "Provisioning", "ProvisioningSucceeded"];
    !events.any(|event| says.contains(&event.reason.as_str())) && view.ripe(since, NEVER_MADE)
}

/// The volumes that a claim could be bound to, if none of them can be used on a node that the pod
/// could run on.
fn elsewhere(pod: &Pod, claim: &str, view: &View<'_>) -> Option<Vec<(String, &'static str)>> {
    let volumes: Vec<_> = claims::waiting(pod, claim, view)?.collect();
    let stuck = unschedulable::of(pod, view)?;
    let is_usable = |node: &NodeShape| volumes.iter().any(|volume| is_usable_on(volume, node));
    if stuck.obstacle != Obstacle::Volumes || stuck.open_nodes().any(is_usable) {
        return None;
    }
    let names = volumes
        .iter()
        .filter_map(|volume| volume.metadata.name.clone());
    Some(names.map(|name| (name, "nodeAffinity")).collect())
}
