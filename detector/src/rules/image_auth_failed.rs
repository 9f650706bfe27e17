//! A registry does not give an image to those who ask: wrong credentials, or none.
//!
//! # What it finds
//!
//! A container that waits for an image which its registry refuses.
//!
//! # How it tells
//!
//! The container waits with `ErrImagePull` or `ImagePullBackOff`, and the runtime's words say that
//! the registry answered 401 or 403, or denies access. If the pod names a pull secret that does not
//! exist, or is none, that Secret is to blame; if it names others, the first of them; if it names
//! none, the pod.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `image-not-found`: the registry says that there is no such image.
//! - `registry-unreachable`: the registry's rate limit speaks of unauthenticated pulls, too.
//! - `FailedToRetrieveImagePullSecret` alone is no fault while the image can be had.
//!
//! # Remedy
//!
//! Create a pull secret for the registry and name it in `imagePullSecrets`, of the pod or of its
//! ServiceAccount.

use serde_json::json;

use crate::facts::{Pod, Secret};
use crate::finding::Finding;
use crate::rules::{Judge, Rule, image};
use crate::verdict::{Class, Reference};
use crate::view::{Lookup, View};

pub(super) const RULE: Rule =
    Rule { class: Class::ImageAuthFailed, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    for unpulled in image::unpulled(pod, view) {
        if unpulled.class != Class::ImageAuthFailed {
            continue;
        }
        let secrets = pod.spec.image_pull_secrets.iter().flatten();
        let secrets: Vec<&str> = secrets.map(|secret| secret.name.as_str()).collect();
        let is_useless = |name: &&&str| match view.get::<Secret>(&pod.namespace, name) {
            Lookup::Found(secret) => {
                !matches!(secret.type_.as_str(), "kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg")
            }
            Lookup::Absent => true,
            Lookup::Unknown => false,
        };
        let useless = secrets.iter().find(is_useless);
        let culprit = match useless.or(secrets.first()) {
            Some(name) => Reference::namespaced("Secret", &pod.namespace, *name).whole(),
            None => view.workload(pod).culprit("spec.imagePullSecrets"),
        };
        let problem = match (useless, secrets.is_empty()) {
            (Some(name), _) => format!("is refused by its registry: the pull secret {name} does not exist or is none"),
            (None, true) => "is refused by its registry: no pull secret is named".to_owned(),
            (None, false) => "is refused by its registry with the pull secret that is named".to_owned(),
        };
        let image = unpulled.container.spec.image.as_deref().unwrap_or_default();
        let (registry, _) = image::reference(image);
        let name = useless.or(secrets.first()).copied().unwrap_or("NAME");
        let exists = view.get::<Secret>(&pod.namespace, name).found().is_some();
        let command = image::command_for_secret(&pod.namespace, name, registry);
        let command = match exists {
            true => format!("{command} --dry-run=client -o yaml | kubectl apply -f -"),
            false => command,
        };
        findings.push(
            image::finding(&unpulled, pod, view, (Some(culprit), &problem))
                .detail("image", image)
                .detail("secrets", json!(secrets))
                .remedy("Give the registry's credentials in a pull secret, and name it in imagePullSecrets", command),
        );
    }
}
