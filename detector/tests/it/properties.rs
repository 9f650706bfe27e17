//! What must hold for every input, however it arrives.

#[path = "../../benches/scale/cluster.rs"]
mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crashbook_detector::{Class, Engine, Kind, Object, Observation, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use cluster::Seen;

/// What is seen of a small cluster in which every way of failing occurs once.
fn pieces() -> Vec<Observation> {
    let seen = cluster::every_way().map(|seen| match seen {
        Seen::Object(value) => Observation::Applied(Object::decode(value).unwrap()),
        Seen::Log(log) => Observation::Log(log),
    });
    let listed = Kind::ALL.iter().map(|kind| Observation::Listed {
        kind: *kind,
        namespace: None,
    });
    seen.chain(listed).collect()
}

/// What is said of these pieces, in whatever order they come.
static SAID: LazyLock<Vec<Verdict>> = LazyLock::new(|| diagnose(pieces()));

fn diagnose(pieces: impl IntoIterator<Item = Observation>) -> Vec<Verdict> {
    let mut engine = Engine::new();
    for piece in pieces {
        engine.observe(piece, cluster::now());
    }
    engine.verdicts().to_vec()
}

#[test]
fn the_small_cluster_fails_in_many_ways() {
    let classes: BTreeSet<Class> = diagnose(pieces()).iter().map(|one| one.class).collect();
    assert!(classes.len() >= 15, "{classes:?}");
}

/// What mends a verdict of a class that is computed again from the state of objects.
fn mending(verdict: &Verdict) -> Option<Observation> {
    let culprit = &verdict.culprit.object;
    let key = verdict
        .detail
        .get("key")
        .and_then(Value::as_str)
        .unwrap_or("key");
    let meta = json!({ "namespace": culprit.namespace, "name": culprit.name, "uid": "mended" });
    let node = |change: Value| {
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": "new", "labels": change },
            "status": {
                "allocatable": { "cpu": "1000", "memory": "9000Gi", "pods": "1000" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        node["metadata"]["labels"]["kubernetes.io/hostname"] = json!("new");
        node
    };
    let object = match verdict.class {
        Class::ConfigMapMissing | Class::ConfigMapKeyMissing => json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": { key: "", "mode": "" },
        }),
        Class::SecretMissing | Class::SecretKeyMissing => json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": { key: "" },
        }),
        Class::RequestExceedsNodes => node(json!({})),
        Class::NodeSelectorUnmatched => node(json!({ "disk": "ssd" })),
        Class::ClaimMissing => json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta,
            "status": { "phase": "Bound" },
        }),
        Class::NetworkPolicyBlocksEgress => json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta,
            "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": [{}] },
        }),
        Class::ServiceSelectorUnmatched => json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": { "selector": { "app": culprit.name }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        }),
        _ => return None,
    };
    Some(Observation::Applied(Object::decode(object).unwrap()))
}

#[test]
fn without_the_culprits_fault_there_is_no_verdict() {
    let mut mended = BTreeSet::new();
    for verdict in diagnose(pieces()) {
        let Some(mending) = mending(&verdict) else {
            continue;
        };
        let after = diagnose(pieces().into_iter().chain([mending]));
        let stands = after
            .iter()
            .any(|other| other.identity() == verdict.identity());
        assert!(!stands, "{} stands though it is mended", verdict.identity());
        mended.insert(verdict.class);
    }
    assert!(mended.len() >= 7, "{mended:?}");
}

/// Two versions of every object, the first without a status, in an order in which each comes twice.
fn twice(order: &[usize]) -> Vec<Observation> {
    let values: Vec<Value> = cluster::every_way()
        .filter_map(|seen| match seen {
            Seen::Object(value) => Some(value),
            Seen::Log(_) => None,
        })
        .collect();
    let mut told = BTreeSet::new();
    let versions = order.iter().map(|index| {
        let mut value = values[*index].clone();
        if told.insert(*index) {
            value.as_object_mut().unwrap().remove("status");
            value["metadata"]["resourceVersion"] = json!("0");
        }
        Observation::Applied(Object::decode(value).unwrap())
    });
    let versions: Vec<Observation> = versions.collect();
    let rest = pieces()
        .into_iter()
        .filter(|piece| !matches!(piece, Observation::Applied(_)));
    versions.into_iter().chain(rest).collect()
}

