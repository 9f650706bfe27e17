//! Refusals, as the API server words them.

use serde_json::{Value, json};

use crate::kinds::Kind;

/// A refusal: what `Status` says of it.
///
/// Source: `staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) code: u16,
    /// `NotFound`, `AlreadyExists` ...
    pub(crate) reason: &'static str,
    /// What went wrong, in words.
    pub(crate) message: String,
    /// What it went wrong with.
    pub(crate) details: Value,
}

/// What an operation comes to.
pub(crate) type Result<T> = std::result::Result<T, Refusal>;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    /// `FieldValueRequired`, `FieldValueInvalid` ...
    pub(crate) reason: &'static str,
    /// `spec.containers[0].name`.
    pub(crate) field: String,
    /// What is wrong, in words.
    pub(crate) message: String,
}

/// Of a field whose value Kubernetes finds to be none while it decodes the object, before it checks
/// anything.
const UNDECODABLE: &str = "FieldValueUndecodable";

impl Wrong {
    /// The field's value is none of its type.
    pub(crate) fn undecodable(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: UNDECODABLE,
            field: field.into(),
            message: why.to_owned(),
        }
    }

    /// The field must be there.
    pub(crate) fn required(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message: match why {
                "" => "Required value".to_owned(),
                why => format!("Required value: {why}"),
            },
        }
    }

    /// The field's value cannot be.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }

    /// The field's value is not one of those that are known.
    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                known.join(", ")
            ),
        }
    }

    /// The value is there twice.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message: format!("Duplicate value: {value}"),
        }
    }

    /// The value names something that is not there.
    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueNotFound",
            field: field.into(),
            message: format!("Not found: {value}"),
        }
    }

    /// The field may not be set so.
    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {why}"),
        }
    }
}

impl Refusal {
    fn about(
        code: u16,
        reason: &'static str,
        kind: Kind,
        name: &str,
        message: impl Into<String>,
    ) -> Self {
        let facts = kind.facts();
        let mut details = json!({ "name": name, "group": facts.group, "kind": facts.plural });
        if facts.group.is_empty()
            && let Some(details) = details.as_object_mut()
        {
            details.remove("group");
        }
        Self {
            code,
            reason,
            message: message.into(),
            details,
        }
    }

    /// There is no such object.
    pub(crate) fn not_found(kind: Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.resource());
        Self::about(404, "NotFound", kind, name, message)
    }

    /// There is such an object already.
    pub(crate) fn already_exists(kind: Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::about(409, "AlreadyExists", kind, name, message)
    }

    /// It was changed in between, or stands against what is asked.
    pub(crate) fn conflict(kind: Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            kind.resource()
        );
        Self::about(409, "Conflict", kind, name, message)
    }

    /// A policy of the cluster does not allow it.
    pub(crate) fn forbidden(kind: Kind, name: &str, why: &str) -> Self {
        let message = match name {
            "" => format!("{} is forbidden: {why}", kind.resource()),
            name => format!("{} {name:?} is forbidden: {why}", kind.resource()),
        };
        Self::about(403, "Forbidden", kind, name, message)
    }

    /// The body is no object of its kind.
    pub(crate) fn undecodable(kind: Kind, why: &str) -> Self {
        let facts = kind.facts();
        Self::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            facts.name, facts.version, facts.name
        ))
    }

    /// Fields are wrong.
    pub(crate) fn invalid(kind: Kind, name: &str, wrong: &[Wrong]) -> Self {
        if let Some(wrong) = wrong.iter().find(|wrong| wrong.reason == UNDECODABLE) {
            return Self::undecodable(kind, &wrong.message);
        }
        let each: Vec<String> = wrong
            .iter()
            .map(|wrong| format!("{}: {}", wrong.field, wrong.message))
            .collect();
        let text = match each.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let facts = kind.facts();
        let mut details = json!({
            "name": name,
            "kind": facts.name,
            "causes": wrong.iter().map(|wrong| json!({
                "reason": wrong.reason,
                "message": wrong.message,
                "field": wrong.field,
            })).collect::<Vec<_>>(),
        });
        if !facts.group.is_empty() {
            crate::value::set(&mut details, "/group", facts.group);
        }
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("{} {name:?} is invalid: {text}", kind.qualified()),
            details,
        }
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// Nothing is served at the path.
    pub(crate) fn no_such_path() -> Self {
        Self::plain(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    /// The revision that was asked for is no longer known.
    pub(crate) fn expired(asked: u64, oldest: u64) -> Self {
        Self::plain(
            410,
            "Expired",
            format!("too old resource version: {asked} ({oldest})"),
        )
    }

    /// The server failed at what it should do.
    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        Self::plain(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// A refusal that is about no object.
    pub(crate) fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    /// The object that is answered.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            crate::value::set(&mut status, "/details", self.details.clone());
        }
        status
    }
}
