//! The cluster, seen through the clients that people use.

mod client;
mod kubectl;
mod lifecycle;
mod nodes;
mod pods;
mod python;
mod scheduler;
mod trouble;
mod volumes;
mod workloads;
