//! Who may do what, by roles and their bindings.
//!
//! Nobody says who he is, so that everybody is an administrator, but for programs in containers,
//! which are their service accounts, and for whom a request is made in the name of
//! (`kubectl --as`).
//!
//! Source: `plugin/pkg/auth/authorizer/rbac/rbac.go`, `pkg/apis/rbac/v1/evaluation_helpers.go`,
//! `pkg/registry/rbac/validation/rule.go`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{at, list, name, namespace, text};
use crate::world::World;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

/// What is asked for: to do something with objects, or with a path that is none of theirs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deed<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// `pods`, or `pods/log`.
    pub(crate) resource: &'a str,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) path: Option<&'a str>,
}

const ACCOUNT: &str = "system:serviceaccount";

impl Who {
    /// A service account of a namespace.
    pub(crate) fn account(home: &str, name: &str) -> Self {
        Self::named(&format!("{ACCOUNT}:{home}:{name}"), Vec::new())
    }

    /// A user, with the groups that are his besides those that follow from the name.
    pub(crate) fn named(user: &str, mut groups: Vec<String>) -> Self {
        if groups.is_empty()
            && let Some((home, _)) = account(user)
        {
            groups.push("system:serviceaccounts".to_owned());
            groups.push(format!("system:serviceaccounts:{home}"));
        }
        groups.push("system:authenticated".to_owned());
        Self {
            user: user.to_owned(),
            groups,
        }
    }

    /// The administrator, who may do everything.
    pub(crate) fn admin() -> Self {
        Self::named("kubernetes-admin", vec!["system:masters".to_owned()])
    }

    /// Whether he may do everything.
    pub(crate) fn is_admin(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }

    /// The subject of a binding that means him, if any, as reasons name it.
    fn bound(&self, binding: &Value) -> Option<String> {
        list(binding, "/subjects").iter().find_map(|subject| {
            let (kind, name) = (text(subject, "/kind"), text(subject, "/name"));
            let means = match kind {
                "User" => self.user == name,
                "Group" => self.groups.iter().any(|group| group == name),
                "ServiceAccount" => {
                    let home = match text(subject, "/namespace") {
                        "" => namespace(binding),
                        home => home,
                    };
                    account(&self.user) == Some((home, name))
                }
                _ => false,
            };
            let shown = match kind {
                "ServiceAccount" => format!("{name}/{}", text(subject, "/namespace")),
                _ => name.to_owned(),
            };
            means.then(|| format!("{kind} {shown:?}"))
        })
    }

    /// The rules that are his in a namespace, each with the reason why.
    fn rules(&self, world: &World, home: &str) -> Vec<(Value, String)> {
        let wide = world.store.list(Kind::ClusterRoleBinding, None);
        let local = (!home.is_empty())
            .then(|| world.store.list(Kind::RoleBinding, Some(home)))
            .into_iter()
            .flatten();
        let mut all = Vec::new();
        for binding in wide.chain(local) {
            let Some(subject) = self.bound(binding) else {
                continue;
            };
            let own = namespace(binding);
            let (kind, key) = match text(binding, "/roleRef/kind") {
                "ClusterRole" => (Kind::ClusterRole, ""),
                _ => (Kind::Role, own),
            };
            let role = text(binding, "/roleRef/name");
            let bound = match own {
                "" => format!("ClusterRoleBinding {:?}", name(binding)),
                own => format!("RoleBinding {:?}", format!("{}/{own}", name(binding))),
            };
            let why = format!(
                "RBAC: allowed by {bound} of {} {role:?} to {subject}",
                kind.facts().name
            );
            let found: Option<&Arc<Value>> = world.store.get(kind, &Key::new(key, role));
            let rules = found.map_or(&[][..], |role| list(role, "/rules"));
            all.extend(rules.iter().map(|rule| (rule.clone(), why.clone())));
        }
        all
    }

    /// Why he may do it, if he may.
    pub(crate) fn may(&self, world: &World, deed: &Deed<'_>) -> Option<String> {
        if self.is_admin() {
            return Some(String::new());
        }
        let rules = self.rules(world, deed.namespace);
        let allowed = rules.into_iter().find(|(rule, _)| allows(rule, deed));
        allowed.map(|(_, why)| why)
    }

    /// The words with which he is refused.
    pub(crate) fn refused(&self, deed: &Deed<'_>) -> String {
        let Deed {
            verb,
            group,
            resource,
            ..
        } = deed;
        let place = match deed.namespace {
            "" => "at the cluster scope".to_owned(),
            home => format!("in the namespace {home:?}"),
        };
        format!(
            "User {:?} cannot {verb} resource {resource:?} in API group {group:?} {place}",
            self.user
        )
    }

    /// The status of a `SelfSubjectRulesReview`.
    pub(crate) fn review(&self, world: &World, home: &str) -> Value {
        if self.is_admin() {
            return json!({
                "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
                "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
                "incomplete": false,
            });
        }
        let rules = self.rules(world, home).into_iter().map(|(rule, _)| rule);
        let (paths, resources): (Vec<Value>, Vec<Value>) =
            rules.partition(|rule| !list(rule, "/nonResourceURLs").is_empty());
        json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": false })
    }
}

/// The namespace and the name of a service account's user.
fn account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(ACCOUNT)?
        .strip_prefix(':')?
        .split_once(':')
}

fn allows(rule: &Value, deed: &Deed<'_>) -> bool {
    let has = |path: &str, matches: &dyn Fn(&str) -> bool| {
        let mut all = list(rule, path).iter().filter_map(Value::as_str);
        all.any(|one| one == "*" || matches(one))
    };
    if !has("/verbs", &|verb| verb == deed.verb) {
        return false;
    }
    if let Some(path) = deed.path {
        return has("/nonResourceURLs", &|url| match url.strip_suffix('*') {
            Some(begin) => path.starts_with(begin),
            None => url == path,
        });
    }
    let subresource = deed.resource.split_once('/').map(|(_, sub)| sub);
    let is_of = |resource: &str| {
        resource == deed.resource
            || subresource.is_some_and(|sub| resource.strip_prefix("*/") == Some(sub))
    };
    let names = at(rule, "/resourceNames").as_array();
    has("/apiGroups", &|group| group == deed.group)
        && has("/resources", &is_of)
        && names.is_none_or(|names| names.is_empty() || names.iter().any(|one| one == deed.name))
}
