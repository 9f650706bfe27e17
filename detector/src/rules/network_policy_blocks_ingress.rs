//! NetworkPolicies that select the receiver admit nothing from the sender on its port.
//!
//! # What it finds
//!
//! A container that fails because what it sends is dropped where it arrives: NetworkPolicies
//! select the receiving pods for ingress, and none of their rules admits the sender and the port.
//! The subject is the sender, which suffers; the culprit is the receiver's policy.
//!
//! # How it tells
//!
//! As `network-policy-blocks-egress`, with the policies of the pods behind the address that the
//! container names.
//!
//! # Not before
//!
//! At once: what the policies deny is denied. Where nothing but the configuration names the
//! address: after the second failure. Of an init container that says nothing, and waits for what
//! its command names: 60 s after its start.
//!
//! # Looks like
//!
//! - `network-policy-blocks-egress`: the sender's own policies drop it.
//! - `dependency-unreachable`: the connection is refused, and so the host was reached; or nothing
//!   answers though the policies admit it.
//!
//! # Remedy
//!
//! Admit the sender and the port in a policy that selects the receiver.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::connection::Direction;
use crate::object::Kind;
use crate::rules::{Judge, Need, Rule, policy};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::NetworkPolicyBlocksIngress,
    needs: &[Need::List(Kind::NetworkPolicy)],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    policy::judge(Direction::Ingress, pod, view, findings);
}
