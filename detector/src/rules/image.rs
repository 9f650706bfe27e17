//! What the rules of images share: why an image could not be pulled, by the words of the runtime.

use jiff::{SignedDuration, Timestamp};

use crate::facts::{Container, Event, Pod, Secret};
use crate::finding::Finding;
use crate::verdict::{Class, Confidence, Culprit, Evidence};
use crate::view::View;

/// A container that waits for its image.
pub(super) struct Unpulled<'a, 'p> {
    pub container: Container<'p>,
    pub class: Class,
    pub confidence: Confidence,
    /// The runtime's words.
    pub error: String,
    pub event: Option<&'a Event>,
    /// When the first pull failed: each failure may tell of itself in other words.
    pub since: Option<Timestamp>,
}

/// What a container waits with whose image could not be pulled.
const PULLING: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "ImageInspectError",
    "SignatureValidationFailed",
];

/// How long the event that tells why a pull failed may be on its way.
const EVENT_PATIENCE: SignedDuration = SignedDuration::from_secs(15);

/// The registry could not be reached, or does not serve at the moment.
const UNREACHABLE: &[&str] = &[
    "no such host",
    "server misbehaving",
    "name resolution",
    "dial tcp",
    "i/o timeout",
    "connection refused",
    "connection reset",
    "no route to host",
    "network is unreachable",
    "context deadline exceeded",
    "Client.Timeout",
    "TLS handshake timeout",
    "request canceled",
    "x509: ",
    "tls: ",
    "server gave HTTP response to HTTPS client",
    "proxyconnect",
    "toomanyrequests",
    "429 Too Many Requests",
    "pull rate limit",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Time",
    "unexpected EOF",
    "TLS handshake",
    "certificate signed by unknown authority",
    "certificate has expired",
    "certificate is valid for",
    "too many requests",
    ": EOF",
];

/// The registry limits how often is pulled.
pub(super) const LIMITED: [&str; 4] = [
    "toomanyrequests",
    "too many requests",
    "Too Many Requests",
    "pull rate limit",
];

/// The registry wants other credentials.
const REFUSED: &[&str] = &[
    "401 Unauthorized",
    "403 Forbidden",
    "unauthorized",
    "no basic auth credentials",
    "authentication required",
    "authorization failed",
    "insufficient_scope",
    "access denied",
    "requested access to the resource is denied",
    "failed to fetch oauth token",
    "failed to fetch anonymous token",
    "denied: ",
    "401 UNAUTHORIZED",
    "403 (Forbidden)",
    "401 (Unauthorized)",
    "invalid username/password",
    "Requesting bear",
];

/// The registry has no such image.
const NOT_FOUND: &[&str] = &[
    "not found",
    "manifest unknown",
    "name unknown",
    "repository does not exist",
    "repository name not known to registry",
    "does not exist or you do not have",
    "name invalid",
    "404 Not Found",
];

/// The node has no room for the image.
const NO_ROOM: &[&str] = &["no space left on device", "disk quota exceeded"];

/// The node's own runtime is at fault, whatever else its words tell: its socket does not answer, or
/// its disk cannot be written.
const OF_NODE: &[&str] = &["dial unix", "read-only file system", "input/output error"];

/// What came is not what was asked for: cut off, or changed on its way.
const SPOILT: &[&str] = &[
    "unexpected commit digest",
    "failed size validation",
    "filesystem layer verification failed",
    "content digest",
    "SignatureValidationFailed",
];

/// What came cannot be unpacked.
const UNPACKED: &[&str] = &[
    "failed to extract layer",
    "failed to register layer",
    "failed to unpack",
    "failed to apply layer",
];

/// What can never become an image.
const INVALID: &[&str] = &[
    "invalid reference format",
    "couldn't parse image name",
    "no match for platform in manifest",
    "no matching manifest for",
    "no child with platform",
    "no image found in image index for architecture",
    "does not match the specified platform",
    "cannot be used on this platform",
    "unsupported manifest media type",
    "schema 1 manifest",
    "invalid tar header",
];

