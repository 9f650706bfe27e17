//! A session with kubectl, the same on any cluster: what it answers, line by line.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use libtest_mimic::Failed;
use regex::Regex;

use crate::agreement::fold;

/// Where the answers of kind are.
pub const RECORD: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/agreement/kubectl.answers"
);

/// The namespace that the session has for itself.
const NAMESPACE: &str = "answers";

const OBJECTS: &str = include_str!("answers.yaml");

/// The lines, each with what it is given. Those after which something must come to rest wait for it.
const SESSION: &[(&str, &str)] = &[
    ("create namespace answers", ""),
    ("apply -f -", OBJECTS),
    ("apply -f -", OBJECTS),
    ("rollout status deployment/web --timeout=90s", ""),
    ("wait pod/talker --for=condition=Ready --timeout=90s", ""),
    ("wait job/once --for=condition=Complete --timeout=90s", ""),
    ("rollout status statefulset/db --timeout=90s", ""),
    ("get deployments,replicasets,statefulsets,jobs,services", ""),
    ("get pods -l app=web", ""),
    ("get pods -l app=web -o wide", ""),
    ("get pods -l app=web -o name", ""),
    ("get deployment web -o yaml", ""),
    ("get replicasets -l app=web -o yaml", ""),
    ("get statefulset db -o yaml", ""),
    ("get job once -o yaml", ""),
    ("get pod talker -o yaml", ""),
    ("get service web -o yaml", ""),
    ("get endpoints web -o yaml", ""),
    ("get cronjob nightly -o yaml", ""),
    (
        "get horizontalpodautoscaler,poddisruptionbudget,networkpolicy",
        "",
    ),
    ("get resourcequota,limitrange,configmap,serviceaccount", ""),
    ("describe deployment web", ""),
    ("describe statefulset db", ""),
    ("describe job once", ""),
    ("describe service web", ""),
    ("describe configmap settings", ""),
    ("describe resourcequota small", ""),
    ("describe limitrange sizes", ""),
    ("describe networkpolicy closed", ""),
    ("describe poddisruptionbudget web", ""),
    ("logs talker", ""),
    ("logs talker --tail=1", ""),
    ("logs job/once", ""),
    ("logs talker -c nobody", ""),
    ("logs nobody", ""),
    ("scale deployment web --replicas=3", ""),
    ("rollout status deployment/web --timeout=90s", ""),
    (
        "annotate deployment web kubernetes.io/change-cause=second",
        "",
    ),
    ("set image deployment/web web=httpd:2.4", ""),
    ("rollout history deployment/web", ""),
    ("rollout undo deployment/web", ""),
    ("rollout status deployment/web --timeout=90s", ""),
    ("rollout history deployment/nobody", ""),
    ("label deployment web tier=front", ""),
    ("label deployment web tier=back", ""),
    (
        "patch deployment web --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/nothing\"}]",
        "",
    ),
    ("get deployment nobody", ""),
    ("get nothings", ""),
    ("delete configmap nobody", ""),
    ("create configmap settings --from-literal=a=b", ""),
    ("create configmap Wrong --from-literal=a=b", ""),
    ("create serviceaccount -- -x", ""),
    (
        "apply -f -",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: empty}\nspec: {containers: []}\n",
    ),
    (
        "apply -f -",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: wrong}\nspec: {containers: [{name: A_b, image: x}]}\n",
    ),
    (
        "apply -f -",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: big}\nspec: {containers: [{name: a, image: x, resources: {requests: {memory: 2Gi}}}]}\n",
    ),
    (
        "apply -f -",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: odd}\nspec: {containers: [{name: a, image: x, resources: {requests: {memory: lots}}}]}\n",
    ),
    (
        "apply -f -",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: new}\nspec: {containers: [{name: a, image: x, colour: red}]}\n",
    ),
    (
        "apply -f -",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: a, image: x}]}}}\n",
    ),
    (
        "apply -f -",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {selector: {matchLabels: {app: other}}, template: {metadata: {labels: {app: other}}, spec: {containers: [{name: a, image: x}]}}}\n",
    ),
    (
        "apply -f -",
        "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 70000}]}\n",
    ),
    ("auth can-i list pods", ""),
    (
        "auth can-i list pods --as=system:serviceaccount:answers:default",
        "",
    ),
    ("top pods", ""),
    ("api-resources --api-group=apps -o name", ""),
    ("delete pod talker", ""),
    ("delete deployment,statefulset,job,cronjob --all", ""),
    ("delete namespace answers", ""),
];

/// The hash of a template where it stands alone, and what names images and containers.
static HASH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(-hash[:=] ?|imageID: |containerd://)[0-9a-z:/.@_-]+").expect("a pattern")
});

/// Whether there is a kubectl of the version that the answers were recorded with: others word them
/// in other ways.
pub fn is_there() -> bool {
    let version = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains("v1.34"))
}

/// What kubectl answers on the cluster of a kubeconfig, worded the same for all clusters.
///
/// # Errors
///
/// When kubectl cannot be run.
pub fn answers(kubeconfig: &Path) -> Result<String, String> {
    let mut answers = String::new();
    for (line, input) in SESSION {
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", NAMESPACE])
            .args(line.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no kubectl can be run: {error}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that is refused its arguments reads nothing.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        let code = output.status.code().unwrap_or(-1);
        let _ = writeln!(answers, "$ kubectl {line}");
        // How often it had to wait is a matter of time.
        let said = said.concat();
        for text in said
            .lines()
            .filter(|text| !text.starts_with("Waiting for "))
        {
            let words: Vec<&str> = text.split_whitespace().collect();
            let indent = text.len() - text.trim_start().len();
            let text = HASH.replace_all(&words.join(" "), "${1}HASH").into_owned();
            let _ = writeln!(answers, "{:indent$}{}", "", fold(&text));
        }
        let _ = writeln!(answers, "= {code}");
    }
    Ok(answers)
}

/// Whether these are the answers of kind.
///
/// # Errors
///
/// Where they differ, line by line.
pub fn agree(answers: &str) -> Result<(), Failed> {
    match differences(&fs::read_to_string(RECORD)?, answers).as_slice() {
        [] => Ok(()),
        some => Err(some.join("\n").into()),
    }
}

/// Where two sessions differ: by line of kubectl, what only the one says, and what only the other.
fn differences(kind: &str, sim: &str) -> Vec<String> {
    let parts = |text: &str| -> Vec<Vec<String>> {
        let parts = text.split("$ kubectl ").skip(1);
        parts
            .map(|part| part.lines().map(str::to_owned).collect())
            .collect()
    };
    let (kind, sim) = (parts(kind), parts(sim));
    let mut differences = Vec::new();
    if kind.len() != sim.len() {
        differences.push("the record is of another session: record it again".to_owned());
    }
    for (here, there) in kind.iter().zip(&sim) {
        let line = here.first().cloned().unwrap_or_default();
        for (these, those, only) in [(here, there, "kind"), (there, here, "this cluster")] {
            for text in these.iter().filter(|text| !those.contains(text)) {
                differences.push(format!("{line}: only on {only}: {text}"));
            }
        }
    }
    differences
}
