//! Whose verdict is it? One detector watches a cluster in which many scenarios run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crashbook_detector::verdict::{Identity, Reference, Verdict};
use jiff::Timestamp;

use super::judge::Moment;

/// What a run has for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Its namespace.
    pub namespace: String,
    /// The nodes that nobody else may use meanwhile.
    pub nodes: BTreeSet<String>,
    /// The objects of the whole cluster that it makes, as kind and name.
    pub objects: BTreeSet<(String, String)>,
    /// Nobody else may use the cluster meanwhile.
    pub whole_cluster: bool,
}

impl Owned {
    /// Whether a verdict with this subject is about this run. Where the run has the whole cluster,
    /// that is any but those of the namespaces of other runs.
    pub fn has(&self, subject: &Reference, is_of_other_run: impl Fn(&str) -> bool) -> bool {
        match &subject.namespace {
            Some(namespace) => {
                *namespace == self.namespace || self.whole_cluster && !is_of_other_run(namespace)
            }
            None => {
                let is_node = subject.kind == "Node" && self.nodes.contains(&subject.name);
                let object = (subject.kind.clone(), subject.name.clone());
                is_node || self.objects.contains(&object) || self.whole_cluster
            }
        }
    }

    /// What a timeline tells of this run alone. A moment in which nothing of it changed is no
    /// moment.
    pub fn part_of(
        &self,
        timeline: impl IntoIterator<Item = (Timestamp, impl IntoIterator<Item = Arc<Verdict>>)>,
    ) -> Vec<Moment> {
        let mut moments: Vec<Moment> = Vec::new();
        for (at, verdicts) in timeline {
            let own = |verdict: &Arc<Verdict>| self.has(&verdict.subject, |_| false);
            let verdicts: Vec<_> = verdicts.into_iter().filter(own).collect();
            let is_new = moments.last().is_none_or(|last| last.verdicts != verdicts);
            if is_new {
                moments.push(Moment { at, verdicts });
            }
        }
        moments
    }
}

/// The verdicts that no run of this process owns.
#[derive(Clone, Debug, Default)]
pub struct Strays(BTreeMap<Identity, Stray>);

/// A verdict that nobody owns.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Stray {
    /// The verdict, as it was first.
    pub verdict: Verdict,
    /// Since when.
    pub from: Timestamp,
}

impl Strays {
    /// Whether this verdict is among them.
    pub fn has(&self, identity: &Identity) -> bool {
        self.0.contains_key(identity)
    }

    /// Takes one in, as it is first.
    pub fn take(&mut self, from: Timestamp, verdict: Verdict) {
        self.0
            .entry(verdict.identity())
            .or_insert(Stray { verdict, from });
    }

    /// All of them, in the order of their identities.
    pub fn left(self) -> Vec<Stray> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned() -> Owned {
        Owned {
            namespace: "run-1".into(),
            nodes: ["small".to_owned()].into(),
            objects: [("PriorityClass".to_owned(), "high".to_owned())].into(),
            whole_cluster: false,
        }
    }

    #[test]
    fn a_verdict_is_of_whoever_owns_its_subject() {
        let has = |subject: Reference| owned().has(&subject, |_| false);
        assert!(has(Reference::namespaced("Pod", "run-1", "web")));
        assert!(has(Reference::cluster("Node", "small")));
        assert!(has(Reference::cluster("PriorityClass", "high")));
        assert!(!has(Reference::namespaced("Pod", "run-2", "web")));
        assert!(!has(Reference::namespaced("Node", "run-2", "small")));
        assert!(!has(Reference::cluster("Node", "other")));
        assert!(!has(Reference::cluster("Service", "small")));
    }

    #[test]
    fn whoever_has_the_cluster_has_all_but_other_runs() {
        let owned = Owned {
            whole_cluster: true,
            ..owned()
        };
        let has = |subject: Reference| owned.has(&subject, |namespace| namespace == "run-2");
        assert!(has(Reference::namespaced(
            "Deployment",
            "kube-system",
            "coredns"
        )));
        assert!(has(Reference::cluster("Node", "other")));
        assert!(!has(Reference::namespaced("Pod", "run-2", "web")));
    }

    fn verdict(namespace: &str) -> Arc<Verdict> {
        let object = json!({"kind": "Pod", "namespace": namespace, "name": "web"});
        let mut culprit = object.clone();
        culprit["field"] = json!(null);
        let verdict = json!({
            "class": "oom-killed", "phase": "run", "subject": object, "culprit": culprit,
            "affected": [], "detail": {}, "summary": "", "evidence": [], "remedy": [],
            "confidence": "certain", "since": "2026-11-24T00:00:00Z",
        });
        Arc::new(serde_json::from_value(verdict).unwrap())
    }

    #[test]
    fn a_run_sees_its_own_part_of_a_timeline() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let timeline = [
            (at(1), vec![]),
            (at(2), vec![verdict("run-2")]),
            (at(3), vec![verdict("run-2"), verdict("run-1")]),
            (at(4), vec![verdict("run-1")]),
            (at(5), vec![]),
        ];
        let part: Vec<_> = owned()
            .part_of(timeline)
            .iter()
            .map(|moment| (moment.at.as_second(), moment.verdicts.len()))
            .collect();
        assert_eq!(part, [(1, 0), (3, 1), (5, 0)]);
    }
}
