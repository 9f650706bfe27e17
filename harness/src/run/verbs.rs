//! What a scenario does to a cluster. How to undo it is on disk before it is done.
//!
//! What lies in the run's namespace goes with it. Anything else is created and never applied over
//! what exists, bears the run's label, and is undone by its uid; what is changed or deleted outside
//! is written down as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams,
    PostParams, PropagationPolicy,
};
use kube::discovery::Scope;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::sight::{Sight, Version, What, labels};
use super::stop::Stop;
use crate::backend::Backend;
use crate::clock;
use crate::journal::{Entry, Journal, RUN_LABEL, Reference, Undo};
use crate::progress::Progress;
use crate::scenario::{
    NodeFacts, ObjectName, PatchType, Pool, Rendered, ServiceFault, Subresource, Taint, Verb,
};

/// The name under which the harness applies.
const MANAGER: &str = "crashbook";

/// Who acts, and on what.
pub struct Hand<'a> {
    /// The scenario.
    pub scenario: &'a Rendered,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Where it comes from.
    pub backend: &'a dyn Backend,
    /// The run's journal.
    pub journal: &'a Journal,
    /// The run's namespace, which is the run's name too.
    pub namespace: &'a str,
    /// The nodes of each pool.
    pub pools: &'a BTreeMap<Pool, NodeFacts>,
    /// Where a refused eviction is told.
    pub sight: &'a Sight,
}

