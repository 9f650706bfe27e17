use crashbook_detector::verdict::{Confidence, Identity, Reference};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::run::outcome::{Kept, Outcome, Run, Suite, Times};

fn suite() -> Suite {
    let begun: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let after = |seconds| begun + SignedDuration::from_secs(seconds);
    let mut passed = Run::begin("missing-configmap", "kind", begun);
    passed.ended = after(15);
    passed.times = Times {
        inject_to_symptom_ms: Some(1100),
        symptom_to_verdict_ms: Some(-20),
        inject_to_verdict_ms: Some(1080),
        signal_to_verdict_ms: Some(3),
        fix_to_recovered_ms: Some(11_000),
        recovered_to_clear_ms: Some(-9000),
        fetch_ms: Some(0),
    };
    let mut failed = Run::begin("bad-include", "kind", begun);
    failed.ended = after(20);
    let wrong = crate::run::judge::Wrong::ExtraVerdict {
        seen: Identity {
            class: "oom-killed".parse().unwrap(),
            subject: Reference::namespaced("Deployment", "run", "web"),
            culprit: Reference::namespaced("Deployment", "run", "web"),
        },
        confidence: Confidence::Possible,
        from: after(3),
        until: Some(after(4)),
        summary: "It <is> not so.".into(),
    };
    failed.end(Outcome::Fail, wrong.to_string());
    failed.wrong = vec![wrong];
    failed.story = Some("what happened\nand then\n".into());
    let mut skipped = Run::begin("no-pool", "kind", begun);
    skipped.end(
        Outcome::Skip,
        "the pools are general, and small is none of them",
    );
    let mut kept = Run::begin("kept", "kind", begun);
    kept.namespace = Some("crashbook-kept-abc".into());
    kept.kept = Some(Kept {
        kubeconfig: None,
        look: "kubectl -n crashbook-kept-abc get pods,events".into(),
        end: "crashbook recover --kept crashbook-kept-abc".into(),
    });
    Suite::new(
        vec![passed, failed, skipped, kept],
        vec![],
        vec!["left behind: Node/x".into()],
        21_300,
    )
}

#[test]
fn a_person_reads_what_is_wrong_below_the_run() {
    insta::assert_snapshot!(text(&suite()));
}

#[test]
fn junit_has_a_case_for_each_run_and_one_for_the_suite() {
    insta::assert_snapshot!(junit(&suite()).unwrap());
}

#[test]
fn json_has_the_names_that_others_read() {
    insta::assert_snapshot!(json(&suite()).unwrap());
}
