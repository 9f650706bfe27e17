//! The cluster's API, over HTTP.

pub(crate) mod discovery;
mod log;
mod protobuf;
mod table;
mod trouble;
mod versions;
mod watch;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::clock::seconds;
use crate::error::{Refusal, Result};
use crate::kinds::{EVENTS_GROUP, Kind};
use crate::rbac::{Deed, Who};
use crate::selector::{Fields, Labels};
use crate::store::Key;
use crate::value::{self, at, int, name, set, text, uid};
use crate::world::{Deletion, World};
use crate::{Cluster, kubelet, patch};

pub(crate) use trouble::Trouble;
use versions::{kept, shown};

/// The largest body that is read.
const LARGEST: usize = 3 * 1024 * 1024;

/// What is served.
pub(crate) fn router(cluster: Cluster) -> Router {
    Router::new().fallback(serve).with_state(cluster)
}

async fn serve(State(cluster): State<Cluster>, request: Request) -> Response {
    if let Some(refusal) = cluster.refusal() {
        return refused(&refusal);
    }
    match answer(&cluster, request).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = json_response(refusal.code, &refusal.status());
    if let Some(seconds) = int(&refusal.details, "/retryAfterSeconds")
        && let Ok(value) = seconds.to_string().parse()
    {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn json_response(code: u16, value: &Value) -> Response {
    respond(code, "application/json", value.to_string())
}

fn respond(code: u16, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// What the query of a request says.
#[derive(Debug, Default)]
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Refusal::bad_request(format!(
                "unable to parse query parameter {name}: strconv.ParseInt: parsing {text:?}: \
                 invalid syntax"
            ))
        })
    }
}

/// A request for a resource.
#[derive(Clone, Debug)]
struct Target {
    kind: Kind,
    /// The group and the version it was asked for under: some kinds have two.
    group: String,
    version: String,
    namespace: String,
    name: String,
    subresource: String,
}

impl Target {
    fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }

    /// Reads `/api/v1/...` or `/apis/GROUP/VERSION/...`.
    fn parse(segments: &[String]) -> Result<Self> {
        let (group, version, rest) = match segments {
            [api, version, rest @ ..] if api == "api" => ("", version.as_str(), rest),
            [apis, group, version, rest @ ..] if apis == "apis" => {
                (group.as_str(), version.as_str(), rest)
            }
            _ => return Err(Refusal::no_such_path()),
        };
        // The old form of watches: /api/v1/watch/...
        let rest = match rest {
            [watch, rest @ ..] if watch == "watch" => rest,
            rest => rest,
        };
        let (namespace, rest) = match rest {
            [namespaces, namespace, plural, rest @ ..]
                if namespaces == "namespaces"
                    && Kind::served(group, version, plural)
                        .is_some_and(|kind| kind.facts().namespaced) =>
            {
                (
                    namespace.as_str(),
                    &segments[segments.len() - rest.len() - 1..],
                )
            }
            rest => ("", rest),
        };
        let Some((plural, rest)) = rest.split_first() else {
            return Err(Refusal::no_such_path());
        };
        let kind = Kind::served(group, version, plural).ok_or_else(Refusal::no_such_path)?;
        let part = |index: usize| rest.get(index).cloned().unwrap_or_default();
        Ok(Self {
            kind,
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            name: part(0),
            subresource: part(1),
        })
    }
}

/// The form that a client wants objects in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Whole,
    Table,
    Metadata,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok());
        // The first form that a client names is the one it likes best.
        for part in accept.unwrap_or("").split(',') {
            if part.contains("as=Table") {
                return Self::Table;
            }
            if part.contains("as=PartialObjectMetadata") {
                return Self::Metadata;
            }
            if part.contains("json") {
                return Self::Whole;
            }
        }
        Self::Whole
    }
}

