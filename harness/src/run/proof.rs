//! Whether what a scenario asks to be seen has been seen.
//!
//! Pure functions of a [`History`]: what counts is what arrived since a mark, and whatever is
//! shown names the versions that showed it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crashbook_detector::kubernetes::quantity::Quantity;
use jiff::Timestamp;
use serde_json::Value;

use super::sight::{History, Sighting, Version, What, labels};
use crate::scenario::{
    ConditionProof, ContainerProof, EndpointsProof, EventProof, Labels, NodeFacts, NumberProof,
    ObjectName, PodProof, Pool, Proof, Terminated,
};

/// What a proof is looked for in.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// What was seen.
    pub history: &'a History,
    /// The mark from which sightings count.
    pub mark: usize,
    /// The run's namespace.
    pub namespace: &'a str,
    /// The nodes of each pool.
    pub pools: &'a BTreeMap<Pool, NodeFacts>,
}

/// A proof that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When what completed it arrived.
    pub at: Timestamp,
    /// What showed it.
    pub versions: Vec<Version>,
}

impl Shown {
    fn by(sighting: &Sighting, object: &Value) -> Self {
        Self {
            at: sighting.at,
            versions: vec![Version::of(&sighting.kind, object)],
        }
    }

    /// Several proofs, seen together.
    pub fn all(shown: impl IntoIterator<Item = Self>) -> Option<Self> {
        shown.into_iter().reduce(|mut all, one| {
            all.at = all.at.max(one.at);
            all.versions.extend(one.versions);
            all
        })
    }
}

/// Whether a proof was seen at least once since the mark, and when first.
pub fn seen(proof: &Proof, ground: &Ground<'_>) -> Option<Shown> {
    match proof {
        Proof::Pod(proof) => several(
            proof.times,
            applied(ground, "Pod").filter(|(_, pod)| is_pod(proof, pod, ground)),
        ),
        Proof::Container(proof) => container_seen(proof, ground),
        Proof::Condition(proof) => applied(ground, &proof.object.kind)
            .find(|(_, object)| is_condition(proof, object, ground))
            .map(|(sighting, object)| Shown::by(sighting, object)),
        Proof::Available(name) => applied(ground, &name.kind)
            .find(|(_, object)| {
                is_named(name, object, ground) && super::health::is_available(&name.kind, object)
            })
            .map(|(sighting, object)| Shown::by(sighting, object)),
        Proof::Field(proof) => applied(ground, &proof.object.kind)
            .find(|(_, object)| {
                is_named(&proof.object, object, ground) && is_field(&proof.path, &proof.is, object)
            })
            .map(|(sighting, object)| Shown::by(sighting, object)),
        Proof::Endpoints(proof) => endpoints_seen(proof, ground),
        Proof::Number(proof) => numbers(proof, ground).find(|(_, holds)| *holds).map(told),
        _ => happened(proof, ground),
    }
}

