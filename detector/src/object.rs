//! The kinds of object that the detector reads, and how they are decoded.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim,
    PodTemplateSpec, ReplicationController, ResourceQuota, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::facts::{
    CalicoNetworkSet, CalicoPolicy, Deployment, EndpointSlice, Event, GlobalCalicoNetworkSet,
    GlobalCalicoPolicy, Pod, ReplicaSet, Secret,
};
use crate::verdict::Reference;

macro_rules! kinds {
    ($($kind:ident $groups:expr, $version:literal $plural:literal $scope:ident,)*) => {
        /// A kind of object that some rule reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "Kubernetes documents its kinds")]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// The API groups that serve it, the preferred first; the core group is empty.
            pub fn groups(self) -> &'static [&'static str] {
                match self { $(Kind::$kind => &$groups,)* }
            }

            /// The version that is asked for in its preferred group.
            pub fn version(self) -> &'static str {
                match self { $(Kind::$kind => $version,)* }
            }

            /// The name in paths of the API: `networkpolicies`.
            pub fn plural(self) -> &'static str {
                match self { $(Kind::$kind => $plural,)* }
            }

            /// Whether its objects lie in namespaces.
            pub fn is_namespaced(self) -> bool {
                match self { $(Kind::$kind => Scope::$scope == Scope::Namespaced,)* }
            }
        }

        /// An object as the detector keeps it: what rules read, and no value of a Secret.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "Kubernetes documents its kinds")]
        pub enum Object {
            $($kind(Arc<$kind>),)*
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self { $(Object::$kind(_) => Kind::$kind,)* }
            }

            /// What every object has.
            pub fn meta(&self) -> Meta<'_> {
                match self { $(Object::$kind(object) => object.meta(),)* }
            }

            pub(crate) fn name(&self) -> &str {
                match self { $(Object::$kind(object) => object.meta().name,)* }
            }

            fn decode_kind(kind: Kind, value: Value) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $(Kind::$kind => Object::$kind(Arc::new($kind::decode(value)?)),)*
                })
            }
        }

        $(impl Resource for $kind {
            const KIND: Kind = Kind::$kind;

            fn of(object: &Object) -> Option<&Arc<Self>> {
                match object {
                    Object::$kind(object) => Some(object),
                    _ => None,
                }
            }
        })*
    };
}

#[derive(PartialEq)]
enum Scope {
    Namespaced,
    Cluster,
}

