use serde_json::json;

use super::*;

const RUN: &str = "run";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A verdict by a short name: `web` is expected, the others are like it in all but one thing.
fn verdict(name: &str) -> Arc<Verdict> {
    let subject = |name: &str| json!({"kind": "Deployment", "namespace": RUN, "name": name});
    let culprit = |name: &str, field: Option<&str>| json!({"kind": "ConfigMap", "namespace": RUN, "name": name, "field": field});
    let mut verdict = json!({
        "class": "app-config-invalid", "phase": "initialization",
        "subject": subject("web"), "culprit": culprit("conf", Some("data[\"httpd.conf\"]")),
        "affected": [{"kind": "Pod", "namespace": RUN, "name": "web-x"}],
        "detail": {"line": 178, "file": "/etc/httpd.conf", "at": {"key": "a", "more": 1}, "on": ["a", "b"]},
        "summary": "it is broken", "evidence": [], "remedy": [],
        "confidence": "certain", "since": at(0),
    });
    match name {
        "web" => {}
        "class" => verdict["class"] = json!("crash-unexplained"),
        "subject" => verdict["subject"] = subject("db"),
        "culprit" => verdict["culprit"] = culprit("other", None),
        "field" => verdict["culprit"] = culprit("conf", Some("data[\"x\"]")),
        "line" => verdict["detail"]["line"] = json!(1),
        "list" => verdict["detail"]["on"] = json!(["a", "c"]),
        "other" => {
            verdict["class"] = json!("oom-killed");
            verdict["subject"] = subject("db");
            verdict["culprit"] = subject("db");
            verdict["culprit"]["field"] = json!(null);
            verdict["confidence"] = json!("possible");
        }
        name => panic!("no verdict {name}"),
    }
    Arc::new(serde_json::from_value(verdict).unwrap())
}

fn expectation() -> Expectation {
    serde_json::from_value(json!({
        "class": "app-config-invalid",
        "subject": "Deployment/web",
        "culprit": {"kind": "ConfigMap", "name": "conf", "field": "data[\"httpd.conf\"]"},
        "detail": {"line": 178, "file": "*/httpd.conf", "at": {"key": "a"}, "on": ["b"]},
        "affected": ["Pod/web-*"],
        "within": "10s",
    }))
    .unwrap()
}

/// Healthy at 10, injected at 20, symptom at 30, fixed at 60, recovered at 80, swept at 120; the
/// verdict may stand for 20 s after the recovery.
const MARKS: [i64; 6] = [10, 20, 30, 60, 80, 120];

fn marks(marks: &[i64]) -> Marks {
    let mark = |index: usize| marks.get(index).copied().map(at);
    Marks {
        healthy: at(marks[0]),
        injected: mark(1),
        symptom: mark(2),
        fixed: mark(3),
        recovered: mark(4),
        swept: at(marks.get(5).copied().unwrap_or(120)),
    }
}

fn timeline(moments: &[(i64, &str)]) -> Vec<Moment> {
    moments
        .iter()
        .map(|(second, names)| Moment {
            at: at(*second),
            verdicts: names.split_whitespace().map(verdict).collect(),
        })
        .collect()
}

fn judged(moments: &[(i64, &str)], times: &[i64]) -> Judgement {
    let clear = Duration::from_secs(20);
    judge(
        &timeline(moments),
        &[expectation()],
        RUN,
        &marks(times),
        clear,
    )
}

/// What is wrong with a whole run in which these verdicts stood from these seconds on.
#[track_caller]
fn check(moments: &[(i64, &str)], wrong: &[&str]) {
    check_until(moments, &MARKS, wrong);
}

/// The same for a run that got no further than these marks.
#[track_caller]
fn check_until(moments: &[(i64, &str)], times: &[i64], wrong: &[&str]) {
    let found: Vec<String> = judged(moments, times)
        .wrong
        .iter()
        .map(Wrong::to_string)
        .collect();
    let fits = found.len() == wrong.len()
        && found
            .iter()
            .zip(wrong)
            .all(|(found, wrong)| found.starts_with(wrong));
    assert!(fits, "found {found:#?}, expected {wrong:#?}");
}

#[test]
fn what_comes_stands_and_ends_in_time_passes() {
    check(&[(0, ""), (35, "web"), (85, "")], &[]);
    check(&[(0, ""), (40, "web"), (100, "")], &[]);
}

