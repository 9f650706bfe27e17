//! Injections that fail, on real clusters: each is an error that says why, what it touched is as
//! before, and the other scenarios go on.

#[path = "support/docker.rs"]
mod docker;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crashbook::state::State;
use docker::docker;
use serde_json::Value;

fn crashbook(state: &State, scenarios: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbook"));
    command
        .args(["--state-dir".as_ref(), state.dir().as_os_str()])
        .args(args)
        .env("CRASHBOOK_SCENARIOS", scenarios)
        .stdin(Stdio::null());
    command
}

/// A folder with a scenario for each of these injections, and with one that is sound.
fn scenarios(folder: &Path, injections: &[(&str, &str)]) {
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/missing-configmap");
    let to = folder.join("missing-configmap");
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(&sound).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    let model = fs::read_to_string(sound.join("scenario.yaml")).unwrap();
    for (name, injection) in injections {
        let to = folder.join(name);
        fs::create_dir_all(&to).unwrap();
        for file in ["neighbour.yaml", "pod.yaml", "key-cm.yaml", "README.md"] {
            fs::copy(sound.join(file), to.join(file)).unwrap();
        }
        let text = model
            .replace("name: missing-configmap", &format!("name: {name}"))
            .replace("inject:\n", injection);
        assert_ne!(text, model);
        fs::write(to.join("scenario.yaml"), text).unwrap();
    }
}

/// The outcome and the reasons of each scenario.
fn outcomes(output: &[u8]) -> BTreeMap<String, (String, String)> {
    let report: Value = serde_json::from_slice(output).unwrap();
    let runs = report["scenarios"].as_array().unwrap().iter();
    runs.map(|run| {
        let text = |field: &str| run[field].as_str().unwrap().to_owned();
        (text("name"), (text("outcome"), run["why"].to_string()))
    })
    .collect()
}

/// The ids of the cluster's containers.
fn nodes(state: &State) -> BTreeSet<String> {
    let label = format!("label=io.x-k8s.kind.cluster={}", state.cluster_name());
    let ids = docker(&["ps", "--quiet", "--filter", &label]);
    ids.split_whitespace().map(str::to_owned).collect()
}

/// What a failed injection could leave on the engine and on the nodes.
fn place(state: &State) -> Vec<String> {
    let script = "cat /var/lib/kubelet/kubeadm-flags.env; ls /etc/containerd/certs.d; true";
    let nodes = nodes(state).into_iter();
    let mut place: Vec<String> = nodes
        .map(|node| docker(&["exec", &node, "sh", "-c", script]))
        .collect();
    let names = "{{range .Containers}}{{.Name}}\n{{end}}";
    let network = docker(&["network", "inspect", "kind", "--format", names]);
    let ours = |name: &&str| name.starts_with(&state.cluster_name()) || name.contains("crashbook-");
    let mut on_network: Vec<String> = network.lines().filter(ours).map(str::to_owned).collect();
    on_network.sort_unstable();
    place.extend(on_network);
    place
}

#[test]
#[ignore = "makes a kind cluster"]
fn an_injection_that_fails_is_an_error_with_its_cause_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(Some(&dir.path().join("state"))).unwrap();
    let folder = dir.path().join("scenarios");
    scenarios(
        &folder,
        &[
            // The API server finds that no such object can be.
            ("refused", "inject:\n  - apply: refused.yaml\n"),
            // The kubelet ends at once, again and again.
            (
                "lost-node",
                "needs: { node: small }\ninject:\n  - node: { threshold: { pool: small, signal: pid.available, value: never } }\n",
            ),
            // It says why, and ends.
            (
                "dead-registry",
                concat!(
                    "needs: { services: [store] }\n",
                    "services:\n  store:\n    image: registry:2\n    args: [serve, /nowhere.yml]\n",
                    "    ready: { http: 5000 }\n    registry: { push: { \"a/b:1\": \"busybox:1.37\" } }\n",
                    "inject:\n",
                ),
            ),
        ],
    );
    let refused = "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\nspec:\n  clusterIP: here\n  ports:\n    - port: 80\n";
    fs::write(folder.join("refused/refused.yaml"), refused).unwrap();
    let up = crashbook(&state, &folder, &["up"]).status().unwrap();
    assert!(up.success());
    let (nodes_before, before) = (nodes(&state), place(&state));
    let run = ["run", "--on", "kind", "--format", "json"];
    let output = crashbook(&state, &folder, &run).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let outcomes = outcomes(&output.stdout);
    let after = place(&state);
    // Found healthy and clean, it is not made anew.
    let again = crashbook(&state, &folder, &["up"]).output().unwrap();
    let nodes_after = nodes(&state);
    let down = crashbook(&state, &folder, &["down"]).status().unwrap();
    assert!(down.success());
    for (name, outcome, why) in [
        ("missing-configmap", "pass", ""),
        ("refused", "error", "clusterIP"),
        ("lost-node", "error", "quantities must match"),
        ("dead-registry", "error", "/nowhere.yml"),
    ] {
        let (was, because) = &outcomes[name];
        assert_eq!(was, outcome, "{name}: {because}\n{said}");
        assert!(because.contains(why), "{name}: {because}\n{said}");
    }
    assert_eq!(after, before);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(nodes_after, nodes_before);
}

#[test]
#[ignore = "makes two kind clusters"]
fn a_cluster_that_dies_in_the_middle_is_an_error_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(Some(&dir.path().join("state"))).unwrap();
    let folder = dir.path().join("scenarios");
    scenarios(&folder, &[]);
    let up = crashbook(&state, &folder, &["up"]).status().unwrap();
    assert!(up.success());
    let run = ["run", "--on", "kind", "--format", "json"];
    let running = crashbook(&state, &folder, &run)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_a_run(&state, &running);
    let nodes = nodes(&state);
    let mut kill = vec!["kill"];
    kill.extend(nodes.iter().map(String::as_str));
    docker(&kill);
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (outcome, why) = outcomes(&output.stdout)["missing-configmap"].clone();
    let again = crashbook(&state, &folder, &run).output().unwrap();
    let outcomes = self::outcomes(&again.stdout);
    let down = crashbook(&state, &folder, &["down"]).status().unwrap();
    assert!(down.success());
    assert_eq!(outcome, "error", "{why}\n{said}");
    assert_eq!(outcomes["missing-configmap"].0, "pass", "{again:?}");
    assert_eq!(fs::read_dir(state.journals()).unwrap().count(), 0);
}

/// Waits until the run has made its namespace.
fn wait_for_a_run(state: &State, running: &Child) {
    let kubeconfig = state.cluster().join("kubeconfig");
    let ended = format!("/proc/{}/stat", running.id());
    let script = "kubectl --kubeconfig \"$0\" get namespaces --output name | grep crashbook-";
    let is_there = || {
        let status = Command::new("sh")
            .args(["-c".as_ref(), script.as_ref(), kubeconfig.as_os_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    };
    while !is_there() {
        let stat = fs::read_to_string(&ended).unwrap_or_default();
        assert!(!stat.contains(") Z ") && !stat.is_empty(), "it ended first");
        thread::sleep(Duration::from_millis(100));
    }
}
