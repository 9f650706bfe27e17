//! A real kubectl, over loopback.

use std::process::Stdio;
use std::time::Duration;

use crashbook_sim::{Cluster, Config, NodeConfig};
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
        version.map_err(|error| format!("no kubectl can be run: {error}"))?;
        let cluster = Cluster::start(Config {
            nodes: vec![
                NodeConfig::control_plane("control-plane"),
                NodeConfig::worker("worker"),
            ],
            speed: 10.0,
            ..Config::default()
        });
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
        let args: Vec<&str> = line.split_whitespace().collect();
        let editor = self.home.path().join("editor");
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.home.path().join("config"))
            .args(args)
            .env("HOME", self.home.path())
            .env("KUBE_EDITOR", editor)
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

    /// Runs lines that must succeed, each with what it must print.
    async fn all(&self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            self.run(line, "", expected).await;
        }
    }

    /// Runs a line that must be refused in these words.
    async fn refused(&self, line: &str, expected: &str) {
        let said = self.with(line, "").await;
        assert!(
            !said.fine && said.err.contains(expected),
            "{line}: {}{}",
            said.out,
            said.err
        );
    }
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { key: one }\n";
const CHANGED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { other: two }\n";
const SPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n";
const WRONG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: b }\ndato: { key: one }\n";

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: shop, annotations: { kubernetes.io/change-cause: first } }
spec:
  replicas: 2
  selector: { matchLabels: { app: shop } }
  template:
    metadata: { labels: { app: shop } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: shop
        image: nginx:1.28
        readinessProbe: { httpGet: { port: 80 }, periodSeconds: 1 }
";
const TALKER: &str = "apiVersion: v1
kind: Pod
metadata: { name: talker }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: talker
    image: busybox:1.37
    command: [sh, -c, echo one; echo two; echo three; sleep 3600]
";

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false")
}

#[tokio::test]
async fn kubectl_works() {
    let session = tokio::time::timeout(Duration::from_secs(300), session());
    session.await.expect("kubectl ends within five minutes");
}

