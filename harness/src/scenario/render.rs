//! Rendering: a scenario's templates, filled in for one run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crashbook_detector::kubernetes::quantity::Quantity;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tera::{ErrorKind, Kwargs, State, Tera};

use super::problem::{Problem, Problems};
use super::spec::{Service, Spec, Verb};
use super::{Context, SPEC, Scenario};
use crate::yaml::{self, Position, pointer_step};

/// A scenario as one run does it: no template is left in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// What `scenario.yaml` says.
    pub spec: Spec,
    /// The manifests that it names, by file, in the order in which they stand there.
    files: BTreeMap<String, Vec<Value>>,
}

impl Rendered {
    /// The objects of a file that the scenario names, in order.
    pub fn manifests(&self, file: &str) -> &[Value] {
        self.files.get(file).map_or(&[], Vec::as_slice)
    }

    /// The objects of the baseline, in order.
    pub fn baseline(&self) -> impl Iterator<Item = &Value> {
        self.spec
            .baseline
            .iter()
            .flat_map(|file| self.manifests(file))
    }

    /// Every object that the scenario may make, of whichever step.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.files.values().flatten()
    }

    /// The images of every container of every manifest.
    pub fn images(&self) -> BTreeSet<String> {
        images(self.objects())
    }

    /// The images of the baseline and of the fix: what a cluster without a registry must have
    /// loaded. One that the injection alone names may be missing by intention.
    pub fn needed_images(&self) -> BTreeSet<String> {
        let fix = self.spec.fix.iter().filter_map(Verb::file);
        images(
            self.baseline()
                .chain(fix.flat_map(|file| self.manifests(file))),
        )
    }
}

fn images<'a>(objects: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut images = BTreeSet::new();
    for object in objects {
        collect_images(object, &mut images);
    }
    images
}

fn collect_images(value: &Value, images: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let containers = ["containers", "initContainers"].contains(&key.as_str());
                for container in value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|_| containers)
                {
                    if let Some(image) = container["image"].as_str() {
                        images.insert(image.to_owned());
                    }
                }
                collect_images(value, images);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_images(item, images)),
        _ => {}
    }
}

/// The files of manifests that a scenario names, each with the pointer of where it does.
pub(super) fn files_named(spec: &Spec) -> Vec<(String, String)> {
    let baseline = spec.baseline.iter().enumerate();
    let mut named: Vec<_> = baseline
        .map(|(index, file)| (format!("/baseline/{index}"), file.clone()))
        .collect();
    for (part, verbs) in [("inject", &spec.inject), ("fix", &spec.fix)] {
        for (index, verb) in verbs.iter().enumerate() {
            match verb {
                Verb::Apply(file) => named.push((format!("/{part}/{index}/apply"), file.clone())),
                Verb::Create(file) => named.push((format!("/{part}/{index}/create"), file.clone())),
                _ => {}
            }
        }
    }
    named
}

impl Scenario {
    /// Fills in the templates for one run. Touches nothing but its own memory.
    pub fn render(&self, context: &Context) -> Result<Rendered, Problems> {
        let tera = tera();
        let context = self.tera_context(context)?;
        let mut problems = Problems::default();
        let spec = self.render_part(&tera, &context, &self.spec, "");
        let spec: Option<Spec> = problems.take(spec);

        let mut files = BTreeMap::new();
        for (pointer, file) in files_named(spec.as_ref().unwrap_or(&self.spec)) {
            let Some(text) = self.file(&file) else {
                problems.0.push(self.missing_file(&pointer, &file));
                continue;
            };
            let rendered = render_file(&tera, &context, &self.path(&file), text);
            if let Some(objects) = problems.take(rendered) {
                files.insert(file, objects);
            }
        }
        match spec {
            Some(spec) => problems.or(Rendered { spec, files }),
            None => Err(problems),
        }
    }

    /// Fills in the templates of the containers beside the cluster: they are there before what a
    /// template can name of them is known.
    pub fn render_services(
        &self,
        context: &Context,
    ) -> Result<BTreeMap<String, Service>, Problems> {
        let context = self.tera_context(context)?;
        self.render_part(&tera(), &context, &self.spec.services, "/services")
    }

    /// The files of a container beside the cluster, by the paths at which it sees them.
    pub fn service_files(&self, service: &Service) -> BTreeMap<String, String> {
        let files = service.files.iter();
        files
            .filter_map(|(path, file)| Some((path.clone(), self.file(file)?.to_owned())))
            .collect()
    }

    fn tera_context(&self, context: &Context) -> Result<tera::Context, Problem> {
        tera::Context::from_serialize(context)
            .map_err(|error| Problem::new(self.path(SPEC), error.to_string()))
    }

    /// Fills in the templates of a part of `scenario.yaml`, which is at this pointer.
    fn render_part<T: Serialize + DeserializeOwned>(
        &self,
        tera: &Tera,
        context: &tera::Context,
        part: &T,
        pointer: &str,
    ) -> Result<T, Problems> {
        let wrong = |message: String| Problems::from(Problem::new(self.path(SPEC), message));
        let mut value = serde_json::to_value(part).map_err(|error| wrong(error.to_string()))?;
        let mut problems = Problems::default();
        self.render_strings(tera, context, &mut value, pointer, &mut problems);
        let part = problems.take(serde_json::from_value(value).map_err(|error| {
            let message = "with its templates filled in, it is no scenario any more";
            wrong(format!("{message}: {error}"))
        }));
        match part {
            Some(part) => problems.or(part),
            None => Err(problems),
        }
    }

