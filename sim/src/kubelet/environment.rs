//! What a container is started with: its environment, arguments, user and files.
//!
//! Source: `pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/kuberuntime/security_context.go`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use super::images::Image;
use super::pod::{Pod, hostname};
use crate::defaults::unbase64;
use crate::kinds::Kind;
use crate::program::files::{File, Files, Mount};
use crate::program::process::{Container, State};
use crate::quantity;
use crate::value::{at, entries, int, is_true, list, name, text};
use crate::world::World;

/// What a container is started with.
pub(super) struct Config {
    pub(super) container: Container,
    pub(super) argv: Vec<String>,
    /// Why the runtime cannot mount a volume.
    pub(super) broken_mount: Option<String>,
}

/// Puts together what a container is started with, or says what is missing.
pub(super) fn of(
    world: &World,
    pod: &Pod,
    object: &Value,
    index: usize,
    image: &Image,
) -> Result<Config, String> {
    let spec = pod.spec(object, index);
    let mut env: BTreeMap<String, String> = image.facts.env.clone();
    env.entry("PATH".to_owned()).or_insert_with(|| {
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
    });
    env.insert("HOSTNAME".to_owned(), hostname(pod, object));
    env.entry("HOME".to_owned())
        .or_insert_with(|| "/root".to_owned());
    let own = variables(world, pod, object, spec)?;
    env.extend(own);
    let words = |field: &str| -> Vec<String> {
        list(spec, field)
            .iter()
            .filter_map(Value::as_str)
            .map(|word| expand(word, &env))
            .collect()
    };
    let (command, args) = (words("/command"), words("/args"));
    let argv: Vec<String> = match (command.is_empty(), args.is_empty()) {
        (true, true) => [image.facts.entrypoint.clone(), image.facts.command.clone()].concat(),
        (true, false) => [image.facts.entrypoint.clone(), args].concat(),
        (false, _) => [command, args].concat(),
    };
    let user = user(pod, object, spec, image)?;
    let mut broken_mount = None;
    let mut mounts = Vec::new();
    for mount in list(spec, "/volumeMounts") {
        let Some(volume) = pod.volumes.get(text(mount, "/name")) else {
            continue;
        };
        let path = Files::absolute("", text(mount, "/mountPath"));
        let part = match (text(mount, "/subPath"), text(mount, "/subPathExpr")) {
            ("", "") => String::new(),
            ("", expression) => Files::absolute("", &expand(expression, &env)),
            (part, _) => Files::absolute("", part),
        };
        let mut volume = volume.clone();
        if !part.is_empty() {
            // What is seen is what is there now: it does not change with the volume.
            let mut tree = volume.tree();
            let found = tree.files.get(&part).cloned();
            if found.is_none() {
                tree.files.insert(part.clone(), File::Directory);
            }
            drop(tree);
            if volume.read_only {
                let frozen = crate::program::files::Volume {
                    read_only: true,
                    ..Default::default()
                };
                *frozen.tree() = volume.tree().clone();
                volume = frozen;
            }
            let is_directory = matches!(found, None | Some(File::Directory));
            let is_file = matches!(image.facts.files.files.get(&path), Some(File::Regular(_)));
            if is_directory && is_file || !is_directory && image_directory(image, &path) {
                broken_mount = Some(format!(
                    "error during container init: error mounting {:?} to rootfs at {path:?}: mount \
                     {:?}:{path} (via /proc/self/fd/6), flags: 0x5001: not a directory: Are you \
                     trying to mount a directory onto a file (or vice-versa)? Check if the \
                     specified host path exists and is the expected type",
                    format!(
                        "/var/lib/kubelet/pods/{}/volume-subpaths/{}/{}/0",
                        pod.uid,
                        text(mount, "/name"),
                        pod.containers[index].name
                    ),
                    format!(
                        "/var/lib/kubelet/pods/{}/volume-subpaths/{}/{}/0",
                        pod.uid,
                        text(mount, "/name"),
                        pod.containers[index].name
                    ),
                ));
            }
        }
        mounts.push(Mount {
            path,
            part,
            volume,
            read_only: is_true(mount, "/readOnly"),
        });
    }
    let read_only = is_true(spec, "/securityContext/readOnlyRootFilesystem");
    let files = Files::new(image.facts.files.clone(), mounts, read_only, user == 0);
    let directory = match text(spec, "/workingDir") {
        "" => image.facts.directory.clone(),
        directory => directory.to_owned(),
    };
    Ok(Config {
        container: Container {
            clock: world.clock.clone(),
            env,
            user,
            capabilities: capabilities(spec, user),
            directory,
            hostname: hostname(pod, object),
            address: pod.address.clone().unwrap_or_default(),
            state: Mutex::new(State::new(files)),
        },
        argv,
        broken_mount,
    })
}

fn image_directory(image: &Image, path: &str) -> bool {
    matches!(image.facts.files.files.get(path), Some(File::Directory))
}

/// What containerd gives every container.
const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

