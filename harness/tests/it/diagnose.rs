//! `crashbook diagnose`: every layout of a recorded state, and whatever else it may be given.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// Runs `crashbook diagnose --format json`, with this on standard input.
fn diagnose(path: &Path, input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crashbook"))
        .args(["diagnose", "--format", "json"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// The verdicts, one line each, and what was said on stderr.
#[track_caller]
fn said(output: &Output) -> (Vec<String>, String) {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let verdicts = report["verdicts"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = verdicts.map(|verdict| {
        let (subject, culprit) = (&verdict["subject"], &verdict["culprit"]);
        format!(
            "{} {} {} <- {} {} {}",
            text(&verdict["class"]),
            text(&subject["kind"]),
            text(&subject["name"]),
            text(&culprit["kind"]),
            text(&culprit["name"]),
            text(&culprit["field"]),
        )
    });
    (lines.collect(), stderr)
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

const WORDS: &str =
    "nginx: [emerg] unknown directive \"lissten\" in /etc/nginx/conf.d/app.conf:3\n";
const FOUND: &str = "app-config-invalid Deployment web <- ConfigMap web-conf data[\"app.conf\"]";

/// A pod that refuses its configuration, in `shop`, and one of the system.
fn pods() -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": "shop", "name": "web-7d9-x", "uid": "p", "labels": { "pod-template-hash": "7d9" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9", "uid": "rs", "controller": true }],
            },
            "spec": {
                "nodeName": "n1",
                "containers": [{ "name": "nginx", "image": "nginx", "volumeMounts": [{ "name": "c", "mountPath": "/etc/nginx/conf.d" }] }],
                "volumes": [{ "name": "c", "configMap": { "name": "web-conf" } }],
            },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "nginx", "image": "nginx", "imageID": "", "ready": false, "restartCount": 3,
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": {
                    "exitCode": 1, "reason": "Error",
                    "startedAt": "2026-11-24T11:59:20Z", "finishedAt": "2026-11-24T11:59:21Z",
                }},
            }]},
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kube-system", "name": "kube-proxy-x", "uid": "k" },
            "spec": { "nodeName": "n1", "containers": [{ "name": "kube-proxy" }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        }),
    ]
}

fn named(kind: &str, names: &[&str]) -> Vec<Value> {
    names
        .iter()
        .map(|name| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } }))
        .collect()
}

fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

/// The items as a typed list gives them: without apiVersion and kind.
fn typed(kind: &str, items: &[Value]) -> String {
    let bare = items.iter().map(|item| {
        let mut item = item.clone();
        item.as_object_mut()
            .unwrap()
            .retain(|key, _| key != "apiVersion" && key != "kind");
        item
    });
    json!({ "apiVersion": "v1", "kind": format!("{kind}List"), "items": bare.collect::<Vec<_>>() })
        .to_string()
}

fn everything() -> Vec<Value> {
    let mut all = pods();
    all.extend(named("Namespace", &["shop", "kube-system", "default"]));
    all.extend(named("Node", &["n1"]));
    all
}

