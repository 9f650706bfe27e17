//! `crashbook run` where it cannot run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the program with a state folder of its own, on a machine that has no other program.
fn crashbook(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crashbook"))
        .args(["--state-dir", "state"])
        .args(args)
        .current_dir(folder)
        .env("PATH", folder)
        .env_remove("CRASHBOOK_SCENARIOS")
        .env_remove("KIND_EXPERIMENTAL_PROVIDER")
        .output()
        .unwrap()
}

#[track_caller]
fn check(folder: &Path, args: &[&str], code: i32, stdout: &[&str], stderr: &[&str]) {
    let output = crashbook(folder, args);
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    for (text, parts) in [(&out, stdout), (&err, stderr)] {
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}

#[test]
fn a_name_that_does_not_exist_is_answered_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let hint = "there is no scenario `missing-configmaps`; did you mean missing-configmap";
    check(
        folder.path(),
        &["run", "missing-configmaps"],
        2,
        &[],
        &[hint],
    );
}

#[test]
fn a_broken_scenario_is_shown_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("scenarios/broken");
    fs::create_dir_all(&scenario).unwrap();
    let text = "apiVersion: crashbook.dev/v1\nkind: Scenario\nnames: broken\n";
    fs::write(scenario.join("scenario.yaml"), text).unwrap();
    let told = ["scenario.yaml:3:1", "names: broken", "^"];
    check(folder.path(), &["run"], 3, &[], &told);
    assert!(!folder.path().join("state").exists());
}

#[test]
fn without_a_container_engine_every_run_is_an_error_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let told = ["error   missing-configmap", "is not on the PATH: install"];
    let on_kind = ["run", "missing-configmap", "--on", "kind"];
    check(folder.path(), &on_kind, 4, &told, &[]);
    let json = [
        r#""schema": "crashbook.dev/run/v1""#,
        r#""outcome": "error""#,
        r#""inject_to_symptom_ms": null"#,
    ];
    let junit = ["<testsuites name=\"crashbook\" tests=\"1\"", "<error"];
    for (format, told) in [("json", &json[..]), ("junit", &junit[..])] {
        let args = [&on_kind[..], &["--format", format]].concat();
        check(folder.path(), &args, 4, told, &[]);
    }
}

#[test]
fn the_embedded_cluster_needs_nothing_and_says_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["run", "missing-configmap"];
    let told = [
        "embedded cluster",
        "`crashbook run missing-configmap --on kind`",
    ];
    check(
        folder.path(),
        &args,
        0,
        &["pass    missing-configmap"],
        &told,
    );
    let json = |seed: &str| {
        let args = [
            "run",
            "missing-configmap",
            "--format",
            "json",
            "--seed",
            seed,
        ];
        crashbook(folder.path(), &args).stdout
    };
    assert_eq!(json("7"), json("7"));
    assert_ne!(json("7"), json("8"));
    let kept = ["run", "missing-configmap", "--keep"];
    check(
        folder.path(),
        &kept,
        2,
        &[],
        &["crashbook serve --scenario"],
    );
}

#[test]
fn a_foreign_cluster_is_not_touched_unless_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    check(
        folder.path(),
        &["run", "--context", "prod"],
        2,
        &[],
        &["--allow-cluster"],
    );
    let args = [
        "run",
        "--context",
        "prod",
        "--allow-cluster",
        "missing-configmap",
    ];
    check(folder.path(), &args, 4, &["error   missing-configmap"], &[]);
}
