//! The kinds of patches.

use serde_json::{Map, Value, json};

use crate::error::{Refusal, Result};
use crate::value::{at, text};

/// Applies a JSON patch.
pub(crate) fn json_patch(object: &mut Value, patch: Value) -> Result<()> {
    let operations: json_patch::Patch = serde_json::from_value(patch)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(object, &operations).map_err(|_| {
        Refusal::plain(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    })
}

/// Applies a merge patch.
pub(crate) fn merge(object: &mut Value, patch: &Value) {
    json_patch::merge(object, patch);
}

/// How the items of a list are told apart, where the list is merged and not replaced.
enum Items {
    /// By a field of theirs.
    By(&'static str),
    /// They are plain values, each once.
    Set,
    /// They are not: the list is replaced as a whole.
    Whole,
}

/// The lists that are merged, by the field that holds them and what their items look like.
///
/// Source: the `patchStrategy` and `patchMergeKey` tags in `staging/src/k8s.io/api/*/types.go`.
fn items(field: &str, example: Option<&Value>) -> Items {
    let has = |key: &str| example.is_some_and(|item| item.get(key).is_some());
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "secrets"
        | "resourceClaims"
        | "schedulingGates"
        | "webhooks"
            if has("name") || example.is_none() =>
        {
            Items::By("name")
        }
        "ports" if has("containerPort") => Items::By("containerPort"),
        // Those of Services; those of policies and slices have no `targetPort` but no merging either.
        "ports" if has("port") && (has("targetPort") || has("name") || has("nodePort")) => {
            Items::By("port")
        }
        "volumeMounts" => Items::By("mountPath"),
        "volumeDevices" => Items::By("devicePath"),
        "hostAliases" => Items::By("ip"),
        "topologySpreadConstraints" => Items::By("topologyKey"),
        "conditions" if has("type") || example.is_none() => Items::By("type"),
        "addresses" if has("type") => Items::By("type"),
        "ownerReferences" => Items::By("uid"),
        "taints" if has("key") => Items::By("key"),
        "finalizers" | "podCIDRs" => Items::Set,
        _ => Items::Whole,
    }
}

/// Applies a strategic merge patch.
///
/// Source: `staging/src/k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`.
pub(crate) fn strategic(object: &mut Value, patch: &Value) -> Result<()> {
    let Value::Object(changes) = patch else {
        return Err(Refusal::bad_request(
            "a strategic merge patch must be an object",
        ));
    };
    merge_map(object, changes);
    Ok(())
}

fn merge_map(object: &mut Value, changes: &Map<String, Value>) {
    if text_of(changes, "$patch") == "replace" {
        let mut whole = changes.clone();
        whole.remove("$patch");
        *object = Value::Object(whole);
        return;
    }
    if text_of(changes, "$patch") == "delete" {
        *object = json!({});
        return;
    }
    if !object.is_object() {
        *object = json!({});
    }
    let Value::Object(map) = object else { return };
    if let Some(Value::Array(retained)) = changes.get("$retainKeys") {
        map.retain(|key, _| retained.iter().any(|kept| kept == key));
    }
    for (key, change) in changes {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(present)), Value::Array(gone)) = (map.get_mut(list), change) {
                present.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if key.starts_with('$') {
            continue;
        }
        match change {
            Value::Null => {
                map.remove(key);
            }
            Value::Object(inner) => {
                let place = map.entry(key.clone()).or_insert_with(|| json!({}));
                merge_map(place, inner);
            }
            Value::Array(inner) => {
                let present = map.entry(key.clone()).or_insert_with(|| json!([]));
                let order = changes.get(&format!("$setElementOrder/{key}"));
                merge_list(key, present, inner, order);
            }
            plain => {
                map.insert(key.clone(), plain.clone());
            }
        }
    }
    // An order may be set of a list of which nothing else changes.
    for (key, order) in changes {
        let Some(field) = key.strip_prefix("$setElementOrder/") else {
            continue;
        };
        if !changes.contains_key(field)
            && let Some(present) = map.get_mut(field)
        {
            merge_list(field, present, &[], Some(order));
        }
    }
}

fn text_of<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or("")
}

fn merge_list(field: &str, place: &mut Value, changes: &[Value], order: Option<&Value>) {
    if !place.is_array() {
        *place = json!([]);
    }
    let Value::Array(present) = place else { return };
    let example = changes
        .iter()
        .find(|change| change.is_object() && change.get("$patch").is_none())
        .or(present.first())
        .or(changes.first())
        .cloned();
    match items(field, example.as_ref()) {
        Items::Whole => {
            let kept = changes.iter().filter(|item| item.get("$patch").is_none());
            *present = kept.cloned().collect();
        }
        Items::Set => {
            for change in changes {
                if !present.contains(change) {
                    present.push(change.clone());
                }
            }
        }
        Items::By(key) => {
            if changes
                .iter()
                .any(|change| text(change, "/$patch") == "replace" && change.get(key).is_none())
            {
                present.clear();
            }
            for change in changes {
                let Some(id) = change.get(key) else { continue };
                let found = present.iter().position(|item| item.get(key) == Some(id));
                if text(change, "/$patch") == "delete" {
                    if let Some(index) = found {
                        present.remove(index);
                    }
                    continue;
                }
                let Value::Object(inner) = change else {
                    continue;
                };
                match found.and_then(|index| present.get_mut(index)) {
                    Some(item) => merge_map(item, inner),
                    None => {
                        let mut item = json!({});
                        merge_map(&mut item, inner);
                        present.push(item);
                    }
                }
            }
            if let Some(Value::Array(order)) = order {
                let place = |item: &Value| {
                    order
                        .iter()
                        .position(|wanted| wanted.get(key) == item.get(key))
                        .unwrap_or(usize::MAX)
                };
                present.sort_by_key(place);
            }
        }
    }
}

