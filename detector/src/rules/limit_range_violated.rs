//! # What it finds
//!
//! A controller cannot make its pods because a LimitRange of their namespace refuses them: a
//! request or limit is below its minimum, above its maximum, or the two are too far apart.
//!
//! # How it tells
//!
//! The controller is short of pods, and the API server's refusal names the constraint; the
//! LimitRange of the namespace that has this very constraint is the culprit. If the LimitRanges are
//! known and none has it, it was changed since.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `quota-exceeded`: what all pods together ask for is too much.
//!
//! # Remedy
//!
//! Bring the pod's requests and limits into the range, or change the range.

use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};

use crate::finding::Finding;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resources::{amounts, step};
use crate::object::Kind;
use crate::rules::{Need, Rule};
use crate::rules::refusal::{self, Refusal, Refused};
use crate::verdict::{Class, Confidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::LimitRangeViolated,
    needs: &[Need::List(Kind::LimitRange)],
    judges: &refusal::judges::<Range>(),
};

struct Range;

/// One sentence of the API server.
///
/// Source: `plugin/pkg/admission/limitranger/admission.go`.
struct Constraint<'m> {
    /// `max`, `min` or `maxLimitRequestRatio`.
    bound: &'static str,
    resource: &'m str,
    /// `Container` or `Pod`.
    of: &'m str,
    amount: &'m str,
    sentence: &'m str,
}

impl Refused for Range {
    fn judge(refusal: &Refusal, view: &View<'_>, findings: &mut Vec<Finding>) {
        let constraints = constraints(&refusal.message);
        if constraints.is_empty() {
            return;
        }
        let ranges = view.in_namespace::<LimitRange>(&refusal.namespace);
        let place = ranges
            .filter_map(|range| {
                let items = &range.spec.as_ref()?.limits;
                let (index, constraint) = items.iter().enumerate().find_map(|(index, item)| {
                    Some((
                        index,
                        constraints
                            .iter()
                            .find(|constraint| has(item, constraint))?,
                    ))
                })?;
                Some((range.metadata.name.clone()?, index, constraint))
            })
            .min_by(|a, b| a.0.cmp(&b.0));
        let Some((name, index, constraint)) = place else {
            // Changed since, or not known: then there is no object to name.
            return;
        };
        let confidence = if view.is_listed(Kind::LimitRange, &refusal.namespace) {
            Confidence::Certain
        } else {
            Confidence::Likely
        };
        let object = Reference::namespaced("LimitRange", &refusal.namespace, &name);
        let subject = &refusal.subject;
        let field = format!(
            "spec.limits[{index}].{}{}",
            constraint.bound,
            step(constraint.resource)
        );
        let summary = format!(
            "{object} refuses the pods of {subject}: {}",
            constraint.sentence
        );
        findings.push(
            Finding::new(
                Class::LimitRangeViolated,
                subject.clone(),
                object.clone().field(field),
                refusal.since,
                summary,
            )
            .confidence(confidence)
            .detail("constraint", constraint.sentence)
            .evidence([refusal.evidence.clone()])
            .remedy(
                "Bring the pod's requests and limits into the range",
                format!("kubectl edit {}", subject.kubectl()),
            )
            .remedy(
                "Or change the range",
                format!("kubectl edit {}", object.kubectl()),
            ),
        );
    }
}

/// What a refusal says, sentence by sentence: several come in brackets.
fn constraints(message: &str) -> Vec<Constraint<'_>> {
    let forms = [
        ("maximum ", " usage per ", "max"),
        ("minimum ", " usage per ", "min"),
        (
            "",
            " max limit to request ratio per ",
            "maxLimitRequestRatio",
        ),
    ];
    let mut found = Vec::new();
    for (before, middle, bound) in forms {
        for (at, _) in message.match_indices(middle) {
            let start = message[..at].rfind([' ', '[']).map_or(0, |space| space + 1);
            let resource = &message[start..at];
            let Some(start) = start.checked_sub(before.len()) else {
                continue;
            };
            let sentence = &message[start..];
            let Some((of, rest)) = message[at + middle.len()..].split_once(" is ") else {
                continue;
            };
            // It has one comma, "... is 1Gi, but limit is 2Gi", or a full stop: "... is 1Gi.  No
            // limit is specified".
            let unset = rest.find(".  No ").filter(|at| !rest[..*at].contains(','));
            let amount = unset.or(rest.find(','));
            let (Some(at), true) = (amount, sentence.starts_with(before)) else {
                continue;
            };
            let (amount, said) = (&rest[..at], &rest[at + 1..]);
            let length = sentence.len() - said.len();
            let end = said
                .find([',', ']'])
                .map_or(sentence.len(), |end| length + end);
            found.push(Constraint {
                bound,
                resource,
                of,
                amount,
                sentence: &sentence[..end],
            });
        }
    }
    found
}

fn has(item: &LimitRangeItem, constraint: &Constraint<'_>) -> bool {
    let bounds = match constraint.bound {
        "max" => &item.max,
        "min" => &item.min,
        _ => &item.max_limit_request_ratio,
    };
    let amount = amounts(bounds.as_ref()).get(constraint.resource).copied();
    item.type_ == constraint.of
        && amount.is_some()
        && amount == constraint.amount.parse::<Quantity>().ok()
}
