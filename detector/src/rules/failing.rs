//! Containers that fail, and what their last words say: what all rules that read words share.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ContainerStateTerminated;

use crate::facts::{Container, ContainerRole, LogLine, Pod};
use crate::rules::given;
use crate::signatures::{self, Level, Meaning, Said, endpoints};
use crate::verdict::Evidence;
use crate::view::View;
use crate::words::Words;

/// How far from its end the words of a run still tell of how it ended.
const LAST: SignedDuration = SignedDuration::from_secs(90);

/// The most lines, from the end, that tell of how a run ended, or how it is.
pub(super) const MOST_LINES: usize = 80;

/// How old the last words of a run under way may be for them to tell how it is, where it does not
/// say them more rarely.
const RECENT: SignedDuration = SignedDuration::from_secs(60);

/// How rarely a run under way may say that it fails.
const RAREST: SignedDuration = SignedDuration::from_mins(15);

/// How many other lines may stand between two failures for them to be one trouble: of a container
/// that is ready, which has other things to say; and of one that is not.
const BETWEEN: (usize, usize) = (3, 20);

/// How much a program says when it is told to end.
const FAREWELL: usize = 6;

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
        let counts = |(line, said): &(&LogLine, &Said)| !self.goes_on_after(line, said.meaning);
        let main = self
            .said()
            .filter(counts)
            .find(|(_, said)| said.meaning != Meaning::NotConnected)
            .or_else(|| self.said().find(counts))?;
        let (_, said) = main;
        let waited = said.meaning == Meaning::TimedOut && said.field("host").is_none();
        let denied = || {
            self.said()
                .find(|(_, said)| said.meaning == Meaning::AccessDenied)
        };
        waited.then(denied).flatten().or(Some(main))
    }

    /// Whether the program makes do without it, by its own words; or calls it a warning, or less, and
    /// says later what it calls an error: it would have ended at once, had it been for this. A
    /// connection may be tried until it gives up.
    fn goes_on_after(&self, line: &LogLine, meaning: Meaning) -> bool {
        let is_tried = meaning.is_of_connection()
            || matches!(
                meaning,
                Meaning::AccessDenied
                    | Meaning::LoginRefused
                    | Meaning::WorkRefused
                    | Meaning::Untrusted
            );
        let is_error = |line: &LogLine| signatures::level(&line.text) == Some(Level::Error);
        if is_tried || is_error(line) {
            return false;
        }
        let lines = self.lines();
        let at = lines.iter().position(|other| std::ptr::eq(other, line));
        makes_do(&line.text)
            || signatures::level(&line.text).is_some()
                && at.is_some_and(|at| lines[at + 1..].iter().any(is_error))
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
    let (from, mut said) = last_words(crash.words.as_ref());
    // A value that it was not given is one that it read or was sent: what it does with that is its
    // own affair.
    let lines = crash.words.as_ref().map_or(&[][..], |words| &words.lines);
    let lines = lines.get(from..).unwrap_or_default();
    said.retain(|(at, said)| {
        said.meaning != Meaning::ValueRefused
            || given::refused(pod, &container, said, (lines, *at), view).is_some()
    });
    // One that was ended by others, and said much since it could not connect, went on without.
    let is_killed = matches!(crash.ended.exit_code, 137 | 143);
    let last = said.iter().map(|(at, _)| *at).max().unwrap_or_default();
    let after = lines.get(last + 1..).unwrap_or_default();
    if is_killed && after.iter().filter(|line| !goes_on(&line.text)).count() > FAREWELL {
        said.retain(|(_, said)| !said.meaning.is_of_connection());
    }
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
    let from = words.lines.len().saturating_sub(MOST_LINES);
    let lines = words.lines.get(from..).unwrap_or_default();
    let is_ready = container.is_ready();
    // A server says of others, and goes on serving, that it refuses them, or that they are gone.
    let tells = |line: &LogLine, said: &Said| match said.meaning {
        Meaning::AccessDenied => true,
        Meaning::LoginRefused | Meaning::WorkRefused => !is_ready,
        meaning if meaning.is_of_connection() => {
            !is_ready || said.field("host").is_some() || !endpoints(&line.text).is_empty()
        }
        _ => false,
    };
    // From the last to the first, as long as little else is said between them.
    let most = if is_ready { BETWEEN.0 } else { BETWEEN.1 };
    let mut said: Vec<(usize, Said)> = Vec::new();
    let mut others = 0;
    for (index, line) in lines.iter().enumerate().rev() {
        match signatures::read(&line.text).filter(|said| tells(line, said)) {
            Some(found) => {
                others = 0;
                said.push((index, found));
            }
            None if !goes_on(&line.text) => others += 1,
            None => {}
        }
        if others > if said.is_empty() { 1 } else { most } {
            break;
        }
    }
    said.reverse();
    let moments: Vec<Timestamp> = said
        .iter()
        .filter_map(|(index, _)| time_of(lines.get(*index)?))
        .collect();
    let is_timed = moments.len() == said.len();
    let (first, last) = (moments.first().copied(), moments.last().copied());
    // What it says of one moment in many words it says once.
    let is_one = |(first, last): (Timestamp, Timestamp)| {
        is_ready && last.duration_since(first) < SignedDuration::from_secs(1)
    };
    if said.len() < 2 || is_timed && first.zip(last).is_some_and(is_one) {
        return None;
    }
    // A program that prints only its failures goes silent when all is well again.
    if let Some(last) = last.filter(|_| is_timed) {
        let before = moments.iter().rev().nth(1).copied().unwrap_or(last);
        let pause = last.duration_since(before).min(RAREST);
        if !view.within(last, RECENT.max(pause.saturating_mul(2))) {
            return None;
        }
    }
    let since = first.or(container.running_since())?;
    let symptom = container.evidence(
        pod,
        "state.running",
        if is_ready {
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

/// When a line was printed, by the kubelet or by its own words.
fn time_of(line: &LogLine) -> Option<Timestamp> {
    const EARLIEST: usize = 80;
    let own = || {
        let text = line.text.as_bytes();
        let starts = (0..text.len().min(EARLIEST)).filter(|at| {
            let is_digit = |offset: usize| text.get(at + offset).is_some_and(u8::is_ascii_digit);
            (0..4).all(is_digit)
                && text.get(at + 4) == Some(&b'-')
                && text.get(at + 10) == Some(&b'T')
        });
        let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-+:.".contains(byte);
        let mut found = starts.filter_map(|at| {
            let rest = &text[at..];
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            std::str::from_utf8(&rest[..length]).ok()?.parse().ok()
        });
        found.next()
    };
    line.at.or_else(own)
}

/// Whether a program says that it goes on with something else, or without: `LOG_MODE is not set, using
/// default`.
fn makes_do(line: &str) -> bool {
    const WORDS: &[&str] = &[
        "using default",
        "using the default",
        "defaulting to",
        "falling back",
        "as fallback",
        "ignoring",
        "will be ignored",
        "skipping",
    ];
    let line = line.to_lowercase();
    WORDS.iter().any(|word| line.contains(word))
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
