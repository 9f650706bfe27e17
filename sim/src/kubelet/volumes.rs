//! The volumes of pods, and what is in them.
//!
//! Source: `pkg/volume/`, `pkg/util/goroutinemap/exponentialbackoff`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::environment::{config_value, field_value, secret_value};
use super::pod::{Pod, tell};
use crate::clock::{after, since};
use crate::kinds::Kind;
use crate::program::files::{Content, File, Files, Tree, Volume};
use crate::quantity;
use crate::value::{at, entries, is_true, list, name, text};
use crate::world::World;

/// How soon a volume is tried again at first, and at most.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(122);
/// How long a pod waits for its volumes before it says so.
const PATIENCE: Duration = Duration::from_secs(123);

/// The attempts to mount a pod's volumes.
#[derive(Debug, Default)]
pub(crate) struct Mounting {
    /// How long to wait after the next failure, and when to try again, by volume.
    failed: BTreeMap<String, (Duration, Timestamp)>,
    since: Option<Timestamp>,
}

/// Mounts what can be mounted, or says when to try again.
pub(super) fn mount(world: &mut World, pod: &mut Pod, object: &Value) -> Option<Duration> {
    let now = world.now();
    let began = *pod.mounting.since.get_or_insert(now);
    let mut missing = Vec::new();
    for volume in list(object, "/spec/volumes") {
        let volume_name = text(volume, "/name");
        if pod.volumes.contains_key(volume_name) {
            continue;
        }
        if let Some((_, again)) = pod.mounting.failed.get(volume_name)
            && *again > now
        {
            missing.push(volume_name.to_owned());
            continue;
        }
        match content(world, pod, object, volume) {
            Ok(made) => {
                pod.volumes.insert(volume_name.to_owned(), made);
            }
            Err(why) => {
                tell(world, pod, None, "Warning", "FailedMount", &why);
                let wait = match pod.mounting.failed.get(volume_name) {
                    Some((wait, _)) => (*wait * 2).min(MOST),
                    None => FIRST,
                };
                let again = (wait, after(now, wait));
                pod.mounting.failed.insert(volume_name.to_owned(), again);
                missing.push(volume_name.to_owned());
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    if since(now, began) >= PATIENCE {
        let message = format!(
            "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[], \
             failed to process volumes=[]: context deadline exceeded",
            missing.join(" ")
        );
        tell(world, pod, None, "Warning", "FailedMount", &message);
        pod.mounting.since = Some(now);
    }
    let again = pod.mounting.failed.values().map(|(_, again)| *again);
    let next = again.filter(|again| *again > now).min();
    let next = next.map_or(FIRST, |next| since(next, now));
    Some(next.min(PATIENCE.saturating_sub(since(now, began)).max(FIRST)))
}

/// Whether a pod's volumes follow objects that may change.
pub(super) fn changes(object: &Value) -> bool {
    list(object, "/spec/volumes").iter().any(|volume| {
        at(volume, "/configMap").is_object()
            || at(volume, "/secret").is_object()
            || at(volume, "/downwardAPI").is_object()
            || at(volume, "/projected").is_object()
                && !text(volume, "/name").starts_with("kube-api-access-")
    })
}

/// Makes the files of ConfigMaps and Secrets anew. Those that are gone stay as they were.
pub(super) fn refresh(world: &World, pod: &mut Pod, object: &Value) {
    for volume in list(object, "/spec/volumes") {
        let Some(present) = pod.volumes.get(text(volume, "/name")) else {
            continue;
        };
        if !present.read_only {
            continue;
        }
        if let Ok(tree) = files(world, pod, object, volume) {
            *present.tree() = tree;
        }
    }
}

fn failed(volume: &str, why: &str) -> String {
    format!("MountVolume.SetUp failed for volume {volume:?} : {why}")
}

fn read_only(tree: Tree) -> Volume {
    let volume = Volume {
        read_only: true,
        ..Volume::default()
    };
    *volume.tree() = tree;
    volume
}

/// Makes a volume, or says why it cannot be mounted.
fn content(world: &mut World, pod: &Pod, object: &Value, volume: &Value) -> Result<Volume, String> {
    let volume_name = text(volume, "/name");
    let empty = at(volume, "/emptyDir");
    if empty.is_object() {
        let limit = quantity::of(at(empty, "/sizeLimit")).map(super::container::units);
        return Ok(Volume {
            is_local: true,
            is_memory: text(empty, "/medium") == "Memory",
            limit: limit.filter(|limit| *limit > 0),
            ..Volume::default()
        });
    }
    let host = at(volume, "/hostPath");
    if host.is_object() {
        return on_host(world, pod, host).map_err(|why| failed(volume_name, &why));
    }
    let claim = at(volume, "/persistentVolumeClaim");
    if claim.is_object() {
        return of_claim(world, pod, volume_name, text(claim, "/claimName"));
    }
    let ephemeral = at(volume, "/ephemeral");
    if ephemeral.is_object() {
        let claim = format!("{}-{volume_name}", name(object));
        return of_claim(world, pod, volume_name, &claim);
    }
    elsewhere(pod, volume_name, volume)?;
    files(world, pod, object, volume)
        .map(read_only)
        .map_err(|why| failed(volume_name, &why))
}

/// Gives files the mode of their volume, unless the pod's group may read all of them.
fn set_mode(object: &Value, volume: &Value, tree: &mut Tree) {
    let mode = ["/configMap", "/secret", "/projected", "/downwardAPI"]
        .into_iter()
        .find_map(|kind| crate::value::int(volume, &format!("{kind}/defaultMode")))
        .unwrap_or(0o644);
    let is_group = !at(object, "/spec/securityContext/fsGroup").is_null();
    for file in tree.files.values_mut() {
        if let File::Regular(content) = file {
            content.executable |= mode & 0o111 != 0;
            content.private = mode & 0o044 == 0 && !is_group;
        }
    }
}

/// Volumes on servers, of which a node of kind reaches none.
fn elsewhere(pod: &Pod, volume_name: &str, volume: &Value) -> Result<(), String> {
    let nfs = at(volume, "/nfs");
    if nfs.is_object() {
        let path = format!(
            "/var/lib/kubelet/pods/{}/volumes/kubernetes.io~nfs/{volume_name}",
            pod.uid
        );
        let source = format!("{}:{}", text(nfs, "/server"), text(nfs, "/path"));
        return Err(failed(
            volume_name,
            &format!(
                "mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs \
                 {source} {path}\nOutput: mount: {path}: bad option; for several filesystems (e.g. \
                 nfs, cifs) you might need a /sbin/mount.<type> helper program.\n       dmesg(1) \
                 may have more information after failed mount system call.\n"
            ),
        ));
    }
    let csi = at(volume, "/csi");
    if csi.is_object() {
        let driver = text(csi, "/driver");
        return Err(failed(
            volume_name,
            &format!(
                "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name {driver} \
                 not found in the list of registered CSI drivers"
            ),
        ));
    }
    Ok(())
}

/// Directories that every node has.
const ON_NODES: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/dev/shm",
    "/etc",
    "/etc/kubernetes",
    "/home",
    "/lib",
    "/lib/modules",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/run/containerd",
    "/sbin",
    "/srv",
    "/sys",
    "/sys/fs/cgroup",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/local",
    "/var/log",
    "/var/run",
];
const FILES_ON_NODES: &[&str] = &[
    "/etc/hostname",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/timezone",
    "/usr/bin/kubectl",
];
const SOCKETS_ON_NODES: &[&str] = &[
    "/run/containerd/containerd.sock",
    "/var/run/containerd/containerd.sock",
];

/// A path of the node's own.
fn on_host(world: &mut World, pod: &Pod, host: &Value) -> Result<Volume, String> {
    let path = text(host, "/path");
    let key = format!("{}:{path}", pod.node);
    let is_known = world.kubelets.lasting.contains_key(&key);
    let is_directory = is_known || ON_NODES.contains(&path);
    let is_file = FILES_ON_NODES.contains(&path);
    let is_socket = SOCKETS_ON_NODES.contains(&path);
    let there = is_directory || is_file || is_socket;
    let refused = |what: &str| Err(format!("hostPath type check failed: {path} is not {what}"));
    match text(host, "/type") {
        "Directory" if !is_directory => return refused("a directory"),
        "DirectoryOrCreate" if there && !is_directory => return refused("a directory"),
        "File" if !is_file => return refused("a file"),
        "FileOrCreate" if there && !is_file => return refused("a file"),
        "Socket" if !is_socket => return refused("a socket file"),
        "CharDevice" => return refused("a character device"),
        "BlockDevice" => return refused("a block device"),
        _ => {}
    }
    let volume = world.kubelets.lasting.entry(key).or_default();
    if is_file || is_socket {
        let content = Content {
            bulk: 1 << 20,
            executable: path.starts_with("/usr/bin/"),
            ..Content::default()
        };
        let file = File::Regular(content);
        volume.tree().files.entry(String::new()).or_insert(file);
    }
    Ok(volume.clone())
}

/// What a claim is bound to.
fn of_claim(
    world: &mut World,
    pod: &Pod,
    volume_name: &str,
    claim_name: &str,
) -> Result<Volume, String> {
    let claim = world.find(Kind::PersistentVolumeClaim, &pod.key.namespace, claim_name);
    let Some(claim) = claim else {
        return Err(format!(
            "Unable to attach or mount volumes: unmounted volumes=[{volume_name}], unattached \
             volumes=[], failed to process volumes=[{volume_name}]: error processing PVC \
             {}/{claim_name}: failed to fetch PVC from API server: persistentvolumeclaims \
             {claim_name:?} not found",
            pod.key.namespace
        ));
    };
    let bound = text(&claim, "/spec/volumeName");
    if bound.is_empty() {
        return Err(format!(
            "Unable to attach or mount volumes: unmounted volumes=[{volume_name}], unattached \
             volumes=[], failed to process volumes=[{volume_name}]: error processing PVC \
             {}/{claim_name}: PVC is not bound",
            pod.key.namespace
        ));
    }
    let Some(volume) = world.find(Kind::PersistentVolume, "", bound) else {
        return Err(format!(
            "Unable to attach or mount volumes: unmounted volumes=[{volume_name}], unattached \
             volumes=[], failed to process volumes=[{volume_name}]: error processing PVC \
             {}/{claim_name}: failed to fetch PV {bound} from API server: persistentvolumes \
             {bound:?} not found",
            pod.key.namespace
        ));
    };
    let local = at(&volume, "/spec/local");
    if local.is_object() {
        let path = text(local, "/path");
        let key = format!("{}:{path}", pod.node);
        if !ON_NODES.contains(&path) && !world.kubelets.lasting.contains_key(&key) {
            return Err(format!(
                "MountVolume.NewMounter initialization failed for volume {bound:?} : path {path:?} \
                 does not exist"
            ));
        }
        return Ok(world.kubelets.lasting.entry(key).or_default().clone());
    }
    let host = at(&volume, "/spec/hostPath");
    if host.is_object() {
        return on_host(world, pod, host).map_err(|why| failed(bound, &why));
    }
    elsewhere(pod, bound, at(&volume, "/spec"))?;
    Ok(world
        .kubelets
        .lasting
        .entry(format!("volume:{bound}"))
        .or_default()
        .clone())
}

/// The files that come from the API's objects.
fn files(world: &World, pod: &Pod, object: &Value, volume: &Value) -> Result<Tree, String> {
    let mut tree = Tree::default();
    let sources = list(volume, "/projected/sources");
    if !sources.is_empty() {
        let mut wrong = Vec::new();
        for source in sources {
            if let Err(why) = source_files(world, pod, object, source, "name", &mut tree) {
                wrong.push(why);
            }
        }
        set_mode(object, volume, &mut tree);
        return match wrong.as_slice() {
            [] => Ok(tree),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        };
    }
    source_files(world, pod, object, volume, "secretName", &mut tree)?;
    set_mode(object, volume, &mut tree);
    Ok(tree)
}

fn source_files(
    world: &World,
    pod: &Pod,
    object: &Value,
    source: &Value,
    secret_name: &str,
    tree: &mut Tree,
) -> Result<(), String> {
    let home = pod.key.namespace.as_str();
    let token = at(source, "/serviceAccountToken");
    if token.is_object() {
        let path = Files::absolute("", text(token, "/path"));
        let account = text(object, "/spec/serviceAccountName");
        let text = format!("token-of-{home}-{account}");
        tree.put(&path, Content::text(text));
    }
    for (field, kind, what, lacks) in [
        (
            "configMap",
            Kind::ConfigMap,
            "configmap",
            "configmap references non-existent config key",
        ),
        (
            "secret",
            Kind::Secret,
            "secret",
            "references non-existent secret key",
        ),
    ] {
        let part = at(source, &format!("/{field}"));
        if !part.is_object() {
            continue;
        }
        let path = match kind {
            Kind::Secret => format!("/{secret_name}"),
            _ => "/name".to_owned(),
        };
        let wanted = text(part, &path);
        let optional = is_true(part, "/optional");
        let Some(found) = world.find(kind, home, wanted) else {
            if optional {
                continue;
            }
            return Err(format!("{what} {wanted:?} not found"));
        };
        let value = |key: &str| match kind {
            Kind::ConfigMap => config_value(&found, key),
            _ => secret_value(&found, key),
        };
        let items = list(part, "/items");
        if items.is_empty() {
            let keys = entries(&found, "/data").chain(entries(&found, "/binaryData"));
            for (key, _) in keys {
                if let Some(text) = value(key) {
                    tree.put(&format!("/{key}"), Content::text(text));
                }
            }
            continue;
        }
        for item in items {
            let key = text(item, "/key");
            match value(key) {
                Some(found) => {
                    let mut content = Content::text(found);
                    let mode = crate::value::int(item, "/mode");
                    content.executable = mode.is_some_and(|mode| mode & 0o111 != 0);
                    tree.put(&Files::absolute("", text(item, "/path")), content);
                }
                None if optional => {}
                None => return Err(format!("{lacks}: {key}")),
            }
        }
    }
    for item in list(source, "/downwardAPI/items") {
        let value = match at(item, "/fieldRef") {
            Value::Null => String::new(),
            field => field_value(pod, object, text(field, "/fieldPath")),
        };
        let path = Files::absolute("", text(item, "/path"));
        tree.put(&path, Content::text(value));
    }
    Ok(())
}