/// Whether a proof holds in what is there now; what happens once, and leaves no state, must have
/// happened since the mark.
pub fn holds(proof: &Proof, ground: &Ground<'_>) -> Option<Shown> {
    let standing = |kind| ground.history.standing(kind);
    match proof {
        Proof::Pod(proof) => several(
            proof.times,
            standing("Pod").filter(|(_, pod)| is_pod(proof, pod, ground)),
        ),
        Proof::Container(proof) => {
            let times = proof.terminated.as_ref().map_or(1, |ended| ended.times);
            if times > 1 {
                container_seen(proof, ground)?;
            }
            standing("Pod")
                .find(|(_, pod)| is_container(proof, pod, ground))
                .map(|(sighting, pod)| Shown::by(sighting, pod))
        }
        Proof::Condition(proof) => standing(&proof.object.kind)
            .find(|(_, object)| is_condition(proof, object, ground))
            .map(|(sighting, object)| Shown::by(sighting, object)),
        Proof::Available(name) => {
            let named = standing(&name.kind).filter(|(_, object)| is_named(name, object, ground));
            let available = named.map(|(sighting, object)| {
                super::health::is_available(&name.kind, object).then(|| Shown::by(sighting, object))
            });
            available.collect::<Option<Vec<_>>>().and_then(Shown::all)
        }
        Proof::Field(proof) => standing(&proof.object.kind)
            .find(|(_, object)| {
                is_named(&proof.object, object, ground) && is_field(&proof.path, &proof.is, object)
            })
            .map(|(sighting, object)| Shown::by(sighting, object)),
        Proof::Endpoints(proof) => {
            let slices: Vec<_> = standing("EndpointSlice")
                .filter(|(_, slice)| is_slice_of(proof, slice, ground))
                .collect();
            let ready: usize = slices.iter().map(|(_, slice)| ready_endpoints(slice)).sum();
            if ready != proof.ready as usize {
                return None;
            }
            Shown::all(
                slices
                    .into_iter()
                    .map(|(sighting, slice)| Shown::by(sighting, slice)),
            )
        }
        Proof::Number(proof) => numbers(proof, ground)
            .last()
            .filter(|(_, holds)| *holds)
            .map(told),
        _ => happened(proof, ground),
    }
}

/// What happens once and leaves no state.
fn happened(proof: &Proof, ground: &Ground<'_>) -> Option<Shown> {
    let since = ground.history.since(ground.mark);
    match proof {
        Proof::Event(proof) => event_seen(proof, ground),
        Proof::Deleted(name) => since.iter().find_map(|sighting| match &sighting.what {
            What::Deleted(object)
                if sighting.kind == name.kind && is_named(name, object, ground) =>
            {
                Some(Shown::by(sighting, object))
            }
            _ => None,
        }),
        Proof::Replaced(pods) => replaced_seen(pods, ground),
        Proof::Log(proof) => since.iter().find_map(|sighting| match &sighting.what {
            What::Line {
                pod,
                container,
                line,
                ..
            } if proof.pods.matches(&labels(pod))
                && proof
                    .container
                    .as_ref()
                    .is_none_or(|name| name == container)
                && proof.line.is_in(line) =>
            {
                Some(Shown::by(sighting, pod))
            }
            _ => None,
        }),
        Proof::Refused(pods) => since.iter().find_map(|sighting| match &sighting.what {
            What::Refused(pod) if pods.matches(&labels(pod)) => Some(Shown::by(sighting, pod)),
            _ => None,
        }),
        _ => None,
    }
}

/// The sightings of objects of a kind since the mark.
fn applied<'a>(
    ground: &Ground<'a>,
    kind: &'a str,
) -> impl Iterator<Item = (&'a Sighting, &'a Arc<Value>)> {
    let since = ground.history.since(ground.mark).iter();
    since.filter_map(move |sighting| match &sighting.what {
        What::Applied(object) if sighting.kind == kind => Some((sighting, object)),
        _ => None,
    })
}

/// So many different objects of those.
fn several<'a>(
    times: u32,
    matching: impl Iterator<Item = (&'a Sighting, &'a Arc<Value>)>,
) -> Option<Shown> {
    let mut by_uid: BTreeMap<String, Shown> = BTreeMap::new();
    for (sighting, object) in matching {
        let shown = Shown::by(sighting, object);
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        by_uid.entry(uid.to_owned()).or_insert(shown);
        if by_uid.len() >= times as usize {
            return Shown::all(by_uid.into_values());
        }
    }
    None
}

fn told((sighting, _): (&Sighting, bool)) -> Shown {
    Shown {
        at: sighting.at,
        versions: Vec::new(),
    }
}

fn is_named(name: &ObjectName, object: &Value, ground: &Ground<'_>) -> bool {
    let meta = &object["metadata"];
    name.matches(
        &name.kind,
        meta["namespace"].as_str(),
        meta["name"].as_str().unwrap_or_default(),
        ground.namespace,
    )
}

