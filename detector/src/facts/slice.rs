use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::discovery::v1 as discovery;
use serde_json::Value;

use crate::object::{Described, Meta};

/// An EndpointSlice: what answers for a Service, by addresses. There are as many as Services, and
/// they list every pod behind one: of each endpoint only its addresses and readiness are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSlice {
    namespace: String,
    name: String,
    uid: String,
    created: Option<Timestamp>,
    deleting: Option<Timestamp>,
    /// The Service whose endpoints it lists.
    pub service: Option<Box<str>>,
    /// The addresses, and whether connections are sent there now.
    pub endpoints: Box<[(IpAddr, bool)]>,
    /// The ports' names, empty for the only one, and numbers.
    pub ports: Box<[(Box<str>, Option<i32>)]>,
}

/// The label that names a slice's Service.
const SERVICE: &str = "kubernetes.io/service-name";

impl Described for EndpointSlice {
    fn meta(&self) -> Meta<'_> {
        Meta {
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
            created: self.created,
            deleting: self.deleting,
        }
    }

    fn decode(value: Value) -> Result<Self, serde_json::Error> {
        let discovery::EndpointSlice {
            metadata,
            endpoints,
            ports,
            ..
        } = serde_json::from_value(value)?;
        let service = metadata
            .labels
            .and_then(|mut labels| labels.remove(SERVICE));
        let mut listed = Vec::new();
        for endpoint in endpoints.into_iter().flatten() {
            // Not known is to be taken for ready.
            let ready = endpoint
                .conditions
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true);
            let addresses = endpoint
                .addresses
                .iter()
                .filter_map(|text| text.parse().ok());
            listed.extend(addresses.map(|address| (address, ready)));
        }
        let ports = ports.into_iter().flatten();
        Ok(Self {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            created: metadata.creation_timestamp.map(|time| time.0),
            deleting: metadata.deletion_timestamp.map(|time| time.0),
            service: service.map(Box::from),
            endpoints: listed.into(),
            ports: ports
                .map(|port| (port.name.unwrap_or_default().into(), port.port))
                .collect(),
        })
    }
}
