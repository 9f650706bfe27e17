//! # What it finds
//!
//! A pod stays Pending because no PersistentVolume satisfies a claim that it names, and none is
//! made for it.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, its claim is Pending, nothing provisions
//! volumes of its class, and each volume differs from the claim: in capacity, access modes, volume
//! mode, selector, or class, or belongs to another claim.
//!
//! # Not before
//!
//! Three seconds.
//!
//! # Looks like
//!
//! - `storage-class-missing`: the claim's class does not exist.
//! - A claim that waits for its first pod (`WaitForFirstConsumer`) is healthy until then.
//!
//! # Remedy
//!
//! Change the claim, or add a volume that satisfies it.

use jiff::SignedDuration;
use serde_json::json;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::claims::{self, Trouble};
use crate::rules::{Judge, Need, Rule, unschedulable};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::NoMatchingVolume,
    needs: &[Need::List(Kind::PersistentVolumeClaim), Need::List(Kind::PersistentVolume)],
    judges: &[Judge::Pod(judge)],
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some((evidence, since)) = unschedulable::complaint(pod) else {
        return;
    };
    for claim in claims::of(pod) {
        let Some(Trouble::NoVolume(reasons)) = claims::trouble(pod, &claim.name, view) else {
            continue;
        };
        if !view.ripe(since, PATIENCE) {
            return;
        }
        let subject = view.workload(pod).reference;
        let object = claims::reference(pod, &claim.name);
        let summary = format!("No PersistentVolume satisfies {object}, which {subject} needs");
        let volumes: Vec<_> = reasons
            .iter()
            .take(20)
            .map(|(name, reason)| json!({ "name": name, "reason": reason }))
            .collect();
        let command = format!("kubectl describe {}", object.kubectl());
        findings.push(
            Finding::new(Class::NoMatchingVolume, subject, object.whole(), since, summary)
                .detail("volumes", volumes)
                .detail("volume", claim.volume)
                .evidence([evidence.clone()])
                .remedy("See which volumes there are", "kubectl get persistentvolumes")
                .remedy("Add a volume that satisfies the claim, or change the claim", command),
        );
    }
}
