//! A container or volume refers to a Secret that does not exist.
//!
//! # What it finds
//!
//! A pod whose containers cannot be created, or whose volumes cannot be mounted, because a Secret
//! that it names and that is not optional does not exist in its namespace.
//!
//! # How it tells
//!
//! As `config-map-missing` does. Secrets are often not readable: then the kubelet's own words,
//! `secret "x" not found`, are all there is, and the verdict is `likely`.
//!
//! # Not before
//!
//! At once; for a volume whose `FailedMount` event is missing, once the pod waited for a minute.
//!
//! # Looks like
//!
//! - `secret-key-missing`: the Secret exists, the key does not.
//! - `failed to sync secret cache: timed out waiting for the condition` is start noise of healthy
//!   pods: the Secret exists.
//! - `image-auth-failed`: a pull secret that is missing does not hold a pod up by itself.
//!
//! # Remedy
//!
//! Create the Secret; the pod starts by itself. A volume is tried again after up to two minutes.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::references::Source;
use crate::rules::config_source::{self, Missing};
use crate::rules::{Judge, Rule};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::SecretMissing, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let looked_for = (Class::SecretMissing, Source::Secret, Missing::Object);
    config_source::judge(looked_for, pod, view, findings);
}
