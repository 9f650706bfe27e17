//! Bodies in Kubernetes' protobuf form: what the typed clients of kubectl and of Go's controllers
//! send. Answers are always JSON, which such clients read as well.
//!
//! Source: `staging/src/k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::clock::seconds;
use crate::defaults::base64;
use crate::error::{Refusal, Result};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The deepest that messages may lie in each other.
const DEEPEST: usize = 64;

/// The fields of a message: number, name and type.
type Fields = Vec<(u64, &'static str, &'static str)>;

static MESSAGES: LazyLock<BTreeMap<&str, Fields>> = LazyLock::new(|| {
    let lines = include_str!("protobuf.txt").lines();
    let message = |line: &'static str| {
        let (name, fields) = line.split_once(' ').unwrap_or((line, ""));
        let field = |field: &'static str| {
            let (number, rest) = field.split_once(':')?;
            let (name, kind) = rest.split_once(':')?;
            Some((number.parse().ok()?, name, kind))
        };
        (name, fields.split(' ').filter_map(field).collect())
    };
    lines
        .filter(|line| !line.starts_with('#'))
        .map(message)
        .collect()
});

/// Messages whose fields stand, in JSON, among those of the message that they are in.
const INLINE: &[&str] = &[
    "ephemeralContainerCommon",
    "handler",
    "ingressRuleValue",
    "localObjectReference",
    "persistentVolumeSource",
    "rule",
    "volumeSource",
];

/// Fields that mean something also where they are zero, false or empty. Any other is written so
/// by clients that have nothing to say in it.
const MEANT: &[&str] = &[
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "backoffLimit",
    "completions",
    "enableServiceLinks",
    "failedJobsHistoryLimit",
    "fsGroup",
    "gracePeriodSeconds",
    "orphanDependents",
    "parallelism",
    "partition",
    "replicas",
    "revisionHistoryLimit",
    "runAsGroup",
    "runAsUser",
    "storageClassName",
    "successfulJobsHistoryLimit",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "ttlSecondsAfterFinished",
    "value",
];

/// Reads a body.
pub(super) fn decode(bytes: &[u8]) -> Result<Value> {
    read(bytes).ok_or_else(|| {
        Refusal::bad_request("the body of the request is not one of Kubernetes' protobuf form")
    })
}

fn read(bytes: &[u8]) -> Option<Value> {
    let envelope = parts(bytes.strip_prefix(MAGIC)?)?;
    let part = |number: u64| {
        let found = envelope.iter().find(|(field, _)| *field == number);
        found.and_then(|(_, part)| part.bytes()).unwrap_or_default()
    };
    let about = parts(part(1))?;
    let text = |number: u64| {
        let found = about.iter().find(|(field, _)| *field == number);
        let bytes = found.and_then(|(_, part)| part.bytes()).unwrap_or_default();
        std::str::from_utf8(bytes).ok()
    };
    let (version, kind) = (text(1)?, text(2)?);
    let mut object = message(&name_of(version, kind), part(2), 0)?;
    let map = object.as_object_mut()?;
    map.insert("apiVersion".to_owned(), json!(version));
    map.insert("kind".to_owned(), json!(kind));
    Some(object)
}

/// What a kind's message is called in the table.
fn name_of(version: &str, kind: &str) -> String {
    match version.split_once('/') {
        _ if kind == "DeleteOptions" => kind.to_owned(),
        None => kind.to_owned(),
        Some(("autoscaling", version)) => format!("autoscaling.{version}.{kind}"),
        Some((group, _)) => format!("{}.{kind}", group.split('.').next().unwrap_or(group)),
    }
}

/// What stands in one field.
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Part<'a> {
    fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The fields of a message, as they stand there.
fn parts(mut bytes: &[u8]) -> Option<Vec<(u64, Part<'_>)>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                parts.push((key >> 3, Part::Number(varint(&mut bytes)?)));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (taken, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let part = match key & 7 {
            2 => Part::Bytes(taken),
            1 => Part::Number(u64::from_le_bytes(taken.try_into().ok()?)),
            _ => Part::Number(u64::from(u32::from_le_bytes(taken.try_into().ok()?))),
        };
        parts.push((key >> 3, part));
    }
    Some(parts)
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let fields = MESSAGES.get(name)?;
    let mut map = Map::new();
    for (number, part) in parts(bytes)? {
        // What the kind does not have is passed over, as in JSON.
        let Some((_, field, kind)) = fields.iter().find(|(of, ..)| *of == number) else {
            continue;
        };
        if let Some(kind) = kind.strip_prefix("[]") {
            let item = value(kind, &part, depth)?;
            let list = map.entry(*field).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(item);
        } else if let Some(kind) = kind.strip_prefix("{}") {
            let entry = parts(part.bytes()?)?;
            let of = |number: u64| entry.iter().find(|(field, _)| *field == number);
            let key = of(1).and_then(|(_, key)| key.bytes()).unwrap_or_default();
            let key = std::str::from_utf8(key).ok()?.to_owned();
            let item = match of(2) {
                Some((_, part)) => value(kind, part, depth)?,
                None => value(kind, &Part::Bytes(&[]), depth)?,
            };
            let entries = map.entry(*field).or_insert_with(|| json!({}));
            entries.as_object_mut()?.insert(key, item);
        } else {
            let item = value(kind, &part, depth)?;
            if INLINE.contains(field) {
                map.extend(item.as_object()?.clone());
            } else if says(field, &item) {
                map.insert((*field).to_owned(), item);
            }
        }
    }
    Some(Value::Object(map))
}

