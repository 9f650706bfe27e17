//! What the rules of evictions share: how a kubelet says that it evicted or refused a pod, and why.
//!
//! Source: `pkg/kubelet/eviction/helpers.go` (the messages and annotations),
//! `pkg/kubelet/eviction/eviction_manager.go` (`evictPod`, `Admit`).

use jiff::Timestamp;

use crate::facts::Pod;
use crate::verdict::Evidence;

/// What a kubelet did to a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Eviction<'a> {
    /// It ended the pod because the node was short of a resource.
    Pressure(Shortage<'a>),
    /// It did not let the pod start because of the node's conditions: `DiskPressure`, or several
    /// with spaces between.
    Refused { conditions: &'a str },
    /// It ended the pod because the pod used more than its own limit.
    OwnLimit(OwnLimit<'a>),
}

/// What the node was short of when a pod was evicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shortage<'a> {
    /// The resource, as the kubelet's message names it: `memory`, `ephemeral-storage`.
    pub resource: &'a str,
    /// What had to be left, a quantity; older kubelets do not say.
    pub threshold: Option<&'a str>,
    /// What was left, a quantity.
    pub available: Option<&'a str>,
}

/// Which limit of its own a pod exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum OwnLimit<'a> {
    /// A container's limit of ephemeral storage.
    Container { name: &'a str, limit: &'a str },
    /// The sum of its containers' limits of ephemeral storage.
    Pod { limit: &'a str },
    /// The size limit of an emptyDir volume.
    Volume { name: &'a str, limit: &'a str },
}

/// Reads what a kubelet says of an eviction.
pub(super) fn parse(message: &str) -> Option<Eviction<'_>> {
    if let Some((_, rest)) = message.split_once("The node was low on resource: ") {
        let (resource, rest) = rest
            .split_once(". ")
            .unwrap_or((rest.trim_end_matches('.'), ""));
        return Some(Eviction::Pressure(Shortage {
            resource,
            threshold: between(rest, "Threshold quantity: ", ", "),
            available: between(rest, "available: ", ". "),
        }));
    }
    if let Some(conditions) = between(message, "The node had condition: [", "]") {
        return Some(Eviction::Refused { conditions });
    }
    if let Some((before, rest)) = message.split_once(" exceeded its local ephemeral storage limit ")
    {
        return Some(Eviction::OwnLimit(OwnLimit::Container {
            name: before.rsplit(' ').next()?,
            limit: quoted(rest)?,
        }));
    }
    if let Some((_, rest)) = message.split_once("Usage of EmptyDir volume ") {
        let name = quoted(rest)?;
        let (_, rest) = rest.split_once(" exceeds the limit ")?;
        return Some(Eviction::OwnLimit(OwnLimit::Volume {
            name,
            limit: quoted(rest)?,
        }));
    }
    let pod = between(message, "exceeds the total limit of containers ", ". ");
    pod.map(|limit| Eviction::OwnLimit(OwnLimit::Pod { limit }))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    let end = rest.find(after).or_else(|| rest.rfind(after.trim_end()));
    Some(&rest[..end.unwrap_or(rest.len())])
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?
        .split_once('"')
        .map(|(quoted, _)| quoted)
}

/// What a kubelet did to this pod, with its words for it.
///
/// A pod whose containers end well when they are told to is `Succeeded`, with neither reason nor
/// message: then its condition DisruptionTarget tells of a shortage.
pub(super) fn of(pod: &Pod) -> Option<(Eviction<'_>, Evidence)> {
    if pod.status.reason.as_deref() == Some("Evicted") {
        let message = pod.status.message.as_deref()?;
        let evidence = Evidence {
            object: pod.reference(),
            field: "status.message".to_owned(),
            quote: message.trim_end().to_owned(),
            at: time(pod),
        };
        return Some((parse(message)?, evidence));
    }
    let disruption = pod.condition("DisruptionTarget")?;
    if disruption.status != "True" || disruption.reason.as_deref() != Some("TerminationByKubelet") {
        return None;
    }
    let eviction = parse(disruption.message.as_deref()?)?;
    Some((eviction, pod.condition_evidence(disruption)))
}

/// When the kubelet did it: as the condition says, or when the pod's containers ended; for a pod
/// that was refused, when it came to the node.
fn time(pod: &Pod) -> Option<Timestamp> {
    let condition = pod
        .condition("DisruptionTarget")
        .or_else(|| pod.condition("Ready"));
    let started = pod.status.start_time.as_ref();
    (condition.and_then(|condition| condition.last_transition_time.as_ref()))
        .or(started)
        .map(|time| time.0)
        .or(pod.created)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_kubelets() {
        let pressure = |resource, threshold, available| {
            Some(Eviction::Pressure(Shortage {
                resource,
                threshold,
                available,
            }))
        };
        let check = |message, expected| assert_eq!(parse(message), expected, "{message}");
        check(
            "The node was low on resource: memory. Threshold quantity: 23254389813, available: \
             22306248Ki. Container hog was using 2361116Ki, request is 0, has larger consumption of memory. ",
            pressure("memory", Some("23254389813"), Some("22306248Ki")),
        );
        check(
            "The node was low on resource: pids. Threshold quantity: 189915, available: 188441. ",
            pressure("pids", Some("189915"), Some("188441")),
        );
        check(
            "The node was low on resource: memory. Container a was using 10Ki, which exceeds its request of 0. ",
            pressure("memory", None, None),
        );
        check(
            "The node was low on resource: [DiskPressure].",
            pressure("[DiskPressure]", None, None),
        );
        check(
            "Pod was rejected: The node had condition: [DiskPressure]. ",
            Some(Eviction::Refused {
                conditions: "DiskPressure",
            }),
        );
        check(
            "Container app exceeded its local ephemeral storage limit \"10Mi\". ",
            Some(Eviction::OwnLimit(OwnLimit::Container {
                name: "app",
                limit: "10Mi",
            })),
        );
        check(
            "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ",
            Some(Eviction::OwnLimit(OwnLimit::Volume {
                name: "cache",
                limit: "1Mi",
            })),
        );
        check(
            "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ",
            Some(Eviction::OwnLimit(OwnLimit::Pod { limit: "20Mi" })),
        );
        check(
            "Pod was terminated in response to imminent node shutdown.",
            None,
        );
        check("", None);
    }
}
