use std::collections::BTreeMap;

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

/// Calico's NetworkSet: addresses that selectors pick by its labels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CalicoNetworkSet {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: NetworkSetSpec,
}

/// Calico's GlobalNetworkSet, which lies in no namespace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GlobalCalicoNetworkSet {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: NetworkSetSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct NetworkSetSpec {
    #[serde(default)]
    nets: Option<Vec<String>>,
}

macro_rules! network_sets {
    ($($kind:ident)*) => {
        $(impl $kind {
            /// The labels.
            pub fn labels(&self) -> BTreeMap<String, String> {
                self.metadata.labels.clone().unwrap_or_default()
            }

            /// The addresses and ranges, as they are written.
            pub fn nets(&self) -> &[String] {
                self.spec.nets.as_deref().unwrap_or_default()
            }
        }

        impl Described for $kind {
            fn meta(&self) -> Meta<'_> {
                Meta::of(&self.metadata)
            }

            fn decode(value: Value) -> Result<Self, serde_json::Error> {
                serde_json::from_value(value)
            }
        })*
    };
}

network_sets! { CalicoNetworkSet GlobalCalicoNetworkSet }

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
