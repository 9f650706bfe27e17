//! Roles that are made of others: the rules of all that carry certain labels.
//!
//! Source: `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`.

use std::sync::LazyLock;

use serde_json::Value;

use crate::agenda::Work;
use crate::drive::made;
use crate::kinds::Kind;
use crate::random::Random;
use crate::selector::Labels;
use crate::store::Key;
use crate::value::{at, list, name, set};
use crate::world::World;

/// The roles of every cluster for its users.
///
/// Source: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`.
static ROLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    // The file is part of the program: a test holds it to be well-formed.
    serde_saphyr::from_str(include_str!("roles.yaml")).unwrap_or_default()
});

/// Makes the roles that every cluster has.
pub(crate) fn boot(world: &mut World) {
    // Their uids come from a row of their own: what is made later is called the same without them.
    let row = std::mem::replace(&mut world.random, Random::new(ROLES.len() as u64));
    for role in ROLES.iter() {
        made(world, Kind::ClusterRole, "", role.clone());
    }
    // Those that others are made of come first.
    for role in ["view", "edit", "admin"] {
        sync(world, &Key::new("", role));
    }
    world.random = row;
}

/// Asks for the roles that are made of others to be made anew: one of these may have changed.
pub(super) fn notice(world: &mut World) {
    let roles = world.store.list(Kind::ClusterRole, None);
    let made_of_others = roles.filter(|role| !at(role, "/aggregationRule").is_null());
    let keys: Vec<Key> = made_of_others.map(|role| Key::of(role)).collect();
    for key in keys {
        let now = world.now();
        world.agenda.at(now, Work::Sync(Kind::ClusterRole, key));
    }
}

/// Gives a role the rules of those that it is made of.
pub(super) fn sync(world: &mut World, key: &Key) {
    let Some(role) = world.store.get(Kind::ClusterRole, key).cloned() else {
        return;
    };
    let selectors = list(&role, "/aggregationRule/clusterRoleSelectors");
    if selectors.is_empty() {
        return;
    }
    let mut rules: Vec<Value> = Vec::new();
    for selector in selectors.iter().filter_map(Labels::of) {
        let others = world.store.list(Kind::ClusterRole, None);
        let others = others.filter(|other| name(other) != key.name && selector.select(other));
        for rule in others.flat_map(|other| list(other, "/rules")) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    if list(&role, "/rules") != rules {
        world.modify(Kind::ClusterRole, key, |role| set(role, "/rules", rules));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_of_every_cluster_are_well_formed() {
        let names: Vec<&str> = ROLES.iter().map(name).collect();
        assert!(names.contains(&"view") && names.contains(&"system:aggregate-to-admin"));
    }
}