fn is_meant(pods: &Labels, pod: &Value, ground: &Ground<'_>) -> bool {
    pod["metadata"]["namespace"].as_str() == Some(ground.namespace) && pods.matches(&labels(pod))
}

fn is_pod(proof: &PodProof, pod: &Value, ground: &Ground<'_>) -> bool {
    let status = &pod["status"];
    let is = |wanted: &Option<String>, key: &str| {
        wanted.is_none() || wanted.as_deref() == status[key].as_str()
    };
    let on = |pool: &String| {
        let node = pod["spec"]["nodeName"].as_str();
        let nodes = ground.pools.get(pool);
        nodes.is_some_and(|nodes| nodes.names.iter().any(|name| Some(name.as_str()) == node))
    };
    is_meant(&proof.pods, pod, ground)
        && is(&proof.phase, "phase")
        && is(&proof.reason, "reason")
        && is_text(proof.message.as_ref(), &status["message"])
        && proof.node.as_ref().is_none_or(on)
}

fn is_text(wanted: Option<&crate::scenario::Text>, text: &Value) -> bool {
    wanted.is_none_or(|wanted| text.as_str().is_some_and(|text| wanted.is_in(text)))
}

/// The statuses of a pod's containers that the proof may mean.
fn statuses<'a>(proof: &'a ContainerProof, pod: &'a Value) -> impl Iterator<Item = &'a Value> {
    let kinds = [
        "initContainerStatuses",
        "containerStatuses",
        "ephemeralContainerStatuses",
    ];
    kinds
        .into_iter()
        .filter_map(|kind| pod["status"][kind].as_array())
        .flatten()
        .filter(|status| {
            let name = status["name"].as_str();
            proof
                .name
                .as_ref()
                .is_none_or(|wanted| Some(wanted.as_str()) == name)
        })
}

/// The ends of a container that are as wanted, by the container's id.
fn ends<'a>(wanted: &'a Terminated, status: &'a Value) -> impl Iterator<Item = String> + 'a {
    let states = [
        &status["state"]["terminated"],
        &status["lastState"]["terminated"],
    ];
    states
        .into_iter()
        .filter(|state| state.is_object())
        .filter_map(|state| {
            let number = |wanted: Option<i32>, key: &str| {
                wanted.is_none_or(|wanted| state[key].as_i64() == Some(i64::from(wanted)))
            };
            let is = number(wanted.exit_code, "exitCode")
                && number(wanted.signal, "signal")
                && (wanted.reason.is_none()
                    || wanted.reason.as_deref() == state["reason"].as_str())
                && is_text(wanted.message.as_ref(), &state["message"]);
            is.then(|| state["containerID"].as_str().unwrap_or_default().to_owned())
        })
}

fn is_container(proof: &ContainerProof, pod: &Value, ground: &Ground<'_>) -> bool {
    is_meant(&proof.pods, pod, ground)
        && statuses(proof, pod).any(|status| {
            let flag = |wanted: Option<bool>, key: &str| {
                wanted.is_none_or(|wanted| status[key].as_bool() == Some(wanted))
            };
            let waits = proof.waiting.as_ref().is_none_or(|wanted| {
                let waiting = &status["state"]["waiting"];
                waiting.is_object()
                    && (wanted.reason.is_none()
                        || wanted.reason.as_deref() == waiting["reason"].as_str())
                    && is_text(wanted.message.as_ref(), &waiting["message"])
            });
            let ended = proof.terminated.as_ref();
            let runs = status["state"]["running"].is_object();
            waits
                && ended.is_none_or(|wanted| ends(wanted, status).next().is_some())
                && proof.running.is_none_or(|wanted| wanted == runs)
                && flag(proof.ready, "ready")
                && flag(proof.started, "started")
                && proof.restarts.is_none_or(|wanted| {
                    status["restartCount"].as_u64().unwrap_or_default() >= u64::from(wanted)
                })
        })
}

