//! The files that a container sees: its image's, those of its volumes, and what it wrote itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::shell::{Data, lock};

/// What is at a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum File {
    Directory,
    Regular(Content),
    Fifo(Fifo),
}

/// A pipe with a name. What is written waits in it for whoever reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fifo(Arc<Pipe>);

#[derive(Debug, Default)]
struct Pipe {
    data: Mutex<Data>,
    /// The ends that are open, of those who write and of those who read.
    writers: Mutex<Weak<()>>,
    readers: Mutex<Weak<()>>,
}

/// An end of a pipe that is open as long as this is held.
pub(crate) type End = Arc<()>;

impl PartialEq for Fifo {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn open(end: &Mutex<Weak<()>>) -> End {
    let mut end = lock(end);
    end.upgrade().unwrap_or_else(|| {
        let new = End::default();
        *end = Arc::downgrade(&new);
        new
    })
}

impl Fifo {
    /// Opens it to write.
    pub(super) fn writer(&self) -> End {
        open(&self.0.writers)
    }

    /// Opens it to read.
    pub(super) fn reader(&self) -> End {
        open(&self.0.readers)
    }

    pub(super) fn has_writers(&self) -> bool {
        lock(&self.0.writers).strong_count() > 0
    }

    pub(super) fn has_readers(&self) -> bool {
        lock(&self.0.readers).strong_count() > 0
    }

    /// Writes into it.
    pub(super) fn write(&self, data: &Data) {
        lock(&self.0.data).add(data);
    }

    /// Whether there is something to read.
    pub(super) fn has_data(&self) -> bool {
        lock(&self.0.data).size() > 0
    }

    /// Takes what there is to read.
    pub(super) fn take(&self) -> Data {
        std::mem::take(&mut *lock(&self.0.data))
    }
}

/// What a file holds: text, and so many bytes more that nobody reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) bulk: u64,
    pub(crate) executable: bool,
    /// Whether only root may read it.
    pub(crate) private: bool,
}

impl Content {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> u64 {
        self.bulk
            .saturating_add(u64::try_from(self.text.len()).unwrap_or(u64::MAX))
    }
}

/// Files by their path, which begins with a slash; the root itself is not in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, File>,
    /// Inodes that were made without a name worth keeping.
    pub(crate) inodes: u64,
}

impl Tree {
    /// The bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.files.values().map(|file| match file {
            File::Directory => 4096,
            File::Regular(content) => content.size(),
            File::Fifo(_) => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// How many inodes it has.
    pub(crate) fn inodes(&self) -> u64 {
        let named = u64::try_from(self.files.len()).unwrap_or(u64::MAX);
        named.saturating_add(self.inodes).saturating_add(1)
    }

    /// Puts a file there, with the directories above it.
    pub(crate) fn put(&mut self, path: &str, content: Content) {
        for (index, _) in path.match_indices('/').skip(1) {
            self.files
                .entry(path[..index].to_owned())
                .or_insert(File::Directory);
        }
        self.files.insert(path.to_owned(), File::Regular(content));
    }

    fn find(&self, path: &str) -> Option<File> {
        // A volume may be a single file.
        let found = self.files.get(path).cloned();
        found.or_else(|| path.is_empty().then_some(File::Directory))
    }

    fn children(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        self.files
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .filter_map(|(path, _)| {
                let rest = &path[prefix.len()..];
                (!rest.contains('/')).then(|| rest.to_owned())
            })
            .collect()
    }
}

/// A volume's files, which all its mounts share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volume {
    pub(crate) tree: Arc<Mutex<Tree>>,
    pub(crate) read_only: bool,
    /// Whether what is in it counts for the pod's use of its node's disk.
    pub(crate) is_local: bool,
    /// Whether it is memory.
    pub(crate) is_memory: bool,
    pub(crate) limit: Option<u64>,
}

impl Volume {
    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a volume is seen.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) path: String,
    /// The part of the volume that is seen, empty or with a slash before it.
    pub(crate) part: String,
    pub(crate) volume: Volume,
    pub(crate) read_only: bool,
}