fn capabilities(spec: &Value, user: i64) -> Vec<String> {
    if is_true(spec, "/securityContext/privileged") {
        return vec!["ALL".to_owned()];
    }
    let words = |path: &str| -> Vec<String> {
        list(spec, path)
            .iter()
            .filter_map(Value::as_str)
            .map(|one| one.trim_start_matches("CAP_").to_owned())
            .collect()
    };
    let dropped = words("/securityContext/capabilities/drop");
    let added = words("/securityContext/capabilities/add");
    if user != 0 {
        // Whoever is not root has none of those in effect that every container has.
        return added;
    }
    let mut all: Vec<String> = CAPABILITIES.iter().map(|one| (*one).to_owned()).collect();
    all.retain(|one| !dropped.contains(one) && !dropped.iter().any(|drop| drop == "ALL"));
    all.extend(added);
    if all.is_empty() {
        all.push("NONE".to_owned());
    }
    all
}

/// The user that a container runs as.
fn user(pod: &Pod, object: &Value, spec: &Value, image: &Image) -> Result<i64, String> {
    let of = |field: &str| {
        let own = at(spec, &format!("/securityContext/{field}"));
        match own {
            Value::Null => at(object, &format!("/spec/securityContext/{field}")).clone(),
            own => own.clone(),
        }
    };
    let place = format!(
        "(pod: {:?}, container: {})",
        pod.full_name(),
        text(spec, "/name")
    );
    let asked = of("runAsUser").as_i64();
    let non_root = of("runAsNonRoot") == Value::Bool(true);
    if let Some(user) = asked {
        if user == 0 && non_root {
            return Err(format!(
                "container's runAsUser breaks non-root policy {place}"
            ));
        }
        return Ok(user);
    }
    let user = image.facts.user.as_str();
    let number: Option<i64> = match user.split(':').next().unwrap_or("") {
        "" => Some(0),
        user => user.parse().ok(),
    };
    match number {
        Some(0) if non_root => Err(format!(
            "container has runAsNonRoot and image will run as root {place}"
        )),
        None if non_root => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify \
             user is non-root {place}"
        )),
        Some(number) => Ok(number),
        None => Ok(crate::program::user(user).unwrap_or(1000)),
    }
}

/// The text of one key of a ConfigMap.
pub(super) fn config_value(map: &Value, key: &str) -> Option<String> {
    match at(map, "/data").get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => {
            let binary = at(map, "/binaryData").get(key)?.as_str()?;
            Some(String::from_utf8_lossy(&unbase64(binary)?).into_owned())
        }
    }
}

/// The text of one key of a Secret.
pub(super) fn secret_value(secret: &Value, key: &str) -> Option<String> {
    let encoded = at(secret, "/data").get(key)?.as_str()?;
    Some(String::from_utf8_lossy(&unbase64(encoded)?).into_owned())
}

fn keys(object: &Value, paths: &[&str]) -> Vec<String> {
    let mut keys: Vec<String> = paths
        .iter()
        .flat_map(|path| entries(object, path).map(|(key, _)| key.clone()))
        .collect();
    keys.sort();
    keys
}

/// The environment that the pod's specification gives a container.
fn variables(
    world: &World,
    pod: &Pod,
    object: &Value,
    spec: &Value,
) -> Result<BTreeMap<String, String>, String> {
    let home = pod.key.namespace.as_str();
    let mut env = services(world, object, home);
    for source in list(spec, "/envFrom") {
        let prefix = text(source, "/prefix");
        for (field, kind, what) in [
            ("/configMapRef", Kind::ConfigMap, "configmap"),
            ("/secretRef", Kind::Secret, "secret"),
        ] {
            let reference = at(source, field);
            if reference.is_null() {
                continue;
            }
            let wanted = text(reference, "/name");
            let Some(found) = world.find(kind, home, wanted) else {
                if is_true(reference, "/optional") {
                    continue;
                }
                return Err(format!("{what} {wanted:?} not found"));
            };
            for key in keys(&found, &["/data", "/binaryData"]) {
                let value = match kind {
                    Kind::ConfigMap => config_value(&found, &key),
                    _ => secret_value(&found, &key),
                };
                if let Some(value) = value {
                    env.insert(format!("{prefix}{key}"), value);
                }
            }
        }
    }
    for variable in list(spec, "/env") {
        let variable_name = text(variable, "/name").to_owned();
        let source = at(variable, "/valueFrom");
        if source.is_null() {
            let value = expand(text(variable, "/value"), &env);
            env.insert(variable_name, value);
            continue;
        }
        if let Some(value) = from(world, pod, object, spec, source)? {
            env.insert(variable_name, value);
        }
    }
    Ok(env)
}