/// Each object's place, twice.
fn places() -> Vec<usize> {
    let objects = cluster::every_way()
        .filter(|seen| matches!(seen, Seen::Object(_)))
        .count();
    (0..objects).flat_map(|index| [index, index]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter(pieces in Just(pieces()).prop_shuffle()) {
        prop_assert_eq!(&diagnose(pieces), &*SAID);
    }

    #[test]
    fn any_interleaving_of_versions_gives_the_same(order in Just(places()).prop_shuffle()) {
        prop_assert_eq!(&diagnose(twice(&order)), &*SAID);
    }

    #[test]
    fn a_judgement_after_every_observation_is_the_same_as_one_at_the_end(
        pieces in Just(pieces()).prop_shuffle(),
        until in any::<prop::sample::Index>(),
    ) {
        let until = until.index(pieces.len());
        let mut engine = Engine::new();
        for piece in &pieces[..until] {
            engine.observe(piece.clone(), cluster::now());
            engine.verdicts();
        }
        prop_assert_eq!(engine.verdicts().to_vec(), diagnose(pieces[..until].to_vec()));
    }

    #[test]
    fn a_missing_field_makes_nothing_surer(choices in prop::collection::vec(any::<prop::sample::Index>(), 8)) {
        let whole = confidences(&SAID);
        let mut engine = Engine::new();
        for seen in cluster::every_way() {
            let mut value = match seen {
                Seen::Object(value) => value,
                Seen::Log(log) => {
                    engine.observe(Observation::Log(log), cluster::now());
                    continue;
                }
            };
            for choice in &choices {
                remove_field(&mut value, choice);
            }
            if let Ok(object) = Object::decode(value) {
                engine.observe(Observation::Applied(object), cluster::now());
            }
        }
        for kind in Kind::ALL {
            engine.observe(Observation::Listed { kind: *kind, namespace: None }, cluster::now());
        }
        for (identity, confidence) in confidences(engine.verdicts()) {
            if let Some(whole) = whole.get(&identity) {
                prop_assert!(confidence >= *whole, "{identity} became surer");
            }
        }
    }

    #[test]
    fn what_is_taken_back_leaves_nothing(pieces in Just(pieces()).prop_shuffle()) {
        let mut engine = Engine::new();
        for piece in &pieces {
            engine.observe(piece.clone(), cluster::now());
        }
        engine.verdicts();
        for piece in &pieces {
            if let Observation::Applied(object) = piece {
                engine.observe(Observation::Deleted(object.clone()), cluster::now());
            }
        }
        let later = cluster::now() + jiff::SignedDuration::from_mins(11);
        engine.advance(later);
        prop_assert_eq!(engine.verdicts(), &[]);
    }
}

fn confidences(
    verdicts: &[Verdict],
) -> BTreeMap<crashbook_detector::verdict::Identity, crashbook_detector::verdict::Confidence> {
    verdicts
        .iter()
        .map(|verdict| (verdict.identity(), verdict.confidence))
        .collect()
}

/// Removes one field of the object, at any depth.
fn remove_field(value: &mut Value, choice: &prop::sample::Index) {
    let mut paths = Vec::new();
    collect_paths(value, &mut Vec::new(), &mut paths);
    if paths.is_empty() {
        return;
    }
    let path = &paths[choice.index(paths.len())];
    let (last, parents) = path.split_last().unwrap();
    let parent = parents.iter().try_fold(value, |value, step| match value {
        Value::Object(map) => map.get_mut(step),
        Value::Array(items) => step
            .parse::<usize>()
            .ok()
            .and_then(|index| items.get_mut(index)),
        _ => None,
    });
    if let Some(Value::Object(map)) = parent {
        map.remove(last);
    }
}

fn collect_paths(value: &Value, at: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                at.push(key.clone());
                if !matches!(at.as_slice(), [first] if first == "apiVersion" || first == "kind") {
                    paths.push(at.clone());
                }
                collect_paths(value, at, paths);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                at.push(index.to_string());
                collect_paths(value, at, paths);
                at.pop();
            }
        }
        _ => {}
    }
}
