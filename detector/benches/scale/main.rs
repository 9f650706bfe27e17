//! How long a diagnosis takes, and how much memory, on clusters of growing size.
//!
//! Run by hand: `cargo bench -p crashbook-detector`. The figures, with the machine's size, are in
//! docs/performance.md.

#![expect(clippy::print_stdout, reason = "the figures are its result")]

mod cluster;

use std::time::{Duration, Instant};

use crashbook_detector::facts::Pod;
use crashbook_detector::{Engine, Kind, Object, Observation};
use jiff::{SignedDuration, Timestamp};

fn main() {
    // cargo passes --bench; a number chooses one size, so that memory can be told apart.
    let chosen: Option<usize> = std::env::args().skip(1).find_map(|size| size.parse().ok());
    println!(
        "  nodes    pods  objects   decode  diagnose  verdicts  peak MiB  one pod again (median)"
    );
    for pods in [10_000, 50_000, 150_000] {
        if chosen.is_none_or(|chosen| chosen == pods) {
            measure(pods / 30, pods);
        }
    }
}

fn measure(nodes: usize, pods: usize) {
    let now = cluster::now();
    let mut engine = Engine::new();
    let mut decoding = Duration::ZERO;
    let mut diagnosis = Duration::ZERO;
    let mut objects = 0;
    let mut sample: Vec<Pod> = Vec::new();
    for observation in cluster::observations(nodes, pods) {
        let start = Instant::now();
        let observation = match observation {
            cluster::Seen::Object(value) => {
                Observation::Applied(Object::decode(value).expect("the generator's objects decode"))
            }
            cluster::Seen::Log(log) => Observation::Log(log),
        };
        decoding += start.elapsed();
        objects += 1;
        if let Observation::Applied(Object::Pod(pod)) = &observation
            && objects % 97 == 0
        {
            sample.push(Pod::clone(pod));
        }
        let start = Instant::now();
        engine.observe(observation, now);
        diagnosis += start.elapsed();
    }
    let start = Instant::now();
    for kind in Kind::ALL {
        engine.observe(
            Observation::Listed {
                kind: *kind,
                namespace: None,
            },
            now,
        );
    }
    let verdicts = engine.verdicts().len();
    diagnosis += start.elapsed();
    let again = judged_again(&mut engine, sample, now);
    println!(
        "{nodes:7} {pods:7} {objects:8} {:8} {:9} {verdicts:9} {:9} {again:>12}",
        format!("{:.2} s", decoding.as_secs_f64()),
        format!("{:.2} s", diagnosis.as_secs_f64()),
        peak_memory_mib(),
        again = format!("{:.0} us", again.as_secs_f64() * 1e6),
    );
}

/// The median time from a pod's change of status to the verdicts that follow from it.
fn judged_again(engine: &mut Engine, sample: Vec<Pod>, now: Timestamp) -> Duration {
    let mut times: Vec<Duration> = sample
        .into_iter()
        .enumerate()
        .map(|(index, mut pod)| {
            let at = now + SignedDuration::from_millis(i64::try_from(index).unwrap_or_default());
            pod.status.message = Some(format!("seen again {index}"));
            let start = Instant::now();
            engine.observe(Observation::Applied(Object::Pod(Box::new(pod))), at);
            engine.verdicts();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
