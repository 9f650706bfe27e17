//! An existing cluster, by a context of the user's kubeconfig. It is not crashbook's: nothing is
//! done to its nodes, and nothing outside the runs' own objects is left changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Node};
use kube::{Api, Client, ResourceExt, api::ListParams, config::Kubeconfig};
use serde_json::Value;

use super::{Backend, BackendError, GENERAL, POOL, reach};
use crate::{
    journal::{Journal, Target},
    progress::Progress,
    scenario::{NodeFacts, NodeFault, Pool, Spec, Verb},
    state::{State, fnv},
    yaml,
};

/// DaemonSets of network plugins that keep NetworkPolicies, by name or by that of a container: the
/// API itself does not tell whether anyone keeps them.
///
/// Source: the manifests of Calico, Canal, Cilium, Antrea, kube-router, Weave Net, OVN-Kubernetes,
/// Azure, GKE, Amazon EKS and kind.
const KEEP_POLICIES: &[&str] = &[
    "anetd",
    "antrea-agent",
    "aws-eks-nodeagent",
    "azure-npm",
    "calico-node",
    "canal",
    "cilium",
    "kindnet",
    "kube-router",
    "ovnkube-node",
    "weave-net",
];

/// An existing cluster.
pub struct Context {
    client: Client,
    target: Target,
    pools: BTreeMap<Pool, NodeFacts>,
    keeps_policies: bool,
}

/// How an existing cluster may be used.
#[derive(Debug, Clone)]
pub struct Options {
    /// The context's name.
    pub context: String,
    /// Said by the user: break things in this cluster.
    pub allow_cluster: bool,
    /// Said by the user: NetworkPolicies are kept there, also where no plugin that is known to
    /// keep them is seen.
    pub network_policy: bool,
}

impl Context {
    /// Reaches the cluster. The context is copied into the state folder, so that a recovery finds
    /// it whatever becomes of the user's file.
    pub async fn open(state: &State, options: &Options) -> Result<Self, BackendError> {
        let name = &options.context;
        if !options.allow_cluster {
            return Err(BackendError::Unable {
                backend: "context",
                what: format!("use the cluster of context {name}"),
                why: "scenarios break things, and it is not a cluster that crashbook made: \
                      say --allow-cluster if that is meant"
                    .to_owned(),
            });
        }
        let kubeconfig = copy(state, name)?;
        let client = reach::connect(&kubeconfig, name).await?;
        let client = client.ok_or_else(|| BackendError::Kubeconfig {
            path: kubeconfig.clone(),
            problem: "it has been removed".to_owned(),
        })?;
        let target = Target {
            kubeconfig,
            context: name.clone(),
            kind: None,
            uid: reach::cluster_uid(&client).await?,
        };
        let nodes = Api::<Node>::all(client.clone())
            .list(&ListParams::default())
            .await;
        let pools = pools(&nodes.map_err(BackendError::api("list Nodes"))?.items);
        let keeps_policies = options.network_policy || keeps_policies(&client).await?;
        Ok(Self {
            client,
            target,
            pools,
            keeps_policies,
        })
    }
}

/// Writes the context, alone and as the current one, into the state folder.
fn copy(state: &State, name: &str) -> Result<PathBuf, BackendError> {
    let path = state
        .dir()
        .join(format!("context-{:016x}.yaml", fnv(name.as_bytes())));
    let wrong = |problem: String| BackendError::Kubeconfig {
        path: PathBuf::from("of the user"),
        problem,
    };
    let mut config = Kubeconfig::read().map_err(|error| wrong(error.to_string()))?;
    let names: Vec<_> = config
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    config.contexts.retain(|context| context.name == *name);
    let Some(context) = config
        .contexts
        .first()
        .and_then(|named| named.context.clone())
    else {
        return Err(wrong(format!(
            "it has no context {name}; it has {}",
            names.join(", ")
        )));
    };
    config
        .clusters
        .retain(|cluster| cluster.name == context.cluster);
    config
        .auth_infos
        .retain(|user| Some(&user.name) == context.user.as_ref());
    config.current_context = Some(name.to_owned());
    let text = yaml::to_string(&config)?;
    let new = path.with_extension("new");
    let written = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        fs::rename(&new, &path)
    };
    written().map_err(BackendError::file(&path))?;
    Ok(path)
}

/// The nodes that take any pod, and those that a label puts into another pool.
fn pools(nodes: &[Node]) -> BTreeMap<Pool, NodeFacts> {
    let mut pools: BTreeMap<Pool, NodeFacts> = BTreeMap::new();
    for node in nodes {
        let spec = node.spec.clone().unwrap_or_default();
        let mut taints = spec.taints.into_iter().flatten();
        let pool = match node.labels().get(POOL) {
            Some(pool) => pool,
            None if taints.any(|taint| taint.effect != "PreferNoSchedule") => continue,
            None => GENERAL,
        };
        if spec.unschedulable == Some(true) || !reach::is_ready(node) {
            continue;
        }
        // What its kubelet's thresholds leave is not asked for in a cluster of others.
        let facts = NodeFacts::new(node, &Value::Null, &Value::Null);
        match pools.get_mut(pool) {
            Some(first) => first.names.extend(facts.names),
            None => {
                pools.insert(pool.to_owned(), facts);
            }
        }
    }
    pools
}

