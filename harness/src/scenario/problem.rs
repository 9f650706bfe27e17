//! A mistake in a scenario's files, shown with its place.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::yaml::Position;

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it, if that is known.
    pub position: Option<Position>,
    /// The line that stands there.
    pub line: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Problem {
    /// A mistake in a file as a whole.
    pub fn new(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            position: None,
            line: None,
            message: message.into(),
        }
    }

    /// A mistake at a place of a text, which the file holds or renders to.
    pub fn at(
        path: &Path,
        text: &str,
        position: Option<Position>,
        message: impl Into<String>,
    ) -> Self {
        let line = position.and_then(|position| text.lines().nth(position.line - 1));
        Self {
            position,
            line: line.map(str::to_owned),
            ..Self::new(path, message)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let path = self.path.display();
        let Some(Position { line, column }) = self.position else {
            return write!(f, "\n --> {path}");
        };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        write!(f, "\n{margin}--> {path}:{line}:{column}")?;
        let Some(text) = &self.line else {
            return Ok(());
        };
        // Tabs are kept, so that the caret stands below its place however wide they are.
        let indent: String = text
            .chars()
            .chain(std::iter::repeat(' '))
            .take(column - 1)
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {indent}^")
    }
}

/// Every mistake that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The value, if there was no mistake.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// Adds the mistakes of an attempt, and gives what it gave otherwise.
    pub fn take<T>(&mut self, attempt: Result<T, Problems>) -> Option<T> {
        match attempt {
            Ok(value) => Some(value),
            Err(problems) => {
                self.0.extend(problems.0);
                None
            }
        }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}
