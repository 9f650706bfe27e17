//! A container is ended again and again because its startup probe does not succeed in time.
//!
//! # What it finds
//!
//! A container that its startup probe ends before it has started.
//!
//! # How it tells
//!
//! As `liveness-probe-failing` does, by the event that says `failed startup probe`.
//!
//! # Not before
//!
//! The first time that the probe ended it. Over when the present run has outlasted twice the
//! longest of the last three plus 10 s, or 10 minutes.
//!
//! # Looks like
//!
//! - `liveness-probe-failing`: the event names the liveness probe.
//! - A start that still is within `failureThreshold` times `periodSeconds`.
//!
//! # Remedy
//!
//! Let the probe ask a port and path that the program answers, and give it the time that the
//! program needs to start.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::probes::{self, Which};
use crate::rules::{Judge, Need, Rule};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::StartupProbeFailing, needs: &[Need::List(Kind::Event)], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let looked_for = (Class::StartupProbeFailing, Which::Startup);
    probes::judge_killed(looked_for, pod, view, findings);
}
