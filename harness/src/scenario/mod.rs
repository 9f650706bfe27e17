//! The scenario language: what a folder of `scenarios/` says, read, checked and rendered.
//!
//! A scenario is a folder of data: `scenario.yaml` ([`Spec`]), manifests, a README. It is read
//! wholly into memory; a mistake in it is a [`Problem`] with file, line and caret, and no cluster
//! is touched. [`Scenario::render`] fills in the templates for one run. Folders in its folder
//! `variants` hold the same failure in other shapes ([`Variant`]).

mod context;
mod lint;
mod name;
mod overview;
mod problem;
mod render;
mod skeleton;
mod spec;
mod variant;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crashbook_detector::Class;
use serde::de::DeserializeOwned;

pub use context::{Context, NodeFacts, ServiceFacts};
pub use name::{Labels, Name, ObjectName, Text, is_cluster_scoped};
pub use overview::Row;
pub use problem::{Problem, Problems};
pub use render::Rendered;
pub use skeleton::{InvalidName, skeleton};
pub use spec::*;
pub use variant::{Variant, VariantKind, variant_schema};

use crate::yaml::{self, Positions};

#[cfg(test)]
mod tests;

/// The file that makes a folder a scenario.
pub const SPEC: &str = "scenario.yaml";

/// The folder of a scenario's folder that holds the folders of its variants.
const VARIANTS: &str = "variants";

/// A scenario as its folder says it; strings may be templates still.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What `scenario.yaml` says; of a variant, together with what its scenario says.
    pub spec: Spec,
    folder: PathBuf,
    /// The files of the folder, by name; of a variant also those that it takes over.
    files: BTreeMap<String, Source>,
    positions: Positions,
    /// The classes that its scenario expects, where this is a variant.
    variant_of: Option<Vec<Class>>,
    variants: Vec<Scenario>,
}

/// A file of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Scenario {
    /// Reads the scenario of a folder, with its variants.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        let mut files = BTreeMap::new();
        read_folder(folder, "", &mut files)?;
        let variants = folder.join(VARIANTS);
        if variants.is_dir() {
            for path in entries(&variants)? {
                if let (true, Some(name)) = (path.is_dir(), file_name(&path)) {
                    read_folder(&path, &format!("{VARIANTS}/{name}/"), &mut files)?;
                }
            }
        }
        Self::new(folder, files)
    }

    /// Makes a scenario of the files of a folder, by their names, those of a variant by
    /// `variants/VARIANT/NAME`.
    pub fn new(folder: &Path, files: BTreeMap<String, String>) -> Result<Self, Problems> {
        let mut own = BTreeMap::new();
        let mut variants: BTreeMap<String, BTreeMap<String, Source>> = BTreeMap::new();
        for (name, text) in files {
            let path = folder.join(&name);
            let parts: Vec<&str> = name.split('/').collect();
            match parts[..] {
                [VARIANTS, variant, file] => variants
                    .entry(variant.to_owned())
                    .or_default()
                    .insert(file.to_owned(), Source { path, text }),
                _ => own.insert(name, Source { path, text }),
            };
        }
        let (spec, positions) = read_spec(folder, &own, |spec: &Spec| &spec.name)?;
        let mut scenario = Self {
            spec,
            folder: folder.to_owned(),
            files: own,
            positions,
            variant_of: None,
            variants: Vec::new(),
        };
        let mut problems = Problems::default();
        for (name, files) in variants {
            let variant = problems.take(scenario.variant(&name, files));
            scenario.variants.extend(variant);
        }
        problems.or(scenario)
    }

    /// Makes a variant of the files of its own folder.
    fn variant(&self, name: &str, files: BTreeMap<String, Source>) -> Result<Self, Problems> {
        let folder = self.folder.join(VARIANTS).join(name);
        let (variant, positions) = read_spec(&folder, &files, |variant: &Variant| &variant.name)?;
        let mut all = self.files.clone();
        all.extend(files);
        Ok(Self {
            spec: variant.over(&self.spec),
            folder,
            files: all,
            positions,
            variant_of: Some(self.classes().collect()),
            variants: Vec::new(),
        })
    }

    /// The scenario's name: that of its folder, and of a variant `SCENARIO/VARIANT`.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The same failure in other shapes.
    pub fn variants(&self) -> &[Scenario] {
        &self.variants
    }

    /// The classes that it expects, in the order in which it does.
    pub fn classes(&self) -> impl Iterator<Item = Class> {
        self.spec.expect.iter().map(|expectation| expectation.class)
    }

    /// The text of a file of the folder; of a variant also of one that it takes over.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(|source| source.text.as_str())
    }

    /// The path of a file, for messages.
    pub fn path(&self, file: &str) -> PathBuf {
        match self.files.get(file) {
            Some(source) => source.path.clone(),
            None => self.folder.join(file),
        }
    }

    /// A mistake in `scenario.yaml`, at the value of this JSON pointer.
    fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        let text = self.file(SPEC).unwrap_or_default();
        let mut message = message.into();
        let part = pointer.split('/').nth(1).unwrap_or_default();
        if self.variant_of.is_some() && !self.positions.has(&format!("/{part}")) {
            message = format!("{message} (`{part}` is the scenario's: a variant may have its own)");
        }
        Problem::at(
            &self.path(SPEC),
            text,
            self.positions.find(pointer),
            message,
        )
    }
}

