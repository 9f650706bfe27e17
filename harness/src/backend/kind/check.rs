//! What a cluster of kind must show: that its settings took effect, that it is healthy, and that
//! it is as it was made.

use std::{collections::BTreeMap, time::Duration};

use crashbook_detector::kubernetes::quantity::Quantity;
use futures::{StreamExt, TryStreamExt, future, stream};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment},
        core::v1::{Namespace, Node, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::wait::{self, Condition},
};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::config::{Kubelet, Plan};
use crate::{
    backend::{BackendError, POOL, reach},
    journal::{self, RUN_LABEL},
    scenario::{NodeFacts, Pool},
    state::State,
};

/// How often kubelets are asked for statistics that they do not have yet: the API has no watch
/// for them.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How long a kubelet may take to answer.
const KUBELET: Duration = Duration::from_secs(5);

/// A node, and what its kubelet says of itself.
#[derive(Debug)]
pub(super) struct Seen {
    pub node: Node,
    pub configz: Value,
    pub summary: Value,
}

impl Seen {
    fn name(&self) -> String {
        self.node.name_any()
    }

    fn pool(&self) -> Option<&str> {
        self.node.labels().get(POOL).map(String::as_str)
    }
}

/// Reads the workers of every pool, and asks their kubelets.
pub(super) async fn look(client: &Client) -> Result<Vec<Seen>, BackendError> {
    let asked = workers(client).await?.into_iter().map(|node| async move {
        let name = node.name_any();
        let (configz, summary) = future::try_join(
            ask(client, &name, "configz"),
            ask(client, &name, "stats/summary"),
        )
        .await?;
        Ok(Seen {
            node,
            configz,
            summary,
        })
    });
    stream::iter(asked).buffered(8).try_collect().await
}

async fn ask(client: &Client, node: &str, path: &str) -> Result<Value, BackendError> {
    let what = || format!("read {path} of node {node}");
    let request = http::Request::get(format!("/api/v1/nodes/{node}/proxy/{path}"));
    let request = request
        .body(Vec::new())
        .map_err(|error| BackendError::Answer {
            what: what(),
            problem: error.to_string(),
        })?;
    // The API server waits for a kubelet that is gone for longer than anyone wants to.
    match timeout(KUBELET, client.request(request)).await {
        Ok(answer) => answer.map_err(BackendError::api(what())),
        Err(_) => Err(BackendError::Late {
            what: format!("the kubelet of node {node} has not answered"),
            seconds: KUBELET.as_secs(),
            last: String::new(),
        }),
    }
}

/// The nodes by pool, as they are now. Of a node whose kubelet does not answer, since it has been
/// stopped, there is no more than its object.
pub(crate) async fn pools_now(client: &Client) -> Result<BTreeMap<Pool, NodeFacts>, BackendError> {
    let seen = workers(client).await?.into_iter().map(|node| async {
        let name = node.name_any();
        let (configz, summary) = future::join(
            ask(client, &name, "configz"),
            ask(client, &name, "stats/summary"),
        )
        .await;
        Seen {
            node,
            configz: configz.unwrap_or_default(),
            summary: summary.unwrap_or_default(),
        }
    });
    Ok(pools(
        &stream::iter(seen).buffered(8).collect::<Vec<_>>().await,
    ))
}

/// The nodes of every pool.
async fn workers(client: &Client) -> Result<Vec<Node>, BackendError> {
    let nodes = Api::<Node>::all(client.clone());
    let workers = nodes.list(&ListParams::default().labels(POOL)).await;
    Ok(workers.map_err(BackendError::api("list Nodes"))?.items)
}

/// The pools of these nodes.
pub(super) fn pools(nodes: &[Seen]) -> BTreeMap<Pool, NodeFacts> {
    let mut pools: BTreeMap<Pool, NodeFacts> = BTreeMap::new();
    for seen in nodes {
        let Some(pool) = seen.pool() else { continue };
        let facts = NodeFacts::new(&seen.node, &seen.configz, &seen.summary);
        match pools.get_mut(pool) {
            Some(first) => first.names.extend(facts.names),
            None => {
                pools.insert(pool.to_owned(), facts);
            }
        }
    }
    pools
}

