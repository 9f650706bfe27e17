//! The API server refuses what a program's service account asks.
//!
//! # What it finds
//!
//! A container that fails because no Role or ClusterRole that is bound to its service account
//! allows what it asks of the API server.
//!
//! # How it tells
//!
//! The last run failed, or the present one goes on failing, and the last thing that it printed, of
//! all that is understood, is the API server's refusal, which names user, verb and resource. Where the roles and their bindings are
//! known, they are asked again: what they allow by now is no trouble any more.
//!
//! # Not before
//!
//! The second failure: roles may be bound a moment after the pod starts. Over as soon as the roles
//! allow it.
//!
//! # Looks like
//!
//! - `login-refused`: it is not known who asks (401), and not what they may.
//! - `permission-denied`: the system refuses it, not the API server.
//!
//! # Remedy
//!
//! Bind a role that allows it to the service account.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};

use crate::facts::Pod;
use crate::finding::Finding;
use crate::object::Kind;
use crate::rules::failing::{self, Failing};
use crate::rules::{Judge, Need, Rule};
use crate::signatures::{Meaning, Said};
use crate::verdict::{Class, Confidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::AccessDenied,
    needs: &[Need::Words],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        if failing.ended_well() || !failing.is_lasting(pod) {
            continue;
        }
        let Some((line, said)) = failing.main_if(|meaning| meaning == Meaning::AccessDenied) else {
            continue;
        };
        let Some(asked) = Asked::of(said, pod) else {
            continue;
        };
        let allowed = asked.is_allowed(view);
        // One that serves all the same may not need it: only the roles prove that it is denied.
        let serves = failing.ended.is_none() && failing.container.is_ready();
        if allowed == Some(true) || allowed.is_none() && serves {
            continue;
        }
        let workload = view.workload(pod);
        let name = failing.container.name();
        let account = Reference::namespaced("ServiceAccount", asked.home, asked.account);
        let scope = match asked.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        let (verb, resource) = (asked.verb, asked.resource);
        let summary = format!(
            "{account} may not {verb} {resource} {scope}, which container {name} of {} needs",
            workload.reference,
        );
        let full = &match asked.group {
            "" => resource.to_owned(),
            group => format!("{resource}.{group}"),
        };
        let role = format!("{}-{verb}-{}", asked.account, resource.replace('/', "-"));
        let (create, bind) = match asked.namespace {
            Some(namespace) => (
                format!("kubectl create role {role} -n {namespace} --verb={verb} --resource={full}"),
                format!("kubectl create rolebinding {role} -n {namespace} --role={role} --serviceaccount={}:{}", asked.home, asked.account),
            ),
            None => (
                format!("kubectl create clusterrole {role} --verb={verb} --resource={full}"),
                format!("kubectl create clusterrolebinding {role} --clusterrole={role} --serviceaccount={}:{}", asked.home, asked.account),
            ),
        };
        let bound = asked.bound_role(view);
        let mut finding = Finding::new(
            Class::AccessDenied,
            workload.reference.clone(),
            account.whole(),
            failing.since,
            summary,
        )
        .container(name)
        .confidence(if allowed.is_some() { Confidence::Certain } else { Confidence::Likely })
        .detail("verb", verb)
        .detail("resource", resource)
        .detail("group", Some(asked.group).filter(|group| !group.is_empty()))
        .evidence(failing.quote(line))
        .evidence([failing.symptom.clone()])
        .remedy("Make a role that allows it", create)
        .remedy("Bind it to the service account", bind);
        if let Some(role) = &bound {
            finding = finding.detail_object("role", role);
        }
        findings.push(finding);
    }
}

/// Whether what the API server refused to the container's last run is allowed by now.
pub(super) fn is_mended(pod: &Pod, failing: &Failing<'_, '_>, view: &View<'_>) -> bool {
    let refused = failing.main_if(|meaning| meaning == Meaning::AccessDenied);
    let asked = refused.and_then(|(_, said)| Asked::of(said, pod));
    asked.is_some_and(|asked| asked.is_allowed(view) == Some(true))
}

