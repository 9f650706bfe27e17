//! What a run changes outside its own process, written down before it is done.
//!
//! A run is one run of one scenario, or one making of a cluster. It has one file of JSON lines,
//! and each line is on disk before [`Journal::record`] returns; only then may the caller act. What
//! was recorded is undone in reverse order, by the run itself or, after a crash, by
//! [`crate::recover`]. Every undoing does nothing where there is nothing to undo, so that it may
//! be cut short and begun again.
//!
//! A run lives as long as its journal is locked: the kernel frees the lock of a process that is
//! gone, whatever ended it, while a process id may name another process by then.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{claims::Claim, state::State};

/// The label that names the run on every namespace, and on every object outside of it, that a run
/// creates. It must be there from the object's first moment: an undoing that does not know the uid
/// yet deletes by name only what bears its own run.
pub const RUN_LABEL: &str = "crashbook.dev/run";

/// Why something could not be written down, or read back.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("journal {path}: {source}", path = path.display())]
    File {
        /// The journal's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line before the last is not one of crashbook's.
    #[error("journal {path}, line {line}: {source}: was it edited, or written by a newer crashbook? Remove the file once what it names is undone", path = path.display())]
    Line {
        /// The journal's file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The cluster in which a run's objects and nodes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The kubeconfig that reaches it.
    pub kubeconfig: PathBuf,
    /// The context in it.
    pub context: String,
    /// The name of the kind cluster, where it is one that crashbook made.
    pub kind: Option<String>,
    /// The uid of the Namespace `kube-system`: another cluster of the same name has another, and
    /// what a run changed in the former is gone with it.
    pub uid: String,
}

/// An object in the run's cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// As in a manifest: `v1`, `apps/v1`.
    pub api_version: String,
    /// As in a manifest: `ConfigMap`.
    pub kind: String,
    /// None for an object of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its uid, once it is known: see [`Entry::amend`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// How one change is undone. Undoing what was never done, or is undone already, does nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    tag = "undo"
)]
pub enum Undo {
    /// Ends the `kind create` that may still be running, and deletes the kind cluster.
    DeleteCluster {
        /// The cluster's name.
        cluster: String,
        /// The lock that the creating process holds while it lives: see [`Undo::EndChild`].
        creator: PathBuf,
    },
    /// Deletes a namespace that bears the run's label, and waits until it is gone.
    DeleteNamespace {
        /// The namespace.
        namespace: String,
    },
    /// Deletes an object with this uid, or, where the uid is not known yet, with this name and
    /// the run's label; and waits until it is gone.
    DeleteObject {
        /// The object.
        object: Reference,
    },
    /// Puts back an object outside the run's namespace as it was before it was changed or deleted.
    RestoreObject {
        /// The whole object, with apiVersion and kind, as the API gave it.
        object: Value,
    },
    /// Clears `spec.unschedulable` of a node.
    Uncordon {
        /// The node.
        node: String,
    },
    /// Removes one taint from a node.
    RemoveTaint {
        /// The node.
        node: String,
        /// The taint's key.
        key: String,
        /// The taint's effect.
        effect: String,
    },
    /// Starts a systemd unit on a node, and waits until the node is Ready.
    StartUnit {
        /// The node.
        node: String,
        /// The unit, such as `kubelet`.
        unit: String,
    },
    /// Gives a node's kubelet its flags back, and restarts it where they had been changed.
    RestoreKubelet {
        /// The node.
        node: String,
        /// What stood in `/var/lib/kubelet/kubeadm-flags.env`.
        flags: String,
    },
    /// Stops a transient systemd unit on a node: one that uses something up.
    StopUnit {
        /// The node.
        node: String,
        /// The unit.
        unit: String,
    },
    /// Removes a file or folder that fills a node's disk.
    RemoveFill {
        /// The node.
        node: String,
        /// The path on the node.
        path: String,
    },
    /// Makes a node forget a registry beside the cluster: how to speak to it, and the images that
    /// were pulled from it.
    ForgetRegistry {
        /// The node.
        node: String,
        /// The registry, as images name it: `HOST:PORT`.
        registry: String,
    },
    /// Removes a container that ran beside the cluster.
    RemoveContainer {
        /// The container's name.
        container: String,
    },
    /// Ends a child process.
    EndChild {
        /// A file that the child holds locked while it lives, and in which its process id stands.
        lock: PathBuf,
        /// What it is, for messages.
        command: String,
    },
    /// Removes a file or folder of the state folder.
    RemovePath {
        /// The file or folder.
        path: PathBuf,
    },
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DeleteCluster { cluster, .. } => write!(f, "delete cluster {cluster}"),
            Self::DeleteNamespace { namespace } => write!(f, "delete namespace {namespace}"),
            Self::DeleteObject { object } => write!(f, "delete {object}"),
            Self::RestoreObject { object } => write!(
                f,
                "restore {} {}",
                object["kind"].as_str().unwrap_or("object"),
                object["metadata"]["name"]
                    .as_str()
                    .unwrap_or("without a name")
            ),
            Self::Uncordon { node } => write!(f, "uncordon node {node}"),
            Self::RemoveTaint { node, key, effect } => {
                write!(f, "remove taint {key}:{effect} from node {node}")
            }
            Self::StartUnit { node, unit } => write!(f, "start {unit} on node {node}"),
            Self::StopUnit { node, unit } => write!(f, "stop {unit} on node {node}"),
            Self::RestoreKubelet { node, .. } => write!(f, "restore the kubelet of node {node}"),
            Self::RemoveFill { node, path } => write!(f, "remove {path} from node {node}"),
            Self::ForgetRegistry { node, registry } => {
                write!(f, "forget registry {registry} on node {node}")
            }
            Self::RemoveContainer { container } => write!(f, "remove container {container}"),
            Self::EndChild { command, .. } => write!(f, "end `{command}`"),
            Self::RemovePath { path } => write!(f, "remove {}", path.display()),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// One line of a journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// Always the first.
    Open(Header),
    /// What is about to be changed; with the number of an earlier one, what is known of it now.
    Record { id: u64, undo: Undo },
    /// The change is undone.
    Done(u64),
    /// What the run holds.
    Claim(Claim),
    /// What is left stays; how it is to be ended.
    Kept(String),
}

