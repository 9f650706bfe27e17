//! Who is behind each Service, in both forms that the API tells it in.
//!
//! Source: `pkg/controller/endpoint/endpoints_controller.go`,
//! `staging/src/k8s.io/endpointslice/{reconciler,utils}.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::pods::{self, is_finished, is_ready};
use crate::agenda::Work;
use crate::clock::seconds;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::{Change, Key};
use crate::value::{at, deleting, entries, int, is_true, list, name, namespace, set, text, uid};
use crate::world::{Deletion, World};

/// The most endpoints that one slice holds.
const SLICE: usize = 100;
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Asks to look at the Services that select a pod, or selected it.
pub(crate) fn notice(world: &mut World, change: &Change) {
    let seen = |pod: &Value| {
        (
            text(pod, "/status/podIP").to_owned(),
            is_ready(pod),
            is_finished(pod),
            deleting(pod),
            at(pod, "/metadata/labels").clone(),
        )
    };
    let before = change.before.as_deref();
    if change.what == crate::store::What::Modified
        && before.is_some_and(|before| seen(before) == seen(&change.object))
    {
        return;
    }
    let services = world
        .store
        .list(Kind::Service, Some(namespace(&change.object)));
    let keys: Vec<Key> = services
        .filter(|service| {
            let selects = |pod: &Value| Labels::of_map(at(service, "/spec/selector")).select(pod);
            selector(service).is_some() && (selects(&change.object) || before.is_some_and(selects))
        })
        .map(|service| Key::of(service))
        .collect();
    for key in keys {
        world.soon(Work::Sync(Kind::Service, key));
    }
}

/// What a Service selects its pods by; one without leaves its endpoints to others.
fn selector(service: &Value) -> Option<Labels> {
    let selector = Labels::of_map(at(service, "/spec/selector"));
    (!selector.is_empty() && text(service, "/spec/type") != "ExternalName").then_some(selector)
}

/// Brings a Service's endpoints up to date.
pub(crate) fn sync(world: &mut World, key: &Key) {
    let Some(service) = world.store.get(Kind::Service, key).cloned() else {
        let managed = world
            .find(Kind::Endpoints, &key.namespace, &key.name)
            .is_some_and(|found| {
                text(
                    &found,
                    "/metadata/labels/endpoints.kubernetes.io~1managed-by",
                ) == "endpoint-controller"
            });
        if managed {
            // Gone already is as good as deleted.
            let _gone = world.delete(Kind::Endpoints, key, &Deletion::default());
        }
        return;
    };
    let Some(selector) = selector(&service).filter(|_| !deleting(&service)) else {
        return;
    };
    let chosen: Vec<Arc<Value>> = world
        .store
        .list(Kind::Pod, Some(&key.namespace))
        .filter(|pod| {
            selector.select(pod) && !is_finished(pod) && !text(pod, "/status/podIP").is_empty()
        })
        .cloned()
        .collect();
    write_endpoints(world, key, &service, &chosen);
    write_slices(world, &service, &chosen);
}

/// The port of a pod that a Service's port leads to.
pub(crate) fn port_of(pod: &Value, port: &Value) -> Option<i64> {
    let target = at(port, "/targetPort");
    if let Some(number) = target.as_i64() {
        return Some(number);
    }
    let sidecars = list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always");
    list(pod, "/spec/containers")
        .iter()
        .chain(sidecars)
        .flat_map(|container| list(container, "/ports"))
        .find(|declared| {
            at(declared, "/name") == target && at(declared, "/protocol") == at(port, "/protocol")
        })
        .and_then(|declared| int(declared, "/containerPort"))
}

fn port_with(port: &Value, number: i64) -> Value {
    let mut written = json!({ "port": number, "protocol": at(port, "/protocol") });
    for field in ["name", "appProtocol"] {
        if let Some(value) = port.get(field) {
            set(&mut written, &format!("/{field}"), value.clone());
        }
    }
    written
}

fn reference(pod: &Value) -> Value {
    json!({ "kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod) })
}

/// The name that a headless Service gives a pod of its own.
fn hostname<'a>(service: &Value, pod: &'a Value) -> Option<&'a str> {
    let host = text(pod, "/spec/hostname");
    (!host.is_empty() && text(pod, "/spec/subdomain") == name(service)).then_some(host)
}

