//! What a killed crashbook leaves is undone: on real clusters.

#[path = "support/docker.rs"]
mod docker;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crashbook::{
    backend::{Backend, kind},
    journal::{Journal, RUN_LABEL, Reference, Undo},
    progress::Progress,
    recover::{self, Which},
    scenario::{NodeFault, Service},
    state::State,
};
use docker::docker;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Node},
    scheduling::v1::PriorityClass,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

/// How many points of a run it is killed at.
const POINTS: u32 = 10;

/// The six documented failures, and one for each other kind of change that a run undoes: a container
/// beside the cluster, a stopped kubelet, a threshold, a changed object of the cluster's own, an
/// object without a namespace. Every scenario would take an hour, and change nothing else.
const SCENARIOS: [&str; 12] = [
    "oversized-requests",
    "missing-configmap",
    "bad-include",
    "blocked-egress",
    "priority-preemption",
    "node-pressure-memory",
    "node-pressure-disk",
    "node-pressure-pids",
    "image-auth-failed",
    "kubelet-stopped",
    "name-service-down",
    "webhook-down",
];

fn crashbook(state: &State, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashbook"));
    command.arg("--state-dir").arg(state.dir()).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Waits for the process, and kills it with SIGKILL if it lives after so long.
fn kill_after(mut child: Child, after: Duration) -> ExitStatus {
    let (ended, wait) = mpsc::channel::<()>();
    let id = child.id();
    let killer = thread::spawn(move || {
        if wait.recv_timeout(after) == Err(mpsc::RecvTimeoutError::Timeout) {
            let status = Command::new("sh")
                .args(["-c", "kill -9 \"$0\"", &id.to_string()])
                .status();
            assert!(status.unwrap().success());
        }
    });
    // Not yet waited for, so that its id stays its own until the killer is done.
    let path = format!("/proc/{id}/stat");
    let is_over = || fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") Z "));
    while !is_over() && !killer.is_finished() {
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(20));
    }
    drop(ended);
    killer.join().unwrap();
    child.wait().unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn containers(state: &State) -> String {
    let label = format!("label=io.x-k8s.kind.cluster={}", state.cluster_name());
    let ps = ["ps", "--all", "--format", "{{.Names}}", "--filter", &label];
    docker(&ps)
}

/// The containers of a run beside the cluster.
fn beside(run: &str) -> String {
    let label = format!("label={RUN_LABEL}={run}");
    docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &label])
}

/// What a node was told of registries.
fn registries(node: &str) -> String {
    docker(&[
        "exec",
        node,
        "sh",
        "-c",
        "ls /etc/containerd/certs.d 2>/dev/null || true",
    ])
}

fn nothing_is_left(state: &State) {
    assert_eq!(containers(state), "");
    for dir in [state.journals(), state.cluster(), state.tmp()] {
        assert_eq!(files(&dir), [""; 0], "{}", dir.display());
    }
}

#[test]
#[ignore = "makes kind clusters, one after the other"]
fn nothing_is_left_of_an_up_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(Some(dir.path())).unwrap();
    let started = Instant::now();
    assert!(crashbook(&state, &["up"]).status().unwrap().success());
    let whole = started.elapsed();
    assert!(crashbook(&state, &["down"]).status().unwrap().success());
    nothing_is_left(&state);
    for point in 0..POINTS {
        let after = whole * (2 * point + 1) / (2 * POINTS);
        let status = kill_after(crashbook(&state, &["up"]).spawn().unwrap(), after);
        if status.success() {
            // It was faster this time: a warm cluster is no left-over.
            assert!(crashbook(&state, &["recover"]).status().unwrap().success());
            assert!(crashbook(&state, &["down"]).status().unwrap().success());
        } else if point % 2 == 1 {
            // The recovery is killed as well.
            let recovery = crashbook(&state, &["recover"]).spawn().unwrap();
            kill_after(recovery, Duration::from_millis(u64::from(point) * 100));
        }
        let recovered = crashbook(&state, &["recover"]).status().unwrap();
        assert!(recovered.success(), "killed after {after:?}");
        nothing_is_left(&state);
    }
}

