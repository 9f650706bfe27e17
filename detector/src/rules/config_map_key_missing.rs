//! A container or volume refers to a key that its ConfigMap does not have.
//!
//! # What it finds
//!
//! A pod whose containers cannot be created, or whose volumes cannot be mounted, because a
//! ConfigMap that it names exists and lacks a key that the pod needs and that is not optional.
//!
//! # How it tells
//!
//! The pod refers to the key of a ConfigMap that is there without it, and a container waits: with
//! reason `CreateContainerConfigError` for a variable, or with `ContainerCreating` and a
//! `FailedMount` event of the pod for an item of a volume, whose message names only the key.
//!
//! # Not before
//!
//! At once; for a volume whose `FailedMount` event is missing, once the pod waited for a minute.
//!
//! # Looks like
//!
//! - `config-map-missing`: the whole ConfigMap is absent.
//! - A key that `envFrom` passes over because it is no valid name of a variable: nobody waits.
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
    Rule { class: Class::ConfigMapKeyMissing, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let looked_for = (Class::ConfigMapKeyMissing, Source::ConfigMap, Missing::Key);
    config_source::judge(looked_for, pod, view, findings);
}
