//! The kinds of objects that the cluster has.

use k8s_openapi::api;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What is known of a kind.
#[derive(Debug)]
pub(crate) struct Facts {
    /// `Pod`.
    pub(crate) name: &'static str,
    /// The API group, empty for the core group.
    pub(crate) group: &'static str,
    /// The version of the group.
    pub(crate) version: &'static str,
    /// `pods`.
    pub(crate) plural: &'static str,
    /// What kubectl also calls it.
    pub(crate) short: &'static [&'static str],
    /// Whether its objects are in namespaces.
    pub(crate) namespaced: bool,
    /// Whether its status is written apart from the rest.
    pub(crate) status: bool,
    /// Whether it has a `/scale`.
    pub(crate) scale: bool,
    /// Whether a change of its specification counts up `metadata.generation`.
    pub(crate) generation: bool,
    /// Whether `kubectl get all` shows it.
    pub(crate) all: bool,
    decode: fn(Value) -> Result<Value, serde_json::Error>,
}

fn through<T: DeserializeOwned + Serialize>(value: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(value)?)
}

macro_rules! kinds {
    ($($kind:ident($type:ty) $group:literal $version:literal $plural:literal [$($short:literal)*] $scope:ident [$($flag:ident)*],)*) => {
        /// A kind of objects.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub(crate) enum Kind { $($kind,)* }

        impl Kind {
            /// All kinds, those that others need first.
            pub(crate) const ALL: &[Kind] = &[$(Kind::$kind,)*];
        }

        const FACTS: &[Facts] = &[$(Facts {
            name: stringify!($kind),
            group: $group,
            version: $version,
            plural: $plural,
            short: &[$($short,)*],
            namespaced: is!($scope Namespaced),
            status: has("status", &[$(stringify!($flag),)*]),
            scale: has("scale", &[$(stringify!($flag),)*]),
            generation: has("generation", &[$(stringify!($flag),)*]),
            all: has("all", &[$(stringify!($flag),)*]),
            decode: through::<$type>,
        },)*];
    };
}

macro_rules! is {
    (Namespaced Namespaced) => {
        true
    };
    (Cluster Namespaced) => {
        false
    };
}

