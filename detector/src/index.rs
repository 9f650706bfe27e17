//! Objects by what they have in common.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use smallvec::SmallVec;

use crate::key::Key;
use crate::object::Described;

/// Objects by what they have in common. They come and go more often than they are looked at: they
/// are put in order only then.
#[derive(Debug)]
pub(crate) struct Index<T>(HashMap<Key, SmallVec<[Arc<T>; 2]>>);

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Described> Index<T> {
    /// All of these objects, each under its keys, of which most have one.
    pub(crate) fn of<'a, K>(
        objects: impl Iterator<Item = &'a Arc<T>> + Clone,
        keys: impl Fn(&'a T) -> K,
    ) -> Self
    where
        T: 'a,
        K: IntoIterator<Item = Key>,
    {
        // To grow would be to copy them several times.
        let mut index = Self(HashMap::with_capacity(objects.clone().count()));
        for object in objects {
            index.insert(keys(object), object);
        }
        index
    }

    pub(crate) fn insert(&mut self, keys: impl IntoIterator<Item = Key>, object: &Arc<T>) {
        for key in keys {
            let group = self.0.entry(key).or_default();
            // It can have the same address twice.
            if group.last().is_none_or(|last| !Arc::ptr_eq(last, object)) {
                group.push(object.clone());
            }
        }
    }

    pub(crate) fn remove(&mut self, keys: impl IntoIterator<Item = Key>, object: &Arc<T>) {
        for key in keys {
            let Entry::Occupied(mut group) = self.0.entry(key) else {
                continue;
            };
            let objects = group.get_mut();
            if let Some(place) = objects.iter().position(|one| Arc::ptr_eq(one, object)) {
                objects.swap_remove(place);
            }
            if objects.is_empty() {
                group.remove();
            }
        }
    }

    /// The one that came last, as long as none went.
    pub(crate) fn latest(&self, key: Key) -> Option<&Arc<T>> {
        self.0.get(&key)?.last()
    }

    /// By namespace and name, whatever the order of their arrival.
    pub(crate) fn sorted(&self, key: Key) -> impl Iterator<Item = &T> {
        let group = self.0.get(&key).into_iter().flatten();
        let mut sorted: SmallVec<[&T; 4]> = group.map(Arc::as_ref).collect();
        sorted.sort_unstable_by(|a, b| {
            let (a, b) = (a.meta(), b.meta());
            (a.namespace, a.name).cmp(&(b.namespace, b.name))
        });
        sorted.into_iter()
    }
}
