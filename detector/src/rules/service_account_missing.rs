//! # What it finds
//!
//! A controller cannot make its pods because the ServiceAccount that they name does not exist.
//!
//! # How it tells
//!
//! The controller is short of pods, the API server's refusal says `serviceaccount "X" not found`,
//! and the ServiceAccount is still absent while all of its namespace are known.
//!
//! # Not before
//!
//! Three seconds: in a new namespace the account `default` comes a moment later.
//!
//! # Looks like
//!
//! - `access-denied`: the account exists, and may not do what the program asks.
//!
//! # Remedy
//!
//! Create the ServiceAccount, or name one that exists.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ServiceAccount;

use crate::finding::Finding;
use crate::rules::Rule;
use crate::rules::refusal::{self, Refusal, Refused, between};
use crate::verdict::{Class, Confidence, Reference};
use crate::view::{Lookup, View};

pub(super) const RULE: Rule = Rule {
    class: Class::ServiceAccountMissing,
    needs: &[],
    judges: &refusal::judges::<Account>(),
};

const PATIENCE: SignedDuration = SignedDuration::from_secs(3);

struct Account;

impl Refused for Account {
    fn judge(refusal: &Refusal, view: &View<'_>, findings: &mut Vec<Finding>) {
        let message = &refusal.message;
        let name = between(message, "serviceaccount \"", "\"");
        let Some(name) = name.filter(|_| message.contains("error looking up service account"))
        else {
            return;
        };
        let confidence = match view.get::<ServiceAccount>(&refusal.namespace, name) {
            Lookup::Found(_) => return,
            Lookup::Absent => Confidence::Certain,
            Lookup::Unknown => Confidence::Likely,
        };
        if !view.ripe(refusal.since, PATIENCE) {
            return;
        }
        let object = Reference::namespaced("ServiceAccount", &refusal.namespace, name);
        let subject = refusal.subject.clone();
        let summary = format!("{object} does not exist, and the pods of {subject} name it");
        let command = format!(
            "kubectl create serviceaccount {name} -n {}",
            refusal.namespace
        );
        findings.push(
            Finding::new(
                Class::ServiceAccountMissing,
                subject,
                object.whole(),
                refusal.since,
                summary,
            )
            .confidence(confidence)
            .evidence([refusal.evidence.clone()])
            .remedy(
                "Create the ServiceAccount, or name one that exists",
                command,
            ),
        );
    }
}
