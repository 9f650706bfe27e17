//! What the rules of containers that end share: which run ended last, whether that is a trouble
//! still, what it printed, and who killed it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ContainerStateTerminated;

use crate::facts::{Container, Event, Log, LogLine, Pod, Run, duration};
use crate::kubernetes::references::{Source, config_references};
use crate::object::Kind;
use crate::rules::{
    access_denied, dependency_refusing, dependency_unreachable, dropped, failing, policy,
};
use crate::signatures::{self, Level};
use crate::verdict::Evidence;
use crate::view::View;
use crate::words::{self, LONGEST, Words};

/// How long to wait for the log of a run that has ended.
const LOG_PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// How much later than the end of a run the event may come that tells who ended it.
const EVENT_PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// A container whose run ended, while that still is a trouble.
#[derive(Clone, Copy)]
pub(super) struct Ended<'a> {
    /// The container.
    pub container: Container<'a>,
    /// The run that ended last.
    pub run: &'a ContainerStateTerminated,
    /// How many of its runs ended.
    pub times: i32,
    /// Whether it ends again and again, and not once after a long time.
    pub repeats: bool,
    /// Whether the pod is a Job's, for which each end counts.
    pub of_job: bool,
}

impl Ended<'_> {
    /// Whether it failed often enough to be called failing: twice, or once for a Job.
    pub(super) fn is_failing(&self) -> bool {
        self.run.exit_code != 0 && (self.of_job || self.repeats && self.times >= 2)
    }

    /// When the run ended.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.run.finished_at.as_ref().map(|time| time.0)
    }

    /// When the run started.
    pub(super) fn started(&self) -> Option<Timestamp> {
        self.run.started_at.as_ref().map(|time| time.0)
    }

    /// Since when it keeps ending, as far as is known: since the run ended, or since the first
    /// time that the kubelet held it back.
    pub(super) fn since(&self, pod: &Pod, view: &View<'_>) -> Timestamp {
        let name = self.container.name();
        let held_back = (view.events_of(pod))
            .filter(|event| event.reason == "BackOff" && event.about.container() == Some(name))
            .filter(|event| event.message.contains("restarting failed container"))
            .filter_map(|event| event.first);
        held_back
            .chain(self.at())
            .min()
            .or(pod.created)
            .unwrap_or(view.now())
    }

    /// The end of the run as evidence.
    pub(super) fn evidence(&self, pod: &Pod) -> Evidence {
        let field = if self.container.terminated() == Some(self.run) {
            "state.terminated"
        } else {
            "lastState.terminated"
        };
        let reason = self.run.reason.as_deref().unwrap_or_default();
        let mut quote = format!("exit code {} {reason}", self.run.exit_code)
            .trim_end()
            .to_owned();
        if let Some(message) = self
            .run
            .message
            .as_deref()
            .filter(|message| !message.is_empty())
        {
            quote += &format!(": {}", message.trim_end());
        }
        Evidence {
            at: self.at(),
            ..self.container.evidence(pod, field, quote)
        }
    }
}

/// The containers of a pod whose end is a trouble now: the pod is not being deleted, and
/// [`View::is_crash_over`] does not hold.
pub(super) fn ended<'a>(pod: &'a Pod, view: &View<'a>) -> Vec<Ended<'a>> {
    if pod.deleting.is_some() {
        return Vec::new();
    }
    let of_job = pod
        .controller
        .as_ref()
        .is_some_and(|owner| owner.kind == "Job");
    let ended = pod.containers().filter_map(|container| {
        let run = container.ended().next()?;
        if view.is_crash_over(pod, &container, run) {
            return None;
        }
        let times = container.restarts() + i32::from(!container.is_running());
        let repeats = duration(run) < LONGEST || is_frequent(pod, times, view.now());
        Some(Ended {
            container,
            run,
            times,
            repeats,
            of_job,
        })
    });
    ended.collect()
}

/// Whether a container that runs for long each time ends often nevertheless: every half an hour
/// on average.
fn is_frequent(pod: &Pod, times: i32, now: Timestamp) -> bool {
    const OFTEN: SignedDuration = SignedDuration::from_mins(30);
    let start = pod
        .status
        .start_time
        .as_ref()
        .map(|time| time.0)
        .or(pod.created);
    times >= 3 && start.is_some_and(|start| now.duration_since(start) / times < OFTEN)
}

/// Who ended a run, where an event of the pod tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Killer {
    /// The kubelet, because the liveness probe failed.
    LivenessProbe,
    /// The kubelet, because the startup probe failed.
    StartupProbe,
    /// The kubelet, for another reason: the pod's sandbox is made anew, its definition changed.
    Kubelet,
}