/// Waits until every kubelet has statistics, and then holds what each says against the plan. The
/// first setting that did not take effect is the error.
pub(super) async fn settings(
    client: &Client,
    plan: &Plan,
    within: Duration,
) -> Result<Vec<Seen>, BackendError> {
    let deadline = Instant::now() + within;
    let mut again = interval_at(Instant::now() + ASK_AGAIN, ASK_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let nodes = loop {
        let missing = match look(client).await {
            Ok(nodes) => match nodes.iter().find_map(lacks_numbers) {
                None => break nodes,
                Some(missing) => missing,
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(BackendError::Late {
                what: "the kubelets have not said all of themselves".to_owned(),
                seconds: within.as_secs(),
                last: format!(": {missing}"),
            });
        }
        again.tick().await;
    };
    for seen in &nodes {
        let Some(kubelet) = seen.pool().and_then(|pool| plan.kubelets.get(pool)) else {
            return Err(BackendError::Setting {
                place: format!("node {}", seen.name()),
                setting: format!("label {POOL}"),
                want: "a pool of kind-config.yaml".to_owned(),
                got: seen.pool().unwrap_or("nothing").to_owned(),
            });
        };
        holds(seen, kubelet)?;
    }
    controller_manager(client, plan).await?;
    Ok(nodes)
}

fn number(summary: &Value, pointer: &str) -> Option<u64> {
    summary.pointer(pointer)?.as_u64()
}

fn lacks_numbers(seen: &Seen) -> Option<String> {
    let needed = [
        "/node/memory/availableBytes",
        "/node/fs/capacityBytes",
        "/node/fs/inodes",
    ];
    let missing = needed
        .iter()
        .find(|pointer| number(&seen.summary, pointer).is_none())?;
    Some(format!(
        "stats/summary of node {} lacks {missing}",
        seen.name()
    ))
}

/// Holds what one kubelet says against what it was told.
fn holds(seen: &Seen, kubelet: &Kubelet) -> Result<(), BackendError> {
    let wrong = |setting: &str, want: String, got: String| BackendError::Setting {
        place: format!("node {}", seen.name()),
        setting: setting.to_owned(),
        want,
        got,
    };
    let config = &seen.configz["kubeletconfig"];
    for (name, want) in &kubelet.configz {
        if config[name] != *want {
            return Err(wrong(name, want.to_string(), config[name].to_string()));
        }
    }
    if kubelet.own_nodefs {
        let nodefs = number(&seen.summary, "/node/fs/capacityBytes");
        let imagefs = number(&seen.summary, "/node/runtime/imageFs/capacityBytes");
        if nodefs == imagefs {
            return Err(wrong(
                "root-dir",
                "a file system of its own".to_owned(),
                "on the file system of the images".to_owned(),
            ));
        }
    }
    if let Some(most) = kubelet.allocatable {
        let allocatable = seen
            .node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref());
        let memory = allocatable
            .and_then(|all| all.get("memory"))
            .map(|memory| memory.0.as_str());
        let bytes = memory
            .and_then(|memory| memory.parse::<Quantity>().ok())
            .map(Quantity::ceil);
        // Both are computed from the same memory: only rounding may come between them.
        let most = i128::from(most);
        if bytes.is_none_or(|bytes| (bytes - most).abs() > most / 50) {
            return Err(wrong(
                "allocatable memory",
                format!("{most} bytes"),
                memory.unwrap_or("nothing").to_owned(),
            ));
        }
    }
    Ok(())
}

async fn controller_manager(client: &Client, plan: &Plan) -> Result<(), BackendError> {
    let pods = Api::<Pod>::namespaced(client.clone(), "kube-system");
    let managers = ListParams::default().labels("component=kube-controller-manager");
    let pods = pods
        .list(&managers)
        .await
        .map_err(BackendError::api("list Pods in kube-system"))?;
    let spec = pods.items.into_iter().next().and_then(|pod| pod.spec);
    let container = spec.and_then(|spec| spec.containers.into_iter().next());
    let command = container
        .and_then(|container| container.command)
        .unwrap_or_default();
    match plan
        .controller_manager
        .iter()
        .find(|argument| !command.contains(argument))
    {
        None => Ok(()),
        Some(argument) => Err(BackendError::Setting {
            place: "kube-controller-manager".to_owned(),
            setting: "its arguments".to_owned(),
            want: argument.clone(),
            got: command.join(" "),
        }),
    }
}

/// Waits until every node and all that kind brought along is ready. The error says what is not.
pub(super) async fn ready(client: &Client, within: Duration) -> Result<(), BackendError> {
    let mut last = String::new();
    let all = async {
        let nodes = Api::<Node>::all(client.clone());
        let found = nodes.list(&ListParams::default()).await;
        for node in found.map_err(BackendError::api("list Nodes"))? {
            let is_ready = |node: Option<&Node>| node.is_some_and(reach::is_ready);
            wait_for(nodes.clone(), &node.metadata, is_ready, "Node", &mut last).await?;
        }
        for namespace in ["kube-system", "local-path-storage"] {
            let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
            let found = deployments.list(&ListParams::default()).await;
            for found in found.map_err(BackendError::api("list Deployments"))? {
                let api = deployments.clone();
                wait_for(api, &found.metadata, deployed, "Deployment", &mut last).await?;
            }
            let daemons = Api::<DaemonSet>::namespaced(client.clone(), namespace);
            let found = daemons.list(&ListParams::default()).await;
            for found in found.map_err(BackendError::api("list DaemonSets"))? {
                let api = daemons.clone();
                wait_for(api, &found.metadata, on_every_node, "DaemonSet", &mut last).await?;
            }
        }
        Ok(())
    };
    match timeout(within, all).await {
        Ok(result) => result,
        Err(_) => Err(BackendError::Late {
            what: if last.is_empty() {
                "the API server has not answered".to_owned()
            } else {
                format!("{last} is not ready")
            },
            seconds: within.as_secs(),
            last: String::new(),
        }),
    }
}

async fn wait_for<K>(
    api: Api<K>,
    of: &ObjectMeta,
    condition: impl Condition<K>,
    kind: &str,
    last: &mut String,
) -> Result<(), BackendError>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let name = of.name.as_deref().unwrap_or_default();
    *last = format!("{kind} {name}");
    wait::await_condition(api, name, condition)
        .await
        .map(drop)
        .map_err(|error| BackendError::Answer {
            what: format!("watch {last}"),
            problem: error.to_string(),
        })
}

