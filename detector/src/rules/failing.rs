//! Containers that fail, and what their last words say: what all rules that read words share.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ContainerStateTerminated;

use crate::facts::{Container, ContainerRole, LogLine, Pod};
use crate::signatures::{self, Meaning, Said};
use crate::verdict::Evidence;
use crate::view::View;
use crate::words::Words;

/// How far from its end the words of a run still tell of how it ended.
const LAST: SignedDuration = SignedDuration::from_secs(90);

/// The most lines, from the end, that tell of how a run ended, or how it is.
pub(super) const MOST_LINES: usize = 80;

/// How old the last words of a run under way may be for them to tell how it is.
const RECENT: SignedDuration = SignedDuration::from_secs(60);

/// How long an init container may run before it is said to wait for what does not come.
const WAITS: SignedDuration = SignedDuration::from_secs(60);

/// A container that fails, with its last words.
pub(super) struct Failing<'a, 'p> {
    /// The container.
    pub container: Container<'p>,
    /// How its last run ended; none for one that runs and goes on failing.
    pub ended: Option<&'p ContainerStateTerminated>,
    /// How many runs have ended.
    pub times: i32,
    /// When the trouble became visible.
    pub since: Timestamp,
    /// Its end or state, as evidence.
    pub symptom: Evidence,
    /// Whether what it printed is known.
    pub is_heard: bool,
    words: Option<Words<'a>>,
    /// Where in the words the last ones begin.
    from: usize,
    said: Vec<(usize, Said)>,
}

impl Failing<'_, '_> {
    /// Its last lines, the oldest first.
    pub fn lines(&self) -> &[LogLine] {
        let lines = self.words.as_ref().map_or(&[][..], |words| &words.lines);
        lines.get(self.from..).unwrap_or_default()
    }

    /// What its last lines say, with the lines, the latest first.
    pub fn said(&self) -> impl Iterator<Item = (&LogLine, &Said)> {
        let lines = self.lines();
        self.said
            .iter()
            .rev()
            .filter_map(|(index, said)| Some((lines.get(*index)?, said)))
    }

    /// What it failed of, by its own words: the last that it said, but what says no more than
    /// that it could not connect only where it said nothing else; and that it waited for something
    /// in vain, it does not say for what, only where the API server refused it nothing.
    pub fn main(&self) -> Option<(&LogLine, &Said)> {
        let main = self
            .said()
            .find(|(_, said)| said.meaning != Meaning::NotConnected)
            .or_else(|| self.said().next())?;
        let (_, said) = main;
        let waited = said.meaning == Meaning::TimedOut && said.field("host").is_none();
        let denied = || {
            self.said()
                .find(|(_, said)| said.meaning == Meaning::AccessDenied)
        };
        waited.then(denied).flatten().or(Some(main))
    }

    /// The main thing that it said, if it means this.
    pub fn main_if(&self, is_meant: impl Fn(Meaning) -> bool) -> Option<(&LogLine, &Said)> {
        self.main().filter(|(_, said)| is_meant(said.meaning))
    }

    /// A field of what it said with this meaning, from the latest line that has it.
    pub fn field(&self, meaning: Meaning, name: &str) -> Option<&str> {
        self.said()
            .filter(|(_, said)| said.meaning == meaning)
            .find_map(|(_, said)| said.field(name))
    }

    /// The line after this one.
    pub fn after(&self, line: &LogLine) -> Option<&LogLine> {
        let lines = self.lines();
        let at = lines.iter().position(|other| std::ptr::eq(other, line))?;
        lines.get(at + 1)
    }

    /// Whether its last run ended well: then what it printed is no reason.
    pub fn ended_well(&self) -> bool {
        self.ended.is_some_and(|ended| ended.exit_code == 0)
    }

    /// Whether it failed often enough not to be a start that a second try mends: twice, or once
    /// where nothing tries again, or it runs and fails.
    pub fn is_lasting(&self, pod: &Pod) -> bool {
        self.times > 1 || pod.is_finished() || self.ended.is_none()
    }

    /// Whether it printed no more than a line or two.
    pub fn says_little(&self) -> bool {
        self.lines()
            .iter()
            .filter(|line| !line.text.trim().is_empty())
            .count()
            <= 2
    }

    /// Whether the runtime could not start the last run at all, and says why in its message.
    pub fn could_not_start(&self) -> bool {
        let reason = self.ended.and_then(|ended| ended.reason.as_deref());
        matches!(
            reason,
            Some("StartError" | "ContainerCannotRun" | "RunContainerError")
        )
    }

    /// A line as evidence.
    pub fn quote(&self, line: &LogLine) -> Option<Evidence> {
        Some(self.words.as_ref()?.evidence(line))
    }
}

