//! What the cluster's parts tell of what they do, folded as Kubernetes folds it.
//!
//! Source: `staging/src/k8s.io/client-go/tools/record/{event,events_cache}.go`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agenda::Work;
use crate::clock::{after, seconds, since};
use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{at, set, text};
use crate::world::World;

/// From how many different messages on events of one reason are combined.
const SIMILAR: usize = 10;
/// How long ago the last similar event may be.
const LATELY: Duration = Duration::from_secs(600);
/// How many events one source may tell of one object at once,
const BURST: f64 = 25.0;
/// and after how many seconds it may tell one more.
const REFILL: f64 = 300.0;
/// How long an event is kept after it last changed: the API server's `--event-ttl`.
const KEPT: Duration = Duration::from_secs(3600);
/// How often events that are too old are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// What is known of the events so far.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The messages of late, by source, object, type and reason.
    similar: BTreeMap<u64, Similar>,
    /// What was recorded, by all that makes events the same.
    same: BTreeMap<u64, Same>,
    /// How much each source may still tell of each object.
    allowed: BTreeMap<u64, (f64, Timestamp)>,
    /// The number in the newest event's name: no two are the same.
    number: i128,
    /// When events were written, by revision, the oldest first.
    written: VecDeque<(Timestamp, Key, String)>,
}

#[derive(Debug)]
struct Similar {
    messages: BTreeSet<u64>,
    last: Timestamp,
}

#[derive(Debug)]
struct Same {
    name: String,
    count: i64,
    last: Timestamp,
}

/// A reference to an object, as events have it.
pub(crate) fn reference(object: &Value) -> Value {
    let mut reference = json!({});
    for (field, path) in [
        ("/apiVersion", "/apiVersion"),
        ("/kind", "/kind"),
        ("/name", "/metadata/name"),
        ("/namespace", "/metadata/namespace"),
        ("/resourceVersion", "/metadata/resourceVersion"),
        ("/uid", "/metadata/uid"),
    ] {
        let value = text(object, path);
        if !value.is_empty() {
            set(&mut reference, field, value);
        }
    }
    reference
}

#[allow(dead_code)] // Not yet: who tells of containers is the kubelets.
/// A reference to a part of an object, such as `spec.containers{app}`.
pub(crate) fn part(object: &Value, field: &str) -> Value {
    let mut reference = reference(object);
    set(&mut reference, "/fieldPath", field);
    reference
}

