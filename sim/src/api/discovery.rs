//! What the API says of itself.

use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::{json_response, respond};
use crate::error::{Refusal, Result};
use crate::kinds::{EVENTS_GROUP, Facts, Kind, OLDER, group_version};

/// The release that the cluster behaves like.
pub(crate) const RELEASE: &str = "v1.34.4";

pub(super) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "34",
        "gitVersion": RELEASE,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-02-10T12:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// The groups other than the core one, each with its versions, the preferred first.
fn served() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for kind in Kind::ALL {
        let facts = kind.facts();
        if !facts.group.is_empty() && !groups.contains(&(facts.group, facts.version)) {
            groups.push((facts.group, facts.version));
        }
    }
    for (kind, version) in OLDER {
        let group = kind.facts().group;
        let after = groups.iter().position(|(other, _)| *other == group);
        groups.insert(after.map_or(groups.len(), |at| at + 1), (group, version));
    }
    groups.push((EVENTS_GROUP, "v1"));
    groups.push(("authorization.k8s.io", "v1"));
    groups.push(("authentication.k8s.io", "v1"));
    groups
}

/// The versions of each group, in their order.
fn by_group<'a>(all: &[(&'a str, &'a str)]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (group, version) in all {
        match groups.iter_mut().find(|(known, _)| known == group) {
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    groups
}

fn serves(group: &str, version: &str) -> bool {
    (group, version) == ("", "v1") || served().contains(&(group, version))
}

/// A resource that is only made, never kept.
struct Review {
    plural: &'static str,
    kind: &'static str,
}

fn reviews(group: &str) -> &'static [Review] {
    match group {
        "authorization.k8s.io" => &[
            Review {
                plural: "selfsubjectaccessreviews",
                kind: "SelfSubjectAccessReview",
            },
            Review {
                plural: "selfsubjectrulesreviews",
                kind: "SelfSubjectRulesReview",
            },
            Review {
                plural: "subjectaccessreviews",
                kind: "SubjectAccessReview",
            },
        ],
        "authentication.k8s.io" => &[Review {
            plural: "selfsubjectreviews",
            kind: "SelfSubjectReview",
        }],
        _ => &[],
    }
}

fn kinds_of(group: &str, version: &str) -> Vec<&'static Facts> {
    if group == EVENTS_GROUP {
        return if version == "v1" {
            vec![Kind::Event.facts()]
        } else {
            Vec::new()
        };
    }
    Kind::ALL
        .iter()
        .filter(|kind| {
            let facts = kind.facts();
            let is_served = facts.version == version || OLDER.contains(&(**kind, version));
            facts.group == group && is_served
        })
        .map(|kind| kind.facts())
        .collect()
}

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

fn singular(facts: &Facts) -> String {
    facts.name.to_lowercase()
}

/// The subresources of a kind in a version: name, the kind they hold, its group and version, verbs.
fn subresources<'a>(
    facts: &Facts,
    version: &'a str,
) -> Vec<(
    &'static str,
    String,
    &'static str,
    &'a str,
    Vec<&'static str>,
)> {
    let mut all = Vec::new();
    if facts.status {
        let verbs = vec!["get", "patch", "update"];
        all.push(("status", facts.name.to_owned(), facts.group, version, verbs));
    }
    if facts.scale {
        let verbs = vec!["get", "patch", "update"];
        all.push(("scale", "Scale".to_owned(), "autoscaling", "v1", verbs));
    }
    match facts.name {
        "Pod" => {
            all.push(("binding", "Binding".to_owned(), "", "v1", vec!["create"]));
            all.push((
                "eviction",
                "Eviction".to_owned(),
                "policy",
                "v1",
                vec!["create"],
            ));
        }
        "ServiceAccount" => {
            let kind = "TokenRequest".to_owned();
            all.push(("token", kind, "authentication.k8s.io", "v1", vec!["create"]));
        }
        _ => {}
    }
    all
}

/// The resources of one version of a group, in the plain form.
pub(super) fn resources(group: &str, version: &str) -> Result<Response> {
    if !serves(group, version) {
        return Err(Refusal::no_such_path());
    }
    let mut all = Vec::new();
    for facts in kinds_of(group, version) {
        let mut resource = json!({
            "name": facts.plural,
            "singularName": singular(facts),
            "namespaced": facts.namespaced,
            "kind": facts.name,
            "verbs": VERBS,
        });
        if !facts.short.is_empty() {
            resource["shortNames"] = json!(facts.short);
        }
        if facts.all {
            resource["categories"] = json!(["all"]);
        }
        all.push(resource);
        if group == EVENTS_GROUP {
            continue;
        }
        for (name, kind, of_group, of_version, verbs) in subresources(facts, version) {
            let mut resource = json!({
                "name": format!("{}/{name}", facts.plural),
                "singularName": "",
                "namespaced": facts.namespaced,
                "kind": kind,
                "verbs": verbs,
            });
            if (of_group, of_version) != (facts.group, version) {
                resource["group"] = json!(of_group);
                resource["version"] = json!(of_version);
            }
            all.push(resource);
        }
    }
    for review in reviews(group) {
        all.push(
            json!({ "name": review.plural, "singularName": review.kind.to_lowercase(),
            "namespaced": false, "kind": review.kind, "verbs": ["create"] }),
        );
    }
    Ok(json_response(
        200,
        &json!({ "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": group_version(group, version), "resources": all }),
    ))
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| {
        accept.contains("as=APIGroupDiscoveryList") && accept.contains("v=v2")
    })
}