#[test]
fn earlier_than_the_symptom_is_as_good() {
    let early = [(0, ""), (21, "web"), (85, "")];
    check(&early, &[]);
    let judgement = judged(&early, &MARKS);
    assert_eq!(judgement.answers[0].as_ref().unwrap().came, Some(at(21)));
    assert_eq!(judgement.answers[0].as_ref().unwrap().cleared, Some(at(85)));
}

#[test]
fn it_may_end_before_the_recovery_and_flicker_after_the_fix() {
    check(&[(0, ""), (35, "web"), (61, "")], &[]);
    check(
        &[(0, ""), (35, "web"), (61, ""), (62, "web"), (85, "")],
        &[],
    );
}

#[test]
fn what_stood_before_the_baseline_was_healthy_does_not_count() {
    check(&[(0, "other"), (10, ""), (35, "web"), (85, "")], &[]);
    check(&[(0, "other"), (9, ""), (35, "web"), (85, "")], &[]);
}

#[test]
fn what_comes_with_the_sweep_does_not_count() {
    check(&[(0, ""), (35, "web"), (85, ""), (121, "other")], &[]);
    check(&[(0, ""), (35, "web"), (120, "")], &["still there"]);
    check(
        &[(0, ""), (35, "web"), (80, "web"), (80, ""), (120, "other")],
        &["extra verdict"],
    );
}

#[test]
fn nothing_at_all_is_missing() {
    check(
        &[(0, "")],
        &["missing: app-config-invalid of Deployment/web by ConfigMap/conf"],
    );
    check(&[], &["missing"]);
}

#[test]
fn another_in_its_place_is_told_by_what_differs() {
    check(
        &[(0, ""), (35, "class"), (85, "")],
        &["wrong class: crash-unexplained of"],
    );
    check(&[(0, ""), (35, "culprit"), (85, "")], &["wrong culprit: "]);
    check(&[(0, ""), (35, "subject"), (85, "")], &["wrong subject: "]);
    check(
        &[(0, ""), (35, "other"), (85, "")],
        &[
            "missing",
            "extra verdict: oom-killed of Deployment run/db (possible), for 50000 ms",
        ],
    );
}

#[test]
fn detail_and_field_must_be_there_in_time() {
    check(
        &[(0, ""), (35, "line"), (85, "")],
        &[
            "wrong detail: app-config-invalid of Deployment run/web by ConfigMap run/conf: \
           detail line is 1, expected 178",
        ],
    );
    check(
        &[(0, ""), (35, "list"), (85, "")],
        &[
            "wrong detail: app-config-invalid of Deployment run/web by ConfigMap run/conf: \
           detail on is [\"a\",\"c\"], expected [\"b\"]",
        ],
    );
    check(&[(0, ""), (35, "field"), (85, "")], &["wrong detail: "]);
    check(&[(0, ""), (35, "line"), (39, "web"), (85, "")], &[]);
    check(
        &[(0, ""), (35, "line"), (41, "web"), (85, "")],
        &["too late"],
    );
    check(
        &[(0, ""), (35, "web"), (39, "line"), (85, "")],
        &["wrong detail"],
    );
}

#[test]
fn any_other_verdict_is_one_too_many_even_for_a_moment() {
    check(&[(0, ""), (35, "web other"), (85, "")], &["extra verdict"]);
    check(
        &[(0, ""), (35, "web class"), (36, "web"), (85, "")],
        &["extra verdict"],
    );
    check(
        &[(0, ""), (15, "other"), (16, ""), (35, "web"), (85, "")],
        &["extra verdict"],
    );
    check(
        &[(0, ""), (35, "web"), (85, ""), (110, "other")],
        &["extra verdict"],
    );
    // Within one instant of the clock.
    check(
        &[(0, ""), (35, "other"), (35, "web"), (85, "")],
        &["extra verdict"],
    );
    // It stood already when the baseline was found healthy.
    check(
        &[(0, "other"), (11, ""), (35, "web"), (85, "")],
        &["extra verdict"],
    );
}

#[test]
fn the_expected_one_before_the_injection_is_one_too_many() {
    check(
        &[(0, ""), (15, "web"), (16, ""), (35, "web"), (85, "")],
        &["extra verdict"],
    );
    check(&[(0, "web"), (85, "")], &["extra verdict"]);
}