/// A set of pods that share their ports: those that serve, and those that do not yet.
#[derive(Default)]
struct Subset {
    ports: Vec<Value>,
    ready: Vec<Value>,
    waiting: Vec<Value>,
}

fn write_endpoints(world: &mut World, key: &Key, service: &Value, chosen: &[Arc<Value>]) {
    let all = is_true(service, "/spec/publishNotReadyAddresses");
    let headless = text(service, "/spec/clusterIP") == "None";
    let mut subsets: BTreeMap<String, Subset> = BTreeMap::new();
    for pod in chosen {
        if deleting(pod) && !all {
            continue;
        }
        let ports: Vec<Value> = list(service, "/spec/ports")
            .iter()
            .filter_map(|port| Some(port_with(port, port_of(pod, port)?)))
            .collect();
        if ports.is_empty() && !(headless && list(service, "/spec/ports").is_empty()) {
            continue;
        }
        let mut address = json!({
            "ip": text(pod, "/status/podIP"),
            "nodeName": text(pod, "/spec/nodeName"),
            "targetRef": reference(pod),
        });
        if let Some(host) = hostname(service, pod) {
            set(&mut address, "/hostname", host);
        }
        let subset = subsets.entry(json!(ports).to_string()).or_default();
        subset.ports = ports;
        if is_ready(pod) || all {
            subset.ready.push(address);
        } else {
            subset.waiting.push(address);
        }
    }
    let written: Vec<Value> = subsets
        .into_values()
        .map(|mut subset| {
            let mut written = json!({});
            for (field, addresses) in [
                ("addresses", &mut subset.ready),
                ("notReadyAddresses", &mut subset.waiting),
            ] {
                addresses.sort_by_key(|address| text(address, "/ip").to_owned());
                if !addresses.is_empty() {
                    set(
                        &mut written,
                        &format!("/{field}"),
                        std::mem::take(addresses),
                    );
                }
            }
            if !subset.ports.is_empty() {
                set(&mut written, "/ports", subset.ports);
            }
            written
        })
        .collect();
    let now = seconds(world.now());
    let mut labels = at(service, "/metadata/labels").clone();
    set(
        &mut labels,
        "/endpoints.kubernetes.io~1managed-by",
        "endpoint-controller",
    );
    if headless {
        set(&mut labels, "/service.kubernetes.io~1headless", "");
    }
    let put = |endpoints: &mut Value| {
        if list(endpoints, "/subsets") == written && at(endpoints, "/metadata/labels") == &labels {
            return;
        }
        set(endpoints, "/metadata/labels", labels.clone());
        let trigger = "/metadata/annotations/endpoints.kubernetes.io~1last-change-trigger-time";
        set(endpoints, trigger, now.as_str());
        if written.is_empty() {
            crate::value::remove(endpoints, "/subsets");
        } else {
            set(endpoints, "/subsets", written.clone());
        }
    };
    if world.store.get(Kind::Endpoints, key).is_some() {
        world.modify(Kind::Endpoints, key, put);
    } else {
        let mut endpoints = json!({ "metadata": { "name": key.name } });
        put(&mut endpoints);
        // Refused only while the namespace goes.
        let _made = world.create(Kind::Endpoints, &key.namespace, endpoints, false);
    }
}

