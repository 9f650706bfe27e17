//! Core `Endpoints`, in the form of the EndpointSlices that took their place: recordings of older
//! clusters, or of `kubectl get endpoints`, have nothing else.

use serde_json::{Value, json};

/// What the name of a slice starts with that was made of Endpoints: no object can have it.
const PREFIX: &str = "endpoints/";

/// Whether an object is Endpoints of the core group.
pub(super) fn are_endpoints(value: &Value) -> bool {
    value["kind"] == "Endpoints" && value["apiVersion"] == "v1"
}

/// The slices that say the same of addresses and ports: one for each subset, for its addresses share
/// its ports. Endpoints without a subset make one slice that is empty.
pub(super) fn slices(endpoints: &Value) -> Vec<Value> {
    let metadata = &endpoints["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let slice = |index: usize, subset: &Value| {
        let listed = |field: &str, ready: bool| {
            let addresses = subset[field].as_array().into_iter().flatten();
            let addresses = addresses.map(move |address| {
                json!({ "addresses": [address["ip"]], "conditions": { "ready": ready } })
            });
            addresses.collect::<Vec<_>>()
        };
        let mut listed_endpoints = listed("addresses", true);
        listed_endpoints.extend(listed("notReadyAddresses", false));
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": metadata["namespace"], "name": format!("{PREFIX}{name}/{index}"),
                "labels": { "kubernetes.io/service-name": name },
            },
            "addressType": "IPv4",
            "endpoints": listed_endpoints,
            "ports": subset["ports"].as_array().map_or(&[][..], Vec::as_slice),
        })
    };
    match endpoints["subsets"].as_array().map(Vec::as_slice) {
        None | Some([]) => vec![slice(0, &Value::Null)],
        Some(subsets) => subsets
            .iter()
            .enumerate()
            .map(|(index, subset)| slice(index, subset))
            .collect(),
    }
}

/// Whether a slice was made of Endpoints.
pub(super) fn is_made(name: &str) -> bool {
    name.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_say_the_same_as_slices() {
        let endpoints = json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": { "namespace": "shop", "name": "db" },
            "subsets": [{
                "addresses": [{ "ip": "10.0.0.7", "targetRef": { "kind": "Pod", "name": "db-0" } }],
                "notReadyAddresses": [{ "ip": "10.0.0.8" }],
                "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
            }],
        });
        assert!(are_endpoints(&endpoints));
        let expected = json!([{
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": "shop", "name": "endpoints/db/0",
                "labels": { "kubernetes.io/service-name": "db" },
            },
            "addressType": "IPv4",
            "endpoints": [
                { "addresses": ["10.0.0.7"], "conditions": { "ready": true } },
                { "addresses": ["10.0.0.8"], "conditions": { "ready": false } },
            ],
            "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
        }]);
        assert_eq!(Value::from(slices(&endpoints)), expected);
        let empty = json!({ "kind": "Endpoints", "metadata": { "name": "db" }, "subsets": [] });
        assert_eq!(slices(&empty).len(), 1);
    }
}
