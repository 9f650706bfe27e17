//! The API server of a Kubernetes cluster, in the process: store, API, clock and admission.
//!
//! What it does: it keeps objects and serves them as JSON, with lists in pages, watches, the four
//! kinds of patches, deletion with grace and finalizers, and evictions. It fills in defaults,
//! checks the kinds it knows, and applies service accounts, priorities, limit ranges, quotas and
//! Pod Security. Namespaces are provided for and emptied, and what lost its owner is collected.
//! Workloads of every kind get their pods, Services their endpoints, quotas their status, and
//! autoscalers say what they lack. It calls itself v1.34.4, but has the fields of the release that
//! the types it is built with are of.
//!
//! Where it has nodes, a scheduler gives them pods, claims are bound to volumes, and kubelets run
//! what the pods ask for: containers do what their commands say, over a network with names,
//! Services and policies, on nodes that can run short of things. Registries and databases may stand
//! beside the cluster.
//!
//! What is not there yet: nobody is authenticated, and everything is allowed but in the name of
//! others (`kubectl --as`); webhooks are not called: one that selects a request and fails closed refuses it. There are no
//! logs, no metrics but the kubelets', no custom resources and no protobuf: the kubectl commands that send it, such
//! as `kubectl create namespace NAME` and `kubectl auth can-i`, are refused (415).
//!
//! The cluster is one [`axum::Router`]. A `kube::Client` uses it as its service, without a socket;
//! bound to loopback it serves kubectl. Time is tokio's: under a paused clock it is virtual.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use crashbook_sim::{Cluster, Config};
//!
//! let cluster = Cluster::start(Config::default());
//! let client = kube::Client::new(cluster.router(), "default");
//! assert_eq!(client.apiserver_version().await?.git_version, "v1.34.4");
//! # Ok(())
//! # }
//! ```

mod admission;
mod agenda;
mod api;
mod clock;
mod config;
mod controllers;
mod cron;
mod defaults;
mod drive;
mod error;
mod events;
mod kinds;
mod kubelet;
mod names;
mod network;
mod nodes;
mod patch;
mod program;
mod quantity;
mod random;
mod rbac;
mod scheduler;
mod security;
mod selector;
mod store;
mod validation;
mod value;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use clock::Clock;
pub use config::{Config, NodeConfig};
pub use kubelet::{Beside, NodeFault, Resource};
use world::World;

/// A cluster that runs as long as somebody holds it.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    _driver: Arc<Driver>,
}

struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    clock: Clock,
    trouble: api::Trouble,
}

/// Ends the driver with the last handle of the cluster.
struct Driver(tokio::task::AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The world, while it is looked at or changed. Whoever waits for changes is told at the end.
struct Held<'a> {
    world: MutexGuard<'a, World>,
    changed: &'a watch::Sender<u64>,
}

impl std::ops::Deref for Held<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let revision = self.world.progress();
        self.changed.send_if_modified(|known| {
            let moved = *known != revision;
            *known = revision;
            moved
        });
    }
}

impl Shared {
    fn world(&self) -> Held<'_> {
        Held {
            // A panic of one request leaves whole objects behind: the store has no half states.
            world: self.world.lock().unwrap_or_else(PoisonError::into_inner),
            changed: &self.changed,
        }
    }
}

impl Cluster {
    /// Starts a cluster on the tokio runtime of the caller.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(config: Config) -> Self {
        let clock = Clock::new(config.epoch, config.speed);
        let mut world = World::new(&config, clock.clone());
        drive::boot(&mut world, &config);
        let (sender, changed) = watch::channel(0);
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            changed: sender,
            clock,
            trouble: api::Trouble::default(),
        });
        let driver = tokio::spawn(drive::drive(Arc::downgrade(&shared), changed.clone()));
        Self {
            shared,
            changed,
            _driver: Arc::new(Driver(driver.abort_handle())),
        }
    }

    /// The cluster's API, for a `kube::Client` or a listener.
    pub fn router(&self) -> axum::Router {
        api::router(self.clone())
    }

    /// The cluster's time of day.
    pub fn clock(&self) -> Clock {
        self.shared.clock.clone()
    }

    /// Lets the cluster's time pass so many times as fast as tokio's from now on.
    pub fn set_speed(&self, speed: f64) {
        self.shared.clock.set_speed(speed);
        // Who sleeps until a time of the cluster has to sleep shorter or longer.
        self.shared.changed.send_modify(|_| {});
    }

    /// Forgets all changes so far: watches that begin before now are refused with 410.
    pub fn compact(&self) {
        self.world().store.compact();
    }

    /// Does something to a node itself, as a person at its machine would.
    ///
    /// # Errors
    ///
    /// When there is no such node, or its kubelet no such setting.
    pub fn node_fault(&self, node: &str, fault: &NodeFault) -> Result<(), String> {
        let mut world = self.world();
        world.kubelets.stirs += 1;
        kubelet::fault(&mut world, node, fault)
    }

    /// Starts a container beside the cluster, on the network of its nodes, and gives its address.
    /// Pods and nodes reach it by its name.
    ///
    /// # Errors
    ///
    /// When it is not known what its image does, or the image has no such program.
    pub fn start_beside(&self, name: &str, beside: &Beside) -> Result<String, String> {
        kubelet::start_beside(&mut self.world(), name, beside)
    }

    /// Stops a container beside the cluster: its name and its address stay, and nobody listens
    /// there.
    pub fn stop_beside(&self, name: &str) {
        kubelet::stop_beside(&mut self.world(), name);
    }

    /// Goes on once a container beside the cluster serves a port.
    pub async fn beside_serves(&self, name: &str, port: u16) {
        self.until(|world| kubelet::serves(world, name, port)).await;
    }

    /// Goes on once a container beside the cluster has printed this.
    pub async fn beside_prints(&self, name: &str, text: &str) {
        self.until(|world| kubelet::has_printed(world, name, text))
            .await;
    }

    /// Waits until something is so, and looks whenever something changed.
    async fn until(&self, is_so: impl Fn(&World) -> bool) {
        let mut changed = self.changed();
        while !is_so(&self.world()) {
            if changed.changed().await.is_err() {
                // It never changes again.
                std::future::pending::<()>().await;
            }
        }
    }

    /// A kubeconfig for a cluster that is served at a URL.
    pub fn kubeconfig(url: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: crashbook-sim\nclusters:\n- name: \
             crashbook-sim\n  cluster: {{ server: {url:?} }}\ncontexts:\n- name: crashbook-sim\n  \
             context: {{ cluster: crashbook-sim, user: crashbook-sim, namespace: default }}\nusers:\n\
             - name: crashbook-sim\n  user: {{}}\n"
        )
    }

    /// Serves the API on a listener until the future is dropped.
    ///
    /// # Errors
    ///
    /// When connections can no longer be accepted.
    pub async fn serve(&self, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    fn world(&self) -> Held<'_> {
        self.shared.world()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        let mut changed = self.changed.clone();
        changed.mark_unchanged();
        changed
    }
}