/// The folder as a `.tar.gz`.
fn packed(folder: &Path) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.append_dir_all("state", folder).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn the_same_state_in_every_layout() {
    let check = |files: &[(&str, String)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            write(folder.path(), name, content);
        }
        let from_folder = diagnose(folder.path(), b"");
        assert_eq!(said(&from_folder), (vec![FOUND.to_owned()], String::new()));
        assert_eq!(from_folder.status.code(), Some(1));
        // And packed, on disk and as it comes by.
        let bytes = packed(folder.path());
        let archive = tempfile::NamedTempFile::new().unwrap();
        fs::write(archive.path(), &bytes).unwrap();
        assert_eq!(diagnose(archive.path(), b"").stdout, from_folder.stdout);
        assert_eq!(diagnose(Path::new("-"), &bytes).stdout, from_folder.stdout);
    };
    let words = || WORDS.to_owned();
    // One mixed List, with logs beside it.
    check(&[
        ("objects.json", list(&everything())),
        ("logs/shop/web-7d9-x/nginx.log", words()),
        ("collected_at", "2026-11-24T12:00:00Z\n".to_owned()),
    ]);
    // A file for each kind.
    check(&[
        ("pods.json", list(&pods())),
        (
            "nodes.yaml",
            "apiVersion: v1\nkind: List\nitems: []\n".to_owned(),
        ),
        ("logs/shop/web-7d9-x/nginx.previous.log", words()),
        ("logs/shop/web-7d9-x/nginx.log", words()),
    ]);
    // kubectl cluster-info dump --output-directory.
    let (shop, system) = (&pods()[..1], &pods()[1..]);
    let marked = format!(
        "==== START logs for container nginx of pod shop/web-7d9-x ====\n{WORDS}==== END logs for container nginx of pod shop/web-7d9-x ====\n"
    );
    let none = |kind: &str| typed(kind, &[]);
    check(&[
        ("nodes.json", typed("Node", &named("Node", &["n1"]))),
        ("shop/pods.json", typed("Pod", shop)),
        ("shop/events.json", none("Event")),
        (
            "shop/replication-controllers.json",
            none("ReplicationController"),
        ),
        ("shop/web-7d9-x/logs.txt", marked.clone()),
        ("kube-system/pods.json", typed("Pod", system)),
        (
            "kube-system/replication-controllers.json",
            none("ReplicationController"),
        ),
    ]);
    // A support bundle of today, and one of old with bare arrays.
    check(&[
        (
            "bundle/cluster-resources/pods/shop.json",
            typed("Pod", shop),
        ),
        (
            "bundle/cluster-resources/pods/kube-system.json",
            typed("Pod", system),
        ),
        (
            "bundle/cluster-resources/nodes.json",
            typed("Node", &named("Node", &["n1"])),
        ),
        (
            "bundle/cluster-resources/pods-errors.json",
            "null".to_owned(),
        ),
        (
            "bundle/cluster-resources/pods/logs/shop/web-7d9-x/nginx-previous.log",
            words(),
        ),
        (
            "bundle/cluster-resources/pods/logs/shop/web-7d9-x/nginx.log",
            words(),
        ),
    ]);
    check(&[
        ("cluster-resources/pods/shop.json", json!(shop).to_string()),
        ("cluster-resources/nodes.json", "[]".to_owned()),
        ("pods/logs/shop/web-7d9-x/nginx.log", words()),
    ]);
    // kubectl cluster-info dump, to standard output.
    let dump = format!(
        "{}\n{}\n{}\n{marked}",
        typed("Node", &named("Node", &["n1"])),
        none("Event"),
        typed("Pod", shop)
    );
    let output = diagnose(Path::new("-"), dump.as_bytes());
    assert_eq!(said(&output), (vec![FOUND.to_owned()], String::new()));
}

/// A Service of a database outside the cluster has no selector: its Endpoints tell whether anything
/// answers.
#[test]
fn endpoints_where_there_are_no_slices() {
    let check = |endpoints: &[Value], expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut items = everything();
        let pod = items
            .iter_mut()
            .find(|item| item["metadata"]["name"] == "web-7d9-x")
            .unwrap();
        pod["spec"]["containers"][0]["env"] =
            json!([{ "name": "DATABASE_URL", "value": "postgres://db:5432/shop" }]);
        items.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "shop", "name": "db" },
            "spec": { "clusterIP": "10.96.0.7", "ports": [{ "port": 5432 }] },
        }));
        items.extend_from_slice(endpoints);
        write(folder.path(), "objects.json", list(&items));
        let words = "psycopg2.OperationalError: connection to server at \"db\" (10.96.0.7), port 5432 failed: Connection timed out\n";
        write(folder.path(), "logs/shop/web-7d9-x/nginx.log", words);
        let (verdicts, _) = said(&diagnose(folder.path(), b""));
        assert_eq!(verdicts, expected);
    };
    let endpoints = |list: &str| {
        json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": { "namespace": "shop", "name": "db" },
            "subsets": [{ list: [{ "ip": "192.0.2.7" }], "ports": [{ "port": 5432 }] }],
        })
    };
    let down = "dependency-unreachable Deployment web <- Service db -";
    check(&[endpoints("notReadyAddresses")], &[down]);
    check(
        &[endpoints("addresses")],
        &["crash-unexplained Deployment web <- Deployment web -"],
    );
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "namespace": "shop", "name": "db-1", "labels": { "kubernetes.io/service-name": "db" },
        },
        "endpoints": [{ "addresses": ["192.0.2.7"], "conditions": { "ready": false } }],
        "ports": [{ "port": 5432 }],
    });
    check(&[endpoints("addresses"), slice], &[down]);
}

