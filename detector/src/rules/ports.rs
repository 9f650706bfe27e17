//! Which nodes have the host ports free that a pod asks for.

use crate::facts::Pod;
use crate::kubernetes::scheduling::{HostPort, NodeShape, host_ports};
use crate::verdict::Reference;
use crate::view::View;

/// The nodes on which no other pod takes a host port of this one.
pub(super) fn leave<'n>(
    pod: &Pod,
    nodes: Vec<&'n NodeShape>,
    view: &View<'_>,
) -> Vec<&'n NodeShape> {
    let asked = host_ports(&pod.spec);
    let is_free = |node: &&NodeShape| {
        !asked
            .iter()
            .any(|(port, _)| holder(port, &node.name, view).is_some())
    };
    nodes.into_iter().filter(is_free).collect()
}

/// The pod that takes this port of a node.
pub(super) fn holder(port: &HostPort, node: &str, view: &View<'_>) -> Option<Reference> {
    let load = view.load(node)?;
    let taken = load.ports.iter().find(|(taken, _)| taken.conflicts(port))?;
    let (namespace, name) = taken.1.first()?;
    Some(Reference::namespaced("Pod", namespace, name))
}
