//! Names, and who knows their addresses.

use std::time::Duration;

use serde_json::Value;

use super::{Arrival, Protocol, arrive, is_address, object_of, slices};
use crate::kinds::Kind;
use crate::program::net::Reply;
use crate::store::Key;
use crate::value::{at, is_true, list, text};
use crate::world::World;

/// The name server of the nodes' own network, which knows what runs beside the cluster.
const OUTSIDE: &str = "172.18.0.1";
/// How long it takes to be told.
const LOOKUP: Duration = Duration::from_millis(1);
/// How long a resolver asks servers that do not answer: five seconds, twice, for two families.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a pod resolves names.
struct Resolver {
    servers: Vec<String>,
    searches: Vec<String>,
    ndots: usize,
}

/// The addresses of a name as a pod resolves it, and how long that takes.
pub(crate) fn resolve(
    world: &mut World,
    from: &str,
    name: &str,
) -> (Duration, Result<Vec<String>, Reply>) {
    if is_address(name) {
        return (Duration::ZERO, Ok(vec![name.to_owned()]));
    }
    if name == "localhost" {
        return (Duration::ZERO, Ok(vec!["127.0.0.1".to_owned()]));
    }
    let object = object_of(world, from);
    if let Some(object) = &object {
        for alias in list(object, "/spec/hostAliases") {
            if list(alias, "/hostnames").iter().any(|one| one == name) {
                return (Duration::ZERO, Ok(vec![text(alias, "/ip").to_owned()]));
            }
        }
        if let Some(pod) = world.kubelets.pods.get(from)
            && crate::kubelet::hostname(pod, object) == name
            && let Some(own) = &pod.address
        {
            return (Duration::ZERO, Ok(vec![own.clone()]));
        }
    }
    let home = object
        .as_deref()
        .map(crate::value::namespace)
        .unwrap_or_default()
        .to_owned();
    let resolver = resolver(world, object.as_deref(), &home);
    let mut slow = false;
    for server in &resolver.servers {
        let knows_cluster = match server.as_str() {
            OUTSIDE => false,
            server => match arrive(world, from, server, 53, Protocol::Udp).0 {
                Arrival::At(uid) => {
                    let pod = world.kubelets.pods.get(&uid);
                    let listener = pod.and_then(|pod| pod.listeners.get(&53));
                    let serves_names = listener.is_some_and(|listener| {
                        matches!(listener.serving, crate::program::net::Serving::Names)
                    });
                    if !serves_names {
                        slow = true;
                        continue;
                    }
                    true
                }
                Arrival::Refused => continue,
                Arrival::Dropped => {
                    slow = true;
                    continue;
                }
            },
        };
        let found = candidates(name, &resolver)
            .iter()
            .find_map(|name| lookup(world, name, knows_cluster));
        return (LOOKUP, found.ok_or(Reply::Unresolved));
    }
    let time = if slow { PATIENCE } else { LOOKUP };
    (time, Err(Reply::NoNameServer))
}

fn resolver(world: &World, object: Option<&Value>, home: &str) -> Resolver {
    let policy = object.map_or("Default", |object| text(object, "/spec/dnsPolicy"));
    let on_host = object.is_some_and(|object| is_true(object, "/spec/hostNetwork"));
    let config = object.map_or(&Value::Null, |object| at(object, "/spec/dnsConfig"));
    let mut resolver = Resolver {
        servers: Vec::new(),
        searches: Vec::new(),
        ndots: 1,
    };
    let cluster_first = policy == "ClusterFirst" && !on_host || policy == "ClusterFirstWithHostNet";
    if cluster_first {
        let service = world.find(Kind::Service, "kube-system", "kube-dns");
        let address = service.map(|service| text(&service, "/spec/clusterIP").to_owned());
        resolver
            .servers
            .push(address.unwrap_or_else(|| "10.96.0.10".to_owned()));
        for search in [
            format!("{home}.svc.cluster.local"),
            "svc.cluster.local".to_owned(),
            "cluster.local".to_owned(),
        ] {
            resolver.searches.push(search);
        }
        resolver.ndots = 5;
    } else if policy != "None" {
        resolver.servers.push(OUTSIDE.to_owned());
    }
    let words = |path: &str| -> Vec<String> {
        let all = list(config, path).iter().filter_map(Value::as_str);
        all.map(str::to_owned).collect()
    };
    resolver.servers.extend(words("/nameservers"));
    resolver.searches.extend(words("/searches"));
    for option in list(config, "/options") {
        if text(option, "/name") == "ndots"
            && let Ok(ndots) = text(option, "/value").parse()
        {
            resolver.ndots = ndots;
        }
    }
    resolver
}

/// The full names that are asked for, in their order.
fn candidates(name: &str, resolver: &Resolver) -> Vec<String> {
    if let Some(full) = name.strip_suffix('.') {
        return vec![full.to_owned()];
    }
    let searched = resolver
        .searches
        .iter()
        .map(|search| format!("{name}.{search}"));
    let itself = std::iter::once(name.to_owned());
    if name.matches('.').count() >= resolver.ndots {
        itself.chain(searched).collect()
    } else {
        searched.chain(itself).collect()
    }
}

/// The addresses of a full name.
fn lookup(world: &World, name: &str, knows_cluster: bool) -> Option<Vec<String>> {
    let beside = || {
        world
            .network
            .beside
            .get(name)
            .map(|address| vec![address.clone()])
    };
    let Some(inner) = name
        .strip_suffix(".svc.cluster.local")
        .filter(|_| knows_cluster)
    else {
        return beside();
    };
    let parts: Vec<&str> = inner.split('.').collect();
    let (host, service_name, home) = match parts.as_slice() {
        [service, home] => (None, *service, *home),
        [host, service, home] => (Some(*host), *service, *home),
        _ => return None,
    };
    let service = world
        .store
        .get(Kind::Service, &Key::new(home, service_name))?;
    if text(service, "/spec/type") == "ExternalName" {
        let target = text(service, "/spec/externalName");
        return match target.ends_with(".svc.cluster.local") {
            true => lookup(world, target, knows_cluster),
            false => world
                .network
                .beside
                .get(target)
                .map(|address| vec![address.clone()])
                .or_else(|| is_address(target).then(|| vec![target.to_owned()])),
        };
    }
    let address = text(service, "/spec/clusterIP");
    if address != "None" {
        return host.is_none().then(|| vec![address.to_owned()]);
    }
    let all = is_true(service, "/spec/publishNotReadyAddresses");
    let mut found = Vec::new();
    for slice in slices(world, home, service_name) {
        for endpoint in list(&slice, "/endpoints") {
            let is_ready = all || is_true(endpoint, "/conditions/ready");
            let is_wanted = host.is_none_or(|host| text(endpoint, "/hostname") == host);
            if is_ready && is_wanted {
                let addresses = list(endpoint, "/addresses").iter();
                found.extend(addresses.filter_map(Value::as_str).map(str::to_owned));
            }
        }
    }
    (!found.is_empty()).then_some(found)
}
