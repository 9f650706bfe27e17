use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::run::outcome::{Outcome, Run, Suite};

/// The report as JUnit XML: a fail or an invalid scenario is a failure, an error an error.
///
/// # Errors
///
/// When the XML cannot be written.
pub fn junit(suite: &Suite) -> Result<String, SerializeError> {
    let mut cases = TestSuite::new("crashbook");
    cases.set_time(millis(suite.took_ms));
    cases.add_test_cases(suite.scenarios.iter().map(case));
    let beside = suite.unattributed.iter().map(|stray| {
        format!(
            "unattributed: {}: {}",
            stray.verdict.identity(),
            stray.verdict.summary
        )
    });
    let beside: Vec<_> = suite.why.iter().cloned().chain(beside).collect();
    if !beside.is_empty() {
        let kind = match suite.why.is_empty() {
            true => NonSuccessKind::Failure,
            false => NonSuccessKind::Error,
        };
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(beside.join("\n"));
        cases.add_test_case(TestCase::new("suite", status));
    }
    let mut report = Report::new("crashbook");
    report.set_time(millis(suite.took_ms));
    report.add_test_suite(cases);
    report.to_string()
}

fn case(run: &Run) -> TestCase {
    let mut status = match run.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Skip => TestCaseStatus::skipped(),
        Outcome::Fail | Outcome::Invalid => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if run.outcome != Outcome::Pass {
        status.set_type(run.outcome.to_string());
        status.set_message(run.why.join("\n"));
    }
    if let Some(story) = &run.story {
        status.set_description(story.as_str());
    }
    let mut case = TestCase::new(format!("{}::{}", run.backend, run.name), status);
    case.set_classname(format!("crashbook.{}", run.backend));
    case.set_time(millis(run.took_ms()));
    case
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
