//! Faults of nodes, by the container engine: a node is a container with systemd in it.

use crashbook_detector::kubernetes::quantity::{NotAQuantity, Quantity};

use super::{Kind, engine::Engine};
use crate::{
    backend::{BackendError, reach},
    journal::{Entry, Journal, Undo},
    scenario::{FillResource, NodeFault, NodeFill, Unit},
};

/// Where kubeadm keeps the flags of a node's kubelet, which override its configuration.
const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";

/// The port at which a kubelet tells its own node whether it is well.
///
/// Source: `healthzPort` of KubeletConfiguration, kubelet.config.k8s.io/v1beta1.
const HEALTHZ: &str = "10248";

/// Does this to every node of its pool.
pub(super) async fn inject(
    kind: &Kind,
    journal: &Journal,
    fault: &NodeFault,
) -> Result<(), BackendError> {
    let engine = &kind.engine;
    for node in kind.nodes(fault.pool())? {
        match fault {
            NodeFault::Stop(stop) => {
                let unit = unit(stop.unit).to_owned();
                let undo = Undo::StartUnit {
                    node: node.clone(),
                    unit: unit.clone(),
                };
                let _ = journal.record(undo)?;
                engine.on_node(node, &["systemctl", "stop", &unit]).await?;
            }
            NodeFault::Start(start) => {
                start_unit(engine, node, unit(start.unit)).await?;
                reach::node_ready(&kind.client, node).await?;
            }
            NodeFault::Fill(fill) => self::fill(engine, journal, node, fill).await?,
            NodeFault::Empty(fill) => match place(engine, node, fill.resource).await? {
                Place::Path(path) => {
                    engine.on_node(node, &["rm", "-rf", &path]).await?;
                }
                Place::Unit(unit) => stop_unit(engine, node, unit).await?,
            },
            NodeFault::Threshold(threshold) => {
                let with = |flags: &str| with_threshold(flags, &threshold.signal, &threshold.value);
                change_flags(kind, journal, node, with).await?;
            }
            NodeFault::Reserve(reserve) => {
                let value = format!("memory={}", reserve.memory);
                let with = |flags: &str| with_flag(flags, "system-reserved", &value);
                change_flags(kind, journal, node, with).await?;
            }
        }
    }
    Ok(())
}

/// Restarts the kubelet of a node with other flags, until the end of the run.
async fn change_flags(
    kind: &Kind,
    journal: &Journal,
    node: &str,
    with: impl Fn(&str) -> Option<String>,
) -> Result<(), BackendError> {
    let flags = kind.engine.on_node(node, &["cat", FLAGS]).await?;
    if !is_recorded(journal, node) {
        let undo = Undo::RestoreKubelet {
            node: node.to_owned(),
            flags: flags.clone(),
        };
        let _ = journal.record(undo)?;
    }
    let flags = with(&flags).ok_or_else(|| BackendError::Answer {
        what: format!("{FLAGS} of node {node}"),
        problem: "it does not set KUBELET_KUBEADM_ARGS=\"...\"".to_owned(),
    })?;
    set_flags(&kind.engine, node, &flags).await?;
    reach::node_ready(&kind.client, node).await?;
    Ok(())
}

/// Whether the first flags of a node are written down: later ones are the run's own.
fn is_recorded(journal: &Journal, of: &str) -> bool {
    let recorded =
        |(_, undo): &(Entry, Undo)| matches!(undo, Undo::RestoreKubelet { node, .. } if node == of);
    journal.pending().iter().any(recorded)
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Kubelet => "kubelet",
        Unit::Containerd => "containerd",
    }
}