impl Killer {
    fn by(event: &Event) -> Self {
        let message = &event.message;
        if message.contains("failed liveness probe") || message.starts_with("Liveness probe") {
            Self::LivenessProbe
        } else if message.contains("failed startup probe") || message.starts_with("Startup probe") {
            Self::StartupProbe
        } else {
            Self::Kubelet
        }
    }
}

/// Who killed the run, with the event that tells. As long as that event may yet come, or where it
/// may have been dropped, a probe that killed a run before is taken to have killed this one too.
pub(super) fn killer<'a>(
    ended: &Ended<'_>,
    pod: &Pod,
    view: &View<'a>,
) -> Option<(Killer, &'a Event)> {
    let name = ended.container.name();
    let is_of_container = |event: &Event| match event.about.container() {
        Some(container) => container == name,
        None => event.message.split_whitespace().any(|word| word == name),
    };
    let killing = (view.events_of(pod))
        .filter(|event| match event.reason.as_str() {
            "Killing" => is_of_container(event),
            "SandboxChanged" => true,
            _ => false,
        })
        .max_by_key(|event| event.last);
    let known = killing.filter(|event| {
        let may_come = || ended.at().is_some_and(|at| !view.ripe(at, EVENT_PATIENCE));
        event.last >= ended.started() || Killer::by(event) != Killer::Kubelet && may_come()
    });
    // The one of this run may have been dropped; those of failures come more often.
    let before = || {
        let failing = (view.events_of(pod))
            .filter(|event| event.reason == "Unhealthy" && is_of_container(event));
        let failing = failing.filter(|event| !event.message.starts_with("Readiness"));
        let latest = failing.chain(killing).max_by_key(|event| event.last)?;
        let is_dropped = was_ended_from_outside(ended.run) && dropped::others_are(latest, view);
        (is_dropped && Killer::by(latest) != Killer::Kubelet).then_some(latest)
    };
    let event = known.or_else(before)?;
    Some((Killer::by(event), event))
}

/// Whether a run ended as one does that is told to: by the signal, or well.
fn was_ended_from_outside(run: &ContainerStateTerminated) -> bool {
    const KILLED: i32 = 128 + 9;
    const TERMINATED: i32 = 128 + 15;
    matches!(run.exit_code, 0 | KILLED | TERMINATED) && run.reason.as_deref() != Some("OOMKilled")
}

