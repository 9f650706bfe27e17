//! Tells the one who waits what is being done.

use std::{fmt, io::IsTerminal, sync::Arc};

/// Where lines of progress go: a terminal, a live line of a run, or nowhere.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Gives each line to this function.
    pub fn new(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    /// Drops every line.
    pub fn silent() -> Self {
        Self::new(|_| ())
    }

    /// Prints each line to stderr where that is a terminal, else drops it.
    pub fn terminal() -> Self {
        if std::io::stderr().is_terminal() {
            Self::new(|line| eprintln!("{line}"))
        } else {
            Self::silent()
        }
    }

    /// Tells one thing, in a line without a full stop.
    pub fn say(&self, line: impl AsRef<str>) {
        (self.0)(line.as_ref());
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
