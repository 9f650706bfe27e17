use serde_json::json;

use super::*;

const RUN: &str = "run";

/// Builds a history, one sighting a second.
#[derive(Default)]
struct Story(History);

impl Story {
    fn saw(mut self, kind: &str, what: What) -> Self {
        let second = i64::try_from(self.0.len()).unwrap();
        let at = Timestamp::from_second(second).unwrap();
        self.0.push(Sighting {
            at,
            kind: kind.to_owned(),
            what,
        });
        self
    }

    /// An object of the run's namespace in a new form.
    fn applied(self, kind: &str, name: &str, rest: Value) -> Self {
        let object = object(kind, name, self.0.len(), rest);
        self.saw(kind, What::Applied(Arc::new(object)))
    }

    fn deleted(self, kind: &str, name: &str) -> Self {
        let object = object(kind, name, self.0.len(), json!({}));
        self.saw(kind, What::Deleted(Arc::new(object)))
    }
}

/// An object whose uid is its name, and whose pods' label `app` is the name's first part.
fn object(kind: &str, name: &str, version: usize, rest: Value) -> Value {
    let app = name.split('-').next();
    let mut object = json!({
        "metadata": {
            "name": name, "uid": name, "resourceVersion": version.to_string(),
            "labels": { "app": app },
        },
    });
    if kind != "Node" {
        object["metadata"]["namespace"] = json!(RUN);
    }
    for (key, value) in rest.as_object().unwrap() {
        match object.get_mut(key).and_then(Value::as_object_mut) {
            Some(map) => map.extend(value.as_object().unwrap().clone()),
            None => object[key] = value.clone(),
        }
    }
    object
}

fn phase(phase: &str) -> Value {
    json!({ "status": { "phase": phase } })
}

fn container(status: Value) -> Value {
    let mut status = status;
    status["name"] = json!("app");
    json!({ "status": { "containerStatuses": [status] } })
}

fn ended(id: &str, code: i32) -> Value {
    container(json!({ "state": { "terminated": { "exitCode": code, "containerID": id } } }))
}

/// Whether the proof was seen since the mark, at which second, and whether it holds at the end.
#[track_caller]
fn check(story: Story, mark: usize, proof: Value, seen_at: Option<i64>, holds_now: bool) {
    let proof: Proof = serde_json::from_value(proof).unwrap();
    let general = NodeFacts {
        name: "node-1".into(),
        names: vec!["node-1".into()],
        ..NodeFacts::default()
    };
    let pools = BTreeMap::from([("general".to_owned(), general)]);
    let ground = Ground {
        history: &story.0,
        mark,
        namespace: RUN,
        pools: &pools,
    };
    let seen = seen(&proof, &ground).map(|shown| shown.at.as_second());
    let holds = holds(&proof, &ground).is_some();
    assert_eq!((seen, holds), (seen_at, holds_now), "{proof:?}");
}

#[test]
fn what_passes_counts_and_what_came_before_does_not() {
    let story = || {
        Story::default()
            .applied("Pod", "web-1", phase("Pending"))
            .applied("Pod", "web-1", phase("Running"))
            .applied("Pod", "web-1", phase("Failed"))
    };
    let pod = |phase| json!({ "pod": { "pods": "app=web", "phase": phase } });
    check(story(), 0, pod("Running"), Some(1), false);
    check(story(), 2, pod("Running"), None, false);
    check(story(), 2, pod("Failed"), Some(2), true);
    // What stood before the mark and stands now holds, and was not seen since.
    check(story(), 3, pod("Failed"), None, true);
    check(
        story(),
        0,
        json!({ "pod": { "pods": "app=db" } }),
        None,
        false,
    );
}

#[test]
fn several_pods_are_several() {
    let story = Story::default()
        .applied("Pod", "web-1", phase("Pending"))
        .applied("Pod", "web-1", phase("Pending"))
        .applied("Pod", "web-2", phase("Pending"))
        .deleted("Pod", "web-1");
    let proof = json!({ "pod": { "pods": "app=web", "phase": "Pending", "times": 2 } });
    check(story, 0, proof, Some(2), false);
}

#[test]
fn a_pod_is_on_a_node_of_the_pool() {
    let on = |node: &str| {
        Story::default().applied("Pod", "web-1", json!({ "spec": { "nodeName": node } }))
    };
    let proof = json!({ "pod": { "pods": "app=web", "node": "general" } });
    check(on("node-1"), 0, proof.clone(), Some(0), true);
    check(on("node-2"), 0, proof, None, false);
}