/// What a run printed.
pub(super) enum Printed<'a> {
    /// Its last lines.
    Read(Words<'a>),
    /// They cannot be had, with the reason where one is known.
    Unavailable(Option<&'a str>),
    /// They may yet be read.
    Awaited,
}

/// What the run that ended last printed.
pub(super) fn printed<'a>(ended: &Ended<'_>, pod: &Pod, view: &View<'a>) -> Printed<'a> {
    if let Some(words) = view.words_of_last_run(pod, &ended.container) {
        return Printed::Read(words);
    }
    let name = ended.container.name();
    let runs = [Run::Previous, Run::Current];
    let why = runs
        .into_iter()
        .find_map(|run| view.log_unavailable(pod, name, run, ended.run.container_id.as_deref()));
    let known = words::end_known(pod, ended.run);
    if why.is_some() || known.is_none_or(|known| view.ripe(known, LOG_PATIENCE)) {
        return Printed::Unavailable(why);
    }
    Printed::Awaited
}

/// Whether the cause of the last failure may be gone, so that the next one is to be awaited: what
/// the container depends on changed since or is starting, or its present run goes another way.
pub(super) fn may_be_mended(ended: &Ended<'_>, pod: &Pod, view: &View<'_>) -> bool {
    let at = ended.at();
    let around = [
        (Kind::NetworkPolicy, pod.namespace.as_str()),
        (Kind::CalicoPolicy, pod.namespace.as_str()),
        (Kind::GlobalCalicoPolicy, ""),
        (Kind::Service, pod.namespace.as_str()),
    ];
    let around = around
        .into_iter()
        .map(|(kind, namespace)| view.changed_in(kind, namespace));
    let named = config_references(pod).into_iter().map(|reference| {
        let kind = match reference.source {
            Source::ConfigMap => Kind::ConfigMap,
            Source::Secret => Kind::Secret,
        };
        view.changed(kind, &pod.namespace, &reference.name)
    });
    around
        .chain(named)
        .flatten()
        .any(|change| at.is_some_and(|at| change > at))
        || goes_another_way(ended, pod, view)
        || says_what_may_be_mended(ended, pod, view)
}

/// Whether what the last run failed of, by its own words, may be gone.
fn says_what_may_be_mended(ended: &Ended<'_>, pod: &Pod, view: &View<'_>) -> bool {
    let failing = failing::containers(pod, view);
    let mut failing = failing.iter();
    let failing = failing.find(|one| one.container.name() == ended.container.name());
    failing.is_some_and(|failing| {
        policy::is_mended(pod, failing, view)
            || access_denied::is_mended(pod, failing, view)
            || dependency_unreachable::is_awaited(pod, failing, view)
            || dependency_refusing::is_passing(failing, view)
    })
}

/// Whether the present run printed last what the last one never did, as far as its log goes.
/// Numbers do not count: lines hold times and counts.
fn goes_another_way(ended: &Ended<'_>, pod: &Pod, view: &View<'_>) -> bool {
    let plain =
        |line: &LogLine| -> String { line.text.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let Some(present) = view.words_of_present_run(pod, &ended.container) else {
        return false;
    };
    let Some(last) = view.words_of_last_run(pod, &ended.container) else {
        return false;
    };
    let Some(line) = present
        .lines
        .iter()
        .rev()
        .find(|line| !line.text.trim().is_empty())
    else {
        return false;
    };
    let is_whole = !last.lines.is_empty() && last.lines.len() < Log::MAX_LINES;
    is_whole && !last.lines.iter().any(|before| plain(before) == plain(line))
}

/// What a run printed last, for people to read.
#[derive(Default)]
pub(super) struct LastWords {
    /// At most five lines that are not empty, not the same and no places in the program, each cut;
    /// those that tell of a trouble among them.
    pub lines: Vec<String>,
    /// The line that tells most.
    pub last: Option<String>,
    /// It, and another that tells of a trouble, as evidence.
    pub telling: Vec<Evidence>,
}

/// Picks what people want to read of a run's last lines.
pub(super) fn last_words(words: &Words<'_>) -> LastWords {
    const MOST: usize = 5;
    const TELLING: usize = 2;
    const APART: usize = 3;
    const WIDTH: usize = 240;
    let mut seen = BTreeSet::new();
    let lines: Vec<&LogLine> = words
        .lines
        .iter()
        .rev()
        .take(failing::MOST_LINES)
        .filter(|line| {
            let text = line.text.trim_end();
            !text.is_empty() && !is_place(text) && seen.insert(text)
        })
        .collect();
    let tells = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| tells_of_trouble(&line.text));
    let tells: Vec<usize> = tells.map(|(at, _)| at).collect();
    // The last of them is what it ends with: where the program ranks its lines the first of those
    // that come together is the reason, and the others are what comes of it.
    let is_ranked = |at: &usize| {
        lines
            .get(*at)
            .is_some_and(|line| signatures::level(&line.text).is_some())
    };
    let is_together = |pair: &&[usize]| pair[1] - pair[0] <= APART && is_ranked(&pair[1]);
    let together = tells
        .windows(2)
        .take_while(is_together)
        .last()
        .map(|pair| pair[1]);
    let last = tells.first().copied().or((!lines.is_empty()).then_some(0));
    let first = together.filter(|_| last.as_ref().is_some_and(is_ranked));
    let before = tells.get(1).copied();
    let mut telling: Vec<usize> = first.into_iter().chain(last).chain(before).collect();
    telling.dedup();
    telling.truncate(TELLING);
    let rest = (0..lines.len()).filter(|at| !telling.contains(at));
    let mut shown: Vec<usize> = telling.iter().copied().chain(rest).take(MOST).collect();
    shown.sort_unstable();
    let line = |at: &usize| lines.get(*at).copied();
    let cut = |line: &LogLine| -> String { line.text.trim_end().chars().take(WIDTH).collect() };
    LastWords {
        lines: shown.iter().rev().filter_map(line).map(cut).collect(),
        last: telling.first().and_then(line).map(cut),
        telling: telling
            .iter()
            .filter_map(line)
            .map(|line| words.evidence(line))
            .collect(),
    }
}

/// Whether a line of a stack trace only names a place in the program.
fn is_place(text: &str) -> bool {
    let text = text.trim_start();
    let starts = ["at ", "... ", "File \"", "from /", "goroutine ", "^", "~"];
    starts.iter().any(|start| text.starts_with(start))
        || text.contains(".go:") && text.contains(" +0x")
}

/// Whether a program calls a line an error, or its words do.
fn tells_of_trouble(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "error:",
        "exception:",
        "exception in ",
        "panic:",
        "panicked at",
        "fatal",
        "failed",
        "cannot ",
        "could not ",
        "unable to ",
        "no such ",
    ];
    match signatures::level(text) {
        Some(level) => level == Level::Error,
        None => {
            let text = text.to_lowercase();
            WORDS.iter().any(|word| text.contains(word))
        }
    }
}
