//! How a scenario names objects, pods and pieces of text.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether `text` is `pattern`, in which each `*` stands for any run of characters.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(found) = left.find(part) else {
            return false;
        };
        left = &left[found + part.len()..];
    }
    left.ends_with(last)
}

/// The name of an object; `*` stands for any run of characters, for names that are generated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Name(pub String);

impl Name {
    /// Whether it means the object of this name.
    pub fn matches(&self, name: &str) -> bool {
        is_like(&self.0, name)
    }

    /// Whether it may mean several objects.
    pub fn is_pattern(&self) -> bool {
        self.0.contains('*')
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A piece that a text must contain; `*` stands for any run of characters in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Text(pub String);

impl Text {
    /// Whether the text contains the piece.
    pub fn is_in(&self, text: &str) -> bool {
        is_like(&format!("*{}*", self.0), text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An object of the cluster, written `Kind/name`, or `Kind/namespace/name` outside the run's
/// namespace. Objects of the whole cluster are `Kind/name`. The name may hold `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^[A-Z][A-Za-z]+(/[^/]+){1,2}$"))]
pub struct ObjectName {
    /// The kind, as Kubernetes spells it: `Deployment`.
    pub kind: String,
    /// The namespace, where it is not the run's.
    pub namespace: Option<String>,
    /// The name.
    pub name: Name,
}

/// The kinds of objects that belong to no namespace, of those that scenarios name.
const CLUSTER_SCOPED: &[&str] = &[
    "APIService",
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// Whether objects of this kind belong to no namespace.
pub fn is_cluster_scoped(kind: &str) -> bool {
    CLUSTER_SCOPED.contains(&kind)
}

impl ObjectName {
    /// The namespace of the object in a run that has this namespace of its own; none for objects
    /// of the whole cluster.
    pub fn namespace_in<'a>(&'a self, run: &'a str) -> Option<&'a str> {
        match &self.namespace {
            Some(namespace) => Some(namespace),
            None if is_cluster_scoped(&self.kind) => None,
            None => Some(run),
        }
    }

    /// Whether it means this object, in a run that has this namespace of its own.
    pub fn matches(&self, kind: &str, namespace: Option<&str>, name: &str, run: &str) -> bool {
        self.kind == kind && self.namespace_in(run) == namespace && self.name.matches(name)
    }
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, namespace, name) = match parts[..] {
            [kind, name] => (kind, None, name),
            [kind, namespace, name] => (kind, Some(namespace), name),
            _ => ("", None, ""),
        };
        let is_kind = kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_kind || name.is_empty() || namespace.is_some_and(str::is_empty) {
            return Err(format!(
                "`{text}` names no object: expected `Kind/name`, such as `Deployment/web`, \
                 or `Kind/namespace/name`"
            ));
        }
        Ok(Self {
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: Name(name.to_owned()),
        })
    }
}

impl TryFrom<String> for ObjectName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

impl From<ObjectName> for String {
    fn from(object: ObjectName) -> Self {
        object.to_string()
    }
}

/// Pods of the run's namespace, by their labels, as kubectl's `-l` takes them: `app=web,tier=db`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$"))]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    /// Whether an object with these labels is meant.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl TryFrom<String> for Labels {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.split(',')
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    Ok((key.trim().to_owned(), value.trim().to_owned()))
                }
                _ => Err(format!(
                    "`{text}` selects no pods: expected labels, such as `app=web` or \
                     `app=web,tier=db`"
                )),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

impl From<Labels> for String {
    fn from(labels: Labels) -> Self {
        labels.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let name = Name("high-mem-*-x".into());
        assert!(name.matches("high-mem-5c-x"));
        assert!(name.matches("high-mem--x"));
        assert!(!name.matches("high-mem-x"));
        assert!(!Name("web".into()).matches("web-1"));
        assert!(Name("*".into()).matches(""));
        assert!(!Name("a*a".into()).matches("a"));
    }

    #[test]
    fn a_text_contains_its_piece() {
        let text = Text("configmap \"*\" not found".into());
        assert!(text.is_in("Error: configmap \"key-cm\" not found, sorry"));
        assert!(!text.is_in("secret \"key-cm\" not found"));
    }

    #[test]
    fn an_object_is_named_by_kind_and_name() {
        let name = |text: &str| text.parse::<ObjectName>();
        assert_eq!(
            name("Pod/web-*").map(|o| o.to_string()),
            Ok("Pod/web-*".into())
        );
        let dns = name("Deployment/kube-system/coredns").expect("a name");
        assert!(dns.matches("Deployment", Some("kube-system"), "coredns", "run-1"));
        let node = name("Node/worker").expect("a name");
        assert!(node.matches("Node", None, "worker", "run-1"));
        for wrong in ["web", "pod/web", "Pod/", "Pod/a/b/c", ""] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_select_pods() {
        let labels = Labels::try_from("app=web,tier=db".to_owned()).expect("labels");
        let of = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        assert!(labels.matches(&of(&[("app", "web"), ("tier", "db"), ("x", "y")])));
        assert!(!labels.matches(&of(&[("app", "web")])));
        assert!(Labels::try_from("web".to_owned()).is_err());
    }
}
