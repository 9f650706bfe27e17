//! An image or its tag does not exist in its registry.
//!
//! # What it finds
//!
//! A container that waits for an image of which the registry answers that it does not have it.
//!
//! # How it tells
//!
//! The container waits with `ErrImagePull` or `ImagePullBackOff`, and the runtime's words, in the
//! waiting message or the event `Failed`, say `not found` or `manifest unknown`. Docker Hub does
//! not tell strangers whether a repository exists: for its official images, which are public, that
//! is taken for not found (`likely`). Where neither a message nor an event tells why the pull
//! failed, it is the most frequent reason (`possible`).
//!
//! # Not before
//!
//! At once; where nothing tells why, 15 s after the pod was started.
//!
//! # Looks like
//!
//! - `image-auth-failed`: the registry refuses the credentials, or none were sent.
//! - `registry-unreachable`: nobody answered; the host, not the image, may be what was not found.
//! - `image-invalid`: the name cannot be that of any image.
//!
//! # Remedy
//!
//! Name an image and tag that exist.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::{Judge, Rule, image};
use crate::verdict::{Class, Confidence};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::ImageNotFound, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    for unpulled in image::unpulled(pod, view) {
        if unpulled.class != Class::ImageNotFound {
            continue;
        }
        let image = unpulled.container.spec.image.as_deref().unwrap_or_default();
        let command = format!("kubectl edit {}", view.workload(pod).reference.kubectl());
        let problem = match unpulled.confidence {
            Confidence::Possible => "cannot be pulled, and nothing tells why: most often there is no such image",
            _ => "does not exist in its registry",
        };
        findings.push(
            image::finding(&unpulled, pod, view, (None, problem))
                .detail("image", image)
                .remedy("Name an image and tag that exist", command),
        );
    }
}
