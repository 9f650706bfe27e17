//! A container or volume refers to a ConfigMap that does not exist.
//!
//! # What it finds
//!
//! A pod whose containers cannot be created, or whose volumes cannot be mounted, because a
//! ConfigMap that it names and that is not optional does not exist in its namespace.
//!
//! # How it tells
//!
//! The pod refers to a ConfigMap that is absent while all ConfigMaps of its namespace are known,
//! and a container waits: with reason `CreateContainerConfigError` for a variable, or with
//! `ContainerCreating` and a `FailedMount` event of the pod for a volume.
//!
//! # Not before
//!
//! At once; for a volume whose `FailedMount` event is missing, once the pod waited for a minute.
//!
//! # Looks like
//!
//! - `config-map-key-missing`: the ConfigMap exists, the key does not.
//! - `failed to sync configmap cache: timed out waiting for the condition` is start noise of
//!   healthy pods: the ConfigMap exists.
//!
//! # Remedy
//!
//! Create the ConfigMap; the pod starts by itself. A volume is tried again after up to two minutes.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::references::Source;
use crate::rules::config_source::{self, Missing};
use crate::rules::{Judge, Rule};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::ConfigMapMissing, needs: &[], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let looked_for = (Class::ConfigMapMissing, Source::ConfigMap, Missing::Object);
    config_source::judge(looked_for, pod, view, findings);
}
