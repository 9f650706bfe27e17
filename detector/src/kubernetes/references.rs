//! What pods refer to: the ConfigMaps and Secrets that their containers and volumes name.

use crate::facts::{Pod, PodSpec, Volume};

/// A ConfigMap or a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A pod's reference to a ConfigMap or a Secret, or to one key of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigReference {
    /// What is referred to.
    pub source: Source,
    /// Its name.
    pub name: String,
    /// The key, where one is named.
    pub key: Option<String>,
    /// Whether it may be missing.
    pub optional: bool,
    /// The container that cannot start without it; none for a volume, which holds up all of them.
    pub container: Option<String>,
    /// The volume that holds it, where it is one.
    pub volume: Option<String>,
    /// The path from the pod's root: `spec.containers[0].env[0].valueFrom.configMapKeyRef`.
    pub path: String,
}

/// All that a pod refers to, in the order of its specification.
pub fn config_references(pod: &Pod) -> Vec<ConfigReference> {
    let mut references = Vec::new();
    for container in pod.containers() {
        let name = container.name().to_owned();
        let mut add = |source, target: &str, key: Option<&str>, optional: Option<bool>, path| {
            references.push(ConfigReference {
                source,
                name: target.to_owned(),
                key: key.map(str::to_owned),
                optional: optional.unwrap_or(false),
                container: Some(name.clone()),
                volume: None,
                path: format!("{}.{path}", container.path()),
            });
        };
        for (index, from) in container.spec.env_from.iter().flatten().enumerate() {
            if let Some(target) = &from.config_map_ref {
                let path = format!("envFrom[{index}].configMapRef");
                add(Source::ConfigMap, &target.name, None, target.optional, path);
            }
            if let Some(target) = &from.secret_ref {
                let path = format!("envFrom[{index}].secretRef");
                add(Source::Secret, &target.name, None, target.optional, path);
            }
        }
        for (index, variable) in container.spec.env.iter().flatten().enumerate() {
            let Some(from) = &variable.value_from else {
                continue;
            };
            if let Some(target) = &from.config_map_key_ref {
                let path = format!("env[{index}].valueFrom.configMapKeyRef");
                add(
                    Source::ConfigMap,
                    &target.name,
                    Some(&target.key),
                    target.optional,
                    path,
                );
            }
            if let Some(target) = &from.secret_key_ref {
                let path = format!("env[{index}].valueFrom.secretKeyRef");
                add(
                    Source::Secret,
                    &target.name,
                    Some(&target.key),
                    target.optional,
                    path,
                );
            }
        }
    }
    references.extend(volume_references(&pod.spec));
    references
}

fn volume_references(spec: &PodSpec) -> Vec<ConfigReference> {
    let mut references = Vec::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = format!("spec.volumes[{index}]");
        volume_reference(volume, &path, &mut references);
    }
    references
}

fn volume_reference(volume: &Volume, path: &str, references: &mut Vec<ConfigReference>) {
    let mut add = |source, name: &str, keys: Vec<&str>, optional: Option<bool>, path: String| {
        // With items, the volume needs each key; without, only the object itself.
        let keys = if keys.is_empty() {
            vec![None]
        } else {
            keys.into_iter().map(Some).collect()
        };
        for key in keys {
            references.push(ConfigReference {
                source,
                name: name.to_owned(),
                key: key.map(str::to_owned),
                optional: optional.unwrap_or(false),
                container: None,
                volume: Some(volume.name.clone()),
                path: path.clone(),
            });
        }
    };
    if let Some(target) = &volume.config_map {
        let keys = target
            .items
            .iter()
            .flatten()
            .map(|item| item.key.as_str())
            .collect();
        add(
            Source::ConfigMap,
            &target.name,
            keys,
            target.optional,
            format!("{path}.configMap"),
        );
    }
    if let Some(target) = &volume.secret {
        let keys = target
            .items
            .iter()
            .flatten()
            .map(|item| item.key.as_str())
            .collect();
        let name = target.secret_name.as_deref().unwrap_or_default();
        add(
            Source::Secret,
            name,
            keys,
            target.optional,
            format!("{path}.secret"),
        );
    }
    let projected = volume
        .projected
        .iter()
        .flat_map(|projected| projected.sources.iter().flatten());
    for (index, source) in projected.enumerate() {
        let path = format!("{path}.projected.sources[{index}]");
        if let Some(target) = &source.config_map {
            let keys = target
                .items
                .iter()
                .flatten()
                .map(|item| item.key.as_str())
                .collect();
            add(
                Source::ConfigMap,
                &target.name,
                keys,
                target.optional,
                format!("{path}.configMap"),
            );
        }
        if let Some(target) = &source.secret {
            let keys = target
                .items
                .iter()
                .flatten()
                .map(|item| item.key.as_str())
                .collect();
            add(
                Source::Secret,
                &target.name,
                keys,
                target.optional,
                format!("{path}.secret"),
            );
        }
    }
}
