//! What the detector says of states of clusters, by area.

mod properties;
