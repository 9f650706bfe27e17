//! The cluster's name server, as kubeadm installs it.

use serde_json::{Value, json};

use crate::drive::made;
use crate::kinds::Kind;
use crate::world::World;

const HOME: &str = "kube-system";

/// Installs the name server: its pods run as any others do, and names resolve only while they do.
pub(crate) fn boot(world: &mut World) {
    let labels = json!({ "k8s-app": "kube-dns" });
    let account = json!({ "metadata": { "name": "coredns" } });
    made(world, Kind::ServiceAccount, HOME, account);
    let file = ".:53 {\n    errors\n    health {\n       lameduck 5s\n    }\n    ready\n    \
        kubernetes cluster.local in-addr.arpa ip6.arpa {\n       pods insecure\n       fallthrough \
        in-addr.arpa ip6.arpa\n       ttl 30\n    }\n    prometheus :9153\n    forward . \
        /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30 {\n       disable success \
        cluster.local\n       disable denial cluster.local\n    }\n    loop\n    reload\n    \
        loadbalance\n}\n";
    let map = json!({ "metadata": { "name": "coredns" }, "data": { "Corefile": file } });
    made(world, Kind::ConfigMap, HOME, map);
    let port = |name: &str, protocol: &str, port: u16| json!({ "name": name, "protocol": protocol, "port": port, "targetPort": port });
    let service = json!({
        "metadata": { "name": "kube-dns", "labels": { "k8s-app": "kube-dns",
            "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" } },
        "spec": { "clusterIP": "10.96.0.10", "selector": labels, "ports": [
            port("dns", "UDP", 53), port("dns-tcp", "TCP", 53), port("metrics", "TCP", 9153)] },
    });
    made(world, Kind::Service, HOME, service);
    let deployment = json!({
        "metadata": { "name": "coredns", "labels": labels },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": labels },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } },
            "template": { "metadata": { "labels": labels }, "spec": pod() },
        },
    });
    made(world, Kind::Deployment, HOME, deployment);
}

fn pod() -> Value {
    let probe = |path: &str, port: u16, delay: u16| {
        json!({ "httpGet": { "path": path, "port": port, "scheme": "HTTP" },
            "initialDelaySeconds": delay, "timeoutSeconds": 5, "failureThreshold": 5 })
    };
    let port = |name: &str, protocol: &str, port: u16| json!({ "name": name, "protocol": protocol, "containerPort": port });
    json!({
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "nodeSelector": { "kubernetes.io/os": "linux" },
        "tolerations": [
            { "key": "CriticalAddonsOnly", "operator": "Exists" },
            { "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" },
        ],
        "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100, "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": { "matchExpressions": [
                    { "key": "k8s-app", "operator": "In", "values": ["kube-dns"] }] } } }] } },
        "containers": [{
            "name": "coredns",
            "image": "registry.k8s.io/coredns/coredns:v1.12.1",
            "args": ["-conf", "/etc/coredns/Corefile"],
            "ports": [port("dns", "UDP", 53), port("dns-tcp", "TCP", 53),
                port("metrics", "TCP", 9153), port("liveness-probe", "TCP", 8080),
                port("readiness-probe", "TCP", 8181)],
            "resources": { "limits": { "memory": "170Mi" },
                "requests": { "cpu": "100m", "memory": "70Mi" } },
            "livenessProbe": probe("/health", 8080, 60),
            "readinessProbe": probe("/ready", 8181, 0),
            "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] } },
            "volumeMounts": [{ "name": "config-volume", "mountPath": "/etc/coredns",
                "readOnly": true }],
        }],
        "volumes": [{ "name": "config-volume", "configMap": { "name": "coredns",
            "items": [{ "key": "Corefile", "path": "Corefile" }] } }],
    })
}