/// Who wrote a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The run, also the value of [`RUN_LABEL`].
    pub run: String,
    /// The process, for people: whether it lives is told by the lock.
    pub pid: u32,
    /// The run's cluster, where it has one.
    pub target: Option<Target>,
}

/// What a journal says.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Who wrote it.
    pub header: Header,
    /// What is not undone, in the order in which it was recorded.
    pub pending: BTreeMap<u64, Undo>,
    /// What the run holds, or held when it ended.
    pub claim: Option<Claim>,
    /// Set where what is left shall stay: how to end it.
    pub kept: Option<String>,
}

/// The journal of a run of this process. Its clones are the same journal.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// None for a run whose cluster ends with this process: there is nothing to recover.
    file: Option<File>,
    record: Record,
    next: u64,
}

/// One recorded change.
#[derive(Debug)]
#[must_use = "what is recorded is to be undone, or told to be done"]
pub struct Entry {
    journal: Journal,
    id: u64,
}

impl Journal {
    /// Begins the journal of a run. The run's name is `what` (a scenario's name, say) with a
    /// random end: it is unique, and fit for a label and for a namespace's name if `what` is and
    /// has at most 50 characters.
    pub fn open(state: &State, what: &str, target: Option<&Target>) -> Result<Self, JournalError> {
        // Between its making and its locking, a recovery would take it for a dead run's.
        let _folder = lock_folder(state)?;
        loop {
            let run = format!("{what}-{}", random_end());
            let path = state.journals().join(format!("{run}.jsonl"));
            let at = |source| JournalError::File {
                path: path.clone(),
                source,
            };
            let file = match OpenOptions::new().append(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file.map_err(at)?,
            };
            file.lock().map_err(at)?;
            let header = Header {
                run,
                pid: std::process::id(),
                target: target.cloned(),
            };
            let journal = Self::locked(path.clone(), file, Record::new(header.clone()), 0);
            journal.append(&mut journal.written(), &Line::Open(header))?;
            File::open(state.journals())
                .and_then(|dir| dir.sync_all())
                .map_err(at)?;
            return Ok(journal);
        }
    }

