//! Injects every documented Kubernetes failure into a cluster and proves that a detector names the
//! cause, in time.
