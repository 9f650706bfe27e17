//! # What it finds
//!
//! A controller cannot make its pods because a ResourceQuota of their namespace refuses them: it is
//! used up, or it demands a request or limit that the pods do not set.
//!
//! # How it tells
//!
//! A ReplicaSet or ReplicationController has the condition `ReplicaFailure`, or the latest event
//! of a StatefulSet, DaemonSet or Job that is short of pods, or of a CronJob, is `FailedCreate`, with
//! `exceeded quota` or `failed quota`; and the quota still has no room for what was requested.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `capacity-exhausted`: the pods exist, and no node has room.
//! - `limit-range-violated`, `pod-security-rejected`, `webhook-unavailable`: refused by another.
//!
//! # Remedy
//!
//! Raise the quota, ask for less, or remove what uses it up.

use k8s_openapi::api::core::v1::ResourceQuota;

use crate::finding::Finding;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resources::{Amounts, amounts, step};
use crate::rules::Rule;
use crate::rules::refusal::{self, Refusal, Refused, between};
use crate::verdict::{Class, Confidence, Evidence, Reference};
use crate::view::{Lookup, View};

pub(super) const RULE: Rule = Rule {
    class: Class::QuotaExceeded,
    needs: &[],
    judges: &refusal::judges::<Quota>(),
};

struct Quota;

impl Refused for Quota {
    fn judge(refusal: &Refusal, view: &View<'_>, findings: &mut Vec<Finding>) {
        let message = refusal.message.as_str();
        let exceeded = between(message, "exceeded quota: ", ", requested");
        let demanded = between(message, "failed quota: ", ": must specify");
        let Some(name) = exceeded.or(demanded) else {
            return;
        };
        let said = |part: &str, next: &str| named_amounts(between(message, part, next));
        let requested = said("requested: ", ", used: ");
        let mut used = said(", used: ", ", limited: ");
        let mut hard = said(", limited: ", "\n");
        let mut confidence = Confidence::Likely;
        match view.get::<ResourceQuota>(&refusal.namespace, name) {
            Lookup::Absent => return,
            Lookup::Unknown => {}
            Lookup::Found(quota) => {
                confidence = Confidence::Certain;
                let status = quota.status.clone().unwrap_or_default();
                let spec = quota.spec.clone().unwrap_or_default();
                used = amounts(status.used.as_ref());
                hard = amounts(spec.hard.as_ref().or(status.hard.as_ref()));
                let lacks = |(resource, amount): (&String, &Quantity)| {
                    let used = used.get(resource).copied().unwrap_or_default();
                    hard.get(resource)
                        .is_some_and(|hard| used + *amount > *hard)
                };
                if exceeded.is_some() && !requested.is_empty() && !requested.iter().any(lacks) {
                    return;
                }
            }
        }
        let short = requested.iter().find(|(resource, amount)| {
            let used = used.get(*resource).copied().unwrap_or_default();
            hard.get(*resource)
                .is_some_and(|hard| used + **amount > *hard)
        });
        let short = short.or_else(|| requested.iter().next());
        let demands = between(message, "must specify ", "\n");
        // Of what is demanded, the first: "limits.cpu for: app; limits.memory for: app".
        let first_demanded = demands.map(|demands| {
            let end = demands.find([' ', ',', ';']).unwrap_or(demands.len());
            demands[..end].to_owned()
        });
        let resource = short
            .map(|(resource, _)| resource.clone())
            .or(first_demanded);
        let object = Reference::namespaced("ResourceQuota", &refusal.namespace, name);
        let subject = &refusal.subject;
        let text = |amounts: &Amounts| {
            let resource = resource.as_ref()?;
            Some(amounts.get(resource)?.text(resource))
        };
        let summary = match (&resource, demands) {
            (_, Some(demands)) => {
                format!("{object} demands that the pods of {subject} set {demands}")
            }
            (Some(resource), None) => format!(
                "{object} leaves too little {resource} for the pods of {subject}: {} of {} used",
                text(&used).unwrap_or_default(),
                text(&hard).unwrap_or_default(),
            ),
            (None, None) => format!("{object} refuses the pods of {subject}"),
        };
        let culprit = match &resource {
            Some(resource) => object.clone().field(format!("spec.hard{}", step(resource))),
            None => object.clone().whole(),
        };
        let state = (confidence == Confidence::Certain).then(|| Evidence {
            object: object.clone(),
            field: "status.used".to_owned(),
            quote: text(&used).unwrap_or_default(),
            at: None,
        });
        let state = state.filter(|state| !state.quote.is_empty());
        let finding = Finding::new(
            Class::QuotaExceeded,
            subject.clone(),
            culprit,
            refusal.since,
            summary,
        )
        .confidence(confidence)
        .detail("resource", resource.clone())
        .detail("requested", text(&requested))
        .detail("used", text(&used))
        .detail("hard", text(&hard))
        .evidence([refusal.evidence.clone()])
        .evidence(state);
        let edit = |object: &Reference| format!("kubectl edit {}", object.kubectl());
        findings.push(match demands {
            Some(demands) => finding
                .remedy(format!("Set {demands} in the pod's template"), edit(subject))
                .remedy("Or demand less", edit(&object)),
            None => finding
                .remedy(
                    "See what uses it up",
                    format!("kubectl describe {}", object.kubectl()),
                )
                .remedy("Raise the quota", edit(&object)),
        });
    }
}

/// Reads `requests.memory=48Mi,pods=1`.
fn named_amounts(text: Option<&str>) -> Amounts {
    let pairs = text.unwrap_or_default().split(',');
    pairs
        .filter_map(|pair| {
            let (name, amount) = pair.trim().split_once('=')?;
            Some((name.to_owned(), amount.parse().ok()?))
        })
        .collect()
}
