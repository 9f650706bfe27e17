//! Watches one kind of object, and tells what it sees as observations.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use crashbook_detector::{Kind, Object, Observation};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::clock;

/// How long to wait before a kind that cannot be read is tried again: it may be allowed or
/// installed while we watch.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// How long an attempt to connect may take.
const DISCOVERY_DEADLINE: Duration = Duration::from_secs(5);

/// What a watch tells.
#[derive(Debug)]
pub(super) struct Seen {
    /// When it arrived at this process.
    pub(super) arrival: Timestamp,
    /// The kind that was watched.
    pub(super) kind: Kind,
    pub(super) what: What,
}

/// Why a kind cannot be read that the cluster does not have.
pub(crate) const NOT_SERVED: &str = "the cluster does not serve it";

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are observations")]
pub(super) enum What {
    /// An object, or its absence, with the version that the server gave it, if any.
    Observation(Observation, Option<u64>),
    /// An object that does not have the form of its kind.
    Malformed(String),
    /// The kind cannot be read for now, for a reason that may pass by itself.
    Trouble(String),
}

/// Watches a kind until the receiver is gone.
pub(super) async fn watch(
    client: Client,
    kind: Kind,
    namespace: Option<String>,
    to: UnboundedSender<Seen>,
) {
    let tell = |what| {
        let seen = Seen {
            arrival: clock::now(),
            kind,
            what,
        };
        to.send(seen).is_ok()
    };
    let unreadable = |because| {
        let observation = Observation::Unreadable { kind, because };
        What::Observation(observation, None)
    };
    loop {
        let served = tokio::time::timeout(DISCOVERY_DEADLINE, served(&client, kind)).await;
        let told = match served {
            Ok(Ok(Some(resource))) => {
                let ended = match kind {
                    Kind::Secret => {
                        follow::<WatchedSecret>(&client, &resource, kind, &namespace, &tell).await
                    }
                    _ => follow::<Watched>(&client, &resource, kind, &namespace, &tell).await,
                };
                match ended {
                    Some(because) => tell(unreadable(because)),
                    None => false,
                }
            }
            Ok(Ok(None)) => tell(unreadable(NOT_SERVED.to_owned())),
            Ok(Err(error)) => match refusal(&error) {
                Some(because) => tell(unreadable(because)),
                None => tell(What::Trouble(error.to_string())),
            },
            Err(_) => tell(What::Trouble("no answer from the API server".to_owned())),
        };
        if !told {
            return;
        }
        tokio::select! {
            () = sleep(TRY_AGAIN) => {}
            () = to.closed() => return,
        }
    }
}

/// How the cluster serves a kind: by the first of its groups that it has, in the version that is
/// known, else in another.
async fn served(client: &Client, kind: Kind) -> kube::Result<Option<ApiResource>> {
    for group in kind.groups() {
        if let Some(resource) = served_by(client, kind, group, kind.version()).await? {
            return Ok(Some(resource));
        }
    }
    if kind.groups().contains(&"") {
        return Ok(None);
    }
    for group in client.list_api_groups().await?.groups {
        if !kind.groups().contains(&group.name.as_str()) {
            continue;
        }
        for version in group.versions {
            let resource = served_by(client, kind, &group.name, &version.version).await?;
            if resource.is_some() {
                return Ok(resource);
            }
        }
    }
    Ok(None)
}

async fn served_by(
    client: &Client,
    kind: Kind,
    group: &str,
    version: &str,
) -> kube::Result<Option<ApiResource>> {
    let (api_version, resources) = if group.is_empty() {
        (
            version.to_owned(),
            client.list_core_api_resources(version).await,
        )
    } else {
        let api_version = format!("{group}/{version}");
        let resources = client.list_api_group_resources(&api_version).await;
        (api_version, resources)
    };
    let resources = match resources {
        Ok(resources) => resources.resources,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_served = resources
        .iter()
        .any(|resource| resource.name == kind.plural() && resource.kind == kind.name());
    Ok(is_served.then(|| ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.name(),
        plural: kind.plural().to_owned(),
    }))
}