#[test]
fn numbers_of_kubelets() {
    let folder = tempfile::tempdir().unwrap();
    let mut pod = pods().remove(1);
    pod["spec"]["containers"][0]["resources"] = json!({ "limits": { "cpu": "500m" } });
    pod["status"]["containerStatuses"] = json!([{
        "name": "kube-proxy", "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "state": { "running": { "startedAt": "2026-11-24T11:00:00Z" } },
    }]);
    write(
        folder.path(),
        "objects.json",
        list(&[pod, named("Node", &["n1"]).remove(0)]),
    );
    let labels = "container=\"kube-proxy\",namespace=\"kube-system\",pod=\"kube-proxy-x\"";
    let metrics = format!(
        "container_cpu_cfs_periods_total{{{labels}}} 9000\ncontainer_cpu_cfs_throttled_periods_total{{{labels}}} 6000\n"
    );
    let stats = json!({
        "node": { "nodeName": "n1" },
        "pods": [{ "podRef": { "name": "kube-proxy-x", "namespace": "kube-system" }, "containers": [{
            "name": "kube-proxy", "cpu": { "usageNanoCores": 490_000_000 },
        }]}],
    });
    let throttled = "cpu-throttled Pod kube-proxy-x <- Pod kube-proxy-x spec.containers[0].resources.limits.cpu";
    write(folder.path(), "collected_at", "2026-11-24T12:00:00Z");
    write(
        folder.path(),
        "nodes/n1/stats-summary.json",
        stats.to_string(),
    );
    for name in ["nodes/n1/metrics-cadvisor.txt", "cadvisor.txt"] {
        write(folder.path(), name, &metrics);
        let output = diagnose(folder.path(), b"");
        assert_eq!(
            said(&output),
            (vec![throttled.to_owned()], String::new()),
            "{name}"
        );
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert_eq!(diagnose(folder.path(), b"").status.code(), Some(0));
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_diagnosed() {
    let folder = tempfile::tempdir().unwrap();
    let whole = list(&everything());
    write(folder.path(), "objects.json", &whole);
    write(folder.path(), "logs/shop/web-7d9-x/nginx.log", WORDS);
    let mut bad: Vec<(&str, Vec<u8>, &str)> =
        vec![
        (
            "cut.json",
            whole.as_bytes()[..whole.len() - 40].to_vec(),
            "not JSON",
        ),
        ("empty.json", Vec::new(), "it is empty"),
        (
            "cake.json",
            br#"{"recipe": "cake", "eggs": 3}"#.to_vec(),
            "not a Kubernetes object",
        ),
        ("text.json", b"just text".to_vec(), "not JSON"),
        ("number.json", b"17".to_vec(), "not a Kubernetes object"),
        (
            "tabs.yaml",
            b"kind: Pod\n\tmetadata: {}\n".to_vec(),
            "not YAML: line",
        ),
        ("binary.json", vec![0xff, 0xfe, 0x00, 0x9f], "it is not text"),
        (
            "odd.yaml",
            b"apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n".to_vec(),
            "1 of kind Widget (example.com/v1), which no rule reads",
        ),
        (
            "nameless.yaml",
            b"apiVersion: v1\nkind: Service\nmetadata: {}\n".to_vec(),
            "Service without a name",
        ),
        (
            "malformed.yaml",
            b"apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: [1, 2]\n"
                .to_vec(),
            "Service shop/s is malformed",
        ),
    ];
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    bad.push(("deep.json", deep.into_bytes(), "not"));
    for (name, content, _) in &bad {
        write(folder.path(), name, content);
    }
    write(folder.path(), "collected_at", "tomorrow");
    let output = diagnose(folder.path(), b"");
    let (verdicts, stderr) = said(&output);
    assert_eq!(verdicts, [FOUND]);
    for (name, _, because) in &bad {
        let told = stderr
            .lines()
            .any(|line| line.contains(name) && line.contains(because));
        assert!(told, "{name}: {because:?} is not in {stderr}");
    }
    assert!(
        stderr.contains("collected_at: not an RFC 3339 time"),
        "{stderr}"
    );
    assert!(
        stderr.lines().all(|line| line.starts_with("passed over: ")),
        "{stderr}"
    );
}

#[test]
fn a_log_that_is_not_recorded_is_not_awaited() {
    let ended = json!({
        "exitCode": 1, "reason": "Error",
        "startedAt": "2026-11-24T12:00:00Z", "finishedAt": "2026-11-24T12:00:01Z",
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "shop", "name": "web" },
        "spec": { "containers": [{ "name": "app" }] },
        "status": { "phase": "Running", "containerStatuses": [{
            "name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": { "terminated": ended },
        }] },
    });
    let output = diagnose(Path::new("-"), pod.to_string().as_bytes());
    assert_eq!(said(&output).0, ["crash-unexplained Pod web <- Pod web -"]);
}

#[test]
fn nothing_to_diagnose_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    write(folder.path(), "notes.txt", "nothing");
    for (path, input, because) in [
        (absent.as_path(), "", "cannot be read"),
        (folder.path(), "", "no Kubernetes object was found"),
        (Path::new("-"), "", "no Kubernetes object was found"),
        (Path::new("-"), "hello", "no Kubernetes object was found"),
    ] {
        let output = diagnose(path, input.as_bytes());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(because), "{because:?} is not in {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn odd_values_in_objects_change_nothing_else() {
    let mut all = everything();
    let pod = &mut all[0];
    pod["spec"]["containers"][0]["resources"] =
        json!({ "requests": { "memory": "lots", "cpu": "" } });
    pod["metadata"]["labels"]["\u{1b}[31mred"] = json!("\u{202e}evil");
    pod["metadata"]["creationTimestamp"] = json!("2999-01-01T00:00:00Z");
    all.push(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "shop", "name": "\u{1b}]0;owned\u{7}" },
        "spec": { "selector": { "app": "" }, "ports": [{ "port": -1, "targetPort": 99999 }] },
    }));
    all.push(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": "odd" },
        "spec": {
            "podSelector": { "matchExpressions": [{ "key": "app", "operator": "Near", "values": [] }] },
            "egress": [{ "to": [{ "ipBlock": { "cidr": "999.0.0.0/99" } }] }],
        },
    }));
    all.push(json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "namespace": "shop", "name": "e" },
        "involvedObject": { "kind": "Pod", "namespace": "shop", "name": "web-7d9-x" },
        "reason": "BackOff", "message": "x", "lastTimestamp": "2999-01-01T00:00:00Z",
    }));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "objects.json", list(&all));
    let mut words = b"\xff\xfe not UTF-8 \x00\x1b[2J\n".to_vec();
    words.extend(WORDS.as_bytes());
    write(folder.path(), "logs/shop/web-7d9-x/nginx.log", &words);
    let output = diagnose(folder.path(), b"");
    assert_eq!(said(&output), (vec![FOUND.to_owned()], String::new()));
    // For people nothing steers the terminal.
    let text = Command::new(env!("CARGO_BIN_EXE_crashbook"))
        .arg("diagnose")
        .arg(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("app-config-invalid") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[test]
fn values_of_secrets_are_dropped() {
    let mut all = everything();
    all[0]["spec"]["containers"][0]["env"] = json!([{ "name": "T", "valueFrom": { "secretKeyRef": { "name": "login", "key": "token" } } }]);
    all.push(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "namespace": "shop", "name": "login", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"token\":\"aHVzaA==\"}}",
        }},
        "data": { "token": "aHVzaA==" }, "stringData": { "other": "hush-hush" },
    }));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "objects.json", list(&all));
    let input = crashbook::diagnose::read(folder.path(), crashbook::clock::now()).unwrap();
    let kept = format!("{input:?}");
    assert!(kept.contains("login") && !kept.contains("aHVzaA") && !kept.contains("hush-hush"));
}