async fn answer(cluster: &Cluster, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    let segments: Vec<String> = parts
        .uri
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode)
        .collect();
    let paths: Vec<&str> = segments.iter().map(String::as_str).collect();
    match paths.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => return Ok(respond(200, "text/plain", "ok")),
        ["version"] => return Ok(json_response(200, &discovery::version())),
        [] => {
            let paths =
                json!({ "paths": ["/api", "/apis", "/healthz", "/openapi/v3", "/version"] });
            return Ok(json_response(200, &paths));
        }
        ["api"] => return Ok(discovery::core(&parts.headers)),
        ["apis"] => return Ok(discovery::groups(&parts.headers)),
        ["api", "v1"] => return discovery::resources("", "v1"),
        ["apis", group] => return discovery::group(group),
        [
            "apis",
            "authorization.k8s.io" | "authentication.k8s.io",
            "v1",
            review,
        ] if parts.method == Method::POST => {
            let request = parse_body(&parts.headers, &read(body).await?)?;
            return review_access(cluster, &who(&parts.headers), review, request);
        }
        ["apis", group, version] => return discovery::resources(group, version),
        ["api", "v1", "nodes", node, "proxy", path @ ..] if parts.method == Method::GET => {
            return ask_kubelet(cluster, node, path);
        }
        ["openapi", "v3"] => return Ok(json_response(200, &discovery::openapi_index())),
        ["openapi", "v3", "api", "v1"] => return discovery::openapi("", "v1"),
        ["openapi", "v3", "apis", group, version] => return discovery::openapi(group, version),
        _ => {}
    }
    let mut target = Target::parse(&segments)?;
    if target.kind.facts().namespaced && target.namespace.is_empty() && !target.name.is_empty() {
        return Err(Refusal::no_such_path());
    }
    let watching = query.is_true("watch") || paths.contains(&"watch");
    let who = who(&parts.headers);
    authorize(cluster, &who, &parts.method, &target, watching)?;
    match (target.kind, target.subresource.as_str()) {
        (Kind::Pod, "log") if parts.method == Method::GET => {
            return log::log(cluster, &target, &query);
        }
        (Kind::Pod, "exec" | "attach" | "portforward")
            if matches!(parts.method, Method::GET | Method::POST) =>
        {
            return Err(unentered(cluster, &target, &query));
        }
        _ => {}
    }
    let form = Form::of(&parts.headers);
    let kind = target.kind;
    let answered = match (parts.method.clone(), target.name.is_empty()) {
        (Method::GET, true) if watching => watch::watch(cluster, &target, &query, form),
        (Method::GET, true) => {
            let slowness = cluster.slowness();
            if !slowness.is_zero() {
                tokio::time::sleep(slowness).await;
            }
            list(cluster, &target, &query, form)
        }
        (Method::GET, false) if watching && target.subresource.is_empty() => {
            let only = format!("metadata.name={}", target.name);
            target.name.clear();
            let query = Query(
                query
                    .0
                    .into_iter()
                    .filter(|(key, _)| key != "fieldSelector")
                    .chain([("fieldSelector".to_owned(), only)])
                    .collect(),
            );
            watch::watch(cluster, &target, &query, form)
        }
        (Method::GET, false) => get(cluster, &target, &query, form),
        (method, _) => {
            let bytes = read(body).await?;
            write(
                cluster,
                &method,
                &target,
                &query,
                &parts.headers,
                &bytes,
                form,
            )
        }
    };
    let mut response = answered?;
    if kind == Kind::Endpoints {
        response
            .headers_mut()
            .insert(header::WARNING, OLD_ENDPOINTS);
    }
    Ok(response)
}

/// Why nobody gets into a container, or to a port of a pod: something is wrong with the request, or
/// else that is not served here.
///
/// Source: `pkg/registry/core/pod/strategy.go`, `streamLocation` and `PortForwardLocation`.
fn unentered(cluster: &Cluster, target: &Target, query: &Query) -> Refusal {
    let found = cluster.world().get(target.kind, &target.key());
    let pod = match found {
        Ok(pod) => pod,
        Err(refusal) => return refusal,
    };
    if target.subresource != "portforward"
        && let Err(refusal) = log::container(&pod, query.get("container").unwrap_or(""))
    {
        return refusal;
    }
    if text(&pod, "/spec/nodeName").is_empty() {
        let pod = name(&pod);
        return Refusal::bad_request(format!("pod {pod} does not have a host assigned"));
    }
    let what = match target.subresource.as_str() {
        "exec" => "commands are run in its containers by their own programs and probes alone",
        "attach" => "what its containers print is in their logs",
        _ => "its pods are reached from each other and from its nodes alone",
    };
    Refusal::plain(
        501,
        "NotImplemented",
        format!(
            "the embedded cluster serves no pods/{}: {what}",
            target.subresource
        ),
    )
}

/// Source: `endpointsWarning` in `pkg/registry/core/endpoint/strategy.go`.
const OLD_ENDPOINTS: header::HeaderValue = header::HeaderValue::from_static(
    "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"",
);

/// Passes a request on to a node's kubelet.
fn ask_kubelet(cluster: &Cluster, node: &str, path: &[&str]) -> Result<Response> {
    let mut world = cluster.world();
    world.get(Kind::Node, &Key::new("", node))?;
    match kubelet::ask(&mut world, node, path) {
        kubelet::Answer::Json(value) => Ok(json_response(200, &value)),
        kubelet::Answer::Text(text) => Ok(respond(200, "text/plain; version=0.0.4", text)),
        kubelet::Answer::NotFound => Err(Refusal::no_such_path()),
        kubelet::Answer::Unreachable(why) => Err(Refusal::plain(503, "ServiceUnavailable", &why)),
    }
}

