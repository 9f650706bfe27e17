//! A real kubectl, over loopback.

use std::process::Stdio;
use std::time::Duration;

use crashbook_sim::{Cluster, Config};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

struct Kubectl {
    /// Where the kubeconfig is, and what kubectl keeps.
    home: tempfile::TempDir,
    _cluster: Cluster,
}

/// What kubectl came to: whether it succeeded, and what it printed.
struct Said {
    fine: bool,
    out: String,
    err: String,
}

impl Kubectl {
    /// A cluster on loopback; none where no kubectl is found, and then why.
    async fn new() -> Result<Self, String> {
        let version = Command::new("kubectl")
            .args(["version", "--client"])
            .output()
            .await;
        version.map_err(|error| format!("skipped: no kubectl can be run: {error}"))?;
        let cluster = Cluster::start(Config::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config"), Cluster::kubeconfig(&url)).unwrap();
        let served = cluster.clone();
        tokio::spawn(async move { served.serve(listener).await });
        Ok(Self {
            home,
            _cluster: cluster,
        })
    }

    async fn with(&self, line: &str, input: &str) -> Said {
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.home.path().join("config"))
            .args(line.split_whitespace())
            .env("HOME", self.home.path())
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        Said {
            fine: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn check(line: &str, said: &Said, expected: &str) {
        assert!(
            said.fine && said.out.contains(expected),
            "{line}: {}{}",
            said.out,
            said.err
        );
    }

    async fn run(&self, line: &str, input: &str, expected: &str) {
        Self::check(line, &self.with(line, input).await, expected);
    }
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { key: one }\n";
const CHANGED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { other: two }\n";
const SPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n";
const WRONG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: b }\ndato: { key: one }\n";

#[tokio::test]
async fn kubectl_works() {
    let session = tokio::time::timeout(Duration::from_secs(120), session());
    session.await.expect("kubectl ends within two minutes");
}

async fn session() {
    let kubectl = match Kubectl::new().await {
        Ok(kubectl) => kubectl,
        Err(why) => {
            eprintln!("{why}");
            return;
        }
    };
    kubectl.run("version", "", "Server Version: v1.34.4").await;
    kubectl.run("api-resources", "", "deployments").await;
    kubectl.run("get namespaces", "", "kube-system").await;
    kubectl.run("get all -A", "", "service/kubernetes").await;
    kubectl.run("apply -f -", MAP, "configmap/a created").await;
    kubectl
        .run("apply -f -", MAP, "configmap/a unchanged")
        .await;
    kubectl
        .run("apply -f -", CHANGED, "configmap/a configured")
        .await;
    kubectl
        .run(
            "get configmap a -o jsonpath={.data}",
            "",
            "{\"other\":\"two\"}",
        )
        .await;
    kubectl
        .run("label configmap a tier=web", "", "configmap/a labeled")
        .await;
    kubectl
        .run("get configmaps -l tier=web -o name", "", "configmap/a")
        .await;
    kubectl
        .run(
            "patch configmap a -p {\"data\":{\"x\":\"y\"}}",
            "",
            "configmap/a patched",
        )
        .await;
    kubectl.run("describe configmap a", "", "other:").await;
    kubectl
        .run(
            "apply --server-side --force-conflicts -f -",
            MAP,
            "serverside-applied",
        )
        .await;
    kubectl
        .run("create -f -", SPACE, "namespace/shop created")
        .await;
    kubectl
        .run("delete configmap a", "", "configmap \"a\" deleted")
        .await;
    let said = kubectl.with("create -f -", WRONG).await;
    assert!(
        !said.fine && said.err.contains("unknown field \"dato\""),
        "{}",
        said.err
    );
    let said = kubectl.with("get configmap a", "").await;
    assert!(
        said.err.contains("configmaps \"a\" not found"),
        "{}",
        said.err
    );
}