#[test]
#[ignore = "makes a kind cluster, and runs a dozen scenarios on it eleven times"]
fn nothing_is_left_of_a_run_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(Some(dir.path())).unwrap();
    assert!(crashbook(&state, &["up"]).status().unwrap().success());
    let run = [&["run", "--on", "kind"], &SCENARIOS[..]].concat();
    let started = Instant::now();
    let output = crashbook(&state, &run).stdout(Stdio::piped()).output();
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    let whole = started.elapsed();
    let before = journals(&state);
    let mut wrong = Vec::new();
    for point in 0..POINTS {
        let after = whole * (2 * point + 1) / (2 * POINTS);
        kill_after(crashbook(&state, &run).spawn().unwrap(), after);
        let recovered = crashbook(&state, &["recover"]).status().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let left = runtime.block_on(left(&state));
        if !recovered.success() || journals(&state) != before || !left.is_empty() {
            wrong.push((after, recovered.success(), journals(&state), left));
        }
    }
    assert!(crashbook(&state, &["down"]).status().unwrap().success());
    nothing_is_left(&state);
    assert!(wrong.is_empty(), "{before:?} {wrong:#?}");
}

fn journals(state: &State) -> BTreeSet<String> {
    files(&state.journals()).into_iter().collect()
}

/// What runs left in the warm cluster; also whether it is not healthy and clean any more.
async fn left(state: &State) -> Vec<String> {
    let (options, quiet) = (kind::Options::default(), Progress::silent());
    let cluster = kind::up(state, &options, &quiet).await.unwrap();
    let mut left = Vec::new();
    if cluster.created() {
        left.push("a cluster that had to be replaced".to_owned());
    }
    let of_runs = ListParams::default().labels(RUN_LABEL);
    let namespaces = Api::<Namespace>::all(cluster.client());
    for namespace in namespaces.list(&of_runs).await.unwrap() {
        left.push(format!("namespace {}", namespace.name_any()));
    }
    let classes = Api::<PriorityClass>::all(cluster.client());
    for class in classes.list(&of_runs).await.unwrap() {
        left.push(format!("PriorityClass {}", class.name_any()));
    }
    left
}

#[test]
#[ignore = "makes a kind cluster"]
fn every_kind_of_change_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(Some(dir.path())).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let failed = runtime.block_on(async {
        let failed = change_and_recover(&state).await;
        kind::down(&state, &Progress::silent()).await.unwrap();
        failed
    });
    nothing_is_left(&state);
    assert_eq!(failed, [""; 0]);
}

fn fault(json: serde_json::Value) -> NodeFault {
    serde_json::from_value(json).unwrap()
}

