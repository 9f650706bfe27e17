//! What containers print, as `kubectl logs` asks for it.
//!
//! Source: `pkg/registry/core/pod/strategy.go`, `LogLocation`; `pkg/kubelet/kubelet_pods.go`,
//! `GetKubeletContainerLogs`.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use jiff::Timestamp;
use serde_json::Value;

use super::{Query, Target, respond};
use crate::Cluster;
use crate::error::{Refusal, Result};
use crate::kinds::Kind;
use crate::kubelet::LogQuery;
use crate::store::Key;
use crate::value::{list, text, uid};

/// Answers with a container's log; where the client follows it, for as long as it goes on.
pub(super) fn log(cluster: &Cluster, target: &Target, query: &Query) -> Result<Response> {
    let world = cluster.world();
    let pod = world.get(Kind::Pod, &target.key())?;
    let container = container(&pod, query.get("container").unwrap_or(""))?;
    if text(&pod, "/spec/nodeName").is_empty() {
        return Ok(respond(204, "text/plain", ""));
    }
    let since = match (query.number("sinceSeconds")?, query.get("sinceTime")) {
        (Some(seconds), _) => {
            let ago = Duration::from_secs(seconds.max(0).unsigned_abs());
            world.now().checked_sub(ago).ok()
        }
        (None, Some(time)) => Some(
            time.parse::<Timestamp>()
                .map_err(|error| Refusal::bad_request(format!("sinceTime is {time:?}: {error}")))?,
        ),
        (None, None) => None,
    };
    let number = |name: &str| -> Result<Option<usize>> {
        let number = query.number(name)?.map(usize::try_from).transpose();
        number.map_err(|_| Refusal::bad_request(format!("{name} must not be negative")))
    };
    let mut reading = Reading {
        cluster: cluster.clone(),
        pod: target.key(),
        uid: uid(&pod).to_owned(),
        query: LogQuery {
            container,
            previous: query.is_true("previous"),
            tail: number("tailLines")?,
            since,
            after: None,
        },
        timestamps: query.is_true("timestamps"),
        left: number("limitBytes")?,
        is_over: false,
    };
    drop(world);
    let first = reading.read()?;
    let body = if query.is_true("follow") {
        let first = (first, reading);
        let lines = stream::unfold(Some(first), async |state| {
            let (now, mut reading) = state?;
            if !now.is_empty() {
                return Some((Ok::<_, std::io::Error>(now), Some((Bytes::new(), reading))));
            }
            let next = reading.next().await?;
            Some((Ok(next), Some((Bytes::new(), reading))))
        });
        Body::from_stream(lines)
    } else {
        first.into()
    };
    Ok(respond(200, "text/plain", body))
}

/// The container that is meant, or why it is not clear.
pub(super) fn container(pod: &Value, named: &str) -> Result<String> {
    let names = |path: &str| -> Vec<&str> {
        list(pod, path)
            .iter()
            .map(|container| text(container, "/name"))
            .collect()
    };
    let (own, init) = (names("/spec/containers"), names("/spec/initContainers"));
    let pod = text(pod, "/metadata/name");
    if !named.is_empty() {
        let known = own.contains(&named) || init.contains(&named);
        return known.then(|| named.to_owned()).ok_or_else(|| {
            Refusal::bad_request(format!("container {named} is not valid for pod {pod}"))
        });
    }
    match own.as_slice() {
        [only] => Ok((*only).to_owned()),
        many => {
            let mut why = format!(
                "a container name must be specified for pod {pod}, choose one of: [{}]",
                many.join(" ")
            );
            if !init.is_empty() {
                why.push_str(&format!(
                    " or one of the init containers: [{}]",
                    init.join(" ")
                ));
            }
            Err(Refusal::bad_request(why))
        }
    }
}

/// A log that is being read.
struct Reading {
    cluster: Cluster,
    pod: Key,
    uid: String,
    query: LogQuery,
    timestamps: bool,
    /// How many bytes the client still takes, where it says.
    left: Option<usize>,
    is_over: bool,
}

impl Reading {
    /// The lines that were not read yet.
    fn read(&mut self) -> Result<Bytes> {
        let part = self.cluster.world().logs(&self.pod, &self.uid, &self.query);
        let part = part.map_err(|why| match why.starts_with("Get ") {
            // The kubelet cannot be asked.
            true => Refusal::plain(500, "InternalError", why),
            false => Refusal::bad_request(why),
        })?;
        self.query.after = Some(part.up_to);
        self.query.tail = None;
        self.is_over = part.is_over;
        let mut text = String::new();
        for (time, line) in part.lines {
            if self.timestamps {
                text.push_str(&format!("{time} "));
            }
            text.push_str(&line);
            text.push('\n');
        }
        let mut bytes = Bytes::from(text);
        if let Some(left) = &mut self.left {
            bytes.truncate(*left);
            *left -= bytes.len();
            self.is_over |= *left == 0;
        }
        Ok(bytes)
    }

    /// The next lines, once there are any; none when the log has ended.
    async fn next(&mut self) -> Option<Bytes> {
        let mut changed = self.cluster.changed();
        loop {
            changed.mark_unchanged();
            let lines = self.read().ok()?;
            if !lines.is_empty() {
                return Some(lines);
            }
            if self.is_over {
                return None;
            }
            changed.changed().await.ok()?;
        }
    }
}