#[test]
fn one_container_shows_all_at_once() {
    let waiting = json!({ "reason": "CrashLoopBackOff", "message": "back-off 10s" });
    let story = Story::default()
        .applied(
            "Pod",
            "web-1",
            container(json!({ "state": { "waiting": waiting } })),
        )
        .applied(
            "Pod",
            "web-1",
            container(json!({
                "state": { "running": {} }, "ready": true, "restartCount": 2,
            })),
        );
    let proof = |more: Value| {
        let mut proof = json!({ "pods": "app=web", "name": "app" });
        proof
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "container": proof })
    };
    let check = |more, seen, holds| {
        check(Story(story.0.clone()), 0, proof(more), seen, holds);
    };
    let reason = |reason| json!({ "waiting": { "reason": reason } });
    check(reason("CrashLoopBackOff"), Some(0), false);
    check(reason("ErrImagePull"), None, false);
    check(
        json!({ "waiting": { "message": "back-off *s" } }),
        Some(0),
        false,
    );
    check(
        json!({ "running": true, "ready": true, "restarts": 2 }),
        Some(1),
        true,
    );
    check(json!({ "running": true, "restarts": 3 }), None, false);
    check(json!({ "running": true, "waiting": {} }), None, false);
    check(json!({ "name": "other", "running": true }), None, false);
}

#[test]
fn runs_are_told_apart_by_their_container() {
    let proof = |times: u32| {
        json!({ "container": {
            "pods": "app=web", "terminated": { "exitCode": 1, "times": times },
        }})
    };
    let story = || {
        Story::default()
            .applied("Pod", "web-1", ended("a", 1))
            .applied("Pod", "web-1", ended("a", 1))
            .applied("Pod", "web-1", ended("b", 0))
            .applied("Pod", "web-1", ended("c", 1))
    };
    check(story(), 0, proof(1), Some(0), true);
    check(story(), 0, proof(2), Some(3), true);
    check(story(), 0, proof(3), None, false);
}

#[test]
fn of_a_series_of_events_each_one_since_the_mark_counts() {
    let event = |count: u64| {
        json!({
            "reason": "BackOff", "message": "Back-off", "type": "Warning", "count": count,
            "involvedObject": { "kind": "Pod", "namespace": RUN, "name": "web-1" },
        })
    };
    let story = || {
        Story::default()
            .applied("Event", "one", event(3))
            .applied("Event", "one", event(4))
            .applied("Event", "one", event(6))
    };
    let proof = |times: u32| json!({ "event": { "regarding": "Pod/web-*", "reason": "BackOff", "times": times } });
    check(story(), 1, proof(1), Some(1), true);
    check(story(), 1, proof(3), Some(2), true);
    check(story(), 1, proof(4), None, false);
    check(story(), 0, proof(6), Some(2), true);
    let other = json!({ "event": { "regarding": "Pod/db", "reason": "BackOff" } });
    check(story(), 0, other, None, false);
}

#[test]
fn an_event_without_a_count_is_one() {
    let event = json!({
        "reason": "Preempted", "count": null,
        "involvedObject": { "kind": "Node", "name": "node-1" },
    });
    let story = Story::default().applied("Event", "one", event);
    check(
        story,
        0,
        json!({ "event": { "regarding": "Node/node-1" } }),
        Some(0),
        true,
    );
}

#[test]
fn a_condition_is_read_from_its_object() {
    let condition = |status: &str| {
        json!({ "status": { "conditions": [{
            "type": "MemoryPressure", "status": status, "reason": "Why",
        }] } })
    };
    let story = Story::default()
        .applied("Node", "node-1", condition("True"))
        .applied("Node", "node-1", condition("False"));
    let proof = |status: &str| {
        json!({ "condition": {
            "object": "Node/node-1", "type": "MemoryPressure", "status": status, "reason": "Why",
        }})
    };
    check(Story(story.0.clone()), 0, proof("True"), Some(0), false);
    check(Story(story.0.clone()), 0, proof("False"), Some(1), true);
    check(story, 0, proof("Unknown"), None, false);
}

#[test]
fn a_rollout_is_over_when_no_old_replica_is_left() {
    let deployment = |observed: u64, replicas: u64, updated: u64, available: u64| {
        json!({
            "metadata": { "generation": 2 }, "spec": { "replicas": 2 },
            "status": {
                "observedGeneration": observed, "replicas": replicas,
                "updatedReplicas": updated, "availableReplicas": available,
            },
        })
    };
    let proof = json!({ "available": "Deployment/web" });
    let check = |form: Value, holds: bool| {
        let story = Story::default().applied("Deployment", "web", form);
        check(story, 0, proof.clone(), holds.then_some(0), holds);
    };
    check(deployment(2, 2, 2, 2), true);
    check(deployment(1, 2, 2, 2), false);
    check(deployment(2, 3, 2, 2), false);
    check(deployment(2, 2, 1, 2), false);
    check(deployment(2, 2, 2, 1), false);
}

#[test]
fn all_that_are_named_must_be_available() {
    let ready = |status: &str| json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] } });
    let story = Story::default()
        .applied("Pod", "web-1", ready("True"))
        .applied("Pod", "web-2", ready("False"));
    check(
        story,
        0,
        json!({ "available": "Pod/web-*" }),
        Some(0),
        false,
    );
    check(
        Story::default(),
        0,
        json!({ "available": "Pod/web-*" }),
        None,
        false,
    );
}

#[test]
fn what_was_deleted_is_told_by_the_watch() {
    let story = || {
        Story::default()
            .applied("Pod", "web-1", json!({}))
            .deleted("Pod", "web-1")
    };
    check(story(), 0, json!({ "deleted": "Pod/web-*" }), Some(1), true);
    check(story(), 2, json!({ "deleted": "Pod/web-*" }), None, false);
    check(story(), 0, json!({ "deleted": "Pod/db" }), None, false);
}