async fn read(body: Body) -> Result<Bytes> {
    axum::body::to_bytes(body, LARGEST).await.map_err(|_| {
        Refusal::plain(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {LARGEST}"),
        )
    })
}

fn decode(segment: &str) -> String {
    // Plus signs stand for themselves in paths, unlike in queries.
    let escaped = segment.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(key, value)| {
            if value.is_empty() && !segment.contains('=') {
                key.into_owned()
            } else {
                segment.to_owned()
            }
        })
        .unwrap_or_default()
}

fn parse_body(headers: &HeaderMap, bytes: &Bytes) -> Result<Value> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/json");
    if kind.contains("protobuf") {
        return protobuf::decode(bytes);
    }
    if kind.contains("cbor") {
        return Err(Refusal::plain(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: \
             application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ));
    }
    if kind.contains("yaml") {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Refusal::bad_request(format!("the body is not text: {error}")))?;
        return serde_saphyr::from_str(text)
            .map_err(|error| Refusal::bad_request(format!("error parsing YAML: {error}")));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Refusal::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })
}

fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": at(object, "/metadata"),
    })
}

/// An object of the version that was asked for; tables are made of what is kept.
fn in_version<'a>(target: &Target, form: Form, object: &'a Value) -> Cow<'a, Value> {
    match (form, target.kind) {
        (Form::Table, Kind::HorizontalPodAutoscaler) => Cow::Borrowed(object),
        _ => shown(target, object),
    }
}

fn in_form<'a>(
    world: &World,
    target: &Target,
    query: &Query,
    form: Form,
    object: &'a Value,
) -> Cow<'a, Value> {
    let object = in_version(target, form, object);
    match form {
        Form::Whole => object,
        Form::Metadata => Cow::Owned(metadata_only(&object)),
        Form::Table => Cow::Owned(table::table(
            world.now(),
            target.kind,
            query.get("includeObject"),
            &[&*object],
            true,
        )),
    }
}

fn get(cluster: &Cluster, target: &Target, query: &Query, form: Form) -> Result<Response> {
    let world = cluster.world();
    let object = world.get(target.kind, &target.key())?;
    match target.subresource.as_str() {
        "" => {}
        "status" if target.kind.facts().status => {}
        "scale" if target.kind.facts().scale => return Ok(json_response(200, &scale_of(&object))),
        _ => return Err(Refusal::no_such_path()),
    }
    Ok(json_response(
        200,
        &in_form(&world, target, query, form, &object),
    ))
}

/// Source: `pkg/registry/apps/deployment/storage/storage.go`, `scaleFromDeployment`.
fn scale_of(object: &Value) -> Value {
    let mut labels: Vec<String> = value::entries(object, "/spec/selector/matchLabels")
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    labels.sort();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": name(object),
            "namespace": value::namespace(object),
            "uid": uid(object),
            "resourceVersion": at(object, "/metadata/resourceVersion"),
            "creationTimestamp": at(object, "/metadata/creationTimestamp"),
        },
        "spec": { "replicas": int(object, "/spec/replicas").unwrap_or(0) },
        "status": {
            "replicas": int(object, "/status/replicas").unwrap_or(0),
            "selector": labels.join(","),
        },
    })
}

/// What a list or watch selects.
struct Selection {
    labels: Labels,
    fields: Fields,
}

impl Selection {
    fn of(query: &Query) -> Result<Self> {
        Ok(Self {
            labels: Labels::parse(query.get("labelSelector").unwrap_or(""))?,
            fields: Fields::parse(query.get("fieldSelector").unwrap_or(""))?,
        })
    }

    fn select(&self, target: &Target, object: &Value) -> bool {
        if !self.labels.select(object) {
            return false;
        }
        match target.group.as_str() {
            EVENTS_GROUP => self.fields.select(&shown(target, object)),
            _ => self.fields.select(object),
        }
    }
}

