//! What programs ask of the cluster's API.

use std::time::Duration;

use crate::kinds::Kind;
use crate::rbac::{Deed, Who};
use crate::value::{name, text};
use crate::world::World;

/// How long the API takes to answer, and how long a client waits for it.
const ANSWER: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for the names of objects, those of the pod's namespace where they are in one, as kubectl does,
/// and in its words.
pub(super) fn ask(
    world: &mut World,
    uid: &str,
    verb: &str,
    resource: &str,
) -> (Duration, Result<Vec<String>, String>) {
    let found = world
        .kubelets
        .pods
        .get(uid)
        .and_then(|pod| world.store.get(Kind::Pod, &pod.key));
    let Some(pod) = found.cloned() else {
        return (
            ANSWER,
            Err("error: no configuration has been provided".to_owned()),
        );
    };
    if !crate::network::reaches_api(world, uid) {
        let why = "Unable to connect to the server: dial tcp 10.96.0.1:443: i/o timeout";
        return (PATIENCE, Err(why.to_owned()));
    }
    let home = crate::value::namespace(&pod);
    let account = text(&pod, "/spec/serviceAccountName");
    let kind = Kind::ALL.iter().copied().find(|kind| {
        let facts = kind.facts();
        facts.plural == resource
            || facts.name.eq_ignore_ascii_case(resource)
            || facts.short.contains(&resource)
    });
    let Some(kind) = kind else {
        let why = format!("error: the server doesn't have a resource type {resource:?}");
        return (ANSWER, Err(why));
    };
    let facts = kind.facts();
    let who = Who::account(home, account);
    let place = facts.namespaced.then_some(home);
    let deed = Deed {
        verb,
        group: facts.group,
        resource: facts.plural,
        namespace: place.unwrap_or_default(),
        ..Deed::default()
    };
    if who.may(world, &deed).is_none() {
        let why = format!("{} is forbidden: {}", kind.resource(), who.refused(&deed));
        return (ANSWER, Err(format!("Error from server (Forbidden): {why}")));
    }
    let mut singular = facts.name.to_lowercase();
    if !facts.group.is_empty() {
        singular = format!("{singular}.{}", facts.group);
    }
    let names = world
        .store
        .list(kind, place)
        .map(|object| format!("{singular}/{}", name(object)));
    (ANSWER, Ok(names.collect()))
}
