//! The folder in which crashbook keeps what must outlive a process: journals, claims, the warm
//! cluster's kubeconfig and configuration.
//!
//! | path | what |
//! | --- | --- |
//! | `journal/RUN.jsonl` | what a run changed and how to undo it: [`crate::journal`] |
//! | `locks/` | who may use the cluster and its nodes: [`crate::claims`] |
//! | `cluster/` | the warm cluster: kubeconfig, configuration, images that it holds |
//! | `tmp/` | files that a journal names and removes |
//!
//! Two state folders never share anything: even the names of their clusters differ.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Neither `--state-dir` nor the environment says where the folder is.
    #[error(
        "nothing says where the state folder is: pass --state-dir, or set XDG_STATE_HOME or HOME"
    )]
    Unknown,
    /// The folder, or a part of it, can be neither found nor made.
    #[error("state folder {path}: {source}: pass another by --state-dir", path = path.display())]
    Unusable {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The state folder. It and its parts exist once it is open.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// The folder named by `--state-dir`, else `$XDG_STATE_HOME/crashbook`, else
    /// `~/.local/state/crashbook`; made where it lacks, readable by its owner alone, since a
    /// kubeconfig lies in it.
    pub fn open(dir: Option<&Path>) -> Result<Self, StateError> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => default_dir(|name| env::var_os(name).map(PathBuf::from))
                .ok_or(StateError::Unknown)?,
        };
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Unusable { path, source }
        };
        make_private(&dir).map_err(unusable(&dir))?;
        let dir = dir.canonicalize().map_err(unusable(&dir))?;
        let state = Self { dir };
        for part in [
            state.journals(),
            state.locks(),
            state.cluster(),
            state.tmp(),
        ] {
            make_private(&part).map_err(unusable(&part))?;
        }
        Ok(state)
    }

    /// The folder itself, as an absolute path without links.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of the journals, one a run.
    pub fn journals(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// The folder of the lock files.
    pub fn locks(&self) -> PathBuf {
        self.dir.join("locks")
    }

    /// The folder of what belongs to the warm cluster.
    pub fn cluster(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    /// The folder of files that live no longer than a run.
    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// The name of this folder's kind cluster: two folders never meet in one cluster.
    pub fn cluster_name(&self) -> String {
        format!(
            "crashbook-{:08x}",
            fnv(self.dir.as_os_str().as_encoded_bytes()) as u32
        )
    }
}

/// The first of the usual places that the environment knows. By the XDG base directory
/// specification a relative path there is to be ignored.
fn default_dir(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let state = var("XDG_STATE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| {
            Some(
                var("HOME")
                    .filter(|home| home.is_absolute())?
                    .join(".local/state"),
            )
        })?;
    Some(state.join("crashbook"))
}

fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// FNV-1a: the same in every build, unlike the standard library's hashers.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where() {
        let check = |xdg: Option<&str>, home: Option<&str>, want: Option<&str>| {
            let found = default_dir(|name| match name {
                "XDG_STATE_HOME" => xdg.map(PathBuf::from),
                _ => home.map(PathBuf::from),
            });
            assert_eq!(found, want.map(PathBuf::from));
        };
        check(Some("/x"), Some("/home/a"), Some("/x/crashbook"));
        check(
            Some("x"),
            Some("/home/a"),
            Some("/home/a/.local/state/crashbook"),
        );
        check(
            None,
            Some("/home/a"),
            Some("/home/a/.local/state/crashbook"),
        );
        check(None, None, None);
    }

    #[test]
    fn folders_have_clusters_of_their_own() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = |dir: &Path| State::open(Some(dir)).unwrap().cluster_name();
        assert_eq!(name(one.path()), name(&one.path().join(".")));
        assert_ne!(name(one.path()), name(two.path()));
    }

    #[test]
    fn a_file_in_its_place_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = State::open(Some(&file.join("state"))).unwrap_err();
        assert!(error.to_string().contains("file/state"), "{error}");
    }
}