fn list(cluster: &Cluster, target: &Target, query: &Query, form: Form) -> Result<Response> {
    let selection = Selection::of(query)?;
    let limit = query.number("limit")?.unwrap_or(0);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let after = query.get("continue").filter(|token| !token.is_empty());
    let (revision, after) = match after {
        None => (None, None),
        Some(token) => {
            let (revision, key) = read_token(token)?;
            (Some(revision), Some(key))
        }
    };
    let world = cluster.world();
    let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let by_node = match (target.kind, selection.fields.exact("spec.nodeName")) {
        // The pods of one node are found without looking at all of them.
        (Kind::Pod, Some(node)) if !node.is_empty() => Some(world.store.pods_on(node)),
        _ => None,
    };
    let all: Box<dyn Iterator<Item = &Arc<Value>>> = match &by_node {
        Some(pods) => Box::new(
            pods.iter()
                .filter(|pod| namespace.is_none_or(|namespace| value::namespace(pod) == namespace)),
        ),
        None => Box::new(world.store.list(target.kind, namespace)),
    };
    let mut chosen = all
        .filter(|object| after.as_ref().is_none_or(|after| Key::of(object) > *after))
        .filter(|object| selection.select(target, object));
    let page: Vec<&Arc<Value>> = match limit {
        Some(limit) => chosen.by_ref().take(limit).collect(),
        None => chosen.by_ref().collect(),
    };
    let remaining = chosen.count();
    let revision = revision.unwrap_or(world.store.revision());
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if remaining > 0
        && let Some(last) = page.last()
    {
        set(&mut metadata, "/continue", token(revision, &Key::of(last)));
        set(&mut metadata, "/remainingItemCount", remaining);
    }
    let objects: Vec<Value> = page
        .iter()
        .map(|object| in_version(target, form, object).into_owned())
        .collect();
    let facts = target.kind.facts();
    let answer = match form {
        Form::Whole => {
            let items = objects.into_iter().map(|mut object| {
                // Items of a list do not repeat what the list says.
                if let Value::Object(map) = &mut object {
                    map.remove("kind");
                    map.remove("apiVersion");
                }
                object
            });
            let version = crate::kinds::group_version(&target.group, &target.version);
            json!({
                "kind": format!("{}List", facts.name),
                "apiVersion": version,
                "metadata": metadata,
                "items": items.collect::<Vec<_>>(),
            })
        }
        Form::Metadata => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": objects.iter().map(metadata_only).collect::<Vec<_>>(),
        }),
        Form::Table => {
            let rows: Vec<&Value> = objects.iter().collect();
            let mut table = table::table(
                world.now(),
                target.kind,
                query.get("includeObject"),
                &rows,
                true,
            );
            set(&mut table, "/metadata", metadata);
            table
        }
    };
    Ok(json_response(200, &answer))
}

fn token(revision: u64, key: &Key) -> String {
    let text = json!([revision, key.namespace, key.name]).to_string();
    crate::defaults::base64(text.as_bytes())
}

fn read_token(token: &str) -> Result<(u64, Key)> {
    let wrong = || Refusal::bad_request(format!("continue key is not valid: {token}"));
    let bytes = crate::defaults::unbase64(token).ok_or_else(wrong)?;
    let (revision, namespace, name): (u64, String, String) =
        serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    Ok((revision, Key { namespace, name }))
}

fn deletion_of(query: &Query, body: &Value) -> Result<Deletion> {
    let grace = match int(body, "/gracePeriodSeconds") {
        Some(grace) => Some(grace),
        None => query.number("gracePeriodSeconds")?,
    };
    let text_of = |path: &str| match text(body, path) {
        "" => None,
        text => Some(text.to_owned()),
    };
    let orphan = match at(body, "/orphanDependents") {
        Value::Bool(true) => Some("Orphan".to_owned()),
        _ => None,
    };
    Ok(Deletion {
        grace,
        propagation: text_of("/propagationPolicy")
            .or(query.get("propagationPolicy").map(str::to_owned))
            .or(orphan),
        uid: text_of("/preconditions/uid"),
        revision: text_of("/preconditions/resourceVersion"),
        dry_run: query.get("dryRun") == Some("All") || !value::list(body, "/dryRun").is_empty(),
    })
}