    /// Begins the journal of a run on a cluster that ends with this process, under this name: no
    /// recovery needs it, and it is not on disk.
    pub fn volatile(run: &str, target: &Target) -> Self {
        let header = Header {
            run: run.to_owned(),
            pid: std::process::id(),
            target: Some(target.clone()),
        };
        Self::new(PathBuf::new(), None, Record::new(header), 0)
    }

    /// Takes over the journal of a run that is gone. None while it lives, or if it is no more.
    pub fn adopt(state: &State, path: &Path) -> Result<Option<Self>, JournalError> {
        let _folder = lock_folder(state)?;
        let at = |source| JournalError::File {
            path: path.to_owned(),
            source,
        };
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(at)?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            locked => locked.map_err(|error| at(error.into()))?,
        }
        if file.metadata().map_err(at)?.nlink() == 0 {
            return Ok(None); // Its run removed it between our opening and our locking.
        }
        let text = fs::read_to_string(path).map_err(at)?;
        let Some((record, next)) = parse(&text).map_err(|(line, source)| JournalError::Line {
            path: path.to_owned(),
            line,
            source,
        })?
        else {
            // It died before its first line was whole, so it did nothing.
            fs::remove_file(path).map_err(at)?;
            return Ok(None);
        };
        // A line that was being written when the run died never counted: its change was not made.
        let whole = text.rfind('\n').map_or(0, |end| end + 1) as u64;
        file.set_len(whole)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(at)?;
        Ok(Some(Self::locked(path.to_owned(), file, record, next)))
    }

    fn locked(path: PathBuf, file: File, record: Record, next: u64) -> Self {
        Self::new(path, Some(file), record, next)
    }

    fn new(path: PathBuf, file: Option<File>, record: Record, next: u64) -> Self {
        Self(Arc::new(Inner {
            path,
            written: Mutex::new(Written { file, record, next }),
        }))
    }

    /// The run's name, for [`RUN_LABEL`], and fit as the name of its namespace.
    pub fn run(&self) -> String {
        self.written().record.header.run.clone()
    }

    /// The run's cluster.
    pub fn target(&self) -> Option<Target> {
        self.written().record.header.target.clone()
    }

    /// A number that this journal gives once.
    pub(crate) fn number(&self) -> u64 {
        let mut written = self.written();
        written.next += 1;
        written.next - 1
    }

    /// Writes down how to undo what the caller is about to do. Once this returns, it is on disk.
    pub fn record(&self, undo: Undo) -> Result<Entry, JournalError> {
        let mut written = self.written();
        let id = written.next;
        self.append(
            &mut written,
            &Line::Record {
                id,
                undo: undo.clone(),
            },
        )?;
        written.next += 1;
        written.record.pending.insert(id, undo);
        Ok(Entry {
            journal: self.clone(),
            id,
        })
    }

    /// Writes down what the run holds, so that others can tell for what they wait.
    pub(crate) fn claim(&self, claim: &Claim) -> Result<(), JournalError> {
        let mut written = self.written();
        self.append(&mut written, &Line::Claim(claim.clone()))?;
        written.record.claim = Some(claim.clone());
        Ok(())
    }

    /// Leaves what is not undone in place: no recovery touches it, until it is told to end what
    /// was kept. `how_to_end` is told to whoever finds it in his way: a command.
    pub fn keep(&self, how_to_end: &str) -> Result<(), JournalError> {
        let mut written = self.written();
        self.append(&mut written, &Line::Kept(how_to_end.to_owned()))?;
        written.record.kept = Some(how_to_end.to_owned());
        Ok(())
    }

    /// How to end what was kept, where it was.
    pub fn kept(&self) -> Option<String> {
        self.written().record.kept.clone()
    }

    /// What is not undone, the latest first: the order in which to undo it.
    pub fn pending(&self) -> Vec<(Entry, Undo)> {
        let written = self.written();
        let pending = written.record.pending.iter().rev();
        pending
            .map(|(&id, undo)| {
                (
                    Entry {
                        journal: self.clone(),
                        id,
                    },
                    undo.clone(),
                )
            })
            .collect()
    }

    fn append(&self, written: &mut Written, line: &Line) -> Result<(), JournalError> {
        let at = |source| JournalError::File {
            path: self.0.path.clone(),
            source,
        };
        let Some(file) = &mut written.file else {
            return Ok(());
        };
        let mut text = serde_json::to_string(line).map_err(|error| at(error.into()))?;
        text.push('\n');
        let end = file.metadata().map_err(at)?.len();
        let result = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_data());
        result.map_err(|source| {
            // On a full disk half a line may stand there, to which the next must not be joined.
            let _ = file.set_len(end);
            at(source)
        })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A panic elsewhere must not keep a run from undoing what it did.
        self.0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    /// A journal in which nothing is left to undo has no use; any other stays for the recovery.
    fn drop(&mut self) {
        let written = self
            .written
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if written.file.is_some() && written.record.pending.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
        // A program that is just being started has a copy of the file until it runs: without this
        // the lock, and so the run, would live as long.
        let _ = written.file.as_ref().map(fs::File::unlock);
    }
}