/// One version of a group, in the aggregated form.
fn aggregated(group: &str, version: &str) -> Value {
    let mut all: Vec<Value> = kinds_of(group, version)
        .into_iter()
        .map(|facts| {
            let shown = if group == EVENTS_GROUP {
                group
            } else {
                facts.group
            };
            let subresources: Vec<Value> = if group == EVENTS_GROUP {
                Vec::new()
            } else {
                subresources(facts, version)
                    .into_iter()
                    .map(|(name, kind, group, version, verbs)| {
                        json!({ "subresource": name, "verbs": verbs,
                            "responseKind": { "group": group, "version": version, "kind": kind } })
                    })
                    .collect()
            };
            let mut resource = json!({
                "resource": facts.plural,
                "responseKind": { "group": shown, "version": version, "kind": facts.name },
                "scope": if facts.namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": singular(facts),
                "verbs": VERBS,
            });
            if !facts.short.is_empty() {
                resource["shortNames"] = json!(facts.short);
            }
            if facts.all {
                resource["categories"] = json!(["all"]);
            }
            if !subresources.is_empty() {
                resource["subresources"] = Value::Array(subresources);
            }
            resource
        })
        .collect();
    all.extend(reviews(group).iter().map(|review| {
        json!({ "resource": review.plural, "scope": "Cluster",
            "singularResource": review.kind.to_lowercase(), "verbs": ["create"],
            "responseKind": { "group": group, "version": version, "kind": review.kind } })
    }));
    json!({ "version": version, "freshness": "Current", "resources": all })
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn aggregated_list(groups: &[(&str, &str)]) -> Response {
    let items: Vec<Value> = by_group(groups)
        .iter()
        .map(|(group, versions)| {
            let versions = versions.iter().map(|version| aggregated(group, version));
            json!({ "metadata": { "name": group }, "versions": versions.collect::<Vec<_>>() })
        })
        .collect();
    let list = json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items });
    respond(200, AGGREGATED, list.to_string())
}

/// Answers `/api`.
pub(super) fn core(headers: &HeaderMap) -> Response {
    if wants_aggregated(headers) {
        return aggregated_list(&[("", "v1")]);
    }
    json_response(200, &json!({ "kind": "APIVersions", "versions": ["v1"] }))
}

fn described(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({ "groupVersion": group_version(group, version), "version": version }))
        .collect();
    json!({ "name": group, "versions": versions, "preferredVersion": versions.first() })
}

/// Answers `/apis`.
pub(super) fn groups(headers: &HeaderMap) -> Response {
    let groups = served();
    if wants_aggregated(headers) {
        return aggregated_list(&groups);
    }
    let described: Vec<Value> = by_group(&groups)
        .iter()
        .map(|(group, versions)| described(group, versions))
        .collect();
    json_response(
        200,
        &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": described }),
    )
}

/// Answers `/apis/GROUP`.
pub(super) fn group(wanted: &str) -> Result<Response> {
    let groups = by_group(&served());
    let (group, versions) = groups
        .iter()
        .find(|(group, _)| *group == wanted)
        .ok_or_else(Refusal::no_such_path)?;
    let mut group = described(group, versions);
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Ok(json_response(200, &group))
}

/// Which documents `/openapi/v3` has.
pub(super) fn openapi_index() -> Value {
    let mut paths = serde_json::Map::new();
    let mut all = vec![("", "v1")];
    all.extend(served());
    for (group, version) in all {
        let path = match group {
            "" => format!("api/{version}"),
            group => format!("apis/{group}/{version}"),
        };
        let url = format!("/openapi/v3/{path}?hash={RELEASE}");
        paths.insert(path, json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

/// The document of one version of a group: the operations, and the fields of the kinds.
///
/// kubectl reads of it whether the server checks fields itself (`fieldValidation`), and then
/// leaves the checking to the server.
pub(super) fn openapi(group: &str, version: &str) -> Result<Response> {
    if !serves(group, version) {
        return Err(Refusal::no_such_path());
    }
    let mut paths = serde_json::Map::new();
    let mut schemas = serde_json::Map::new();
    let root = match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    };
    for facts in kinds_of(group, version) {
        let api_version = crate::kinds::group_version(group, version);
        super::protobuf::schemas(&api_version, facts.name, &mut schemas);
        let path = if facts.namespaced {
            format!("{root}/namespaces/{{namespace}}/{}/{{name}}", facts.plural)
        } else {
            format!("{root}/{}/{{name}}", facts.plural)
        };
        let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation", "force"]
            .iter()
            .map(|name| {
                json!({ "name": name, "in": "query",
                "schema": { "type": "string", "uniqueItems": true } })
            })
            .collect();
        let patch = json!({
            "operationId": format!("patch{}", facts.name),
            "parameters": parameters,
            "requestBody": { "content": {
                "application/json-patch+json": { "schema": {} },
                "application/merge-patch+json": { "schema": {} },
            } },
            "responses": { "200": { "description": "OK" } },
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind":
                { "group": group, "version": version, "kind": facts.name },
        });
        paths.insert(path, json!({ "patch": patch }));
    }
    Ok(json_response(
        200,
        &json!({ "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": RELEASE },
            "paths": paths, "components": { "schemas": schemas } }),
    ))
}