fn write(
    cluster: &Cluster,
    method: &Method,
    target: &Target,
    query: &Query,
    headers: &HeaderMap,
    bytes: &Bytes,
    form: Form,
) -> Result<Response> {
    let kind = target.kind;
    let dry_run = query.get("dryRun") == Some("All");
    let key = target.key();
    match (method, target.subresource.as_str()) {
        (&Method::POST, "") if target.name.is_empty() => {
            let mut object = parse_body(headers, bytes)?;
            checked(target, query, &mut object)?;
            kept(target, &mut object);
            let mut world = cluster.world();
            let made = world.create(kind, &target.namespace, object, dry_run)?;
            Ok(json_response(
                201,
                &in_form(&world, target, query, form, &made),
            ))
        }
        (&Method::POST, "binding") if kind == Kind::Pod => {
            let binding = parse_body(headers, bytes)?;
            cluster.world().bind(&key, text(&binding, "/target/name"))?;
            Ok(json_response(201, &success()))
        }
        (&Method::POST, "eviction") if kind == Kind::Pod => {
            let eviction = parse_body(headers, bytes)?;
            let how = deletion_of(query, at(&eviction, "/deleteOptions"))?;
            cluster.world().evict(&key, &how)?;
            Ok(json_response(201, &success()))
        }
        (&Method::POST, "token") if kind == Kind::ServiceAccount => {
            let world = cluster.world();
            world.get(kind, &key)?;
            let mut request = parse_body(headers, bytes)?;
            let later = int(&request, "/spec/expirationSeconds")
                .unwrap_or(3600)
                .clamp(600, 1 << 32);
            let end = crate::clock::after(world.now(), Duration::from_secs(later.unsigned_abs()));
            let token = format!("sim-{}-{}", key.namespace, key.name);
            set(
                &mut request,
                "/status",
                json!({ "token": token, "expirationTimestamp": seconds(end) }),
            );
            Ok(json_response(201, &request))
        }
        (&Method::PUT, "" | "status") if !target.name.is_empty() => {
            let mut object = parse_body(headers, bytes)?;
            checked(target, query, &mut object)?;
            kept(target, &mut object);
            let status = target.subresource == "status";
            if status && !kind.facts().status {
                return Err(Refusal::no_such_path());
            }
            let mut world = cluster.world();
            let stored = world.replace(kind, &key, object, status, dry_run)?;
            Ok(json_response(
                200,
                &in_form(&world, target, query, form, &stored),
            ))
        }
        (&Method::PUT | &Method::PATCH, "scale") if kind.facts().scale => {
            let mut world = cluster.world();
            let before = world.get(kind, &key)?;
            let mut scale = scale_of(&before);
            if method == Method::PUT {
                scale = parse_body(headers, bytes)?;
            } else {
                patched(&mut scale, headers, bytes)?;
            }
            let said = text(&scale, "/metadata/resourceVersion");
            let mut object = (*before).clone();
            set(&mut object, "/metadata/resourceVersion", said);
            let replicas = int(&scale, "/spec/replicas").unwrap_or(0);
            set(&mut object, "/spec/replicas", replicas);
            let stored = world.update(kind, &key, object, dry_run)?;
            Ok(json_response(200, &scale_of(&stored)))
        }
        (&Method::PATCH, "" | "status") if !target.name.is_empty() => {
            patch_object(cluster, target, query, headers, bytes, form, dry_run)
        }
        (&Method::DELETE, "") => {
            let body = if bytes.is_empty() {
                Value::Null
            } else {
                parse_body(headers, bytes)?
            };
            let how = deletion_of(query, &body)?;
            let mut world = cluster.world();
            if target.name.is_empty() {
                return delete_many(&mut world, target, query, &how);
            }
            let last = world.delete(kind, &key, &how)?;
            let gone = world.store.get(kind, &key).is_none();
            if gone && !matches!(kind, Kind::Pod | Kind::Namespace) {
                let mut status = success();
                let facts = kind.facts();
                let details = json!({ "name": key.name, "group": facts.group,
                    "kind": facts.plural, "uid": uid(&last) });
                set(&mut status, "/details", details);
                return Ok(json_response(200, &status));
            }
            Ok(json_response(200, &shown(target, &last)))
        }
        _ => Err(Refusal::plain(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )),
    }
}

fn success() -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" })
}

fn delete_many(
    world: &mut World,
    target: &Target,
    query: &Query,
    how: &Deletion,
) -> Result<Response> {
    let selection = Selection::of(query)?;
    let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let chosen: Vec<Arc<Value>> = world
        .store
        .list(target.kind, namespace)
        .filter(|object| selection.select(target, object))
        .cloned()
        .collect();
    for object in &chosen {
        world.delete(target.kind, &Key::of(object), how)?;
    }
    let facts = target.kind.facts();
    Ok(json_response(
        200,
        &json!({
            "kind": format!("{}List", facts.name),
            "apiVersion": crate::kinds::group_version(&target.group, &target.version),
            "metadata": { "resourceVersion": world.store.revision().to_string() },
            "items": chosen.iter().map(|object| (**object).clone()).collect::<Vec<Value>>(),
        }),
    ))
}

