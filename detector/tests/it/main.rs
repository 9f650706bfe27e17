//! What the detector says of states of clusters, by area.

mod configuration;
mod evictions;
mod properties;
mod support;