fn deployed(deployment: Option<&Deployment>) -> bool {
    deployment.is_some_and(|deployment| {
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        status.available_replicas.unwrap_or(0) >= wanted
            && status.unavailable_replicas.unwrap_or(0) == 0
    })
}

fn on_every_node(daemons: Option<&DaemonSet>) -> bool {
    daemons
        .and_then(|daemons| daemons.status.as_ref())
        .is_some_and(|status| {
            status.desired_number_scheduled > 0
                && status.number_ready == status.desired_number_scheduled
        })
}

/// Waits until no node is cordoned, tainted or under pressure beyond what its pool is, and no
/// namespace of a run is left but those of runs that were kept, with their nodes.
pub(super) async fn clean(
    state: &State,
    client: &Client,
    within: Duration,
) -> Result<(), BackendError> {
    let kept: Vec<_> = journal::read_all(state)
        .into_iter()
        .filter(|found| found.lives || found.record.kept.is_some())
        .map(|found| found.record)
        .collect();
    let ours = ListParams::default().labels(RUN_LABEL);
    let namespaces = Api::<Namespace>::all(client.clone()).list(&ours).await;
    for namespace in namespaces.map_err(BackendError::api("list Namespaces"))? {
        let run = namespace
            .labels()
            .get(RUN_LABEL)
            .cloned()
            .unwrap_or_default();
        if !kept.iter().any(|record| record.header.run == run) {
            return Err(BackendError::Answer {
                what: format!("Namespace {}", namespace.name_any()),
                problem: format!("it was left by {run}, of which no journal is there"),
            });
        }
    }
    let nodes = Api::<Node>::all(client.clone());
    let found = nodes
        .list(&ListParams::default())
        .await
        .map_err(BackendError::api("list Nodes"))?;
    let held = |name: &str| {
        kept.iter()
            .filter_map(|record| record.claim.as_ref())
            .any(|claim| claim.nodes.contains_key(name))
    };
    let mut last = String::new();
    let all = async {
        for node in found.into_iter().filter(|node| !held(&node.name_any())) {
            let untouched = |node: Option<&Node>| node.is_some_and(|node| touched(node).is_none());
            if let Some(why) = touched(&node) {
                last = why;
            }
            let name = node.name_any();
            wait::await_condition(nodes.clone(), &name, untouched)
                .await
                .map_err(|error| BackendError::Answer {
                    what: format!("watch node {name}"),
                    problem: error.to_string(),
                })?;
        }
        Ok(())
    };
    timeout(within, all).await.unwrap_or_else(|_| {
        Err(BackendError::Late {
            what: "a node is not as it was made".to_owned(),
            seconds: within.as_secs(),
            last: format!(": {last}"),
        })
    })
}