fn write_slices(world: &mut World, service: &Arc<Value>, chosen: &[Arc<Value>]) {
    let all = is_true(service, "/spec/publishNotReadyAddresses");
    // Pods with the same ports share slices.
    let mut wanted: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for pod in chosen {
        let ports: Vec<Value> = list(service, "/spec/ports")
            .iter()
            .filter_map(|port| {
                let mut port = port_with(port, port_of(pod, port)?);
                crate::value::default(&mut port, "/name", "");
                Some(port)
            })
            .collect();
        let (serving, terminating) = (is_ready(pod), deleting(pod));
        let mut endpoint = json!({
            "addresses": [text(pod, "/status/podIP")],
            "conditions": {
                "ready": all || serving && !terminating,
                "serving": serving,
                "terminating": terminating,
            },
            "targetRef": reference(pod),
        });
        if !text(pod, "/spec/nodeName").is_empty() {
            set(&mut endpoint, "/nodeName", text(pod, "/spec/nodeName"));
        }
        if let Some(host) = hostname(service, pod) {
            set(&mut endpoint, "/hostname", host);
        }
        let entry = wanted
            .entry(json!(ports).to_string())
            .or_insert((ports, Vec::new()));
        entry.1.push(endpoint);
    }
    if wanted.is_empty() {
        // A slice without endpoints tells that there are none.
        wanted.insert(String::new(), (Vec::new(), Vec::new()));
    }
    let mut labels = json!({});
    for (key, value) in entries(service, "/metadata/labels") {
        set(
            &mut labels,
            &format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            value.clone(),
        );
    }
    set(
        &mut labels,
        "/endpointslice.kubernetes.io~1managed-by",
        MANAGER,
    );
    set(&mut labels, "/kubernetes.io~1service-name", name(service));
    if text(service, "/spec/clusterIP") == "None" {
        set(&mut labels, "/service.kubernetes.io~1headless", "");
    }
    let mut present: Vec<Arc<Value>> = world
        .store
        .dependents(uid(service))
        .iter()
        .filter(|(kind, _)| *kind == Kind::EndpointSlice)
        .filter_map(|(kind, key)| world.store.get(*kind, key).cloned())
        .filter(|slice| !deleting(slice))
        .collect();
    let now = seconds(world.now());
    let chunks: Vec<(Vec<Value>, Vec<Value>)> = wanted
        .into_values()
        .flat_map(|(ports, endpoints)| {
            let parts: Vec<Vec<Value>> = match endpoints.len() {
                0 => vec![Vec::new()],
                _ => endpoints.chunks(SLICE).map(<[Value]>::to_vec).collect(),
            };
            parts.into_iter().map(move |part| (ports.clone(), part))
        })
        .collect();
    let trigger = "/metadata/annotations/endpoints.kubernetes.io~1last-change-trigger-time";
    let write = |slice: &mut Value, ports: &[Value], part: &[Value]| {
        // Without a port to tell, the list is null: that is not the same as empty.
        let ports = if ports.is_empty() {
            Value::Null
        } else {
            json!(ports)
        };
        if list(slice, "/endpoints") == part
            && at(slice, "/ports") == &ports
            && at(slice, "/metadata/labels") == &labels
        {
            return;
        }
        set(slice, "/metadata/labels", labels.clone());
        set(slice, trigger, now.as_str());
        set(slice, "/endpoints", part.to_vec());
        set(slice, "/ports", ports);
        let generation = int(slice, "/metadata/generation").unwrap_or(0) + 1;
        set(slice, "/metadata/generation", generation);
    };
    // Slices keep to their ports where they can, so that few of them change.
    let mut used: BTreeSet<Key> = BTreeSet::new();
    for (ports, part) in chunks {
        let same = |slice: &&Arc<Value>| list(slice, "/ports") == ports;
        let place = present
            .iter()
            .find(same)
            .or(present.first())
            .map(|slice| Key::of(slice));
        if let Some(key) = place {
            present.retain(|slice| Key::of(slice) != key);
            world.modify(Kind::EndpointSlice, &key, |slice| {
                write(slice, &ports, &part)
            });
            used.insert(key);
            continue;
        }
        let mut slice = json!({
            "metadata": {
                "generateName": format!("{}-", name(service)),
                "ownerReferences": [pods::owner_reference(Kind::Service, service)],
            },
            "addressType": "IPv4",
        });
        write(&mut slice, &ports, &part);
        // Refused only while the namespace goes.
        let _made = world.create(Kind::EndpointSlice, namespace(service), slice, false);
    }
    for slice in present {
        // Gone already is as good as deleted.
        let _gone = world.delete(Kind::EndpointSlice, &Key::of(&slice), &Deletion::default());
    }
}

/// What a pod's port is called is what its containers declare.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_port_is_looked_up_in_the_pod() {
        let pod = json!({ "spec": { "containers": [{ "ports":
            [{ "name": "web", "containerPort": 8080, "protocol": "TCP" }] }] } });
        let port = |target: Value| json!({ "port": 80, "protocol": "TCP", "targetPort": target });
        assert_eq!(port_of(&pod, &port(json!("web"))), Some(8080));
        assert_eq!(port_of(&pod, &port(json!(9090))), Some(9090));
        assert_eq!(port_of(&pod, &port(json!("other"))), None);
    }
}
