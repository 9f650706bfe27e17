//! Makes the cluster go: what changes leads to work, and work is done when it is due.

use std::sync::Weak;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::agenda::Work;
use crate::clock::after;
use crate::controllers::{
    self, disruption, eviction, garbage, lifecycle, namespaces, podgc, roles, volumes,
};
use crate::kinds::Kind;
use crate::store::{Change, Key, What};
use crate::value::{list, text, uid};
use crate::world::World;
use crate::{Config, Shared, kubelet, names, nodes, scheduler};

/// How soon a controller sees what changed.
const SEEN: Duration = Duration::from_millis(5);

/// Does the cluster's work until the cluster is gone.
pub(crate) async fn drive(shared: Weak<Shared>, mut changed: watch::Receiver<u64>) {
    loop {
        let wake = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            changed.mark_unchanged();
            let mut world = shared.world();
            let next = world.step();
            drop(world);
            next.map(|next| shared.clock.instant(next))
        };
        let sleep = async {
            match wake {
                Some(wake) => tokio::time::sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            told = changed.changed() => if told.is_err() { return },
            () = sleep => {}
        }
    }
}

/// Puts into a new cluster what every cluster has.
pub(crate) fn boot(world: &mut World, config: &Config) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = json!({ "metadata": { "name": name } });
        made(world, Kind::Namespace, "", namespace);
    }
    for (name, value) in [
        ("system-cluster-critical", 2_000_000_000i64),
        ("system-node-critical", 2_000_001_000),
    ] {
        let class = json!({ "metadata": { "name": name }, "value": value });
        made(world, Kind::PriorityClass, "", class);
    }
    let class = json!({
        "metadata": { "name": "standard", "annotations":
            { "storageclass.kubernetes.io/is-default-class": "true" } },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    made(world, Kind::StorageClass, "", class);
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        namespaces::provide(world, namespace);
    }
    let api = json!({
        "metadata": { "name": "kubernetes",
            "labels": { "component": "apiserver", "provider": "kubernetes" } },
        "spec": { "clusterIP": "10.96.0.1", "type": "ClusterIP",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443 }] },
    });
    made(world, Kind::Service, "default", api);
    let slice = json!({
        "metadata": { "name": "kubernetes", "labels": { "kubernetes.io/service-name": "kubernetes" } },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["172.18.0.2"], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": 6443, "protocol": "TCP" }],
    });
    made(world, Kind::EndpointSlice, "default", slice);
    nodes::boot(world, &config.nodes);
    if !config.nodes.is_empty() {
        names::boot(world);
    }
    roles::boot(world);
    lifecycle::boot(world);
    podgc::boot(world);
}

pub(crate) fn made(world: &mut World, kind: Kind, namespace: &str, object: Value) {
    // What a new cluster gets is fixed and passes the checks; a test holds it to that.
    let _made = world.create(kind, namespace, object, false);
}

impl World {
    /// A number that moves whenever somebody who waits should look again.
    pub(crate) fn progress(&self) -> u64 {
        // Whoever follows a log waits for its lines.
        self.store.revision() + self.kubelets.stirs
    }

    /// Does all that is due, and says when the next thing is.
    pub(crate) fn step(&mut self) -> Option<jiff::Timestamp> {
        let now = self.now();
        loop {
            while let Some(change) = self.store.next_unseen() {
                self.notice(&change);
            }
            let Some(work) = self.agenda.take(now) else {
                return self.agenda.next();
            };
            self.perform(work);
        }
    }

    /// Asks for work as soon as a controller would see why.
    pub(crate) fn soon(&mut self, work: Work) {
        self.later(SEEN, work);
    }

    /// Asks for work after a while.
    pub(crate) fn later(&mut self, wait: Duration, work: Work) {
        let time = after(self.now(), wait);
        self.agenda.at(time, work);
    }

    /// Asks for the work that a change leads to.
    fn notice(&mut self, change: &Change) {
        scheduler::notice(self, change);
        volumes::notice(self, change);
        lifecycle::notice(self, change);
        eviction::notice(self, change);
        disruption::notice(self, change);
        let object = change.object.clone();
        let key = Key::of(&object);
        kubelet::notice(self, change);
        if change.kind == Kind::Event && change.what != What::Deleted {
            self.event_written(&object);
        }
        if change.kind == Kind::Namespace {
            self.soon(Work::Namespace(key.clone()));
        }
        // What is gone, or going with its dependents, or an owner that was never there.
        if change.what == What::Deleted || crate::value::deleting(&object) {
            self.soon(Work::Collect(uid(&object).to_owned()));
        }
        if change.what == What::Added {
            for owner in list(&object, "/metadata/ownerReferences") {
                self.soon(Work::Collect(text(owner, "/uid").to_owned()));
            }
        }
        if change.kind.facts().namespaced && change.what == What::Deleted {
            self.soon(Work::Namespace(Key::new("", &key.namespace)));
        }
        controllers::notice(self, change);
    }

    fn perform(&mut self, work: Work) {
        match work {
            Work::Namespace(key) => namespaces::sync(self, &key.name),
            Work::Collect(uid) => garbage::collect(self, &uid),
            Work::Schedule => scheduler::run(self),
            Work::Reschedule => scheduler::flush(self),
            Work::Claim(key) => volumes::sync_claim(self, &key),
            Work::Volume(name) => volumes::sync_volume(self, &name),
            Work::NodeHealth => lifecycle::monitor(self),
            Work::Taints(node) => lifecycle::taint(self, &node),
            Work::Evict(key) => eviction::evict(self, &key),
            Work::PodGarbage => podgc::collect(self),
            Work::Budget(key) => disruption::sync(self, &key),
            Work::Spared(key) => disruption::spare(self, &key),
            Work::Events => self.drop_old_events(),
            Work::Kubelet(task) => kubelet::perform(self, task),
            Work::Sync(kind, key) => controllers::sync(self, kind, &key),
        }
    }
}
