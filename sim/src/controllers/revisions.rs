//! The kept templates of StatefulSets and DaemonSets.
//!
//! Source: `pkg/controller/history/controller_history.go`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pods::{self, int_or};
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{at, int, name, namespace, remove, set, text};
use crate::world::{Deletion, World};

/// The label that tells by which revision a pod was made.
pub(crate) const HASH: &str = "controller-revision-hash";

/// The revisions of an owner, oldest first; the last is that of its present template.
pub(crate) fn sync(
    world: &mut World,
    kind: Kind,
    owner: &Value,
    selector: &Labels,
) -> Result<Vec<Arc<Value>>, Refusal> {
    let mut revisions = pods::claim(world, Kind::ControllerRevision, kind, owner, selector);
    revisions.sort_by_key(|revision| number(revision));
    let mut template = at(owner, "/spec/template").clone();
    set(&mut template, "/$patch", "replace");
    let data = json!({ "spec": { "template": template } });
    let next = revisions.last().map_or(0, |last| number(last)) + 1;
    let equal = revisions
        .iter()
        .rposition(|revision| at(revision, "/data") == &data);
    if let Some(place) = equal {
        let present = revisions.remove(place);
        let newest = place == revisions.len();
        let present = if newest {
            present
        } else {
            // An old template is asked for again: it becomes the newest.
            world
                .modify(Kind::ControllerRevision, &Key::of(&present), |revision| {
                    set(revision, "/revision", next);
                })
                .unwrap_or(present)
        };
        revisions.push(present);
        return Ok(revisions);
    }
    let hash = pods::hash(&data, int_or(owner, "/status/collisionCount", 0));
    let mut labels = at(owner, "/spec/template/metadata/labels").clone();
    let label = match kind {
        Kind::DaemonSet => HASH,
        _ => "controller.kubernetes.io/hash",
    };
    set(
        &mut labels,
        &format!("/{}", label.replace('/', "~1")),
        hash.as_str(),
    );
    let revision = json!({
        "metadata": {
            "name": format!("{}-{hash}", name(owner)),
            "labels": labels,
            "annotations": at(owner, "/metadata/annotations"),
            "ownerReferences": [pods::owner_reference(kind, owner)],
        },
        "data": data,
        "revision": next,
    });
    let made = world.create(Kind::ControllerRevision, namespace(owner), revision, false)?;
    revisions.push(made);
    Ok(revisions)
}

/// What a pod of a revision is labelled with.
pub(crate) fn hash_of(kind: Kind, revision: &Value) -> &str {
    match kind {
        Kind::DaemonSet => text(revision, "/metadata/labels/controller-revision-hash"),
        _ => name(revision),
    }
}

/// The template that a revision keeps.
pub(crate) fn template(revision: &Value) -> Value {
    let mut template = at(revision, "/data/spec/template").clone();
    remove(&mut template, "/$patch");
    template
}

fn number(revision: &Value) -> i64 {
    int(revision, "/revision").unwrap_or(0)
}

/// Deletes the oldest revisions that no pod was made by, beyond the number that is kept.
pub(crate) fn clean(
    world: &mut World,
    kind: Kind,
    owner: &Value,
    revisions: &[Arc<Value>],
    pods: &[Arc<Value>],
    live: &[&str],
) {
    let kept = usize::try_from(int_or(owner, "/spec/revisionHistoryLimit", 10)).unwrap_or(0);
    let unused: Vec<Key> = revisions
        .iter()
        .filter(|revision| {
            let hash = hash_of(kind, revision);
            !live.contains(&name(revision))
                && !pods
                    .iter()
                    .any(|pod| text(pod, "/metadata/labels/controller-revision-hash") == hash)
        })
        .map(|revision| Key::of(revision))
        .collect();
    let surplus = unused.len().saturating_sub(kept);
    for key in unused.into_iter().take(surplus) {
        // Gone already is as good as deleted.
        let _gone = world.delete(Kind::ControllerRevision, &key, &Deletion::default());
    }
}
