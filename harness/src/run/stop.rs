//! Why a run ends before its verdict can be judged.

use std::fmt;

use crate::backend::BackendError;
use crate::claims::ClaimError;
use crate::journal::JournalError;
use crate::scenario::Problems;

/// Why a run cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The backend lacks what the scenario needs.
    Skip(String),
    /// The scenario is broken.
    Invalid(String),
    /// The environment is.
    Error(String),
}

impl Stop {
    /// Of a request to the API. Another cluster may well do what this one refuses.
    pub fn api(what: impl fmt::Display) -> impl FnOnce(kube::Error) -> Self {
        move |error| match &error {
            kube::Error::Api(status) => Stop::Error(format!("{what}: {}", status.message)),
            error => Stop::Error(format!("{what}: {}", causes(error))),
        }
    }
}

/// An error with all that caused it, without repetition.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Skip(why) | Stop::Invalid(why) | Stop::Error(why) => f.write_str(why),
        }
    }
}

impl From<BackendError> for Stop {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Unable { .. } => Stop::Skip(error.to_string()),
            error => Stop::Error(causes(&error)),
        }
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Stop::Error(causes(&error))
    }
}

impl From<ClaimError> for Stop {
    fn from(error: ClaimError) -> Self {
        Stop::Error(causes(&error))
    }
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Self {
        Stop::Invalid(problems.to_string())
    }
}