#[test]
fn logs_without_end() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "objects.json", list(&everything()));
    let path = folder.path().join("logs/shop/web-7d9-x/nginx.log");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Two gigabytes, most of them a hole, then the words.
    let mut log = File::create(&path).unwrap();
    log.set_len(2 << 30).unwrap();
    std::io::Seek::seek(&mut log, std::io::SeekFrom::End(0)).unwrap();
    write!(log, "\n{WORDS}").unwrap();
    drop(log);
    let limited = |folder: &Path| {
        Command::new("sh")
            .arg("-c")
            .arg("ulimit -v 1000000 && exec \"$0\" diagnose --format json \"$1\"")
            .arg(env!("CARGO_BIN_EXE_crashbook"))
            .arg(folder)
            .output()
            .unwrap()
    };
    assert_eq!(
        said(&limited(folder.path())),
        (vec![FOUND.to_owned()], String::new())
    );
    // And no line ends at all.
    File::create(&path).unwrap().set_len(2 << 30).unwrap();
    let (verdicts, stderr) = said(&limited(folder.path()));
    assert_eq!(
        verdicts,
        ["crash-unexplained Deployment web <- Deployment web -"]
    );
    assert_eq!(stderr, "");
}

#[test]
fn an_archive_leads_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    write(
        outside.path(),
        "secret.json",
        list(&named("Node", &["outside"])),
    );
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut append = |path: &str, kind: tar::EntryType, content: &[u8], link: Option<&Path>| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(kind);
        if let Some(link) = link {
            header.set_link_name(link).unwrap();
        }
        // The library refuses such paths: they are put there by hand.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        archive.append(&header, content).unwrap();
    };
    let objects = list(&everything());
    let target = outside.path().join("secret.json");
    append(
        "../escape.json",
        tar::EntryType::Regular,
        objects.as_bytes(),
        None,
    );
    append("/tmp/absolute.json", tar::EntryType::Regular, b"{}", None);
    append("link.json", tar::EntryType::Symlink, b"", Some(&target));
    append("hard.json", tar::EntryType::Link, b"", Some(&target));
    append("device.json", tar::EntryType::Char, b"", None);
    append(
        "state/objects.json",
        tar::EntryType::Regular,
        objects.as_bytes(),
        None,
    );
    append(
        "state/logs/shop/web-7d9-x/nginx.log",
        tar::EntryType::Regular,
        WORDS.as_bytes(),
        None,
    );
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let (verdicts, stderr) = said(&diagnose(Path::new("-"), &bytes));
    assert_eq!(verdicts, [FOUND]);
    for told in [
        "../escape.json: its path leads out of the archive",
        "/tmp/absolute.json: its path leads out of the archive",
        "link.json: not a regular file",
        "hard.json: not a regular file",
        "device.json: not a regular file",
    ] {
        assert!(stderr.contains(told), "{told:?} is not in {stderr}");
    }
    // One that is cut: what precedes the cut is read, or else it is said.
    let output = diagnose(Path::new("-"), &bytes[..bytes.len() - 30]);
    assert!(output.status.code().is_some_and(|code| code < 3));
    assert!(!output.stderr.is_empty());
}

#[test]
fn links_in_a_folder_are_not_followed_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "objects.json", list(&everything()));
    write(folder.path(), "logs/shop/web-7d9-x/nginx.log", WORDS);
    std::os::unix::fs::symlink("/", folder.path().join("root")).unwrap();
    std::os::unix::fs::symlink("nowhere.json", folder.path().join("dangling.json")).unwrap();
    let (verdicts, stderr) = said(&diagnose(folder.path(), b""));
    assert_eq!(verdicts, [FOUND]);
    assert!(
        stderr.contains("root: a link to a folder, which is not followed"),
        "{stderr}"
    );
    assert!(stderr.contains("dangling.json: No such file"), "{stderr}");
}
