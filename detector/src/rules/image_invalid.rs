//! What a container names cannot be pulled or run by anybody: it is no name of an image, an image
//! for other machines, or one that must not be pulled and is not there.
//!
//! # What it finds
//!
//! A container whose image reference does not parse; whose image is made for another architecture,
//! or cannot be unpacked; or whose image is not on the node while its pull policy is `Never`.
//!
//! # How it tells
//!
//! The container waits with `InvalidImageName` or `ErrImageNeverPull`, or the runtime says that
//! nothing in the manifest matches the platform, or (`likely`) that a layer cannot be unpacked. An
//! image of one foreign architecture can be pulled, and its program then fails with `exec format
//! error`, in the runtime's words or its log.
//!
//! # Not before
//!
//! At once.
//!
//! # Looks like
//!
//! - `image-not-found`: the name is one, and the registry does not know it.
//! - A script without its first line, which a shell runs all the same.
//!
//! # Remedy
//!
//! Name an image for the node's architecture; load it onto the node where it must not be pulled.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::runs::{self, Printed};
use crate::rules::{Judge, Rule, image};
use crate::verdict::{Class, Evidence};
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::ImageInvalid, needs: &[], judges: &[Judge::Pod(judge)] };

/// The kernel's word for a program of another architecture (ENOEXEC).
const FOREIGN: &str = "exec format error";

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    if pod.is_untroubled() {
        return;
    }
    let remedy = |finding: Finding| {
        let command = format!("kubectl edit {}", finding.subject.kubectl());
        finding.remedy("Name an image that exists for the node's architecture", command)
    };
    for unpulled in image::unpulled(pod, view) {
        if unpulled.class != Class::ImageInvalid {
            continue;
        }
        let image = unpulled.container.spec.image.as_deref().unwrap_or_default();
        let problem = format!("cannot be used: {}", unpulled.error);
        let finding = image::finding(&unpulled, pod, view, (None, &problem));
        findings.push(remedy(finding.detail("image", image)));
    }
    for ended in runs::ended(pod, view) {
        if ended.run.exit_code == 0 {
            continue;
        }
        let message = ended.run.message.as_deref().unwrap_or_default();
        let printed = match runs::printed(&ended, pod, view) {
            Printed::Read(words) => {
                let line = words.lines.iter().rev().take(3).find(|line| line.text.contains(FOREIGN));
                line.map(|line| words.evidence(line))
            }
            _ => None,
        };
        if !message.contains(FOREIGN) && printed.is_none() {
            continue;
        }
        let workload = view.workload(pod);
        let name = ended.container.name();
        let image = ended.container.spec.image.as_deref().unwrap_or_default();
        let summary = format!(
            "The image {image} of container {name} of {} is made for another architecture than its node's",
            workload.reference
        );
        let culprit = workload.culprit(&format!("{}.image", ended.container.path()));
        let said: Option<Evidence> = printed;
        let since = ended.since(pod, view);
        findings.push(remedy(
            Finding::new(Class::ImageInvalid, workload.reference, culprit, since, summary)
                .container(name)
                .detail("container", name)
                .detail("image", image)
                .evidence(said)
                .evidence([ended.evidence(pod)]),
        ));
    }
}