/// Refuses a body that is not an object of the kind, or has fields that the kind lacks where the
/// request asks for strictness.
fn checked(target: &Target, query: &Query, object: &mut Value) -> Result<()> {
    let (kind, facts) = (target.kind, target.kind.facts());
    if !object.is_object() {
        return Err(Refusal::bad_request("the body is not an object"));
    }
    said_to_be(target, object)?;
    let version = crate::kinds::group_version(&target.group, &target.version);
    let mistyped = protobuf::Mistyped::first_of(&version, facts.name, object);
    set(object, "/apiVersion", kind.api_version());
    set(object, "/kind", facts.name);
    numbers_to_quantities(object);
    value::drop_nulls(object);
    let mut probe = object.clone();
    let understood = versions::decode(target, probe.clone()).map_err(|error| {
        let why = mistyped.map_or(error.to_string(), |mistyped| mistyped.in_json());
        Refusal::undecodable(kind, &why)
    })?;
    if target.kind == Kind::Event {
        kept(target, &mut probe);
    }
    let strict = query.get("fieldValidation").unwrap_or("Warn") == "Strict";
    if strict {
        let mut unknown = Vec::new();
        unknown_fields(&probe, &understood, "", &mut unknown);
        if !unknown.is_empty() {
            let each: Vec<String> = unknown
                .iter()
                .map(|field| format!("unknown field {field:?}"))
                .collect();
            let why = format!("strict decoding error: {}", each.join(", "));
            return Err(Refusal::undecodable(kind, &why));
        }
    }
    drop_unknown(object, &understood, target);
    Ok(())
}

/// Refuses a body that says of itself to be something else than what was asked for.
///
/// Source: `staging/src/k8s.io/apiserver/pkg/endpoints/handlers/{create,rest}.go`,
/// `transformDecodeError`; `staging/src/k8s.io/apimachinery/pkg/runtime/{error,scheme}.go`.
fn said_to_be(target: &Target, object: &Value) -> Result<()> {
    let facts = target.kind.facts();
    let wanted = crate::kinds::group_version(&target.group, &target.version);
    let said = |path: &str, default: &str| match text(object, path) {
        "" => default.to_owned(),
        said => said.to_owned(),
    };
    let (kind, whole) = (said("/kind", facts.name), said("/apiVersion", &wanted));
    if kind == facts.name && whole == wanted {
        return Ok(());
    }
    let (group, version) = whole.split_once('/').unwrap_or(("", &whole));
    let handled = |why: &str| {
        Refusal::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {}: {why}",
            facts.name
        ))
    };
    let known = Kind::named(&whole, &kind).map(|kind| kind.facts());
    let known = known.and_then(|known| Kind::served(group, version, known.plural));
    Err(match known {
        None => handled(&format!(
            "no kind {kind:?} is registered for version {whole:?} in scheme \
             \"pkg/api/legacyscheme/scheme.go:30\""
        )),
        Some(_) if whole != wanted => Refusal::bad_request(format!(
            "the API version in the data ({whole}) does not match the expected API version \
             ({wanted})"
        )),
        Some(_) => {
            let home = if group.is_empty() { "core" } else { group };
            let home = home.split('.').next().unwrap_or(home);
            handled(&format!(
                "converting ({version}.{kind}) to ({home}.{}): unknown conversion",
                facts.name
            ))
        }
    })
}

