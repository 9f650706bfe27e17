//! The clusters that scenarios run on. Everything above speaks to a [`kube::Client`], and asks a
//! [`Backend`] only for what no API server gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use futures::future::BoxFuture;
use serde::Serialize;

use crate::{
    journal::{Journal, Target},
    progress::Progress,
};

/// A cluster, and the ways to break it that its API does not have.
pub trait Backend: std::fmt::Debug + Send + Sync {
    /// The backend's name, as after `--on`: `kind`, `context`.
    fn name(&self) -> &'static str;

    /// A client of the cluster's API.
    fn client(&self) -> kube::Client;

    /// The kubeconfig that reaches the cluster, for a program beside crashbook; its current
    /// context is the cluster's.
    fn kubeconfig(&self) -> Option<&Path>;

    /// The cluster, for [`Journal::open`] and [`crate::claims::acquire`].
    fn target(&self) -> &Target;

    /// The nodes that may be used, by pool.
    fn pools(&self) -> &Pools;

    /// What the cluster lacks of this: the reason to skip a scenario.
    fn lacks(&self, needs: &Needs) -> Option<String>;

    /// Sees to it that every node can start containers of these images without a registry. An
    /// image that is there is not loaded again.
    fn images<'a>(
        &'a self,
        images: &'a BTreeSet<String>,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Does this to a node. What has to be undone is in the journal first.
    fn node<'a>(
        &'a self,
        journal: &'a Journal,
        node: &'a str,
        fault: &'a NodeFault,
    ) -> BoxFuture<'a, Result<(), BackendError>>;
}

/// Nodes by pool. `general` takes any pod; the nodes of every other pool have the taint
/// `crashbook.dev/pool=POOL:NoSchedule`, and all have the label `crashbook.dev/pool: POOL`.
pub type Pools = BTreeMap<String, Vec<Node>>;

/// The label and the taint's key that name a node's pool.
pub const POOL: &str = "crashbook.dev/pool";

/// The pool without a taint.
pub const GENERAL: &str = "general";

/// A node, as templates see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What pods may request there, in the API's own words: `memory` in Ki, say.
    pub allocatable: BTreeMap<String, String>,
    /// What it has.
    pub capacity: BTreeMap<String, String>,
    /// What pods may really use there before its kubelet is short of it.
    pub room: Room,
}

/// How much of each resource pods may use on an idle node before the kubelet's eviction threshold
/// is met: what a load must exceed. None where no threshold is set, or it is not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// The kubelet's file system, in bytes.
    pub nodefs: Option<u64>,
    /// Files on the kubelet's file system.
    pub inodes: Option<u64>,
}

/// What a scenario needs of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// The cluster keeps NetworkPolicies.
    pub network_policy: bool,
    /// At least so many nodes of the pool `general`.
    pub workers: usize,
    /// A node of this pool, for itself.
    pub node: Option<String>,
    /// It changes nodes in ways that the API cannot.
    pub node_faults: bool,
    /// Containers beside the cluster.
    pub services: BTreeSet<String>,
}

/// What can be done to a node.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeFault {
    /// Stops its kubelet; its containers run on.
    Stop,
    /// Starts its kubelet, and waits until the node is Ready.
    Start,
    /// Fills the file system of its kubelet with a file of so many bytes.
    Fill {
        /// The size of the file.
        bytes: u64,
    },
    /// Sets the kubelet's eviction thresholds, all of them, and restarts it.
    Threshold {
        /// As the kubelet's `--eviction-hard` has it: `pid.available<1000`.
        eviction_hard: String,
    },
}

/// Why a backend cannot do what it was asked to. Each message names the thing, the cause and the
/// next step.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The backend has no such way.
    #[error("{backend} cannot {what}: {why}")]
    Unable {
        /// The backend's name.
        backend: &'static str,
        /// What was asked.
        what: String,
        /// Why not.
        why: String,
    },
}