impl Hand<'_> {
    /// Does one step. Gives the versions that came of it: what is seen of these objects from now on
    /// is seen after the step.
    pub async fn act(&self, verb: &Verb) -> Result<Vec<Version>, Stop> {
        match verb {
            Verb::Apply(file) => self.write(file, false).await,
            Verb::Create(file) => self.write(file, true).await,
            Verb::Delete(name) => self.delete(name).await,
            Verb::Patch(patch) => {
                let body = &patch.body;
                self.patch(&patch.object, patch.type_, patch.subresource, body)
                    .await
            }
            Verb::Scale(scale) => {
                let body = json!({ "spec": { "replicas": scale.replicas } });
                let part = Some(Subresource::Scale);
                self.patch(&scale.object, PatchType::Merge, part, &body)
                    .await
            }
            Verb::Restart(name) => {
                // As `kubectl rollout restart` does.
                let at = json!({ "kubectl.kubernetes.io/restartedAt": clock::now() });
                let metadata = json!({ "annotations": at });
                let body = json!({ "spec": { "template": { "metadata": metadata } } });
                self.patch(name, PatchType::Merge, None, &body).await
            }
            Verb::Cordon(pool) => self.cordon(pool, true).await,
            Verb::Uncordon(pool) => self.cordon(pool, false).await,
            Verb::Taint(taint) => self.taint(taint, true).await,
            Verb::Untaint(taint) => self.taint(taint, false).await,
            Verb::Drain(pool) => {
                let mut versions = self.cordon(pool, true).await?;
                let nodes = self.nodes(pool)?;
                versions.extend(self.evict(|pod| is_drained(pod, nodes)).await?);
                Ok(versions)
            }
            Verb::Evict(pods) => self.evict(|pod| pods.matches(&labels(pod))).await,
            Verb::Node(fault) => {
                self.backend.node(self.journal, fault).await?;
                Ok(Vec::new())
            }
            Verb::Service(fault) => {
                self.service(fault).await?;
                Ok(Vec::new())
            }
            Verb::Wait(_) => Ok(Vec::new()),
        }
    }

    async fn service(&self, fault: &ServiceFault) -> Result<(), Stop> {
        match fault {
            ServiceFault::Start(name) => {
                let services = &self.scenario.spec.services;
                let unknown = || Stop::Invalid(format!("there is no service {name}"));
                let service = services.get(name).ok_or_else(unknown)?;
                let silent = Progress::silent();
                self.backend
                    .start_service(self.journal, name, service, &silent)
                    .await?;
            }
            ServiceFault::Stop(name) => self.backend.stop_service(self.journal, name).await?,
        }
        Ok(())
    }

    /// Applies or creates these objects, in order.
    pub async fn write_all<'a>(
        &self,
        objects: impl Iterator<Item = &'a Value>,
        create: bool,
    ) -> Result<Vec<Version>, Stop> {
        let mut versions = Vec::new();
        for object in objects {
            versions.push(self.write_one(object, create).await?);
        }
        Ok(versions)
    }

    async fn write(&self, file: &str, create: bool) -> Result<Vec<Version>, Stop> {
        self.write_all(self.scenario.manifests(file).iter(), create)
            .await
    }

    async fn write_one(&self, object: &Value, create: bool) -> Result<Version, Stop> {
        let (resource, scope) = self.cluster.resource(object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = match scope {
            Scope::Cluster => None,
            Scope::Namespaced => Some(
                object["metadata"]["namespace"]
                    .as_str()
                    .unwrap_or(self.namespace),
            ),
        };
        let api = self.cluster.api(&resource, namespace);
        let mut object = object.clone();
        let verb = if create { "create" } else { "apply" };
        let what = format!("{verb} {}/{name}", resource.kind);
        let is_inside = namespace == Some(self.namespace);
        if !is_inside {
            object["metadata"]["labels"][RUN_LABEL] = json!(self.journal.run());
            let there = api.get_opt(name).await.map_err(Stop::api(&what))?;
            if let Some(there) = there {
                let labels = there.metadata.labels.unwrap_or_default();
                if create || labels.get(RUN_LABEL) != Some(&self.journal.run()) {
                    return Err(Stop::Error(format!(
                        "{what}: there is one already that this run did not make: delete or \
                         rename it"
                    )));
                }
            } else {
                return self
                    .create_outside(&api, &resource, namespace, name, &object)
                    .await;
            }
        }
        let version = if create {
            let object: DynamicObject = serde_json::from_value(object)
                .map_err(|error| Stop::Invalid(format!("{what}: {error}")))?;
            api.create(&PostParams::default(), &object).await
        } else {
            let params = PatchParams::apply(MANAGER).force();
            api.patch(name, &params, &Patch::Apply(&object)).await
        };
        Ok(version_of(&resource, &version.map_err(Stop::api(&what))?))
    }

    async fn create_outside(
        &self,
        api: &Api<DynamicObject>,
        resource: &ApiResource,
        namespace: Option<&str>,
        name: &str,
        object: &Value,
    ) -> Result<Version, Stop> {
        let what = format!("create {}/{name}", resource.kind);
        let mut reference = Reference {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            uid: None,
        };
        let object: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| Stop::Invalid(format!("{what}: {error}")))?;
        let undo = |object: &Reference| Undo::DeleteObject {
            object: object.clone(),
        };
        let entry = self.journal.record(undo(&reference))?;
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let made = api
            .create(&params, &object)
            .await
            .map_err(Stop::api(&what))?;
        reference.uid.clone_from(&made.metadata.uid);
        entry.amend(undo(&reference))?;
        Ok(version_of(resource, &made))
    }

    /// The resource and namespace of a named object, and the names that it means now.
    async fn find(
        &self,
        name: &ObjectName,
    ) -> Result<(ApiResource, Api<DynamicObject>, Vec<String>), Stop> {
        let (resource, _) = self.cluster.kind(&name.kind)?;
        let api = self
            .cluster
            .api(&resource, name.namespace_in(self.namespace));
        let names = if name.name.is_pattern() {
            let listed = api.list_metadata(&ListParams::default()).await;
            let listed = listed.map_err(Stop::api(format!("list {}", name.kind)))?;
            let names = listed
                .items
                .into_iter()
                .filter_map(|object| object.metadata.name);
            names.filter(|found| name.name.matches(found)).collect()
        } else {
            vec![name.name.0.clone()]
        };
        if names.is_empty() {
            return Err(Stop::Invalid(format!("there is no {name}")));
        }
        Ok((resource, api, names))
    }

    /// Writes down what an object outside the run's namespace is like, unless the run made it.
    async fn keep_outside(
        &self,
        name: &ObjectName,
        resource: &ApiResource,
        api: &Api<DynamicObject>,
        found: &str,
    ) -> Result<(), Stop> {
        if name.namespace_in(self.namespace) == Some(self.namespace) {
            return Ok(());
        }
        let mut object = api
            .get(found)
            .await
            .map_err(Stop::api(format!("read {name}")))?;
        let labels = object.metadata.labels.as_ref();
        if labels.is_some_and(|labels| labels.get(RUN_LABEL) == Some(&self.journal.run())) {
            return Ok(());
        }
        object.types = Some(kube::core::TypeMeta {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
        });
        let object = serde_json::to_value(object)
            .map_err(|error| Stop::Error(format!("read {name}: {error}")))?;
        keep(self.journal.record(Undo::RestoreObject { object })?);
        Ok(())
    }

    async fn delete(&self, name: &ObjectName) -> Result<Vec<Version>, Stop> {
        let (resource, api, names) = self.find(name).await?;
        for found in names {
            self.keep_outside(name, &resource, &api, &found).await?;
            let params = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Background),
                ..DeleteParams::default()
            };
            let what = format!("delete {}/{found}", name.kind);
            match api.delete(&found, &params).await {
                // It went by itself since it was found.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                deleted => drop(deleted.map_err(Stop::api(what))?),
            }
        }
        Ok(Vec::new())
    }

    async fn patch(
        &self,
        name: &ObjectName,
        type_: PatchType,
        part: Option<Subresource>,
        body: &Value,
    ) -> Result<Vec<Version>, Stop> {
        let (resource, api, names) = self.find(name).await?;
        let mut versions = Vec::new();
        for found in names {
            self.keep_outside(name, &resource, &api, &found).await?;
            let what = format!("patch {}/{found}", name.kind);
            let patch = match type_ {
                PatchType::Strategic => Patch::Strategic(body.clone()),
                PatchType::Merge => Patch::Merge(body.clone()),
                PatchType::Json => serde_json::from_value(body.clone())
                    .map(Patch::Json)
                    .map_err(|error| Stop::Invalid(format!("{what}: {error}")))?,
            };
            let params = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let done = match part {
                None => api.patch(&found, &params, &patch).await.map(Some),
                Some(Subresource::Status) => {
                    api.patch_status(&found, &params, &patch).await.map(Some)
                }
                // The answer is a Scale, whose metadata are those of the object.
                Some(Subresource::Scale) => {
                    let scaled = api.patch_scale(&found, &params, &patch).await;
                    scaled.map(|scale| {
                        versions.push(Version {
                            kind: resource.kind.clone(),
                            namespace: scale.metadata.namespace,
                            name: found.clone(),
                            uid: scale.metadata.uid.unwrap_or_default(),
                            resource_version: scale.metadata.resource_version.unwrap_or_default(),
                        });
                        None
                    })
                }
            };
            let done = done.map_err(Stop::api(what))?;
            versions.extend(done.map(|object| version_of(&resource, &object)));
        }
        Ok(versions)
    }

    fn nodes(&self, pool: &str) -> Result<&[String], Stop> {
        let nodes = self
            .pools
            .get(pool)
            .map(|pool| pool.names.as_slice())
            .unwrap_or_default();
        if nodes.is_empty() {
            return Err(Stop::Skip(format!(
                "the cluster has no node of pool {pool}"
            )));
        }
        Ok(nodes)
    }

    async fn cordon(&self, pool: &str, unschedulable: bool) -> Result<Vec<Version>, Stop> {
        let mut versions = Vec::new();
        for node in self.nodes(pool)? {
            if unschedulable {
                keep(self.journal.record(Undo::Uncordon { node: node.clone() })?);
            }
            let api: Api<Node> = Api::all(self.cluster.client.clone());
            let patch = json!({ "spec": { "unschedulable": unschedulable.then_some(true) } });
            let done = api
                .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            let done = done.map_err(Stop::api(format!("cordon or uncordon node {node}")))?;
            versions.push(node_version(&done));
        }
        Ok(versions)
    }

    async fn taint(&self, wanted: &Taint, add: bool) -> Result<Vec<Version>, Stop> {
        let effect = json!(wanted.effect).as_str().unwrap_or_default().to_owned();
        let mut versions = Vec::new();
        for node in self.nodes(&wanted.pool)? {
            if add {
                let undo = Undo::RemoveTaint {
                    node: node.clone(),
                    key: wanted.key.clone(),
                    effect: effect.clone(),
                };
                keep(self.journal.record(undo)?);
            }
            let api: Api<Node> = Api::all(self.cluster.client.clone());
            let what = format!("taint node {node}");
            let done = loop {
                let mut found = api.get(node).await.map_err(Stop::api(&what))?;
                let taints = found
                    .spec
                    .get_or_insert_default()
                    .taints
                    .get_or_insert_default();
                taints.retain(|taint| taint.key != wanted.key || taint.effect != effect);
                if add {
                    taints.push(k8s_openapi::api::core::v1::Taint {
                        key: wanted.key.clone(),
                        value: Some(wanted.value.clone()).filter(|value| !value.is_empty()),
                        effect: effect.clone(),
                        time_added: None,
                    });
                }
                match api.replace(node, &PostParams::default(), &found).await {
                    // The kubelet or a controller wrote in between: look again.
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    done => break done.map_err(Stop::api(&what))?,
                }
            };
            versions.push(node_version(&done));
        }
        Ok(versions)
    }

    async fn evict(&self, is_meant: impl Fn(&Value) -> bool) -> Result<Vec<Version>, Stop> {
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), self.namespace);
        let pods = api
            .list(&ListParams::default())
            .await
            .map_err(Stop::api("list pods"))?;
        for pod in pods {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let value = serde_json::to_value(&pod)
                .map_err(|error| Stop::Error(format!("read Pod/{name}: {error}")))?;
            if !is_meant(&value) {
                continue;
            }
            match api.evict(&name, &EvictParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 429 => {
                    self.sight.saw("Pod", What::Refused(Arc::new(value)));
                }
                Err(error) => return Err(Stop::api(format!("evict Pod/{name}"))(error)),
            }
        }
        Ok(Vec::new())
    }
}

/// What a step recorded stays recorded: the sweep undoes it.
fn keep(_: Entry) {}

fn version_of(resource: &ApiResource, object: &DynamicObject) -> Version {
    let meta = object.metadata.clone();
    Version {
        kind: resource.kind.clone(),
        namespace: meta.namespace,
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        resource_version: meta.resource_version.unwrap_or_default(),
    }
}

fn node_version(node: &Node) -> Version {
    let meta = node.metadata.clone();
    Version {
        kind: "Node".to_owned(),
        namespace: None,
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        resource_version: meta.resource_version.unwrap_or_default(),
    }
}

/// Whether a drain evicts the pod: not those that a DaemonSet would only put back, nor mirror pods,
/// nor what has ended.
fn is_drained(pod: &Value, nodes: &[String]) -> bool {
    let node = pod["spec"]["nodeName"].as_str();
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let is_daemon = owners
        .into_iter()
        .flatten()
        .any(|owner| owner["kind"] == "DaemonSet");
    let is_mirror = pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string();
    let is_over = matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    nodes.iter().any(|name| Some(name.as_str()) == node) && !is_daemon && !is_mirror && !is_over
}