/// Changes all that can be changed, forgets about it, and recovers; gives what is not as before.
async fn change_and_recover(state: &State) -> Vec<String> {
    let options = kind::Options::default();
    let started = Instant::now();
    let told = Progress::new(move |line| {
        eprintln!("{:6.1} s {line}", started.elapsed().as_secs_f64());
    });
    let cluster = kind::up(state, &options, &told).await.unwrap();
    assert!(cluster.created());
    let client = cluster.client();
    let images = BTreeSet::from(["busybox:1.37".to_owned()]);
    cluster.images(&images, &told).await.unwrap();

    let journal = Journal::open(state, "test", Some(cluster.target())).unwrap();
    let labels = json!({ RUN_LABEL: journal.run() });
    let namespace = journal.run();
    let _ = journal
        .record(Undo::DeleteNamespace {
            namespace: namespace.clone(),
        })
        .unwrap();
    let body = json!({ "metadata": { "name": namespace, "labels": labels } });
    let namespaces = Api::<Namespace>::all(client.clone());
    let params = PostParams::default();
    namespaces
        .create(&params, &serde_json::from_value(body).unwrap())
        .await
        .unwrap();

    // One whose uid was never written down, and one that another created.
    let classes = Api::<PriorityClass>::all(client.clone());
    for (name, labels) in [("ours", labels), ("theirs", json!({}))] {
        let object = Reference {
            api_version: "scheduling.k8s.io/v1".into(),
            kind: "PriorityClass".into(),
            namespace: None,
            name: name.into(),
            uid: None,
        };
        let _ = journal.record(Undo::DeleteObject { object }).unwrap();
        let body = json!({ "metadata": { "name": name, "labels": labels }, "value": 100 });
        classes
            .create(&params, &serde_json::from_value(body).unwrap())
            .await
            .unwrap();
    }

    let maps = Api::<ConfigMap>::namespaced(client.clone(), "kube-system");
    let before = maps.get("coredns").await.unwrap();
    let mut object = serde_json::to_value(&before).unwrap();
    object["apiVersion"] = "v1".into();
    object["kind"] = "ConfigMap".into();
    let _ = journal.record(Undo::RestoreObject { object }).unwrap();
    let patch = Patch::Merge(json!({ "data": { "Corefile": null, "other": "x" } }));
    maps.patch("coredns", &PatchParams::default(), &patch)
        .await
        .unwrap();

    let pools = cluster.pools().await.unwrap();
    let general = &pools["general"].name;
    let nodes = Api::<Node>::all(client.clone());
    let _ = journal
        .record(Undo::Uncordon {
            node: general.clone(),
        })
        .unwrap();
    let taint = Undo::RemoveTaint {
        node: general.clone(),
        key: "a".into(),
        effect: "NoSchedule".into(),
    };
    let _ = journal.record(taint).unwrap();
    let patch = Patch::Merge(json!({ "spec": {
        "unschedulable": true, "taints": [{ "key": "a", "effect": "NoSchedule" }],
    }}));
    nodes
        .patch(general, &PatchParams::default(), &patch)
        .await
        .unwrap();

    let service = |args: serde_json::Value| -> Service {
        let registry = json!({ "push": { "shop/app:1": "busybox:1.37" } });
        let service = json!({
            "image": "registry:2", "args": args, "ready": { "http": 5000 }, "registry": registry,
        });
        serde_json::from_value(service).unwrap()
    };
    for (name, args, want) in [
        ("store", json!([]), None),
        (
            "broken",
            json!(["serve", "/nowhere.yml"]),
            Some("/nowhere.yml"),
        ),
    ] {
        let (service, none) = (service(args), BTreeMap::new());
        cluster
            .make_service(&journal, name, &service, &none, &told)
            .await
            .unwrap();
        let started = cluster.start_service(&journal, name, &service, &told).await;
        let said = started.err().map(|error| error.to_string());
        match (want, &said) {
            (None, None) => {}
            (Some(want), Some(said)) if said.contains(want) => {}
            _ => panic!("{name}: {said:?}"),
        }
    }
    assert_eq!(beside(&namespace).lines().count(), 4);
    assert_ne!(registries(general), "");

    for change in [
        json!({ "fill": { "pool": "pressure", "resource": "disk", "amount": "100Mi" } }),
        json!({ "fill": { "pool": "pressure", "resource": "inodes", "amount": "1000" } }),
        json!({ "fill": { "pool": "pressure", "resource": "memory", "amount": "1200Mi" } }),
        json!({ "fill": { "pool": "small", "resource": "pids", "amount": "50" } }),
        json!({ "fill": { "pool": "small", "resource": "imageDisk", "amount": "10Mi" } }),
        json!({ "threshold": { "pool": "small", "signal": "pid.available", "value": "1" } }),
        json!({ "threshold": { "pool": "small", "signal": "pid.available", "value": "2" } }),
        json!({ "stop": { "pool": "general", "unit": "kubelet" } }),
    ] {
        cluster.node(&journal, &fault(change)).await.unwrap();
    }
    let stopped = &cluster.pools().await.unwrap()["general"];
    assert_eq!(
        stopped.headroom.len(),
        0,
        "the kubelet of {general} still answers"
    );

    // Forgotten, as by a process that was killed.
    drop((journal, cluster));
    let recovery = recover::recover(state, &Which::Lost, &told).await.unwrap();
    let mut wrong: Vec<_> = recovery.failed.iter().map(ToString::to_string).collect();
    wrong.extend(beside(&namespace).lines().map(str::to_owned));
    wrong.extend(registries(general).lines().map(str::to_owned));
    if namespaces.get_opt(&namespace).await.unwrap().is_some() {
        wrong.push("the namespace is there".to_owned());
    }
    if classes.get_opt("ours").await.unwrap().is_some() {
        wrong.push("the PriorityClass is there".to_owned());
    }
    if classes.get_opt("theirs").await.unwrap().is_none() {
        wrong.push("another's PriorityClass is gone".to_owned());
    }
    if maps.get("coredns").await.unwrap().data != before.data {
        wrong.push("the ConfigMap is changed".to_owned());
    }
    // The check of a warm cluster looks at nodes, kubelets and conditions.
    let again = kind::up(state, &options, &told).await.unwrap();
    if again.created() {
        wrong.push("the cluster was not healthy and clean".to_owned());
    }
    let now = again.pools().await.unwrap();
    for (pool, facts) in &pools {
        if facts.allocatable != now[pool].allocatable || facts.names != now[pool].names {
            wrong.push(format!("pool {pool} was {facts:?} and is {:?}", now[pool]));
        }
    }
    for node in nodes.list(&Default::default()).await.unwrap() {
        if node
            .spec
            .as_ref()
            .is_some_and(|spec| spec.unschedulable == Some(true))
        {
            wrong.push(format!("{} is cordoned", node.name_any()));
        }
    }
    wrong
}