/// Why the server refuses, where it does so for good: 401, 403, 404.
fn refusal(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404 | 405) => {
            Some(status.message.clone())
        }
        _ => None,
    }
}

fn refusal_of_watch(error: &watcher::Error) -> Option<String> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => refusal(error),
        watcher::Error::WatchError(status) if matches!(status.code, 401 | 403 | 404) => {
            Some(status.message.clone())
        }
        _ => None,
    }
}

/// Lists and watches until the server refuses, and says why; none when nobody listens any more.
async fn follow<K>(
    client: &Client,
    resource: &ApiResource,
    kind: Kind,
    namespace: &Option<String>,
    tell: &impl Fn(What) -> bool,
) -> Option<String>
where
    K: kube::Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Into<Value>
        + 'static,
{
    let api: Api<K> = match namespace {
        Some(namespace) if kind.is_namespaced() => {
            Api::namespaced_with(client.clone(), namespace, resource)
        }
        _ => Api::all_with(client.clone(), resource),
    };
    let mut events = watcher(api, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut known = HashSet::new();
    let mut listed: Option<HashSet<(String, String)>> = None;
    let decode = |object: K| {
        let version = object.meta().resource_version.as_deref();
        let version = version.and_then(|version| version.parse().ok());
        let meta = object.meta();
        let id = (
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        );
        let mut value: Value = object.into();
        if let Some(value) = value.as_object_mut() {
            // The items of a list do not say what they are.
            value.insert(
                "apiVersion".to_owned(),
                resource.api_version.as_str().into(),
            );
            value.insert("kind".to_owned(), resource.kind.as_str().into());
        }
        (id, version, Object::decode(value))
    };
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(watcher::Event::Init) => {
                listed = Some(HashSet::new());
                true
            }
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                let (id, version, object) = decode(object);
                match object {
                    Ok(object) => {
                        if let Some(listed) = &mut listed {
                            listed.insert(id);
                        } else {
                            known.insert(id);
                        }
                        tell(What::Observation(Observation::Applied(object), version))
                    }
                    Err(error) => tell(What::Malformed(explained(&error))),
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                let (id, version, object) = decode(object);
                known.remove(&id);
                match object {
                    Ok(object) => tell(What::Observation(Observation::Deleted(object), version)),
                    Err(error) => tell(What::Malformed(explained(&error))),
                }
            }
            Ok(watcher::Event::InitDone) => {
                let now = listed.take().unwrap_or_default();
                let vanished = known.difference(&now).all(|(namespace, name)| {
                    let vanished = Observation::Vanished {
                        kind,
                        namespace: namespace.clone(),
                        name: name.clone(),
                    };
                    tell(What::Observation(vanished, None))
                });
                known = now;
                let namespace = namespace.clone().filter(|_| kind.is_namespaced());
                let done = Observation::Listed { kind, namespace };
                vanished && tell(What::Observation(done, None))
            }
            Err(error) => match refusal_of_watch(&error) {
                Some(because) => return Some(because),
                None => tell(What::Trouble(error.to_string())),
            },
        };
        if !told {
            return None;
        }
    }
    Some("the watch ended".to_owned())
}

