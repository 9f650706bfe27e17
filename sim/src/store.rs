//! The objects of the cluster, their revisions, and what changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use crate::kinds::Kind;
use crate::value::{list, name, namespace, set, text};

/// Where an object is: its namespace (empty for those of the cluster) and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    /// The key of a namespace and a name.
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The key of an object.
    pub(crate) fn of(object: &Value) -> Self {
        Self::new(namespace(object), name(object))
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Added,
    Modified,
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) revision: u64,
    pub(crate) what: What,
    /// The object after the change; for a deletion its last state, at the deletion's revision.
    pub(crate) object: Arc<Value>,
    /// The object before the change.
    pub(crate) before: Option<Arc<Value>>,
}

/// How many changes of a kind are remembered for watches that begin in the past.
const REMEMBERED: usize = 4096;

/// The objects of the cluster.
#[derive(Debug)]
pub(crate) struct Store {
    objects: Vec<BTreeMap<Key, Arc<Value>>>,
    changes: Vec<VecDeque<Change>>,
    /// The newest revision of each kind that is no longer remembered.
    forgotten: Vec<u64>,
    revision: u64,
    /// What names an owner, by the owner's uid; under an empty uid what names none.
    by_owner: BTreeMap<String, BTreeMap<(Kind, Key), Arc<Value>>>,
    by_node: BTreeMap<String, BTreeSet<Key>>,
    by_uid: BTreeMap<String, (Kind, Key)>,
    /// What the controllers have not seen yet.
    unseen: VecDeque<Change>,
}

