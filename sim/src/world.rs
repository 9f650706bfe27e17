//! The whole cluster: its objects, and what happens to them.
//!
//! Everything that changes an object goes through the verbs here, clients' requests and the
//! controllers' own work alike, so that both meet the same defaults, checks and refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agenda::Agenda;
use crate::clock::{Clock, after, seconds};
use crate::controllers::eviction::Evictions;
use crate::controllers::lifecycle::Lifecycle;
use crate::controllers::podgc::Missing;
use crate::error::{Refusal, Result, Wrong};
use crate::events::Events;
use crate::kinds::Kind;
use crate::kubelet::Kubelets;
use crate::network::Network;
use crate::nodes::Machines;
use crate::random::Random;
use crate::scheduler::Scheduler;
use crate::store::{Key, Store};
use crate::value::{self, at, deleting, int, list, name, remove, set, text, uid};
use crate::{Config, admission, controllers, defaults, validation};

/// The cluster, as its own parts see it.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) random: Random,
    pub(crate) agenda: Agenda,
    pub(crate) controllers: controllers::Memory,
    pub(crate) network: Network,
    pub(crate) events: Events,
    pub(crate) machines: Machines,
    pub(crate) kubelets: Kubelets,
    pub(crate) scheduler: Scheduler,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) evictions: Evictions,
    pub(crate) missing: Missing,
    /// How long a kubelet may be silent.
    pub(crate) grace: Duration,
    /// What each field manager applied last, by the object's uid.
    pub(crate) applied: BTreeMap<(String, String), Value>,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    /// Seconds that a pod is given to end, where the caller says.
    pub(crate) grace: Option<i64>,
    /// `Foreground`, `Background` or `Orphan`.
    pub(crate) propagation: Option<String>,
    /// Only if it is still this object.
    pub(crate) uid: Option<String>,
    /// Only if it is still this version.
    pub(crate) revision: Option<String>,
    /// Nothing is kept.
    pub(crate) dry_run: bool,
}

impl World {
    pub(crate) fn new(config: &Config, clock: Clock) -> Self {
        let random = Random::new(config.seed);
        Self {
            clock,
            store: Store::new(),
            random,
            agenda: Agenda::default(),
            controllers: controllers::Memory::default(),
            network: Network::default(),
            events: Events::default(),
            machines: Machines::new(),
            kubelets: Kubelets::default(),
            scheduler: Scheduler::default(),
            lifecycle: Lifecycle::default(),
            evictions: Evictions::new(),
            missing: Missing::new(),
            grace: config.node_monitor_grace,
            applied: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An object, or that it is not there.
    pub(crate) fn get(&self, kind: Kind, key: &Key) -> Result<Arc<Value>> {
        self.store
            .get(kind, key)
            .cloned()
            .ok_or_else(|| Refusal::not_found(kind, &key.name))
    }

    /// An object, if it is there.
    pub(crate) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.store.get(kind, &Key::new(namespace, name)).cloned()
    }

    /// Makes an object of what a client or a controller gives.
    pub(crate) fn create(
        &mut self,
        kind: Kind,
        namespace: &str,
        mut object: Value,
        dry_run: bool,
    ) -> Result<Arc<Value>> {
        let facts = kind.facts();
        value::drop_nulls(&mut object);
        set(&mut object, "/apiVersion", kind.api_version());
        set(&mut object, "/kind", facts.name);
        value::default(&mut object, "/metadata", json!({}));
        if facts.namespaced {
            let said = value::namespace(&object);
            if !said.is_empty() && said != namespace {
                return Err(Refusal::bad_request(
                    "the namespace of the provided object does not match the namespace sent on \
                     the request",
                ));
            }
            set(&mut object, "/metadata/namespace", namespace);
            let Some(home) = self.store.get(Kind::Namespace, &Key::new("", namespace)) else {
                return Err(Refusal::not_found(Kind::Namespace, namespace));
            };
            if deleting(home) {
                let why = format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                );
                let mut refusal = Refusal::forbidden(kind, name(&object), &why);
                set(
                    &mut refusal.details,
                    "/causes",
                    json!([{ "reason": "NamespaceTerminating", "field": "metadata.namespace",
                        "message": format!("namespace {namespace} is being terminated") }]),
                );
                return Err(refusal);
            }
        } else {
            remove(&mut object, "/metadata/namespace");
        }
        for path in [
            "/metadata/uid",
            "/metadata/resourceVersion",
            "/metadata/deletionTimestamp",
            "/metadata/deletionGracePeriodSeconds",
            "/metadata/managedFields",
            "/metadata/generation",
            "/metadata/selfLink",
        ] {
            remove(&mut object, path);
        }
        if facts.status && !matches!(kind, Kind::Node | Kind::PersistentVolume) {
            remove(&mut object, "/status");
        }
        let now = self.now();
        set(&mut object, "/metadata/creationTimestamp", seconds(now));
        set(&mut object, "/metadata/uid", self.random.uid());
        if facts.generation {
            set(&mut object, "/metadata/generation", 1);
        }
        defaults::apply(kind, &mut object);
        admission::mutate(self, kind, &mut object)?;
        // Only what is admitted so far gets a name: those who refuse it before know its beginning.
        if name(&object).is_empty() {
            let prefix = text(&object, "/metadata/generateName").to_owned();
            if !prefix.is_empty() {
                let kept: String = prefix.chars().take(58).collect();
                let name = format!("{kept}{}", self.random.suffix(5));
                set(&mut object, "/metadata/name", name);
            }
        }
        self.allocate(kind, &mut object)?;
        let wrong = validation::check(kind, &object, None);
        if !wrong.is_empty() {
            return Err(Refusal::invalid(kind, name(&object), &wrong));
        }
        let key = Key::of(&object);
        if self.store.get(kind, &key).is_some() {
            return Err(Refusal::already_exists(kind, &key.name));
        }
        admission::check(self, kind, &object)?;
        if dry_run {
            return Ok(Arc::new(object));
        }
        Ok(self.store.put(kind, object))
    }

