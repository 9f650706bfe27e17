//! The objects that are kept in another form than Kubernetes declares: because there are many of
//! them (pods, events, Deployments, ReplicaSets, EndpointSlices), because they come in several
//! shapes (events, autoscalers, Calico's), or because most of them must not be kept at all
//! (Secrets).

mod autoscaler;
mod calico;
mod event;
mod log;
mod pod;
mod secret;
mod slice;
mod spec;
pub(crate) mod symbol;
mod workload;

pub use calico::{CalicoNetworkSet, CalicoPolicy, GlobalCalicoNetworkSet, GlobalCalicoPolicy};
pub use event::{About, Event};
pub use log::{Log, LogLine, Run};
pub use pod::{Container, ContainerRole, ContainerStatus, Pod, PodCondition, PodStatus, duration};
pub use secret::Secret;
pub use slice::EndpointSlice;
pub use spec::{ContainerSpec, EnvVar, PodSpec, Volume};
pub use symbol::Symbol;
pub use workload::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