const fn has(flag: &str, flags: &[&str]) -> bool {
    let mut i = 0;
    while i < flags.len() {
        if equal(flag.as_bytes(), flags[i].as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut i = 0;
    while i < one.len() {
        if one[i] != other[i] {
            return false;
        }
        i += 1;
    }
    true
}

kinds! {
    Namespace(api::core::v1::Namespace) "" "v1" "namespaces" ["ns"] Cluster [status],
    Node(api::core::v1::Node) "" "v1" "nodes" ["no"] Cluster [status],
    Pod(api::core::v1::Pod) "" "v1" "pods" ["po"] Namespaced [status generation all],
    Service(api::core::v1::Service) "" "v1" "services" ["svc"] Namespaced [status all],
    Endpoints(api::core::v1::Endpoints) "" "v1" "endpoints" ["ep"] Namespaced [],
    ConfigMap(api::core::v1::ConfigMap) "" "v1" "configmaps" ["cm"] Namespaced [],
    Secret(api::core::v1::Secret) "" "v1" "secrets" [] Namespaced [],
    ServiceAccount(api::core::v1::ServiceAccount) "" "v1" "serviceaccounts" ["sa"] Namespaced [],
    PersistentVolume(api::core::v1::PersistentVolume) "" "v1" "persistentvolumes" ["pv"] Cluster [status],
    PersistentVolumeClaim(api::core::v1::PersistentVolumeClaim) "" "v1" "persistentvolumeclaims" ["pvc"] Namespaced [status],
    ReplicationController(api::core::v1::ReplicationController) "" "v1" "replicationcontrollers" ["rc"] Namespaced [status scale generation all],
    ResourceQuota(api::core::v1::ResourceQuota) "" "v1" "resourcequotas" ["quota"] Namespaced [status],
    LimitRange(api::core::v1::LimitRange) "" "v1" "limitranges" ["limits"] Namespaced [],
    Event(api::core::v1::Event) "" "v1" "events" ["ev"] Namespaced [],
    PodTemplate(api::core::v1::PodTemplate) "" "v1" "podtemplates" [] Namespaced [],
    Deployment(api::apps::v1::Deployment) "apps" "v1" "deployments" ["deploy"] Namespaced [status scale generation all],
    ReplicaSet(api::apps::v1::ReplicaSet) "apps" "v1" "replicasets" ["rs"] Namespaced [status scale generation all],
    StatefulSet(api::apps::v1::StatefulSet) "apps" "v1" "statefulsets" ["sts"] Namespaced [status scale generation all],
    DaemonSet(api::apps::v1::DaemonSet) "apps" "v1" "daemonsets" ["ds"] Namespaced [status generation all],
    ControllerRevision(api::apps::v1::ControllerRevision) "apps" "v1" "controllerrevisions" [] Namespaced [],
    Job(api::batch::v1::Job) "batch" "v1" "jobs" [] Namespaced [status generation all],
    CronJob(api::batch::v1::CronJob) "batch" "v1" "cronjobs" ["cj"] Namespaced [status generation all],
    HorizontalPodAutoscaler(api::autoscaling::v2::HorizontalPodAutoscaler) "autoscaling" "v2" "horizontalpodautoscalers" ["hpa"] Namespaced [status all],
    PodDisruptionBudget(api::policy::v1::PodDisruptionBudget) "policy" "v1" "poddisruptionbudgets" ["pdb"] Namespaced [status generation],
    NetworkPolicy(api::networking::v1::NetworkPolicy) "networking.k8s.io" "v1" "networkpolicies" ["netpol"] Namespaced [generation],
    Ingress(api::networking::v1::Ingress) "networking.k8s.io" "v1" "ingresses" ["ing"] Namespaced [status generation],
    IngressClass(api::networking::v1::IngressClass) "networking.k8s.io" "v1" "ingressclasses" [] Cluster [generation],
    EndpointSlice(api::discovery::v1::EndpointSlice) "discovery.k8s.io" "v1" "endpointslices" [] Namespaced [generation],
    StorageClass(api::storage::v1::StorageClass) "storage.k8s.io" "v1" "storageclasses" ["sc"] Cluster [],
    VolumeAttachment(api::storage::v1::VolumeAttachment) "storage.k8s.io" "v1" "volumeattachments" [] Cluster [status],
    CSINode(api::storage::v1::CSINode) "storage.k8s.io" "v1" "csinodes" [] Cluster [],
    CSIDriver(api::storage::v1::CSIDriver) "storage.k8s.io" "v1" "csidrivers" [] Cluster [],
    PriorityClass(api::scheduling::v1::PriorityClass) "scheduling.k8s.io" "v1" "priorityclasses" ["pc"] Cluster [generation],
    RuntimeClass(api::node::v1::RuntimeClass) "node.k8s.io" "v1" "runtimeclasses" [] Cluster [],
    Role(api::rbac::v1::Role) "rbac.authorization.k8s.io" "v1" "roles" [] Namespaced [],
    RoleBinding(api::rbac::v1::RoleBinding) "rbac.authorization.k8s.io" "v1" "rolebindings" [] Namespaced [],
    ClusterRole(api::rbac::v1::ClusterRole) "rbac.authorization.k8s.io" "v1" "clusterroles" [] Cluster [],
    ClusterRoleBinding(api::rbac::v1::ClusterRoleBinding) "rbac.authorization.k8s.io" "v1" "clusterrolebindings" [] Cluster [],
    ValidatingWebhookConfiguration(api::admissionregistration::v1::ValidatingWebhookConfiguration) "admissionregistration.k8s.io" "v1" "validatingwebhookconfigurations" [] Cluster [generation],
    MutatingWebhookConfiguration(api::admissionregistration::v1::MutatingWebhookConfiguration) "admissionregistration.k8s.io" "v1" "mutatingwebhookconfigurations" [] Cluster [generation],
    Lease(api::coordination::v1::Lease) "coordination.k8s.io" "v1" "leases" [] Namespaced [],
}

/// Older versions in which kinds are served as well.
pub(crate) const OLDER: [(Kind, &str); 1] = [(Kind::HorizontalPodAutoscaler, "v1")];

/// The group under which events are served a second time, in a shape of their own.
pub(crate) const EVENTS_GROUP: &str = "events.k8s.io";

impl Kind {
    /// What is known of it.
    pub(crate) fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// `v1`, or `apps/v1`.
    pub(crate) fn api_version(self) -> String {
        let facts = self.facts();
        group_version(facts.group, facts.version)
    }

    /// The resource as errors name it: `pods`, or `deployments.apps`.
    pub(crate) fn resource(self) -> String {
        let facts = self.facts();
        match facts.group {
            "" => facts.plural.to_owned(),
            group => format!("{}.{group}", facts.plural),
        }
    }

    /// The kind as validation errors name it: `Pod`, or `Deployment.apps`.
    pub(crate) fn qualified(self) -> String {
        let facts = self.facts();
        match facts.group {
            "" => facts.name.to_owned(),
            group => format!("{}.{group}", facts.name),
        }
    }

    /// The kind that is served at a group, version and plural name.
    pub(crate) fn served(group: &str, version: &str, plural: &str) -> Option<Kind> {
        if group == EVENTS_GROUP {
            return (version == "v1" && plural == "events").then_some(Kind::Event);
        }
        Kind::ALL.iter().copied().find(|kind| {
            let facts = kind.facts();
            let is_served = facts.version == version || OLDER.contains(&(*kind, version));
            facts.group == group && is_served && facts.plural == plural
        })
    }

    /// The kind of a name in a group, whatever the version.
    pub(crate) fn named(api_version: &str, name: &str) -> Option<Kind> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Kind::ALL.iter().copied().find(|kind| {
            let facts = kind.facts();
            facts.name == name && facts.group == group
        })
    }

    /// What Kubernetes' own type keeps of a value, or why it is not one of the kind.
    pub(crate) fn decode(self, value: Value) -> Result<Value, serde_json::Error> {
        (self.facts().decode)(value)
    }
}

/// `v1`, or `apps/v1`.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_what_it_is_called() {
        assert_eq!(
            Kind::served("apps", "v1", "deployments"),
            Some(Kind::Deployment)
        );
        assert_eq!(
            Kind::served("events.k8s.io", "v1", "events"),
            Some(Kind::Event)
        );
        assert_eq!(Kind::served("apps", "v2", "deployments"), None);
        assert_eq!(
            Kind::served("autoscaling", "v1", "horizontalpodautoscalers"),
            Some(Kind::HorizontalPodAutoscaler)
        );
        assert_eq!(Kind::named("v1", "Pod"), Some(Kind::Pod));
        assert!(Kind::Pod.facts().namespaced && Kind::Pod.facts().generation);
        assert!(!Kind::Node.facts().namespaced);
    }
}
