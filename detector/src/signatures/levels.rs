/// How a program ranks what it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It only tells.
    Note,
    /// It goes on in spite of it.
    Warning,
    /// It cannot go on, or not with this.
    Error,
}

/// How much of a line is looked at: what ranks it stands at its beginning.
const BEGINNING: usize = 200;

/// The words for it: in capitals wherever they stand, else where only a rank can stand.
const WORDS: &[(&str, Level)] = &[
    ("trace", Level::Note),
    ("debug", Level::Note),
    ("dbg", Level::Note),
    ("log", Level::Note),
    ("info", Level::Note),
    ("inf", Level::Note),
    ("note", Level::Note),
    ("notice", Level::Note),
    ("warn", Level::Warning),
    ("wrn", Level::Warning),
    ("warning", Level::Warning),
    ("err", Level::Error),
    ("eror", Level::Error),
    ("error", Level::Error),
    ("severe", Level::Error),
    ("crit", Level::Error),
    ("critical", Level::Error),
    ("alert", Level::Error),
    ("emerg", Level::Error),
    ("fatal", Level::Error),
    ("ftl", Level::Error),
    ("panic", Level::Error),
];

/// How a program ranks a line; none where the line does not tell.
pub fn level(line: &str) -> Option<Level> {
    let bytes = line.as_bytes();
    let bytes = bytes.get(..BEGINNING).unwrap_or(bytes);
    // Kubernetes' own programs: `E0102 15:04:05.000000`.
    if let [letter, digits @ ..] = bytes
        && digits.len() > 4
        && digits[..4].iter().all(u8::is_ascii_digit)
        && digits[4] == b' '
    {
        match letter {
            b'I' => return Some(Level::Note),
            b'W' => return Some(Level::Warning),
            b'E' | b'F' => return Some(Level::Error),
            _ => {}
        }
    }
    let mut start = 0;
    while start < bytes.len() {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = bytes[start..]
            .iter()
            .take_while(|byte| is_part(byte))
            .count();
        let word = &bytes[start..start + length];
        let before = bytes[..start].trim_ascii_end().last();
        let after = &bytes[start + length..];
        let is_set_apart = || match before {
            // A field may be called so as well: `"error":"no","level":"info"`.
            Some(quote @ (b'"' | b'\'')) => {
                after.first() == Some(quote) && !after[1..].trim_ascii_start().starts_with(b":")
            }
            Some(byte) => b"[<=".contains(byte) || bytes[..start].ends_with(b"\t"),
            None => false,
        };
        let found = WORDS
            .iter()
            .find(|(known, _)| word.eq_ignore_ascii_case(known.as_bytes()));
        if let Some((_, level)) = found
            && (word.iter().all(u8::is_ascii_uppercase)
                || is_set_apart() && !word.eq_ignore_ascii_case(b"log"))
        {
            return Some(*level);
        }
        start += length.max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_lines() {
        for (line, expected) in [
            (
                "E0102 15:04:05.000000       1 main.go:7] no",
                Some(Level::Error),
            ),
            (
                "W0102 15:04:05.000000       1 main.go:7] no",
                Some(Level::Warning),
            ),
            (
                r#"{"level":"warn","ts":1.2,"msg":"ERROR"}"#,
                Some(Level::Warning),
            ),
            (r#"time="x" level=fatal msg="no""#, Some(Level::Error)),
            ("2026-01-02 15:04:05,000 INFO  [main] up", Some(Level::Note)),
            (
                "[2026/01/02 15:04:05] [ warn] [engine] no",
                Some(Level::Warning),
            ),
            ("2026-01-02T15:04:05Z\twarn\tmain\tno", Some(Level::Warning)),
            (
                "mariadb 08:05:21.77 WARN  ==> not writable",
                Some(Level::Warning),
            ),
            ("2026-01-02 0 [Note] ready", Some(Level::Note)),
            (
                "2026-01-02 15:04:05 GMT [16] LOG:  skipping",
                Some(Level::Note),
            ),
            (
                r#"{"error":"none","msg":"error of others","level":"info"}"#,
                Some(Level::Note),
            ),
            (r#"{"level":30,"msg":"up","err":null}"#, None),
            (r#"{"log":"E no","stream":"stderr"}"#, None),
            ("more info is at the end of the warning", None),
            ("Traceback (most recent call last):", None),
            ("", None),
        ] {
            assert_eq!(level(line), expected, "{line}");
        }
    }
}