/// Whether a field tells anything.
fn says(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(false) => MEANT.contains(&field),
        Value::Number(number) => number.as_i64() != Some(0) || MEANT.contains(&field),
        Value::String(text) => !text.is_empty() || MEANT.contains(&field),
        _ => true,
    }
}

fn value(kind: &str, part: &Part<'_>, depth: usize) -> Option<Value> {
    let text = || std::str::from_utf8(part.bytes()?).ok();
    Some(match (kind, part) {
        ("s", _) => json!(text()?),
        // Negative numbers are written as large ones.
        ("i", Part::Number(number)) => json!(*number as i64),
        ("b", Part::Number(number)) => json!(*number != 0),
        ("B", _) => json!(base64(part.bytes()?)),
        ("j", _) => raw(part.bytes()?)?,
        ("q", _) => first(part)?
            .bytes()
            .map_or(json!("0"), |text| json!(String::from_utf8_lossy(text))),
        ("t", _) => match first(part) {
            Some(Part::Number(number)) => {
                let time = jiff::Timestamp::from_second(number as i64).ok()?;
                json!(seconds(time))
            }
            _ => Value::Null,
        },
        ("x", _) => {
            let parts = parts(part.bytes()?)?;
            let of = |number: u64| parts.iter().find(|(field, _)| *field == number);
            match (of(1), of(2), of(3)) {
                (Some((_, Part::Number(1))), _, Some((_, text))) => {
                    json!(std::str::from_utf8(text.bytes()?).ok()?)
                }
                (_, Some((_, Part::Number(number))), _) => json!(*number as i64),
                _ => json!(0),
            }
        }
        (name, _) => {
            let inner = message(name, part.bytes()?, depth + 1)?;
            // Lists in maps have a message of their own, which JSON does not.
            match name.ends_with(".ExtraValue") {
                true => inner.get("items").cloned().unwrap_or_else(|| json!([])),
                false => inner,
            }
        }
    })
}

/// The first field of a small message.
fn first<'a>(part: &Part<'a>) -> Option<Part<'a>> {
    let parts = parts(part.bytes()?)?;
    parts
        .into_iter()
        .find(|(field, _)| *field == 1)
        .map(|(_, part)| part)
}

/// JSON that stands in a message as bytes.
fn raw(bytes: &[u8]) -> Option<Value> {
    match first(&Part::Bytes(bytes)) {
        Some(Part::Bytes(json)) => serde_json::from_slice(json).ok(),
        _ => Some(Value::Null),
    }
}

/// The schemas of a kind and of all that it is made of, by their names: fields and types, without
/// descriptions.
pub(super) fn schemas(api_version: &str, kind: &str, into: &mut Map<String, Value>) -> String {
    let name = name_of(api_version, kind);
    schema(&name, into);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if let Some(top) = into.get_mut(&name) {
        top["x-kubernetes-group-version-kind"] =
            json!([{ "group": group, "version": version, "kind": kind }]);
        for field in ["apiVersion", "kind"] {
            top["properties"][field] = json!({ "type": "string" });
        }
    }
    name
}

/// A value that is none of its field's type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistyped {
    /// The structure that has the field: `DeploymentSpec`.
    owner: String,
    /// The fields that lead to it: `spec.replicas`.
    path: String,
    /// The type of the field, as the table writes it, and as Go does.
    kind: &'static str,
    wanted: String,
    given: Value,
}

impl Mistyped {
    /// The first of an object, if there is one that is refused for its type alone.
    pub(super) fn first_of(api_version: &str, kind: &str, object: &Value) -> Option<Self> {
        mistyped(&name_of(api_version, kind), object, "")
    }