/// Reads the `scenario.yaml` of a folder, whose name must be that of the folder.
fn read_spec<T: DeserializeOwned>(
    folder: &Path,
    files: &BTreeMap<String, Source>,
    name: impl Fn(&T) -> &String,
) -> Result<(T, Positions), Problem> {
    let Some(Source { path, text }) = files.get(SPEC) else {
        let message = "there is no such file: `crashbook new NAME` writes one";
        return Err(Problem::new(folder.join(SPEC), message));
    };
    let spec = yaml::from_str(text)
        .map_err(|error| Problem::at(path, text, error.position, error.message))?;
    let positions = Positions::of(text);
    match file_name(folder) {
        Some(expected) if expected != name(&spec) => {
            let message = format!(
                "the name `{}` is not that of the folder: expected `{expected}`",
                name(&spec)
            );
            Err(Problem::at(path, text, positions.find("/name"), message))
        }
        _ => Ok((spec, positions)),
    }
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

fn cannot_read(path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    move |error| Problem::new(path, format!("cannot read it: {error}"))
}

/// The paths of what is in a folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = std::fs::read_dir(folder).map_err(cannot_read(folder))?;
    entries
        .map(|entry| Ok(entry.map_err(cannot_read(folder))?.path()))
        .collect()
}

/// Reads the files of a folder, by their names after a prefix.
fn read_folder(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, String>,
) -> Result<(), Problem> {
    for path in entries(folder)? {
        let Some(name) = file_name(&path) else {
            continue;
        };
        if path.is_file() && !name.starts_with('.') {
            let text = std::fs::read_to_string(&path).map_err(cannot_read(&path))?;
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
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
            let mut files = BTreeMap::new();
            read_built_in(folder, folder.path(), &mut files);
            let path = Path::new("scenarios").join(folder.path());
            if let Some(scenario) = problems.take(Scenario::new(&path, files)) {
                scenarios.insert(scenario.name().to_owned(), scenario);
            }
        }
        problems.or(Self { scenarios })
    }

    /// Every scenario, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Scenario> {
        self.scenarios.values()
    }

    /// Every scenario, by name, each before its variants.
    pub fn with_variants(&self) -> impl Iterator<Item = &Scenario> {
        self.iter()
            .flat_map(|scenario| std::iter::once(scenario).chain(&scenario.variants))
    }

    /// The scenarios of these names, in this order; all of them if there is no name. A variant's
    /// name is `SCENARIO/VARIANT`.
    pub fn find(&self, names: &[String]) -> Result<Vec<&Scenario>, UnknownScenario> {
        if names.is_empty() {
            return Ok(self.iter().collect());
        }
        let find = |name: &String| {
            let found = self.with_variants().find(|s| s.name() == name);
            found.ok_or_else(|| UnknownScenario {
                name: name.clone(),
                near: nearest(name, self.with_variants().map(Scenario::name))
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            })
        };
        names.iter().map(find).collect()
    }
}

/// Adds the files below a folder that the program was built with, by their paths in the root.
fn read_built_in(folder: &include_dir::Dir<'_>, root: &Path, files: &mut BTreeMap<String, String>) {
    for file in folder.files() {
        let path = file.path().strip_prefix(root).ok();
        if let (Some(path), Some(text)) = (path.and_then(Path::to_str), file.contents_utf8()) {
            files.insert(path.to_owned(), text.to_owned());
        }
    }
    for inner in folder.dirs() {
        read_built_in(inner, root, files);
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