/// Why a file cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileError {
    Missing,
    IsDirectory,
    NotDirectory,
    ReadOnly,
    Denied,
    Full,
    Exists,
}

impl FileError {
    /// As the C library says it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Missing => "No such file or directory",
            Self::IsDirectory => "Is a directory",
            Self::NotDirectory => "Not a directory",
            Self::ReadOnly => "Read-only file system",
            Self::Denied => "Permission denied",
            Self::Full => "No space left on device",
            Self::Exists => "File exists",
        }
    }
}

/// The files of one run of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    image: Arc<Tree>,
    /// What it wrote over its image; nothing stands for what it deleted.
    layer: BTreeMap<String, Option<File>>,
    mounts: Vec<Mount>,
    read_only: bool,
    /// Whether it may write where only root may.
    is_root: bool,
}

enum Place<'a> {
    Layer(String),
    Mount(&'a Mount, String),
}

/// Directories of every image that anybody may write to.
const OPEN: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/dev", "/proc/self/fd"];

impl Files {
    pub(crate) fn new(
        image: Arc<Tree>,
        mut mounts: Vec<Mount>,
        read_only: bool,
        is_root: bool,
    ) -> Self {
        // The deepest mount is the one that is seen.
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.path.len()));
        Self {
            image,
            layer: BTreeMap::new(),
            mounts,
            read_only,
            is_root,
        }
    }

    /// A path from the root, without `.` and `..`.
    pub(crate) fn absolute(directory: &str, path: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        let from = if path.starts_with('/') { "" } else { directory };
        for part in from.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let mut all = String::new();
        for part in parts {
            all.push('/');
            all.push_str(part);
        }
        all
    }

    fn place(&self, path: &str) -> Place<'_> {
        for mount in &self.mounts {
            if let Some(rest) = path.strip_prefix(mount.path.as_str())
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return Place::Mount(mount, format!("{}{rest}", mount.part));
            }
        }
        Place::Layer(path.to_owned())
    }

    /// What is at an absolute path.
    pub(crate) fn find(&self, path: &str) -> Option<File> {
        match self.place(path) {
            Place::Mount(mount, path) => mount.volume.tree().find(&path),
            Place::Layer(path) => match self.layer.get(&path) {
                Some(written) => written.clone(),
                None => self.image.find(&path),
            },
        }
        .or_else(|| {
            // The directories above a mount are made with it.
            let below = format!("{path}/");
            let above = self
                .mounts
                .iter()
                .any(|mount| mount.path.starts_with(&below));
            above.then_some(File::Directory)
        })
    }

    /// The file at an absolute path.
    pub(crate) fn read(&self, path: &str) -> Result<Content, FileError> {
        match self.find(path) {
            Some(File::Regular(content)) if content.private && !self.is_root => {
                Err(FileError::Denied)
            }
            Some(File::Regular(content)) => Ok(content),
            // As far as it was written: whoever reads it waits for its end before.
            Some(File::Fifo(fifo)) => {
                let data = fifo.take();
                Ok(Content {
                    bulk: data.bulk,
                    ..Content::text(data.text)
                })
            }
            Some(File::Directory) => Err(FileError::IsDirectory),
            None => Err(FileError::Missing),
        }
    }

    /// The names in a directory, in order.
    pub(crate) fn children(&self, path: &str) -> Vec<String> {
        let path = if path == "/" { "" } else { path };
        let mut names = match self.place(path) {
            Place::Mount(mount, path) => mount.volume.tree().children(&path),
            Place::Layer(path) => {
                let mut names = self.image.children(&path);
                let prefix = format!("{path}/");
                for (path, file) in self.layer.range(prefix.clone()..) {
                    let Some(name) = path.strip_prefix(&prefix) else {
                        break;
                    };
                    if name.contains('/') {
                        continue;
                    }
                    names.retain(|known| known != name);
                    if file.is_some() {
                        names.push(name.to_owned());
                    }
                }
                names
            }
        };
        let prefix = format!("{path}/");
        for mount in &self.mounts {
            if let Some(name) = mount.path.strip_prefix(&prefix)
                && !name.contains('/')
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// Whether an absolute path may be written to.
    pub(crate) fn writable(&self, path: &str) -> Result<(), FileError> {
        if path == "/dev/null" || path.starts_with("/dev/std") || path.starts_with("/proc/") {
            return Ok(());
        }
        match self.place(path) {
            Place::Mount(mount, _) if mount.read_only || mount.volume.read_only => {
                Err(FileError::ReadOnly)
            }
            Place::Mount(..) => Ok(()),
            Place::Layer(_) if self.read_only => Err(FileError::ReadOnly),
            Place::Layer(path) => {
                let own = self.layer.contains_key(&path)
                    || path
                        .rsplit_once('/')
                        .is_some_and(|(above, _)| self.layer.contains_key(above));
                let open = OPEN
                    .iter()
                    .any(|open| path == *open || path.starts_with(&format!("{open}/")));
                if self.is_root || own || open {
                    Ok(())
                } else {
                    Err(FileError::Denied)
                }
            }
        }
    }

    fn check(&self, path: &str) -> Result<(), FileError> {
        if path.is_empty() {
            return Err(FileError::IsDirectory);
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            match self.find(above) {
                _ if above.is_empty() => {}
                Some(File::Directory) => {}
                Some(_) => return Err(FileError::NotDirectory),
                None => return Err(FileError::Missing),
            }
        }
        self.writable(path)
    }

    fn put(&mut self, path: &str, file: File) {
        match self.place(path) {
            Place::Mount(mount, path) => {
                mount.volume.tree().files.insert(path, file);
            }
            Place::Layer(path) => {
                self.layer.insert(path, Some(file));
            }
        }
    }

    /// Writes a file, or adds to it.
    pub(crate) fn write(
        &mut self,
        path: &str,
        content: Content,
        append: bool,
    ) -> Result<(), FileError> {
        const DEVICES: &[&str] = &["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"];
        if DEVICES.contains(&path) {
            return Ok(());
        }
        let present = self.find(path);
        if present == Some(File::Directory) {
            return Err(FileError::IsDirectory);
        }
        self.check(path)?;
        if let Some(File::Fifo(fifo)) = present {
            fifo.write(&Data {
                bulk: content.bulk,
                ..Data::text(content.text)
            });
            return Ok(());
        }
        let mut content = content;
        if append && let Some(File::Regular(mut old)) = present {
            old.text.push_str(&content.text);
            old.bulk = old.bulk.saturating_add(content.bulk);
            content = old;
        }
        if let Place::Mount(mount, inner) = self.place(path)
            && mount.volume.is_memory
            && let Some(limit) = mount.volume.limit
        {
            let tree = mount.volume.tree();
            let old = match tree.files.get(&inner) {
                Some(File::Regular(old)) => old.size(),
                _ => 0,
            };
            if tree.bytes().saturating_sub(old) + content.size() > limit {
                return Err(FileError::Full);
            }
        }
        self.put(path, File::Regular(content));
        Ok(())
    }

    /// Makes a directory, with those above it where `parents` says so.
    pub(crate) fn make_directory(&mut self, path: &str, parents: bool) -> Result<(), FileError> {
        if parents {
            for (index, _) in path.match_indices('/').skip(1) {
                let above = &path[..index];
                if self.find(above).is_none() {
                    self.check(above)?;
                    self.put(above, File::Directory);
                }
            }
            if self.find(path) == Some(File::Directory) {
                return Ok(());
            }
        }
        self.check(path)?;
        self.put(path, File::Directory);
        Ok(())
    }

    /// Makes a pipe with a name.
    pub(crate) fn make_fifo(&mut self, path: &str) -> Result<(), FileError> {
        if self.find(path).is_some() {
            return Err(FileError::Exists);
        }
        self.check(path)?;
        self.put(path, File::Fifo(Fifo::default()));
        Ok(())
    }

    /// Lets a file be run as a program, or no more.
    pub(crate) fn set_executable(&mut self, path: &str, executable: bool) -> Result<(), FileError> {
        let found = self.find(path).ok_or(FileError::Missing)?;
        self.writable(path)?;
        if let File::Regular(mut content) = found
            && content.executable != executable
        {
            content.executable = executable;
            self.put(path, File::Regular(content));
        }
        Ok(())
    }

    /// Makes files of which only the number matters.
    pub(crate) fn make_inodes(&mut self, directory: &str, number: u64) -> Result<(), FileError> {
        self.writable(directory)?;
        if let Place::Mount(mount, _) = self.place(directory) {
            mount.volume.tree().inodes += number;
        }
        Ok(())
    }

    /// Deletes a file, or a directory with all that is in it.
    pub(crate) fn remove(&mut self, path: &str) -> Result<(), FileError> {
        if self.find(path).is_none() {
            return Err(FileError::Missing);
        }
        self.writable(path)?;
        let below = format!("{path}/");
        match self.place(path) {
            Place::Mount(mount, path) => {
                let below = format!("{path}/");
                let mut tree = mount.volume.tree();
                tree.files
                    .retain(|name, _| *name != path && !name.starts_with(&below));
            }
            Place::Layer(path) => {
                let in_image = self
                    .image
                    .files
                    .range(below.clone()..)
                    .take_while(|(name, _)| name.starts_with(&below));
                let gone: Vec<String> = in_image.map(|(name, _)| name.clone()).collect();
                self.layer.retain(|name, _| !name.starts_with(&below));
                for name in gone.into_iter().chain([path]) {
                    self.layer.insert(name, None);
                }
            }
        }
        Ok(())
    }

    /// The bytes of what it wrote over its image.
    pub(crate) fn layer_bytes(&self) -> u64 {
        let sizes = self.layer.values().flatten().map(|file| match file {
            File::Directory => 4096,
            File::Regular(content) => content.size(),
            File::Fifo(_) => 0,
        });
        sizes.fold(4096, u64::saturating_add)
    }

    /// How many inodes it has beyond its image.
    pub(crate) fn layer_inodes(&self) -> u64 {
        u64::try_from(self.layer.len()).unwrap_or(u64::MAX) + 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let mut image = Tree::default();
        image.put("/etc/app/a.conf", Content::text("a"));
        let volume = Volume::default();
        volume.tree().put("/key", Content::text("value"));
        let mount = |path: &str, part: &str, read_only| Mount {
            path: path.to_owned(),
            part: part.to_owned(),
            volume: volume.clone(),
            read_only,
        };
        let mounts = vec![
            mount("/data", "", false),
            mount("/etc/app/key", "/key", true),
        ];
        Files::new(Arc::new(image), mounts, false, true)
    }

    #[test]
    fn a_mount_hides_what_is_below_it() {
        let mut files = files();
        assert_eq!(files.read("/etc/app/key").unwrap().text, "value");
        assert_eq!(files.children("/etc/app"), ["a.conf", "key"]);
        assert_eq!(
            files.write("/etc/app/key", Content::text("x"), false),
            Err(FileError::ReadOnly)
        );
        files.write("/data/key", Content::text("x"), true).unwrap();
        assert_eq!(files.read("/etc/app/key").unwrap().text, "valuex");
    }

    #[test]
    fn what_is_deleted_is_gone_though_the_image_has_it() {
        let mut files = files();
        files.remove("/etc/app/a.conf").unwrap();
        assert_eq!(files.read("/etc/app/a.conf"), Err(FileError::Missing));
        assert_eq!(
            files.write("/none/a", Content::default(), false),
            Err(FileError::Missing)
        );
        files.make_directory("/none/b", true).unwrap();
        assert_eq!(files.find("/none"), Some(File::Directory));
    }

    #[test]
    fn paths_are_from_the_root() {
        assert_eq!(Files::absolute("/a/b", "../c/./d"), "/a/c/d");
        assert_eq!(Files::absolute("/a", "/x//y/"), "/x/y");
        assert_eq!(Files::absolute("/a", "../.."), "");
    }
}
