//! What the harness asks of a cluster's API besides what it watches.

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, Request};
use kube::discovery::{ApiCapabilities, Discovery, Scope, verbs};
use serde_json::Value;

use super::stop::Stop;
use crate::journal::RUN_LABEL;

/// The groups in which a kind is looked for by its name alone, the first that has it.
const USUAL_GROUPS: &[&str] = &["", "apps", "batch", "networking.k8s.io", "policy"];

/// A cluster's API: a client, and which kinds it serves.
pub struct Cluster {
    /// The client.
    pub client: kube::Client,
    discovery: Discovery,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// Asks which kinds the cluster serves.
    pub async fn discover(client: kube::Client) -> Result<Self, kube::Error> {
        let discovery = Discovery::new(client.clone());
        let discovery = match discovery.run_aggregated().await {
            Ok(discovery) => discovery,
            // Servers before 1.26 know no aggregated discovery.
            Err(_) => Discovery::new(client.clone()).run().await?,
        };
        Ok(Self { client, discovery })
    }

    /// The resource of a kind, by its name alone.
    pub fn kind(&self, kind: &str) -> Result<(ApiResource, Scope), Stop> {
        let usual = USUAL_GROUPS
            .iter()
            .filter_map(|group| self.discovery.get(group));
        let found = usual
            .chain(self.discovery.groups_alphabetical())
            .find_map(|group| group.recommended_kind(kind));
        let unknown = || Stop::Invalid(format!("the cluster serves no kind {kind}"));
        found
            .map(|(resource, can)| (resource, can.scope))
            .ok_or_else(unknown)
    }

    /// The resource of an object's apiVersion and kind.
    pub fn resource(&self, object: &Value) -> Result<(ApiResource, Scope), Stop> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self
            .discovery
            .resolve_gvk(&GroupVersionKind::gvk(group, version, kind));
        let unknown = || Stop::Invalid(format!("the cluster serves no {kind} of {api_version}"));
        found
            .map(|(resource, can)| (resource, can.scope))
            .ok_or_else(unknown)
    }

    /// The API of a resource in a namespace, or, for a resource of the whole cluster, in it.
    pub fn api(&self, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    /// What is in a cluster besides the runs of crashbook.
    pub async fn inventory(&self) -> Result<Inventory, kube::Error> {
        let kinds = self
            .discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
            .filter(|(resource, can)| is_of_interest(resource, can));
        let listed = kinds.map(async |(resource, _)| {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            let objects = api.list_metadata(&ListParams::default()).await?;
            let strangers = objects.items.into_iter().filter(|object| {
                let labels = object.metadata.labels.as_ref();
                !labels.is_some_and(|labels| labels.contains_key(RUN_LABEL))
            });
            let names = strangers.filter_map(|object| object.metadata.name);
            Ok::<_, kube::Error>(
                names
                    .map(|name| format!("{}/{name}", resource.kind))
                    .collect::<Vec<_>>(),
            )
        });
        let listed = futures::future::try_join_all(listed).await?;
        Ok(Inventory(listed.into_iter().flatten().collect()))
    }
}

/// The objects of the whole cluster, as `Kind/name`, without those that bear a run's label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory(std::collections::BTreeSet<String>);

impl Inventory {
    /// What is there and was not there before.
    pub fn more_than(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// What was there before and is not there any more.
    pub fn less_than(&self, before: &Self) -> Vec<String> {
        before.0.difference(&self.0).cloned().collect()
    }
}

/// The kinds of the whole cluster whose objects come and go by the cluster's own doing.
const RESTLESS: &[&str] = &[
    "CertificateSigningRequest",
    "ComponentStatus",
    "FlowSchema",
    "IPAddress",
    "PriorityLevelConfiguration",
];

fn is_of_interest(resource: &ApiResource, can: &ApiCapabilities) -> bool {
    can.scope == Scope::Cluster
        && can.supports_operation(verbs::LIST)
        && !RESTLESS.contains(&resource.kind.as_str())
}

/// A kubelet's `stats/summary`.
pub async fn summary(client: &kube::Client, node: &str) -> Result<Value, kube::Error> {
    let request = Request::new("/api/v1/nodes")
        .get_subresource("proxy/stats/summary", node)
        .map_err(kube::Error::BuildRequest)?;
    client.request(request).await
}