/// Applies a configuration on the server: what it says is merged in, and what the same manager
/// said before and says no longer is taken away.
pub(crate) fn apply(object: &mut Value, before: Option<&Value>, configuration: &Value) {
    if let Some(before) = before {
        let gone = dropped(before, configuration);
        if let Value::Object(gone) = &gone {
            merge_map(object, gone);
        }
    }
    if let Value::Object(configuration) = configuration {
        merge_map(object, configuration);
    }
}

/// The patch that takes away what `before` says and `after` does not.
fn dropped(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return json!({});
    };
    let mut patch = Map::new();
    for (key, value) in old {
        match (value, new.get(key)) {
            (_, None) => {
                patch.insert(key.clone(), Value::Null);
            }
            (Value::Object(_), Some(now @ Value::Object(_))) => {
                let inner = dropped(value, now);
                if inner != json!({}) {
                    patch.insert(key.clone(), inner);
                }
            }
            (Value::Array(old_items), Some(Value::Array(new_items))) => {
                if let Items::By(id) = items(key, old_items.first()) {
                    let mut changes = Vec::new();
                    for item in old_items {
                        let now = new_items.iter().find(|now| now.get(id) == item.get(id));
                        match now {
                            None => changes.push(
                                json!({ id: at(item, &format!("/{id}")), "$patch": "delete" }),
                            ),
                            Some(now) => {
                                let mut inner = dropped(item, now);
                                if inner != json!({}) {
                                    inner[id] = at(item, &format!("/{id}")).clone();
                                    changes.push(inner);
                                }
                            }
                        }
                    }
                    if !changes.is_empty() {
                        patch.insert(key.clone(), Value::Array(changes));
                    }
                }
            }
            _ => {}
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(object: Value, patch: Value, expected: Value) {
        let mut object = object;
        strategic(&mut object, &patch).unwrap();
        assert_eq!(object, expected);
    }

    #[test]
    fn lists_with_a_merge_key_are_merged() {
        check(
            json!({ "containers": [{ "name": "a", "image": "1", "tty": true }, { "name": "b" }] }),
            json!({ "containers": [{ "name": "a", "image": "2" }, { "name": "c" }] }),
            json!({ "containers": [{ "name": "a", "image": "2", "tty": true }, { "name": "b" },
                { "name": "c" }] }),
        );
        check(
            json!({ "containers": [{ "name": "a" }, { "name": "b" }] }),
            json!({ "$setElementOrder/containers": [{ "name": "b" }, { "name": "a" }],
                "containers": [{ "name": "a", "$patch": "delete" }, { "name": "a", "image": "x" }] }),
            json!({ "containers": [{ "name": "b" }, { "name": "a", "image": "x" }] }),
        );
        check(
            json!({ "ports": [{ "containerPort": 80 }] }),
            json!({ "ports": [{ "containerPort": 81 }] }),
            json!({ "ports": [{ "containerPort": 80 }, { "containerPort": 81 }] }),
        );
    }

    #[test]
    fn other_lists_are_replaced() {
        check(
            json!({ "args": ["a", "b"], "tolerations": [{ "key": "a" }] }),
            json!({ "args": ["c"], "tolerations": [{ "key": "b" }] }),
            json!({ "args": ["c"], "tolerations": [{ "key": "b" }] }),
        );
    }

    #[test]
    fn directives_are_followed() {
        check(
            json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": {} } }),
            json!({ "strategy": { "$retainKeys": ["type"], "type": "Recreate" } }),
            json!({ "strategy": { "type": "Recreate" } }),
        );
        check(
            json!({ "finalizers": ["a", "b"], "labels": { "x": "y" } }),
            json!({ "$deleteFromPrimitiveList/finalizers": ["a"], "labels": { "x": null } }),
            json!({ "finalizers": ["b"], "labels": {} }),
        );
    }

    #[test]
    fn what_a_manager_says_no_longer_is_taken_away() {
        let mut object = json!({ "spec": { "replicas": 3, "template": {
            "containers": [{ "name": "a", "image": "1", "tty": true }, { "name": "b" }] } } });
        let before = json!({ "spec": { "replicas": 3, "template": {
            "containers": [{ "name": "a", "tty": true }, { "name": "b" }] } } });
        let now = json!({ "spec": { "template": { "containers": [{ "name": "a" }] } } });
        apply(&mut object, Some(&before), &now);
        assert_eq!(
            object,
            json!({ "spec": { "template": { "containers": [{ "name": "a", "image": "1" }] } } })
        );
    }

    #[test]
    fn a_bad_json_patch_is_refused() {
        let mut object = json!({});
        let patch = json!([{ "op": "replace", "path": "/a", "value": 1 }]);
        assert_eq!(json_patch(&mut object, patch).unwrap_err().code, 422);
        assert_eq!(json_patch(&mut object, json!({})).unwrap_err().code, 400);
    }
}
