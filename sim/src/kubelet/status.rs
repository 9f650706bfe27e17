//! What a kubelet writes of its pods.
//!
//! Source: `pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/status/generate.go`.

use serde_json::{Value, json};

use super::container::{Container, Role};
use super::pod::{Pod, Stage};
use crate::clock::seconds;
use crate::kinds::Kind;
use crate::value::{at, int, is_true, list, set, text};
use crate::world::World;

/// The conditions that are the kubelet's.
const OWN: &[&str] = &[
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// Writes a pod's status as it is now.
pub(super) fn write(world: &mut World, pod: &mut Pod, object: &Value) {
    let now = seconds(world.now());
    let address = world
        .kubelets
        .nodes
        .get(&pod.node)
        .map(|node| node.address.clone())
        .unwrap_or_default();
    let generation = int(object, "/metadata/generation").unwrap_or(1);
    let phase = phase(pod, object);
    let policy = text(object, "/spec/restartPolicy");
    let containers = |role: fn(Role) -> bool| -> Vec<Value> {
        let all = pod.containers.iter().enumerate();
        all.filter(|(_, container)| role(container.role))
            .map(|(index, container)| {
                container_status(pod, container, pod.spec(object, index), policy)
            })
            .collect()
    };
    let inits = containers(|role| role != Role::Main);
    let mains = containers(|role| role == Role::Main);
    let conditions = conditions(pod, object, phase);
    world.modify(Kind::Pod, &pod.key, |object| {
        let mut all: Vec<Value> = list(object, "/status/conditions")
            .iter()
            .filter(|condition| !OWN.contains(&text(condition, "/type")))
            .cloned()
            .collect();
        let ended = pod.ending.as_ref();
        if let Some(condition) = ended.and_then(|ending| ending.condition.clone()) {
            let known = all
                .iter()
                .any(|old| text(old, "/type") == text(&condition, "/type"));
            if !known {
                all.push(condition);
            }
        }
        all.extend(conditions);
        for condition in &mut all {
            let kind = text(condition, "/type");
            let old = list(object, "/status/conditions")
                .iter()
                .find(|old| text(old, "/type") == kind)
                .filter(|old| text(old, "/status") == text(condition, "/status"));
            let time = match old {
                Some(old) => at(old, "/lastTransitionTime").clone(),
                None => json!(now),
            };
            set(condition, "/lastTransitionTime", time);
            set(condition, "/lastProbeTime", Value::Null);
            set(condition, "/observedGeneration", generation);
        }
        set(object, "/status/conditions", all);
        set(object, "/status/phase", phase);
        set(object, "/status/observedGeneration", generation);
        set(object, "/status/hostIP", address.as_str());
        set(object, "/status/hostIPs", json!([{ "ip": address }]));
        if let Some(started) = pod.started {
            set(object, "/status/startTime", seconds(started));
        }
        if let Some(address) = &pod.address {
            set(object, "/status/podIP", address.as_str());
            set(object, "/status/podIPs", json!([{ "ip": address }]));
        }
        if let Some((reason, message)) = ended.and_then(|ending| ending.reason.as_ref())
            && phase == "Failed"
        {
            set(object, "/status/reason", reason.as_str());
            set(object, "/status/message", message.as_str());
        }
        if !inits.is_empty() {
            set(object, "/status/initContainerStatuses", inits);
        }
        set(object, "/status/containerStatuses", mains);
    });
}

/// The phase that a pod's containers make.
pub(super) fn phase(pod: &Pod, object: &Value) -> &'static str {
    let policy = text(object, "/spec/restartPolicy");
    let (mut pending, mut failed_init) = (false, false);
    let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
    let has_begun = pod.containers.iter().any(|container| {
        container.role == Role::Main && (container.run.is_some() || container.ended.is_some())
    });
    for container in &pod.containers {
        let ended = container.exit_code();
        match container.role {
            Role::Init => match (container.run.is_some(), ended) {
                (true, _) | (false, None) => pending = true,
                (false, Some(0)) => {}
                (false, Some(_)) => {
                    failed_init = true;
                    pending |= policy != "Never";
                }
            },
            Role::Sidecar => match container.run.is_some() {
                true => {
                    running += 1;
                    pending |= !container.probes.started;
                }
                false => pending |= ended.is_none(),
            },
            Role::Main => match (container.run.is_some(), ended) {
                (true, _) => running += 1,
                (false, None) => waiting += 1,
                (false, Some(code)) => {
                    stopped += 1;
                    succeeded += i32::from(code == 0);
                }
            },
        }
    }
    if pod.stage == Stage::Ended {
        // It is over, whatever the policy says.
        return match () {
            () if stopped > 0 && stopped == succeeded && waiting == 0 && !failed_init => {
                "Succeeded"
            }
            () => "Failed",
        };
    }
    if failed_init && policy == "Never" {
        return "Failed";
    }
    let mains = pod.containers.iter();
    let main_runs = mains
        .filter(|container| container.role == Role::Main)
        .any(|container| container.run.is_some());
    if pending && !has_begun || waiting > 0 {
        return "Pending";
    }
    if main_runs || running > 0 && stopped == 0 {
        return "Running";
    }
    match policy {
        "Always" => "Running",
        _ if stopped == succeeded => "Succeeded",
        "Never" => "Failed",
        _ => "Running",
    }
}

