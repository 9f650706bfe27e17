//! A cluster of [kind](https://kind.sigs.k8s.io): one for each state folder, made when it is first
//! needed, and kept warm.

mod check;
mod cluster;
mod config;
mod engine;
mod fault;
mod images;
mod services;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
};

use futures::{FutureExt, future::BoxFuture};
use kube::Client;

pub use self::cluster::{Options, down, print_config, up};
pub(crate) use self::{
    check::pools_now,
    cluster::{child_gone, delete},
    config::{Plan, patches},
    engine::{Engine, is_gone},
    fault::{set_flags, start_unit, stop_unit},
    services::forget_registry,
};
use super::{Backend, BackendError};
use crate::{
    journal::{Journal, Target},
    progress::Progress,
    scenario::{NodeFacts, NodeFault, Pool, Service, ServiceFacts, Spec},
    state::State,
};

/// A kind cluster that is up. It is neither replaced nor deleted while this lives.
pub struct Kind {
    state: State,
    engine: Engine,
    client: Client,
    kubeconfig: PathBuf,
    target: Target,
    pools: BTreeMap<Pool, NodeFacts>,
    created: bool,
    #[expect(dead_code, reason = "held open for its lock")]
    in_use: File,
}

impl Kind {
    /// Whether it was made just now, rather than found warm.
    pub fn created(&self) -> bool {
        self.created
    }

    /// The names of a pool's nodes.
    fn nodes(&self, pool: &str) -> Result<&[String], BackendError> {
        super::nodes(&self.pools, self.name(), pool)
    }
}

/// What this machine lacks for a kind cluster: a container engine that answers, or kind.
///
/// Quick, and changes nothing.
pub async fn lacking() -> Option<&'static str> {
    if Engine::find().await.is_err() {
        return Some("no container engine");
    }
    let asked = tokio::process::Command::new("kind")
        .arg("version")
        .output()
        .await;
    match asked {
        Ok(output) if output.status.success() => None,
        _ => Some("no kind"),
    }
}

impl Backend for Kind {
    fn name(&self) -> &'static str {
        "kind"
    }

    fn client(&self) -> Client {
        self.client.clone()
    }

    fn kubeconfig(&self) -> Option<&Path> {
        Some(&self.kubeconfig)
    }

    fn is_own(&self) -> bool {
        true
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn pools<'a>(&'a self) -> BoxFuture<'a, Result<BTreeMap<Pool, NodeFacts>, BackendError>> {
        check::pools_now(&self.client).boxed()
    }

    fn lacks(&self, scenario: &Spec) -> Option<String> {
        if !scenario.services.is_empty() && !self.engine.gives_names() {
            let engine = self.engine.program();
            return Some(format!(
                "containers beside the cluster that pods find by name, which {engine} does not give"
            ));
        }
        super::lacks(&self.pools, scenario)
    }

    fn images<'a>(
        &'a self,
        images: &'a BTreeSet<String>,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        images::load(self, images, progress).boxed()
    }

    fn node<'a>(
        &'a self,
        journal: &'a Journal,
        fault: &'a NodeFault,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        fault::inject(self, journal, fault).boxed()
    }
    fn make_service<'a>(
        &'a self,
        journal: &'a Journal,
        name: &'a str,
        service: &'a Service,
        files: &'a BTreeMap<String, String>,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<ServiceFacts, BackendError>> {
        services::make(self, journal, name, service, files, progress).boxed()
    }

    fn start_service<'a>(
        &'a self,
        journal: &'a Journal,
        name: &'a str,
        service: &'a Service,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        services::start(self, journal, name, service, progress).boxed()
    }

    fn stop_service<'a>(
        &'a self,
        journal: &'a Journal,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        services::stop(self, journal, name).boxed()
    }
}
