//! What a file's place in a folder says of what it holds.

use crashbook_detector::Kind;
use crashbook_detector::facts::Run;

/// What a file is, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Objects, each by its own apiVersion and kind.
    Objects(Place),
    /// The log of one container.
    Log(LogOf),
    /// Why the log of one container could not be collected.
    LogError(LogOf),
    /// The logs of all containers of a pod, between START and END markers.
    PodLogs { namespace: String, pod: String },
    /// The time at which the state was recorded.
    CollectedAt,
    /// A kubelet's `stats/summary`, with its node where the place names one.
    NodeStats { node: Option<String> },
    /// A kubelet's `/metrics/cadvisor`, with its node where the place names one.
    CpuPeriods { node: Option<String> },
    /// Why objects of a kind could not be collected; of all kinds where the place names none.
    Errors(Option<Kind>),
    /// Nothing that is read.
    Other,
}

/// Which run of which container a log is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogOf {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    pub(super) run: Run,
}

/// What a file's place says of objects that do not say it themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The kind, where the file is named after one.
    pub(super) kind: Option<Kind>,
    /// The one namespace that was listed, where the layout has a file for each.
    pub(super) namespace: Option<String>,
}

/// Says what the file at this path is; the path is told from the input's root, by `/`.
///
/// Source: `kubectl/pkg/cmd/clusterinfo/clusterinfo_dump.go`;
/// `replicatedhq/troubleshoot: pkg/collect/cluster_resources.go`.
pub(super) fn role(path: &str) -> Role {
    let parts: Vec<&str> = path.split('/').collect();
    let extension = |name: &'static str| move |file: &&str| file.ends_with(name);
    match parts.as_slice() {
        [.., "collected_at"] => Role::CollectedAt,
        [.., "logs", namespace, pod, file] if extension(".log")(file) => log(namespace, pod, file),
        [.., "stats", "summary" | "summary.json"] => Role::NodeStats {
            node: node_of(&parts),
        },
        [.., file] if is_named(file, &["stats", "summary"]) => Role::NodeStats {
            node: node_of(&parts),
        },
        [.., file] if is_named(file, &["cadvisor"]) => Role::CpuPeriods {
            node: node_of(&parts),
        },
        [.., namespace, pod, "logs.txt"] => Role::PodLogs {
            namespace: (*namespace).to_owned(),
            pod: (*pod).to_owned(),
        },
        [.., "cluster-resources", file] if extension("-errors.json")(file) => {
            Role::Errors(file.strip_suffix("-errors.json").and_then(kind_named))
        }
        // Cluster-wide lists, some of them without an extension.
        [.., "cluster-resources", file] => match kind_named(stem(file)) {
            Some(kind) => Role::Objects(Place {
                kind: Some(kind),
                namespace: None,
            }),
            None => objects(file),
        },
        [
            ..,
            "cluster-resources",
            "auth-cani-list" | "image-pull-secrets",
            _,
        ] => Role::Other,
        [.., "cluster-resources", folder, file] if is_objects(file) => Role::Objects(Place {
            kind: kind_named(folder),
            namespace: Some(stem(file).to_owned()),
        }),
        [.., file] => objects(file),
        [] => Role::Other,
    }
}

/// The node that a path names: `nodes/NODE/...`.
fn node_of(parts: &[&str]) -> Option<String> {
    let at = parts.iter().position(|part| *part == "nodes")?;
    let node = parts.get(at + 1).filter(|_| at + 2 < parts.len())?;
    Some((*node).to_owned())
}

/// Whether a file's name is made of these words: `stats-summary.json`, `metrics_cadvisor.txt`.
fn is_named(file: &str, words: &[&str]) -> bool {
    let mut parts = stem(file).split(['-', '_', '.']);
    words
        .iter()
        .all(|word| parts.any(|part| part.eq_ignore_ascii_case(word)))
}

fn log(namespace: &str, pod: &str, file: &str) -> Role {
    let name = file.strip_suffix(".log").unwrap_or(file);
    let of = |container: &str, run| LogOf {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
        run,
    };
    if let Some(container) = name.strip_suffix("-logs-errors") {
        return Role::LogError(of(container, Run::Current));
    }
    // A container's name has no dot; one that ends in `-previous` would be odd.
    for suffix in [".previous", "-previous"] {
        if let Some(container) = name.strip_suffix(suffix) {
            return Role::Log(of(container, Run::Previous));
        }
    }
    Role::Log(of(name, Run::Current))
}

