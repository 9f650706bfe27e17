//! A container or volume refers to a key that its Secret does not have.
//!
//! # What it finds
//!
//! A pod whose containers cannot be created, or whose volumes cannot be mounted, because a Secret
//! that it names exists and lacks a key that the pod needs and that is not optional.
//!
//! # How it tells
//!
//! As `config-map-key-missing` does. Of a Secret nothing but the names of its keys is read.
//!
//! # Not before
//!
//! At once; for a volume whose `FailedMount` event is missing, once the pod waited for a minute.
//!
//! # Looks like
//!
//! - `secret-missing`: the whole Secret is absent.
//!
//! # Remedy
//!
//! Add the key, or name one that is there; the pod starts by itself. A volume is tried again after
//! up to two minutes.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::references::Source;
use crate::rules::config_source::{self, Missing};
use crate::rules::{Judge, Rule};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::SecretKeyMissing, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let looked_for = (Class::SecretKeyMissing, Source::Secret, Missing::Key);
    config_source::judge(looked_for, pod, view, findings);
}
