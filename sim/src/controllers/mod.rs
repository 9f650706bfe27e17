//! What brings the cluster to what its objects ask for.

pub(crate) mod garbage;
pub(crate) mod namespaces;
pub(crate) mod volumes;
