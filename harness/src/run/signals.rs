//! What the cluster showed of a fault, in the order in which it showed it: the reasons, conditions,
//! states and events by which a person, or a detector, would tell it.

use std::collections::BTreeSet;

use crashbook_detector::verdict::Reference;
use jiff::Timestamp;
use serde_json::Value;

use super::attribution::Owned;
use super::sight::{History, What};

/// Something that the cluster showed for the first time of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// How long after the injection began, in milliseconds; none where the healthy cluster showed it
    /// before.
    pub at_ms: Option<i64>,
    /// The object, as kind and name.
    pub object: String,
    /// What of it is told: `container web`, `condition Ready`, `event BackOff`, `status`.
    pub part: String,
    /// What it showed.
    pub words: String,
}

/// All that was shown, each once: by the healthy cluster up to a mark, from then on since the
/// injection began. What nodes show that are not the run's is none of its fault.
pub fn signals(history: &History, owned: &Owned, mark: usize, injected: Timestamp) -> Vec<Signal> {
    let mut known: BTreeSet<(String, String, String)> = BTreeSet::new();
    let mut signals = Vec::new();
    for (index, sighting) in history.since(0).iter().enumerate() {
        let What::Applied(object) = &sighting.what else {
            continue;
        };
        if sighting.kind == "Node" {
            let node = Reference::cluster("Node", word(&object["metadata"]["name"]));
            if !owned.has(&node, |_| false) {
                continue;
            }
        }
        let (of, shown) = match sighting.kind.as_str() {
            "Event" => (name(&object["involvedObject"]), vec![event(object)]),
            "Pod" => {
                let of = format!("Pod/{}", word(&object["metadata"]["name"]));
                (of, pod(object))
            }
            kind => {
                let of = format!("{kind}/{}", word(&object["metadata"]["name"]));
                (of, conditions(object))
            }
        };
        for (part, words) in shown {
            if known.insert((of.clone(), part.clone(), words.clone())) {
                let after = injected.duration_until(sighting.at).as_millis();
                signals.push(Signal {
                    at_ms: (index >= mark).then(|| i64::try_from(after).unwrap_or(i64::MAX)),
                    object: of.clone(),
                    part,
                    words,
                });
            }
        }
    }
    signals
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn name(reference: &Value) -> String {
    format!("{}/{}", word(&reference["kind"]), word(&reference["name"]))
}

fn event(event: &Value) -> (String, String) {
    let part = format!("event {}", word(&event["reason"]));
    // What is only told, and is no warning, is worded with durations and sizes.
    let words = match word(&event["type"]) {
        "Warning" => word(&event["message"]).trim_end().to_owned(),
        _ => String::new(),
    };
    (part, words)
}

fn conditions(object: &Value) -> Vec<(String, String)> {
    let conditions = object["status"]["conditions"].as_array();
    let tell = |condition: &Value| {
        let part = format!("condition {}", word(&condition["type"]));
        let words = [word(&condition["status"]), word(&condition["reason"])];
        (part, words.join(" ").trim_end().to_owned())
    };
    conditions.into_iter().flatten().map(tell).collect()
}

fn pod(pod: &Value) -> Vec<(String, String)> {
    let status = &pod["status"];
    let mut shown = conditions(pod);
    let phase = [word(&status["phase"]), word(&status["reason"])];
    shown.push(("status".to_owned(), phase.join(" ").trim_end().to_owned()));
    for statuses in ["initContainerStatuses", "containerStatuses"] {
        for status in status[statuses].as_array().into_iter().flatten() {
            let part = format!("container {}", word(&status["name"]));
            let states = ["lastState", "state"].map(|state| &status[state]);
            for state in states.into_iter().filter_map(Value::as_object).flatten() {
                shown.push((part.clone(), container(state.0, state.1)));
            }
        }
    }
    shown
}

fn container(state: &str, of: &Value) -> String {
    let mut words = format!("{state} {}", word(&of["reason"]));
    if let Some(code) = of["exitCode"].as_i64() {
        words.push_str(&format!(" {code}"));
    }
    if let Some(signal) = of["signal"].as_i64() {
        words.push_str(&format!(" signal {signal}"));
    }
    words.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::run::sight::Sighting;

    #[test]
    fn each_is_told_once_and_from_the_injection_on() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut history = History::default();
        let mut saw = |second, kind: &str, object| {
            let what = What::Applied(Arc::new(object));
            history.push(Sighting {
                at: at(second),
                kind: kind.to_owned(),
                what,
            });
        };
        let pod = |state: Value| {
            json!({
                "metadata": {"name": "web"},
                "status": {
                    "phase": "Running",
                    "containerStatuses": [{"name": "nginx", "state": state}],
                },
            })
        };
        let event = |message: &str| {
            json!({
                "involvedObject": {"kind": "Pod", "name": "web"},
                "type": "Warning", "reason": "BackOff", "message": message,
            })
        };
        saw(1, "Pod", pod(json!({"running": {}})));
        saw(3, "Pod", pod(json!({"running": {}})));
        saw(
            4,
            "Pod",
            pod(json!({"terminated": {"reason": "Error", "exitCode": 1}})),
        );
        saw(5, "Event", event("Back-off restarting"));
        saw(6, "Event", event("Back-off restarting"));
        // Of another node nothing is told.
        for node in ["small", "other"] {
            let conditions = json!([{"type": "Ready", "status": "Unknown"}]);
            let metadata = json!({"name": node});
            let status = json!({"conditions": conditions});
            saw(7, "Node", json!({"metadata": metadata, "status": status}));
        }
        let owned = Owned {
            nodes: ["small".to_owned()].into(),
            ..Owned::default()
        };
        let told: Vec<_> = signals(&history, &owned, 1, at(2))
            .into_iter()
            .map(|signal| {
                (
                    signal.at_ms,
                    format!("{} {}: {}", signal.object, signal.part, signal.words),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (None, "Pod/web status: Running".to_owned()),
                (None, "Pod/web container nginx: running".to_owned()),
                (
                    Some(2000),
                    "Pod/web container nginx: terminated Error 1".to_owned()
                ),
                (
                    Some(3000),
                    "Pod/web event BackOff: Back-off restarting".to_owned()
                ),
                (Some(5000), "Node/small condition Ready: Unknown".to_owned()),
            ]
        );
    }
}
