//! Who may use a node, or the whole cluster, now: so that several runs, also of several processes,
//! share one cluster.
//!
//! A claim is held by locks on files, which the kernel frees when their holder is gone. Each has a
//! gate beside it: whoever waits for the lock holds the gate, so that those who come later wait
//! behind him, and one who needs something for himself is not starved by those who share it.
//! Locks are taken in one order, the cluster's first, then the nodes' by name, so no two runs wait
//! for each other.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    task::Poll,
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    journal::{self, Found, Journal, JournalError},
    progress::Progress,
    state::State,
};

/// Whether something is held together with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// Others may hold it too.
    #[default]
    Shared,
    /// Nobody else may.
    Exclusive,
}

/// What a run needs of a cluster while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The cluster as a whole: exclusive for who breaks what everyone uses, such as its name
    /// service.
    pub cluster: Hold,
    /// Nodes by name: exclusive for who changes or fills one, shared for who must be spared that.
    pub nodes: BTreeMap<String, Hold>,
}

impl Claim {
    /// Whether it holds something for itself.
    pub fn is_exclusive(&self) -> bool {
        self.cluster == Hold::Exclusive || self.nodes.values().any(|hold| *hold == Hold::Exclusive)
    }

    /// Whether both can be held at once; if not, what they collide on.
    pub fn conflict(&self, other: &Self) -> Option<String> {
        let exclusive = |one: Hold, two: Hold| one == Hold::Exclusive || two == Hold::Exclusive;
        if exclusive(self.cluster, other.cluster) {
            return Some("the whole cluster".to_owned());
        }
        let both = self.nodes.iter().find(|(node, hold)| {
            other
                .nodes
                .get(*node)
                .is_some_and(|theirs| exclusive(**hold, *theirs))
        });
        both.map(|(node, _)| format!("node {node}"))
    }
}

/// Why a claim cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The file system refused.
    #[error("lock {path}: {source}", path = path.display())]
    File {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The claim could not be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An incident that was kept holds it, and nobody can wait for that.
    #[error("{what} belongs to {run}, an incident that was kept: end it by `{how_to_end}`")]
    Kept {
        /// What it holds.
        what: String,
        /// The run that was kept.
        run: String,
        /// The command that ends it.
        how_to_end: String,
    },
}

