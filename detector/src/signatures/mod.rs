//! What programs say when they fail: one table of patterns, and what each line means.
//!
//! A line is only text. It counts for a run that failed, and only among its last words; whoever
//! asks sees to that. What the state of objects can tell is not asked of words.

mod endpoints;
mod levels;
mod literals;
mod table;

use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Regex, RegexBuilder};

pub use endpoints::{Endpoint, default_port, endpoints, in_command};
pub use levels::{Level, level};
use literals::Sieve;
use table::TABLE;

/// What a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meaning {
    /// It refuses its configuration: fields `file`, `line`, `problem`, `name`, `argument`.
    ConfigInvalid,
    /// A value, or the name of an object, is refused, and it does not show whose it is: fields
    /// `value`, `name`, `problem`.
    ValueRefused,
    /// It does not trust the certificate of what it connects to: field `problem`, where it is not
    /// for want of the authority's certificate.
    Untrusted,
    /// The API server refuses what it asks: fields `user`, `verb`, `resource`, `group`,
    /// `namespace`, `name`.
    AccessDenied,
    /// It cannot listen: fields `host`, `port`.
    PortInUse,
    /// What it connects to refuses its credentials: fields `user`, `host`.
    LoginRefused,
    /// What it connects to answers and refuses the work: field `problem`.
    WorkRefused,
    /// Nothing listens where it connects to: fields `host`, `port`.
    Refused,
    /// No answer came from where it connects to: fields `host`, `port`.
    TimedOut,
    /// There is no way to where it connects to: fields `host`, `port`.
    NoRoute,
    /// The name service says that there is no such name: field `host`.
    NoSuchName,
    /// The name service does not answer, or cannot: field `host`.
    NoNameService,
    /// A name does not resolve, for either reason: field `host`.
    Unresolved,
    /// A library, module or file of the program is not there: field `file`.
    LibraryMissing,
    /// A file is not there, and it does not show whose it is: field `file`.
    FileMissing,
    /// A command is not there: field `command`.
    CommandNotFound,
    /// The system refuses a file, port or call: field `what`.
    PermissionDenied,
    /// It cannot connect, and does not say why: fields `host`, `port`.
    NotConnected,
}

impl Meaning {
    /// Whether it tells of a connection that does not come about.
    pub fn is_of_connection(self) -> bool {
        self.is_of_name()
            || matches!(
                self,
                Meaning::Refused | Meaning::TimedOut | Meaning::NoRoute | Meaning::NotConnected
            )
    }

    /// Whether it tells of a name that does not resolve.
    pub fn is_of_name(self) -> bool {
        matches!(
            self,
            Meaning::NoSuchName | Meaning::NoNameService | Meaning::Unresolved
        )
    }
}

/// One kind of line that programs print.
struct Signature {
    meaning: Meaning,
    /// Named groups are the fields.
    pattern: &'static str,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it means.
    pub meaning: Meaning,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    /// A field that was read from the line; none where the line does not tell.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| *field == name)?;
        Some(&field.1)
    }

    /// A field that is a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.field(name)?.parse().ok()
    }
}

static SIEVE: LazyLock<Sieve> =
    LazyLock::new(|| Sieve::new(TABLE.iter().map(|signature| signature.pattern)));

/// Each pattern by itself, compiled when a line first may match it.
static PATTERNS: LazyLock<Vec<OnceLock<Option<Regex>>>> =
    LazyLock::new(|| TABLE.iter().map(|_| OnceLock::new()).collect());

/// Makes the patterns ready, which takes a moment: whoever is to answer at once does so before.
pub fn prepare() {
    LazyLock::force(&SIEVE);
    for (index, pattern) in PATTERNS.iter().enumerate() {
        pattern.get_or_init(|| compiled(index));
    }
    endpoints::prepare();
}

fn compiled(index: usize) -> Option<Regex> {
    let pattern = TABLE.get(index)?.pattern;
    RegexBuilder::new(pattern).unicode(false).build().ok()
}

/// Reads one line; none where it says nothing that is known.
pub fn read(line: &str) -> Option<Said> {
    // Of a client that connects: it is its trouble, or that it does not trust this server.
    if is_of_usage(line) || line.contains("TLS handshake error from ") {
        return None;
    }
    // Structured logs escape the quotes of the message that they carry.
    let unescaped;
    let line = if line.contains("\\\"") {
        unescaped = line.replace("\\\"", "\"");
        &unescaped
    } else {
        line
    };
    let (meaning, captures) = SIEVE
        .candidates(line.as_bytes())
        .into_iter()
        .find_map(|index| {
            let pattern = PATTERNS
                .get(index)?
                .get_or_init(|| compiled(index))
                .as_ref()?;
            Some((
                TABLE.get(index)?.meaning,
                pattern.captures(line.as_bytes())?,
            ))
        })?;
    let field = |name: &&'static str| {
        let text = captures.name(name)?.as_bytes();
        let text = String::from_utf8_lossy(text).trim().to_owned();
        (!text.is_empty()).then_some((*name, text))
    };
    let mut fields: Vec<_> = FIELDS.iter().filter_map(field).collect();
    // Some count lines from 0: what they give is how many come before.
    for (name, text) in &mut fields {
        if *name == "before"
            && let Ok(before) = text.parse::<u64>()
        {
            (*name, *text) = ("line", before.saturating_add(1).to_string());
        }
    }
    Some(Said { meaning, fields })
}

/// Whether a line is of what a program prints of its options: `  -w SEC  Connect timeout`.
fn is_of_usage(line: &str) -> bool {
    let text = line.trim_start();
    let option = text.strip_prefix("--").or_else(|| text.strip_prefix('-'));
    let is_option =
        option.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric()));
    is_option && text.len() < line.len()
}

/// The fields that patterns can have.
const FIELDS: &[&str] = &[
    "argument",
    "before",
    "command",
    "file",
    "group",
    "host",
    "line",
    "name",
    "namespace",
    "port",
    "passing",
    "problem",
    "resource",
    "user",
    "value",
    "verb",
    "what",
];

#[cfg(test)]
mod tests;
