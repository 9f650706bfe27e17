//! NetworkPolicies that select the sender admit no path to the receiver's port.
//!
//! # What it finds
//!
//! A container that fails because what it sends is dropped: NetworkPolicies select its pod for
//! egress, and none of their rules admits the address and port that it connects to, or the name
//! service that it asks first.
//!
//! # How it tells
//!
//! A container's run ended with a failure, or it runs and its last words are of connections that
//! fail. Its last lines name an address, be it in a line that tells of no failure; only where they
//! name none does what it was given count: variables, arguments, mounted ConfigMaps. The address
//! leads to a Service and its pods, and the policies, computed as Kubernetes and Calico do, deny
//! the port that the Service translates to, on all of these pods. Where names do not resolve, the
//! way to port 53 of the name service is looked at in the same way.
//!
//! # Not before
//!
//! At once: what the policies deny is denied. Where nothing but the configuration names the
//! address: after the second failure. Of an init container that says nothing, and waits for what
//! its command names: 60 s after its start.
//!
//! # Looks like
//!
//! - `dependency-unreachable`: the connection is refused, and so the host was reached; or nothing
//!   answers though the policies admit it.
//! - `dns-unavailable`: names do not resolve though the policies admit port 53.
//! - `network-policy-blocks-ingress`: the receiver's policies drop it.
//! - A failure that its own words explain by something else.
//!
//! # Remedy
//!
//! Admit the port to the receiver. Programs connect again by themselves, or with their next start.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::connection::Direction;
use crate::object::Kind;
use crate::rules::{Judge, Need, Rule, policy};
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::NetworkPolicyBlocksEgress,
    needs: &[Need::List(Kind::NetworkPolicy)],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    policy::judge(Direction::Egress, pod, view, findings);
}
