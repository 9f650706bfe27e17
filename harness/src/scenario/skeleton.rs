//! A new scenario's folder: it is read and rendered, and lint says what is still to be written.

/// The name cannot be that of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name for a scenario: expected kebab-case, such as `missing-configmap`")]
pub struct InvalidName(pub String);

/// Whether it is words of small letters and digits with hyphens between them.
pub(super) fn is_kebab(name: &str) -> bool {
    name.split('-').all(|word| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    })
}

/// The files of a new scenario, by name.
pub fn skeleton(name: &str) -> Result<Vec<(&'static str, String)>, InvalidName> {
    if !is_kebab(name) {
        return Err(InvalidName(name.to_owned()));
    }
    let fill = |text: &str| text.replace("NAME", name);
    Ok(vec![
        ("scenario.yaml", fill(SPEC)),
        ("app.yaml", fill(APP)),
        (
            "app-broken.yaml",
            fill(APP).replace("[sleep, infinity]", "[\"false\"]"),
        ),
        ("README.md", fill(README)),
    ])
}

const SPEC: &str = r#"# yaml-language-server: $schema=../../docs/scenario.schema.json
apiVersion: crashbook.dev/v1
kind: Scenario
name: NAME
title: "FILL IN: the failure in one line"
source: "FILL IN: where the failure is documented"
# needs: { node: small }             # a node of its own; see docs/scenario.schema.json for more
# What is healthy before the fault.
baseline: [app.yaml]
# How the fault is brought about.
inject:
  - apply: app-broken.yaml
# What proves, from the API alone, that it bites.
symptom:
  - container: { pods: app=NAME, name: app, terminated: { exitCode: 1, times: 2 } }
# What a detector must say, and nothing else.
expect:
  - class: crash-unexplained
    subject: Deployment/NAME
    culprit: { kind: Deployment, name: NAME }
    detail: { container: app }
# The documented fix.
fix:
  - apply: app.yaml
# What proves that it heals.
recovered:
  - available: Deployment/NAME
limits: { baseline: 60s, symptom: 60s, recovered: 60s, clear: 30s }
lesson:
  briefing: "FILL IN: what the person on call hears, without a word of the cause"
  hints:
    - "FILL IN: where to look first"
  debrief: "FILL IN: what it was, and what to remember"
"#;

const APP: &str = r"apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
spec:
  replicas: 1
  selector: { matchLabels: { app: NAME } }
  template:
    metadata: { labels: { app: NAME } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: busybox:1.37
          imagePullPolicy: IfNotPresent
          command: [sleep, infinity]
";

const README: &str = r"# FILL IN: the failure in one line

Phase: initialization · Class: `crash-unexplained`

## What one sees

FILL IN: what `kubectl get` shows.

## Why

FILL IN: what Kubernetes does here, and why.

## Find it by hand

FILL IN: the commands, with what they really print.

## The fix

FILL IN: the documented fix, and how long it takes to heal.
";