fn container_seen(proof: &ContainerProof, ground: &Ground<'_>) -> Option<Shown> {
    let mut ids: BTreeSet<String> = BTreeSet::new();
    let mut last = None;
    for (sighting, pod) in applied(ground, "Pod") {
        if !is_meant(&proof.pods, pod, ground) {
            continue;
        }
        if let Some(wanted) = &proof.terminated {
            ids.extend(statuses(proof, pod).flat_map(|status| ends(wanted, status)));
        }
        if is_container(proof, pod, ground) {
            last = Some(Shown::by(sighting, pod));
        }
        let times = proof
            .terminated
            .as_ref()
            .map_or(0, |wanted| wanted.times as usize);
        if let Some(mut shown) = last.clone()
            && ids.len() >= times
        {
            shown.at = shown.at.max(sighting.at);
            return Some(shown);
        }
    }
    None
}

fn event_seen(proof: &EventProof, ground: &Ground<'_>) -> Option<Shown> {
    let count = |event: &Value| {
        let series = event["series"]["count"].as_u64();
        event["count"].as_u64().or(series).unwrap_or(1)
    };
    let uid = |event: &Value| {
        event["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    for (sighting, event) in applied(ground, "Event") {
        let about = &event["involvedObject"];
        let is_about = proof.regarding.matches(
            about["kind"].as_str().unwrap_or_default(),
            about["namespace"]
                .as_str()
                .filter(|namespace| !namespace.is_empty()),
            about["name"].as_str().unwrap_or_default(),
            ground.namespace,
        );
        let is = is_about
            && (proof.reason.is_none() || proof.reason.as_deref() == event["reason"].as_str())
            && (proof.type_.is_none() || proof.type_.as_deref() == event["type"].as_str())
            && is_text(proof.message.as_ref(), &event["message"]);
        if !is {
            continue;
        }
        let uid_of = uid(event);
        let before = || {
            let earlier = ground
                .history
                .since(0)
                .get(..ground.mark)
                .unwrap_or_default();
            let known = earlier
                .iter()
                .rev()
                .find_map(|sighting| match &sighting.what {
                    What::Applied(known) if sighting.kind == "Event" && uid(known) == uid_of => {
                        Some(count(known))
                    }
                    _ => None,
                });
            known.unwrap_or_default()
        };
        let since = count(event).saturating_sub(before());
        times.insert(uid_of, since);
        if times.values().sum::<u64>() >= u64::from(proof.times) {
            return Some(Shown::by(sighting, event));
        }
    }
    None
}

fn is_condition(proof: &ConditionProof, object: &Value, ground: &Ground<'_>) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    is_named(&proof.object, object, ground)
        && conditions.into_iter().flatten().any(|condition| {
            let is = |wanted: &Option<String>, key: &str| {
                wanted.is_none() || wanted.as_deref() == condition[key].as_str()
            };
            condition["type"].as_str() == Some(&proof.type_)
                && is(&proof.status, "status")
                && is(&proof.reason, "reason")
                && is_text(proof.message.as_ref(), &condition["message"])
        })
}

fn is_field(path: &str, wanted: &Value, object: &Value) -> bool {
    object.pointer(path).unwrap_or(&Value::Null) == wanted
}

fn is_slice_of(proof: &EndpointsProof, slice: &Value, ground: &Ground<'_>) -> bool {
    let service = labels(slice).remove("kubernetes.io/service-name");
    slice["metadata"]["namespace"].as_str() == Some(ground.namespace)
        && service.as_ref() == Some(&proof.service)
}

/// Source: the API's reference of EndpointSlice: an unknown readiness is to be taken as ready.
fn ready_endpoints(slice: &Value) -> usize {
    let endpoints = slice["endpoints"].as_array();
    let ready = |endpoint: &&Value| endpoint["conditions"]["ready"].as_bool().unwrap_or(true);
    endpoints.into_iter().flatten().filter(ready).count()
}

fn endpoints_seen(proof: &EndpointsProof, ground: &Ground<'_>) -> Option<Shown> {
    let mut slices: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, sighting) in ground.history.since(0).iter().enumerate() {
        let (What::Applied(slice) | What::Deleted(slice)) = &sighting.what else {
            continue;
        };
        if sighting.kind != "EndpointSlice" || !is_slice_of(proof, slice, ground) {
            continue;
        }
        let name = slice["metadata"]["name"].as_str().unwrap_or_default();
        match &sighting.what {
            What::Applied(_) => slices.insert(name, ready_endpoints(slice)),
            _ => slices.remove(name),
        };
        if index >= ground.mark && slices.values().sum::<usize>() == proof.ready as usize {
            return Some(Shown::by(sighting, slice));
        }
    }
    None
}