#[test]
fn whoever_replaces_is_younger() {
    let proof = || json!({ "replaced": "app=web" });
    let first = || {
        Story::default()
            .applied("Pod", "web-1", phase("Running"))
            .applied("Pod", "web-2", phase("Running"))
    };
    check(first().deleted("Pod", "web-2"), 2, proof(), None, false);
    // The other one was there all along.
    let story = first()
        .deleted("Pod", "web-2")
        .applied("Pod", "web-1", phase("Running"));
    check(story, 2, proof(), None, false);
    let story = first()
        .deleted("Pod", "web-1")
        .applied("Pod", "web-3", phase("Pending"));
    check(story, 2, proof(), Some(2), true);
    let story =
        first()
            .applied("Pod", "web-2", phase("Failed"))
            .applied("Pod", "web-3", phase("Pending"));
    check(story, 2, proof(), Some(3), true);
}

#[test]
fn lines_and_refusals_count_once_they_come() {
    let pod = Arc::new(object("Pod", "web-1", 0, json!({})));
    let line = What::Line {
        pod: pod.clone(),
        container: "app".into(),
        printed: None,
        line: "ERROR: no route".into(),
    };
    let story = || {
        Story::default()
            .saw("Pod", line.clone())
            .saw("Pod", What::Refused(pod.clone()))
    };
    let log = |container: &str| json!({ "log": { "pods": "app=web", "container": container, "line": "ERROR*route" } });
    check(story(), 0, log("app"), Some(0), true);
    check(story(), 1, log("app"), None, false);
    check(story(), 0, log("other"), None, false);
    check(story(), 1, json!({ "refused": "app=web" }), Some(1), true);
    check(story(), 0, json!({ "refused": "app=db" }), None, false);
}

#[test]
fn endpoints_are_counted_over_all_slices() {
    let slice = |ready: &[bool]| {
        let endpoints = ready
            .iter()
            .map(|ready| json!({ "conditions": { "ready": ready } }));
        json!({
            "metadata": { "labels": { "kubernetes.io/service-name": "web" } },
            "endpoints": endpoints.collect::<Vec<_>>(),
        })
    };
    let story = || {
        Story::default()
            .applied("EndpointSlice", "a", slice(&[true]))
            .applied("EndpointSlice", "b", slice(&[true, false]))
            .deleted_slice("b", slice(&[]))
    };
    let proof = |ready: u32| json!({ "endpoints": { "service": "web", "ready": ready } });
    check(story(), 0, proof(2), Some(1), false);
    check(story(), 1, proof(1), Some(2), true);
    check(story(), 0, proof(0), None, false);
}

impl Story {
    fn deleted_slice(self, name: &str, rest: Value) -> Self {
        let object = object("EndpointSlice", name, self.0.len(), rest);
        self.saw("EndpointSlice", What::Deleted(Arc::new(object)))
    }
}

#[test]
fn a_field_is_what_it_is_or_nothing() {
    let story = || Story::default().applied("Service", "web", json!({ "spec": { "port": 80 } }));
    let field = |path: &str, is: Value| json!({ "field": { "object": "Service/web", "path": path, "is": is } });
    check(story(), 0, field("/spec/port", json!(80)), Some(0), true);
    check(story(), 0, field("/spec/port", json!("80")), None, false);
    check(story(), 0, field("/spec/none", json!(null)), Some(0), true);
}

#[test]
fn numbers_are_compared_as_quantities() {
    let summary = |bytes: u64| What::Summary {
        node: "node-1".into(),
        summary: Arc::new(json!({
            "node": { "memory": { "availableBytes": bytes } },
            "pods": [{ "podRef": { "uid": "web-1" }, "memory": { "usageBytes": bytes } }],
        })),
    };
    let story = || {
        Story::default()
            .applied("Pod", "web-1", json!({}))
            .saw("Node", summary(2 << 30))
            .saw("Node", summary(1 << 20))
    };
    let node = json!({ "number": {
        "node": "general", "path": "memory.availableBytes", "above": "1Gi",
    }});
    check(story(), 0, node, Some(1), false);
    let pod = json!({ "number": {
        "node": "general", "pods": "app=web", "path": "memory.usageBytes", "below": "2Mi",
    }});
    check(story(), 0, pod, Some(2), true);
    let nobody = json!({ "number": {
        "node": "general", "pods": "app=db", "path": "memory.usageBytes", "below": "2Mi",
    }});
    check(story(), 0, nobody, None, false);
}

#[test]
fn several_proofs_are_shown_by_all_that_showed_them() {
    let shown = |second: i64| Shown {
        at: Timestamp::from_second(second).unwrap(),
        versions: vec![Version::of("Pod", &object("Pod", "web-1", 0, json!({})))],
    };
    let all = Shown::all([shown(5), shown(3)]).unwrap();
    assert_eq!((all.at.as_second(), all.versions.len()), (5, 2));
    assert_eq!(Shown::all([]), None);
}
