//! Child processes that may outlive crashbook.
//!
//! A child holds a lock on a file of the state folder for as long as it, or anything that it
//! started, lives; its process id stands in that file. The kernel gives the lock back, so whoever
//! comes after a crash knows for certain whether the child still works, and can wait for its end.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use tokio::{process::Command, sync::oneshot};

/// Starts the program so that it holds the lock: descriptor 9 is the locked file, which what the
/// program starts inherits in turn. Its input is empty, its output goes to a file, since a pipe
/// would end with its reader.
const START: &str = r#"echo $$ >&0; exec "$@" 9<&0 </dev/null"#;

/// Runs a program to its end. Once this future is dropped the program runs on: [`end`] ends it.
/// What it prints, to stdout and to stderr, is in `output`.
pub(crate) async fn run(
    lock: &Path,
    output: &Path,
    program: &str,
    args: &[OsString],
    envs: &[(&str, &str)],
) -> io::Result<ExitStatus> {
    let mut command = Command::new("sh");
    {
        let locked = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock)?;
        locked.lock()?;
        locked.set_len(0)?;
        let output = File::create(output)?;
        command
            .args(["-c", START, "sh", program])
            .args(args)
            .envs(envs.iter().copied())
            .stdin(locked)
            .stdout(output.try_clone()?)
            .stderr(output)
            // An interrupt at the terminal is crashbook's to handle.
            .process_group(0);
    }
    let mut child = command.spawn()?;
    drop(command); // And with it this process's own hold on the lock.
    child.wait().await
}

/// Kills the program that holds this lock, if any does; with what it started, or alone. Says
/// whether something still holds the lock.
pub(crate) async fn kill(lock: &Path, alone: bool) -> io::Result<bool> {
    if !is_held(lock)? {
        return Ok(false);
    }
    let text = fs::read_to_string(lock)?;
    let Ok(pid) = text.trim().parse::<u32>() else {
        return Ok(true); // It has just been started, and will write its id.
    };
    if holds(pid, lock) {
        let target = if alone {
            pid.to_string()
        } else {
            format!("-{pid}")
        };
        let kill = ["-c", r#"kill -9 "$1""#, "sh", &target];
        let mut kill = Command::new("sh")
            .args(kill)
            .stderr(Stdio::null())
            .spawn()?;
        kill.wait().await?;
    }
    is_held(lock)
}

/// Waits until nothing holds the lock, and removes its file.
pub(crate) async fn gone(lock: PathBuf) -> io::Result<()> {
    if !lock.exists() {
        return Ok(());
    }
    let (give, taken) = oneshot::channel();
    let wait = move || {
        let result = File::open(&lock)
            .and_then(|file| file.lock())
            .and_then(|()| fs::remove_file(&lock));
        let _ = give.send(result);
    };
    std::thread::Builder::new()
        .name("child".to_owned())
        .spawn(wait)?;
    match taken.await.map_err(io::Error::other)? {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn is_held(lock: &Path) -> io::Result<bool> {
    let file = match File::open(lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether this process has the file open, where the system tells: the id may have been given to
/// another process while what the child started holds the lock.
fn holds(pid: u32, lock: &Path) -> bool {
    let fds = PathBuf::from(format!("/proc/{pid}/fd"));
    if !Path::new("/proc/self/fd").exists() {
        return true;
    }
    let opens = |fd: &str| fs::read_link(fds.join(fd)).is_ok_and(|file| file == lock);
    opens("0") || opens("9")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn what_it_prints_and_how_it_ends_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, output) = (dir.path().join("lock"), dir.path().join("output"));
        let args = ["-c", "echo one; echo two >&2; cat; exit 3"].map(OsString::from);
        let status = block_on(run(&lock, &output, "sh", &args, &[])).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(fs::read_to_string(&output).unwrap(), "one\ntwo\n");
        assert!(!is_held(&lock).unwrap());
    }

    #[test]
    fn a_child_that_was_left_is_found_and_ended_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (lock, output, fifo) = (dir.join("lock"), dir.join("output"), dir.join("fifo"));
        let script = format!(
            "mkfifo {0}; sleep 600 & echo ready >{0}; wait",
            fifo.display()
        );
        block_on(async {
            // The fifo tells that the grandchild runs; then the child is left behind.
            let args = ["-c".into(), OsString::from(script)];
            let child = run(&lock, &output, "sh", &args, &[]);
            let ready = async {
                while !fifo.exists() {
                    tokio::task::yield_now().await;
                }
                tokio::fs::read_to_string(&fifo).await.unwrap()
            };
            tokio::select! {
                status = child => panic!("ended: {status:?}"),
                ready = ready => assert_eq!(ready, "ready\n"),
            }
            // Alone, its own child still holds the lock.
            assert!(kill(&lock, true).await.unwrap());
            let group: u32 = fs::read_to_string(&lock).unwrap().trim().parse().unwrap();
            let end = Command::new("sh")
                .args(["-c", "kill -9 -$0", &group.to_string()])
                .status();
            assert!(end.await.unwrap().success());
            gone(lock.clone()).await.unwrap();
            assert!(!lock.exists());
            assert!(!kill(&lock, false).await.unwrap());
        });
    }
}