/// What is different of a node from how it was made.
fn touched(node: &Node) -> Option<String> {
    let name = node.name_any();
    let spec = node.spec.clone().unwrap_or_default();
    if spec.unschedulable == Some(true) {
        return Some(format!("node {name} is cordoned"));
    }
    let own = [
        POOL,
        "node-role.kubernetes.io/control-plane",
        "node-role.kubernetes.io/master",
    ];
    let taint = spec
        .taints
        .into_iter()
        .flatten()
        .find(|taint| !own.contains(&taint.key.as_str()));
    if let Some(taint) = taint {
        return Some(format!(
            "node {name} has the taint {}:{}",
            taint.key, taint.effect
        ));
    }
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let wrong = conditions
        .into_iter()
        .flatten()
        .find(|condition| match condition.type_.as_str() {
            "Ready" => condition.status != "True",
            "MemoryPressure" | "DiskPressure" | "PIDPressure" => condition.status != "False",
            _ => false,
        });
    wrong.map(|condition| format!("node {name} has {}={}", condition.type_, condition.status))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(spec: Value, conditions: &[(&str, &str)]) -> Node {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(type_, status)| json!({ "type": type_, "status": status }))
            .collect();
        serde_json::from_value(json!({
            "metadata": { "name": "n", "labels": { POOL: "small" } },
            "spec": spec,
            "status": { "conditions": conditions, "allocatable": { "memory": "1000Mi" } },
        }))
        .unwrap()
    }

    #[test]
    fn what_was_done_to_a_node_shows() {
        let check = |spec: Value, conditions: &[(&str, &str)], want: Option<&str>| {
            assert_eq!(touched(&node(spec, conditions)).as_deref(), want);
        };
        let own = json!({ "taints": [{ "key": POOL, "value": "small", "effect": "NoSchedule" }] });
        check(own, &[("Ready", "True"), ("DiskPressure", "False")], None);
        check(
            json!({ "unschedulable": true }),
            &[],
            Some("node n is cordoned"),
        );
        let taint = json!({ "taints": [{ "key": "a", "effect": "NoExecute" }] });
        check(taint, &[], Some("node n has the taint a:NoExecute"));
        check(
            json!({}),
            &[("PIDPressure", "True")],
            Some("node n has PIDPressure=True"),
        );
        check(
            json!({}),
            &[("Ready", "Unknown")],
            Some("node n has Ready=Unknown"),
        );
    }

    #[test]
    fn a_setting_that_did_not_take_effect_is_named() {
        let seen = |reserved: &str, nodefs: u64| Seen {
            node: node(json!({}), &[]),
            configz: json!({ "kubeletconfig": { "systemReserved": { "memory": reserved } } }),
            summary: json!({ "node": {
                "fs": { "capacityBytes": nodefs },
                "runtime": { "imageFs": { "capacityBytes": 7 } },
            } }),
        };
        let mut kubelet = Kubelet {
            own_nodefs: true,
            ..Kubelet::default()
        };
        kubelet
            .configz
            .insert("systemReserved".to_owned(), json!({ "memory": "1Gi" }));
        let check = |seen: Seen, kubelet: &Kubelet, want: Option<&str>| {
            let got = holds(&seen, kubelet).map_err(|error| error.to_string());
            match want {
                None => got.unwrap(),
                Some(want) => assert!(got.as_ref().unwrap_err().contains(want), "{got:?}"),
            }
        };
        check(seen("1Gi", 6), &kubelet, None);
        check(
            seen("2Gi", 6),
            &kubelet,
            Some("node n: systemReserved is {\"memory\":\"2Gi\"}"),
        );
        check(seen("1Gi", 7), &kubelet, Some("root-dir"));
        kubelet.allocatable = Some(1000 << 20);
        check(seen("1Gi", 6), &kubelet, None);
        kubelet.allocatable = Some(2000 << 20);
        check(
            seen("1Gi", 6),
            &kubelet,
            Some("allocatable memory is 1000Mi and should be 2097152000 bytes"),
        );
    }
}
