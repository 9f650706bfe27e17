//! The scenario language: what a folder of `scenarios/` says, read, checked and rendered.
//!
//! A scenario is a folder of data: `scenario.yaml` ([`Spec`]), manifests, a README. It is read
//! wholly into memory; a mistake in it is a [`Problem`] with file, line and caret, and no cluster
//! is touched. [`Scenario::render`] fills in the templates for one run.

mod context;
mod lint;
mod name;
mod overview;
mod problem;
mod render;
mod skeleton;
mod spec;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use context::{Context, NodeFacts, ServiceFacts};
pub use name::{Labels, Name, ObjectName, Text, is_cluster_scoped};
pub use overview::Row;
pub use problem::{Problem, Problems};
pub use render::Rendered;
pub use skeleton::{InvalidName, skeleton};
pub use spec::*;

use crate::yaml::{self, Positions};

#[cfg(test)]
mod tests;

/// The file that makes a folder a scenario.
pub const SPEC: &str = "scenario.yaml";

/// A scenario as its folder says it; strings may be templates still.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What `scenario.yaml` says.
    pub spec: Spec,
    folder: PathBuf,
    files: BTreeMap<String, String>,
    positions: Positions,
}

impl Scenario {
    /// Reads the scenario of a folder.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        Self::new(folder, read_folder(folder)?)
    }

    /// Makes a scenario of the files of a folder, by their names.
    pub fn new(folder: &Path, files: BTreeMap<String, String>) -> Result<Self, Problems> {
        let path = folder.join(SPEC);
        let text = files.get(SPEC).ok_or_else(|| {
            Problem::new(
                &path,
                "there is no such file: `crashbook new NAME` writes one",
            )
        })?;
        let spec: Spec = yaml::from_str(text)
            .map_err(|error| Problem::at(&path, text, error.position, error.message))?;
        let scenario = Self {
            spec,
            folder: folder.to_owned(),
            positions: Positions::of(text),
            files,
        };
        let folder_name = folder.file_name().and_then(|name| name.to_str());
        if folder_name.is_some_and(|name| name != scenario.spec.name) {
            let message = format!(
                "the name `{}` is not that of the folder: expected `{}`",
                scenario.spec.name,
                folder_name.unwrap_or_default()
            );
            return Err(scenario.problem("/name", message).into());
        }
        Ok(scenario)
    }

    /// The scenario's name, which is that of its folder.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The text of a file of the folder.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// The path of a file of the folder, for messages.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// A mistake in `scenario.yaml`, at the value of this JSON pointer.
    fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        let text = self.file(SPEC).unwrap_or_default();
        Problem::at(
            &self.path(SPEC),
            text,
            self.positions.find(pointer),
            message,
        )
    }
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>, Problem> {
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        Problem::new(path, format!("cannot read it: {error}"))
    };
    let entries = std::fs::read_dir(folder).map_err(|error| cannot(folder, &error))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| cannot(folder, &error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if path.is_file() && !name.starts_with('.') {
            let text = std::fs::read_to_string(&path).map_err(|error| cannot(&path, &error))?;
            files.insert(name.to_owned(), text);
        }
    }
    Ok(files)
}

/// The folder of scenarios that this program was built with.
static BUILT_IN: include_dir::Dir<'_> =
    include_dir::include_dir!("$CARGO_MANIFEST_DIR/../scenarios");

/// Every scenario of a folder of scenarios, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    scenarios: BTreeMap<String, Scenario>,
}

/// There is no scenario of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario `{name}`{}", hint(.near))]
pub struct UnknownScenario {
    /// The name that was asked for.
    pub name: String,
    /// The names that are nearest to it, best first.
    pub near: Vec<String>,
}

fn hint(near: &[String]) -> String {
    match near {
        [] => ": `crashbook list` shows them all".to_owned(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

impl Catalogue {
    /// Reads every scenario of a folder: each folder in it that holds a `scenario.yaml`.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        let cannot = |error: std::io::Error| {
            Problem::new(
                folder,
                format!("cannot read the folder of scenarios: {error}"),
            )
        };
        let mut problems = Problems::default();
        let mut scenarios = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            if path.join(SPEC).is_file()
                && let Some(scenario) = problems.take(Scenario::load(&path))
            {
                scenarios.insert(scenario.name().to_owned(), scenario);
            }
        }
        problems.0.sort_by(|a, b| a.path.cmp(&b.path));
        problems.or(Self { scenarios })
    }

    /// Finds the scenarios: those of this folder; without one those of the folder `scenarios` of
    /// the current directory, where there is one; else those that the program was built with.
    pub fn open(folder: Option<&Path>) -> Result<Self, Problems> {
        let here = Path::new("scenarios");
        match folder {
            Some(folder) => Self::load(folder),
            None if here.is_dir() => Self::load(here),
            None => Self::built_in(),
        }
    }

    /// The scenarios that the program was built with.
    pub fn built_in() -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut scenarios = BTreeMap::new();
        for folder in BUILT_IN.dirs() {
            let files = folder.files().filter_map(|file| {
                let name = file.path().file_name()?.to_str()?;
                Some((name.to_owned(), file.contents_utf8()?.to_owned()))
            });
            let path = Path::new("scenarios").join(folder.path());
            if let Some(scenario) = problems.take(Scenario::new(&path, files.collect())) {
                scenarios.insert(scenario.name().to_owned(), scenario);
            }
        }
        problems.or(Self { scenarios })
    }

    /// Every scenario, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Scenario> {
        self.scenarios.values()
    }

    /// The scenarios of these names, in this order; all of them if there is no name.
    pub fn find(&self, names: &[String]) -> Result<Vec<&Scenario>, UnknownScenario> {
        if names.is_empty() {
            return Ok(self.iter().collect());
        }
        let find = |name: &String| {
            self.scenarios.get(name).ok_or_else(|| UnknownScenario {
                name: name.clone(),
                near: nearest(name, self.scenarios.keys().map(String::as_str))
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            })
        };
        names.iter().map(find).collect()
    }
}

/// Of the candidates, those that are like a word, the best first, three at most.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<_> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter()
        .take(3)
        .map(|(_, candidate)| candidate)
        .collect()
}

/// The JSON schema of `scenario.yaml`, for editors: what `docs/scenario.schema.json` holds.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Spec);
    format!("{:#}\n", schema.as_value())
}
