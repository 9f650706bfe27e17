//! What the detector says of states of clusters, by area.

mod admission;
mod agents;
mod claims;
mod configuration;
mod connections;
mod containers;
mod controllers;
mod crashes;
mod evictions;
mod incidents;
mod neighbours;
mod nodes;
mod properties;
mod scheduling;
mod services;
mod support;
mod words;
