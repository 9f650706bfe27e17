//! Reading and writing the parts of an object that is kept as JSON.

use std::borrow::Cow;

use serde_json::{Value, json};

/// What is at a path such as `/spec/nodeName`, or null.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    // `Value::pointer` makes two strings of each step, and this is what the cluster does most.
    path.split('/')
        .skip(1)
        .try_fold(value, |here, step| match here {
            Value::Object(map) => map.get(&*unescaped(step)),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
        .unwrap_or(&Value::Null)
}

/// A step of a path without its escapes.
fn unescaped(step: &str) -> Cow<'_, str> {
    match step.contains('~') {
        true => step.replace("~1", "/").replace("~0", "~").into(),
        false => step.into(),
    }
}

/// The text at a path, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or("")
}

/// The whole number at a path.
pub(crate) fn int(value: &Value, path: &str) -> Option<i64> {
    at(value, path).as_i64()
}

/// Whether what is at a path is true.
pub(crate) fn is_true(value: &Value, path: &str) -> bool {
    at(value, path) == &Value::Bool(true)
}

/// The list at a path, empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The entries of the object at a path, none if there is none.
pub(crate) fn entries<'a>(
    value: &'a Value,
    path: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    at(value, path).as_object().into_iter().flatten()
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The namespace of an object, empty for those of the cluster.
pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// The uid of an object.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Whether somebody asked for its deletion.
pub(crate) fn deleting(object: &Value) -> bool {
    !at(object, "/metadata/deletionTimestamp").is_null()
}

/// The reference of the controller that owns an object.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| is_true(owner, "/controller"))
}

/// Puts a value at a path, making the objects on the way.
pub(crate) fn set(value: &mut Value, path: &str, new: impl Into<Value>) {
    let mut here = value;
    for key in path.split('/').skip(1) {
        let key = unescaped(key);
        if let Value::Array(items) = here {
            let Some(item) = key.parse().ok().and_then(|i: usize| items.get_mut(i)) else {
                return;
            };
            here = item;
            continue;
        }
        if !here.is_object() {
            *here = json!({});
        }
        let Value::Object(map) = here else { return };
        here = map.entry(key.into_owned()).or_insert(Value::Null);
    }
    *here = new.into();
}

/// Puts a value at a path where there is none yet.
pub(crate) fn default(value: &mut Value, path: &str, new: impl Into<Value>) {
    if at(value, path).is_null() {
        set(value, path, new);
    }
}

/// Takes away what is at a path.
pub(crate) fn remove(value: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = path.rsplit_once('/')?;
    let key = unescaped(key);
    value.pointer_mut(parent)?.as_object_mut()?.remove(&*key)
}

/// The list at a path, to be changed.
pub(crate) fn list_mut<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Vec<Value>> {
    value.pointer_mut(path)?.as_array_mut()
}

/// Leaves out null members at any depth, as Kubernetes' own types do when they are written.
///
/// The few fields that are written as null are put back by whoever serves them.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The condition of a type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
}

/// Whether the condition of a type is True.
pub(crate) fn condition_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_what_json_pointers_lead_to() {
        let value = json!({ "a": [{ "b/c": 1 }, { "d~e": 2 }], "": { "f": 3 } });
        for path in [
            "",
            "/a",
            "/a/0/b~1c",
            "/a/1/d~0e",
            "//f",
            "/a/2",
            "/a/x",
            "/a/0/b/c",
            "/z",
        ] {
            assert_eq!(
                value.pointer(path).unwrap_or(&Value::Null),
                at(&value, path),
                "{path}"
            );
        }
        let mut made = json!({});
        set(&mut made, "/metadata/annotations/example.com~1a", "b");
        assert_eq!(
            made,
            json!({ "metadata": { "annotations": { "example.com/a": "b" } } })
        );
    }
}
