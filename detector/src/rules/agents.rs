//! What the rules of nodes share: the pods that serve a node, such as those of its network plugin,
//! and do not run. Their own trouble explains what is not served.

use std::collections::BTreeSet;

use crate::facts::Pod;
use crate::verdict::Reference;
use crate::view::View;

/// The workloads of the pods on a node that are not ready and are of this kind.
pub(super) fn unready_on(
    node: &str,
    view: &View<'_>,
    is_it: impl Fn(&Pod) -> bool,
) -> Vec<Reference> {
    unready(view.pods_on(node), view, is_it)
}

/// The workloads of those of the pods that are not ready and of this kind.
pub(super) fn unready<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    view: &View<'_>,
    is_it: impl Fn(&Pod) -> bool,
) -> Vec<Reference> {
    let pods = pods.filter(|pod| !pod.is_ready() && !pod.is_finished() && is_it(pod));
    let workloads: BTreeSet<Reference> = pods.map(|pod| view.workload(pod).reference).collect();
    workloads.into_iter().collect()
}

/// Whether a pod may be one of a network plugin: they need no network, and are no static pods.
pub(super) fn may_be_network_plugin(pod: &Pod) -> bool {
    pod.spec.host_network == Some(true) && !pod.is_static()
}

/// Whether a pod is one of the network plugin that a runtime has words about: it puts the plugin and
/// its configuration into folders of the node that are named after CNI, or it has the plugin's name.
///
/// Source: `github.com/containernetworking/cni: libcni/conf.go`, whose folders are `/etc/cni/net.d` and
/// `/opt/cni/bin`; distributions put them below others.
pub(super) fn is_network_plugin(pod: &Pod, words: &str) -> bool {
    if !may_be_network_plugin(pod) {
        return false;
    }
    let is_of_plugins = |path: &str| path.split('/').any(|folder| folder == "cni");
    if paths_of_node(pod).any(is_of_plugins) {
        return true;
    }
    let plugin = words
        .split_once("plugin type=\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let plugin = plugin.map_or("", |(plugin, _)| plugin);
    let names = || names(pod);
    let mut parts = plugin.split(['-', '.', '_']).filter(|part| part.len() > 2);
    parts.any(|part| names().any(|name| name.contains(part)))
}

/// The workloads that lead a node's connections to Services, and are not ready there.
pub(super) fn unready_proxies(node: &str, view: &View<'_>) -> Vec<Reference> {
    let is_it = |pod: &Pod| {
        may_be_network_plugin(pod) && names(pod).any(|name| name.contains("kube-proxy"))
    };
    unready_on(node, view, is_it)
}

/// The workloads that answer a node's pods for the name service, and are not ready there.
pub(super) fn unready_name_caches(node: &str, view: &View<'_>) -> Vec<Reference> {
    const DNS: i32 = 53;
    let is_it = |pod: &Pod| {
        let listens = pod.ports().any(|port| port.container_port == DNS);
        may_be_network_plugin(pod) && (listens || names(pod).any(|name| name.contains("local-dns")))
    };
    unready_on(node, view, is_it)
}

/// The workloads that take a taint of nodes away once they run, and do not: they tolerate it by its
/// name, and run on such a node or in kube-system.
pub(super) fn unready_for_taint<'n>(
    key: &str,
    nodes: impl Iterator<Item = &'n str>,
    view: &View<'_>,
) -> Vec<Reference> {
    let is_it = |pod: &Pod| {
        let mut tolerations = pod.spec.tolerations.iter().flatten();
        // All pods tolerate some for a while.
        tolerations.any(|one| one.key.as_deref() == Some(key) && one.toleration_seconds.is_none())
    };
    let on_nodes = nodes.flat_map(|node| unready_on(node, view, is_it));
    let mut workloads: Vec<Reference> = on_nodes.collect();
    workloads.extend(unready(
        view.in_namespace::<Pod>("kube-system"),
        view,
        is_it,
    ));
    workloads
}

/// The workloads of a storage driver that are not ready: those on a node, those beside them, and those
/// in kube-system.
pub(super) fn unready_drivers(driver: &str, node: Option<&str>, view: &View<'_>) -> Vec<Reference> {
    let is_it = |pod: &&Pod| is_storage_driver(pod, driver);
    let on_node: Vec<&Pod> = node
        .into_iter()
        .flat_map(|node| view.pods_on(node))
        .filter(is_it)
        .collect();
    let mut namespaces: BTreeSet<&str> = on_node.iter().map(|pod| pod.namespace.as_str()).collect();
    namespaces.insert("kube-system");
    let beside = namespaces
        .into_iter()
        .flat_map(|namespace| view.in_namespace::<Pod>(namespace));
    // Of the pods that serve nodes, those on other nodes do not matter.
    let beside = beside.filter(|pod| !is_of_daemon_set(pod)).filter(is_it);
    unready(on_node.iter().copied().chain(beside), view, |_| true)
}

/// Whether a pod is one of this storage driver's: it says the driver's name, or, where it says none,
/// its own has CSI and the beginning of the driver's in it.
///
/// Source: `kubernetes-csi/node-driver-registrar: README.md`: the driver's socket is in
/// `/var/lib/kubelet/plugins/DRIVER`.
fn is_storage_driver(pod: &Pod, driver: &str) -> bool {
    let says_it = |text: &str| text.contains(driver);
    let containers = || pod.containers();
    let said = containers().any(|container| {
        let spec = container.spec;
        let arguments = spec.command.iter().chain(&spec.args).flatten();
        let values = spec
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value.as_ref());
        arguments.chain(values).any(|text| says_it(text))
    });
    if said || paths_of_node(pod).any(says_it) {
        return true;
    }
    let says_another = paths_of_node(pod).any(|path| path.contains("/kubelet/plugins/"));
    let first = driver.split('.').next().unwrap_or(driver);
    !says_another && names(pod).any(|name| name.contains("csi") && name.contains(first))
}

fn is_of_daemon_set(pod: &Pod) -> bool {
    pod.controller
        .as_ref()
        .is_some_and(|owner| owner.kind == "DaemonSet")
}

/// The node's own paths that a pod mounts.
fn paths_of_node(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.volumes.iter().flatten();
    volumes.filter_map(|volume| volume.host_path.as_deref())
}

/// The names of a pod and of its images.
fn names(pod: &Pod) -> impl Iterator<Item = &str> {
    let images = pod
        .containers()
        .filter_map(|container| container.spec.image.as_deref());
    images.chain([pod.name.as_str()])
}