fn replaced_seen(pods: &Labels, ground: &Ground<'_>) -> Option<Shown> {
    /// A pod's life, as far as it was seen: when first, and whether it is over.
    struct Life {
        first: usize,
        over: bool,
    }
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    let mut ended_since: Option<usize> = None;
    for (index, sighting) in ground.history.since(0).iter().enumerate() {
        let (What::Applied(pod) | What::Deleted(pod)) = &sighting.what else {
            continue;
        };
        if sighting.kind != "Pod" || !is_meant(pods, pod, ground) {
            continue;
        }
        let phase = pod["status"]["phase"].as_str();
        let over = matches!(sighting.what, What::Deleted(_))
            || matches!(phase, Some("Succeeded" | "Failed"));
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let life = lives.entry(uid).or_insert(Life {
            first: index,
            over: false,
        });
        life.over |= over;
        if over && index >= ground.mark {
            ended_since = Some(ended_since.map_or(life.first, |first| first.min(life.first)));
        }
        if let Some(ended) = ended_since
            && lives.values().any(|life| !life.over && life.first > ended)
        {
            return Some(Shown::by(sighting, pod));
        }
    }
    None
}

/// Each reading of the number since the mark, and whether it is as wanted.
fn numbers<'a>(
    proof: &'a NumberProof,
    ground: &'a Ground<'a>,
) -> impl Iterator<Item = (&'a Sighting, bool)> {
    let limit = |text: &Option<String>| text.as_ref()?.parse::<Quantity>().ok();
    let (below, above) = (limit(&proof.below), limit(&proof.above));
    let is_wanted = move |value: &Value| {
        value.is_number()
            && value.to_string().parse::<Quantity>().is_ok_and(|value| {
                below.is_none_or(|below| value < below) && above.is_none_or(|above| value > above)
            })
    };
    let pointer = format!("/{}", proof.path.replace('.', "/"));
    let nodes = ground.pools.get(&proof.node);
    let uids: BTreeSet<String> = ground
        .history
        .standing("Pod")
        .filter(|(_, pod)| {
            proof
                .pods
                .as_ref()
                .is_some_and(|pods| is_meant(pods, pod, ground))
        })
        .filter_map(|(_, pod)| Some(pod["metadata"]["uid"].as_str()?.to_owned()))
        .collect();
    let since = ground.history.since(ground.mark).iter();
    since.filter_map(move |sighting| {
        let What::Summary { node, summary } = &sighting.what else {
            return None;
        };
        if !nodes.is_some_and(|nodes| nodes.names.contains(node)) {
            return None;
        }
        let holds = |from: &Value| from.pointer(&pointer).is_some_and(is_wanted);
        let holds = match &proof.pods {
            None => holds(&summary["node"]),
            Some(_) => summary["pods"].as_array().into_iter().flatten().any(|pod| {
                let uid = pod["podRef"]["uid"].as_str().unwrap_or_default();
                uids.contains(uid) && holds(pod)
            }),
        };
        Some((sighting, holds))
    })
}

#[cfg(test)]
mod tests;
