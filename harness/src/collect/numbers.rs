//! What kubelets measure: asked for only of nodes under suspicion, and never often.

use std::collections::BTreeMap;
use std::time::Duration;

use crashbook_detector::Observation;
use crashbook_detector::facts::{Event, Pod};
use crashbook_detector::observation::{CpuPeriods, NodeStats};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;

/// How long a kubelet may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How far apart two looks at one node are, at least.
const APART: SignedDuration = SignedDuration::from_secs(10);
/// How long a node stays under suspicion after what called for it.
const SUSPICION: SignedDuration = SignedDuration::from_mins(3);

/// The nodes under suspicion: until when, and when to look next.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    nodes: BTreeMap<String, Suspect>,
    /// The nodes of the pods that have a CPU limit, by namespace and name.
    limited: BTreeMap<(String, String), String>,
}

#[derive(Debug)]
struct Suspect {
    until: Timestamp,
    next: Timestamp,
    /// Until when its CPU periods are asked for as well, which are long to read.
    periods_until: Option<Timestamp>,
}

/// What is to be asked of a node's kubelet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The node.
    pub node: String,
    /// Whether its CPU periods are wanted, too.
    pub periods: bool,
}

impl Suspects {
    /// Takes in a node's state: one that says it is short of something is suspected.
    pub(super) fn see_node(&mut self, node: &Node, now: Timestamp) {
        let conditions = node
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let is_short = conditions
            .filter(|condition| condition.type_.ends_with("Pressure"))
            .any(|condition| condition.status == "True");
        if let (true, Some(name)) = (is_short, &node.metadata.name) {
            self.suspect(name, now);
        }
    }

    /// Takes in an event: a probe that is not answered in time, of a pod that has a CPU limit, is
    /// suspected to be held back by it.
    pub(super) fn see_event(&mut self, event: &Event, now: Timestamp) {
        const LATE: [&str; 3] = ["deadline exceeded", "DeadlineExceeded", "timed out"];
        let is_late =
            event.reason == "Unhealthy" && LATE.iter().any(|late| event.message.contains(late));
        let lately = event
            .last
            .is_some_and(|last| now.duration_since(last) < SUSPICION);
        if !is_late || !lately {
            return;
        }
        let pod = (event.about.namespace.to_string(), event.about.name.clone());
        if let Some(node) = self.limited.get(&pod).cloned() {
            let suspect = self.suspect(&node, now);
            suspect.periods_until = Some(suspect.until);
        }
    }

    /// Takes in that a pod is gone.
    pub(super) fn forget(&mut self, pod: &Pod) {
        self.limited
            .remove(&(pod.namespace.clone(), pod.name.clone()));
    }

    /// Takes in a pod's state: its node is suspected where it was evicted, ran out of memory, or
    /// has a container that runs, is not ready, and has a limit.
    pub(super) fn see_pod(&mut self, pod: &Pod, now: Timestamp) {
        let Some(node) = &pod.node else { return };
        let has_cpu_limit = pod.containers().any(|container| {
            let limits = container
                .spec
                .resources
                .as_ref()
                .and_then(|all| all.limits.as_ref());
            limits.is_some_and(|limits| limits.contains_key("cpu"))
        });
        if has_cpu_limit {
            let pod = (pod.namespace.clone(), pod.name.clone());
            self.limited.insert(pod, node.to_string());
        }
        let lately =
            |time: Option<Timestamp>| time.is_some_and(|time| now.duration_since(time) < SUSPICION);
        let is_evicted =
            pod.status.reason.as_deref() == Some("Evicted")
                && lately(pod.condition("DisruptionTarget").and_then(|condition| {
                    condition.last_transition_time.as_ref().map(|time| time.0)
                }));
        let is_suspect = is_evicted
            || pod.containers().any(|container| {
                let has_limit = (container.spec.resources.as_ref())
                    .is_some_and(|resources| resources.limits.is_some());
                let ran_out = container.ended().any(|ended| {
                    ended.reason.as_deref() == Some("OOMKilled")
                        && lately(ended.finished_at.as_ref().map(|time| time.0))
                });
                ran_out || has_limit && container.is_running() && !container.is_ready()
            });
        if is_suspect {
            self.suspect(node, now);
        }
    }

    fn suspect(&mut self, node: &str, now: Timestamp) -> &mut Suspect {
        let until = now.checked_add(SUSPICION).unwrap_or(now);
        let suspect = self.nodes.entry(node.to_owned()).or_insert(Suspect {
            until,
            next: now,
            periods_until: None,
        });
        suspect.until = until;
        suspect
    }

    /// What to ask now.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Wanted> {
        self.nodes
            .retain(|_, suspect| suspect.until > now || suspect.next <= now);
        let mut due = Vec::new();
        for (node, suspect) in &mut self.nodes {
            if suspect.next <= now {
                suspect.next = now.checked_add(APART).unwrap_or(now);
                due.push(Wanted {
                    node: node.clone(),
                    periods: suspect.periods_until.is_some_and(|until| until > now),
                });
            }
        }
        due
    }

    /// When the next look is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.nodes.values().map(|suspect| suspect.next).min()
    }
}

/// Asks a node's kubelet, through the API server, for what it measures.
pub(super) async fn fetch(client: &Client, wanted: &Wanted) -> Result<Vec<Observation>, String> {
    let node = &wanted.node;
    let all = async {
        let stats = get(client, node, "stats", "summary").await?;
        let stats: NodeStats = serde_json::from_str(&stats).map_err(|error| error.to_string())?;
        let mut numbers = vec![Observation::NodeStats {
            node: node.clone(),
            stats,
        }];
        if wanted.periods {
            let metrics = get(client, node, "metrics", "cadvisor").await?;
            numbers.push(Observation::CpuPeriods {
                node: node.clone(),
                periods: CpuPeriods::parse(&metrics),
            });
        }
        Ok(numbers)
    };
    match tokio::time::timeout(DEADLINE, all).await {
        Ok(numbers) => numbers,
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

async fn get(client: &Client, node: &str, path: &str, name: &str) -> Result<String, String> {
    let request = Request::new(format!("/api/v1/nodes/{node}/proxy/{path}"));
    let request = request
        .get(name, &GetParams::default())
        .map_err(|error| error.to_string())?;
    client
        .request_text(request)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        })
}
