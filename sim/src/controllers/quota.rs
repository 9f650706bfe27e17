//! What is used of each quota.
//!
//! Source: `pkg/controller/resourcequota/resource_quota_controller.go`.

use serde_json::{Map, Value};

use crate::admission;
use crate::agenda::Work;
use crate::kinds::Kind;
use crate::quantity;
use crate::store::{Change, Key, What};
use crate::value::{at, entries, namespace, set};
use crate::world::World;

/// Writes into a quota's status what is used of it.
pub(crate) fn sync(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(Kind::ResourceQuota, key).cloned() else {
        return;
    };
    let used = admission::used(world, &object);
    let mut amounts = Map::new();
    for (resource, hard) in entries(&object, "/spec/hard") {
        let style = match hard.as_str() {
            // Memory and disk are summed up in powers of two.
            _ if resource.contains("memory") || resource.contains("storage") => "i",
            Some(written) => written,
            None => "",
        };
        let amount = used.get(resource).copied().unwrap_or(0);
        let written = if amount == 0 {
            "0".to_owned()
        } else {
            quantity::like(style, amount)
        };
        amounts.insert(resource.clone(), Value::String(written));
    }
    world.modify(Kind::ResourceQuota, key, |quota| {
        let hard = at(quota, "/spec/hard").clone();
        set(quota, "/status/hard", hard);
        set(quota, "/status/used", amounts);
    });
}

/// Asks to look at the quotas of a namespace where a change may matter to them.
pub(crate) fn notice(world: &mut World, change: &Change) {
    if matches!(change.kind, Kind::Event | Kind::Lease | Kind::ResourceQuota) {
        return;
    }
    if change.what == What::Modified {
        let finished = |pod: &Value| super::pods::is_finished(pod);
        let before = change.before.as_deref();
        if before.is_some_and(|before| finished(before) == finished(&change.object)) {
            return;
        }
    }
    let home = namespace(&change.object);
    let quotas = world.store.list(Kind::ResourceQuota, Some(home));
    let keys: Vec<Key> = quotas.map(|quota| Key::of(quota)).collect();
    for key in keys {
        world.soon(Work::Sync(Kind::ResourceQuota, key));
    }
}
