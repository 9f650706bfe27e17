//! What depended on an object goes with it.
//!
//! Source: `pkg/controller/garbagecollector/garbagecollector.go`.

use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{deleting, is_true, list, set, text};
use crate::world::{Deletion, World};

/// Looks at what names an owner by its uid: collects it, orphans it, or lets the owner go.
pub(crate) fn collect(world: &mut World, owner: &str) {
    let dependents = world.store.dependents(owner);
    let Some((kind, key)) = world.store.place_of(owner).cloned() else {
        for (kind, key) in dependents {
            release_or_delete(world, owner, kind, &key);
        }
        return;
    };
    // Nobody in a namespace is owned from another.
    let (dependents, strangers): (Vec<_>, Vec<_>) =
        dependents.into_iter().partition(|(_, dependent)| {
            key.namespace.is_empty() || dependent.namespace == key.namespace
        });
    for (kind, key) in strangers {
        release_or_delete(world, owner, kind, &key);
    }
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