/// What holds on a node what a fill uses up.
enum Place {
    Path(String),
    Unit(&'static str),
}

async fn place(engine: &Engine, node: &str, of: FillResource) -> Result<Place, BackendError> {
    Ok(match of {
        FillResource::Memory => Place::Unit("crashbook-fill-memory"),
        FillResource::Pids => Place::Unit("crashbook-fill-pids"),
        FillResource::ImageDisk => Place::Path("/var/lib/containerd/crashbook-fill".to_owned()),
        FillResource::Disk | FillResource::Inodes => {
            let flags = engine.on_node(node, &["cat", FLAGS]).await?;
            let root = flag(&flags, "root-dir").unwrap_or("/var/lib/kubelet");
            let name = if of == FillResource::Disk {
                "fill"
            } else {
                "files"
            };
            Place::Path(format!("{root}/crashbook-{name}"))
        }
    })
}

async fn fill(
    engine: &Engine,
    journal: &Journal,
    node: &str,
    fill: &NodeFill,
) -> Result<(), BackendError> {
    let amount: Quantity =
        fill.amount
            .parse()
            .map_err(|error: NotAQuantity| BackendError::Answer {
                what: format!("the amount to fill on node {node}"),
                problem: error.to_string(),
            })?;
    let amount = amount.ceil().to_string();
    match place(engine, node, fill.resource).await? {
        Place::Path(path) => {
            let undo = Undo::RemoveFill {
                node: node.to_owned(),
                path: path.clone(),
            };
            let _ = journal.record(undo)?;
            let script = if fill.resource == FillResource::Inodes {
                r#"mkdir -p "$0" && cd "$0" && seq 1 "$1" | xargs touch"#
            } else {
                r#"fallocate -l "$1" "$0""#
            };
            engine
                .on_node(node, &["sh", "-c", script, &path, &amount])
                .await
                .map(drop)
        }
        Place::Unit(unit) => {
            let undo = Undo::StopUnit {
                node: node.to_owned(),
                unit: unit.to_owned(),
            };
            let _ = journal.record(undo)?;
            // dd holds its buffer, at most 2047 MiB, for as long as nobody reads it.
            let script = if fill.resource == FillResource::Memory {
                r#"left=$0; while [ "$left" -gt 0 ]; do
                     part=$left; [ "$part" -le 1073741824 ] || part=1073741824
                     dd if=/dev/zero bs="$part" count=1 | sleep infinity &
                     left=$((left - part))
                   done; wait"#
            } else {
                r#"for _ in $(seq 1 "$0"); do sleep infinity & done; wait"#
            };
            let name = format!("--unit={unit}");
            let run = [
                "systemd-run",
                "--quiet",
                "--collect",
                "--property=TasksMax=infinity",
                &name,
            ];
            let command = [&run[..], &["sh", "-c", script, &amount]].concat();
            engine.on_node(node, &command).await.map(drop)
        }
    }
}

/// Starts a unit; one that runs is started. A kubelet is waited for.
pub(crate) async fn start_unit(
    engine: &Engine,
    node: &str,
    unit: &str,
) -> Result<(), BackendError> {
    engine.on_node(node, &["systemctl", "start", unit]).await?;
    if unit == self::unit(Unit::Kubelet) {
        kubelet_runs(engine, node).await?;
    }
    Ok(())
}

/// Waits until a kubelet that was just started answers: whether its node is Ready tells of the one
/// before it for 40 s more.
async fn kubelet_runs(engine: &Engine, node: &str) -> Result<(), BackendError> {
    // It says why it ends, and systemd starts it again, and again.
    let script = r#"for _ in $(seq 150); do
          (exec 3<>"/dev/tcp/localhost/$0") 2>/dev/null && exit
          sleep 0.2
        done
        journalctl --unit kubelet --lines 50 --output cat | grep '^[EF][0-9]' | tail --lines 2 >&2
        exit 1"#;
    let asks = ["bash", "-c", script, HEALTHZ];
    let answer = engine.on_node(node, &asks).await;
    answer.map(drop).map_err(|error| match error {
        BackendError::Command { said, .. } => BackendError::Answer {
            what: format!("the kubelet of node {node}"),
            problem: format!("it does not start:\n  {said}"),
        },
        other => other,
    })
}

/// Stops a transient unit; one that is not there is stopped.
pub(crate) async fn stop_unit(engine: &Engine, node: &str, unit: &str) -> Result<(), BackendError> {
    let script = r#"! systemctl is-active --quiet "$0" || systemctl stop "$0""#;
    engine
        .on_node(node, &["sh", "-c", script, unit])
        .await
        .map(drop)
}

/// Gives a kubelet these flags, and restarts it: also where it has them, since it may have been
/// started with others.
pub(crate) async fn set_flags(
    engine: &Engine,
    node: &str,
    flags: &str,
) -> Result<(), BackendError> {
    let script = r#"printf %s "$1" >"$0.new" && mv "$0.new" "$0" && systemctl restart kubelet"#;
    engine
        .on_node(node, &["sh", "-c", script, FLAGS, flags])
        .await?;
    kubelet_runs(engine, node).await
}

/// A flag's value among those of a kubelet.
fn flag<'a>(flags: &'a str, name: &str) -> Option<&'a str> {
    let value = flags.split_once(&format!("--{name}="))?.1;
    value.split([' ', '"', '\n']).next()
}

/// The flags with this eviction threshold, in place of the one that the signal has, if any. None
/// where the text holds no flags.
fn with_threshold(flags: &str, signal: &str, value: &str) -> Option<String> {
    let new = format!("{signal}<{value}");
    let others = flag(flags, "eviction-hard")
        .into_iter()
        .flat_map(|all| all.split(','));
    let others = others.filter(|one| {
        !one.is_empty() && one.split_once('<').is_none_or(|(name, _)| name != signal)
    });
    let all: Vec<&str> = others.chain([new.as_str()]).collect();
    with_flag(flags, "eviction-hard", &all.join(","))
}

/// The flags with this one, in place of the one of its name, if any. None where the text holds no
/// flags.
fn with_flag(flags: &str, name: &str, value: &str) -> Option<String> {
    let new = format!("--{name}={value}");
    match flag(flags, name) {
        Some(old) => Some(flags.replacen(&format!("--{name}={old}"), &new, 1)),
        None => {
            let start = "KUBELET_KUBEADM_ARGS=\"";
            let at = flags.find(start)? + start.len();
            Some(format!("{}{new} {}", &flags[..at], &flags[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_threshold_changes_and_the_others_stay() {
        let check = |flags: &str, want: Option<&str>| {
            assert_eq!(
                with_threshold(flags, "pid.available", "100").as_deref(),
                want
            );
        };
        check(
            "KUBELET_KUBEADM_ARGS=\"--eviction-hard=memory.available<92%,pid.available<9 --root-dir=/r\"\n",
            Some(
                "KUBELET_KUBEADM_ARGS=\"--eviction-hard=memory.available<92%,pid.available<100 --root-dir=/r\"\n",
            ),
        );
        check(
            "KUBELET_KUBEADM_ARGS=\"--root-dir=/r\"",
            Some("KUBELET_KUBEADM_ARGS=\"--eviction-hard=pid.available<100 --root-dir=/r\""),
        );
        check("", None);
    }

    #[test]
    fn the_kubelets_folder_is_found() {
        assert_eq!(
            flag("A=\"--x=1 --root-dir=/run/kubelet\"\n", "root-dir"),
            Some("/run/kubelet")
        );
        assert_eq!(flag("A=\"--x=1\"", "root-dir"), None);
    }
}