#[test]
fn it_must_not_be_gone_before_the_fix() {
    check(
        &[(0, ""), (35, "web"), (40, ""), (41, "web"), (85, "")],
        &["gap: "],
    );
    check(
        &[(0, ""), (35, "web"), (40, ""), (40, "web"), (85, "")],
        &["gap: "],
    );
    check(&[(0, ""), (35, "web"), (40, "")], &["gap: "]);
    // Also before the symptom.
    check(
        &[(0, ""), (21, "web"), (22, ""), (35, "web"), (85, "")],
        &["gap: "],
    );
}

#[test]
fn after_its_budget_it_is_too_late() {
    check(
        &[(0, ""), (41, "web"), (85, "")],
        &[
            "too late: app-config-invalid of Deployment run/web by ConfigMap run/conf came \
           11000 ms after the symptom, its budget was 10000 ms",
        ],
    );
}

#[test]
fn after_the_recovery_it_must_end() {
    check(&[(0, ""), (35, "web")], &["still there"]);
    check(&[(0, ""), (35, "web"), (101, "")], &["still there"]);
    check(
        &[(0, ""), (35, "web"), (85, ""), (99, "web"), (101, "")],
        &["still there"],
    );
}

#[test]
fn a_run_that_was_cut_short_is_judged_as_far_as_it_got() {
    check_until(&[(0, ""), (35, "web")], &[10, 20, 30], &[]);
    check_until(&[(0, "")], &[10, 20, 30], &["missing"]);
    // The symptom never came: nothing is expected, and everything else is wrong all the same.
    check_until(&[(0, ""), (35, "web")], &[10, 20], &[]);
    check_until(&[(0, "")], &[10, 20], &[]);
    check_until(&[(0, ""), (35, "other")], &[10, 20], &["extra verdict"]);
    check_until(&[(0, ""), (35, "web")], &[10], &["extra verdict"]);
}

#[test]
fn each_expectation_is_answered_by_a_verdict_of_its_own() {
    let other: Expectation = serde_json::from_value(json!({
        "class": "oom-killed", "subject": "Deployment/db",
        "culprit": {"kind": "Deployment", "name": "db"},
    }))
    .unwrap();
    let expect = [expectation(), other, expectation()];
    let moments = timeline(&[(0, ""), (35, "web other"), (85, "")]);
    let judgement = judge(
        &moments,
        &expect,
        RUN,
        &marks(&MARKS),
        Duration::from_secs(20),
    );
    assert!(judgement.answers[0].is_some() && judgement.answers[1].is_some());
    assert_eq!(judgement.answers[2], None);
    assert!(
        matches!(judgement.wrong[..], [Wrong::Missing { .. }]),
        "{:?}",
        judgement.wrong
    );
}

#[test]
fn where_nothing_is_expected_every_verdict_is_wrong() {
    let check = |names: &str, wrong: usize| {
        let moments = timeline(&[(0, ""), (35, names), (85, "")]);
        let judgement = judge(&moments, &[], RUN, &marks(&MARKS), Duration::ZERO);
        assert_eq!(judgement.wrong.len(), wrong);
    };
    check("", 0);
    check("web other", 2);
}

#[test]
fn any_of_the_policies_that_block_together_is_the_culprit() {
    let expected: Expectation = serde_json::from_value(json!({
        "class": "network-policy-blocks-egress", "subject": "Deployment/web",
        "culprit": {"kind": "NetworkPolicy", "name": "two"},
    }))
    .unwrap();
    let policy = |name: &str| json!({"kind": "NetworkPolicy", "namespace": RUN, "name": name});
    let mut blocked = (*verdict("web")).clone();
    blocked.class = Class::NetworkPolicyBlocksEgress;
    blocked.culprit = serde_json::from_value(policy("one")).unwrap();
    let listed = |policies: Value| {
        let mut blocked = blocked.clone();
        blocked.detail.insert("policies".into(), policies);
        names(&expected, &blocked, RUN)
    };
    assert!(listed(json!([policy("one"), policy("two")])));
    assert!(!listed(json!([policy("one")])));
}

#[test]
fn outside_of_the_run_a_name_means_nothing() {
    let moments = timeline(&[(0, ""), (35, "web"), (85, "")]);
    let clear = Duration::from_secs(20);
    let judgement = judge(
        &moments,
        &[expectation()],
        "elsewhere",
        &marks(&MARKS),
        clear,
    );
    assert_eq!(judgement.answers, [None]);
}
