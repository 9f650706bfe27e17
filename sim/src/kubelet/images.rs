//! Images on nodes, and how they come there.
//!
//! Source: `pkg/kubelet/images/image_manager.go`; containerd's `remotes/docker/resolver.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::Backoff;
use super::pod::{Pod, tell};
use crate::defaults::unbase64;
use crate::kinds::Kind;
use crate::program::Facts;
use crate::value::{at, entries, list, text};
use crate::world::World;

/// An image that a node has.
pub(super) struct Image {
    /// With its registry and tag.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) facts: Arc<Facts>,
}

/// What is known of the attempts to pull a container's image.
#[derive(Debug, Default)]
pub(crate) struct Pull {
    image: String,
    backoff: Backoff,
    failed: Option<(Timestamp, String)>,
}

/// What a registry holds, and whom it lets in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    /// The images that were pushed there, such as `shop/cart:1.0`, and what they are elsewhere.
    pub(crate) images: BTreeMap<String, String>,
    /// The user and password that it asks for.
    pub(crate) credentials: Option<(String, String)>,
}

/// A reference to an image in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) host: String,
    pub(crate) repository: String,
    /// With a colon, or an at sign for a digest.
    pub(crate) version: String,
}

impl Reference {
    /// Reads a reference as containers name it.
    ///
    /// Source: the `reference` package of the distribution project.
    pub(crate) fn parse(image: &str) -> Result<Self, String> {
        let (name, version) = match image.split_once('@') {
            Some((name, digest)) => {
                let name = match name.rsplit_once(':') {
                    Some((name, tag)) if !tag.contains('/') => name,
                    _ => name,
                };
                (name, format!("@{digest}"))
            }
            None => match image.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, format!(":{tag}")),
                _ => (image, ":latest".to_owned()),
            },
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => ("docker.io", name),
        };
        let repository = if host == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && word
                    .bytes()
                    .next()
                    .is_some_and(|b| b.is_ascii_alphanumeric())
                && word
                    .bytes()
                    .last()
                    .is_some_and(|b| b.is_ascii_alphanumeric())
        };
        if repository.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!(
                "invalid reference format: repository name ({repository}) must be lowercase"
            ));
        }
        let tag = &version[1..];
        let is_tag = version.starts_with(':')
            && !tag.is_empty()
            && tag.len() <= 128
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !tag.starts_with(['.', '-']);
        let is_digest = version.starts_with('@') && tag.starts_with("sha256:") && tag.len() == 71;
        if !repository.split('/').all(is_word) || !(is_tag || is_digest) {
            return Err("invalid reference format".to_owned());
        }
        Ok(Self {
            host: host.to_owned(),
            repository,
            version,
        })
    }

    pub(crate) fn full(&self) -> String {
        format!("{}/{}{}", self.host, self.repository, self.version)
    }
}

/// The digest by which a node knows an image.
pub(crate) fn id(full: &str) -> String {
    let name = full.rsplit_once(':').map_or(full, |(name, _)| name);
    let mut digest = String::new();
    let mut state = full.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for _ in 0..4 {
        state = crate::random::Random::new(state).next();
        digest.push_str(&format!("{state:016x}"));
    }
    format!("{name}@sha256:{digest}")
}

