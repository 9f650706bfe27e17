//! # What it finds
//!
//! A pod stays Pending because a PersistentVolumeClaim that it names does not exist.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable, and the claim is absent while all claims of
//! its namespace are known. Where they are not, the scheduler's message decides.
//!
//! # Not before
//!
//! Three seconds: a pod applied with its claim can be looked at first.
//!
//! # Looks like
//!
//! - `no-matching-volume`, `storage-class-missing`: the claim exists, and is not bound.
//!
//! # Remedy
//!
//! Create the claim, or name one that exists.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::claims::{self, Trouble};
use crate::rules::{Judge, Rule, unschedulable};
use crate::verdict::{Class, Confidence};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::ClaimMissing,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some((evidence, since)) = unschedulable::complaint(pod) else {
        return;
    };
    for claim in claims::of(pod) {
        let said = evidence.quote.contains(&format!(
            "persistentvolumeclaim \"{}\" not found",
            claim.name
        ));
        let trouble = claims::trouble(pod, &claim.name, view);
        let confidence = match trouble {
            Some(Trouble::Missing | Trouble::Leaving) => Confidence::Certain,
            None if said && !view.is_listed(Kind::PersistentVolumeClaim, &pod.namespace) => {
                Confidence::Likely
            }
            _ => continue,
        };
        if !view.ripe(since, PATIENCE) {
            return;
        }
        let workload = view.workload(pod);
        let object = claims::reference(pod, &claim.name);
        let is = match trouble {
            Some(Trouble::Leaving) => "is being deleted",
            _ => "does not exist",
        };
        let summary = format!(
            "{object} {is}, and volume {} of {} needs it",
            claim.volume, workload.reference
        );
        let field = claims::field_of_volume(pod, claim.index, view);
        findings.push(
            Finding::new(
                Class::ClaimMissing,
                workload.reference,
                object.whole(),
                since,
                summary,
            )
            .confidence(confidence)
            .detail("volume", claim.volume)
            .detail("reference", field)
            .evidence([evidence.clone()])
            .remedy(
                match trouble {
                    Some(Trouble::Leaving) => "Make the claim again once it is gone",
                    _ => "Create the claim, or name one that exists",
                },
                format!("kubectl get persistentvolumeclaims -n {}", pod.namespace),
            ),
        );
    }
}