/// The containers of a pod whose image cannot be had, each with the class of the reason.
pub(super) fn unpulled<'a, 'p>(pod: &'p Pod, view: &View<'a>) -> Vec<Unpulled<'a, 'p>> {
    if pod.is_finished() || pod.deleting.is_some() {
        return Vec::new();
    }
    let containers = pod.containers().filter_map(|container| {
        let (reason, message) = container.waiting()?;
        let error = match reason {
            "InvalidImageName" | "ErrImageNeverPull" => None,
            pulling if PULLING.contains(&pulling) => Some(reason),
            _ => return None,
        };
        let failed = view.events_of(pod).filter(|event| {
            matches!(
                event.reason.as_str(),
                "Failed" | "InspectFailed" | "ErrImageNeverPull"
            ) && event.about.container() == Some(container.name())
        });
        let failed = failed
            .filter(|event| error.is_none() || event.message.contains("Failed to pull image"));
        let failed: Vec<_> = failed.collect();
        let event = failed.iter().copied().max_by_key(|event| event.last);
        let image = container.spec.image.as_deref().unwrap_or_default();
        let own = says_why(message).then_some(message);
        let words = own
            .or(event.map(|event| event.message.as_str()))
            .or_else(|| words_of_sibling(pod, image, view));
        let (class, confidence) = match (error, words) {
            (None, _) => (Class::ImageInvalid, Confidence::Certain),
            (Some(_), Some(words)) => classify(words, image, has_pull_secrets(pod)),
            (Some(_), None) => guessed(pod, view)?,
        };
        let words = words.unwrap_or(if message.is_empty() { reason } else { message });
        Some(Unpulled {
            container,
            class,
            confidence,
            error: shortened(words),
            event,
            since: failed.iter().filter_map(|event| event.first).min(),
        })
    });
    containers.collect()
}

/// Whether the message of a container that waits for its image tells why: while the kubelet backs
/// off, older ones keep the reason out of it.
fn says_why(message: &str) -> bool {
    !message.is_empty() && (!message.starts_with("Back-off") || message.contains("ErrImagePull:"))
}

/// What another pod of the same controller says of the same image.
fn words_of_sibling<'a>(pod: &Pod, image: &str, view: &View<'a>) -> Option<&'a str> {
    let controller = pod.controller.as_ref()?;
    view.pods_of(&controller.uid).find_map(|sibling| {
        let mut waiting = sibling
            .containers()
            .filter(|container| container.spec.image.as_deref() == Some(image))
            .filter_map(|container| container.waiting())
            .filter(|(reason, _)| PULLING.contains(reason));
        waiting.find_map(|(_, message)| says_why(message).then_some(message))
    })
}

/// What is most often the reason, where nothing tells: with a pull secret that is not there the
/// registry's refusal, else that there is no such image.
fn guessed(pod: &Pod, view: &View<'_>) -> Option<(Class, Confidence)> {
    let started = pod.status.start_time.as_ref().map(|time| time.0);
    if (started.or(pod.created)).is_some_and(|since| !view.ripe(since, EVENT_PATIENCE)) {
        return None;
    }
    let mut secrets = pod.spec.image_pull_secrets.iter().flatten();
    let lacks = secrets.any(|secret| {
        let name = secret.name.as_str();
        !name.is_empty() && view.get::<Secret>(&pod.namespace, name).is_absent()
    });
    Some(match lacks {
        true => (Class::ImageAuthFailed, Confidence::Likely),
        false => (Class::ImageNotFound, Confidence::Possible),
    })
}

fn has_pull_secrets(pod: &Pod) -> bool {
    pod.spec
        .image_pull_secrets
        .iter()
        .flatten()
        .next()
        .is_some()
}