kinds! {
    Pod [""], "v1" "pods" Namespaced,
    Node [""], "v1" "nodes" Cluster,
    Namespace [""], "v1" "namespaces" Cluster,
    Event ["", "events.k8s.io"], "v1" "events" Namespaced,
    Deployment ["apps"], "v1" "deployments" Namespaced,
    ReplicaSet ["apps"], "v1" "replicasets" Namespaced,
    ReplicationController [""], "v1" "replicationcontrollers" Namespaced,
    StatefulSet ["apps"], "v1" "statefulsets" Namespaced,
    DaemonSet ["apps"], "v1" "daemonsets" Namespaced,
    Job ["batch"], "v1" "jobs" Namespaced,
    CronJob ["batch"], "v1" "cronjobs" Namespaced,
    Service [""], "v1" "services" Namespaced,
    EndpointSlice ["discovery.k8s.io"], "v1" "endpointslices" Namespaced,
    ConfigMap [""], "v1" "configmaps" Namespaced,
    Secret [""], "v1" "secrets" Namespaced,
    ServiceAccount [""], "v1" "serviceaccounts" Namespaced,
    PersistentVolumeClaim [""], "v1" "persistentvolumeclaims" Namespaced,
    PersistentVolume [""], "v1" "persistentvolumes" Cluster,
    StorageClass ["storage.k8s.io"], "v1" "storageclasses" Cluster,
    NetworkPolicy ["networking.k8s.io"], "v1" "networkpolicies" Namespaced,
    CalicoPolicy ["projectcalico.org", "crd.projectcalico.org"], "v3" "networkpolicies" Namespaced,
    GlobalCalicoPolicy ["projectcalico.org", "crd.projectcalico.org"], "v3" "globalnetworkpolicies" Cluster,
    CalicoNetworkSet ["projectcalico.org", "crd.projectcalico.org"], "v3" "networksets" Namespaced,
    GlobalCalicoNetworkSet ["projectcalico.org", "crd.projectcalico.org"], "v3" "globalnetworksets" Cluster,
    ResourceQuota [""], "v1" "resourcequotas" Namespaced,
    LimitRange [""], "v1" "limitranges" Namespaced,
    PriorityClass ["scheduling.k8s.io"], "v1" "priorityclasses" Cluster,
    PodDisruptionBudget ["policy"], "v1" "poddisruptionbudgets" Namespaced,
    HorizontalPodAutoscaler ["autoscaling"], "v2" "horizontalpodautoscalers" Namespaced,
    ValidatingWebhookConfiguration ["admissionregistration.k8s.io"], "v1" "validatingwebhookconfigurations" Cluster,
    MutatingWebhookConfiguration ["admissionregistration.k8s.io"], "v1" "mutatingwebhookconfigurations" Cluster,
    Lease ["coordination.k8s.io"], "v1" "leases" Namespaced,
    Role ["rbac.authorization.k8s.io"], "v1" "roles" Namespaced,
    RoleBinding ["rbac.authorization.k8s.io"], "v1" "rolebindings" Namespaced,
    ClusterRole ["rbac.authorization.k8s.io"], "v1" "clusterroles" Cluster,
    ClusterRoleBinding ["rbac.authorization.k8s.io"], "v1" "clusterrolebindings" Cluster,
}

impl Kind {
    /// The kind as Kubernetes spells it; Calico's share their names with Kubernetes' own.
    pub fn name(self) -> String {
        match self {
            Kind::CalicoPolicy => "NetworkPolicy".to_owned(),
            Kind::GlobalCalicoPolicy => "GlobalNetworkPolicy".to_owned(),
            Kind::CalicoNetworkSet => "NetworkSet".to_owned(),
            Kind::GlobalCalicoNetworkSet => "GlobalNetworkSet".to_owned(),
            other => format!("{other:?}"),
        }
    }

    /// The kind of an object that says it is of this apiVersion and kind, whatever its version.
    pub fn of(api_version: &str, name: &str) -> Option<Kind> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.groups().contains(&group) && kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

/// A type of object that [`crate::View`] can look up.
pub trait Resource: Sized + 'static {
    /// Its kind.
    const KIND: Kind;

    /// The object, if it is of this kind.
    fn of(object: &Object) -> Option<&Arc<Self>>;
}

/// What every object has.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// The namespace; empty for objects of the whole cluster.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
    /// The unique id; empty where the input has none.
    pub uid: &'a str,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deleting: Option<Timestamp>,
}

/// How a type of object is read, and what it tells of itself.
pub(crate) trait Described: Sized {
    fn meta(&self) -> Meta<'_>;
    fn decode(value: Value) -> Result<Self, serde_json::Error>;
}

/// The types that are kept as Kubernetes declares them, less what no rule reads.
macro_rules! described {
    ($($kind:ident)*) => {
        $(impl Described for $kind {
            fn meta(&self) -> Meta<'_> {
                Meta::of(&self.metadata)
            }

            fn decode(value: Value) -> Result<Self, serde_json::Error> {
                serde_json::from_value(value)
            }
        })*
    };
}

described! {
    Node Namespace Service ConfigMap ServiceAccount PersistentVolumeClaim PersistentVolume
    StorageClass NetworkPolicy ResourceQuota LimitRange PriorityClass PodDisruptionBudget
    ValidatingWebhookConfiguration MutatingWebhookConfiguration Lease
    Role RoleBinding ClusterRole ClusterRoleBinding
}

