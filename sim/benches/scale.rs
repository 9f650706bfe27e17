//! How long a large cluster takes to start, and how much memory.
//!
//! Run by hand: `cargo bench -p crashbook-sim`. The figures, with the machine's size, are in
//! docs/performance.md.

#![expect(clippy::print_stdout, reason = "the figures are its result")]

use std::time::{Duration, Instant};

use crashbook_sim::{Cluster, Config, NodeConfig};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams, PostParams};
use mimalloc::MiMalloc;
use serde_json::json;

/// As the command line has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How many pods each Deployment has.
const EACH: usize = 100;

fn main() {
    // cargo passes --bench; a number chooses one size, so that memory can be told apart.
    let chosen: Option<usize> = std::env::args().skip(1).find_map(|size| size.parse().ok());
    println!("  nodes    pods  all available after  in wall time  processor time  peak MiB");
    for pods in [1_000, 5_000, 20_000] {
        if chosen.is_none_or(|chosen| chosen == pods) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime");
            runtime.block_on(measure(pods / 20, pods));
        }
    }
}

async fn measure(nodes: usize, pods: usize) {
    let wall = Instant::now();
    let before = processor_time();
    let names = (0..nodes).map(|number| NodeConfig::worker(&format!("worker{number}")));
    let cluster = Cluster::start(Config {
        nodes: names.collect(),
        ..Config::default()
    });
    let client = kube::Client::new(cluster.router(), "default");
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let begin = cluster.clock().now();
    for number in 0..pods / EACH {
        let name = format!("app{number}");
        let deployment = json!({ "metadata": { "name": name }, "spec": { "replicas": EACH,
            "selector": { "matchLabels": { "app": name } }, "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "busybox:1.37",
                    "command": ["sleep", "86400"],
                    "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }] } } } });
        let deployment = serde_json::from_value(deployment).expect("a Deployment");
        deployments
            .create(&PostParams::default(), &deployment)
            .await
            .expect("it is made");
    }
    let deadline = Duration::from_secs(600);
    let available = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let all = deployments.list(&ListParams::default()).await;
            let of = |deployment: Deployment| {
                let status = deployment.status.unwrap_or_default();
                usize::try_from(status.available_replicas.unwrap_or(0)).unwrap_or(0)
            };
            if all
                .expect("a list")
                .items
                .into_iter()
                .map(of)
                .sum::<usize>()
                >= pods
            {
                return;
            }
        }
    };
    tokio::time::timeout(deadline, available)
        .await
        .expect("all are available in time");
    let virtual_time = cluster.clock().now().duration_since(begin);
    println!(
        "{nodes:7} {pods:7} {:>20} {:>13} {:>15} {:9}",
        format!("{:.0} s", virtual_time.as_secs_f64()),
        format!("{:.2} s", wall.elapsed().as_secs_f64()),
        format!(
            "{:.2} s",
            processor_time().saturating_sub(before).as_secs_f64()
        ),
        peak_memory_mib(),
    );
}

/// The most memory that the process had, in MiB, where the system tells.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let amount = line.and_then(|line| line.split_whitespace().nth(1));
    amount.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// How long the process has been on a processor, where the system tells: on a busy machine that is
/// less than the wall time.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, in hundredths of seconds: user time is the twelfth, system time the next.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
