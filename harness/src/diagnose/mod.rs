//! Diagnosis of a recorded cluster state: reads what is there into observations, and asks the
//! detector once.
//!
//! The input is a folder, a file, a `.tar.gz`, or standard input:
//!
//! - every `.json`, `.yaml` and `.yml` is read for Kubernetes objects, Lists and arrays of objects
//! - `logs/NAMESPACE/POD/CONTAINER.log` and `CONTAINER.previous.log`, with or without timestamps
//! - `nodes/NODE/stats-summary.json`: what a node's kubelet answers at `/stats/summary`
//! - `nodes/NODE/metrics-cadvisor.txt`: what it answers at `/metrics/cadvisor`
//! - `collected_at`: an RFC 3339 time
//! - what `kubectl cluster-info dump` writes, into a folder or to standard output, and
//!   troubleshoot's support bundles
//!
//! What cannot be read is passed over and told, and the rest is diagnosed. Memory is bounded:
//! of logs the ends are read, and objects one by one. Nothing is ever written.

mod endpoints;
mod layout;
mod objects;
mod scope;
mod source;
pub mod text;
mod times;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crashbook_detector::facts::{Log, LogLine, Run};
use crashbook_detector::observation::{CpuPeriods, NodeStats, PeriodsByContainer};
use crashbook_detector::{Engine, Kind, Object, Observation, Report};
use jiff::Timestamp;

use self::layout::{LogOf, Place, Role};
use self::objects::Found;
use self::scope::Scopes;
use self::source::Content;
use self::times::Times;

/// A recorded state, read.
#[derive(Debug)]
pub struct Input {
    /// What was seen of the cluster.
    pub observations: Vec<Observation>,
    /// When: the time that the recording names, else the newest in it.
    pub now: Timestamp,
    /// What was not read, in the order in which it was found.
    pub passed_over: Vec<PassedOver>,
}

/// Something in an input that was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The file, from the input's root.
    pub file: String,
    /// Why.
    pub because: String,
}

/// The input as a whole cannot be diagnosed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// What was asked for.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it to diagnose.
    #[error("no Kubernetes object was found in {}", path.display())]
    Nothing {
        /// What was asked for.
        path: PathBuf,
        /// What was found in place of objects.
        passed_over: Vec<PassedOver>,
    },
}

/// Reads a recorded state from a folder, a file, an archive, or, named `-`, from standard input.
///
/// The present is asked for only to tell times that cannot be: those that lie in the future.
///
/// # Errors
///
/// When the input cannot be read at all, or holds no Kubernetes object.
pub fn read(path: &Path, present: Timestamp) -> Result<Input, Error> {
    let mut reading = Reading {
        is_folder: path.is_dir(),
        ..Reading::default()
    };
    source::visit(path, &mut reading).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    if reading.objects.is_empty() && reading.scopes.is_empty() {
        return Err(Error::Nothing {
            path: path.to_owned(),
            passed_over: reading.passed_over,
        });
    }
    Ok(reading.finish(present))
}

/// What the detector says of a recorded state.
pub fn report(input: Input) -> Report {
    let mut engine = Engine::new();
    for observation in input.observations {
        engine.observe(observation, input.now);
    }
    engine.report()
}

#[derive(Default)]
struct Reading {
    is_folder: bool,
    objects: Vec<Object>,
    scopes: Scopes,
    logs: BTreeMap<(String, String, String, Run), Observation>,
    numbers: Vec<Observation>,
    /// CPU periods of a node that their file does not name.
    periods: PeriodsByContainer,
    unreadable: BTreeMap<Kind, String>,
    collected_at: Option<Timestamp>,
    times: Times,
    passed_over: Vec<PassedOver>,
}