/// What was asked of the API server.
struct Asked<'a> {
    home: &'a str,
    account: &'a str,
    verb: &'a str,
    group: &'a str,
    resource: &'a str,
    name: Option<&'a str>,
    namespace: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(said: &'a Said, pod: &'a Pod) -> Option<Self> {
        let user = said.field("user")?;
        let (home, account) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        let own = pod.spec.service_account_name.as_deref().unwrap_or("default");
        // A program can quote what another was refused.
        if home != pod.namespace || account != own {
            return None;
        }
        Some(Self {
            home,
            account,
            verb: said.field("verb")?,
            group: said.field("group").unwrap_or_default(),
            resource: said.field("resource")?,
            name: said.field("name").map(|name| name.trim_matches('"')),
            namespace: said.field("namespace"),
        })
    }

    /// Whether the roles allow it; none where they are not all known.
    ///
    /// Source: `VisitRulesFor` in `pkg/registry/rbac/validation/rule.go`.
    fn is_allowed(&self, view: &View<'_>) -> Option<bool> {
        let mut is_known = view.is_listed_everywhere(Kind::ClusterRoleBinding)
            && view.is_listed_everywhere(Kind::ClusterRole);
        for rules in self.rules(view, &mut is_known) {
            if rules.iter().any(|rule| self.is_in(rule)) {
                return Some(true);
            }
        }
        is_known.then_some(false)
    }

    fn rules<'v>(&self, view: &View<'v>, is_known: &mut bool) -> Vec<&'v [PolicyRule]> {
        let of_cluster_role = |name: &str| {
            let role = view.get::<ClusterRole>("", name).found();
            role.and_then(|role| role.rules.as_deref()).unwrap_or_default()
        };
        let mut all = Vec::new();
        for binding in view.all::<ClusterRoleBinding>() {
            if self.is_subject(binding.subjects.as_deref()) {
                all.push(of_cluster_role(&binding.role_ref.name));
            }
        }
        if let Some(namespace) = self.namespace {
            *is_known &= view.is_listed(Kind::RoleBinding, namespace)
                && view.is_listed(Kind::Role, namespace);
            for binding in view.in_namespace::<RoleBinding>(namespace) {
                if !self.is_subject(binding.subjects.as_deref()) {
                    continue;
                }
                all.push(match binding.role_ref.kind.as_str() {
                    "ClusterRole" => of_cluster_role(&binding.role_ref.name),
                    _ => {
                        let role = view.get::<Role>(namespace, &binding.role_ref.name).found();
                        role.and_then(|role| role.rules.as_deref()).unwrap_or_default()
                    }
                });
            }
        }
        all
    }

    /// A role that is bound to the account already, in which the rule could stand.
    fn bound_role(&self, view: &View<'_>) -> Option<Reference> {
        let reference = |role: &RoleRef, namespace: &str| match role.kind.as_str() {
            "ClusterRole" => Reference::cluster("ClusterRole", &role.name),
            kind => Reference::namespaced(kind, namespace, &role.name),
        };
        let by_name = |subjects: Option<&[Subject]>| {
            subjects.into_iter().flatten().any(|subject| self.is_account(subject))
        };
        let namespace = self.namespace.unwrap_or(self.home);
        let mut here = view.in_namespace::<RoleBinding>(namespace);
        let mut everywhere = view.all::<ClusterRoleBinding>();
        let local = here.find(|binding| by_name(binding.subjects.as_deref()));
        local.map(|binding| reference(&binding.role_ref, namespace)).or_else(|| {
            let binding = everywhere.find(|binding| by_name(binding.subjects.as_deref()))?;
            Some(reference(&binding.role_ref, ""))
        })
    }

    fn is_account(&self, subject: &Subject) -> bool {
        subject.kind == "ServiceAccount"
            && subject.name == self.account
            && subject.namespace.as_deref().unwrap_or(self.home) == self.home
    }

    fn is_subject(&self, subjects: Option<&[Subject]>) -> bool {
        subjects.into_iter().flatten().any(|subject| {
            let group = || {
                let of_namespace = format!("system:serviceaccounts:{}", self.home);
                ["system:serviceaccounts", "system:authenticated", &of_namespace]
                    .contains(&subject.name.as_str())
            };
            let user = || {
                subject.name == format!("system:serviceaccount:{}:{}", self.home, self.account)
            };
            match subject.kind.as_str() {
                "Group" => group(),
                "User" => user(),
                _ => self.is_account(subject),
            }
        })
    }

    fn is_in(&self, rule: &PolicyRule) -> bool {
        let has = |list: &[String], value: &str| {
            list.iter().any(|one| one == "*" || one == value)
        };
        let list = |list: &'_ Option<Vec<String>>| list.clone().unwrap_or_default();
        if self.resource.starts_with('/') {
            return has(&rule.verbs, self.verb)
                && list(&rule.non_resource_urls).iter().any(|url| {
                    url == self.resource
                        || url.strip_suffix('*').is_some_and(|start| self.resource.starts_with(start))
                });
        }
        let names = list(&rule.resource_names);
        let any_of = match self.resource.split_once('/') {
            Some((_, sub)) => format!("*/{sub}"),
            None => self.resource.to_owned(),
        };
        let resources = list(&rule.resources);
        has(&rule.verbs, self.verb)
            && has(&list(&rule.api_groups), self.group)
            && (has(&resources, self.resource) || resources.contains(&any_of))
            && (names.is_empty() || self.name.is_some_and(|name| names.iter().any(|one| one == name)))
    }
}
