//! Tools that make, change and look at files.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::super::files::{Content, File, FileError};
use super::super::process::Call;
use super::super::shell::{Data, lock};
use super::{Tool, amount};

/// How many bytes a disk takes in a millisecond.
const SPEED: u64 = 1 << 20;

/// A sum over bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sum {
    Sha256,
    Md5,
}

impl Sum {
    /// How many bytes busybox sums up in a microsecond.
    fn speed(self) -> u64 {
        match self {
            Self::Sha256 => 100,
            Self::Md5 => 300,
        }
    }

    fn of(self, data: &Data) -> String {
        /// Sums of so many bytes that are all zero: programs ask for them again and again.
        static ZEROS: Mutex<BTreeMap<(Sum, u64), String>> = Mutex::new(BTreeMap::new());
        let compute = || match self {
            Self::Sha256 => digest::<Sha256>(data),
            Self::Md5 => digest::<Md5>(data),
        };
        if !data.text.is_empty() {
            return compute();
        }
        let mut known = lock(&ZEROS);
        known
            .entry((self, data.bulk))
            .or_insert_with(compute)
            .clone()
    }
}

fn digest<D: Digest>(data: &Data) -> String {
    const PIECE: usize = 64 << 10;
    let mut digest = D::new();
    digest.update(data.text.as_bytes());
    let mut left = data.bulk;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        digest.update(&[0; PIECE][..size]);
        left -= size as u64;
    }
    digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Tool<'_> {
    pub(super) async fn disk(&mut self, base: &str) -> i32 {
        match base {
            "ls" => self.ls(),
            "mkdir" => self.mkdir(),
            "rm" | "rmdir" => self.rm(),
            "touch" => self.touch(),
            "cp" | "install" => self.copy(false),
            "mv" => self.copy(true),
            "ln" => self.link(),
            "dd" => self.dd().await,
            "fallocate" | "truncate" => self.allocate(base),
            "mktemp" => self.mktemp(),
            "stat" => self.stat(),
            "find" => self.find(),
            "readlink" | "realpath" => {
                for word in self.operands("") {
                    let path = self.shell.path(&word);
                    self.out(&format!("{path}\n"));
                }
                0
            }
            "sha256sum" => self.sum(Sum::Sha256).await,
            "md5sum" => self.sum(Sum::Md5).await,
            "mkfifo" => self.make_fifos(),
            _ => self.compare(),
        }
    }

    fn make_fifos(&self) -> i32 {
        let mut status = 0;
        for word in self.operands("m") {
            let path = self.shell.path(&word);
            let made = self.shell.sys.container.state().files.make_fifo(&path);
            if let Err(error) = made {
                status = self.fail(&format!("{word}: {}", error.text()));
            }
        }
        status
    }

    fn find_file(&self, path: &str) -> Option<File> {
        self.shell.sys.container.state().files.find(path)
    }

    fn ls(&self) -> i32 {
        let mut status = 0;
        let mut words = self.operands("");
        if words.is_empty() {
            words.push(".".to_owned());
        }
        for word in words {
            let path = self.shell.path(&word);
            match self.find_file(&path) {
                None => {
                    status = self.fail(&format!("{word}: {}", FileError::Missing.text()));
                }
                Some(File::Regular(_) | File::Fifo(_)) => drop(self.out(&format!("{word}\n"))),
                Some(File::Directory) => {
                    let names = self.shell.sys.container.state().files.children(&path);
                    for name in names.iter().filter(|name| !name.starts_with('.')) {
                        self.out(&format!("{name}\n"));
                    }
                }
            }
        }
        status
    }

    fn mkdir(&self) -> i32 {
        let mut status = 0;
        for word in self.operands("m") {
            let path = self.shell.path(&word);
            let parents = self.has('p');
            let exists = self.find_file(&path).is_some();
            let made = match exists && !parents {
                true => Err("File exists"),
                false => {
                    let mut state = self.shell.sys.container.state();
                    let made = state.files.make_directory(&path, parents);
                    made.map_err(FileError::text)
                }
            };
            if let Err(why) = made {
                status = self.fail(&format!("can't create directory '{word}': {why}"));
            }
        }
        status
    }

    fn rm(&self) -> i32 {
        let mut status = 0;
        for word in self.operands("") {
            let path = self.shell.path(&word);
            let removed = self.shell.sys.container.state().files.remove(&path);
            match removed {
                Ok(()) => {}
                Err(FileError::Missing) if self.has('f') => {}
                Err(error) => {
                    status = self.fail(&format!("can't remove '{word}': {}", error.text()));
                }
            }
        }
        status
    }

    fn touch(&self) -> i32 {
        let mut status = 0;
        for word in self.operands("dtr") {
            let path = self.shell.path(&word);
            let mut state = self.shell.sys.container.state();
            let touched = match state.files.find(&path) {
                Some(_) => state.files.writable(&path),
                None if self.has('c') => Ok(()),
                None => state.files.write(&path, Content::default(), false),
            };
            drop(state);
            if let Err(error) = touched {
                status = self.fail(&format!("{word}: {}", error.text()));
            }
        }
        status
    }

    fn copy(&self, moves: bool) -> i32 {
        let mut words = self.operands("mog");
        let Some(last) = words.pop().filter(|_| !words.is_empty()) else {
            return self.fail("missing file operand");
        };
        let to = self.shell.path(&last);
        let into = self.find_file(&to) == Some(File::Directory);
        let mut status = 0;
        for word in words {
            let from = self.shell.path(&word);
            let name = from.rsplit('/').next().unwrap_or("").to_owned();
            let target = if into {
                format!("{to}/{name}")
            } else {
                to.clone()
            };
            if let Err(why) = self.copy_one(&from, &target) {
                status = match why {
                    FileError::Missing if self.find_file(&from).is_none() => {
                        self.fail(&format!("can't stat '{word}': {}", why.text()))
                    }
                    why => self.fail(&format!("can't create '{target}': {}", why.text())),
                };
                continue;
            }
            if moves {
                let removed = self.shell.sys.container.state().files.remove(&from);
                if let Err(error) = removed {
                    status = self.fail(&format!("can't remove '{word}': {}", error.text()));
                }
            }
        }
        status
    }

    fn copy_one(&self, from: &str, to: &str) -> Result<(), FileError> {
        let found = self.find_file(from).ok_or(FileError::Missing)?;
        match found {
            File::Regular(content) => {
                let mut state = self.shell.sys.container.state();
                state.files.write(to, content, false)
            }
            File::Fifo(_) => self.shell.sys.container.state().files.make_fifo(to),
            File::Directory => {
                let names = {
                    let mut state = self.shell.sys.container.state();
                    state.files.make_directory(to, true)?;
                    state.files.children(from)
                };
                for name in names {
                    self.copy_one(&format!("{from}/{name}"), &format!("{to}/{name}"))?;
                }
                Ok(())
            }
        }
    }

    /// A link is a copy here: what it leads to seldom changes.
    fn link(&self) -> i32 {
        let words = self.operands("");
        let [from, to] = words.as_slice() else {
            return 0;
        };
        let (from, target) = (self.shell.path(from), self.shell.path(to));
        match self.copy_one(&from, &target) {
            Ok(()) | Err(FileError::Missing) => 0,
            Err(error) => self.fail(&format!("{to}: {}", error.text())),
        }
    }

    async fn dd(&mut self) -> i32 {
        let option = |name: &str| {
            let words = self.args.iter();
            words
                .rev()
                .find_map(|word| word.strip_prefix(name))
                .map(str::to_owned)
        };
        let block = option("bs=").map_or(Some(512), |size| amount(&size));
        let Some(block) = block else {
            return self.fail("invalid number");
        };
        let count = option("count=").and_then(|count| amount(&count));
        let wanted = count.map_or(u64::MAX / 4, |count| count.saturating_mul(block));
        let mut data = match option("if=") {
            Some(file) => {
                let path = self.shell.path(&file);
                if matches!(path.as_str(), "/dev/zero" | "/dev/urandom" | "/dev/random") {
                    Data {
                        bulk: wanted,
                        ..Data::default()
                    }
                } else {
                    let found = self.shell.sys.container.state().files.read(&path);
                    match found {
                        Ok(content) => Data {
                            text: content.text,
                            bulk: content.bulk,
                            block: 0,
                        },
                        Err(error) => {
                            return self.fail(&format!("can't open '{file}': {}", error.text()));
                        }
                    }
                }
            }
            None => self.io.read_all(),
        };
        data.bulk = data.bulk.min(wanted);
        data.block = block;
        let total = data.size();
        let Some(file) = option("of=") else {
            let held = data.bulk.min(block);
            self.shell.sys.ask(Call::Memory(held)).await;
            let status = self.put(data);
            self.shell.sys.ask(Call::Memory(0)).await;
            return status;
        };
        let path = self.shell.path(&file);
        let append = option("oflag=").is_some_and(|flags| flags.contains("append"));
        // It is written in parts, so that others see it grow.
        let parts = total.div_ceil(64 << 20).clamp(1, 4096);
        let mut written = 0;
        for part in 0..parts {
            let bulk = match part + 1 == parts {
                true => data.bulk - written,
                false => data.bulk / parts,
            };
            written += bulk;
            let content = Content {
                text: if part == 0 {
                    std::mem::take(&mut data.text)
                } else {
                    String::new()
                },
                bulk,
                ..Content::default()
            };
            let done = {
                let mut state = self.shell.sys.container.state();
                state.files.write(&path, content, append || part > 0)
            };
            if let Err(error) = done {
                return match error {
                    FileError::Full => {
                        self.fail(&format!("error writing '{file}': {}", error.text()))
                    }
                    error => self.fail(&format!("can't open '{file}': {}", error.text())),
                };
            }
            let time = Duration::from_millis((bulk / SPEED).max(1));
            self.shell.pause(Some(time)).await;
        }
        let records = total / block.max(1);
        self.err(&format!("{records}+0 records in\n{records}+0 records out"));
        0
    }

    fn allocate(&self, base: &str) -> i32 {
        let size = match base {
            "fallocate" => self.value('l'),
            _ => self.value('s'),
        };
        let Some(size) = size.as_deref().and_then(amount) else {
            return self.fail("invalid number");
        };
        // Only what is allocated takes room.
        let bulk = if base == "fallocate" { size } else { 0 };
        let mut status = 0;
        for word in self.operands("lso") {
            let path = self.shell.path(&word);
            let content = Content {
                bulk,
                ..Content::default()
            };
            let written = self
                .shell
                .sys
                .container
                .state()
                .files
                .write(&path, content, false);
            if let Err(error) = written {
                status = match (base, error) {
                    ("fallocate", FileError::Full) => {
                        self.fail(&format!("fallocate '{word}': {}", error.text()))
                    }
                    _ => self.fail(&format!("{word}: {}", error.text())),
                };
            }
        }
        status
    }

    fn mktemp(&self) -> i32 {
        let number = self.shell.sys.container.clock.now().as_nanosecond() % 1_000_000;
        let path = format!("/tmp/tmp.{number:06}");
        let mut state = self.shell.sys.container.state();
        let made = match self.has('d') {
            true => state.files.make_directory(&path, true),
            false => state.files.write(&path, Content::default(), false),
        };
        drop(state);
        match made {
            Ok(()) => self.out(&format!("{path}\n")),
            Err(error) => self.fail(&format!("{path}: {}", error.text())),
        }
    }

    fn stat(&self) -> i32 {
        let mut status = 0;
        for word in self.operands("c") {
            let size = match self.find_file(&self.shell.path(&word)) {
                Some(File::Regular(content)) => content.size(),
                Some(File::Directory) => 4096,
                Some(File::Fifo(_)) => 0,
                None => {
                    status = self.fail(&format!(
                        "can't stat '{word}': {}",
                        FileError::Missing.text()
                    ));
                    continue;
                }
            };
            self.out(&format!("{size}\n"));
        }
        status
    }

    fn find(&self) -> i32 {
        let from = self.args.first().filter(|word| !word.starts_with('-'));
        let from = from.cloned().unwrap_or_else(|| ".".to_owned());
        let root = self.shell.path(&from);
        let mut waiting = vec![(from, root)];
        while let Some((shown, path)) = waiting.pop() {
            self.out(&format!("{shown}\n"));
            let names = self.shell.sys.container.state().files.children(&path);
            for name in names.into_iter().rev() {
                let child = format!("{path}/{name}");
                waiting.push((format!("{shown}/{name}"), child));
            }
        }
        0
    }

    /// The sum of what is in a file, or of what it reads.
    async fn sum_of(&self, sum: Sum, file: &str) -> Result<String, FileError> {
        let data = if file == "-" {
            self.io.read_all()
        } else {
            let path = self.shell.path(file);
            let content = self.shell.sys.container.state().files.read(&path)?;
            Data {
                bulk: content.bulk,
                ..Data::text(content.text)
            }
        };
        if data.bulk >= u64::MAX / 8 {
            // It never comes to an end.
            self.shell.pause(None).await;
        }
        let nanos = data.size().saturating_mul(1000) / sum.speed();
        self.shell.sys.compute(Duration::from_nanos(nanos)).await;
        Ok(sum.of(&data))
    }

    async fn sum(&self, sum: Sum) -> i32 {
        let mut files = self.operands("");
        if files.is_empty() {
            files.push("-".to_owned());
        }
        if !self.has('c') {
            let mut status = 0;
            for file in files {
                match self.sum_of(sum, &file).await {
                    Ok(sum) => drop(self.out(&format!("{sum}  {file}\n"))),
                    Err(error) => {
                        status = self.fail(&format!("can't open '{file}': {}", error.text()));
                    }
                }
            }
            return status;
        }
        let mut failed = 0;
        let mut total = 0;
        for list in files {
            let path = self.shell.path(&list);
            let read = self.shell.sys.container.state().files.read(&path);
            let content = match read {
                Ok(content) => content,
                Err(error) => return self.fail(&format!("can't open '{list}': {}", error.text())),
            };
            for line in content.text.lines() {
                let Some((wanted, file)) = line.split_once("  ") else {
                    continue;
                };
                total += 1;
                match self.sum_of(sum, file).await {
                    Ok(found) if found == wanted => drop(self.out(&format!("{file}: OK\n"))),
                    Ok(_) => {
                        failed += 1;
                        self.out(&format!("{file}: FAILED\n"));
                    }
                    Err(error) => {
                        failed += 1;
                        self.fail(&format!("can't open '{file}': {}", error.text()));
                        self.out(&format!("{file}: FAILED\n"));
                    }
                }
            }
        }
        if failed > 0 {
            return self.fail(&format!(
                "WARNING: {failed} of {total} computed checksums did NOT match"
            ));
        }
        0
    }

    fn compare(&self) -> i32 {
        let words = self.operands("");
        let [one, other] = words.as_slice() else {
            return 2;
        };
        let state = self.shell.sys.container.state();
        let one = state.files.read(&self.shell.path(one));
        let other = state.files.read(&self.shell.path(other));
        match (one, other) {
            (Ok(one), Ok(other)) => i32::from(one != other),
            _ => 2,
        }
    }
}
