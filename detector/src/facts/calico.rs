use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::object::{Described, Meta};

/// Calico's NetworkPolicy: `projectcalico.org/v3`, or `crd.projectcalico.org/v1`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CalicoPolicy {
    #[serde(default)]
    metadata: ObjectMeta,
    /// The specification, as Calico documents it.
    #[serde(default)]
    pub spec: Value,
}

/// Calico's GlobalNetworkPolicy, which selects endpoints of the whole cluster.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GlobalCalicoPolicy {
    #[serde(default)]
    metadata: ObjectMeta,
    /// The specification, as Calico documents it.
    #[serde(default)]
    pub spec: Value,
}

impl Described for CalicoPolicy {
    fn meta(&self) -> Meta<'_> {
        Meta::of(&self.metadata)
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(value)
    }
}

impl Described for GlobalCalicoPolicy {
    fn meta(&self) -> Meta<'_> {
        Meta::of(&self.metadata)
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(value)
    }
}