async fn session() {
    let kubectl = match Kubectl::new().await {
        Ok(kubectl) => kubectl,
        Err(why) => {
            assert!(!is_ci(), "in continuous integration it must run: {why}");
            eprintln!("skipped: {why}");
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
    workloads(&kubectl).await;
    generators(&kubectl).await;
    nodes(&kubectl).await;
}

/// The life of a Deployment and of a pod's log.
async fn workloads(kubectl: &Kubectl) {
    kubectl
        .run("apply -f -", WEB, "deployment.apps/shop created")
        .await;
    kubectl
        .run("apply -f -", TALKER, "pod/talker created")
        .await;
    let editor = kubectl.home.path().join("editor");
    std::fs::write(
        &editor,
        "#!/bin/sh\nsed -i 's/revisionHistoryLimit: 10/revisionHistoryLimit: 5/' \"$1\"\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&editor, mode).unwrap();
    kubectl
        .all(&[
            (
                "rollout status deployment/shop --timeout=60s",
                "successfully rolled out",
            ),
            (
                "wait pod -l app=shop --for=condition=Ready --timeout=60s",
                "condition met",
            ),
            (
                "wait pod/talker --for=condition=Ready --timeout=60s",
                "condition met",
            ),
            ("get deployments", "2/2"),
            ("get pods -o wide", "worker"),
            ("get pods --show-labels", "app=shop"),
            ("get pods -o name", "pod/shop-"),
            ("get deployment shop -o yaml", "readyReplicas: 2"),
            ("get deployment shop -o json", "\"readyReplicas\": 2"),
            ("get deployment shop -o jsonpath={.status.replicas}", "2"),
            (
                "get pods -o custom-columns=N:.metadata.name,P:.status.phase",
                "Running",
            ),
            ("get deployment shop -o go-template={{.spec.replicas}}", "2"),
            (
                "get events --sort-by=.metadata.creationTimestamp",
                "ScalingReplicaSet",
            ),
            ("events --for deployment/shop", "Scaled up replica set"),
            ("describe deployment shop", "NewReplicaSetAvailable"),
            ("describe pods -l app=shop", "Started container shop"),
            ("describe node worker", "Non-terminated Pods"),
            ("logs talker", "one\ntwo\nthree"),
            ("logs talker --tail=1", "three"),
            ("logs talker --limit-bytes=3", "one"),
            ("logs talker --timestamps", "Z one"),
            ("logs deployment/shop --since=1h", ""),
            ("scale deployment shop --replicas=3", "scaled"),
            (
                "rollout status deployment/shop --timeout=60s",
                "successfully rolled out",
            ),
            ("edit deployment shop", "deployment.apps/shop edited"),
            (
                "get deployment shop -o jsonpath={.spec.revisionHistoryLimit}",
                "5",
            ),
            (
                "annotate deployment shop kubernetes.io/change-cause=second --overwrite",
                "annotated",
            ),
            ("set image deployment/shop shop=nginx:1.27", "image updated"),
            ("rollout history deployment/shop", "second"),
            ("rollout undo deployment/shop", "rolled back"),
            (
                "rollout status deployment/shop --timeout=60s",
                "successfully rolled out",
            ),
            ("rollout restart deployment/shop", "restarted"),
            ("rollout pause deployment/shop", "paused"),
            ("rollout resume deployment/shop", "resumed"),
            (
                "rollout status deployment/shop --timeout=60s",
                "successfully rolled out",
            ),
            ("expose deployment shop --port=80", "service/shop exposed"),
            (
                "get endpointslices -l kubernetes.io/service-name=shop",
                "10.244.",
            ),
            ("label pods -l app=shop tier=front", "labeled"),
            ("delete pod talker --wait=true", "deleted"),
        ])
        .await;
    kubectl.refused("logs talker", "not found").await;
    let pod = kubectl
        .with(
            "get pods -l app=shop -o jsonpath={.items[0].metadata.name}",
            "",
        )
        .await;
    let exec = format!("exec {} -- ls", pod.out);
    kubectl
        .refused(&exec, "the embedded cluster serves no pods/exec")
        .await;
    kubectl
        .refused("top pods", "Metrics API not available")
        .await;
}

/// What kubectl makes by itself: its typed clients send protobuf.
async fn generators(kubectl: &Kubectl) {
    kubectl
        .all(&[
            ("create namespace tools", "namespace/tools created"),
            (
                "create deployment web -n tools --image=nginx:1.28 --replicas=2",
                "created",
            ),
            (
                "rollout status deployment/web -n tools --timeout=60s",
                "successfully rolled out",
            ),
            ("create configmap c -n tools --from-literal=a=b", "created"),
            ("get configmap c -n tools -o jsonpath={.data.a}", "b"),
            (
                "create secret generic s -n tools --from-literal=a=b",
                "created",
            ),
            ("get secret s -n tools -o jsonpath={.data.a}", "Yg=="),
            ("create serviceaccount a -n tools", "created"),
            ("create token a -n tools", "sim-tools-a"),
            (
                "create job j -n tools --image=busybox:1.37 -- true",
                "created",
            ),
            (
                "wait job/j -n tools --for=condition=Complete --timeout=60s",
                "condition met",
            ),
            (
                "create cronjob k -n tools --image=busybox:1.37 --schedule=@hourly -- true",
                "created",
            ),
            ("create job again -n tools --from=cronjob/k", "created"),
            ("create quota q -n tools --hard=pods=20", "created"),
            ("describe quota q -n tools", "pods"),
            (
                "create role r -n tools --verb=get --resource=pods",
                "created",
            ),
            (
                "create rolebinding b -n tools --role=r --serviceaccount=tools:a",
                "created",
            ),
            (
                "create service clusterip web -n tools --tcp=80:8080",
                "created",
            ),
            (
                "get service web -n tools -o jsonpath={.spec.ports[0].targetPort}",
                "8080",
            ),
            (
                "create poddisruptionbudget p -n tools --selector=app=web --min-available=1",
                "created",
            ),
            ("create priorityclass high --value=100", "created"),
            ("create ingress i -n tools --rule=a.b/=web:80", "created"),
            ("auth can-i create pods", "yes"),
            ("auth can-i --list", "[*]"),
            (
                "create role reader -n tools --verb=get,list --resource=pods",
                "created",
            ),
            (
                "create rolebinding readers -n tools --role=reader --serviceaccount=tools:default",
                "created",
            ),
            (
                "auth can-i list pods -n tools --as=system:serviceaccount:tools:default",
                "yes",
            ),
            (
                "auth can-i --list -n tools --as=system:serviceaccount:tools:default",
                "[get list]",
            ),
            ("auth whoami", "kubernetes-admin"),
            ("explain deployment.spec.replicas", "<integer>"),
            ("api-versions", "apps/v1"),
            ("cluster-info", "is running"),
            ("delete namespace tools", "deleted"),
        ])
        .await;
}

/// Nodes: cordon, drain and back.
async fn nodes(kubectl: &Kubectl) {
    kubectl
        .all(&[
            ("get nodes", "Ready"),
            ("cordon worker", "node/worker cordoned"),
            ("get nodes", "SchedulingDisabled"),
            (
                "drain worker --ignore-daemonsets --delete-emptydir-data --timeout=60s",
                "drained",
            ),
            ("get pods -l app=shop", "Pending"),
            ("uncordon worker", "node/worker uncordoned"),
            ("taint node worker a=b:NoSchedule", "tainted"),
            ("taint node worker a-", "untainted"),
            (
                "rollout status deployment/shop --timeout=60s",
                "successfully rolled out",
            ),
            ("delete deployment,service shop", "deleted"),
        ])
        .await;
}
