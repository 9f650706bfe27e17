//! # What it finds
//!
//! A controller cannot make its pods because they violate the Pod Security level that their
//! namespace enforces.
//!
//! # How it tells
//!
//! The controller is short of pods, the API server's refusal says `violates PodSecurity`, and the
//! namespace's label still names that level. A namespace without the label may be held to the
//! cluster's own default: then it is likely.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `permission-denied`: the pod exists, and its program is refused something.
//!
//! # Remedy
//!
//! Change the pod's security context as the violations say, or the namespace's level.

use k8s_openapi::api::core::v1::Namespace;

use crate::finding::Finding;
use crate::rules::Rule;
use crate::rules::refusal::{self, Refusal, Refused, between};
use crate::verdict::{Class, Confidence, Reference};
use crate::view::{Lookup, View};

pub(super) const RULE: Rule = Rule {
    class: Class::PodSecurityRejected,
    needs: &[],
    judges: &refusal::judges::<Security>(),
};

const LABEL: &str = "pod-security.kubernetes.io/enforce";

struct Security;

impl Refused for Security {
    fn judge(refusal: &Refusal, view: &View<'_>, findings: &mut Vec<Finding>) {
        let message = &refusal.message;
        let Some(policy) = between(message, "violates PodSecurity \"", "\"") else {
            return;
        };
        let level = policy.split(':').next().unwrap_or(policy);
        let confidence = match view.get::<Namespace>("", &refusal.namespace) {
            Lookup::Absent => return,
            Lookup::Unknown => Confidence::Likely,
            Lookup::Found(namespace) => {
                let labels = namespace.metadata.labels.as_ref();
                match labels.and_then(|labels| labels.get(LABEL)) {
                    Some(enforced) if enforced == level => Confidence::Certain,
                    Some(_) => return,
                    None => Confidence::Likely,
                }
            }
        };
        let violations = between(message, &format!("\"{policy}\": "), "\n").unwrap_or_default();
        let list: Vec<&str> = split_outside_brackets(violations);
        let object = Reference::cluster("Namespace", &refusal.namespace);
        let subject = &refusal.subject;
        let summary = format!(
            "{object} enforces the Pod Security level {level}, which {subject} violates: \
                 {violations}"
        );
        findings.push(
            Finding::new(
                Class::PodSecurityRejected,
                subject.clone(),
                object.field(format!("metadata.labels[{LABEL:?}]")),
                refusal.since,
                summary,
            )
            .confidence(confidence)
            .detail("level", level)
            .detail("violations", list)
            .evidence([refusal.evidence.clone()])
            .remedy(
                "Change the pod's security context as the violations say",
                format!("kubectl edit {}", subject.kubectl()),
            ),
        );
    }
}

/// Splits at the commas that are in no brackets: `a != false (containers "x", "y"), b`.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}