/// The class of what a runtime says of a failed pull. What goes wrong on the way comes first: an
/// address that is `not found`, a token that cannot be fetched.
fn classify(words: &str, image: &str, with_secrets: bool) -> (Class, Confidence) {
    // The image's own name can hold any word.
    let mut words = words.to_owned();
    let name = image.split('@').next().unwrap_or(image);
    let untagged = name.rsplit_once(':').map_or(name, |(untagged, _)| untagged);
    for name in [image, name, untagged]
        .into_iter()
        .filter(|name| name.contains('/'))
    {
        words = words.replace(name, "IMAGE");
    }
    let words = &words;
    let says = |words: &str, parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if says(words, NO_ROOM) {
        return (Class::NodePressureEviction, Confidence::Likely);
    }
    if says(words, OF_NODE) {
        return (Class::SandboxFailed, Confidence::Likely);
    }
    if says(words, INVALID) {
        return (Class::ImageInvalid, Confidence::Certain);
    }
    if says(words, UNREACHABLE) {
        return (Class::RegistryUnreachable, Confidence::Certain);
    }
    // A registry that does not tell strangers what it has: the two cannot be told apart.
    if words.contains("repository does not exist or may require") {
        let (registry, path) = reference(image);
        let is_public = registry == DEFAULT_REGISTRY && path.starts_with("library/");
        return if is_public && !with_secrets {
            (Class::ImageNotFound, Confidence::Likely)
        } else {
            (Class::ImageAuthFailed, Confidence::Likely)
        };
    }
    if says(words, REFUSED) {
        return (Class::ImageAuthFailed, Confidence::Certain);
    }
    if says(words, NOT_FOUND) {
        return (Class::ImageNotFound, Confidence::Certain);
    }
    if says(words, UNPACKED) {
        return (Class::ImageInvalid, Confidence::Likely);
    }
    // What is left lies between the node and the registry, most often.
    let is_known = says(words, SPOILT) || words.contains("unexpected status");
    match is_known {
        true => (Class::RegistryUnreachable, Confidence::Likely),
        false => (Class::RegistryUnreachable, Confidence::Possible),
    }
}

/// What images without a registry's name belong to.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The registry of an image, and its path there.
///
/// Source: `github.com/distribution/reference`, `normalize.go`.
pub(super) fn reference(image: &str) -> (&str, String) {
    if let Some((first, rest)) = image.split_once('/')
        && (first.contains(['.', ':']) || first == "localhost")
    {
        return (first, rest.to_owned());
    }
    let path = if image.contains('/') {
        image.to_owned()
    } else {
        format!("library/{image}")
    };
    (DEFAULT_REGISTRY, path)
}

/// The command that makes a pull secret. The credentials of the default registry are kept under an
/// address of their own.
///
/// Source: `pkg/credentialprovider/keyring.go`.
pub(super) fn command_for_secret(namespace: &str, name: &str, registry: &str) -> String {
    let server = match registry {
        DEFAULT_REGISTRY => "https://index.docker.io/v1/",
        other => other,
    };
    format!(
        "kubectl create secret docker-registry {name} -n {namespace} --docker-server={server} \
         --docker-username=... --docker-password=..."
    )
}

/// The words without what each layer put before them: the image's name, again and again.
fn shortened(words: &str) -> String {
    let words = words.trim();
    let words = words
        .split_once("ErrImagePull: ")
        .map_or(words, |(_, rest)| rest);
    let end = words.rfind("\": ").map(|end| &words[end + 3..]);
    end.filter(|end| !end.is_empty())
        .unwrap_or(words)
        .to_owned()
}