/// Fields that the kind does not have are not kept.
fn drop_unknown(object: &mut Value, understood: &Value, target: &Target) {
    if target.kind == Kind::Event && target.group == EVENTS_GROUP {
        return;
    }
    fn walk(object: &mut Value, understood: &Value) {
        match (object, understood) {
            (Value::Object(map), Value::Object(known)) => {
                map.retain(|key, value| known.contains_key(key) || is_empty(value));
                for (key, value) in map {
                    if let Some(known) = known.get(key) {
                        walk(value, known);
                    }
                }
            }
            (Value::Array(items), Value::Array(known)) => {
                for (item, known) in items.iter_mut().zip(known) {
                    walk(item, known);
                }
            }
            _ => {}
        }
    }
    walk(object, understood);
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn unknown_fields(given: &Value, understood: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, understood) {
        (Value::Object(map), Value::Object(known)) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match known.get(key) {
                    Some(known) => unknown_fields(value, known, &path, unknown),
                    None if is_empty(value) => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(items), Value::Array(known)) => {
            for (index, (item, known)) in items.iter().zip(known).enumerate() {
                unknown_fields(item, known, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Amounts may be given as numbers; Kubernetes' types hold them as text.
fn numbers_to_quantities(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let amounts = matches!(
                    key.as_str(),
                    "limits"
                        | "requests"
                        | "hard"
                        | "capacity"
                        | "allocatable"
                        | "max"
                        | "min"
                        | "default"
                        | "defaultRequest"
                );
                if amounts && let Value::Object(amounts) = inner {
                    for amount in amounts.values_mut() {
                        if let Value::Number(number) = amount {
                            *amount = Value::String(number.to_string());
                        }
                    }
                }
                if key == "sizeLimit"
                    && let Value::Number(number) = inner
                {
                    *inner = Value::String(number.to_string());
                }
                numbers_to_quantities(inner);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(numbers_to_quantities),
        _ => {}
    }
}

/// The kind of a patch, as its header names it.
fn patch_type(headers: &HeaderMap) -> &str {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    kind.split(';').next().unwrap_or("").trim()
}

/// Source: `staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.
fn patched(object: &mut Value, headers: &HeaderMap, bytes: &Bytes) -> Result<()> {
    let patch = parse_body(headers, bytes)?;
    // Go's decoder names what it was given, and what it wanted.
    let given = match &patch {
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) | Value::Null => "bool",
    };
    let unfit =
        |wanted: &str| format!("json: cannot unmarshal {given} into Go value of type {wanted}");
    const MAP: &str = "map[string]interface {}";
    match patch_type(headers) {
        "application/json-patch+json" if !patch.is_array() => Err(Refusal::bad_request(format!(
            "error decoding patch: {}",
            unfit("[]handlers.jsonPatchOp")
        ))),
        "application/json-patch+json" => patch::json_patch(object, patch),
        "application/merge-patch+json" if !patch.is_object() => Err(Refusal::bad_request(format!(
            "error decoding patch: {}",
            unfit(MAP)
        ))),
        "application/merge-patch+json" => {
            patch::merge(object, &patch);
            Ok(())
        }
        "application/strategic-merge-patch+json" if !patch.is_object() => {
            Err(Refusal::bad_request(unfit(MAP)))
        }
        "application/strategic-merge-patch+json" => patch::strategic(object, &patch),
        other => Err(Refusal::plain(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml, not {other:?}"
            ),
        )),
    }
}

fn patch_object(
    cluster: &Cluster,
    target: &Target,
    query: &Query,
    headers: &HeaderMap,
    bytes: &Bytes,
    form: Form,
    dry_run: bool,
) -> Result<Response> {
    let (kind, key) = (target.kind, target.key());
    let status = target.subresource == "status";
    let content = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let applying = content.starts_with("application/apply-patch");
    let mut world = cluster.world();
    if applying {
        let manager = query
            .get("fieldManager")
            .filter(|manager| !manager.is_empty());
        let Some(manager) = manager else {
            return Err(Refusal::bad_request(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        };
        let text_body = std::str::from_utf8(bytes)
            .map_err(|error| Refusal::bad_request(format!("the body is not text: {error}")))?;
        let mut configuration: Value = if text_body.trim_start().starts_with('{') {
            serde_json::from_str(text_body)
                .map_err(|error| Refusal::bad_request(format!("error decoding JSON: {error}")))?
        } else {
            serde_saphyr::from_str(text_body)
                .map_err(|error| Refusal::bad_request(format!("error decoding YAML: {error}")))?
        };
        checked(target, query, &mut configuration)?;
        set(&mut configuration, "/metadata/name", key.name.as_str());
        let Some(before) = world.store.get(kind, &key).cloned() else {
            if status {
                return Err(Refusal::not_found(kind, &key.name));
            }
            let made = world.create(kind, &key.namespace, configuration.clone(), dry_run)?;
            if !dry_run {
                let id = (uid(&made).to_owned(), manager.to_owned());
                world.applied.insert(id, configuration);
            }
            return Ok(json_response(
                201,
                &in_form(&world, target, query, form, &made),
            ));
        };
        let id = (uid(&before).to_owned(), manager.to_owned());
        let mut object = (*before).clone();
        patch::apply(&mut object, world.applied.get(&id), &configuration);
        numbers_to_quantities(&mut object);
        let stored = world.replace(kind, &key, object, status, dry_run)?;
        if !dry_run {
            world.applied.insert(id, configuration);
        }
        return Ok(json_response(
            200,
            &in_form(&world, target, query, form, &stored),
        ));
    }
    let before = world.get(kind, &key)?;
    let mut object = shown(target, &before).into_owned();
    let said = text(&object, "/metadata/resourceVersion").to_owned();
    patched(&mut object, headers, bytes)?;
    well_typed(target, &object, headers, bytes)?;
    if text(&object, "/metadata/resourceVersion").is_empty() {
        set(&mut object, "/metadata/resourceVersion", said);
    }
    checked(target, query, &mut object)?;
    kept(target, &mut object);
    let stored = world.replace(kind, &key, object, status, dry_run)?;
    Ok(json_response(
        200,
        &in_form(&world, target, query, form, &stored),
    ))
}

/// Refuses a patch that gives a field a value which is none of its type.
fn well_typed(target: &Target, object: &Value, headers: &HeaderMap, bytes: &Bytes) -> Result<()> {
    let version = crate::kinds::group_version(&target.group, &target.version);
    let facts = target.kind.facts();
    let Some(mistyped) = protobuf::Mistyped::first_of(&version, facts.name, object) else {
        return Ok(());
    };
    if versions::decode(target, object.clone()).is_ok() {
        return Ok(());
    }
    let (value, why) = match patch_type(headers) {
        "application/strategic-merge-patch+json" => {
            (in_go(&parse_body(headers, bytes)?), mistyped.in_maps())
        }
        _ => (object.to_string(), mistyped.in_json()),
    };
    let message = format!("Invalid value: {value:?}: {why}");
    Err(Refusal {
        code: 422,
        reason: "Invalid",
        message: format!(" \"\" is invalid: patch: {message}"),
        details: json!({ "causes": [
            { "reason": "FieldValueInvalid", "message": message, "field": "patch" }] }),
    })
}

/// A value as Go prints it: `map[spec:map[replicas:x]]`.
fn in_go(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", in_go(value)))
                .collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(in_go).collect();
            format!("[{}]", items.join(" "))
        }
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        plain => plain.to_string(),
    }
}

fn review_access(
    cluster: &Cluster,
    who: &Who,
    review: &str,
    mut request: Value,
) -> Result<Response> {
    let world = cluster.world();
    let status = match review {
        "selfsubjectaccessreviews" => access(&world, who, at(&request, "/spec"))?,
        "subjectaccessreviews" => {
            let spec = at(&request, "/spec");
            let groups = value::list(spec, "/groups").iter();
            let groups = groups
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            access(&world, &Who::named(text(spec, "/user"), groups), spec)?
        }
        "selfsubjectrulesreviews" => who.review(&world, text(&request, "/spec/namespace")),
        "selfsubjectreviews" => {
            json!({ "userInfo": { "username": who.user, "groups": who.groups } })
        }
        _ => return Err(Refusal::no_such_path()),
    };
    set(&mut request, "/status", status);
    Ok(json_response(201, &request))
}

/// The status of a review of what somebody may do.
fn access(world: &World, who: &Who, spec: &Value) -> Result<Value> {
    let of = at(spec, "/resourceAttributes");
    let path = text(spec, "/nonResourceAttributes/path");
    if of.is_null() == path.is_empty() {
        return Err(Refusal::bad_request(
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ));
    }
    let resource = match text(of, "/subresource") {
        "" => text(of, "/resource").to_owned(),
        sub => format!("{}/{sub}", text(of, "/resource")),
    };
    let deed = match of.is_null() {
        true => Deed {
            verb: text(spec, "/nonResourceAttributes/verb"),
            path: Some(path),
            ..Deed::default()
        },
        false => Deed {
            verb: text(of, "/verb"),
            group: text(of, "/group"),
            resource: &resource,
            name: text(of, "/name"),
            namespace: text(of, "/namespace"),
            path: None,
        },
    };
    Ok(match who.may(world, &deed) {
        Some(why) if why.is_empty() => json!({ "allowed": true }),
        Some(why) => json!({ "allowed": true, "reason": why }),
        None => json!({ "allowed": false }),
    })
}

/// In whose name a request is made: the administrator's, or whom he says.
fn who(headers: &HeaderMap) -> Who {
    let text = |value: &header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    match headers.get("impersonate-user") {
        None => Who::admin(),
        Some(user) => {
            let groups = headers.get_all("impersonate-group").iter().map(text);
            Who::named(&text(user), groups.collect())
        }
    }
}

/// Refuses what the one in whose name a request is made may not do.
fn authorize(
    cluster: &Cluster,
    who: &Who,
    method: &Method,
    target: &Target,
    watching: bool,
) -> Result<()> {
    if who.is_admin() {
        return Ok(());
    }
    let verb = match (method.as_str(), target.name.is_empty()) {
        ("GET" | "HEAD", _) if watching => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        _ => "delete",
    };
    let facts = target.kind.facts();
    let resource = match target.subresource.as_str() {
        "" => facts.plural.to_owned(),
        sub => format!("{}/{sub}", facts.plural),
    };
    let deed = Deed {
        verb,
        group: &target.group,
        resource: &resource,
        name: &target.name,
        // A namespace is in itself.
        namespace: match target.kind {
            Kind::Namespace => &target.name,
            _ => &target.namespace,
        },
        path: None,
    };
    match who.may(&cluster.world(), &deed) {
        Some(_) => Ok(()),
        None => Err(Refusal::forbidden(
            target.kind,
            &target.name,
            &who.refused(&deed),
        )),
    }
}