fn conditions(pod: &Pod, object: &Value, phase: &str) -> Vec<Value> {
    let condition = |kind: &str, why: Option<(&str, String)>| match why {
        None => json!({ "type": kind, "status": "True" }),
        Some((reason, message)) => {
            let mut condition = json!({ "type": kind, "status": "False" });
            if !reason.is_empty() {
                set(&mut condition, "/reason", reason);
            }
            if !message.is_empty() {
                set(&mut condition, "/message", message);
            }
            condition
        }
    };
    let over = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    let is_sandboxed = pod.address.is_some() && pod.stage != Stage::Ended;
    let sandbox = (!is_sandboxed).then(|| ("", String::new()));
    let incomplete: Vec<&str> = pod
        .containers
        .iter()
        .filter(|container| match container.role {
            Role::Init => container.exit_code() != Some(0),
            Role::Sidecar => {
                container.ended.is_none() && !(container.run.is_some() && container.probes.started)
            }
            Role::Main => false,
        })
        .map(|container| container.name.as_str())
        .collect();
    let mut initialized = condition("Initialized", {
        let names = incomplete.join(" ");
        let message = format!("containers with incomplete status: [{names}]");
        let why = ("ContainersNotInitialized", message);
        (!incomplete.is_empty()).then_some(why)
    });
    if phase == "Succeeded" {
        initialized = json!({ "type": "Initialized", "status": "True", "reason": "PodCompleted" });
    }
    let unready: Vec<&str> = pod
        .containers
        .iter()
        .filter(|container| container.role != Role::Init && !is_ready(container))
        .map(|container| container.name.as_str())
        .collect();
    let why = match over {
        Some(reason) => Some((reason, String::new())),
        None if unready.is_empty() => None,
        None => Some((
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        )),
    };
    let gates: Vec<String> = list(object, "/spec/readinessGates")
        .iter()
        .map(|gate| text(gate, "/conditionType"))
        .filter(|gate| !crate::value::condition_true(object, gate))
        .map(|gate| match crate::value::condition(object, gate) {
            Some(_) => format!(
                "the status of pod readiness gate {gate:?} is not \"True\", but {}",
                crate::value::condition(object, gate)
                    .map_or("", |condition| text(condition, "/status"))
            ),
            None => {
                format!("corresponding condition of pod readiness gate {gate:?} does not exist.")
            }
        })
        .collect();
    let ready = match (&why, gates.is_empty()) {
        (None, false) => Some(("ReadinessGatesNotReady", gates.join(", "))),
        (why, _) => why.clone(),
    };
    vec![
        condition("PodReadyToStartContainers", sandbox),
        initialized,
        condition("Ready", ready),
        condition("ContainersReady", why),
        condition("PodScheduled", None),
    ]
}

fn is_ready(container: &Container) -> bool {
    match container.role {
        Role::Init => container.exit_code() == Some(0),
        _ => container.run.is_some() && container.probes.started && container.probes.ready,
    }
}

fn container_status(pod: &Pod, container: &Container, spec: &Value, policy: &str) -> Value {
    let mut status = json!({
        "name": container.name,
        "image": text(spec, "/image"),
        "imageID": "",
        "ready": is_ready(container),
        "restartCount": container.restarts,
        "started": container.run.is_some() && container.probes.started,
        "lastState": {},
    });
    let ended = |ended: &Option<Value>| match ended {
        Some(ended) => json!({ "terminated": ended }),
        None => json!({}),
    };
    let mut id = "";
    if let Some(run) = &container.run {
        set(
            &mut status,
            "/state",
            json!({ "running": { "startedAt": seconds(run.since) } }),
        );
        set(&mut status, "/lastState", ended(&container.ended));
        id = &run.id;
    } else if let Some(last) = &container.ended {
        id = text(last, "/containerID");
        match &container.waiting {
            // It waits only if it is to be started again.
            Some((reason, message)) if pod.ending.is_none() && container.is_missing(policy) => {
                let waiting = json!({ "waiting": { "reason": reason, "message": message } });
                set(&mut status, "/state", waiting);
                set(&mut status, "/lastState", ended(&container.ended));
            }
            _ => {
                set(&mut status, "/state", ended(&container.ended));
                set(&mut status, "/lastState", ended(&container.ended_before));
            }
        }
    } else {
        let has_init = pod
            .containers
            .iter()
            .any(|other| other.role == Role::Init || other.role == Role::Sidecar);
        let waiting = match &container.waiting {
            Some((reason, message)) => json!({ "reason": reason, "message": message }),
            None if has_init => json!({ "reason": "PodInitializing" }),
            None => json!({ "reason": "ContainerCreating" }),
        };
        set(&mut status, "/state", json!({ "waiting": waiting }));
    }
    if !id.is_empty() {
        set(&mut status, "/containerID", id);
        if let Some((name, image_id)) = &container.image {
            set(&mut status, "/image", name.as_str());
            set(&mut status, "/imageID", image_id.as_str());
        }
        let requests = at(spec, "/resources/requests");
        if requests.is_object() {
            set(&mut status, "/allocatedResources", requests.clone());
        }
        set(&mut status, "/resources", at(spec, "/resources").clone());
    }
    let mounts: Vec<Value> = list(spec, "/volumeMounts")
        .iter()
        .map(|mount| {
            let mut seen =
                json!({ "name": at(mount, "/name"), "mountPath": at(mount, "/mountPath") });
            if is_true(mount, "/readOnly") {
                set(&mut seen, "/readOnly", true);
                set(&mut seen, "/recursiveReadOnly", "Disabled");
            }
            seen
        })
        .collect();
    if !mounts.is_empty() {
        set(&mut status, "/volumeMounts", mounts);
    }
    status
}