/// A reference to a node as its kubelet has it: the name stands for the uid.
pub(crate) fn node(name: &str) -> Value {
    json!({ "kind": "Node", "name": name, "uid": name })
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

impl World {
    /// Records an event about an object, or about what a reference names.
    ///
    /// `kind` is `Normal` or `Warning`; `host` is the node of a component that has one, or empty.
    pub(crate) fn event(
        &mut self,
        component: &str,
        host: &str,
        about: &Value,
        kind: &str,
        reason: &str,
        message: &str,
    ) {
        self.annotated_event(component, host, about, kind, (reason, message), Value::Null);
    }

    /// Records an event that carries annotations. `what` is its reason and its message.
    pub(crate) fn annotated_event(
        &mut self,
        component: &str,
        host: &str,
        about: &Value,
        kind: &str,
        what: (&str, &str),
        annotations: Value,
    ) {
        let (reason, message) = what;
        let about = match at(about, "/metadata") {
            Value::Null => about.clone(),
            _ => reference(about),
        };
        let now = self.now();
        let object = [
            component,
            host,
            text(&about, "/kind"),
            text(&about, "/namespace"),
            text(&about, "/name"),
            text(&about, "/uid"),
            text(&about, "/apiVersion"),
        ];
        let alike = hash(&[&object[..], &[kind, reason]].concat());
        let same = hash(
            &[
                &object[..],
                &[kind, reason, text(&about, "/fieldPath"), message],
            ]
            .concat(),
        );
        let combined = self.events.combine(alike, hash(&[message]), now);
        let same = if combined { alike } else { same };
        let message = if combined {
            format!("(combined from similar events): {message}")
        } else {
            message.to_owned()
        };
        let seen = self.events.same.get_mut(&same).map(|seen| {
            seen.count += 1;
            seen.last = now;
            (seen.name.clone(), seen.count)
        });
        if !self.events.allow(hash(&object), now) {
            return;
        }
        let home = match text(&about, "/namespace") {
            "" => "default",
            home => home,
        };
        if let Some((name, count)) = &seen {
            let told = self.modify(Kind::Event, &Key::new(home, name), |event| {
                set(event, "/count", *count);
                set(event, "/lastTimestamp", seconds(now));
                set(event, "/message", message.as_str());
            });
            if told.is_some() {
                return;
            }
        }
        let count = seen.map_or(1, |(_, count)| count);
        let name = self.events.name(text(&about, "/name"), now);
        let mut event = json!({
            "metadata": { "name": name, "namespace": home },
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": { "component": component },
            "firstTimestamp": seconds(now),
            "lastTimestamp": seconds(now),
            "count": count,
            "type": kind,
            "reportingComponent": if combined { "" } else { component },
            "reportingInstance": if combined { "" } else { host },
        });
        if !host.is_empty() {
            set(&mut event, "/source/host", host);
        }
        if !annotations.is_null() {
            set(&mut event, "/metadata/annotations", annotations);
        }
        self.events.same.insert(
            same,
            Same {
                name,
                count,
                last: now,
            },
        );
        // Refused where the namespace is going or gone: then nobody is told.
        let _told = self.create(Kind::Event, home, event, false);
    }

    /// Notes that an event was written, so that it is dropped in time.
    pub(crate) fn event_written(&mut self, event: &Value) {
        let now = self.now();
        if self.events.written.is_empty() {
            self.agenda.at(after(now, KEPT), Work::Events);
        }
        let revision = text(event, "/metadata/resourceVersion").to_owned();
        self.events
            .written
            .push_back((now, Key::of(event), revision));
    }

    /// Drops the events that are too old.
    pub(crate) fn drop_old_events(&mut self) {
        let now = self.now();
        while let Some((written, _, _)) = self.events.written.front()
            && since(now, *written) >= KEPT
        {
            let Some((_, key, revision)) = self.events.written.pop_front() else {
                break;
            };
            let unchanged = self
                .store
                .get(Kind::Event, &key)
                .is_some_and(|event| text(event, "/metadata/resourceVersion") == revision);
            if unchanged {
                self.store.remove(Kind::Event, &key);
            }
        }
        self.events.forget(now);
        if let Some((written, _, _)) = self.events.written.front() {
            let next = after(*written, KEPT).max(after(now, SWEEP));
            self.agenda.at(next, Work::Events);
        }
    }
}

impl Events {
    /// Whether an event is one of too many similar ones.
    fn combine(&mut self, alike: u64, message: u64, now: Timestamp) -> bool {
        let similar = self.similar.entry(alike).or_insert_with(|| Similar {
            messages: BTreeSet::new(),
            last: now,
        });
        if since(now, similar.last) > LATELY {
            similar.messages.clear();
        }
        similar.messages.insert(message);
        similar.last = now;
        if similar.messages.len() < SIMILAR {
            return false;
        }
        similar.messages.pop_first();
        true
    }

    /// Whether a source may tell one more event of an object.
    fn allow(&mut self, object: u64, now: Timestamp) -> bool {
        let (tokens, last) = self.allowed.entry(object).or_insert((BURST, now));
        *tokens = (*tokens + since(now, *last).as_secs_f64() / REFILL).min(BURST);
        *last = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }

    /// A name for an event: that of the object, and the time in nanoseconds.
    fn name(&mut self, object: &str, now: Timestamp) -> String {
        self.number = now.as_nanosecond().max(self.number + 1);
        format!("{object}.{:x}", self.number)
    }

    fn forget(&mut self, now: Timestamp) {
        self.similar
            .retain(|_, similar| since(now, similar.last) <= LATELY);
        self.same.retain(|_, same| since(now, same.last) <= KEPT);
        let full = Duration::from_secs_f64(BURST * REFILL);
        self.allowed.retain(|_, (_, last)| since(now, *last) < full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{int, name};
    use crate::{Clock, Config};

    /// The events about an object, the oldest first.
    fn about(world: &World, object: &Value) -> Vec<(String, String, i64)> {
        let home = match text(object, "/metadata/namespace") {
            "" => "default",
            home => home,
        };
        let of_it = world.store.list(Kind::Event, Some(home)).filter(|event| {
            text(event, "/involvedObject/name") == name(object)
                && text(event, "/involvedObject/kind") == text(object, "/kind")
        });
        let mut events: Vec<_> = of_it.collect();
        events.sort_by_key(|event| name(event).rsplit('.').next().map(str::to_owned));
        let told = |event: &&std::sync::Arc<Value>| {
            (
                text(event, "/reason").to_owned(),
                text(event, "/message").to_owned(),
                int(event, "/count").unwrap_or(0),
            )
        };
        events.iter().map(told).collect()
    }

    fn world() -> World {
        let config = Config::default();
        let mut world = World::new(&config, Clock::new(config.epoch, 1.0));
        crate::drive::boot(&mut world, &config);
        world
    }

    fn pod() -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7" } })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_again_is_counted() {
        let mut world = world();
        for _ in 0..3 {
            world.event("kubelet", "a", &pod(), "Warning", "BackOff", "again");
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let events: Vec<_> = world.store.list(Kind::Event, Some("default")).collect();
        assert_eq!(events.len(), 1);
        let event = events[0];
        assert_eq!(int(event, "/count"), Some(3));
        assert_eq!(text(event, "/firstTimestamp"), "2026-01-01T00:00:00Z");
        assert_eq!(text(event, "/lastTimestamp"), "2026-01-01T00:00:20Z");
        assert_eq!(text(event, "/source/host"), "a");
        assert_eq!(name(event), "web.18867251edfa0000");
        assert_eq!(text(event, "/involvedObject/resourceVersion"), "7");
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_similar_ones_are_combined() {
        let mut world = world();
        for number in 0..12 {
            let message = format!("pod {number}");
            world.event("rs", "", &pod(), "Warning", "FailedCreate", &message);
        }
        let told = about(&world, &pod());
        assert_eq!(told.len(), 10);
        let combined = "(combined from similar events): pod 11".to_owned();
        assert_eq!(told[9], ("FailedCreate".to_owned(), combined, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn who_tells_too_much_is_not_heard() {
        let mut world = world();
        for _ in 0..40 {
            world.event("kubelet", "a", &pod(), "Warning", "BackOff", "again");
        }
        assert_eq!(about(&world, &pod())[0].2, 25);
        tokio::time::advance(Duration::from_secs(300)).await;
        world.event("kubelet", "a", &pod(), "Warning", "BackOff", "again");
        assert_eq!(about(&world, &pod())[0].2, 41);
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_dropped_after_an_hour() {
        let mut world = world();
        world.event("kubelet", "a", &pod(), "Normal", "Pulled", "once");
        let node = json!({ "kind": "Node", "metadata": { "name": "a" } });
        world.event("kubelet", "a", &super::node("a"), "Normal", "Starting", "");
        world.step();
        assert_eq!(about(&world, &node).len(), 1);
        tokio::time::advance(Duration::from_secs(1800)).await;
        world.event("kubelet", "a", &pod(), "Normal", "Pulled", "once");
        for _ in 0..2 {
            world.step();
            tokio::time::advance(Duration::from_secs(1800)).await;
        }
        world.step();
        assert_eq!(about(&world, &node), []);
        assert_eq!(world.store.list(Kind::Event, None).count(), 0);
    }
}
