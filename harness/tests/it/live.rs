//! `crashbook diagnose` and `crashbook watch` where there is no cluster to look at.

use std::fs;
use std::process::Command;

#[track_caller]
fn refuses(args: &[&str], kubeconfig: &str, told: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    fs::write(&path, kubeconfig).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_crashbook"))
        .args(args)
        .env("KUBECONFIG", &path)
        .env("HOME", folder.path())
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(output.stdout.is_empty());
    assert!(err.contains(told), "{told:?} is not in {err}");
}

/// A kubeconfig of a cluster that refuses every connection.
const DEAD: &str = "apiVersion: v1
kind: Config
current-context: dead
contexts: [{ name: dead, context: { cluster: dead, user: dead } }]
clusters: [{ name: dead, cluster: { server: 'http://127.0.0.1:1' } }]
users: [{ name: dead, user: {} }]
";

#[test]
fn a_context_that_does_not_exist_is_named() {
    refuses(&["diagnose", "--context", "elsewhere"], DEAD, "elsewhere");
}

#[test]
fn a_cluster_that_does_not_answer_is_named() {
    let told = "the cluster at http://127.0.0.1:1/ does not answer";
    refuses(&["diagnose"], DEAD, told);
    refuses(&["watch"], DEAD, told);
}

#[test]
fn a_recorded_state_is_in_no_context() {
    let told = "cannot be used with";
    refuses(&["diagnose", "state.json", "--context", "dead"], DEAD, told);
}
