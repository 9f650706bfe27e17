//! What containers do.
//!
//! A container runs what its command names: a shell script is interpreted as it stands, the small
//! tools that scripts use do what they say, and the programs of well-known images are described as
//! data ([`image`]). What comes of it is decided by the files, the network and the limits of the
//! cluster, never by the program.
//!
//! A program of an image that nobody has described serves the ports that its container declares,
//! and ends with 0 when it is told to end.

pub(crate) mod files;
mod image;
pub(crate) mod net;
pub(crate) mod process;
pub(crate) mod processor;
mod shell;
#[cfg(test)]
mod tests;
mod tools;

use std::sync::Arc;

use files::{File, Files};
pub(crate) use image::{Facts, Images, Tools};
use net::Serving;
use process::{Container, Program, Sys};

/// Finds the program of a container, or says why it cannot be started, in the runtime's words.
pub(crate) fn load(
    facts: &Arc<Facts>,
    container: &Container,
    argv: &[String],
    declared: &[u16],
) -> Result<Program, String> {
    let declared = declared.to_vec();
    match find(facts, container, argv, true)? {
        Some(program) => Ok(program),
        None => Ok(Box::new(move |sys| Box::pin(serve(sys, declared)))),
    }
}

/// Finds a command that is run in a container beside its program.
pub(crate) fn load_command(
    facts: &Arc<Facts>,
    container: &Container,
    argv: &[String],
) -> Result<Program, String> {
    match find(facts, container, argv, false)? {
        Some(program) => Ok(program),
        // A command of a program that nobody has described finds nothing wrong.
        None => Ok(Box::new(|_| Box::pin(async { 0 }))),
    }
}

/// The program that a command names: none where nobody has described it.
fn find(
    facts: &Arc<Facts>,
    container: &Container,
    argv: &[String],
    is_first: bool,
) -> Result<Option<Program>, String> {
    let Some(name) = argv.first() else {
        return Err("exec: no command".to_owned());
    };
    if !facts.is_known {
        return Ok(None);
    }
    let state = container.state();
    let path = container.env.get("PATH").map_or("", String::as_str);
    lookup(&state.files, path, &container.directory, name)?;
    drop(state);
    Ok(Some(shell::program(facts.clone(), argv.to_vec(), is_first)))
}

/// The number of a user that the well-known images have.
pub(crate) fn user(name: &str) -> Option<i64> {
    match name {
        "root" => Some(0),
        "daemon" => Some(1),
        "www-data" => Some(33),
        "nginx" => Some(101),
        "postgres" => Some(999),
        "nobody" => Some(65534),
        name => name.parse().ok(),
    }
}

/// Where a program is, or why it cannot be run.
fn lookup(files: &Files, path: &str, directory: &str, name: &str) -> Result<String, String> {
    if name.contains('/') {
        let place = Files::absolute(directory, name);
        return match files.find(&place) {
            None => Err(format!(
                "exec: {name:?}: stat {name}: no such file or directory"
            )),
            Some(File::Regular(content)) if content.executable => Ok(place),
            Some(File::Directory) => Err(format!("exec: {name:?}: is a directory")),
            Some(_) => Err(format!("exec: {name:?}: permission denied")),
        };
    }
    let found = path
        .split(':')
        .map(|folder| Files::absolute("", &format!("{folder}/{name}")))
        .find(
            |place| matches!(files.find(place), Some(File::Regular(content)) if content.executable),
        );
    found.ok_or_else(|| format!("exec: {name:?}: executable file not found in $PATH"))
}

/// Serves ports until it is told to end.
async fn serve(sys: Sys, ports: Vec<u16>) -> i32 {
    for port in ports {
        let serving = Serving::Http {
            status: 200,
            body: String::new(),
            paths: Vec::new(),
        };
        if sys.listen(port, serving).await.is_err() {
            sys.print(&format!(
                "listen tcp :{port}: bind: address already in use\n"
            ));
            return 1;
        }
    }
    sys.until_term().await;
    0
}
