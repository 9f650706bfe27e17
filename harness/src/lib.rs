//! Injects every documented Kubernetes failure into a cluster and proves that a detector names the
//! cause, in time.
//!
//! - [`backend`]: the clusters that scenarios run on
//! - [`state`], [`journal`], [`claims`]: what outlives a process, and what several of them share
//! - [`recover`]: what undoes that which a run has left
//! - [`cli`]: the commands
//! - [`clock`]: the time of day
//! - [`diagnose`]: the detector, asked about a recorded cluster state
//! - [`run`]: one run of one scenario, the judge, and the suite that runs many side by side
//! - [`report`]: what a run prints

pub mod backend;
mod child;
pub mod claims;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod diagnose;
pub mod journal;
pub mod progress;
pub mod recover;
pub mod report;
pub mod run;
pub mod state;

#[cfg(test)]
mod generated;
pub mod scenario;
pub mod yaml;
