//! What containers print.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::store::Key;
use crate::world::World;

/// The most bytes that are kept of one run's log, as the kubelet's `containerLogMaxSize`.
const LARGEST: usize = 10 * 1024 * 1024;

/// The lines of one run.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: VecDeque<(Timestamp, String)>,
    bytes: usize,
    /// How many lines were dropped at its beginning.
    dropped: usize,
}

/// The logs of a container's latest runs.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    current: Option<Log>,
    previous: Option<Log>,
}

impl Logs {
    /// A new run begins.
    pub(crate) fn begin(&mut self) {
        if let Some(ended) = self.current.replace(Log::default()) {
            self.previous = Some(ended);
        }
    }

    pub(crate) fn add(&mut self, lines: Vec<(Timestamp, String)>) {
        let log = self.current.get_or_insert_default();
        for (time, line) in lines {
            log.bytes += line.len() + 40;
            log.lines.push_back((time, line));
        }
        while log.bytes > LARGEST
            && let Some((_, line)) = log.lines.pop_front()
        {
            log.bytes -= line.len() + 40;
            log.dropped += 1;
        }
    }

    /// The last lines of the current run, in so many bytes.
    pub(crate) fn tail(&self, lines: usize, bytes: usize) -> String {
        let Some(log) = &self.current else {
            return String::new();
        };
        let skip = log.lines.len().saturating_sub(lines);
        let mut text = String::new();
        for (_, line) in log.lines.iter().skip(skip) {
            text.push_str(line);
            text.push('\n');
        }
        let from = text.len().saturating_sub(bytes);
        let from = (from..text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(text.len());
        text[from..].to_owned()
    }

    /// The bytes of both, as they take room on the node.
    pub(crate) fn bytes(&self) -> u64 {
        let of = |log: &Option<Log>| log.as_ref().map_or(0, |log| log.bytes);
        u64::try_from(of(&self.current) + of(&self.previous)).unwrap_or(u64::MAX)
    }
}

/// Which lines of a log are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogQuery {
    /// The container; the only one where there is none.
    pub(crate) container: String,
    pub(crate) previous: bool,
    /// So many of the last lines.
    pub(crate) tail: Option<usize>,
    /// Lines from then on.
    pub(crate) since: Option<Timestamp>,
    /// Lines after so many, for who follows.
    pub(crate) after: Option<usize>,
}

/// Lines of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogPart {
    /// Each with its time, without its line end.
    pub(crate) lines: Vec<(Timestamp, String)>,
    /// How many lines there are up to the end of this part.
    pub(crate) up_to: usize,
    /// Whether none will follow.
    pub(crate) is_over: bool,
}

impl World {
    /// Lines of a container's log, or why there are none, in the kubelet's words.
    pub(crate) fn logs(&self, pod: &Key, uid: &str, query: &LogQuery) -> Result<LogPart, String> {
        let unavailable = |reason: &str| {
            format!(
                "container {:?} in pod {:?} is {reason}",
                query.container, pod.name
            )
        };
        let Some(known) = self.kubelets.pods.get(uid) else {
            return Err(unavailable("waiting to start: ContainerCreating"));
        };
        let reachable = self
            .kubelets
            .nodes
            .get(&known.node)
            .is_some_and(|node| node.kubelet_runs);
        if !reachable {
            let address = self
                .kubelets
                .nodes
                .get(&known.node)
                .map_or("", |node| node.address.as_str());
            return Err(format!(
                "Get \"https://{address}:10250/containerLogs/{}/{}/{}\": dial tcp {address}:10250: \
                 connect: connection refused",
                pod.namespace, pod.name, query.container
            ));
        }
        let container = known
            .containers
            .iter()
            .find(|container| container.name == query.container);
        let Some(container) = container else {
            return Err(format!(
                "container {} is not valid for pod {}",
                query.container, pod.name
            ));
        };
        let log = if query.previous {
            // A container that waits to be started again shows its latest run as the previous one.
            let waits = container.run.is_none() && container.waiting.is_some();
            let log = match waits {
                true => &container.logs.current,
                false => &container.logs.previous,
            };
            log.as_ref()
                .ok_or_else(|| previous_missing(&query.container, &pod.name))?
        } else {
            match &container.logs.current {
                Some(log) => log,
                None => {
                    let reason = match &container.waiting {
                        Some((reason, _)) => {
                            format!("waiting to start: {}", waiting_words(reason))
                        }
                        None if known
                            .containers
                            .first()
                            .is_some_and(|first| first.name != container.name) =>
                        {
                            "waiting to start: PodInitializing".to_owned()
                        }
                        None => "waiting to start: ContainerCreating".to_owned(),
                    };
                    return Err(unavailable(&reason));
                }
            }
        };
        let mut skip = query
            .after
            .map_or(0, |seen| seen.saturating_sub(log.dropped));
        if let Some(tail) = query.tail {
            skip = skip.max(log.lines.len().saturating_sub(tail));
        }
        let lines = log
            .lines
            .iter()
            .skip(skip)
            .filter(|(time, _)| query.since.is_none_or(|since| *time >= since))
            .cloned()
            .collect();
        Ok(LogPart {
            lines,
            up_to: log.dropped + log.lines.len(),
            is_over: query.previous || container.run.is_none(),
        })
    }
}

fn previous_missing(container: &str, pod: &str) -> String {
    format!("previous terminated container {container:?} in pod {pod:?} not found")
}

/// How the kubelet words it when there is no log yet.
fn waiting_words(reason: &str) -> String {
    match reason {
        "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image".to_owned(),
        reason => reason.to_owned(),
    }
}
