//! What the templates of a scenario can name.

use std::collections::BTreeMap;

use crashbook_detector::kubernetes::quantity::Quantity;
use k8s_openapi::api::core::v1::Node;
use serde::Serialize;
use serde_json::Value;

use super::spec::Pool;

/// What the templates of a scenario can name: `namespace`, `node.POOL.…`, `service.NAME.…`.
///
/// A pool that the cluster lacks, or a service that was not started, is not there: naming it is an
/// error with a caret.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Context {
    /// The run's namespace.
    pub namespace: String,
    /// The first node of each pool, by the pool's name.
    pub node: BTreeMap<Pool, NodeFacts>,
    /// The containers beside the cluster that were started, by their names.
    pub service: BTreeMap<String, ServiceFacts>,
}

/// What is known of a node. Quantities are Kubernetes strings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// The names of all nodes of its pool.
    pub names: Vec<String>,
    /// `status.allocatable`: `memory`, `cpu`, `ephemeral-storage`, `pods`.
    pub allocatable: BTreeMap<String, String>,
    /// `status.capacity`.
    pub capacity: BTreeMap<String, String>,
    /// How much must be used up until the kubelet sees pressure: what is available now, less the
    /// hard eviction threshold, in bytes, inodes or processes. The keys are `memory`, `nodefs`,
    /// `imagefs`, `inodes` and `pid`; one without a threshold is not there.
    pub headroom: BTreeMap<String, String>,
    /// What is available now, by the same keys, whether there is a threshold or not.
    pub available: BTreeMap<String, String>,
}

/// What is known of a container beside the cluster.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServiceFacts {
    /// Its name on the network of the nodes.
    pub host: String,
    /// Its IP address there.
    pub address: String,
}

/// The signals of the kubelet that have a threshold, and where `stats/summary` has what is
/// available and what there is in all.
///
/// Source: pkg/kubelet/eviction/helpers.go, `makeSignalObservations`.
const SIGNALS: &[(&str, &str, &str, &str)] = &[
    (
        "memory",
        "memory.available",
        "/node/memory/availableBytes",
        "",
    ),
    (
        "nodefs",
        "nodefs.available",
        "/node/fs/availableBytes",
        "/node/fs/capacityBytes",
    ),
    (
        "imagefs",
        "imagefs.available",
        "/node/runtime/imageFs/availableBytes",
        "/node/runtime/imageFs/capacityBytes",
    ),
    (
        "inodes",
        "nodefs.inodesFree",
        "/node/fs/inodesFree",
        "/node/fs/inodes",
    ),
    ("pid", "pid.available", "", "/node/rlimit/maxpid"),
];

impl NodeFacts {
    /// Puts together what is known of a node: the object, its kubelet's `/configz` and
    /// `stats/summary`. What they lack is left out.
    pub fn new(node: &Node, configz: &Value, summary: &Value) -> Self {
        let status = node.status.clone().unwrap_or_default();
        let quantities = |map: Option<BTreeMap<String, _>>| {
            map.unwrap_or_default()
                .into_iter()
                .map(
                    |(key, quantity): (
                        _,
                        k8s_openapi::apimachinery::pkg::api::resource::Quantity,
                    )| { (key, quantity.0) },
                )
                .collect::<BTreeMap<_, _>>()
        };
        let name = node.metadata.name.clone().unwrap_or_default();
        let capacity = quantities(status.capacity);
        let thresholds = &configz["kubeletconfig"]["evictionHard"];
        let number = |pointer: &str| Some(i128::from(summary.pointer(pointer)?.as_u64()?));
        let memory = capacity.get("memory").and_then(|memory| whole(memory));
        let mut available = BTreeMap::new();
        let mut headroom = BTreeMap::new();
        for (key, signal, pointer, total) in SIGNALS {
            let total = match *key {
                "memory" => memory,
                _ => number(total),
            };
            let left = match *key {
                "pid" => total
                    .zip(number("/node/rlimit/curproc"))
                    .map(|(most, now)| most - now),
                _ => number(pointer),
            };
            let Some(left) = left else { continue };
            available.insert((*key).to_owned(), left.to_string());
            let threshold = thresholds.get(signal).and_then(Value::as_str);
            let threshold = threshold.and_then(|threshold| match threshold.strip_suffix('%') {
                // Of a hundredth of a percent, no kubelet's threshold has more.
                Some(percent) => Some(total? * whole(&format!("{percent}e4"))? / 1_000_000),
                None => whole(threshold),
            });
            if let Some(threshold) = threshold {
                let left = (left - threshold).max(0);
                headroom.insert((*key).to_owned(), left.to_string());
            }
        }
        Self {
            names: vec![name.clone()],
            name,
            allocatable: quantities(status.allocatable),
            headroom,
            available,
            capacity,
        }
    }
}

/// A quantity in whole units; none for a text that is no quantity.
fn whole(text: &str) -> Option<i128> {
    text.parse().ok().map(Quantity::ceil)
}

impl Context {
    /// A context in which every template of a sound scenario renders: nodes of 8 GiB in each of
    /// these pools and a service for each of these names.
    pub fn example<'a>(
        pools: impl IntoIterator<Item = &'a str>,
        services: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let size = map(&[
            ("cpu", "2"),
            ("memory", "7680Mi"),
            ("ephemeral-storage", "40Gi"),
            ("pods", "110"),
        ]);
        let node = |pool: &str| NodeFacts {
            name: format!("worker-{pool}"),
            names: vec![format!("worker-{pool}")],
            allocatable: size.clone(),
            capacity: size.clone(),
            headroom: map(&[
                ("memory", "1572864000"),
                ("nodefs", "838860800"),
                ("imagefs", "10737418240"),
                ("inodes", "60000"),
                ("pid", "20000"),
            ]),
            available: map(&[
                ("memory", "7516192768"),
                ("nodefs", "4294967296"),
                ("imagefs", "10737418240"),
                ("inodes", "1000000"),
                ("pid", "30000"),
            ]),
        };
        let service = |name: &str| ServiceFacts {
            host: name.to_owned(),
            address: "172.18.0.9".into(),
        };
        Self {
            namespace: "crashbook-example".into(),
            node: pools
                .into_iter()
                .map(|pool| (pool.to_owned(), node(pool)))
                .collect(),
            service: services
                .into_iter()
                .map(|name| (name.to_owned(), service(name)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn headroom_is_what_is_left_until_the_threshold() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "n"},
            "status": {"capacity": {"memory": "1000Ki"}, "allocatable": {"memory": "1Gi"}}
        }))
        .expect("a node");
        let configz = json!({"kubeletconfig": {"evictionHard": {
            "memory.available": "90%", "nodefs.available": "1Ki", "pid.available": "10"
        }}});
        let summary = json!({"node": {
            "memory": {"availableBytes": 972_800},
            "fs": {"availableBytes": 5000, "capacityBytes": 9000},
            "rlimit": {"maxpid": 100, "curproc": 30}
        }});
        let facts = NodeFacts::new(&node, &configz, &summary);
        let expected = [("memory", "51200"), ("nodefs", "3976"), ("pid", "60")];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(facts.headroom, BTreeMap::from(expected));
        let available = ["memory", "nodefs", "pid"].map(|key| facts.available[key].as_str());
        assert_eq!(available, ["972800", "5000", "70"]);
        assert_eq!(facts.allocatable["memory"], "1Gi");
    }
}