impl Store {
    /// A store without objects.
    pub(crate) fn new() -> Self {
        Self {
            objects: vec![BTreeMap::new(); Kind::ALL.len()],
            changes: vec![VecDeque::new(); Kind::ALL.len()],
            forgotten: vec![0; Kind::ALL.len()],
            revision: 1,
            by_owner: BTreeMap::new(),
            by_node: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            unseen: VecDeque::new(),
        }
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// An object.
    pub(crate) fn get(&self, kind: Kind, key: &Key) -> Option<&Arc<Value>> {
        self.objects[kind as usize].get(key)
    }

    /// The objects of a kind, of all namespaces where none is given, in order of their keys.
    pub(crate) fn list<'a>(
        &'a self,
        kind: Kind,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Value>> {
        let from = Key::new(namespace.unwrap_or(""), "");
        self.objects[kind as usize]
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(move |(key, _)| namespace.is_none_or(|wanted| key.namespace == wanted))
            .map(|(_, object)| object)
    }

    /// The pods that are bound to a node.
    pub(crate) fn pods_on(&self, node: &str) -> Vec<Arc<Value>> {
        let keys = self.by_node.get(node);
        keys.into_iter()
            .flatten()
            .filter_map(|key| self.get(Kind::Pod, key).cloned())
            .collect()
    }

    /// The nodes that pods are bound to, whether they are there or not, in order.
    pub(crate) fn nodes_of_pods(&self) -> Vec<String> {
        let of_some = self.by_node.iter().filter(|(_, pods)| !pods.is_empty());
        of_some.map(|(node, _)| node.clone()).collect()
    }

    /// Where the object of a uid is.
    pub(crate) fn place_of(&self, uid: &str) -> Option<&(Kind, Key)> {
        self.by_uid.get(uid)
    }

    /// All objects that name an owner.
    pub(crate) fn dependents(&self, owner: &str) -> Vec<(Kind, Key)> {
        let owned = self.by_owner.get(owner);
        owned
            .into_iter()
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect()
    }

    /// The objects of a kind that name an owner, in order of their keys.
    pub(crate) fn owned(&self, kind: Kind, owner: &str) -> Vec<Arc<Value>> {
        let from = (kind, Key::default());
        self.by_owner
            .get(owner)
            .into_iter()
            .flat_map(|all| all.range(from.clone()..))
            .take_while(|((of, _), _)| *of == kind)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// The objects of a kind and namespace that name no owner.
    pub(crate) fn orphans(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        let from = (kind, Key::new(namespace, ""));
        self.by_owner
            .get("")
            .into_iter()
            .flat_map(|all| all.range(from.clone()..))
            .take_while(|((of, key), _)| *of == kind && key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Puts an object in place of what is there under its key, at a new revision.
    pub(crate) fn put(&mut self, kind: Kind, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        set(
            &mut object,
            "/metadata/resourceVersion",
            self.revision.to_string(),
        );
        let key = Key::of(&object);
        let object = Arc::new(object);
        let before = self.objects[kind as usize].insert(key.clone(), object.clone());
        if let Some(before) = &before {
            self.unindex(kind, &key, before);
        }
        self.index(kind, &key, &object);
        let what = match before {
            Some(_) => What::Modified,
            None => What::Added,
        };
        self.remember(kind, what, object.clone(), before);
        object
    }

    /// Takes an object away, at a new revision. Gives its last state.
    pub(crate) fn remove(&mut self, kind: Kind, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects[kind as usize].remove(key)?;
        self.unindex(kind, key, &before);
        self.revision += 1;
        let mut last = (*before).clone();
        set(
            &mut last,
            "/metadata/resourceVersion",
            self.revision.to_string(),
        );
        let last = Arc::new(last);
        self.remember(kind, What::Deleted, last.clone(), Some(before));
        Some(last)
    }

    /// The changes of a kind after a revision, or the oldest revision that a watch may begin at.
    pub(crate) fn changes_since(
        &self,
        kind: Kind,
        revision: u64,
    ) -> Result<impl Iterator<Item = &Change>, u64> {
        if revision < self.forgotten[kind as usize] {
            return Err(self.forgotten[kind as usize]);
        }
        let changes = &self.changes[kind as usize];
        let from = changes.partition_point(|change| change.revision <= revision);
        Ok(changes.range(from..))
    }

    /// Takes the oldest change that the controllers have not seen.
    pub(crate) fn next_unseen(&mut self) -> Option<Change> {
        self.unseen.pop_front()
    }

    /// Forgets every change so far, so that watches from the past are refused.
    pub(crate) fn compact(&mut self) {
        for (changes, forgotten) in self.changes.iter_mut().zip(&mut self.forgotten) {
            changes.clear();
            *forgotten = self.revision;
        }
    }

    fn remember(&mut self, kind: Kind, what: What, object: Arc<Value>, before: Option<Arc<Value>>) {
        let change = Change {
            kind,
            revision: self.revision,
            what,
            object,
            before,
        };
        self.unseen.push_back(change.clone());
        let changes = &mut self.changes[kind as usize];
        changes.push_back(change);
        if changes.len() > REMEMBERED
            && let Some(oldest) = changes.pop_front()
        {
            self.forgotten[kind as usize] = oldest.revision;
        }
    }

    fn index(&mut self, kind: Kind, key: &Key, object: &Arc<Value>) {
        let uid = text(object, "/metadata/uid").to_owned();
        self.by_uid.insert(uid, (kind, key.clone()));
        for owner in owners(object) {
            let owned = self.by_owner.entry(owner).or_default();
            owned.insert((kind, key.clone()), object.clone());
        }
        let node = text(object, "/spec/nodeName");
        if kind == Kind::Pod && !node.is_empty() {
            let pods = self.by_node.entry(node.to_owned()).or_default();
            pods.insert(key.clone());
        }
    }

    fn unindex(&mut self, kind: Kind, key: &Key, object: &Value) {
        self.by_uid.remove(text(object, "/metadata/uid"));
        for owner in owners(object) {
            if let Some(owned) = self.by_owner.get_mut(&owner) {
                owned.remove(&(kind, key.clone()));
                if owned.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
        }
        if kind == Kind::Pod
            && let Some(pods) = self.by_node.get_mut(text(object, "/spec/nodeName"))
        {
            pods.remove(key);
        }
    }
}

/// The uids of an object's owners; one that is empty where there is none.
fn owners(object: &Value) -> Vec<String> {
    match list(object, "/metadata/ownerReferences") {
        [] => vec![String::new()],
        owners => owners
            .iter()
            .map(|owner| text(owner, "/uid").to_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, name: &str, node: &str) -> Value {
        json!({
            "metadata": { "namespace": namespace, "name": name, "uid": name,
                "ownerReferences": [{ "uid": "owner" }] },
            "spec": { "nodeName": node },
        })
    }

    #[test]
    fn lists_are_of_one_namespace_or_of_all() {
        let mut store = Store::new();
        for (namespace, name) in [("b", "x"), ("a", "y"), ("ab", "z")] {
            store.put(Kind::Pod, pod(namespace, name, ""));
        }
        let names = |namespace| -> Vec<String> {
            let pods = store.list(Kind::Pod, namespace);
            pods.map(|pod| name(pod).to_owned()).collect()
        };
        assert_eq!(names(Some("a")), ["y"]);
        assert_eq!(names(None), ["y", "z", "x"]);
    }

    #[test]
    fn indexes_follow_the_objects() {
        let mut store = Store::new();
        store.put(Kind::Pod, pod("a", "x", ""));
        assert!(store.pods_on("node").is_empty());
        store.put(Kind::Pod, pod("a", "x", "node"));
        assert_eq!(store.pods_on("node").len(), 1);
        assert_eq!(store.dependents("owner").len(), 1);
        store.remove(Kind::Pod, &Key::new("a", "x"));
        assert!(store.pods_on("node").is_empty());
        assert!(store.dependents("owner").is_empty());
    }

    #[test]
    fn changes_are_told_from_a_revision_until_they_are_forgotten() {
        let mut store = Store::new();
        let first = store.put(Kind::Pod, pod("a", "x", ""));
        let revision: u64 = text(&first, "/metadata/resourceVersion").parse().unwrap();
        store.put(Kind::Pod, pod("a", "x", "node"));
        store.remove(Kind::Pod, &Key::new("a", "x"));
        let whats: Vec<What> = store
            .changes_since(Kind::Pod, revision)
            .unwrap()
            .map(|change| change.what)
            .collect();
        assert_eq!(whats, [What::Modified, What::Deleted]);
        store.compact();
        assert!(store.changes_since(Kind::Pod, revision).is_err());
    }
}