/// Gives back what was claimed when it is dropped.
#[derive(Debug)]
#[must_use = "the claim is given back when this is dropped"]
pub struct Guard(#[expect(dead_code, reason = "held open for their locks")] Vec<File>);

/// Waits until the run may hold this in the cluster of that name, saying on whom it waits, and
/// writes it into the run's journal. A run that has nothing for itself also waits for one of so
/// many slots: more at once, and none would keep its times. It does so last, so that nobody holds
/// a slot and waits; and who has a node for himself needs none, because a chain of those that share
/// the node takes longest as it is.
pub async fn acquire(
    state: &State,
    cluster: &str,
    journal: &Journal,
    claim: &Claim,
    slots: usize,
    progress: &Progress,
) -> Result<Guard, ClaimError> {
    let lock = |name: &str| Lock::new(state, &format!("{cluster}.{name}"));
    let mut wanted = vec![(lock("whole"), claim.cluster)];
    wanted.extend(
        claim
            .nodes
            .iter()
            .map(|(node, hold)| (lock(&format!("node.{node}")), *hold)),
    );
    let mut files = Vec::new();
    let run = journal.run();
    for (lock, hold) in wanted {
        let waits = || {
            let holders = others(state, &run).into_iter().filter(|found| found.lives);
            match collisions(holders, claim).as_slice() {
                [] => progress.say(format!("{run} waits for another run")),
                some => progress.say(format!("{run} waits: {}", some.join(", "))),
            }
        };
        files.push(lock.acquire(hold, waits).await?);
    }
    if !claim.is_exclusive() {
        let waits = || progress.say(format!("{run} waits: {slots} others are running"));
        files.push(slot(state, cluster, slots, waits).await?);
    }
    for Found { record, .. } in others(state, &run) {
        let held = record.claim.and_then(|held| held.conflict(claim));
        if let (Some(how_to_end), Some(what)) = (record.kept, held) {
            return Err(ClaimError::Kept {
                what,
                run: record.header.run,
                how_to_end,
            });
        }
    }
    journal.claim(claim)?;
    Ok(Guard(files))
}

/// Waits for one of so many slots, whichever is free first.
async fn slot(
    state: &State,
    cluster: &str,
    slots: usize,
    waits: impl FnOnce(),
) -> Result<File, ClaimError> {
    let mut waits = Some(waits);
    let path = |name: &str| state.locks().join(format!("{cluster}.{name}"));
    let _gate = take(&path("slots.gate"), Hold::Exclusive, &mut waits).await?;
    let mut taken = Vec::new();
    for number in 0..slots.max(1) {
        let path = path(&format!("slot.{number}.lock"));
        let mut waits = None::<fn()>;
        let mut taking = Box::pin(async move { take(&path, Hold::Exclusive, &mut waits).await });
        if let Poll::Ready(file) = futures::poll!(&mut taking) {
            return file;
        }
        taken.push(taking);
    }
    if let Some(waits) = waits.take() {
        waits();
    }
    // Those that come later than the first are dropped at once.
    futures::future::select_all(taken).await.0
}

fn others(state: &State, run: &str) -> Vec<Found> {
    let mut found = journal::read_all(state);
    found.retain(|found| found.record.header.run != run);
    found
}

fn collisions(holders: impl Iterator<Item = Found>, claim: &Claim) -> Vec<String> {
    let collisions = holders.filter_map(|found| {
        let what = found.record.claim?.conflict(claim)?;
        Some(format!("{} holds {what}", found.record.header.run))
    });
    collisions.collect()
}

/// A lock that several processes share, fair to whoever waits.
#[derive(Debug, Clone)]
pub(crate) struct Lock {
    gate: PathBuf,
    lock: PathBuf,
}

impl Lock {
    /// The lock of this name; its files are made when it is first acquired.
    pub(crate) fn new(state: &State, name: &str) -> Self {
        let path = |end| state.locks().join(format!("{name}.{end}"));
        Self {
            gate: path("gate"),
            lock: path("lock"),
        }
    }

    /// The lock on the life of the folder's kind cluster: shared by every run that uses it,
    /// exclusive for who makes, replaces or deletes it.
    pub(crate) fn lifecycle(state: &State) -> Self {
        Self::new(state, "cluster")
    }

    /// Waits for it; `waits` is called once if that takes longer than asking. It is held until the
    /// file is dropped.
    pub(crate) async fn acquire(
        &self,
        hold: Hold,
        waits: impl FnOnce(),
    ) -> Result<File, ClaimError> {
        let mut waits = Some(waits);
        let gate = take(&self.gate, Hold::Exclusive, &mut waits).await?;
        let file = take(&self.lock, hold, &mut waits).await?;
        drop(gate);
        Ok(file)
    }
}

impl Lock {
    /// Waits to be the next who may take the lock; nobody else can until this is dropped.
    pub(crate) async fn gate(&self, waits: impl FnOnce()) -> Result<Gate, ClaimError> {
        let gate = take(&self.gate, Hold::Exclusive, &mut Some(waits)).await?;
        Ok(Gate {
            _gate: gate,
            lock: self.lock.clone(),
            held: None,
        })
    }
}

/// A lock that may be tried, waited for, and shared again, without anyone coming in between.
#[derive(Debug)]
pub(crate) struct Gate {
    _gate: File,
    lock: PathBuf,
    held: Option<File>,
}

impl Gate {
    /// Takes the lock if nobody has it; says whether.
    pub(crate) fn alone(&mut self) -> Result<bool, ClaimError> {
        let at = |source| ClaimError::File {
            path: self.lock.clone(),
            source,
        };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.lock)
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => self.held = Some(file),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        Ok(true)
    }

    /// Waits until nobody else has the lock, and takes it.
    pub(crate) async fn wait_alone(&mut self) -> Result<(), ClaimError> {
        self.held = Some(take(&self.lock, Hold::Exclusive, &mut None::<fn()>).await?);
        Ok(())
    }

    /// The lock, where it is held alone.
    pub(crate) fn held(&self) -> Option<&File> {
        self.held.as_ref()
    }

    /// Goes over to sharing the lock with those who come next.
    pub(crate) async fn share(mut self) -> Result<File, ClaimError> {
        drop(self.held.take());
        take(&self.lock, Hold::Shared, &mut None::<fn()>).await
    }
}