    /// What Go's decoder of JSON says of it.
    pub(super) fn in_json(&self) -> String {
        let given = match &self.given {
            Value::String(_) => "string".to_owned(),
            Value::Number(number) if number.is_f64() && self.wanted.starts_with("int") => {
                format!("number {number}")
            }
            Value::Number(_) => "number".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
            Value::Bool(_) | Value::Null => "bool".to_owned(),
        };
        let Self {
            owner,
            path,
            wanted,
            ..
        } = self;
        format!(
            "json: cannot unmarshal {given} into Go struct field {owner}.{path} of type {wanted}"
        )
    }

    /// What is said of it where maps become structures, as strategic patches do.
    ///
    /// Source: `staging/src/k8s.io/apimachinery/pkg/runtime/converter.go`.
    pub(super) fn in_maps(&self) -> String {
        let given = match &self.given {
            Value::String(_) => "string",
            Value::Number(number) if number.is_f64() => "float64",
            Value::Number(_) => "int64",
            Value::Array(_) => "slice",
            Value::Object(_) => "map",
            Value::Bool(_) | Value::Null => "bool",
        };
        match self.kind {
            kind if kind.starts_with("[]") => format!("cannot restore slice from {given}"),
            kind if kind.starts_with("{}") => format!("cannot restore map from {given}"),
            "i" | "s" | "b" => format!("unrecognized type: {}", self.wanted),
            _ => format!("cannot restore struct from: {given}"),
        }
    }
}

fn mistyped(name: &str, object: &Value, path: &str) -> Option<Mistyped> {
    let fields = object.as_object()?;
    let mut known = MESSAGES.get(name).into_iter().flatten();
    known.find_map(|(_, field, kind)| {
        if INLINE.contains(field) {
            return mistyped(kind, object, path);
        }
        let given = fields.get(*field).filter(|given| !given.is_null())?;
        let path = match path {
            "" => (*field).to_owned(),
            path => format!("{path}.{field}"),
        };
        let (inner, values): (&str, Vec<&Value>) = match (kind.get(..2), given) {
            (Some("[]"), Value::Array(items)) => (&kind[2..], items.iter().collect()),
            (Some("{}"), Value::Object(map)) => (&kind[2..], map.values().collect()),
            (Some("[]" | "{}"), _) => ("", vec![given]),
            _ => (kind, vec![given]),
        };
        values.into_iter().find_map(|value| {
            let is_wrong = match inner {
                // A list or a map that is none.
                "" => true,
                "i" => !value.is_i64(),
                "s" => !value.is_string(),
                "b" => !value.is_boolean(),
                // These read themselves, in words of their own.
                "q" | "t" | "x" | "j" | "B" => false,
                _ => !value.is_object(),
            };
            let kind = if inner.is_empty() { *kind } else { inner };
            match is_wrong && !value.is_null() {
                true => Some(Mistyped {
                    owner: name.rsplit('.').next().unwrap_or(name).to_owned(),
                    path: path.clone(),
                    kind,
                    wanted: in_go(kind, field),
                    given: value.clone(),
                }),
                false => mistyped(inner, value, &path),
            }
        })
    })
}

/// A type as Go writes it.
fn in_go(kind: &str, field: &str) -> String {
    /// The numbers that have 64 bits; all others have half of them.
    const LONG: &[&str] = &[
        "activeDeadlineSeconds",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "supplementalGroups",
        "expirationSeconds",
        "generation",
        "observedGeneration",
        "deletionGracePeriodSeconds",
    ];
    if let Some(inner) = kind.strip_prefix("[]") {
        return format!("[]{}", in_go(inner, field));
    }
    if let Some(inner) = kind.strip_prefix("{}") {
        return format!("map[string]{}", in_go(inner, field));
    }
    match kind {
        "i" if LONG.contains(&field) => "int64".to_owned(),
        "i" => "int32".to_owned(),
        "s" => "string".to_owned(),
        "b" => "bool".to_owned(),
        "q" => "resource.Quantity".to_owned(),
        "t" => "v1.Time".to_owned(),
        message => {
            let version = message.split('.').nth_back(1);
            let version = version
                .filter(|version| version.starts_with('v'))
                .unwrap_or("v1");
            format!(
                "{version}.{}",
                message.rsplit('.').next().unwrap_or(message)
            )
        }
    }
}

fn schema(name: &str, into: &mut Map<String, Value>) {
    if into.contains_key(name) {
        return;
    }
    // Messages lie in themselves: what is begun is not begun again.
    into.insert(name.to_owned(), Value::Null);
    let mut properties = Map::new();
    collect(name, &mut properties, into);
    into.insert(
        name.to_owned(),
        json!({ "type": "object", "properties": properties }),
    );
}

