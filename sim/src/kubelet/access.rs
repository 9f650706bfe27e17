//! What programs may ask of the cluster's API, by the roles of their service accounts.
//!
//! Source: `plugin/pkg/auth/authorizer/rbac/rbac.go`.

use std::time::Duration;

use serde_json::Value;

use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{at, list, name, text};
use crate::world::World;

/// How long the API takes to answer, and how long a client waits for it.
const ANSWER: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for the names of a pod's namespace's objects, as kubectl does, and in its words.
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
    if !allows(world, home, account, verb, facts.group, facts.plural) {
        return (
            ANSWER,
            Err(format!(
                "Error from server (Forbidden): {} is forbidden: User \"system:serviceaccount:{home}:\
                 {account}\" cannot {verb} resource {:?} in API group {:?} in the namespace {home:?}",
                kind.resource(),
                facts.plural,
                facts.group
            )),
        );
    }
    let singular = facts.name.to_lowercase();
    let names = world
        .store
        .list(kind, Some(home))
        .map(|object| format!("{singular}/{}", name(object)));
    (ANSWER, Ok(names.collect()))
}

fn allows(
    world: &World,
    home: &str,
    account: &str,
    verb: &str,
    group: &str,
    resource: &str,
) -> bool {
    let local = world.store.list(Kind::RoleBinding, Some(home));
    let wide = world.store.list(Kind::ClusterRoleBinding, None);
    local.chain(wide).any(|binding| {
        let is_bound = list(binding, "/subjects").iter().any(|subject| {
            let subject_name = text(subject, "/name");
            match text(subject, "/kind") {
                "ServiceAccount" => {
                    let space = match text(subject, "/namespace") {
                        "" => crate::value::namespace(binding),
                        space => space,
                    };
                    subject_name == account && space == home
                }
                "User" => subject_name == format!("system:serviceaccount:{home}:{account}"),
                _ => {
                    subject_name == "system:serviceaccounts"
                        || subject_name == "system:authenticated"
                        || subject_name == format!("system:serviceaccounts:{home}")
                }
            }
        });
        let role = match text(binding, "/roleRef/kind") {
            "ClusterRole" => (Kind::ClusterRole, ""),
            _ => (Kind::Role, crate::value::namespace(binding)),
        };
        let key = Key::new(role.1, text(binding, "/roleRef/name"));
        is_bound
            && world
                .store
                .get(role.0, &key)
                .is_some_and(|role| has_rule(role, verb, group, resource))
    })
}

fn has_rule(role: &Value, verb: &str, group: &str, resource: &str) -> bool {
    let has = |rule: &Value, path: &str, wanted: &str| {
        list(rule, path)
            .iter()
            .any(|one| one == wanted || one == "*")
    };
    list(role, "/rules").iter().any(|rule| {
        has(rule, "/verbs", verb)
            && has(rule, "/apiGroups", group)
            && has(rule, "/resources", resource)
            && at(rule, "/resourceNames").is_null()
    })
}