/// Sees to it that the image of a container is on its node, or says why it is not.
pub(super) fn ensure(
    world: &mut World,
    pod: &mut Pod,
    object: &Value,
    index: usize,
) -> Result<Image, (&'static str, String)> {
    let now = world.now();
    let spec = pod.spec(object, index).clone();
    let image = text(&spec, "/image");
    let policy = text(&spec, "/imagePullPolicy");
    let failed = |world: &mut World, pod: &Pod, reason: &'static str, message: String| {
        let error = format!("Error: {reason}");
        tell(world, pod, Some(index), "Warning", "Failed", &error);
        Err((reason, message))
    };
    let reference = match Reference::parse(image) {
        Ok(reference) => reference,
        Err(why) => {
            let message = format!(
                "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: \
                 {why}"
            );
            tell(
                world,
                pod,
                Some(index),
                "Warning",
                "InspectFailed",
                &message,
            );
            return failed(world, pod, "InvalidImageName", message);
        }
    };
    let full = reference.full();
    let is_there = world
        .kubelets
        .nodes
        .get(&pod.node)
        .is_some_and(|node| node.images.contains_key(&full));
    let found = |world: &World| Image {
        name: full.clone(),
        id: id(&full),
        facts: world.kubelets.image(&pod.node, &full),
    };
    if is_there && policy != "Always" {
        let message = format!("Container image {image:?} already present on machine");
        let ready = found(world);
        tell(world, pod, Some(index), "Normal", "Pulled", &message);
        return Ok(ready);
    }
    if policy == "Never" {
        let message = format!("Container image {image:?} is not present with pull policy of Never");
        tell(
            world,
            pod,
            Some(index),
            "Warning",
            "ErrImageNeverPull",
            &message,
        );
        return failed(world, pod, "ErrImageNeverPull", message);
    }
    let pull = &mut pod.containers[index].pull;
    if pull.image != image {
        *pull = Pull {
            image: image.to_owned(),
            ..Pull::default()
        };
    }
    if let Some((time, why)) = pull.failed.clone()
        && pull.backoff.remains(time, now).is_some()
    {
        let message = format!("Back-off pulling image {image:?}");
        tell(world, pod, Some(index), "Normal", "BackOff", &message);
        let message = format!("{message}: ErrImagePull: {why}");
        return failed(world, pod, "ImagePullBackOff", message);
    }
    let message = format!("Pulling image {image:?}");
    tell(world, pod, Some(index), "Normal", "Pulling", &message);
    let credentials = credentials(world, pod, object, &reference.host);
    match crate::network::pull(world, &reference, &credentials) {
        Ok(source) => {
            let size = world.kubelets.images.facts(&source).size;
            if let Some(node) = world.kubelets.nodes.get_mut(&pod.node) {
                node.images.insert(full.clone(), source);
            }
            let message = format!(
                "Successfully pulled image {image:?} in 187ms (187ms including waiting). Image \
                 size: {size} bytes."
            );
            let facts = world.kubelets.image(&pod.node, &full);
            tell(world, pod, Some(index), "Normal", "Pulled", &message);
            pod.containers[index].pull = Pull::default();
            Ok(Image {
                name: full.clone(),
                id: id(&full),
                facts,
            })
        }
        Err(why) => {
            let pull = &mut pod.containers[index].pull;
            pull.backoff.step(now);
            pull.failed = Some((now, why.clone()));
            let message = format!("Failed to pull image {image:?}: {why}");
            tell(world, pod, Some(index), "Warning", "Failed", &message);
            failed(world, pod, "ErrImagePull", why)
        }
    }
}

impl super::Kubelets {
    /// What an image of a node is.
    fn image(&self, node: &str, full: &str) -> Arc<Facts> {
        let source = self
            .nodes
            .get(node)
            .and_then(|node| node.images.get(full))
            .map_or(full, String::as_str);
        self.images.facts(source)
    }
}

/// Tells of the secrets with credentials that are not there.
pub(super) fn missing_secrets(world: &mut World, pod: &Pod, object: &Value) {
    let missing: Vec<String> = list(object, "/spec/imagePullSecrets")
        .iter()
        .map(|secret| text(secret, "/name").to_owned())
        .filter(|secret| {
            world
                .find(Kind::Secret, &pod.key.namespace, secret)
                .is_none()
        })
        .collect();
    if missing.is_empty() {
        return;
    }
    let message = format!(
        "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not \
         succeed.",
        missing.join(", ")
    );
    let reason = "FailedToRetrieveImagePullSecret";
    tell(world, pod, None, "Warning", reason, &message);
}

/// The users and passwords that a pod's secrets have for a registry.
fn credentials(world: &World, pod: &Pod, object: &Value, host: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for reference in list(object, "/spec/imagePullSecrets") {
        let name = text(reference, "/name");
        let Some(secret) = world.find(Kind::Secret, &pod.key.namespace, name) else {
            continue;
        };
        let read = |key: &str| {
            let text = super::environment::secret_value(&secret, key)?;
            serde_json::from_str::<Value>(&text).ok()
        };
        let auths = match (read(".dockerconfigjson"), read(".dockercfg")) {
            (Some(config), _) => at(&config, "/auths").clone(),
            (None, Some(config)) => config,
            (None, None) => continue,
        };
        for (registry, auth) in entries(&auths, "") {
            let bare = registry
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            let bare = bare.split('/').next().unwrap_or(bare);
            if bare != host {
                continue;
            }
            let joined = unbase64(text(auth, "/auth"))
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default();
            let (user, password) = match joined.split_once(':') {
                Some((user, password)) => (user.to_owned(), password.to_owned()),
                None => (
                    text(auth, "/username").to_owned(),
                    text(auth, "/password").to_owned(),
                ),
            };
            found.push((user, password));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_in_full() {
        for (image, expected) in [
            ("busybox", Ok("docker.io/library/busybox:latest")),
            ("busybox:1.37", Ok("docker.io/library/busybox:1.37")),
            ("a/b:1", Ok("docker.io/a/b:1")),
            ("host:5000/a", Ok("host:5000/a:latest")),
            (
                "BusyBox:1.37",
                Err(
                    "invalid reference format: repository name (library/BusyBox) must be lowercase",
                ),
            ),
            ("a:b:c", Err("invalid reference format")),
            ("busybox@1.37", Err("invalid reference format")),
            ("", Err("invalid reference format")),
        ] {
            let read = Reference::parse(image).map(|reference| reference.full());
            assert_eq!(
                read.as_deref().map_err(String::as_str),
                expected,
                "{image:?}"
            );
        }
    }
}