impl source::Visitor for Reading {
    fn file(&mut self, path: &str, content: Content<'_>) {
        let role = match layout::role(path) {
            // The one file that was named is read whatever its name.
            Role::Other if !self.is_folder && !path.contains('/') => {
                Role::Objects(Place::default())
            }
            role => role,
        };
        let read = match role {
            Role::Objects(place) => self.objects(path, content, place),
            Role::Log(of) => self.log(of, content),
            Role::LogError(of) => content.whole().map(|because| self.log_error(of, &because)),
            Role::PodLogs { namespace, pod } => self.pod_logs(&namespace, &pod, content),
            Role::CollectedAt => self.collected_at(content),
            Role::NodeStats { node } => self.node_stats(node, content),
            Role::CpuPeriods { node } => self.cpu_periods(node, content),
            Role::Errors(kind) => self.errors(kind, path, content),
            Role::Other => Ok(()),
        };
        if let Err(error) = read {
            self.pass_over(path, error.to_string());
        }
    }

    fn pass_over(&mut self, path: &str, because: String) {
        self.passed_over.push(PassedOver {
            file: path.to_owned(),
            because,
        });
    }
}

/// How `kubectl cluster-info dump` marks where the log of a container begins and ends.
///
/// Source: `kubectl/pkg/cmd/clusterinfo/clusterinfo_dump.go`.
const STARTS: &str = "==== START logs for container ";
const ENDS: &str = "==== END logs for container ";

/// How many faults of one file are told.
const MAX_FAULTS: usize = 5;

impl Reading {
    fn objects(&mut self, path: &str, content: Content<'_>, place: Place) -> io::Result<()> {
        let mut content = content.whole()?;
        let mut found = Found::default();
        if !self.is_folder
            && let Some(objects) = self.dumped_logs(&content)
        {
            content = objects;
        }
        let start = content.iter().find(|byte| !byte.is_ascii_whitespace());
        let is_yaml = !path.ends_with(".json") && !matches!(start, Some(b'{' | b'['));
        if is_yaml {
            objects::read_yaml(&content, &place, &mut found);
        } else {
            objects::read_json(&content, &place, &mut found);
        }
        for object in &found.objects {
            self.times.of_object(object);
        }
        self.objects.append(&mut found.objects);
        for list in found.lists {
            self.scopes.add(path, list);
        }
        for ((api_version, kind), count) in found.unread {
            let because = format!("{count} of kind {kind} ({api_version}), which no rule reads");
            source::Visitor::pass_over(self, path, because);
        }
        let more = found.faults.len().saturating_sub(MAX_FAULTS);
        for fault in found.faults.into_iter().take(MAX_FAULTS) {
            source::Visitor::pass_over(self, path, fault);
        }
        if more > 0 {
            source::Visitor::pass_over(self, path, format!("and {more} more like these"));
        }
        Ok(())
    }