fn objects(file: &str) -> Role {
    if is_objects(file) {
        Role::Objects(Place {
            kind: kind_named(stem(file)),
            namespace: None,
        })
    } else {
        Role::Other
    }
}

fn is_objects(file: &str) -> bool {
    [".json", ".yaml", ".yml"]
        .iter()
        .any(|extension| file.ends_with(extension))
}

fn stem(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// The kind that a file or folder is named after: `network-policy`, `pvcs`, `pods`.
fn kind_named(name: &str) -> Option<Kind> {
    let plain = name.replace(['-', '_'], "").to_lowercase();
    let short = match plain.as_str() {
        "pvs" | "pv" => Some(Kind::PersistentVolume),
        "pvcs" | "pvc" => Some(Kind::PersistentVolumeClaim),
        "storage" => Some(Kind::StorageClass),
        "endpoints" => None,
        _ => None,
    };
    short.or_else(|| {
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| plain == kind.plural() || plain == kind.name().to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(container: &str, run: Run) -> LogOf {
        LogOf {
            namespace: "shop".to_owned(),
            pod: "web".to_owned(),
            container: container.to_owned(),
            run,
        }
    }

    fn objects_of(kind: Option<Kind>, namespace: Option<&str>) -> Role {
        Role::Objects(Place {
            kind,
            namespace: namespace.map(str::to_owned),
        })
    }

    fn stats_of(node: Option<&str>) -> Role {
        Role::NodeStats {
            node: node.map(str::to_owned),
        }
    }

    #[test]
    fn a_place_says_what_a_file_is() {
        for (path, expected) in [
            ("collected_at", Role::CollectedAt),
            ("objects.json", objects_of(None, None)),
            ("state/pods.yaml", objects_of(Some(Kind::Pod), None)),
            (
                "logs/shop/web/app.log",
                Role::Log(log_of("app", Run::Current)),
            ),
            (
                "x/logs/shop/web/app.previous.log",
                Role::Log(log_of("app", Run::Previous)),
            ),
            (
                "cluster-resources/pods/logs/shop/web/app-previous.log",
                Role::Log(log_of("app", Run::Previous)),
            ),
            (
                "cluster-resources/pods/logs/shop/web/app-logs-errors.log",
                Role::LogError(log_of("app", Run::Current)),
            ),
            (
                "shop/web/logs.txt",
                Role::PodLogs {
                    namespace: "shop".to_owned(),
                    pod: "web".to_owned(),
                },
            ),
            ("nodes/w1/stats-summary.json", stats_of(Some("w1"))),
            ("nodes/w1/proxy/stats/summary", stats_of(Some("w1"))),
            ("numbers/w1-stats-summary.json", stats_of(None)),
            (
                "nodes/w1/metrics-cadvisor.txt",
                Role::CpuPeriods {
                    node: Some("w1".to_owned()),
                },
            ),
            (
                "nodes/w1/metrics/cadvisor",
                Role::CpuPeriods {
                    node: Some("w1".to_owned()),
                },
            ),
            (
                "logs/shop/web/cadvisor.log",
                Role::Log(log_of("cadvisor", Run::Current)),
            ),
            (
                "b/cluster-resources/nodes.json",
                objects_of(Some(Kind::Node), None),
            ),
            (
                "b/cluster-resources/pvs",
                objects_of(Some(Kind::PersistentVolume), None),
            ),
            (
                "b/cluster-resources/network-policy/shop.json",
                objects_of(Some(Kind::NetworkPolicy), Some("shop")),
            ),
            (
                "b/cluster-resources/pvcs/shop.json",
                objects_of(Some(Kind::PersistentVolumeClaim), Some("shop")),
            ),
            (
                "b/cluster-resources/statefulsets-errors.json",
                Role::Errors(Some(Kind::StatefulSet)),
            ),
            ("b/cluster-resources/auth-cani-list/shop.json", Role::Other),
            ("README.md", Role::Other),
        ] {
            assert_eq!(role(path), expected, "{path}");
        }
    }
}