/// Locks a file, in a thread of its own where it must wait: no runtime waits for that thread, and
/// a lock that comes when nobody wants it any more is dropped at once.
async fn take(
    path: &Path,
    hold: Hold,
    waits: &mut Option<impl FnOnce()>,
) -> Result<File, ClaimError> {
    let at = |source| ClaimError::File {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(at)?;
    let tried = match hold {
        Hold::Shared => file.try_lock_shared(),
        Hold::Exclusive => file.try_lock(),
    };
    match tried {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(source)) => return Err(at(source)),
    }
    if let Some(waits) = waits.take() {
        waits();
    }
    let (give, locked) = oneshot::channel();
    let wait = move || {
        let result = match hold {
            Hold::Shared => file.lock_shared(),
            Hold::Exclusive => file.lock(),
        };
        let _ = give.send(result.map(|()| file));
    };
    std::thread::Builder::new()
        .name("lock".to_owned())
        .spawn(wait)
        .map_err(at)?;
    let gone = |_| io::Error::other("the thread that waited for it is gone");
    locked.await.map_err(gone).flatten().map_err(at)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::journal::Undo;

    fn claim(cluster: Hold, nodes: &[(&str, Hold)]) -> Claim {
        let nodes = nodes
            .iter()
            .map(|(node, hold)| ((*node).to_owned(), *hold))
            .collect();
        Claim { cluster, nodes }
    }

    #[test]
    fn claims_collide_where_one_wants_it_alone() {
        use Hold::{Exclusive, Shared};
        let check = |one: Claim, two: Claim, want: Option<&str>| {
            assert_eq!(one.conflict(&two).as_deref(), want);
            assert_eq!(two.conflict(&one).as_deref(), want);
        };
        check(claim(Shared, &[]), claim(Shared, &[]), None);
        check(
            claim(Shared, &[]),
            claim(Exclusive, &[]),
            Some("the whole cluster"),
        );
        let small = || claim(Shared, &[("small", Exclusive)]);
        check(small(), small(), Some("node small"));
        check(small(), claim(Shared, &[("other", Exclusive)]), None);
        check(
            small(),
            claim(Shared, &[("small", Shared)]),
            Some("node small"),
        );
        check(
            claim(Shared, &[("a", Shared)]),
            claim(Shared, &[("a", Shared)]),
            None,
        );
    }

    /// Asks for both claims, the second while the first is held; gives what was said meanwhile,
    /// and whether the second came before the first was given back.
    fn together(first: &Claim, second: &Claim) -> (bool, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(Some(dir.path())).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let progress = Progress::new({
            let said = said.clone();
            move |line| said.lock().unwrap().push(line.to_owned())
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let came = runtime.block_on(async {
            let one = Journal::open(&state, "one", None).unwrap();
            let held = acquire(&state, "c", &one, first, 9, &progress)
                .await
                .unwrap();
            let two = Journal::open(&state, "two", None).unwrap();
            let mut asked = Box::pin(acquire(&state, "c", &two, second, 9, &progress));
            match futures::poll!(&mut asked) {
                std::task::Poll::Ready(guard) => {
                    let _guard = guard.unwrap();
                    true
                }
                std::task::Poll::Pending => {
                    drop(held);
                    let _guard = asked.await.unwrap();
                    false
                }
            }
        });
        let said = std::mem::take(&mut *said.lock().unwrap());
        (came, said)
    }

    #[test]
    fn who_must_wait_waits_and_says_for_whom() {
        use Hold::{Exclusive, Shared};
        let small = claim(Shared, &[("small", Exclusive)]);
        assert_eq!(together(&claim(Shared, &[]), &small), (true, vec![]));
        let (came, said) = together(&small, &small);
        assert!(!came);
        assert!(
            said.len() == 1 && said[0].contains("holds node small"),
            "{said:?}"
        );
        let (came, said) = together(&small, &claim(Exclusive, &[]));
        assert!(!came);
        assert!(
            said.len() == 1 && said[0].contains("holds the whole cluster"),
            "{said:?}"
        );
    }

    #[test]
    fn so_many_run_at_once_and_whoever_has_a_node_for_himself() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(Some(dir.path())).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let progress = Progress::new({
            let said = said.clone();
            move |line| said.lock().unwrap().push(line.to_owned())
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let journals: Vec<_> = (0..5)
                .map(|_| Journal::open(&state, "run", None).unwrap())
                .collect();
            let shared = claim(Hold::Shared, &[]);
            let ask = |run: usize| acquire(&state, "c", &journals[run], &shared, 2, &progress);
            let first = ask(0).await.unwrap();
            let _second = ask(1).await.unwrap();
            let mut third = Box::pin(ask(2));
            let mut fourth = Box::pin(ask(3));
            assert!(futures::poll!(&mut third).is_pending());
            assert!(futures::poll!(&mut fourth).is_pending());
            let own = claim(Hold::Shared, &[("small", Hold::Exclusive)]);
            let _own = acquire(&state, "c", &journals[4], &own, 2, &progress);
            let _own = _own.await.unwrap();
            drop(first);
            let third = third.await.unwrap();
            assert!(futures::poll!(&mut fourth).is_pending());
            drop(third);
            let _fourth = fourth.await.unwrap();
        });
        let said = said.lock().unwrap();
        assert!(
            said.iter()
                .all(|line| line.contains("2 others are running")),
            "{said:?}"
        );
        assert_eq!(said.len(), 2);
    }

    #[test]
    fn nobody_waits_for_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(Some(dir.path())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let small = claim(Hold::Shared, &[("small", Hold::Exclusive)]);
        runtime.block_on(async {
            let kept = Journal::open(&state, "kept", None).unwrap();
            let silent = Progress::silent();
            let guard = acquire(&state, "c", &kept, &small, 9, &silent)
                .await
                .unwrap();
            let _entry = kept
                .record(Undo::Uncordon {
                    node: "small".to_owned(),
                })
                .unwrap();
            kept.keep("crashbook recover --kept").unwrap();
            drop((guard, kept, _entry));
            let next = Journal::open(&state, "next", None).unwrap();
            let error = acquire(&state, "c", &next, &small, 9, &silent)
                .await
                .unwrap_err();
            assert!(
                error.to_string().contains("crashbook recover --kept"),
                "{error}"
            );
            let _guard = acquire(&state, "c", &next, &claim(Hold::Shared, &[]), 9, &silent)
                .await
                .unwrap();
        });
        // A cluster that is kept warm has claimed nothing.
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(Some(dir.path())).unwrap();
        runtime.block_on(async {
            let warm = Journal::open(&state, "warm", None).unwrap();
            let path = dir.path().join("cluster");
            let entry = warm.record(Undo::RemovePath { path }).unwrap();
            warm.keep("crashbook down").unwrap();
            drop((warm, entry));
            let next = Journal::open(&state, "next", None).unwrap();
            let whole = claim(Hold::Exclusive, &[]);
            let _guard = acquire(&state, "c", &next, &whole, 9, &Progress::silent())
                .await
                .unwrap();
        });
    }
}