    /// What is left of a `kubectl cluster-info dump` to standard output without the logs in it, which
    /// are read; none where this is none.
    fn dumped_logs(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        let start = STARTS.as_bytes();
        content
            .windows(start.len())
            .find(|window| *window == start)?;
        let mut objects = Vec::new();
        let mut open: Option<(LogOf, LastLines)> = None;
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let of = |marker: &str| {
                let line = std::str::from_utf8(line).ok()?.trim_end();
                let (container, pod) = line.strip_prefix(marker)?.split_once(" of pod ")?;
                let (namespace, pod) = pod.strip_suffix(" ====")?.split_once('/')?;
                Some(LogOf {
                    namespace: namespace.to_owned(),
                    pod: pod.to_owned(),
                    container: container.to_owned(),
                    run: Run::Current,
                })
            };
            match (&mut open, of(STARTS), of(ENDS)) {
                (None, Some(log), _) => open = Some((log, LastLines::default())),
                (Some((log, _)), _, Some(ended)) if *log == ended => {
                    if let Some((log, lines)) = open.take() {
                        self.add_log(log, lines);
                    }
                }
                (Some((_, lines)), ..) => lines.push(line),
                (None, ..) => objects.extend_from_slice(line),
            }
        }
        if let Some((log, lines)) = open {
            self.add_log(log, lines);
        }
        Some(objects)
    }

    fn log(&mut self, of: LogOf, content: Content<'_>) -> io::Result<()> {
        let mut lines = LastLines::default();
        content.last_lines(|line| lines.push(line))?;
        self.add_log(of, lines);
        Ok(())
    }

    fn add_log(&mut self, of: LogOf, lines: LastLines) {
        let lines: Vec<LogLine> = lines.0.into();
        for line in &lines {
            self.times.add(line.at);
        }
        let LogOf {
            namespace,
            pod,
            container,
            run,
        } = of;
        let key = (namespace.clone(), pod.clone(), container.clone(), run);
        let log = Log {
            namespace,
            pod,
            uid: None,
            container,
            run,
            container_id: None,
            lines,
        };
        self.logs.insert(key, Observation::Log(log));
    }

    fn log_error(&mut self, of: LogOf, because: &[u8]) {
        let LogOf {
            namespace,
            pod,
            container,
            run,
        } = of;
        let key = (namespace.clone(), pod.clone(), container.clone(), run);
        let because = String::from_utf8_lossy(because).trim().to_owned();
        self.logs.entry(key).or_insert(Observation::LogUnavailable {
            namespace,
            pod,
            container,
            run,
            container_id: None,
            because,
        });
    }

    /// Reads `logs.txt` of `kubectl cluster-info dump`, which names each container before its log.
    fn pod_logs(&mut self, namespace: &str, pod: &str, content: Content<'_>) -> io::Result<()> {
        let mut logs: Vec<(String, LastLines)> = Vec::new();
        let mut is_open = false;
        content.all_lines(|line| {
            let marker = |start: &str| {
                let line = std::str::from_utf8(line).ok()?.trim_end();
                let container = line.strip_prefix(start)?.strip_suffix(" ====")?;
                let (container, of) = container.split_once(" of pod ")?;
                (of == format!("{namespace}/{pod}")).then(|| container.to_owned())
            };
            if let Some(container) = marker(STARTS) {
                logs.push((container, LastLines::default()));
                is_open = true;
            } else if marker(ENDS).is_some() {
                is_open = false;
            } else if is_open && let Some((_, lines)) = logs.last_mut() {
                lines.push(line);
            }
        })?;
        if logs.is_empty() {
            return Err(io::Error::other(format!(
                "no log of a container of {namespace}/{pod}"
            )));
        }
        for (container, lines) in logs {
            let of = LogOf {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                container,
                run: Run::Current,
            };
            match lines.0.front() {
                Some(line) if lines.0.len() == 1 && says_it_failed(&line.text) => {
                    self.log_error(of, line.text.as_bytes());
                }
                _ => self.add_log(of, lines),
            }
        }
        Ok(())
    }

    fn collected_at(&mut self, content: Content<'_>) -> io::Result<()> {
        let content = content.whole()?;
        let text = String::from_utf8_lossy(&content);
        let at = text.trim().parse::<Timestamp>().map_err(|error| {
            io::Error::other(format!(
                "not an RFC 3339 time, such as 2026-11-24T12:00:00Z: {error}"
            ))
        })?;
        self.collected_at = self.collected_at.max(Some(at));
        Ok(())
    }

    fn node_stats(&mut self, node: Option<String>, content: Content<'_>) -> io::Result<()> {
        let stats: NodeStats = serde_json::from_slice(&content.whole()?)?;
        let own = Some(stats.node.node_name.clone()).filter(|name| !name.is_empty());
        let node = own
            .or(node)
            .ok_or_else(|| io::Error::other("it does not name its node"))?;
        self.numbers.push(Observation::NodeStats { node, stats });
        Ok(())
    }

    fn cpu_periods(&mut self, node: Option<String>, content: Content<'_>) -> io::Result<()> {
        let content = content.whole()?;
        let periods = CpuPeriods::parse(&String::from_utf8_lossy(&content));
        if periods.is_empty() {
            return Err(io::Error::other("no CPU periods of containers in it"));
        }
        match node {
            Some(node) => self.numbers.push(Observation::CpuPeriods { node, periods }),
            None => self.periods.extend(periods),
        }
        Ok(())
    }

    /// Tells by their pods of which nodes the CPU periods are.
    fn place_periods(&mut self) {
        let mut by_node: BTreeMap<String, PeriodsByContainer> = BTreeMap::new();
        for object in &self.objects {
            let Object::Pod(pod) = object else { continue };
            let Some(node) = &pod.node else { continue };
            let of_pod = self.periods.iter().filter(|((namespace, name, _), _)| {
                (namespace, name) == (&pod.namespace, &pod.name)
            });
            let of_pod = of_pod.map(|(id, periods)| (id.clone(), *periods));
            by_node.entry(node.to_string()).or_default().extend(of_pod);
        }
        by_node.retain(|_, periods| !periods.is_empty());
        let placed = by_node.into_iter();
        self.numbers
            .extend(placed.map(|(node, periods)| Observation::CpuPeriods { node, periods }));
    }

    /// Reads why a support bundle lacks objects of a kind: messages, alone or by namespace.
    fn errors(&mut self, kind: Option<Kind>, path: &str, content: Content<'_>) -> io::Result<()> {
        let content = content.whole()?;
        let because = match serde_json::from_slice::<serde_json::Value>(&content) {
            Ok(serde_json::Value::Array(errors)) => errors.first().map(ToString::to_string),
            Ok(serde_json::Value::Object(errors)) => errors
                .iter()
                .next()
                .map(|(at, error)| format!("{at}: {error}")),
            _ => None,
        };
        let Some(because) = because else {
            return Ok(());
        };
        if let Some(kind) = kind {
            self.unreadable.insert(kind, because.clone());
        }
        source::Visitor::pass_over(self, path, format!("it was not collected: {because}"));
        Ok(())
    }

    /// No log comes later than the recording: what is not there is not waited for.
    fn miss_logs(&mut self) {
        for object in &self.objects {
            let Object::Pod(pod) = object else { continue };
            let ended = pod.containers().filter(|one| one.ended().next().is_some());
            for container in ended {
                let key = |run| {
                    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
                    (namespace, name, container.name().to_owned(), run)
                };
                let runs = [Run::Current, Run::Previous];
                if runs.iter().any(|run| self.logs.contains_key(&key(*run))) {
                    continue;
                }
                let missing = Observation::LogUnavailable {
                    namespace: pod.namespace.clone(),
                    pod: pod.name.clone(),
                    container: container.name().to_owned(),
                    run: Run::Previous,
                    container_id: None,
                    because: "no log of it is in this input".to_owned(),
                };
                self.logs.insert(key(Run::Previous), missing);
            }
        }
    }

    fn finish(mut self, present: Timestamp) -> Input {
        self.miss_logs();
        if !self.periods.is_empty() {
            self.place_periods();
        }
        let now = self
            .collected_at
            .unwrap_or_else(|| self.times.newest(present));
        let listed = self.scopes.listed();
        let is_slice = |object: &Object, made: bool| {
            matches!(object, Object::EndpointSlice(_))
                && endpoints::is_made(object.meta().name) == made
        };
        // Where there are slices, Endpoints repeat them.
        if self.objects.iter().any(|object| is_slice(object, false)) {
            self.objects.retain(|object| !is_slice(object, true));
        }
        // What was listed in one place can be read, whatever was refused in another.
        let unreadable = self
            .unreadable
            .into_iter()
            .filter(|(kind, _)| !listed.iter().any(|(listed, _)| listed == kind))
            .map(|(kind, because)| Observation::Unreadable { kind, because });
        let objects = self.objects.into_iter().map(Observation::Applied);
        let listed = listed.iter().map(|(kind, namespace)| Observation::Listed {
            kind: *kind,
            namespace: namespace.clone(),
        });
        let observations = objects
            .chain(self.logs.into_values())
            .chain(self.numbers)
            .chain(unreadable)
            .chain(listed)
            .collect();
        Input {
            observations,
            now,
            passed_over: self.passed_over,
        }
    }
}

/// Whether this is what `kubectl cluster-info dump` writes in place of a log.
fn says_it_failed(line: &str) -> bool {
    line.starts_with("Request log error: ") || line.starts_with("Create log request error: ")
}

/// The last lines of a log.
#[derive(Default)]
struct LastLines(std::collections::VecDeque<LogLine>);

impl LastLines {
    fn push(&mut self, line: &[u8]) {
        if self.0.len() == Log::MAX_LINES {
            self.0.pop_front();
        }
        self.0.push_back(LogLine::parse(line));
    }
}