/// A finding of an image that cannot be had.
pub(super) fn finding(
    unpulled: &Unpulled<'_, '_>,
    pod: &Pod,
    view: &View<'_>,
    (culprit, problem): (Option<Culprit>, &str),
) -> Finding {
    let workload = view.workload(pod);
    let container = &unpulled.container;
    let name = container.name();
    let image = container.spec.image.as_deref().unwrap_or_default();
    let (reason, message) = container.waiting().unwrap_or_default();
    let quote = if message.is_empty() { reason } else { message };
    let first = unpulled.event.and_then(|event| event.first);
    let since = unpulled
        .since
        .or_else(|| pod.status.start_time.as_ref().map(|time| time.0))
        .or(pod.created);
    let summary = format!(
        "The image {image} of container {name} of {} {problem}",
        workload.reference
    );
    let culprit =
        culprit.unwrap_or_else(|| workload.culprit(&format!("{}.image", container.path())));
    let waiting = Evidence {
        at: first,
        ..container.evidence(pod, "state.waiting", quote)
    };
    Finding::new(
        unpulled.class,
        workload.reference,
        culprit,
        since.unwrap_or(view.now()),
        summary,
    )
    .container(name)
    .confidence(unpulled.confidence)
    .detail("container", name)
    .evidence([waiting])
    .evidence(unpulled.event.map(Event::evidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_say() {
        let check = |image: &str, words: &str, expected: Class| {
            let (class, _) = classify(words, image, false);
            assert_eq!(class, expected, "{words}");
        };
        let not_found = Class::ImageNotFound;
        let refused = Class::ImageAuthFailed;
        let unreachable = Class::RegistryUnreachable;
        let invalid = Class::ImageInvalid;
        check(
            "r.io/a:1",
            "failed to resolve reference \"r.io/a:1\": r.io/a:1: not found",
            not_found,
        );
        check(
            "a:1",
            "manifest for a:1 not found: manifest unknown: manifest unknown",
            not_found,
        );
        let ambiguous = "pull access denied, repository does not exist or may require authorization: \
                         server message: insufficient_scope: authorization failed";
        check("ngnix", ambiguous, not_found);
        check("shop/cart:1", ambiguous, refused);
        check(
            "r.io/a",
            "unexpected status from HEAD request to https://r.io/v2/a/manifests/1: 401 Unauthorized",
            refused,
        );
        check(
            "r.io/a",
            "failed to authorize: failed to fetch anonymous token: unexpected status: 403 Forbidden",
            refused,
        );
        check(
            "r.io/a",
            "failed to fetch anonymous token: Get \"https://auth\": dial tcp: lookup auth: no such host",
            unreachable,
        );
        check(
            "r.io/a",
            "Head \"https://r.io/v2/\": tls: failed to verify certificate: x509: unknown authority",
            unreachable,
        );
        check(
            "a",
            "429 Too Many Requests - toomanyrequests: You have reached your unauthenticated pull rate limit",
            unreachable,
        );
        check("a", "no match for platform in manifest: not found", invalid);
        check(
            "a",
            "choosing image instance: no image found in image index for architecture \"arm64\"",
            invalid,
        );
        check(
            "a",
            "failed to pull and unpack image \"a\": failed to extract layer sha256:0: mount callback failed \
             on /tmp/x: write /tmp/x/usr/lib/a.so: no space left on device: unknown",
            Class::NodePressureEviction,
        );
        check(
            "a",
            "failed to register layer: Error processing tar file(exit status 1): unexpected EOF",
            unreachable,
        );
        check(
            "a",
            "failed to register layer: lchown /x: invalid argument",
            invalid,
        );
        check(
            "a",
            "failed commit on ref \"layer-sha256:0\": unexpected commit digest sha256:1, expected sha256:0",
            unreachable,
        );
        check(
            "a",
            "connection error: desc = \"transport: Error while dialing: dial unix \
             /run/containerd/containerd.sock: connect: connection refused\"",
            Class::SandboxFailed,
        );
        check("a", "something that nobody has seen", unreachable);
    }

    #[test]
    fn registries() {
        assert_eq!(
            reference("nginx"),
            ("docker.io", "library/nginx".to_owned())
        );
        assert_eq!(
            reference("shop/cart:1"),
            ("docker.io", "shop/cart:1".to_owned())
        );
        assert_eq!(
            reference("r.io:5000/cart@sha256:0"),
            ("r.io:5000", "cart@sha256:0".to_owned())
        );
        assert_eq!(reference(""), ("docker.io", "library/".to_owned()));
    }
}