fn explained(error: &dyn std::error::Error) -> String {
    let cause = error
        .source()
        .map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

/// An object as it came: decoded once it is known of what kind it is.
#[derive(Clone, Debug)]
struct Watched {
    meta: ObjectMeta,
    object: Map<String, Value>,
}

/// A Secret as it came, less every value: they are skipped while it is read.
#[derive(Clone, Debug)]
struct WatchedSecret(Watched);

impl From<Watched> for Value {
    fn from(watched: Watched) -> Self {
        Value::Object(watched.object)
    }
}

impl From<WatchedSecret> for Value {
    fn from(secret: WatchedSecret) -> Self {
        secret.0.into()
    }
}

impl Watched {
    fn of(object: Map<String, Value>) -> Self {
        let text = |field: &str| {
            let value = object.get("metadata")?.get(field)?.as_str()?;
            Some(value.to_owned())
        };
        // What a watch needs of it.
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Self { meta, object }
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Map::deserialize(deserializer)?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        Ok(Self::of(object))
    }
}

impl<'de> Deserialize<'de> for WatchedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Shape {
            #[serde(default)]
            metadata: Metadata,
            #[serde(default, rename = "type")]
            type_: Option<String>,
            #[serde(default)]
            data: Option<Keys>,
        }
        /// The metadata, less annotations and managed fields: either may repeat values.
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Metadata {
            name: Option<String>,
            namespace: Option<String>,
            uid: Option<String>,
            resource_version: Option<String>,
            creation_timestamp: Option<String>,
            deletion_timestamp: Option<String>,
            owner_references: Option<Value>,
        }
        type Keys = std::collections::BTreeMap<String, IgnoredAny>;

        let Shape {
            metadata,
            type_,
            data,
        } = Shape::deserialize(deserializer)?;
        let fields = [
            ("name", metadata.name),
            ("namespace", metadata.namespace),
            ("uid", metadata.uid),
            ("resourceVersion", metadata.resource_version),
            ("creationTimestamp", metadata.creation_timestamp),
            ("deletionTimestamp", metadata.deletion_timestamp),
        ];
        let mut meta: Map<String, Value> = fields
            .into_iter()
            .filter_map(|(field, value)| Some((field.to_owned(), value?.into())))
            .collect();
        if let Some(owners) = metadata.owner_references {
            meta.insert("ownerReferences".to_owned(), owners);
        }
        let keys: Map<String, Value> = data
            .unwrap_or_default()
            .into_keys()
            .map(|key| (key, Value::Null))
            .collect();
        let mut object = Map::new();
        object.insert("metadata".to_owned(), meta.into());
        object.insert("type".to_owned(), type_.into());
        object.insert("data".to_owned(), keys.into());
        Ok(Self(Watched::of(object)))
    }
}

macro_rules! resource {
    ($type:ty, $self:ident => $watched:expr) => {
        impl kube::Resource for $type {
            type DynamicType = ApiResource;
            type Scope = DynamicResourceScope;

            fn kind(resource: &ApiResource) -> Cow<'_, str> {
                resource.kind.as_str().into()
            }

            fn group(resource: &ApiResource) -> Cow<'_, str> {
                resource.group.as_str().into()
            }

            fn version(resource: &ApiResource) -> Cow<'_, str> {
                resource.version.as_str().into()
            }

            fn plural(resource: &ApiResource) -> Cow<'_, str> {
                resource.plural.as_str().into()
            }

            fn meta(&$self) -> &ObjectMeta {
                &$watched.meta
            }

            fn meta_mut(&mut $self) -> &mut ObjectMeta {
                &mut $watched.meta
            }
        }
    };
}

resource!(Watched, self => self);
resource!(WatchedSecret, self => self.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_secret_is_kept() {
        let json = r#"{
            "metadata": {
                "name": "login", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "annotations": { "note": "c2VjcmV0" },
                "managedFields": [{ "manager": "c2VjcmV0" }]
            },
            "type": "Opaque",
            "data": { "password": "c2VjcmV0", "user": "c2VjcmV0" },
            "stringData": { "more": "c2VjcmV0" }
        }"#;
        let secret: WatchedSecret = serde_json::from_str(json).unwrap();
        assert!(!format!("{secret:?}").contains("c2VjcmV0"));
        let mut value: Value = secret.into();
        value["apiVersion"] = "v1".into();
        value["kind"] = "Secret".into();
        let Object::Secret(secret) = Object::decode(value).unwrap() else {
            panic!("not a Secret");
        };
        assert_eq!(secret.keys.iter().collect::<Vec<_>>(), ["password", "user"]);
    }
}
