//! What every namespace has, and what becomes of a namespace that is deleted.
//!
//! Source: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`.

use serde_json::json;

use crate::kinds::Kind;
use crate::store::Key;
use crate::value::{deleting, set};
use crate::world::{Deletion, World};

/// Gives a namespace its default service account and the cluster's certificate.
pub(crate) fn provide(world: &mut World, namespace: &str) {
    if world
        .find(Kind::ServiceAccount, namespace, "default")
        .is_none()
    {
        let account = json!({ "metadata": { "name": "default" } });
        // Refused only while the namespace goes.
        let _made = world.create(Kind::ServiceAccount, namespace, account, false);
    }
    if world
        .find(Kind::ConfigMap, namespace, "kube-root-ca.crt")
        .is_none()
    {
        let map = json!({
            "metadata": { "name": "kube-root-ca.crt", "annotations": { "kubernetes.io/description":
                "Contains a CA bundle that can be used to verify the kube-apiserver when using \
                 internal endpoints such as the internal service IP or kubernetes.default.svc. No \
                 other usage is guaranteed across distributions of Kubernetes clusters." } },
            "data": { "ca.crt": "" },
        });
        let _made = world.create(Kind::ConfigMap, namespace, map, false);
    }
}

/// Provides for a namespace, or empties one that is deleted and lets it go.
pub(crate) fn sync(world: &mut World, name: &str) {
    let place = Key::new("", name);
    let Some(namespace) = world.store.get(Kind::Namespace, &place) else {
        return;
    };
    if !deleting(namespace) {
        provide(world, name);
        return;
    }
    let mut left = false;
    for kind in Kind::ALL
        .iter()
        .copied()
        .filter(|kind| kind.facts().namespaced)
    {
        let keys: Vec<Key> = world
            .store
            .list(kind, Some(name))
            .map(|object| Key::of(object))
            .collect();
        for key in keys {
            // Gone already is as good as deleted.
            let _gone = world.delete(kind, &key, &Deletion::default());
            left |= world.store.get(kind, &key).is_some();
        }
    }
    if !left {
        world.modify(Kind::Namespace, &place, |namespace| {
            set(namespace, "/spec/finalizers", json!([]));
        });
    }
}
