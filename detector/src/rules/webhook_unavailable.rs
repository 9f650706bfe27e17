//! # What it finds
//!
//! A controller cannot make its pods because an admission webhook that must answer cannot be
//! reached.
//!
//! # How it tells
//!
//! The controller is short of pods, the API server's refusal says `failed calling webhook`, and a
//! webhook of that name is still configured with `failurePolicy: Fail`. In an input without these
//! configurations, its Service is named as the refusal tells it (`likely`).
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - A webhook that answers and refuses (`denied the request`) does its work.
//! - What keeps the webhook's own pods from running: then this is part of that verdict.
//!
//! # Remedy
//!
//! Bring the webhook's service back, or take its configuration away.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Service;

use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::{Need, Rule, dependency};
use crate::rules::refusal::{self, Refusal, Refused, between};
use crate::verdict::{Class, Confidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::WebhookUnavailable,
    needs: &[
        Need::List(Kind::ValidatingWebhookConfiguration),
        Need::List(Kind::MutatingWebhookConfiguration),
    ],
    judges: &refusal::judges::<Webhook>(),
};

struct Webhook;

impl Refused for Webhook {
    fn judge(refusal: &Refusal, view: &View<'_>, findings: &mut Vec<Finding>) {
        let Some(name) = between(&refusal.message, "failed calling webhook \"", "\"") else {
            return;
        };
        let fails = |policy: &Option<String>| policy.as_deref().unwrap_or("Fail") == "Fail";
        let validating = view
            .all::<ValidatingWebhookConfiguration>()
            .find_map(|all| {
                let hooks = all.webhooks.iter().flatten().enumerate();
                let mut hooks =
                    hooks.filter(|(_, hook)| hook.name == name && fails(&hook.failure_policy));
                let (index, hook) = hooks.next()?;
                Some((
                    Kind::ValidatingWebhookConfiguration,
                    &all.metadata,
                    index,
                    &hook.client_config,
                ))
            });
        let mutating = || {
            view.all::<MutatingWebhookConfiguration>().find_map(|all| {
                let hooks = all.webhooks.iter().flatten().enumerate();
                let mut hooks =
                    hooks.filter(|(_, hook)| hook.name == name && fails(&hook.failure_policy));
                let (index, hook) = hooks.next()?;
                Some((
                    Kind::MutatingWebhookConfiguration,
                    &all.metadata,
                    index,
                    &hook.client_config,
                ))
            })
        };
        let Some((kind, metadata, index, client)) = validating.or_else(mutating) else {
            // Taken away since; or not known, and then its Service is what can be named.
            let kinds = [Kind::ValidatingWebhookConfiguration, Kind::MutatingWebhookConfiguration];
            if !kinds.iter().any(|kind| view.is_listed_everywhere(*kind)) {
                findings.extend(by_word(refusal, name, view));
            }
            return;
        };
        let object = Reference::cluster(kind.name(), metadata.name.as_deref().unwrap_or_default());
        let subject = &refusal.subject;
        let target = target(client);
        let summary = format!(
            "Webhook {name} of {object} cannot be reached{}, and {subject} gets no pods without it",
            target
                .as_ref()
                .map(|target| format!(" at {target}"))
                .unwrap_or_default()
        );
        let delete = format!("kubectl delete {}", object.kubectl());
        let mut finding = Finding::new(
            Class::WebhookUnavailable,
            subject.clone(),
            object.field(format!("webhooks[{index}].clientConfig")),
            refusal.since,
            summary,
        )
        .detail("webhook", name)
        .evidence([refusal.evidence.clone()]);
        match &client.service {
            Some(service) => {
                let known = view.get::<Service>(&service.namespace, &service.name).found();
                let behind = known.map(|known| dependency::explainers(known, view));
                let service = Reference::namespaced("Service", &service.namespace, &service.name);
                let command = format!("kubectl describe {}", service.kubectl());
                finding = finding
                    .detail_object("service", &service)
                    .explained_by(behind.unwrap_or_default())
                    .remedy("Bring the webhook's Service back", command);
            }
            None => finding = finding.detail("service", target),
        }
        findings.push(finding.remedy("Or take the webhook's configuration away", delete));
    }
}

/// Of a webhook whose configuration is not in the input: the API server tells where it calls,
/// `Post "https://guard.ops.svc:443/check?timeout=10s": ...`.
fn by_word(refusal: &Refusal, webhook: &str, view: &View<'_>) -> Option<Finding> {
    let host = between(&refusal.message, "https://", ".svc")?;
    let (name, namespace) = host.split_once('.')?;
    let service = Reference::namespaced("Service", namespace, name);
    let known = view.get::<Service>(namespace, name).found();
    let behind = known.map(|known| dependency::explainers(known, view));
    let subject = &refusal.subject;
    let summary =
        format!("Webhook {webhook} cannot be reached at {service}, and {subject} gets no pods without it");
    let command = format!("kubectl describe {}", service.kubectl());
    Some(
        Finding::new(
            Class::WebhookUnavailable,
            subject.clone(),
            service.clone().whole(),
            refusal.since,
            summary,
        )
        .confidence(Confidence::Likely)
        .detail("webhook", webhook)
        .detail_object("service", &service)
        .evidence([refusal.evidence.clone()])
        .explained_by(behind.unwrap_or_default())
        .remedy("Bring the webhook's Service back", command),
    )
}

fn target(client: &WebhookClientConfig) -> Option<String> {
    let service = client.service.as_ref();
    let service = service.map(|service| format!("Service {}/{}", service.namespace, service.name));
    service.or_else(|| client.url.clone())
}
