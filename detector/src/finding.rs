//! What a rule finds, before causes and symptoms are told apart.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::verdict::{Class, Confidence, Culprit, Detail, Evidence, Reference, Remedy};

/// One victim of one cause.
///
/// Findings of one class and one culprit become one verdict; those that another finding explains
/// become part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The cause.
    pub class: Class,
    /// What suffers.
    pub subject: Reference,
    /// The container that suffers, where it is one of several: another container's trouble does
    /// not explain this one's.
    pub container: Option<String>,
    /// What to change.
    pub culprit: Culprit,
    /// When the trouble became visible.
    pub since: Timestamp,
    /// One sentence a person can act on.
    pub summary: String,
    /// How sure the rule is.
    pub confidence: Confidence,
    /// What more is known, by the keys that the class promises.
    pub detail: Detail,
    /// What it rests on, the decisive first.
    pub evidence: Vec<Evidence>,
    /// What to do about it, the best first.
    pub remedy: Vec<Remedy>,
    /// What else suffers from it.
    pub affected: Vec<Reference>,
    /// Objects whose own trouble would explain this one: what it depends on, or where it runs.
    pub explained_by: Vec<Reference>,
}

impl Finding {
    /// A finding that is certain and has yet to say what it rests on.
    pub fn new(
        class: Class,
        subject: Reference,
        culprit: Culprit,
        since: Timestamp,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            class,
            subject,
            container: None,
            culprit,
            since,
            summary: summary.into(),
            confidence: Confidence::Certain,
            detail: Detail::new(),
            evidence: Vec::new(),
            remedy: Vec::new(),
            affected: Vec::new(),
            explained_by: Vec::new(),
        }
    }

    /// Names the container that suffers.
    pub fn container(mut self, name: impl Into<String>) -> Self {
        self.container = Some(name.into());
        self
    }

    /// Says how sure it is.
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Adds a detail; null is left out.
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.detail.insert(key.to_owned(), value);
        }
        self
    }

    /// Adds a detail that is an object of the cluster.
    pub fn detail_object(self, key: &str, object: &Reference) -> Self {
        self.detail(key, json!(object))
    }

    /// Adds what it rests on.
    pub fn evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Adds a step that mends it, with the command that takes it.
    pub fn remedy(mut self, text: impl Into<String>, command: impl Into<String>) -> Self {
        self.remedy.push(Remedy {
            text: text.into(),
            command: Some(command.into()),
        });
        self
    }

    /// Adds what else suffers from it.
    pub fn affects(mut self, objects: impl IntoIterator<Item = Reference>) -> Self {
        self.affected.extend(objects);
        self
    }

    /// Adds objects whose own trouble would explain this one.
    pub fn explained_by(mut self, objects: impl IntoIterator<Item = Reference>) -> Self {
        self.explained_by.extend(objects);
        self
    }
}
