use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::symbol::{Symbol, Symbols};
use crate::object::{Described, Meta};
use crate::verdict::{Evidence, Reference};

/// An event, in one form for the shapes that the core group and `events.k8s.io` serve.
///
/// Both shapes occur in every cluster, even from one component: with a count and first and last
/// times, or with an eventTime alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    namespace: Symbol,
    name: String,
    created: Option<Timestamp>,
    /// What it tells of.
    pub about: Arc<About>,
    /// A second object that has to do with it, such as the preemptor of a preempted pod.
    pub related: Option<Box<About>>,
    /// The reason, such as `FailedScheduling`.
    pub reason: Symbol,
    /// The message, called `note` in `events.k8s.io`.
    pub message: String,
    /// Whether its type is Warning; many that matter are Normal.
    pub warning: bool,
    /// How often it was seen, at least once.
    pub count: u32,
    /// When it was first seen.
    pub first: Option<Timestamp>,
    /// When it was last seen.
    pub last: Option<Timestamp>,
    /// The component that reports it, such as `kubelet`.
    pub component: Symbol,
    /// The node that the component runs on, where it says so: kubelets do.
    pub host: Symbol,
    /// The annotations, in which evictions name their numbers.
    pub annotations: BTreeMap<String, String>,
}

/// The object that an event tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its kind.
    pub kind: Symbol,
    /// Its namespace; empty for objects of the whole cluster.
    pub namespace: Symbol,
    /// Its name.
    pub name: String,
    /// Its unique id; empty where the event has none.
    pub uid: String,
    /// The part of it, such as `spec.containers{app}`.
    pub field_path: Symbol,
}

impl About {
    fn of(reference: ObjectReference) -> Self {
        Self {
            kind: reference.kind.unwrap_or_default().into(),
            namespace: reference.namespace.unwrap_or_default().into(),
            name: reference.name.unwrap_or_default(),
            uid: reference.uid.unwrap_or_default(),
            field_path: reference.field_path.unwrap_or_default().into(),
        }
    }

    /// Refers to the object.
    pub fn reference(&self) -> Reference {
        Reference {
            kind: self.kind.to_string(),
            namespace: (!self.namespace.is_empty()).then(|| self.namespace.to_string()),
            name: self.name.clone(),
        }
    }

    /// The name of the container that the event tells of, if it tells of one:
    /// `spec.containers{app}`, `spec.initContainers{migrate}`.
    pub fn container(&self) -> Option<&str> {
        let (path, name) = self.field_path.strip_suffix('}')?.split_once('{')?;
        matches!(
            path,
            "spec.containers" | "spec.initContainers" | "spec.ephemeralContainers"
        )
        .then_some(name)
    }
}

impl Event {
    /// Lets what is the same in many events be held once; the other is one that tells of the same
    /// object.
    pub(crate) fn share(&mut self, symbols: &mut Symbols, other: Option<&Event>) {
        let own = [
            &mut self.namespace,
            &mut self.reason,
            &mut self.component,
            &mut self.host,
        ];
        for symbol in own {
            symbols.share(symbol);
        }
        if let Some(other) = other.filter(|other| other.about == self.about) {
            self.about = other.about.clone();
        } else if let Some(about) = Arc::get_mut(&mut self.about) {
            for symbol in [&mut about.kind, &mut about.namespace, &mut about.field_path] {
                symbols.share(symbol);
            }
        }
    }

    /// The message, without what an event says before it that stands for several alike.
    ///
    /// Source: `client-go: tools/record/events_cache.go` (`EventAggregatorByReasonMessageFunc`).
    pub fn words(&self) -> &str {
        let words = self.message.trim();
        words
            .strip_prefix("(combined from similar events): ")
            .unwrap_or(words)
    }

    /// The event as evidence.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            object: self.about.reference(),
            field: format!("event {}", self.reason),
            quote: self.message.trim_end().to_owned(),
            at: self.last,
        }
    }
}

/// Both shapes at once: the core group's fields and those of `events.k8s.io`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    metadata: ObjectMeta,
    involved_object: Option<ObjectReference>,
    regarding: Option<ObjectReference>,
    related: Option<ObjectReference>,
    reason: Option<String>,
    message: Option<String>,
    note: Option<String>,
    #[serde(rename = "type")]
    type_: Option<String>,
    count: Option<i64>,
    deprecated_count: Option<i64>,
    series: Option<Series>,
    first_timestamp: Option<Timestamp>,
    deprecated_first_timestamp: Option<Timestamp>,
    last_timestamp: Option<Timestamp>,
    deprecated_last_timestamp: Option<Timestamp>,
    event_time: Option<Timestamp>,
    source: Option<Source>,
    deprecated_source: Option<Source>,
    reporting_component: Option<String>,
    reporting_controller: Option<String>,
    reporting_instance: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    count: Option<i64>,
    last_observed_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Source {
    component: Option<String>,
    host: Option<String>,
}

impl Described for Event {
    fn meta(&self) -> Meta<'_> {
        Meta {
            namespace: &self.namespace,
            name: &self.name,
            // Its name is its own, and is not given again.
            uid: "",
            created: self.created,
            deleting: None,
        }
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        let shape: Shape = serde_json::from_value(value)?;
        let created = shape.metadata.creation_timestamp.map(|time| time.0);
        let series = shape.series.as_ref();
        let first = (shape.first_timestamp)
            .or(shape.deprecated_first_timestamp)
            .or(shape.event_time)
            .or(created);
        let last = (series.and_then(|series| series.last_observed_time))
            .or(shape.last_timestamp)
            .or(shape.deprecated_last_timestamp)
            .or(shape.event_time)
            .or(first);
        let count = [
            shape.count,
            shape.deprecated_count,
            series.and_then(|series| series.count),
        ];
        let sources = || {
            [&shape.source, &shape.deprecated_source]
                .into_iter()
                .flatten()
        };
        let host = (sources().find_map(|source| source.host.clone()))
            .filter(|host| !host.is_empty())
            .or(shape.reporting_instance);
        let component = (sources().find_map(|source| source.component.clone()))
            .filter(|component| !component.is_empty())
            .or(shape.reporting_component)
            .or(shape.reporting_controller);
        Ok(Self {
            namespace: shape.metadata.namespace.unwrap_or_default().into(),
            name: shape.metadata.name.unwrap_or_default(),
            created,
            about: Arc::new(About::of(
                shape
                    .involved_object
                    .or(shape.regarding)
                    .unwrap_or_default(),
            )),
            related: shape.related.map(|related| Box::new(About::of(related))),
            reason: shape.reason.unwrap_or_default().into(),
            message: shape.message.or(shape.note).unwrap_or_default(),
            warning: shape.type_.as_deref() == Some("Warning"),
            count: count
                .into_iter()
                .flatten()
                .max()
                .and_then(|n| n.try_into().ok())
                .unwrap_or(1),
            first,
            last,
            component: component.unwrap_or_default().into(),
            host: host.unwrap_or_default().into(),
            annotations: shape.metadata.annotations.unwrap_or_default(),
        })
    }
}