impl Entry {
    /// Writes down that the change is undone, or was never made.
    pub fn done(self) -> Result<(), JournalError> {
        let mut written = self.journal.written();
        self.journal.append(&mut written, &Line::Done(self.id))?;
        written.record.pending.remove(&self.id);
        Ok(())
    }

    /// Writes down better how to undo it: with the uid that the object got, say.
    pub fn amend(&self, undo: Undo) -> Result<(), JournalError> {
        let mut written = self.journal.written();
        self.journal.append(
            &mut written,
            &Line::Record {
                id: self.id,
                undo: undo.clone(),
            },
        )?;
        written.record.pending.insert(self.id, undo);
        Ok(())
    }
}

impl Record {
    fn new(header: Header) -> Self {
        Self {
            header,
            pending: BTreeMap::new(),
            claim: None,
            kept: None,
        }
    }
}

/// What the journals of this folder say, whether their runs live or not, in the order of their
/// names. What cannot be read is left out: [`crate::recover`] tells of it.
pub fn read_all(state: &State) -> Vec<Found> {
    let _folder = lock_folder(state);
    let found = paths(state)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|path| {
            let (record, _) = parse(&fs::read_to_string(&path).ok()?).ok()??;
            let lives = File::open(&path).ok()?.try_lock_shared().is_err();
            Some(Found { record, lives })
        });
    found.collect()
}

/// A journal that was found in the state folder.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it says.
    pub record: Record,
    /// Whether its run lives.
    pub lives: bool,
}

/// Held while a journal is made, or a lock is tried only to learn whether its run lives: else one
/// who asks would look like a living run to another who asks.
fn lock_folder(state: &State) -> Result<File, JournalError> {
    let path = state.locks().join("journals");
    let locked = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|file| {
            file.lock()?;
            Ok(file)
        });
    locked.map_err(|source| JournalError::File { path, source })
}

