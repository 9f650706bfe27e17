//! What Kubernetes computes, computed again: so that a verdict rests on the state of objects and
//! not on the wording of a message.

mod calico;
pub mod connection;
pub mod files;
pub mod network_policy;
pub mod quantity;
pub mod references;
pub mod resources;
pub mod scheduling;
pub mod selector;
pub mod services;
pub mod volumes;