fn collect(name: &str, properties: &mut Map<String, Value>, into: &mut Map<String, Value>) {
    for (_, field, kind) in MESSAGES.get(name).into_iter().flatten() {
        if INLINE.contains(field) {
            collect(kind, properties, into);
            continue;
        }
        let of = if let Some(kind) = kind.strip_prefix("[]") {
            json!({ "type": "array", "items": typed(kind, into) })
        } else if let Some(kind) = kind.strip_prefix("{}") {
            json!({ "type": "object", "additionalProperties": typed(kind, into) })
        } else {
            typed(kind, into)
        };
        properties.insert((*field).to_owned(), of);
    }
}

fn typed(kind: &str, into: &mut Map<String, Value>) -> Value {
    match kind {
        "s" | "q" => json!({ "type": "string" }),
        "i" => json!({ "type": "integer" }),
        "b" => json!({ "type": "boolean" }),
        "B" => json!({ "type": "string", "format": "byte" }),
        "t" => json!({ "type": "string", "format": "date-time" }),
        "x" => json!({ "type": "string", "format": "int-or-string" }),
        "j" => json!({ "type": "object" }),
        message => {
            schema(message, into);
            json!({ "allOf": [{ "$ref": format!("#/components/schemas/{message}") }] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_wrong_type_is_found_by_its_place() {
        let first = |spec: Value| {
            let object = json!({ "metadata": { "name": "web" }, "spec": spec });
            let found = Mistyped::first_of("apps/v1", "Deployment", &object)?;
            Some((found.in_json(), found.in_maps()))
        };
        for (spec, json, maps) in [
            (
                json!({ "replicas": "x" }),
                "string into Go struct field DeploymentSpec.spec.replicas of type int32",
                "unrecognized type: int32",
            ),
            (
                json!({ "template": { "spec": { "containers": [{ "env": [{ "value": 1 }] }] } } }),
                "number into Go struct field EnvVar.spec.template.spec.containers.env.value of type \
                 string",
                "unrecognized type: string",
            ),
            (
                json!({ "template": "x" }),
                "string into Go struct field DeploymentSpec.spec.template of type v1.PodTemplateSpec",
                "cannot restore struct from: string",
            ),
            (
                json!({ "template": { "spec": { "containers": {} } } }),
                "object into Go struct field PodSpec.spec.template.spec.containers of type \
                 []v1.Container",
                "cannot restore slice from map",
            ),
        ] {
            let json = format!("json: cannot unmarshal {json}");
            assert_eq!(first(spec), Some((json, maps.to_owned())));
        }
        assert_eq!(first(json!({ "replicas": 2, "paused": true })), None);
    }
    use crate::kinds::Kind;

    /// One field of a message.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn body(version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
        let about = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &about), &field(2, message)].concat()
    }

    #[test]
    fn a_deployment_is_read() {
        let metadata = field(1, b"web");
        let selector = field(1, &[field(1, b"app"), field(2, b"web")].concat());
        let spec = [vec![1 << 3, 0], field(2, &selector), vec![5 << 3, 0]].concat();
        let bytes = body(
            "apps/v1",
            "Deployment",
            &[field(1, &metadata), field(2, &spec)].concat(),
        );
        assert_eq!(
            decode(&bytes).unwrap(),
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
                "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "web" } } } })
        );
    }

    #[test]
    fn every_kind_that_is_served_has_a_message() {
        for kind in Kind::ALL {
            let facts = kind.facts();
            if matches!(
                facts.plural,
                "csinodes" | "csidrivers" | "volumeattachments"
            ) {
                continue;
            }
            let name = name_of(&kind.api_version(), facts.name);
            assert!(MESSAGES.contains_key(name.as_str()), "{name}");
        }
        let known = |kind: &str| {
            let kind = kind.trim_start_matches("[]").trim_start_matches("{}");
            kind.len() == 1 || MESSAGES.contains_key(kind)
        };
        for (name, fields) in MESSAGES.iter() {
            for (_, field, kind) in fields {
                assert!(known(kind), "{name}.{field} is of {kind}");
            }
        }
    }

    #[test]
    fn a_kind_has_the_schemas_of_all_that_it_is_made_of() {
        let mut all = Map::new();
        let name = schemas("apps/v1", "Deployment", &mut all);
        let refers = all[&name]["properties"]["spec"]["allOf"][0]["$ref"]
            .as_str()
            .unwrap();
        let spec = &all[refers.rsplit('/').next().unwrap()];
        assert_eq!(spec["properties"]["replicas"]["type"], "integer");
        assert!(all["Probe"]["properties"].get("httpGet").is_some());
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for bytes in [
            &b""[..],
            b"{}",
            b"k8s\0\x0a",
            &[b'k', b'8', b's', 0, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(decode(bytes).unwrap_err().code, 400);
        }
    }
}