/// The files of all journals, in the order of their names.
pub fn paths(state: &State) -> Result<Vec<PathBuf>, JournalError> {
    let dir = state.journals();
    let at = |source| JournalError::File {
        path: dir.clone(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(&dir).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads the whole lines of a journal; also gives the number of the next entry. None where not
/// even the first line is whole.
fn parse(text: &str) -> Result<Option<(Record, u64)>, (usize, serde_json::Error)> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut record: Option<Record> = None;
    let mut next = 0;
    for (index, line) in whole.lines().enumerate() {
        let line = serde_json::from_str(line).map_err(|source| (index + 1, source))?;
        match (&mut record, line) {
            (None, Line::Open(header)) => record = Some(Record::new(header)),
            (Some(record), Line::Record { id, undo }) => {
                next = next.max(id + 1);
                record.pending.insert(id, undo);
            }
            (Some(record), Line::Done(id)) => {
                record.pending.remove(&id);
            }
            (Some(record), Line::Claim(claim)) => record.claim = Some(claim),
            (Some(record), Line::Kept(how)) => record.kept = Some(how),
            (None, _) | (Some(_), Line::Open(_)) => {
                let problem = "the first line, and no other, must say who opened the journal";
                return Err((index + 1, serde::de::Error::custom(problem)));
            }
        }
    }
    Ok(record.map(|record| (record, next)))
}

/// Six letters and digits, different each time.
fn random_end() -> String {
    end(RandomState::new().build_hasher().finish())
}

/// Six letters and digits that follow from a number.
pub(crate) fn end(mut number: u64) -> String {
    const DIGITS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let end = (0..6).map(|_| {
        let digit = DIGITS[(number % DIGITS.len() as u64) as usize];
        number /= DIGITS.len() as u64;
        char::from(digit)
    });
    end.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cordon(node: &str) -> Undo {
        Undo::Uncordon {
            node: node.to_owned(),
        }
    }

    fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(Some(dir.path())).unwrap();
        (dir, state)
    }

    fn only_path(state: &State) -> PathBuf {
        let mut paths = paths(state).unwrap();
        assert_eq!(paths.len(), 1);
        paths.remove(0)
    }

    /// A journal as a killed process leaves it: written, and locked by nobody.
    fn left_behind(state: &State, undos: &[Undo]) -> PathBuf {
        let journal = Journal::open(state, "dead", None).unwrap();
        for undo in undos {
            let _ = journal.record(undo.clone()).unwrap();
        }
        let path = only_path(state);
        let text = fs::read(&path).unwrap();
        drop(journal);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn what_is_pending_comes_back_latest_first() {
        let (_dir, state) = state();
        let path = left_behind(&state, &[cordon("a"), cordon("b"), cordon("c")]);
        let journal = Journal::adopt(&state, &path).unwrap().unwrap();
        let (entries, undos): (Vec<_>, Vec<_>) = journal.pending().into_iter().unzip();
        assert_eq!(undos, [cordon("c"), cordon("b"), cordon("a")]);
        for entry in entries {
            entry.done().unwrap();
        }
        drop(journal);
        assert_eq!(paths(&state).unwrap(), <[PathBuf; 0]>::default());
    }

    #[test]
    fn a_run_lives_until_its_lock_is_free() {
        let (_dir, state) = state();
        let journal = Journal::open(&state, "alive", None).unwrap();
        let _entry = journal.record(cordon("a")).unwrap();
        assert!(
            Journal::adopt(&state, &only_path(&state))
                .unwrap()
                .is_none()
        );
        assert!(read_all(&state)[0].lives);
        drop((journal, _entry));
        assert!(!read_all(&state)[0].lives);
        assert!(
            Journal::adopt(&state, &only_path(&state))
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_line_cut_short_never_counted() {
        let (_dir, state) = state();
        let path = left_behind(&state, &[cordon("a"), cordon("b")]);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let whole = lines.iter().filter(|end| **end <= cut).count();
            match Journal::adopt(&state, &path).unwrap() {
                None => assert_eq!(whole, 0),
                Some(journal) => {
                    assert_eq!(journal.pending().len(), whole - 1);
                    // What is written next stands in a line of its own.
                    let _entry = journal.record(cordon("z")).unwrap();
                    let now = fs::read_to_string(&path).unwrap();
                    assert_eq!(parse(&now).unwrap().unwrap().0.pending.len(), whole);
                }
            }
        }
    }

    #[test]
    fn a_broken_line_is_an_error_that_names_it() {
        let (_dir, state) = state();
        let path = left_behind(&state, &[cordon("a")]);
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("uncordon", "unheard-of");
        fs::write(&path, text).unwrap();
        let error = Journal::adopt(&state, &path).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && error.contains("unheard-of"),
            "{error}"
        );
    }

    #[test]
    fn amended_done_and_kept_are_read_back() {
        let (_dir, state) = state();
        let journal = Journal::open(&state, "kept", None).unwrap();
        let first = journal.record(cordon("a")).unwrap();
        let second = journal.record(cordon("b")).unwrap();
        first.amend(cordon("A")).unwrap();
        second.done().unwrap();
        journal.keep("crashbook down").unwrap();
        let found = read_all(&state).remove(0).record;
        assert_eq!(
            found.pending.into_values().collect::<Vec<_>>(),
            [cordon("A")]
        );
        assert_eq!(found.kept.as_deref(), Some("crashbook down"));
        assert_eq!(found.header.run, journal.run());
    }

    #[test]
    fn every_undoing_is_read_as_it_was_written() {
        let object = Reference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: None,
            name: "a".into(),
            uid: None,
        };
        let undo = Undo::DeleteObject { object };
        let text = serde_json::to_string(&undo).unwrap();
        assert_eq!(
            text,
            r#"{"undo":"delete-object","object":{"apiVersion":"v1","kind":"ConfigMap","name":"a"}}"#
        );
        assert_eq!(serde_json::from_str::<Undo>(&text).unwrap(), undo);
    }
}