    /// Gives Services their addresses.
    fn allocate(&mut self, kind: Kind, object: &mut Value) -> Result<()> {
        if kind != Kind::Service {
            return Ok(());
        }
        let wanted = text(object, "/spec/clusterIP").to_owned();
        if text(object, "/spec/type") != "ExternalName" {
            let ip = match wanted.as_str() {
                "" => self.network.next_service_ip(&self.store),
                "None" => "None".to_owned(),
                ip => {
                    let taken = self
                        .store
                        .list(Kind::Service, None)
                        .any(|other| text(other, "/spec/clusterIP") == ip);
                    if taken {
                        let field = "spec.clusterIPs";
                        let why =
                            format!("failed to allocate IP {ip}: provided IP is already allocated");
                        let wrong = Wrong::invalid(field, &json!([ip]), &why);
                        return Err(Refusal::invalid(kind, name(object), &[wrong]));
                    }
                    ip.to_owned()
                }
            };
            set(object, "/spec/clusterIP", ip.as_str());
            set(object, "/spec/clusterIPs", json!([ip]));
            value::default(object, "/spec/ipFamilies", json!(["IPv4"]));
            value::default(object, "/spec/ipFamilyPolicy", "SingleStack");
        }
        if matches!(text(object, "/spec/type"), "NodePort" | "LoadBalancer") {
            let mut next = self.network.next_node_port(&self.store);
            for port in value::list_mut(object, "/spec/ports").into_iter().flatten() {
                if int(port, "/nodePort").is_none() {
                    set(port, "/nodePort", next);
                    next += 1;
                }
            }
        }
        Ok(())
    }

    /// Puts a whole new state in place of an object's, all but its status.
    pub(crate) fn update(
        &mut self,
        kind: Kind,
        key: &Key,
        object: Value,
        dry_run: bool,
    ) -> Result<Arc<Value>> {
        self.replace(kind, key, object, false, dry_run)
    }

