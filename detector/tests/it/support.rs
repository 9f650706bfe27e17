//! States of clusters, written down briefly, and what is said of them.

use crashbook_detector::facts::{Log, LogLine, Run};
use crashbook_detector::{Engine, Kind, Object, Observation, Verdict};
use jiff::Timestamp;
use serde_json::Value;

/// The time at which the states are looked at, where a test names none.
pub const NOW: &str = "2026-11-24T12:00:00Z";

/// What was seen of a cluster.
#[derive(Clone, Default)]
pub struct State {
    seen: Vec<Observation>,
    unlisted: Vec<Kind>,
    now: Option<Timestamp>,
}

impl State {
    /// A state of these objects: YAML documents, in which all that a test does not need is left
    /// out.
    pub fn of(yaml: &str) -> Self {
        Self::default().and(yaml)
    }

    /// Adds objects, or puts them in the place of those of the same name.
    pub fn and(mut self, yaml: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).expect("fixtures are YAML");
        for document in documents {
            let objects = match document {
                Value::Array(items) => items,
                other => vec![other],
            };
            for object in objects {
                let object = Object::decode(object).expect("fixtures are objects");
                self.seen.push(Observation::Applied(object));
            }
        }
        self
    }

    /// Adds what was seen besides objects.
    pub fn seen(mut self, observation: Observation) -> Self {
        self.seen.push(observation);
        self
    }

    /// Adds what the container `app` of the pod `shop/web` printed, with timestamps or without.
    pub fn log(self, run: Run, text: &str) -> Self {
        self.seen(Observation::Log(Log {
            namespace: "shop".to_owned(),
            pod: "web".to_owned(),
            uid: None,
            container: "app".to_owned(),
            run,
            container_id: None,
            lines: text
                .lines()
                .map(|line| LogLine::parse(line.as_bytes()))
                .collect(),
        }))
    }

    /// Leaves a kind unlisted, so that its absences mean nothing.
    pub fn without_list_of(mut self, kind: Kind) -> Self {
        self.unlisted.push(kind);
        self
    }

    /// Looks at the state at this time.
    pub fn at(mut self, now: &str) -> Self {
        self.now = Some(now.parse().expect("a time of RFC 3339"));
        self
    }

    /// What stands.
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.engine().verdicts().to_vec()
    }

    /// An engine that has seen it.
    pub fn engine(&self) -> Engine {
        let now = self
            .now
            .unwrap_or_else(|| NOW.parse().expect("a time of RFC 3339"));
        let mut engine = Engine::new();
        for kind in Kind::ALL
            .iter()
            .filter(|kind| !self.unlisted.contains(kind))
        {
            engine.observe(
                Observation::Listed {
                    kind: *kind,
                    namespace: None,
                },
                now,
            );
        }
        for seen in &self.seen {
            engine.observe(seen.clone(), now);
        }
        engine
    }

    /// Asserts that exactly this is said, one line a verdict, in their order:
    /// `certain oom-killed Deployment shop/web <- Deployment shop/web spec... {"limit":"32Mi"}`,
    /// and ` affects A, B` where others suffer too.
    #[track_caller]
    pub fn says(&self, expected: &[&str]) {
        let said: Vec<String> = self.verdicts().iter().map(line).collect();
        assert_eq!(
            said, expected,
            "left: what was said, right: what was expected"
        );
    }
}

impl State {
    /// Asserts that exactly this is said, without details:
    /// `certain oom-killed Deployment shop/web <- Deployment shop/web spec...`, and ` affects A, B`.
    #[track_caller]
    pub fn names(&self, expected: &[&str]) {
        let said: Vec<String> = self.verdicts().iter().map(brief).collect();
        assert_eq!(
            said, expected,
            "left: what was said, right: what was expected"
        );
    }

    /// Adds what a container of a pod of `shop` printed.
    pub fn log_of(self, pod: &str, container: &str, run: Run, text: &str) -> Self {
        let lines = text.lines().map(|line| LogLine::parse(line.as_bytes()));
        self.seen(Observation::Log(Log {
            namespace: "shop".to_owned(),
            pod: pod.to_owned(),
            uid: None,
            container: container.to_owned(),
            run,
            container_id: None,
            lines: lines.collect(),
        }))
    }
}

fn brief(verdict: &Verdict) -> String {
    let mut brief = Verdict::clone(verdict);
    brief.detail.clear();
    line(&brief).replacen(" {}", "", 1)
}

fn line(verdict: &Verdict) -> String {
    let mut line = format!(
        "{} {} {} <- {}",
        verdict.confidence, verdict.class, verdict.subject, verdict.culprit.object
    );
    if let Some(field) = &verdict.culprit.field {
        line += &format!(" {field}");
    }
    line += &format!(" {}", Value::Object(verdict.detail.clone()));
    if !verdict.affected.is_empty() {
        let affected: Vec<String> = verdict.affected.iter().map(ToString::to_string).collect();
        line += &format!(" affects {}", affected.join(", "));
    }
    line
}

/// What a verdict quotes.
pub fn quotes(verdict: &Verdict) -> Vec<&str> {
    let evidence = verdict.evidence.iter();
    evidence.map(|one| one.quote.as_str()).collect()
}