async fn keeps_policies(client: &Client) -> Result<bool, BackendError> {
    let daemons = Api::<DaemonSet>::all(client.clone())
        .list(&ListParams::default())
        .await;
    let daemons = daemons.map_err(BackendError::api("list DaemonSets"))?;
    Ok(daemons.iter().any(|daemons| {
        let pod = daemons.spec.template.spec.as_ref();
        let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
        let mut names = containers.iter().map(|container| container.name.clone());
        KEEP_POLICIES.contains(&daemons.name_any().as_str())
            || names.any(|name| KEEP_POLICIES.contains(&name.as_str()))
    }))
}

impl Backend for Context {
    fn name(&self) -> &'static str {
        "context"
    }

    fn client(&self) -> Client {
        self.client.clone()
    }

    fn kubeconfig(&self) -> Option<&Path> {
        Some(&self.target.kubeconfig)
    }

    fn is_own(&self) -> bool {
        false
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn pools<'a>(&'a self) -> BoxFuture<'a, Result<BTreeMap<Pool, NodeFacts>, BackendError>> {
        async { Ok(self.pools.clone()) }.boxed()
    }

    fn lacks(&self, scenario: &Spec) -> Option<String> {
        lacks(&self.pools, self.keeps_policies, scenario)
    }

    fn images<'a>(
        &'a self,
        _: &'a BTreeSet<String>,
        _: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        // The cluster has its registries.
        async { Ok(()) }.boxed()
    }

    fn node<'a>(
        &'a self,
        _: &'a Journal,
        _: &'a NodeFault,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        let why = "nothing is done to the nodes of an existing cluster".to_owned();
        let what = "inject a fault into a node".to_owned();
        async {
            Err(BackendError::Unable {
                backend: "context",
                what,
                why,
            })
        }
        .boxed()
    }
}

/// What an existing cluster lacks for this scenario.
fn lacks(
    pools: &BTreeMap<Pool, NodeFacts>,
    keeps_policies: bool,
    scenario: &Spec,
) -> Option<String> {
    let needs = &scenario.needs;
    let mut steps = scenario.inject.iter().chain(&scenario.fix);
    if steps.any(|step| matches!(step, Verb::Node(_))) {
        return Some(
            "it needs access to nodes, and an existing cluster's are left alone".to_owned(),
        );
    }
    if let Some(pool) = &needs.node
        && !pools.contains_key(pool)
    {
        return Some(format!(
            "no node that can be used has the label {POOL}={pool}"
        ));
    }
    if needs.node_stats && pools.values().all(|facts| facts.headroom.is_empty()) {
        return Some(
            "it needs to know when kubelets evict, which is not read of an existing cluster's"
                .to_owned(),
        );
    }
    let workers = pools.get(GENERAL).map_or(0, |facts| facts.names.len());
    let wanted = needs.workers.max(1) as usize;
    if workers < wanted {
        return Some(format!(
            "{workers} of its nodes take any pod, and {wanted} are needed"
        ));
    }
    if !scenario.services.is_empty() {
        return Some("it needs containers beside the cluster, on its nodes' network".to_owned());
    }
    if needs.network_policy && !keeps_policies {
        return Some(
            "none of its DaemonSets is of a network plugin that is known to keep NetworkPolicies: \
             say --network-policy if they are kept"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, labels: Value, spec: Value, ready: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels },
            "spec": spec,
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn only_nodes_that_take_pods_are_used() {
        let taint = json!({ "taints": [{ "key": "a", "effect": "NoSchedule" }] });
        let nodes = [
            node("a", json!({}), json!({}), "True"),
            node("b", json!({}), taint.clone(), "True"),
            node("c", json!({}), json!({ "unschedulable": true }), "True"),
            node("d", json!({}), json!({}), "Unknown"),
            node("e", json!({ POOL: "small" }), taint, "True"),
            node("f", json!({}), json!({}), "True"),
        ];
        let pools = pools(&nodes);
        assert_eq!(pools[GENERAL].names, ["a", "f"]);
        assert_eq!(pools["small"].names, ["e"]);
    }

    #[test]
    fn what_lacks_is_said() {
        let pools = pools(&[node("a", json!({}), json!({}), "True")]);
        let check = |more: Value, want: Option<&str>| {
            let mut spec = json!({
                "apiVersion": "crashbook.dev/v1", "kind": "Scenario",
                "name": "a", "title": "a", "source": "a",
                "baseline": [], "inject": [], "symptom": [], "expect": [], "fix": [],
                "recovered": [], "lesson": { "briefing": "", "hints": [], "debrief": "" },
            });
            spec.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let spec: Spec = serde_json::from_value(spec).unwrap();
            let said = lacks(&pools, false, &spec);
            match want {
                None => assert_eq!(said, None),
                Some(want) => assert!(said.as_ref().unwrap().contains(want), "{said:?}"),
            }
        };
        check(json!({}), None);
        check(json!({ "needs": { "workers": 1 } }), None);
        check(
            json!({ "needs": { "workers": 2 } }),
            Some("1 of its nodes take any pod, and 2"),
        );
        check(
            json!({ "needs": { "node": "small" } }),
            Some("crashbook.dev/pool=small"),
        );
        check(
            json!({ "needs": { "networkPolicy": true } }),
            Some("--network-policy"),
        );
        check(
            json!({ "needs": { "nodeStats": true } }),
            Some("when kubelets evict"),
        );
        let stop = json!([{ "node": { "stop": { "pool": "general", "unit": "kubelet" } } }]);
        check(json!({ "inject": stop }), Some("access to nodes"));
    }
}