/// The types whose pod templates are left out but for their labels: they are large, and their pods
/// tell what came of them.
macro_rules! with_templates {
    ($($kind:ident $template:expr;)*) => {
        $(impl Described for $kind {
            fn meta(&self) -> Meta<'_> {
                Meta::of(&self.metadata)
            }

            fn decode(value: Value) -> Result<Self, serde_json::Error> {
                let mut object: $kind = serde_json::from_value(value)?;
                let template: fn(&mut $kind) -> Option<&mut PodTemplateSpec> = $template;
                if let Some(template) = template(&mut object) {
                    template.spec = None;
                    if let Some(metadata) = &mut template.metadata {
                        metadata.annotations = None;
                    }
                }
                Ok(object)
            }
        })*
    };
}

with_templates! {
    ReplicationController |object| object.spec.as_mut()?.template.as_mut();
    StatefulSet |object| Some(&mut object.spec.template);
    DaemonSet |object| Some(&mut object.spec.template);
    Job |object| Some(&mut object.spec.as_mut()?.template);
    CronJob |object| Some(&mut object.spec.job_template.spec.as_mut()?.template);
}

impl<'a> Meta<'a> {
    pub(crate) fn of(metadata: &'a ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            name: metadata.name.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            deleting: metadata.deletion_timestamp.as_ref().map(|time| time.0),
        }
    }
}

/// Why a value is not an object that the detector reads.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The value has no `apiVersion` and `kind`.
    #[error("not a Kubernetes object: it has no apiVersion and kind")]
    NotAnObject,
    /// No rule reads this kind.
    #[error("no rule reads {kind} of {api_version}")]
    UnknownKind {
        /// The value's apiVersion.
        api_version: String,
        /// The value's kind.
        kind: String,
    },
    /// The object has no name.
    #[error("{0} without a name")]
    Nameless(Kind),
    /// The object does not have the form of its kind.
    #[error("{kind} {name} is malformed")]
    Malformed {
        /// The kind that it claims.
        kind: Kind,
        /// Its namespace and name, as far as they can be read.
        name: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Object {
    /// Reads an object from its JSON form, by its own apiVersion and kind.
    ///
    /// What no rule reads is left out: managed fields, and the values of Secrets.
    ///
    /// # Errors
    ///
    /// When the value is not an object, is of a kind that no rule reads, or is malformed.
    pub fn decode(mut value: Value) -> Result<Self, DecodeError> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            return Err(DecodeError::NotAnObject);
        };
        let Some(kind) = Kind::of(&api_version, &kind) else {
            return Err(DecodeError::UnknownKind { api_version, kind });
        };
        let mut name = String::new();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut)
            {
                // It repeats the whole object, of a Secret the values too.
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
            let part = |field: &str| metadata.get(field).and_then(Value::as_str);
            name = match (part("namespace"), part("name")) {
                (_, None) => return Err(DecodeError::Nameless(kind)),
                (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
                (None, Some(name)) => name.to_owned(),
            };
        }
        // Of the versions of a kind, what rules read is the same.
        if let (Some(group), Some(object)) = (kind.groups().first(), value.as_object_mut()) {
            let version = match *group {
                "" => kind.version().to_owned(),
                group => format!("{group}/{}", kind.version()),
            };
            object.insert("apiVersion".to_owned(), version.into());
        }
        let object = Object::decode_kind(kind, value).map_err(|source| DecodeError::Malformed {
            kind,
            name,
            source,
        })?;
        if object.meta().name.is_empty() {
            return Err(DecodeError::Nameless(kind));
        }
        Ok(object)
    }

    /// The object's kind, namespace and name.
    pub fn reference(&self) -> Reference {
        let meta = self.meta();
        Reference {
            kind: self.kind().name(),
            namespace: self
                .kind()
                .is_namespaced()
                .then(|| meta.namespace.to_owned()),
            name: meta.name.to_owned(),
        }
    }
}
