//! What judgements read, by name: for asking whether it has changed, and for finding it.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::LazyLock;

use foldhash::quality::RandomState;

use crate::object::Kind;

/// Something that a judgement can have read: when it changes, the judgement is made again.
///
/// A key is a hash; two things that share one cost a judgement too many, never one too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u64);

impl Key {
    fn of(what: impl Hash) -> Self {
        // Of each process its own: nobody can choose names that share a key.
        static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        Self(STATE.hash_one(what))
    }

    pub(crate) fn object(kind: Kind, namespace: &str, name: &str) -> Self {
        Self::of(("object", kind, namespace, name))
    }

    pub(crate) fn in_namespace(kind: Kind, namespace: &str) -> Self {
        Self::of(("namespace", kind, namespace))
    }

    pub(crate) fn of_kind(kind: Kind) -> Self {
        Self::of(("kind", kind))
    }

    /// The pods of a namespace that have a label of this value.
    pub(crate) fn pods_labelled(namespace: &str, key: &str, value: &str) -> Self {
        Self::of(("labelled", namespace, key, value))
    }

    pub(crate) fn pods_on(node: &str) -> Self {
        Self::of(("on", node))
    }

    /// What has an address in the cluster.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::of(("at", address))
    }

    pub(crate) fn pods_of(controller_uid: &str) -> Self {
        Self::of(("of", controller_uid))
    }

    pub(crate) fn nominated_to(node: &str) -> Self {
        Self::of(("nominated", node))
    }

    /// What the scheduler looks at of all nodes, and what is requested on them.
    pub(crate) fn scheduling() -> Self {
        Self::of("scheduling")
    }

    pub(crate) fn events_about(kind: &str, namespace: &str, name: &str) -> Self {
        Self::of(("events", kind, namespace, name))
    }

    pub(crate) fn logs_of(namespace: &str, pod: &str) -> Self {
        Self::of(("logs", namespace, pod))
    }

    pub(crate) fn stats_of(node: &str) -> Self {
        Self::of(("stats", node))
    }

    pub(crate) fn gone_in(namespace: &str) -> Self {
        Self::of(("gone", namespace))
    }

    pub(crate) fn gone_from(node: &str) -> Self {
        Self::of(("gone from", node))
    }
}
