//! Which ConfigMap or Secret a file in a container comes from.

use k8s_openapi::api::core::v1::{ConfigMapProjection, KeyToPath, SecretProjection};

use crate::facts::{Container, Pod, Volume};
use crate::kubernetes::references::Source;
use crate::verdict::{Culprit, Reference};

/// A file, or a variable, that a key of a ConfigMap or Secret gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What holds it.
    pub source: Source,
    /// Its name.
    pub name: String,
    /// The key.
    pub key: String,
}

impl Held {
    /// The object that holds it, as the culprit, with the key as the field.
    pub fn culprit(&self, namespace: &str) -> Culprit {
        let kind = match self.source {
            Source::ConfigMap => "ConfigMap",
            Source::Secret => "Secret",
        };
        let field = format!("data[{:?}]", self.key);
        Reference::namespaced(kind, namespace, &self.name).field(field)
    }
}

/// What holds the file of this path in a container: by the innermost mount that the path lies in,
/// whether or not the object has the key. A path that does not begin with a slash is matched by
/// its end.
pub fn holder(pod: &Pod, container: &Container<'_>, path: &str) -> Option<Held> {
    let mut mounts: Vec<_> = container.spec.volume_mounts.iter().flatten().collect();
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.mount_path.len()));
    if !path.starts_with('/') {
        let end = format!("/{path}");
        return files(pod, container)
            .into_iter()
            .find(|(file, _)| file.ends_with(&end))
            .map(|(_, held)| held);
    }
    let mount = mounts.into_iter().find(|mount| {
        let root = mount.mount_path.trim_end_matches('/');
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })?;
    let rest = path
        .strip_prefix(mount.mount_path.trim_end_matches('/'))?
        .trim_start_matches('/');
    let inside = match (
        mount
            .sub_path
            .as_deref()
            .unwrap_or_default()
            .trim_matches('/'),
        rest,
    ) {
        (sub, "") => sub.to_owned(),
        ("", rest) => rest.to_owned(),
        (sub, rest) => format!("{sub}/{rest}"),
    };
    let volume = pod
        .spec
        .volumes
        .iter()
        .flatten()
        .find(|volume| volume.name == mount.name)?;
    held_in(volume, &inside)
}

/// The files that keys named in the specification give to a container, by their paths; a whole
/// ConfigMap or Secret that is mounted is not in it, for its keys are its own.
pub fn files(pod: &Pod, container: &Container<'_>) -> Vec<(String, Held)> {
    let mut found = Vec::new();
    for mount in container.spec.volume_mounts.iter().flatten() {
        let volume = pod
            .spec
            .volumes
            .iter()
            .flatten()
            .find(|volume| volume.name == mount.name);
        let Some(volume) = volume else { continue };
        if let Some(sub) = mount.sub_path.as_deref()
            && let Some(held) = held_in(volume, sub)
        {
            found.push((mount.mount_path.clone(), held));
            continue;
        }
        let root = mount.mount_path.trim_end_matches('/');
        for (source, name, items) in sources(volume) {
            for item in items.iter().flatten() {
                let held = Held {
                    source,
                    name: name.to_owned(),
                    key: item.key.clone(),
                };
                found.push((format!("{root}/{}", item.path), held));
            }
        }
    }
    found
}

/// The ConfigMaps and Secrets in a volume, with the keys that it picks, but the cluster's own
/// certificates.
pub fn sources(volume: &Volume) -> Vec<(Source, &str, &Option<Vec<KeyToPath>>)> {
    let mut found = Vec::new();
    if let Some(map) = &volume.config_map {
        found.push((Source::ConfigMap, map.name.as_str(), &map.items));
    }
    if let Some(secret) = &volume.secret {
        found.push((
            Source::Secret,
            secret.secret_name.as_deref().unwrap_or_default(),
            &secret.items,
        ));
    }
    let projected = volume
        .projected
        .iter()
        .flat_map(|projected| projected.sources.iter().flatten());
    for source in projected {
        if let Some(ConfigMapProjection { name, items, .. }) = &source.config_map {
            found.push((Source::ConfigMap, name.as_str(), items));
        }
        if let Some(SecretProjection { name, items, .. }) = &source.secret {
            found.push((Source::Secret, name.as_str(), items));
        }
    }
    found.retain(|(_, name, _)| *name != "kube-root-ca.crt");
    found
}

fn held_in(volume: &Volume, path: &str) -> Option<Held> {
    sources(volume)
        .into_iter()
        .find_map(|(source, name, items)| {
            let key = match items {
                Some(items) if !items.is_empty() => {
                    &items.iter().find(|item| item.path == path)?.key
                }
                _ if path.is_empty() || path.contains('/') => return None,
                _ => path,
            };
            Some(Held {
                source,
                name: name.to_owned(),
                key: key.to_owned(),
            })
        })
}

/// What holds the value of a variable of a container; none where the specification itself does.
pub fn holder_of_variable(container: &Container<'_>, name: &str) -> Option<Held> {
    let variable = container
        .spec
        .env
        .iter()
        .flatten()
        .find(|variable| variable.name == name)?;
    let from = variable.value_from.as_ref()?;
    if let Some(key) = &from.config_map_key_ref {
        return Some(Held {
            source: Source::ConfigMap,
            name: key.name.clone(),
            key: key.key.clone(),
        });
    }
    let key = from.secret_key_ref.as_ref()?;
    Some(Held {
        source: Source::Secret,
        name: key.name.clone(),
        key: key.key.clone(),
    })
}
