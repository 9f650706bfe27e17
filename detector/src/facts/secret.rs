use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::object::{Described, Meta};

/// What may be known of a Secret: the names of its keys, and never their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    metadata: ObjectMeta,
    /// The type, such as `kubernetes.io/dockerconfigjson`.
    pub type_: String,
    /// The keys.
    pub keys: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default, rename = "type")]
    type_: Option<String>,
    #[serde(default)]
    data: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(default, rename = "stringData")]
    string_data: Option<BTreeMap<String, IgnoredAny>>,
}

impl Described for Secret {
    fn meta(&self) -> Meta<'_> {
        Meta::of(&self.metadata)
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        let Shape {
            mut metadata,
            type_,
            data,
            string_data,
        } = serde_json::from_value(value)?;
        metadata.annotations = None; // They may repeat the values.
        Ok(Self {
            metadata,
            type_: type_.unwrap_or_default(),
            keys: [data, string_data]
                .into_iter()
                .flatten()
                .flatten()
                .map(|(key, _)| key)
                .collect(),
        })
    }
}
