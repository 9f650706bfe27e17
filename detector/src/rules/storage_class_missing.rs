//! # What it finds
//!
//! A pod stays Pending because a claim that it names asks for a StorageClass that does not exist,
//! or for none while no class is the default.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, its claim is Pending, and the class is absent
//! while all classes are known. A class name that volumes share needs no StorageClass. Where the
//! classes are not known, the claim's event `ProvisioningFailed` decides (`likely`).
//!
//! # Not before
//!
//! Three seconds.
//!
//! # Looks like
//!
//! - `no-matching-volume`: the class exists, or is not needed, and no volume satisfies the claim.
//!   The events can be the same.
//!
//! # Remedy
//!
//! Name a class that exists. The class of a claim cannot be changed: make the claim again.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::claims::{self, Trouble};
use crate::rules::{Judge, Need, Rule, unschedulable};
use crate::verdict::{Class, Confidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::StorageClassMissing,
    needs: &[
        Need::List(Kind::PersistentVolumeClaim),
        Need::List(Kind::StorageClass),
    ],
    judges: &[Judge::Pod(judge)],
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some((evidence, since)) = unschedulable::complaint(pod) else {
        return;
    };
    for claim in claims::of(pod) {
        let Some(Trouble::NoClass { class }) = claims::trouble(pod, &claim.name, view) else {
            continue;
        };
        if !view.ripe(since, PATIENCE) {
            return;
        }
        let workload = view.workload(pod);
        let object = claims::reference(pod, &claim.name);
        let summary = match &class {
            Some(class) => format!("StorageClass {class}, which {object} names, does not exist"),
            None => format!("{object} names no StorageClass, and none is the default"),
        };
        let culprit = claims::culprit(pod, &claim.name, "spec.storageClassName", view);
        let events = view.events_about(&object, "");
        let said = events.filter(|event| {
            matches!(
                event.reason.as_str(),
                "ProvisioningFailed" | "FailedBinding"
            )
        });
        let said = said
            .max_by_key(|event| event.last)
            .map(|event| event.evidence());
        findings.push(
            Finding::new(
                Class::StorageClassMissing,
                workload.reference,
                culprit,
                since,
                summary,
            )
            .confidence(if view.is_listed_everywhere(Kind::StorageClass) {
                Confidence::Certain
            } else {
                Confidence::Likely
            })
            .detail("storageClass", class)
            .detail("volume", claim.volume)
            .evidence(said.into_iter().chain([evidence.clone()]))
            .remedy("See which classes there are", "kubectl get storageclasses")
            .remedy(
                "Make the claim again with a class that exists",
                format!("kubectl get {} -o yaml", object.kubectl()),
            ),
        );
    }
}
