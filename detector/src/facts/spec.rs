use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    self as core, Affinity, ConfigMapVolumeSource, ContainerPort, EnvFromSource, EnvVarSource,
    EphemeralVolumeSource, HostAlias, LocalObjectReference, PersistentVolumeClaimVolumeSource,
    PodDNSConfig, PodSchedulingGate, PodSecurityContext, Probe, ProjectedVolumeSource,
    ResourceRequirements, SecretVolumeSource, SecurityContext, Toleration,
    TopologySpreadConstraint, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What rules read of a pod's specification. There is one for each controller, and a hundred fields
/// that hardly any has: of what is rare only a pointer is held.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct PodSpec {
    pub init_containers: Option<Vec<ContainerSpec>>,
    pub containers: Vec<ContainerSpec>,
    pub volumes: Option<Vec<Volume>>,
    pub affinity: Option<Box<Affinity>>,
    pub dns_config: Option<Box<PodDNSConfig>>,
    pub dns_policy: Option<String>,
    pub enable_service_links: Option<bool>,
    pub host_aliases: Option<Vec<HostAlias>>,
    pub host_network: Option<bool>,
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
    pub node_selector: Option<BTreeMap<String, String>>,
    pub overhead: Option<BTreeMap<String, Quantity>>,
    pub priority: Option<i32>,
    pub priority_class_name: Option<String>,
    pub resources: Option<Box<ResourceRequirements>>,
    pub restart_policy: Option<String>,
    pub runtime_class_name: Option<String>,
    pub scheduler_name: Option<String>,
    pub scheduling_gates: Option<Vec<PodSchedulingGate>>,
    pub security_context: Option<Box<PodSecurityContext>>,
    pub service_account_name: Option<String>,
    pub subdomain: Option<String>,
    pub tolerations: Option<Vec<Toleration>>,
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
}

/// What rules read of a container's specification.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct ContainerSpec {
    pub name: String,
    pub image: Option<String>,
    pub command: Option<Vec<String>>,
    pub args: Option<Vec<String>>,
    pub env: Option<Vec<EnvVar>>,
    pub env_from: Option<Vec<EnvFromSource>>,
    pub ports: Option<Vec<ContainerPort>>,
    pub volume_mounts: Option<Vec<VolumeMount>>,
    pub resources: Option<Box<ResourceRequirements>>,
    pub startup_probe: Option<Box<Probe>>,
    pub liveness_probe: Option<Box<Probe>>,
    pub readiness_probe: Option<Box<Probe>>,
    pub security_context: Option<Box<SecurityContext>>,
    pub restart_policy: Option<String>,
}

/// A variable of a container's environment.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct EnvVar {
    pub name: String,
    pub value: Option<String>,
    pub value_from: Option<Box<EnvVarSource>>,
}

/// What rules read of a volume of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "Kubernetes documents its fields")]
pub struct Volume {
    pub name: String,
    pub config_map: Option<Box<ConfigMapVolumeSource>>,
    pub ephemeral: Option<Box<EphemeralVolumeSource>>,
    /// The path on the node.
    pub host_path: Option<Box<str>>,
    pub persistent_volume_claim: Option<Box<PersistentVolumeClaimVolumeSource>>,
    pub projected: Option<Box<ProjectedVolumeSource>>,
    pub secret: Option<Box<SecretVolumeSource>>,
}

impl From<core::PodSpec> for PodSpec {
    fn from(spec: core::PodSpec) -> Self {
        let init_containers = spec.init_containers.map(all);
        Self {
            init_containers,
            containers: all(spec.containers),
            volumes: spec.volumes.map(all),
            affinity: spec.affinity.map(Box::new),
            dns_config: spec.dns_config.map(Box::new),
            dns_policy: spec.dns_policy,
            enable_service_links: spec.enable_service_links,
            host_aliases: spec.host_aliases,
            host_network: spec.host_network,
            image_pull_secrets: spec.image_pull_secrets,
            node_selector: spec.node_selector,
            overhead: spec.overhead,
            priority: spec.priority,
            priority_class_name: spec.priority_class_name,
            resources: spec.resources.map(Box::new),
            restart_policy: spec.restart_policy,
            runtime_class_name: spec.runtime_class_name,
            scheduler_name: spec.scheduler_name,
            scheduling_gates: spec.scheduling_gates,
            security_context: spec.security_context.map(Box::new),
            service_account_name: spec.service_account_name,
            subdomain: spec.subdomain,
            tolerations: spec.tolerations,
            topology_spread_constraints: spec.topology_spread_constraints,
        }
    }
}

impl From<core::Container> for ContainerSpec {
    fn from(container: core::Container) -> Self {
        Self {
            name: container.name,
            image: container.image,
            command: container.command,
            args: container.args,
            env: container.env.map(all),
            env_from: container.env_from,
            ports: container.ports,
            volume_mounts: container.volume_mounts,
            resources: container.resources.map(Box::new),
            startup_probe: container.startup_probe.map(Box::new),
            liveness_probe: container.liveness_probe.map(Box::new),
            readiness_probe: container.readiness_probe.map(Box::new),
            security_context: container.security_context.map(Box::new),
            restart_policy: container.restart_policy,
        }
    }
}

impl From<core::EnvVar> for EnvVar {
    fn from(variable: core::EnvVar) -> Self {
        Self {
            name: variable.name,
            value: variable.value,
            value_from: variable.value_from.map(Box::new),
        }
    }
}

impl From<core::Volume> for Volume {
    fn from(volume: core::Volume) -> Self {
        Self {
            name: volume.name,
            config_map: volume.config_map.map(Box::new),
            ephemeral: volume.ephemeral.map(Box::new),
            host_path: volume.host_path.map(|source| source.path.into()),
            persistent_volume_claim: volume.persistent_volume_claim.map(Box::new),
            projected: volume.projected.map(Box::new),
            secret: volume.secret.map(Box::new),
        }
    }
}

/// In a list of its own size: to turn one into another in place would leave it as large as it was.
fn all<T, U: From<T>>(list: Vec<T>) -> Vec<U> {
    let mut all = Vec::with_capacity(list.len());
    all.extend(list.into_iter().map(U::from));
    all
}
