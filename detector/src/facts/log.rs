use std::borrow::Cow;

use jiff::Timestamp;

/// Which of a container's runs a log is said to be of.
///
/// In a crash loop the current and the previous log are usually the same run: while the container
/// waits, "current" is the run that ended last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Run {
    /// What `kubectl logs` gives.
    Current,
    /// What `kubectl logs --previous` gives.
    Previous,
}

/// One line that a program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When, where the log was fetched with timestamps.
    pub at: Option<Timestamp>,
    /// The line, without its end; invalid UTF-8 replaced, cut at [`LogLine::MAX_BYTES`].
    pub text: String,
}

impl LogLine {
    /// The longest line that is kept, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Reads a line, with or without the timestamp that `kubectl logs --timestamps` puts first.
    pub fn parse(line: &[u8]) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(&line[..line.len().min(Self::MAX_BYTES)]);
        if let Some((first, rest)) = line.split_once(' ')
            && first.len() >= 20
            && first.as_bytes()[10] == b'T'
            && let Ok(at) = first.parse()
        {
            return Self {
                at: Some(at),
                text: plain(rest).into_owned(),
            };
        }
        Self {
            at: None,
            text: plain(&line).into_owned(),
        }
    }
}

/// A text without what colours it on a terminal.
fn plain(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "\u{1b}[";
    if !text.contains(BEGIN) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(BEGIN);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && !";?".contains(c));
        plain.extend(end.and_then(|end| part.get(end + 1..)));
    }
    Cow::Owned(plain)
}

/// The end of what one run of a container printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub pod: String,
    /// The pod's unique id, where it is known: a StatefulSet's pods share their names.
    pub uid: Option<String>,
    /// The name of the container.
    pub container: String,
    /// Which run it was asked for.
    pub run: Run,
    /// The id of the run's container, where it is known.
    pub container_id: Option<String>,
    /// The last lines, at most [`Log::MAX_LINES`].
    pub lines: Vec<LogLine>,
}

impl Log {
    /// The most lines that are kept of a run.
    pub const MAX_LINES: usize = 200;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out() {
        let line = LogLine::parse(b"\x1b[31m[Nest] 1 \x1b[38;5;3mERROR\x1b[0m no\x1b[");
        assert_eq!(line.text, "[Nest] 1 ERROR no");
        let line = LogLine::parse(b"2026-11-24T12:00:00Z \x1b[2mapi\x1b[0m: up");
        assert_eq!(line.text, "api: up");
        assert!(line.at.is_some());
    }
}
