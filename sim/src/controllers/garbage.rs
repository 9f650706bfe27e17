//! What depended on an object goes with it.
//!
//! Source: `pkg/controller/garbagecollector/garbagecollector.go`.

use serde_json::Value;

use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{deleting, is_true, list, set, text, uid};
use crate::world::{Deletion, World};

/// Looks at what names an owner by its uid: collects it, orphans it, or lets the owner go.
pub(crate) fn collect(world: &mut World, owner: &str) {
    let dependents = world.store.dependents(owner);
    let Some((kind, key)) = find(world, owner, &dependents) else {
        for (kind, key) in dependents {
            release_or_delete(world, owner, kind, &key);
        }
        return;
    };
    let Some(object) = world.store.get(kind, &key).cloned() else {
        return;
    };
    if !deleting(&object) {
        return;
    }
    let held = |finalizer: &str| {
        list(&object, "/metadata/finalizers")
            .iter()
            .any(|present| present == finalizer)
    };
    if held("orphan") {
        for (kind, key) in dependents {
            drop_owner(world, owner, kind, &key);
        }
        finish(world, kind, &key, "orphan");
    } else if held("foregroundDeletion") {
        let mut blocked = false;
        for (kind, dependent) in &dependents {
            let Some(object) = world.store.get(*kind, dependent).cloned() else {
                continue;
            };
            let blocks = list(&object, "/metadata/ownerReferences")
                .iter()
                .any(|reference| {
                    text(reference, "/uid") == owner && is_true(reference, "/blockOwnerDeletion")
                });
            if !deleting(&object) {
                let how = Deletion {
                    propagation: Some("Foreground".to_owned()),
                    ..Deletion::default()
                };
                // Gone already is as good as deleted.
                let _gone = world.delete(*kind, dependent, &how);
            }
            blocked |= blocks && world.store.get(*kind, dependent).is_some();
        }
        if !blocked {
            finish(world, kind, &key, "foregroundDeletion");
        }
    }
}

/// The owner of a uid, found by what its dependents say of it, or by looking at all objects.
fn find(world: &World, owner: &str, dependents: &[(Kind, Key)]) -> Option<(Kind, Key)> {
    for (kind, key) in dependents {
        let Some(object) = world.store.get(*kind, key) else {
            continue;
        };
        for reference in list(object, "/metadata/ownerReferences") {
            if text(reference, "/uid") != owner {
                continue;
            }
            let of = Kind::named(text(reference, "/apiVersion"), text(reference, "/kind"))?;
            let home = if of.facts().namespaced {
                key.namespace.as_str()
            } else {
                ""
            };
            let place = Key::new(home, text(reference, "/name"));
            let found = world.store.get(of, &place)?;
            return (uid(found) == owner).then_some((of, place));
        }
    }
    // Without dependents only an owner that waits for them is of interest.
    Kind::ALL.iter().find_map(|kind| {
        let waits = |object: &Value| {
            uid(object) == owner
                && list(object, "/metadata/finalizers")
                    .iter()
                    .any(|held| held == "foregroundDeletion" || held == "orphan")
        };
        let found = world.store.list(*kind, None).find(|object| waits(object))?;
        Some((*kind, Key::of(found)))
    })
}

fn release_or_delete(world: &mut World, owner: &str, kind: Kind, key: &Key) {
    let Some(object) = world.store.get(kind, key) else {
        return;
    };
    if list(object, "/metadata/ownerReferences").len() > 1 {
        drop_owner(world, owner, kind, key);
    } else if !deleting(object) {
        // Gone already is as good as deleted.
        let _gone = world.delete(kind, key, &Deletion::default());
    }
}

fn drop_owner(world: &mut World, owner: &str, kind: Kind, key: &Key) {
    world.modify(kind, key, |object| {
        let mut left = list(object, "/metadata/ownerReferences").to_vec();
        left.retain(|reference| text(reference, "/uid") != owner);
        if left.is_empty() {
            crate::value::remove(object, "/metadata/ownerReferences");
        } else {
            set(object, "/metadata/ownerReferences", left);
        }
    });
}

fn finish(world: &mut World, kind: Kind, key: &Key, finalizer: &str) {
    world.modify(kind, key, |object| {
        let mut left = list(object, "/metadata/finalizers").to_vec();
        left.retain(|present| present != finalizer);
        set(object, "/metadata/finalizers", left);
    });
}
