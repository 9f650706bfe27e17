//! Watches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Form, Query, Selection, Target, in_form, respond};
use crate::Cluster;
use crate::error::{Refusal, Result};
use crate::store::What;
use crate::value::set;
use crate::world::World;

/// How long a watch lasts that does not say how long.
const LASTS: Duration = Duration::from_secs(1800);

/// How often a watch is told how far it is.
const BOOKMARKS: Duration = Duration::from_secs(60);

struct Watching {
    cluster: Cluster,
    target: Target,
    query: Query,
    selection: Selection,
    form: Form,
    revision: u64,
    ready: VecDeque<Bytes>,
    changed: tokio::sync::watch::Receiver<u64>,
    /// Tells when all watches are to end.
    cut: tokio::sync::watch::Receiver<u32>,
    end: Instant,
    bookmark: Option<Instant>,
    over: bool,
}

/// Answers with what changes, one line of JSON each, until the time is up.
pub(super) fn watch(
    cluster: &Cluster,
    target: &Target,
    query: &Query,
    form: Form,
) -> Result<Response> {
    let selection = Selection::of(query)?;
    let lasts = match query.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        _ => LASTS,
    };
    let changed = cluster.changed();
    let world = cluster.world();
    let said = query.get("resourceVersion").unwrap_or("");
    let asked: u64 = match said {
        "" => 0,
        text => text.parse().map_err(|_| {
            Refusal::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: \
                 invalid syntax"
            ))
        })?,
    };
    let initial = query.is_true("sendInitialEvents");
    let now = Instant::now();
    let mut watching = Watching {
        cluster: cluster.clone(),
        target: Target {
            name: String::new(),
            subresource: String::new(),
            ..target.clone()
        },
        query: Query(query.0.clone()),
        selection,
        form,
        revision: asked,
        ready: VecDeque::new(),
        changed,
        cut: cluster.cuts(),
        end: now + cluster.clock().real(lasts),
        bookmark: query
            .is_true("allowWatchBookmarks")
            .then(|| now + cluster.clock().real(BOOKMARKS)),
        over: false,
    };
    if asked == 0 || initial {
        watching.begin(&world, initial);
    } else {
        // A watch from too far back is refused inside the stream, as the watch cache does.
        watching.catch_up(&world);
    }
    drop(world);
    let lines = stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), watching))
    });
    Ok(respond(200, "application/json", Body::from_stream(lines)))
}

impl Watching {
    /// Tells of all that is there.
    fn begin(&mut self, world: &World, marked: bool) {
        let namespace = self.target.namespace.clone();
        let namespace = Some(namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let objects: Vec<Arc<Value>> = world
            .store
            .list(self.target.kind, namespace)
            .cloned()
            .collect();
        for object in objects {
            if self.selection.select(&self.target, &object) {
                self.tell(world, "ADDED", &object);
            }
        }
        self.revision = world.store.revision();
        if marked {
            self.mark(true);
        }
    }

    fn tell(&mut self, world: &World, what: &str, object: &Value) {
        let object = in_form(world, &self.target, &self.query, self.form, object);
        // The type first, as the API server has it: who reads the object then knows what it is.
        let line = format!("{{\"type\":\"{what}\",\"object\":{object}}}\n");
        self.ready.push_back(line.into());
    }

    fn mark(&mut self, initial: bool) {
        let facts = self.target.kind.facts();
        let mut object = json!({
            "kind": facts.name,
            "apiVersion": crate::kinds::group_version(&self.target.group, &self.target.version),
            "metadata": { "resourceVersion": self.revision.to_string() },
        });
        if self.form == Form::Table {
            object = json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": { "resourceVersion": self.revision.to_string() },
                "columnDefinitions": null, "rows": [] });
        }
        if initial {
            let path = "/metadata/annotations/k8s.io~1initial-events-end";
            set(&mut object, path, "true");
        }
        let line = format!("{}\n", json!({ "type": "BOOKMARK", "object": object }));
        self.ready.push_back(line.into());
    }

    /// Tells of what changed since the last look.
    fn catch_up(&mut self, world: &World) {
        let changes: Vec<crate::store::Change> =
            match world.store.changes_since(self.target.kind, self.revision) {
                Ok(changes) => changes.cloned().collect(),
                Err(oldest) => {
                    let refusal = Refusal::expired(self.revision, oldest);
                    let line = json!({ "type": "ERROR", "object": refusal.status() });
                    self.ready.push_back(format!("{line}\n").into());
                    self.over = true;
                    return;
                }
            };
        let here = |object: &Value| {
            self.target.namespace.is_empty()
                || crate::value::namespace(object) == self.target.namespace
        };
        let mut told: Vec<(&str, Arc<Value>)> = Vec::new();
        for change in &changes {
            if !here(&change.object) {
                continue;
            }
            let now =
                change.what != What::Deleted && self.selection.select(&self.target, &change.object);
            let before = change
                .before
                .as_ref()
                .is_some_and(|before| self.selection.select(&self.target, before));
            match (before, now) {
                (false, true) => told.push(("ADDED", change.object.clone())),
                (true, true) => told.push(("MODIFIED", change.object.clone())),
                (true, false) => {
                    // What left the selection is told in its last selected state.
                    let mut last = match (change.what, &change.before) {
                        (What::Deleted, _) | (_, None) => (*change.object).clone(),
                        (_, Some(before)) => (**before).clone(),
                    };
                    set(
                        &mut last,
                        "/metadata/resourceVersion",
                        change.revision.to_string(),
                    );
                    told.push(("DELETED", Arc::new(last)));
                }
                (false, false) => {}
            }
        }
        for (what, object) in told {
            self.tell(world, what, &object);
        }
        self.revision = self.revision.max(world.store.revision());
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            let mark = self.bookmark.unwrap_or(self.end).min(self.end);
            tokio::select! {
                biased;
                changed = self.changed.changed() => {
                    // The cluster is gone when nobody can change it any more.
                    changed.ok()?;
                    let cluster = self.cluster.clone();
                    self.catch_up(&cluster.world());
                }
                _ = self.cut.changed() => return None,
                () = tokio::time::sleep_until(mark) => {
                    if mark >= self.end {
                        return None;
                    }
                    self.mark(false);
                    self.bookmark = Some(mark + self.cluster.clock().real(BOOKMARKS));
                }
            }
        }
    }
}