    pub(crate) fn replace(
        &mut self,
        kind: Kind,
        key: &Key,
        mut object: Value,
        status: bool,
        dry_run: bool,
    ) -> Result<Arc<Value>> {
        let facts = kind.facts();
        let before = self.get(kind, key)?;
        let said = text(&object, "/metadata/resourceVersion");
        if !said.is_empty() && said != text(&before, "/metadata/resourceVersion") {
            return Err(Refusal::conflict(
                kind,
                &key.name,
                "the object has been modified; please apply your changes to the latest version \
                 and try again",
            ));
        }
        let said = uid(&object);
        if !said.is_empty() && said != uid(&before) {
            let why = format!(
                "Precondition failed: UID in precondition: {said}, UID in object meta: {}",
                uid(&before)
            );
            return Err(Refusal::conflict(kind, &key.name, &why));
        }
        if name(&object) != key.name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                name(&object),
                key.name
            )));
        }
        let mut after_it;
        if status {
            after_it = (*before).clone();
            let new = at(&object, "/status").clone();
            set(&mut after_it, "/status", new);
            if kind == Kind::Node || kind == Kind::Pod {
                // Clients may write these along with the status; the kubelet does.
                for path in ["/metadata/labels", "/metadata/annotations"] {
                    let new = at(&object, path);
                    if !new.is_null() {
                        set(&mut after_it, path, new.clone());
                    }
                }
            }
        } else {
            for path in [
                "/metadata/uid",
                "/metadata/creationTimestamp",
                "/metadata/resourceVersion",
                "/metadata/namespace",
                "/metadata/generation",
                "/metadata/generateName",
                "/metadata/deletionTimestamp",
                "/metadata/deletionGracePeriodSeconds",
            ] {
                match before.pointer(path) {
                    Some(old) => set(&mut object, path, old.clone()),
                    None => drop(remove(&mut object, path)),
                }
            }
            remove(&mut object, "/metadata/managedFields");
            if facts.status {
                match before.pointer("/status") {
                    Some(old) => set(&mut object, "/status", old.clone()),
                    None => drop(remove(&mut object, "/status")),
                }
            }
            if let Some(spec) = object.pointer_mut("/spec") {
                value::drop_nulls(spec);
            }
            set(&mut object, "/apiVersion", kind.api_version());
            set(&mut object, "/kind", facts.name);
            defaults::apply(kind, &mut object);
            if kind == Kind::Service {
                for path in ["/spec/clusterIP", "/spec/clusterIPs"] {
                    if let Some(old) = before.pointer(path) {
                        value::default(&mut object, path, old.clone());
                    }
                }
                self.allocate_kept(&before, &mut object);
            }
            if facts.generation && at(&object, "/spec") != at(&before, "/spec") {
                let generation = int(&before, "/metadata/generation").unwrap_or(0) + 1;
                set(&mut object, "/metadata/generation", generation);
            }
            let wrong = validation::check(kind, &object, Some(&before));
            if !wrong.is_empty() {
                return Err(Refusal::invalid(kind, &key.name, &wrong));
            }
            after_it = object;
        }
        if after_it == *before || dry_run {
            return Ok(Arc::new(after_it));
        }
        let finished = deleting(&after_it)
            && list(&after_it, "/metadata/finalizers").is_empty()
            && list(&after_it, "/spec/finalizers").is_empty()
            && int(&after_it, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0;
        let stored = self.store.put(kind, after_it);
        if finished {
            return Ok(self.store.remove(kind, key).unwrap_or(stored));
        }
        Ok(stored)
    }

    fn allocate_kept(&mut self, before: &Value, object: &mut Value) {
        if text(object, "/spec/type") != "ExternalName"
            && text(object, "/spec/clusterIP").is_empty()
        {
            let ip = self.network.next_service_ip(&self.store);
            set(object, "/spec/clusterIP", ip.as_str());
            set(object, "/spec/clusterIPs", json!([ip]));
        }
        for path in ["/spec/ipFamilies", "/spec/ipFamilyPolicy"] {
            if let Some(old) = before.pointer(path) {
                value::default(object, path, old.clone());
            }
        }
        if matches!(text(object, "/spec/type"), "NodePort" | "LoadBalancer") {
            let mut next = self.network.next_node_port(&self.store);
            let old: Vec<Value> = list(before, "/spec/ports").to_vec();
            for port in value::list_mut(object, "/spec/ports").into_iter().flatten() {
                if int(port, "/nodePort").is_some() {
                    continue;
                }
                let kept = old
                    .iter()
                    .find(|old| at(old, "/port") == at(port, "/port"))
                    .and_then(|old| int(old, "/nodePort"));
                set(port, "/nodePort", kept.unwrap_or(next));
                next += i64::from(kept.is_none());
            }
        }
    }

    /// Changes an object that is there: what the controllers do to what they look after.
    ///
    /// Gives the object as it then is; nothing is written where nothing changed.
    pub(crate) fn modify(
        &mut self,
        kind: Kind,
        key: &Key,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Value>> {
        let before = self.store.get(kind, key)?.clone();
        let mut object = (*before).clone();
        change(&mut object);
        if object == *before {
            return Some(before);
        }
        if kind.facts().generation && at(&object, "/spec") != at(&before, "/spec") {
            let generation = int(&before, "/metadata/generation").unwrap_or(0) + 1;
            set(&mut object, "/metadata/generation", generation);
        }
        let finished = deleting(&object)
            && list(&object, "/metadata/finalizers").is_empty()
            && list(&object, "/spec/finalizers").is_empty()
            && int(&object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0;
        let stored = self.store.put(kind, object);
        if finished {
            return self.store.remove(kind, key);
        }
        Some(stored)
    }

    /// Sets a condition of an object's status. The transition time moves with the status alone.
    pub(crate) fn set_condition(&mut self, kind: Kind, key: &Key, condition: Value) {
        let now = seconds(self.now());
        self.modify(kind, key, |object| put_condition(object, condition, &now));
    }

    /// Deletes an object, or begins to.
    pub(crate) fn delete(&mut self, kind: Kind, key: &Key, how: &Deletion) -> Result<Arc<Value>> {
        let before = self.get(kind, key)?;
        if let Some(wanted) = &how.uid
            && wanted != uid(&before)
        {
            let why = format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {}",
                uid(&before)
            );
            return Err(Refusal::conflict(kind, &key.name, &why));
        }
        let revision = text(&before, "/metadata/resourceVersion");
        if let Some(wanted) = &how.revision
            && wanted != revision
        {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {wanted}, \
                 ResourceVersion in object meta: {revision}"
            );
            return Err(Refusal::conflict(kind, &key.name, &why));
        }
        if kind == Kind::Namespace && ["default", "kube-system"].contains(&key.name.as_str()) {
            return Err(Refusal::forbidden(
                kind,
                &key.name,
                "this namespace may not be deleted",
            ));
        }
        if how.dry_run {
            return Ok(before);
        }
        let grace = grace_of(kind, &before, how.grace);
        let finalizer = match how.propagation.as_deref() {
            Some("Foreground") if !self.store.dependents(uid(&before)).is_empty() => {
                Some("foregroundDeletion")
            }
            Some("Orphan") if !self.store.dependents(uid(&before)).is_empty() => Some("orphan"),
            _ => None,
        };
        let held = finalizer.is_some()
            || !list(&before, "/metadata/finalizers").is_empty()
            || !list(&before, "/spec/finalizers").is_empty();
        if grace == 0 && !held {
            return self
                .store
                .remove(kind, key)
                .ok_or_else(|| Refusal::not_found(kind, &key.name));
        }
        let now = self.now();
        if deleting(&before) {
            let present = int(&before, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
            if present <= grace {
                return Ok(before);
            }
        }
        let end = after(now, Duration::from_secs(grace.unsigned_abs()));
        self.modify(kind, key, |object| {
            set(object, "/metadata/deletionTimestamp", seconds(end));
            set(object, "/metadata/deletionGracePeriodSeconds", grace);
            if let Some(finalizer) = finalizer {
                let mut finalizers = list(object, "/metadata/finalizers").to_vec();
                finalizers.push(json!(finalizer));
                set(object, "/metadata/finalizers", finalizers);
            }
            if kind == Kind::Namespace {
                set(object, "/status/phase", "Terminating");
            }
            if kind.facts().generation {
                let generation = int(object, "/metadata/generation").unwrap_or(0) + 1;
                set(object, "/metadata/generation", generation);
            }
        })
        .ok_or_else(|| Refusal::not_found(kind, &key.name))
    }

    /// Gives a pod its node.
    pub(crate) fn bind(&mut self, key: &Key, node: &str) -> Result<()> {
        let pod = self.get(Kind::Pod, key)?;
        let bound = text(&pod, "/spec/nodeName");
        if !bound.is_empty() {
            let why = format!("pod {} is already assigned to node {bound:?}", key.name);
            return Err(Refusal::conflict(Kind::Pod, &key.name, &why));
        }
        let condition = json!({ "type": "PodScheduled", "status": "True" });
        let now = seconds(self.now());
        self.modify(Kind::Pod, key, |pod| {
            set(pod, "/spec/nodeName", node);
            remove(pod, "/status/nominatedNodeName");
            put_condition(pod, condition, &now);
        });
        Ok(())
    }

    /// Evicts a pod, if the disruption budgets that select it allow it.
    ///
    /// Source: `pkg/registry/core/pod/storage/eviction.go`.
    pub(crate) fn evict(&mut self, key: &Key, how: &Deletion) -> Result<()> {
        let pod = self.get(Kind::Pod, key)?;
        let phase = text(&pod, "/status/phase");
        let finished = matches!(phase, "Succeeded" | "Failed" | "Pending");
        let budgets: Vec<Arc<Value>> = self
            .store
            .list(Kind::PodDisruptionBudget, Some(&key.namespace))
            .filter(|budget| {
                crate::selector::Labels::of(at(budget, "/spec/selector"))
                    .is_some_and(|labels| labels.select(&pod))
            })
            .cloned()
            .collect();
        if !finished && !deleting(&pod) {
            if budgets.len() > 1 {
                return Err(Refusal::internal(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
            if let Some(budget) = budgets.first() {
                let allowed = int(budget, "/status/disruptionsAllowed").unwrap_or(0);
                let seen = int(budget, "/status/observedGeneration").unwrap_or(0);
                let ready = value::condition_true(&pod, "Ready");
                if seen < int(budget, "/metadata/generation").unwrap_or(0) {
                    return Err(too_many(
                        "Cannot evict pod as it would violate the pod's disruption budget.",
                        format!(
                            "The disruption budget {} is still being processed by the server.",
                            name(budget)
                        ),
                        10,
                    ));
                }
                if allowed <= 0 && (ready || !healthy_enough(budget)) {
                    return Err(too_many(
                        "Cannot evict pod as it would violate the pod's disruption budget.",
                        format!(
                            "The disruption budget {} needs {} healthy pods and has {} currently",
                            name(budget),
                            int(budget, "/status/desiredHealthy").unwrap_or(0),
                            int(budget, "/status/currentHealthy").unwrap_or(0)
                        ),
                        0,
                    ));
                }
                if ready && !how.dry_run {
                    let time = seconds(self.now());
                    let path = format!("/status/disruptedPods/{}", key.name);
                    self.modify(Kind::PodDisruptionBudget, &Key::of(budget), |budget| {
                        set(budget, "/status/disruptionsAllowed", allowed - 1);
                        set(budget, &path, time);
                    });
                }
            }
        }
        if !how.dry_run && !deleting(&pod) {
            self.set_condition(
                Kind::Pod,
                key,
                json!({ "type": "DisruptionTarget", "status": "True",
                    "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting" }),
            );
        }
        self.delete(Kind::Pod, key, how).map(drop)
    }
}

fn healthy_enough(budget: &Value) -> bool {
    let policy = text(budget, "/spec/unhealthyPodEvictionPolicy");
    policy == "AlwaysAllow"
        || int(budget, "/status/currentHealthy") >= int(budget, "/status/desiredHealthy")
            && int(budget, "/status/desiredHealthy").unwrap_or(0) > 0
}

fn too_many(message: &str, cause: String, retry: i64) -> Refusal {
    let mut refusal = Refusal::plain(429, "TooManyRequests", message);
    refusal.details = json!({
        "causes": [{ "reason": "DisruptionBudget", "message": cause }],
    });
    if retry > 0 {
        set(&mut refusal.details, "/retryAfterSeconds", retry);
    }
    refusal
}

/// How long a deletion waits: pods that run somewhere get their grace, all else none.
fn grace_of(kind: Kind, object: &Value, asked: Option<i64>) -> i64 {
    if kind != Kind::Pod {
        return 0;
    }
    let finished = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
    if text(object, "/spec/nodeName").is_empty() || finished {
        return 0;
    }
    asked
        .or_else(|| int(object, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(30)
        .max(0)
}

/// Puts a condition into a status, in place of the one of its type.
pub(crate) fn put_condition(object: &mut Value, mut condition: Value, now: &str) {
    let kind = text(&condition, "/type").to_owned();
    if !at(object, "/status/conditions").is_array() {
        set(object, "/status/conditions", json!([]));
    }
    let is_pod = text(object, "/kind") == "Pod";
    if is_pod {
        value::default(&mut condition, "/lastProbeTime", Value::Null);
        if let Some(generation) = int(object, "/metadata/generation") {
            value::default(&mut condition, "/observedGeneration", generation);
        }
    }
    let Some(conditions) = value::list_mut(object, "/status/conditions") else {
        return;
    };
    let place = conditions
        .iter_mut()
        .find(|present| text(present, "/type") == kind);
    match place {
        Some(present) => {
            let moved = text(present, "/status") != text(&condition, "/status");
            let time = if moved {
                json!(now)
            } else {
                at(present, "/lastTransitionTime").clone()
            };
            value::default(&mut condition, "/lastTransitionTime", time);
            *present = condition;
        }
        None => {
            value::default(&mut condition, "/lastTransitionTime", now);
            conditions.push(condition);
        }
    }
}