fn from(
    world: &World,
    pod: &Pod,
    object: &Value,
    spec: &Value,
    source: &Value,
) -> Result<Option<String>, String> {
    let home = pod.key.namespace.as_str();
    for (field, kind, small, large) in [
        (
            "/configMapKeyRef",
            Kind::ConfigMap,
            "configmap",
            "ConfigMap",
        ),
        ("/secretKeyRef", Kind::Secret, "secret", "Secret"),
    ] {
        let reference = at(source, field);
        if reference.is_null() {
            continue;
        }
        let (wanted, key) = (text(reference, "/name"), text(reference, "/key"));
        let optional = is_true(reference, "/optional");
        let Some(found) = world.find(kind, home, wanted) else {
            if optional {
                return Ok(None);
            }
            return Err(format!("{small} {wanted:?} not found"));
        };
        let value = match kind {
            Kind::ConfigMap => config_value(&found, key),
            _ => secret_value(&found, key),
        };
        return match value {
            Some(value) => Ok(Some(value)),
            None if optional => Ok(None),
            None => Err(format!(
                "couldn't find key {key} in {large} {home}/{wanted}"
            )),
        };
    }
    let field = at(source, "/fieldRef");
    if !field.is_null() {
        return Ok(Some(field_value(pod, object, text(field, "/fieldPath"))));
    }
    let resource = at(source, "/resourceFieldRef");
    if !resource.is_null() {
        return Ok(Some(resource_value(world, pod, object, spec, resource)));
    }
    Ok(None)
}

/// What the downward API says of a pod's field.
pub(super) fn field_value(pod: &Pod, object: &Value, path: &str) -> String {
    match path {
        "metadata.name" => name(object).to_owned(),
        "metadata.namespace" => pod.key.namespace.clone(),
        "metadata.uid" => pod.uid.clone(),
        "spec.nodeName" => pod.node.clone(),
        "spec.serviceAccountName" => text(object, "/spec/serviceAccountName").to_owned(),
        "status.podIP" | "status.podIPs" => pod.address.clone().unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => text(object, "/status/hostIP").to_owned(),
        "metadata.labels" | "metadata.annotations" => {
            let path = format!("/{}", path.replace('.', "/"));
            let lines: Vec<String> = entries(object, &path)
                .map(|(key, value)| format!("{key}={:?}", value.as_str().unwrap_or("")))
                .collect();
            lines.join("\n")
        }
        path => {
            let inner = |prefix: &str| {
                let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
                let map = at(
                    object,
                    &format!("/{}", prefix.trim_end_matches("['").replace('.', "/")),
                );
                Some(map.get(key)?.as_str()?.to_owned())
            };
            inner("metadata.labels['")
                .or_else(|| inner("metadata.annotations['"))
                .unwrap_or_default()
        }
    }
}

fn resource_value(
    world: &World,
    pod: &Pod,
    object: &Value,
    spec: &Value,
    reference: &Value,
) -> String {
    let container = text(reference, "/containerName");
    let spec = list(object, "/spec/containers")
        .iter()
        .find(|other| text(other, "/name") == container)
        .unwrap_or(spec);
    let path = text(reference, "/resource");
    let own = at(spec, &format!("/resources/{}", path.replace('.', "/")));
    let amount = quantity::of(own).or_else(|| {
        // Without a limit it is what the node has.
        let resource = path.strip_prefix("limits.")?;
        let node = world.find(Kind::Node, "", &pod.node)?;
        quantity::of(at(&node, &format!("/status/allocatable/{resource}")))
    });
    let divisor = quantity::of(at(reference, "/divisor"))
        .filter(|divisor| *divisor > 0)
        .unwrap_or(1_000_000_000);
    let amount = amount.unwrap_or(0);
    ((amount + divisor - 1) / divisor).to_string()
}

/// What Kubernetes tells every container of the Services of its namespace.
fn services(world: &World, object: &Value, home: &str) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let links = at(object, "/spec/enableServiceLinks") != &Value::Bool(false);
    let mut add = |service: &Value| {
        let address = text(service, "/spec/clusterIP");
        if address.is_empty() || address == "None" {
            return;
        }
        let prefix = name(service).to_uppercase().replace('-', "_");
        env.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
        for (index, port) in list(service, "/spec/ports").iter().enumerate() {
            let number = int(port, "/port").unwrap_or(0);
            let protocol = text(port, "/protocol").to_lowercase();
            let url = format!("{protocol}://{address}:{number}");
            if index == 0 {
                env.insert(format!("{prefix}_SERVICE_PORT"), number.to_string());
                env.insert(format!("{prefix}_PORT"), url.clone());
            }
            let port_name = text(port, "/name");
            if !port_name.is_empty() {
                let upper = port_name.to_uppercase().replace('-', "_");
                env.insert(format!("{prefix}_SERVICE_PORT_{upper}"), number.to_string());
            }
            let each = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
            env.insert(each.clone(), url);
            env.insert(format!("{each}_PROTO"), protocol);
            env.insert(format!("{each}_PORT"), number.to_string());
            env.insert(format!("{each}_ADDR"), address.to_owned());
        }
    };
    if let Some(api) = world.find(Kind::Service, "default", "kubernetes") {
        add(&api);
    }
    if links {
        for service in world.store.list(Kind::Service, Some(home)) {
            add(service);
        }
    }
    env
}

/// Puts values in place of `$(NAME)`; `$$` stands for a dollar.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if rest.starts_with("$(")
            && let Some(end) = rest.find(')')
        {
            match env.get(&rest[2..end]) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[..=end]),
            }
            rest = &rest[end + 1..];
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_variables_are_expanded() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)$(B)", "x1$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(text, &env), expected);
        }
    }
}
