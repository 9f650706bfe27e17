//! What the detector says of states of clusters, by area.

mod configuration;
mod crashes;
mod evictions;
mod properties;
mod scheduling;
mod support;
