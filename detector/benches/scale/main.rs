//! How long a diagnosis takes, and how much memory, on clusters of growing size.
//!
//! Run by hand: `cargo bench -p crashbook-detector`. The figures, with the machine's size, are in
//! docs/performance.md. Times are the processor's: other work on the machine counts only by what it
//! takes from caches.

#![expect(clippy::print_stdout, reason = "the figures are its result")]

mod cluster;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crashbook_detector::facts::Pod;
use crashbook_detector::{Engine, Kind, Object, Observation};
use jiff::{SignedDuration, Timestamp};
use mimalloc::MiMalloc;
use rustix::time::{ClockId, clock_gettime};

/// As the command line has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How many observations are decoded before they are fed, one at a time: a look at the clock for
/// each would show in what it measures, and many at once would not fit a processor's cache.
const BATCH: usize = 16;

fn main() {
    // cargo passes --bench; a number chooses one size, so that memory can be told apart.
    let chosen: Option<usize> = std::env::args().skip(1).find_map(|size| size.parse().ok());
    println!(
        "  nodes    pods  objects   decode    feed   judge  verdicts  peak MiB  healthy pod again  \
         failing pod again  a second passes"
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
    let (mut decoding, mut feeding) = (Duration::ZERO, Duration::ZERO);
    let mut objects = 0;
    let (mut healthy, mut failing): (Vec<Pod>, Vec<Pod>) = Default::default();
    let mut seen = cluster::observations(nodes, pods);
    loop {
        let batch: Vec<_> = seen.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        objects += batch.len();
        let start = processor_time();
        let batch: Vec<Observation> = batch.into_iter().map(decoded).collect();
        decoding += processor_time() - start;
        for observation in &batch {
            if let Observation::Applied(Object::Pod(pod)) = observation {
                let sample = if pod.is_untroubled() {
                    &mut healthy
                } else {
                    &mut failing
                };
                if sample.len() < 1000 {
                    sample.push((**pod).clone());
                }
            }
        }
        let start = processor_time();
        for observation in batch {
            engine.observe(observation, now);
        }
        feeding += processor_time() - start;
    }
    let start = processor_time();
    for kind in Kind::ALL {
        let listed = Observation::Listed {
            kind: *kind,
            namespace: None,
        };
        engine.observe(listed, now);
    }
    let verdicts = engine.verdicts().len();
    let judging = processor_time() - start;
    let peak = peak_memory_mib();
    let healthy = judged_again(&mut engine, healthy, now);
    let failing = judged_again(&mut engine, failing, now);
    let seconds = seconds_pass(&mut engine, now);
    println!(
        "{nodes:7} {pods:7} {objects:8} {:>8} {:>7} {:>7} {verdicts:9} {peak:9} {:>18} {:>18} {:>16}",
        format!("{:.3} s", decoding.as_secs_f64()),
        format!("{:.3} s", feeding.as_secs_f64()),
        format!("{:.3} s", judging.as_secs_f64()),
        micros(healthy),
        micros(failing),
        seconds,
    );
}

fn decoded(seen: cluster::Seen) -> Observation {
    match seen {
        cluster::Seen::Object(value) => {
            Observation::Applied(Object::decode(value).expect("the generator's objects decode"))
        }
        cluster::Seen::Log(log) => Observation::Log(log),
    }
}

fn micros(time: Duration) -> String {
    format!("{:.0} us", time.as_secs_f64() * 1e6)
}

/// The median time from a pod's change of status to the verdicts that follow from it.
fn judged_again(engine: &mut Engine, sample: Vec<Pod>, now: Timestamp) -> Duration {
    let changed = sample.into_iter().enumerate().map(|(index, mut pod)| {
        pod.status.message = Some(format!("seen again {index}").into());
        let start = processor_time();
        engine.observe(Observation::Applied(Object::Pod(Arc::new(pod))), now);
        engine.verdicts();
        processor_time() - start
    });
    let mut times: Vec<Duration> = changed.collect();
    times.sort();
    times[times.len() / 2]
}

/// The median and the longest time that it takes when a second passes and nothing is seen, over a
/// quarter of an hour.
fn seconds_pass(engine: &mut Engine, now: Timestamp) -> String {
    let passed = (1..=900).map(|second| {
        let start = processor_time();
        engine.advance(now + SignedDuration::from_secs(second));
        engine.verdicts();
        processor_time() - start
    });
    let mut times: Vec<Duration> = passed.collect();
    times.sort();
    format!(
        "{}, at most {}",
        micros(times[times.len() / 2]),
        micros(times[times.len() - 1])
    )
}

/// How long this thread, which does everything here, has run on a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().expect("time is not negative")
}

fn peak_memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