/// The containers of a pod that fail: whose runs end with a failure, or that run, and whose last
/// words are of connections that fail, or of what refuses them.
pub(super) fn containers<'a, 'p>(pod: &'p Pod, view: &View<'a>) -> Vec<Failing<'a, 'p>> {
    if pod.is_untroubled() && !view.has_log(pod) {
        return Vec::new();
    }
    pod.containers()
        .filter_map(|container| {
            crashing(pod, container, view).or_else(|| running(pod, container, view))
        })
        .collect()
}

/// The init containers of a pod that run on and on without a word of a failure: what their command
/// names is what they wait for, `until nc -z db 5432; do sleep 2; done`.
pub(super) fn waiting<'a, 'p>(pod: &'p Pod, view: &View<'a>) -> Vec<Failing<'a, 'p>> {
    if pod.is_untroubled() || pod.deleting.is_some() {
        return Vec::new();
    }
    let waits = |container: Container<'p>| {
        let since = container.running_since()?;
        let is_silent = container.role == ContainerRole::Init
            && view.ripe(since, WAITS)
            && crashing(pod, container, view).is_none()
            && running(pod, container, view).is_none();
        is_silent.then(|| Failing {
            container,
            ended: None,
            times: 0,
            since,
            symptom: container.evidence(pod, "state.running", "running, and not done"),
            is_heard: false,
            words: None,
            from: 0,
            said: Vec::new(),
        })
    };
    pod.containers().filter_map(waits).collect()
}

fn crashing<'a, 'p>(
    pod: &'p Pod,
    container: Container<'p>,
    view: &View<'a>,
) -> Option<Failing<'a, 'p>> {
    let crash = view.crash(pod, &container)?;
    let reason = crash.ended.reason.as_deref();
    if matches!(reason, Some("OOMKilled" | "ContainerStatusUnknown")) {
        return None;
    }
    let symptom = crash.evidence(pod, &container);
    let (from, said) = last_words(crash.words.as_ref());
    Some(Failing {
        container,
        ended: Some(crash.ended),
        times: crash.times,
        since: crash.since,
        symptom,
        is_heard: crash
            .words
            .as_ref()
            .is_some_and(|words| !words.lines.is_empty()),
        words: crash.words,
        from,
        said,
    })
}

/// A container that runs, and the last that it said, more than once, is that it cannot connect or
/// is refused.
fn running<'a, 'p>(
    pod: &'p Pod,
    container: Container<'p>,
    view: &View<'a>,
) -> Option<Failing<'a, 'p>> {
    if pod.deleting.is_some() {
        return None;
    }
    let words = view.words_of_present_run(pod, &container)?;
    let (from, said) = last_words(Some(&words));
    let lines = words.lines.get(from..).unwrap_or_default();
    // A server says of others, and goes on serving, that it refuses them.
    let is_refused = |meaning| match meaning {
        Meaning::AccessDenied => true,
        Meaning::LoginRefused | Meaning::WorkRefused => !container.is_ready(),
        _ => false,
    };
    let tells =
        |(_, said): &&(usize, Said)| said.meaning.is_of_connection() || is_refused(said.meaning);
    let told: Vec<_> = said.iter().filter(tells).collect();
    let (last, _) = told.last()?;
    let after = lines.get(last + 1..).unwrap_or_default();
    if told.len() < 2 || after.iter().filter(|line| !goes_on(&line.text)).count() > 1 {
        return None;
    }
    // A program that prints only its failures goes silent when all is well again.
    if let Some(at) = lines.get(*last).and_then(|line| line.at)
        && !view.within(at, RECENT)
    {
        return None;
    }
    let first = told.first().and_then(|(first, _)| lines.get(*first)?.at);
    let since = first.or(container.running_since())?;
    let symptom = container.evidence(
        pod,
        "state.running",
        if container.is_ready() {
            "running, and failing"
        } else {
            "running, not ready"
        },
    );
    Some(Failing {
        container,
        ended: None,
        times: 0,
        since,
        symptom,
        is_heard: true,
        words: Some(words),
        from,
        said,
    })
}

/// Whether a line goes on with what the one before says, as those of a stack trace do.
fn goes_on(line: &str) -> bool {
    let is_indented = line.starts_with([' ', '\t']);
    let starts = ["at ", "... ", "Caused by: ", "}", ")", "]"];
    is_indented || line.trim().is_empty() || starts.iter().any(|start| line.starts_with(start))
}

/// Where the last words of a run begin, and what they say, by line.
fn last_words(words: Option<&Words<'_>>) -> (usize, Vec<(usize, Said)>) {
    let lines = words.map_or(&[][..], |words| &words.lines);
    let end = lines.iter().rev().find_map(|line| line.at);
    let is_early = |line: &LogLine| {
        line.at
            .zip(end)
            .is_some_and(|(at, end)| end.duration_since(at) > LAST)
    };
    let early = lines.iter().take_while(|line| is_early(line)).count();
    let from = early.max(lines.len().saturating_sub(MOST_LINES));
    let last = lines.get(from..).unwrap_or_default().iter().enumerate();
    let said = last.filter_map(|(index, line)| Some((index, signatures::read(&line.text)?)));
    (from, said.collect())
}
