//! The nodes that a cluster is made with.

use crashbook_sim::{Cluster, Config, NodeConfig};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

#[tokio::test(start_paused = true)]
async fn nodes_look_as_kinds_do() {
    let mut worker = NodeConfig::worker("worker");
    worker
        .system_reserved
        .insert("memory".to_owned(), "25Gi".to_owned());
    let cluster = Cluster::start(Config {
        nodes: vec![NodeConfig::control_plane("control-plane"), worker],
        ..Config::default()
    });
    let client = kube::Client::new(cluster.router(), "default");
    let nodes: Api<Node> = Api::all(client.clone());
    let found = nodes.list(&ListParams::default()).await.unwrap().items;
    let [control, worker] = found.as_slice() else {
        panic!("{found:?}");
    };
    let taints = control.spec.as_ref().unwrap().taints.as_ref().unwrap();
    assert_eq!(taints[0].key, "node-role.kubernetes.io/control-plane");
    let status = worker.status.as_ref().unwrap();
    assert_eq!(status.allocatable.as_ref().unwrap()["memory"].0, "7Gi");
    assert_eq!(status.capacity.as_ref().unwrap()["memory"].0, "32Gi");
    let conditions = status.conditions.as_ref().unwrap();
    let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.reason.as_deref(), Some("KubeletReady"));
    let labels = worker.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["kubernetes.io/hostname"], "worker");
    let spec = worker.spec.as_ref().unwrap();
    assert_eq!(spec.pod_cidr.as_deref(), Some("10.244.1.0/24"));

    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let lease = leases.get("worker").await.unwrap().spec.unwrap();
    assert_eq!(lease.lease_duration_seconds, Some(40));
}
