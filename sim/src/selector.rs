//! Label and field selectors.

use serde_json::Value;

use crate::error::{Refusal, Result};
use crate::value::{at, entries, list, text};

/// One requirement on labels.
#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Lacks(String),
    Above(String, i64),
    Below(String, i64),
}

/// What labels must be like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Labels(Vec<Requirement>);

impl Labels {
    /// Reads the form that queries have: `app=web,tier in (a, b),!old`.
    pub(crate) fn parse(selector: &str) -> Result<Self> {
        let mut requirements = Vec::new();
        for part in split(selector) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let requirement = if let Some((key, values)) = set_of(part, " notin ") {
                Requirement::NotIn(key, values)
            } else if let Some((key, values)) = set_of(part, " in ") {
                Requirement::In(key, values)
            } else if let Some((key, value)) = part.split_once("!=") {
                Requirement::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()])
            } else if let Some((key, value)) = part.split_once("==").or(part.split_once('=')) {
                Requirement::In(key.trim().to_owned(), vec![value.trim().to_owned()])
            } else if let Some(key) = part.strip_prefix('!') {
                Requirement::Lacks(key.trim().to_owned())
            } else {
                Requirement::Exists(part.to_owned())
            };
            let key = requirement.key();
            if key.is_empty() || key.contains([' ', '(', ')', ',']) {
                return Err(Refusal::bad_request(format!(
                    "unable to parse requirement: <nil>: Invalid value: {key:?}: name part must \
                     consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                     with an alphanumeric character"
                )));
            }
            requirements.push(requirement);
        }
        Ok(Self(requirements))
    }

    /// Reads the form that objects have: `matchLabels` and `matchExpressions`. A missing selector
    /// is none: it matches nothing, while an empty one matches all.
    pub(crate) fn of(selector: &Value) -> Option<Self> {
        selector.as_object()?;
        let mut labels = Self::of_map(at(selector, "/matchLabels"));
        for expression in list(selector, "/matchExpressions") {
            labels.0.push(expression_of(expression)?);
        }
        Some(labels)
    }

    /// Reads the form of Services: a map.
    pub(crate) fn of_map(map: &Value) -> Self {
        Self(
            entries(map, "")
                .map(|(key, value)| {
                    let value = value.as_str().unwrap_or("").to_owned();
                    Requirement::In(key.clone(), vec![value])
                })
                .collect(),
        )
    }

    /// Whether it asks for nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels are as it asks. `labels` is the map itself.
    pub(crate) fn matches(&self, labels: &Value) -> bool {
        let get = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                get(key).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            Requirement::NotIn(key, values) => {
                !get(key).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::Lacks(key) => get(key).is_none(),
            Requirement::Above(key, bound) => get(key)
                .and_then(|value| value.parse::<i64>().ok())
                .is_some_and(|value| value > *bound),
            Requirement::Below(key, bound) => get(key)
                .and_then(|value| value.parse::<i64>().ok())
                .is_some_and(|value| value < *bound),
        })
    }

    /// Whether an object's labels are as it asks.
    pub(crate) fn select(&self, object: &Value) -> bool {
        self.matches(at(object, "/metadata/labels"))
    }
}

impl Requirement {
    fn key(&self) -> &str {
        match self {
            Self::In(key, _)
            | Self::NotIn(key, _)
            | Self::Exists(key)
            | Self::Lacks(key)
            | Self::Above(key, _)
            | Self::Below(key, _) => key,
        }
    }
}

fn expression_of(expression: &Value) -> Option<Requirement> {
    let key = text(expression, "/key").to_owned();
    let values: Vec<String> = list(expression, "/values")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Some(match text(expression, "/operator") {
        "In" => Requirement::In(key, values),
        "NotIn" => Requirement::NotIn(key, values),
        "Exists" => Requirement::Exists(key),
        "DoesNotExist" => Requirement::Lacks(key),
        "Gt" => Requirement::Above(key, values.first()?.parse().ok()?),
        "Lt" => Requirement::Below(key, values.first()?.parse().ok()?),
        _ => return None,
    })
}

/// Splits at commas that are not between parentheses.
fn split(selector: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (index, letter) in selector.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&selector[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&selector[start..]);
    parts
}

fn set_of(part: &str, operator: &str) -> Option<(String, Vec<String>)> {
    let (key, values) = part.split_once(operator)?;
    let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
    let values = values.split(',').map(|value| value.trim().to_owned());
    Some((key.trim().to_owned(), values.collect()))
}

/// What fields must be like: `status.phase=Running,spec.nodeName!=a`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(Vec<(String, String, bool)>);

impl Fields {
    /// Reads the form that queries have.
    pub(crate) fn parse(selector: &str) -> Result<Self> {
        let mut fields = Vec::new();
        for part in selector.split(',').filter(|part| !part.trim().is_empty()) {
            let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) = part.split_once("==").or(part.split_once('=')) {
                (field, value, true)
            } else {
                return Err(Refusal::bad_request(format!(
                    "invalid selector: '{part}'; can't understand '{part}'"
                )));
            };
            fields.push((field.trim().to_owned(), value.trim().to_owned(), equal));
        }
        Ok(Self(fields))
    }

    /// Whether an object's fields are as it asks.
    pub(crate) fn select(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, wanted, equal)| {
            let path = match field.as_str() {
                // The field selector of events says `source`, whatever their shape.
                "source" => "/source/component".to_owned(),
                field => format!("/{}", field.replace('.', "/")),
            };
            let found = match at(object, &path) {
                Value::String(text) => text.clone(),
                Value::Null if field == "spec.unschedulable" => "false".to_owned(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            (found == *wanted) == *equal
        })
    }

    /// The value that a field must have, if it must have one.
    pub(crate) fn exact(&self, field: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _, equal)| name == field && *equal)
            .map(|(_, value, _)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(selector: &str, labels: Value, expected: bool) {
        let parsed = Labels::parse(selector).unwrap();
        assert_eq!(parsed.matches(&labels), expected, "{selector} on {labels}");
    }

    #[test]
    fn label_selectors() {
        check("", json!({}), true);
        check("app=web", json!({ "app": "web" }), true);
        check("app==web", json!({ "app": "db" }), false);
        check("app!=web", json!({}), true);
        check(
            "app in (web, db),tier",
            json!({ "app": "db", "tier": "x" }),
            true,
        );
        check("app notin (web,db)", json!({ "app": "web" }), false);
        check("!app", json!({ "app": "web" }), false);
        assert!(Labels::parse("a b c").is_err());
    }

    #[test]
    fn a_missing_selector_is_not_an_empty_one() {
        assert_eq!(Labels::of(&Value::Null), None);
        assert!(Labels::of(&json!({})).unwrap().matches(&json!({})));
    }

    #[test]
    fn field_selectors() {
        let pod = json!({ "spec": { "nodeName": "a" }, "status": { "phase": "Running" } });
        assert!(
            Fields::parse("spec.nodeName=a,status.phase!=Failed")
                .unwrap()
                .select(&pod)
        );
        assert!(!Fields::parse("spec.nodeName=b").unwrap().select(&pod));
        assert!(Fields::parse("spec.nodeName").is_err());
    }
}
