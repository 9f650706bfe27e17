//! Tells a person what happened in a run that did not pass.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value;

use super::judge::{Marks, Moment, describe};
use super::outcome::Run;
use super::sight::{History, What};
use crate::scenario::{Expectation, Proof};

/// How many of the events are told, the last ones.
const EVENTS: usize = 30;

/// A proof in one line, as the scenario writes it.
pub fn proof(proof: &Proof) -> String {
    let mut value = serde_json::to_value(proof).unwrap_or_default();
    drop_nulls(&mut value);
    value.to_string()
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The whole story: the stages with their times, what was expected and what was said, and the last
/// states of the run's pods and events.
pub fn tell(
    run: &Run,
    marks: Option<&Marks>,
    expect: &[Expectation],
    timeline: &[Moment],
    history: &History,
) -> String {
    let mut text = String::new();
    let begun = run.stages.first().map_or(run.ended, |stage| stage.at);
    let after = |at: Timestamp| begun.duration_until(at).as_secs_f64();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(format!(
        "{} in namespace {}",
        run.name,
        run.namespace.as_deref().unwrap_or("none")
    ));
    line("stages, in seconds from the beginning:".to_owned());
    for stage in &run.stages {
        line(format!("  {:>8.3}  {}", after(stage.at), stage.stage));
    }
    if let Some(marks) = marks {
        let seen = [
            ("symptom seen", marks.symptom),
            ("recovery seen", marks.recovered),
        ];
        for (what, at) in seen {
            if let Some(at) = at {
                line(format!("  {:>8.3}  ({what})", after(at)));
            }
        }
    }
    line("expected:".to_owned());
    for expected in expect {
        line(format!("  {}", describe(expected)));
    }
    line("the detector said:".to_owned());
    let from = marks.map_or(begun, |marks| marks.healthy);
    let first = timeline
        .iter()
        .rposition(|moment| moment.at <= from)
        .unwrap_or_default();
    for moment in timeline.get(first..).unwrap_or_default() {
        let verdicts: Vec<_> = moment
            .verdicts
            .iter()
            .map(|v| v.identity().to_string())
            .collect();
        let verdicts = if verdicts.is_empty() {
            "nothing".to_owned()
        } else {
            verdicts.join("; ")
        };
        line(format!("  {:>8.3}  {verdicts}", after(moment.at)));
    }
    line("pods, as they were seen last:".to_owned());
    for (_, pod) in history.standing("Pod") {
        line(format!("  {}", pod_line(pod)));
    }
    line("events:".to_owned());
    let events: Vec<_> = history
        .since(0)
        .iter()
        .filter_map(|sighting| match &sighting.what {
            What::Applied(event) if sighting.kind == "Event" => Some((sighting.at, event)),
            _ => None,
        })
        .collect();
    for (at, event) in events.iter().skip(events.len().saturating_sub(EVENTS)) {
        let of = &event["involvedObject"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        line(format!(
            "  {:>8.3}  {} {}/{}: {}: {}",
            after(*at),
            word(&event["type"]),
            word(&of["kind"]),
            word(&of["name"]),
            word(&event["reason"]),
            word(&event["message"]).trim_end(),
        ));
    }
    text
}

fn pod_line(pod: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut line = format!(
        "{} {} on {}",
        word(&pod["metadata"]["name"]),
        pod["status"]["phase"].as_str().unwrap_or("without a phase"),
        pod["spec"]["nodeName"].as_str().unwrap_or("no node"),
    );
    if let Some(reason) = pod["status"]["reason"].as_str() {
        let _ = write!(line, ", {reason}: {}", word(&pod["status"]["message"]));
    }
    let conditions = pod["status"]["conditions"].as_array();
    for condition in conditions.into_iter().flatten() {
        if condition["status"] == "False" && condition["message"].is_string() {
            let type_ = word(&condition["type"]);
            let _ = write!(line, "; not {type_}: {}", word(&condition["message"]));
        }
    }
    for statuses in ["initContainerStatuses", "containerStatuses"] {
        let statuses = pod["status"][statuses].as_array();
        for status in statuses.into_iter().flatten() {
            let _ = write!(
                line,
                "; {} restarted {} times, {}",
                word(&status["name"]),
                status["restartCount"],
                status["state"],
            );
            if status["lastState"]
                .as_object()
                .is_some_and(|last| !last.is_empty())
            {
                let _ = write!(line, ", before {}", status["lastState"]);
            }
        }
    }
    line
}
