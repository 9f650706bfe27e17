//! What runs beside the cluster, on the network of its nodes: registries, databases and the like.
//!
//! It is a container as any other, but no kubelet looks after it: it is started once, and stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::container::{Role, Run};
use super::images::{Reference, Registry};
use super::pod::{Pod, Stage};
use super::{Task, container};
use crate::program::files::{Content, File, Files, Mount, Volume};
use crate::program::process::{Container, Process, State};
use crate::world::World;

/// A container beside the cluster.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The image, with its tag: one of the well-known ones.
    pub image: String,
    /// The arguments, in place of the image's own.
    pub args: Vec<String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The texts of files, by the path at which the container sees them.
    pub files: BTreeMap<String, String>,
    /// Where it is an image registry: the images that are there, such as `shop/cart:1.0`, and the
    /// well-known image that each is.
    pub images: BTreeMap<String, String>,
    /// The user and password that the registry asks for.
    pub credentials: Option<(String, String)>,
}

fn uid(name: &str) -> String {
    format!("beside/{name}")
}

/// Starts a container beside the cluster, and gives its address.
pub(crate) fn start(world: &mut World, name: &str, beside: &Beside) -> Result<String, String> {
    let reference = Reference::parse(&beside.image)
        .map_err(|why| format!("{name}: the image {:?} is none: {why}", beside.image))?;
    let facts = world.kubelets.images.facts(&reference.full());
    if !facts.is_known {
        return Err(format!(
            "{name}: it is not known what the image {} does",
            beside.image
        ));
    }
    let known = world.network.beside.len();
    let address = world
        .network
        .beside
        .entry(name.to_owned())
        .or_insert_with(|| format!("172.18.255.{}", known + 2))
        .clone();
    stop(world, name);
    let argv = match beside.args.is_empty() {
        true => [facts.entrypoint.clone(), facts.command.clone()].concat(),
        false => [facts.entrypoint.clone(), beside.args.clone()].concat(),
    };
    let mounts = beside.files.iter().map(|(path, text)| {
        let volume = Volume {
            read_only: true,
            ..Volume::default()
        };
        let file = File::Regular(Content::text(text.as_str()));
        volume.tree().files.insert(String::new(), file);
        Mount {
            path: Files::absolute("", path),
            part: String::new(),
            volume,
            read_only: true,
        }
    });
    let mut env = facts.env.clone();
    env.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/bin:/usr/bin:/sbin:/bin".to_owned());
    env.extend(beside.env.clone());
    let files = Files::new(facts.files.clone(), mounts.collect(), false, true);
    let made = Container {
        clock: world.clock.clone(),
        env,
        user: 0,
        capabilities: Vec::new(),
        directory: facts.directory.clone(),
        hostname: name.to_owned(),
        address: address.clone(),
        state: Mutex::new(State::new(files)),
    };
    let program =
        crate::program::load(&facts, &made, &argv, &[]).map_err(|why| format!("{name}: {why}"))?;
    let now = world.now();
    let object = json!({ "metadata": { "name": name, "uid": uid(name) } });
    let mut pod = Pod::new(&object, now);
    pod.stage = Stage::Running;
    pod.host_network = true;
    pod.address = Some(address.clone());
    let mut only = container::Container::new(name, Role::Main);
    only.run = Some(Run::new(
        format!("beside://{name}"),
        now,
        Process::new(Arc::new(made), program),
    ));
    only.logs.begin();
    pod.containers.push(only);
    world
        .network
        .beside
        .insert(name.to_owned(), address.clone());
    world.kubelets.by_address.insert(address.clone(), uid(name));
    world.kubelets.pods.insert(uid(name), pod);
    if !beside.images.is_empty() || beside.credentials.is_some() {
        let images = beside
            .images
            .iter()
            .map(|(there, here)| {
                let here = Reference::parse(here).map(|here| here.full());
                here.map(|here| (there.clone(), here))
            })
            .collect::<Result<_, _>>()
            .map_err(|why| format!("{name}: {why}"))?;
        let registry = Registry {
            images,
            credentials: beside.credentials.clone(),
        };
        world.kubelets.registries.insert(name.to_owned(), registry);
    }
    world.kubelet_at(now, Task::Run(uid(name), 0));
    Ok(address)
}

/// Stops a container beside the cluster: its name and its address stay, and nobody listens there.
pub(crate) fn stop(world: &mut World, name: &str) {
    world.kubelets.stirs += 1;
    if let Some(mut pod) = world.kubelets.pods.remove(&uid(name)) {
        container::discard(world, &mut pod, 0);
        if let Some(address) = pod.address {
            world.kubelets.by_address.remove(&address);
        }
    }
}

/// Whether somebody beside the cluster serves a port.
pub(crate) fn serves(world: &World, name: &str, port: u16) -> bool {
    let pod = world.kubelets.pods.get(&uid(name));
    pod.is_some_and(|pod| pod.listeners.contains_key(&port))
}

/// Whether somebody beside the cluster has printed a line with this in it.
pub(crate) fn has_printed(world: &World, name: &str, text: &str) -> bool {
    let pod = world.kubelets.pods.get(&uid(name));
    pod.and_then(|pod| pod.containers.first())
        .is_some_and(|container| container.logs.tail(1000, 1 << 20).contains(text))
}
