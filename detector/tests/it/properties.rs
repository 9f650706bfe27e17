//! What must hold for every input, however it arrives.

#[path = "../../benches/scale/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;

use crashbook_detector::{Engine, Kind, Object, Observation, Verdict};
use proptest::prelude::*;
use serde_json::Value;

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

fn diagnose(pieces: impl IntoIterator<Item = Observation>) -> Vec<Verdict> {
    let mut engine = Engine::new();
    for piece in pieces {
        engine.observe(piece, cluster::now());
    }
    engine.verdicts().to_vec()
}

#[test]
fn the_small_cluster_fails_in_many_ways() {
    let verdicts = diagnose(pieces());
    assert!(!verdicts.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter(pieces in Just(pieces()).prop_shuffle()) {
        prop_assert_eq!(diagnose(pieces), diagnose(self::pieces()));
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
        let whole = confidences(&diagnose(pieces()));
        let mut engine = Engine::new();
        for seen in cluster::every_way() {
            let mut value = match seen {
                Seen::Object(value) => value,
                Seen::Log(log) => {
                    engine.observe(Observation::Log(log), cluster::now());
                    continue;
                }
            };
            if value["kind"] == "Pod" {
                for choice in &choices {
                    remove_field(&mut value, choice);
                }
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
