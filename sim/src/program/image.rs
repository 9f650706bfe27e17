//! What well-known images are, as data.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::files::{Content, File, Tree};
use super::tools;

/// What an image is.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) user: String,
    pub(crate) directory: String,
    pub(crate) files: Arc<Tree>,
    /// Whose small programs it has, if any.
    pub(crate) tools: Option<Tools>,
    /// The names of the programs that are its own.
    pub(crate) programs: Vec<String>,
    /// In bytes, as it is pulled.
    pub(crate) size: u64,
    /// Whether it is described: of any other it is not known what is in it.
    pub(crate) is_known: bool,
}

/// What images are, by their full names.
#[derive(Debug)]
pub(crate) struct Images {
    known: BTreeMap<String, Arc<Facts>>,
    unknown: Arc<Facts>,
}

/// The file of the well-known images.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    images: Vec<Description>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    size: u64,
    tools: Option<Tools>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    user: String,
    #[serde(default)]
    directory: String,
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    directories: Vec<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// Whose small programs an image has.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Tools {
    Busybox,
    Dash,
}

static KNOWN: LazyLock<BTreeMap<String, Arc<Facts>>> = LazyLock::new(|| {
    // The file is part of the program: a test holds it to be well-formed.
    let described: Described = serde_saphyr::from_str(include_str!("images.yaml"))
        .unwrap_or(Described { images: Vec::new() });
    let facts = described.images.into_iter();
    facts
        .map(|image| (image.name.clone(), Arc::new(image.facts())))
        .collect()
});

impl Description {
    fn facts(self) -> Facts {
        let mut tree = Tree::default();
        let program = Content {
            bulk: 1 << 20,
            executable: true,
            ..Content::default()
        };
        for directory in [
            "/etc", "/home", "/root", "/run", "/tmp", "/usr/bin", "/var/log", "/dev", "/proc",
        ] {
            tree.make(directory);
        }
        for directory in &self.directories {
            tree.make(directory);
        }
        if let Some(tools) = self.tools {
            for tool in tools::NAMES {
                if tools == Tools::Busybox || *tool != "httpd" {
                    tree.put(&format!("/bin/{tool}"), program.clone());
                }
            }
            tree.put("/usr/bin/env", program.clone());
            let users =
                "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n";
            tree.put("/etc/passwd", Content::text(users));
        }
        for path in &self.programs {
            tree.put(path, program.clone());
        }
        for (path, text) in self.files {
            tree.put(&path, Content::text(text));
        }
        Facts {
            env: self.env,
            entrypoint: self.entrypoint,
            command: self.command,
            user: self.user,
            directory: self.directory,
            files: Arc::new(tree),
            tools: self.tools,
            programs: self
                .programs
                .iter()
                .filter_map(|path| Some(path.rsplit('/').next()?.to_owned()))
                .collect(),
            size: self.size,
            is_known: true,
        }
    }
}

impl Tree {
    /// Makes a directory, with those above it.
    fn make(&mut self, path: &str) {
        for (index, _) in path.match_indices('/').skip(1) {
            self.files
                .entry(path[..index].to_owned())
                .or_insert(File::Directory);
        }
        self.files.insert(path.to_owned(), File::Directory);
    }
}

impl Default for Images {
    fn default() -> Self {
        Self {
            known: KNOWN.clone(),
            unknown: Arc::default(),
        }
    }
}

impl Images {
    /// What an image is.
    pub(crate) fn facts(&self, full: &str) -> Arc<Facts> {
        self.known.get(full).unwrap_or(&self.unknown).clone()
    }

    /// The images that every node has.
    pub(crate) fn loaded(&self) -> BTreeMap<String, String> {
        let names = self.known.keys();
        names.map(|name| (name.clone(), name.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_images_are_described() {
        let described: Result<Described, _> = serde_saphyr::from_str(include_str!("images.yaml"));
        let described = described.map_err(|error| error.to_string()).unwrap();
        assert_eq!(described.images.len(), KNOWN.len());
    }
}
