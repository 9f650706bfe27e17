//! The cluster, seen through the clients that people use.

mod client;
mod kubectl;
mod lifecycle;
mod nodes;
mod pods;
mod scheduler;
mod volumes;
mod workloads;
