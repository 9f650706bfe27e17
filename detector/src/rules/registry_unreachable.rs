//! An image's registry cannot be reached or trusted, or serves no more for now.
//!
//! # What it finds
//!
//! A container that waits for an image whose registry does not resolve, connect, prove who it is,
//! or limits how often it may be asked.
//!
//! # How it tells
//!
//! The container waits with `ErrImagePull` or `ImagePullBackOff`, and the runtime's words tell of
//! the way to the registry: a name, a connection, a certificate, a limit of the rate, an answer
//! that it cannot serve, a layer that arrived cut off or changed. Words of no known class are taken
//! for such, and it is then `possible`: what the image, the credentials and the node are to blame
//! for, runtimes say in few ways.
//!
//! # Not before
//!
//! The pull fails for 5 s.
//!
//! # Looks like
//!
//! - `image-not-found`, `image-auth-failed`: the registry did answer.
//! - `image-invalid`: the image arrived, and cannot be unpacked.
//! - `node-pressure-eviction`: the node has no room for the image.
//! - `sandbox-failed`: the node's runtime itself does not answer.
//!
//! # Remedy
//!
//! See that the node resolves and reaches the registry and trusts its certificate; use a mirror or
//! credentials where the rate is limited.

use jiff::SignedDuration;

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::{Judge, Rule, image};
use crate::verdict::{Class, Reference};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::RegistryUnreachable, needs: &[], judges: &[Judge::Pod(judge)] };

/// How long a pull may fail: the next attempt often succeeds.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    for unpulled in image::unpulled(pod, view) {
        if unpulled.class != Class::RegistryUnreachable {
            continue;
        }
        let image = unpulled.container.spec.image.as_deref().unwrap_or_default();
        let (registry, _) = image::reference(image);
        let error = unpulled.error.clone();
        let is_limited = image::LIMITED.iter().any(|words| error.contains(words));
        let does = if is_limited { "limits how often" } else { "does not serve" };
        let problem = format!("cannot be pulled, for its registry {registry} {does}: {error}");
        let finding = image::finding(&unpulled, pod, view, (None, &problem));
        if !view.ripe(finding.since, PATIENCE) {
            continue;
        }
        let command = match &pod.node {
            Some(node) => format!("kubectl debug node/{node} -it --image=busybox -- nslookup {registry}"),
            None => format!("kubectl describe pod {} -n {}", pod.name, pod.namespace),
        };
        let finding = finding
            .detail("image", image)
            .detail("registry", registry)
            .detail("error", error)
            .explained_by(pod.node.as_deref().map(|node| Reference::cluster("Node", node)));
        findings.push(match is_limited {
            true => finding.remedy(
                "Pull with credentials, whose limit is higher, or from a mirror",
                image::command_for_secret(&pod.namespace, "NAME", registry),
            ),
            false => finding.remedy("See that the node resolves, reaches and trusts the registry", command),
        });
    }
}