    pub(super) fn missing_file(&self, pointer: &str, file: &str) -> Problem {
        let near = super::nearest(file, self.files.keys().map(String::as_str));
        let hint = match near.first() {
            Some(near) => format!("; did you mean `{near}`?"),
            None => format!(": expected it in {}", self.path("").display()),
        };
        self.problem(pointer, format!("there is no file `{file}`{hint}"))
    }

    fn render_strings(
        &self,
        tera: &Tera,
        context: &tera::Context,
        value: &mut Value,
        pointer: &str,
        problems: &mut Problems,
    ) {
        match value {
            Value::String(text) if text.contains("{{") || text.contains("{%") => {
                match tera.render_str(text, context, false) {
                    Ok(rendered) => *text = rendered,
                    Err(error) => {
                        let (message, _) = explain(&error);
                        let message = format!("in the template `{}`: {message}", text.trim_end());
                        problems.0.push(self.problem(pointer, message));
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    self.render_strings(tera, context, item, &pointer, problems);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    let pointer = format!("{pointer}{}", pointer_step(key));
                    self.render_strings(tera, context, item, &pointer, problems);
                }
            }
            _ => {}
        }
    }
}

/// Renders a file of manifests and reads its objects.
fn render_file(
    tera: &Tera,
    context: &tera::Context,
    path: &Path,
    template: &str,
) -> Result<Vec<Value>, Problems> {
    let text = tera.render_str(template, context, false).map_err(|error| {
        let (message, position) = explain(&error);
        Problem::at(path, template, position, message)
    })?;
    let as_rendered = |position, message: String| {
        let note = if text == template {
            ""
        } else {
            " (the line is shown as rendered)"
        };
        Problem::at(path, &text, position, format!("{message}{note}"))
    };
    let documents =
        yaml::documents(&text).map_err(|error| as_rendered(error.position, error.message))?;
    let mut problems = Problems::default();
    let starts = document_starts(&text);
    for (index, document) in documents.iter().enumerate() {
        let lacking = ["apiVersion", "kind"]
            .into_iter()
            .find(|field| !document[field].is_string());
        let message = match (document.as_object(), lacking) {
            (None, _) => "expected an object with apiVersion and kind",
            (_, Some("apiVersion")) => "the object lacks its apiVersion",
            (_, Some(_)) => "the object lacks its kind",
            (_, None) if !has_name(document) => "the object lacks its metadata.name",
            _ => continue,
        };
        let position = starts.get(index).map(|line| Position {
            line: *line,
            column: 1,
        });
        problems.0.push(as_rendered(position, message.to_owned()));
    }
    if documents.is_empty() {
        let message = "there is no object in it: expected at least one manifest";
        problems.0.push(Problem::new(path, message));
    }
    problems.or(documents)
}

fn has_name(object: &Value) -> bool {
    let metadata = &object["metadata"];
    metadata["name"].is_string() || metadata["generateName"].is_string()
}

/// The line on which each document that is not empty begins.
fn document_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut within = false;
    for (index, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            within = false;
        } else if !within && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            within = true;
            starts.push(index + 1);
        }
    }
    starts
}

/// What a template's error says, and where.
fn explain(error: &tera::Error) -> (String, Option<Position>) {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            let span = report.span();
            let position = Position {
                line: span.start_line.max(1),
                column: span.start_col + 1,
            };
            (report.message().to_owned(), Some(position))
        }
        other => (other.to_string(), None),
    }
}

const MEBIBYTE: i128 = 1 << 20;

/// The template engine with the filters that scenarios use:
///
/// - `times(by=0.5)`: a share of an amount of bytes, in whole mebibytes, as a quantity;
/// - `at_most(limit="5Gi")`, `at_least(limit="64Mi")`: the smaller, or the larger, quantity;
/// - `mebibytes`: an amount of bytes as a whole number of mebibytes, for programs' arguments;
/// - `number`: a quantity as a whole number.
fn tera() -> Tera {
    fn read(text: &str) -> Result<Quantity, tera::Error> {
        text.parse().map_err(tera::Error::message)
    }
    fn whole(text: &str, unit: i128) -> Result<i64, tera::Error> {
        i64::try_from(read(text)?.ceil() / unit)
            .map_err(|_| tera::Error::message(format!("`{text}` is too large to compute with")))
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "no node has 2^53 mebibytes"
    )]
    fn times(text: &str, arguments: Kwargs, _: &State) -> Result<String, tera::Error> {
        let by: f64 = arguments.must_get("by")?;
        let share = (whole(text, MEBIBYTE)? as f64 * by).floor() as i64;
        Ok(format!("{share}Mi"))
    }
    fn at_most(text: &str, arguments: Kwargs, _: &State) -> Result<String, tera::Error> {
        let limit: &str = arguments.must_get("limit")?;
        let is_less = read(text)? < read(limit)?;
        Ok(if is_less { text } else { limit }.to_owned())
    }
    fn at_least(text: &str, arguments: Kwargs, _: &State) -> Result<String, tera::Error> {
        let limit: &str = arguments.must_get("limit")?;
        let is_more = read(text)? > read(limit)?;
        Ok(if is_more { text } else { limit }.to_owned())
    }
    let mut tera = Tera::default();
    tera.register_filter("times", times);
    tera.register_filter("at_most", at_most);
    tera.register_filter("at_least", at_least);
    tera.register_filter("mebibytes", |text: &str, _: Kwargs, _: &State| {
        whole(text, MEBIBYTE)
    });
    tera.register_filter("number", |text: &str, _: Kwargs, _: &State| whole(text, 1));
    tera
}
