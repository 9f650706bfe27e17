//! A container is ended again and again because its liveness probe fails.
//!
//! # What it finds
//!
//! A container whose liveness probe, and not its program, ends it.
//!
//! # How it tells
//!
//! An event `Killing`, of type Normal, says that the container `failed liveness probe`, and belongs
//! to the run that ended last. The exit code can be anything: 137, 143, or 0 where the program ends
//! well when told to. The port is compared with those that the container declares.
//!
//! # Not before
//!
//! The first time that the probe ended it; after a run of more than ten minutes only if the probe
//! fails again. Over when the present run has outlasted twice the longest of the last three plus
//! 10 s, or 10 minutes.
//!
//! # Looks like
//!
//! - `crash-unexplained`, `exits-normally`: no event tells of a probe.
//! - `oom-killed`: exit code 137 too.
//! - `startup-probe-failing`: the event names the startup probe.
//! - A probe that fails because of what the program depends on is part of that verdict.
//!
//! # Remedy
//!
//! Let the probe ask a port and path that the program answers, give it time (`timeoutSeconds`,
//! `failureThreshold`), and a startup probe where the program starts slowly.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::probes::{self, Which};
use crate::rules::{Judge, Need, Rule};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule =
    Rule { class: Class::LivenessProbeFailing, needs: &[Need::List(Kind::Event)], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let looked_for = (Class::LivenessProbeFailing, Which::Liveness);
    probes::judge_killed(looked_for, pod, view, findings);
}
