//! A second client that shares nothing with the first: Python's, over loopback.

use std::process::Stdio;
use std::time::Duration;

use crashbook_sim::{Cluster, Config};
use tokio::process::Command;

const SCRIPT: &str = r#"
import sys
from kubernetes import client, config, watch

config.load_kube_config(sys.argv[1])
core, apps = client.CoreV1Api(), client.AppsV1Api()
print("namespaces", sorted(n.metadata.name for n in core.list_namespace().items)[0])

labels = {"app": "web"}
container = client.V1Container(name="web", image="nginx:1.28")
template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container]))
spec = client.V1DeploymentSpec(
    replicas=2, template=template, selector=client.V1LabelSelector(match_labels=labels))
apps.create_namespaced_deployment(
    "default", client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec))

running = set()
for event in watch.Watch().stream(
        core.list_namespaced_pod, "default", label_selector="app=web", timeout_seconds=60):
    pod = event["object"]
    if pod.status.phase == "Running":
        running.add(pod.metadata.name)
    if len(running) == 2:
        break
print("running", len(running))

try:
    core.read_namespaced_config_map("none", "default")
except client.exceptions.ApiException as error:
    print("refused", error.status)
apps.delete_namespaced_deployment("web", "default")
"#;

/// The Python that has the client: `CRASHBOOK_PYTHON`, which must have it, or the usual one.
async fn python() -> Result<String, String> {
    let python = std::env::var("CRASHBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let asked = Command::new(&python)
        .args(["-c", "import kubernetes"])
        .output()
        .await;
    match asked {
        Ok(output) if output.status.success() => Ok(python),
        Ok(_) => Err(format!(
            "{python} has no module `kubernetes`: pip install kubernetes"
        )),
        Err(error) => Err(format!("{python} cannot be run: {error}")),
    }
}

#[tokio::test]
async fn the_python_client_lists_watches_and_creates() {
    let python = match python().await {
        Ok(python) => python,
        Err(why) => {
            assert!(std::env::var_os("CRASHBOOK_PYTHON").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return;
        }
    };
    let cluster = Cluster::start(Config {
        nodes: vec![crashbook_sim::NodeConfig::worker("worker")],
        ..Config::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config");
    std::fs::write(&config, Cluster::kubeconfig(&url)).unwrap();
    tokio::spawn(async move { cluster.serve(listener).await });
    let running = Command::new(python)
        .args(["-c", SCRIPT])
        .arg(&config)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), running).await;
    let output = output.expect("it ends within two minutes").unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(out, "namespaces default\nrunning 2\nrefused 404\n", "{err}");
}
