//! What Kubernetes computes, computed again: so that a verdict rests on the state of objects and
//! not on the wording of a message.

pub mod references;
