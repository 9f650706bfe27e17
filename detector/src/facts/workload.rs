use k8s_openapi::api::apps::v1::{self as apps, DeploymentStatus, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::kubernetes::selector::Labels;
use crate::object::{Described, Meta};

/// A Deployment: of its template only the labels are kept, for its pods tell the rest.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct Deployment {
    pub metadata: ObjectMeta,
    pub spec: DeploymentSpec,
    pub status: Option<DeploymentStatus>,
}

/// What rules read of a Deployment's specification.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct DeploymentSpec {
    pub replicas: Option<i32>,
    pub paused: Option<bool>,
    /// The labels of its template.
    pub pod_labels: Labels,
}

/// A ReplicaSet, without its template.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct ReplicaSet {
    pub metadata: ObjectMeta,
    pub spec: ReplicaSetSpec,
    pub status: Option<ReplicaSetStatus>,
}

/// What rules read of a ReplicaSet's specification.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct ReplicaSetSpec {
    pub replicas: Option<i32>,
}

impl Described for Deployment {
    fn meta(&self) -> Meta<'_> {
        Meta::of(&self.metadata)
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        let apps::Deployment {
            metadata,
            spec,
            status,
        } = serde_json::from_value(value)?;
        let template = spec.template.metadata.unwrap_or_default();
        Ok(Self {
            metadata: ObjectMeta {
                annotations: None,
                ..unlabelled(metadata)
            },
            spec: DeploymentSpec {
                replicas: spec.replicas,
                paused: spec.paused,
                pod_labels: template.labels.unwrap_or_default(),
            },
            status,
        })
    }
}

impl Described for ReplicaSet {
    fn meta(&self) -> Meta<'_> {
        Meta::of(&self.metadata)
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        let apps::ReplicaSet {
            metadata,
            spec,
            status,
        } = serde_json::from_value(value)?;
        Ok(Self {
            metadata: unlabelled(metadata),
            spec: ReplicaSetSpec {
                replicas: spec.replicas,
            },
            status,
        })
    }
}

/// Their own labels are only for those who look for them.
fn unlabelled(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        labels: None,
        ..metadata
    }
}
