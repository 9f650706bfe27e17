//! The detector under test, as a run sees it: a timeline of the verdicts that stand.

use std::sync::Arc;
use std::time::Duration;

use crashbook_detector::Kind;
use crashbook_detector::verdict::{Identity, Verdict};
use jiff::Timestamp;
use tokio::sync::watch;

use super::attribution::Owned;
use super::judge::Moment;
use super::sight::Version;
use crate::collect::{self, Collector, Entry, NotSettled};

/// How long the detector may take to see what the harness has seen.
const SETTLED: Duration = Duration::from_secs(20);

/// The detector under test. One watches one cluster.
#[derive(Debug)]
pub struct Detector(Collector);

/// How quick a detector was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promptness {
    /// From the latest of what the verdict rests on to the verdict, in milliseconds, without what
    /// was fetched meanwhile.
    pub signal_ms: i64,
    /// How long was fetched, in milliseconds.
    pub fetch_ms: i64,
}

impl Detector {
    /// Starts the bundled detector on a cluster.
    ///
    /// # Errors
    ///
    /// When it cannot list what it is to watch.
    pub async fn start(client: kube::Client, node_stats: bool) -> Result<Self, NotSettled> {
        let options = collect::Options {
            namespace: None,
            node_stats,
        };
        let detector = Self(collect::start(client, options));
        detector.settled(&[]).await?;
        Ok(detector)
    }

    /// Tells of every change of what stands.
    pub fn changes(&self) -> watch::Receiver<Vec<Entry>> {
        self.0.subscribe()
    }

    /// Ends once the detector has seen these versions, or later ones, and has said all that it can
    /// say of them. Versions of kinds that it does not look at are passed over.
    ///
    /// # Errors
    ///
    /// When it does not come to that in time: what is missing.
    pub async fn settled(&self, versions: &[Version]) -> Result<(), NotSettled> {
        let of = |version: &Version| {
            let kind = Kind::ALL.iter().find(|kind| kind.name() == version.kind)?;
            Some(collect::Version {
                kind: *kind,
                namespace: version.namespace.clone().unwrap_or_default(),
                name: version.name.clone(),
                resource_version: version.resource_version.clone(),
            })
        };
        let versions: Vec<_> = versions.iter().filter_map(of).collect();
        self.0.settled(&versions, SETTLED).await.map(drop)
    }

    /// The moments from the one of this index on.
    pub fn since(&self, index: usize) -> Vec<(Timestamp, Vec<Arc<Verdict>>)> {
        let timeline = self.0.subscribe();
        let timeline = timeline.borrow();
        let since = timeline.get(index..).unwrap_or_default().iter();
        since
            .map(|entry| (entry.at, entry.verdicts.clone()))
            .collect()
    }

    /// What stands now.
    pub fn standing(&self) -> Vec<Arc<Verdict>> {
        let timeline = self.0.subscribe();
        let timeline = timeline.borrow();
        timeline
            .last()
            .map(|entry| entry.verdicts.clone())
            .unwrap_or_default()
    }

    /// What it said of one run.
    pub fn part(&self, owned: &Owned) -> Vec<Moment> {
        owned.part_of(self.since(0))
    }

    /// Every verdict of one run that stood since this time, in its last form, in the order in which
    /// they came.
    pub fn verdicts(&self, owned: &Owned, from: Timestamp) -> Vec<Verdict> {
        let part = self.part(owned);
        let first = part
            .iter()
            .rposition(|moment| moment.at <= from)
            .unwrap_or_default();
        let mut verdicts: Vec<(Identity, Arc<Verdict>)> = Vec::new();
        let stood = part.into_iter().skip(first);
        for verdict in stood.flat_map(|moment| moment.verdicts) {
            let identity = verdict.identity();
            match verdicts.iter_mut().find(|(known, _)| *known == identity) {
                Some((_, known)) => *known = verdict,
                None => verdicts.push((identity, verdict)),
            }
        }
        verdicts
            .into_iter()
            .map(|(_, verdict)| (*verdict).clone())
            .collect()
    }

    /// How quick it was to say what came at this time.
    pub fn promptness(&self, came: Timestamp) -> Option<Promptness> {
        let timeline = self.0.subscribe();
        let timeline = timeline.borrow();
        let entry = timeline.iter().find(|entry| entry.at == came)?;
        let millis = |span: jiff::SignedDuration| i64::try_from(span.as_millis()).ok();
        Some(Promptness {
            signal_ms: millis(entry.latency())?,
            fetch_ms: millis(entry.signal.fetch)?,
        })
    }
}
