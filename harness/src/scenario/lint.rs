//! Lint: what can be known of a scenario without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use crashbook_detector::Class;
use serde_json::Value;

use super::name::{Labels, ObjectName, is_cluster_scoped};
use super::problem::{Problem, Problems};
use super::render::{Rendered, files_named};
use super::skeleton::is_kebab;
use super::spec::{Proof, ServiceFault, ServiceReady, Spec, Verb};
use super::{Catalogue, Context, SPEC, Scenario, VARIANTS, nearest};

/// The README of a scenario.
const README: &str = "README.md";

/// The sections that a README must have, in this order.
const SECTIONS: &[&str] = &["What one sees", "Why", "Find it by hand", "The fix"];

/// The kinds whose names a controller makes of another object's name.
const GENERATED: &[&str] = &[
    "ControllerRevision",
    "EndpointSlice",
    "Job",
    "PersistentVolumeClaim",
    "Pod",
    "ReplicaSet",
];

/// The labels that controllers give to pods.
const GIVEN: &[&str] = &[
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-name",
    "job-name",
    "statefulset.kubernetes.io/pod-name",
];

impl Scenario {
    /// Everything that is wrong with the scenario, as far as can be known without a cluster.
    pub fn lint(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        self.lint_form(&mut problems);
        self.lint_files(&mut problems);
        match &self.variant_of {
            None => self.lint_readme(&mut problems),
            Some(classes) => self.lint_variant(classes, &mut problems),
        }
        let pools = ["general"]
            .into_iter()
            .chain(self.spec.needs.node.as_deref());
        let services = self.spec.services.keys().map(String::as_str);
        if let Some(rendered) = problems.take(self.render(&Context::example(pools, services))) {
            self.lint_names(&rendered, &mut problems);
            self.lint_manifests(&rendered, &mut problems);
        }
        problems.or(())
    }

    fn lint_form(&self, problems: &mut Problems) {
        let spec = &self.spec;
        let mut wrong = |pointer: &str, message: &str| {
            problems.0.push(self.problem(pointer, message));
        };
        if !spec.name.split('/').all(is_kebab) {
            wrong(
                "/name",
                "expected a name in kebab-case, such as `missing-configmap`",
            );
        }
        for (pointer, text) in [
            ("/title", &spec.title),
            ("/source", &spec.source),
            ("/lesson/briefing", &spec.lesson.briefing),
            ("/lesson/debrief", &spec.lesson.debrief),
        ] {
            if text.trim().is_empty() {
                wrong(pointer, "expected some words");
            } else if text.contains(UNWRITTEN) {
                wrong(pointer, "this is still to be written");
            }
        }
        if spec.lesson.hints.is_empty() {
            wrong("/lesson/hints", "expected at least one hint");
        }
        for (index, hint) in spec.lesson.hints.iter().enumerate() {
            if hint.trim().is_empty() || hint.contains(UNWRITTEN) {
                wrong(
                    &format!("/lesson/hints/{index}"),
                    "this is still to be written",
                );
            }
        }
        for (part, is_empty, expected) in [
            (
                "/inject",
                spec.inject.is_empty(),
                "one step that brings the fault about",
            ),
            (
                "/symptom",
                spec.symptom.is_empty(),
                "one proof that the fault bites",
            ),
            ("/fix", spec.fix.is_empty(), "one step that heals"),
            (
                "/recovered",
                spec.recovered.is_empty(),
                "one proof that the fix heals",
            ),
        ] {
            if is_empty {
                wrong(part, &format!("expected at least {expected}"));
            }
        }
        if spec.expect.is_empty() && spec.limits.stands.is_zero() {
            wrong(
                "/expect",
                "with no verdict expected, `limits.stands` must say how long none may come",
            );
        }
        for (name, service) in &spec.services {
            if service.registry.is_some() && matches!(service.ready, ServiceReady::Log(_)) {
                let message = "a registry is known by its port: expected `http` or `tcp`";
                wrong(&format!("/services/{name}/ready"), message);
            }
        }
        for (index, name) in spec.needs.services.iter().enumerate() {
            if !spec.services.contains_key(name) {
                let message = format!("there is no service `{name}` under `services`");
                wrong(&format!("/needs/services/{index}"), &message);
            }
        }
    }

    /// Every file is named, and every file that is named is there; the latter is told by
    /// [`Scenario::render`].
    fn lint_files(&self, problems: &mut Problems) {
        let named: BTreeSet<String> = files_named(&self.spec)
            .into_iter()
            .map(|(_, file)| file)
            .chain(
                self.spec
                    .services
                    .values()
                    .flat_map(|service| service.files.values().cloned()),
            )
            .chain([SPEC.to_owned(), README.to_owned()])
            .collect();
        for (file, source) in &self.files {
            // What a variant takes over it may leave unused.
            if named.contains(file) || !source.path.starts_with(&self.folder) {
                continue;
            }
            let message = format!("no step of `{SPEC}` names this file");
            problems.0.push(Problem::new(self.path(file), message));
        }
        for (name, service) in &self.spec.services {
            for (path, file) in &service.files {
                if !self.files.contains_key(file) {
                    let pointer =
                        format!("/services/{name}/files{}", crate::yaml::pointer_step(path));
                    problems.0.push(self.missing_file(&pointer, file));
                }
            }
        }
    }

    /// A variant is the same failure: it expects the classes that its scenario does.
    fn lint_variant(&self, classes: &[Class], problems: &mut Problems) {
        let set = |classes: &mut dyn Iterator<Item = Class>| {
            classes.map(|class| class.name()).collect::<BTreeSet<_>>()
        };
        let expected = set(&mut classes.iter().copied());
        if set(&mut self.classes()) != expected {
            let classes: Vec<_> = expected.into_iter().collect();
            let message = format!(
                "a variant expects the classes of its scenario: {}",
                classes.join(", ")
            );
            problems.0.push(self.problem("/expect", message));
        }
        let is_different = self
            .files
            .iter()
            .any(|(name, source)| name != SPEC && source.path.starts_with(&self.folder));
        if !is_different {
            let message = "expected a file beside it: a variant differs in its manifests";
            problems.0.push(Problem::new(self.path(SPEC), message));
        }
    }

    fn lint_readme(&self, problems: &mut Problems) {
        let path = self.path(README);
        let Some(text) = self.file(README) else {
            let message = "there is no such file: it teaches the case";
            problems.0.push(Problem::new(path, message));
            return;
        };
        let mut wrong = |message: String| problems.0.push(Problem::new(&path, message));
        if !text.starts_with(&format!("# {}\n", self.spec.title)) {
            wrong(format!(
                "expected the title as its first line: `# {}`",
                self.spec.title
            ));
        }
        for expectation in &self.spec.expect {
            let class = expectation.class;
            let line = format!("Phase: {} · Class: `{class}`", class.phase());
            if !text.lines().any(|l| l.trim() == line) {
                wrong(format!("expected a line `{line}`"));
            }
        }
        let headings: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        for section in SECTIONS {
            if !headings.contains(section) {
                wrong(format!("expected a section `## {section}`"));
            }
        }
        if text.contains(UNWRITTEN) {
            wrong("it is still to be written".to_owned());
        }
    }

    /// Every object that steps, proofs and expectations name is in a manifest, or made by one.
    fn lint_names(&self, rendered: &Rendered, problems: &mut Problems) {
        let spec = &rendered.spec;
        let made = Made::of(rendered);
        let mut check = |pointer: String, message: Option<String>| {
            if let Some(message) = message {
                problems.0.push(self.problem(&pointer, message));
            }
        };
        for (part, verbs) in [("inject", &spec.inject), ("fix", &spec.fix)] {
            for (index, verb) in verbs.iter().enumerate() {
                let at = format!("/{part}/{index}");
                match verb {
                    Verb::Delete(object) | Verb::Restart(object) => {
                        check(at, made.lacks(object));
                    }
                    Verb::Patch(patch) => check(at, made.lacks(&patch.object)),
                    Verb::Scale(scale) => check(at, made.lacks(&scale.object)),
                    Verb::Evict(pods) => check(at, made.lacks_pods(pods)),
                    Verb::Wait(proof) => check(at, made.lacks_of(proof)),
                    Verb::Service(ServiceFault::Start(name) | ServiceFault::Stop(name)) => {
                        let lacks = !spec.services.contains_key(name);
                        check(at, lacks.then(|| format!("there is no service `{name}`")));
                    }
                    _ => {}
                }
            }
        }
        for (part, proofs) in [
            ("healthy", &spec.healthy),
            ("symptom", &spec.symptom),
            ("recovered", &spec.recovered),
        ] {
            for (index, proof) in proofs.iter().enumerate() {
                check(format!("/{part}/{index}"), made.lacks_of(proof));
            }
        }
        for (index, expectation) in spec.expect.iter().enumerate() {
            let at = format!("/expect/{index}");
            check(format!("{at}/subject"), made.lacks(&expectation.subject));
            for (number, affected) in expectation.affected.iter().enumerate() {
                check(format!("{at}/affected/{number}"), made.lacks(affected));
            }
            // What is missing, by intention, is the culprit of some classes.
            let culprit = expectation.culprit.object();
            if !expectation.class.name().ends_with("-missing") {
                check(format!("{at}/culprit/name"), made.lacks(&culprit));
            }
        }
    }

    fn lint_manifests(&self, rendered: &Rendered, problems: &mut Problems) {
        let has_policy = rendered
            .objects()
            .any(|object| object["kind"] == "NetworkPolicy");
        if has_policy && !self.spec.needs.network_policy {
            let message = "a manifest is a NetworkPolicy: expected `networkPolicy: true`";
            problems.0.push(self.problem("/needs", message));
        }
        for image in rendered.images() {
            let name = image.rsplit('/').next().unwrap_or(&image);
            if !name.contains([':', '@']) || name.ends_with(":latest") {
                let message = format!(
                    "the image `{image}` has no tag of its own: expected one such as `busybox:1.37`"
                );
                problems.0.push(Problem::new(self.path(""), message));
            }
        }
    }
}

impl Catalogue {
    /// What is wrong with the scenarios as a whole: each class is expected by one, and each has a
    /// variant.
    pub fn lint(&self) -> Result<(), Problems> {
        let expected: Vec<Class> = self.iter().flat_map(Scenario::classes).collect();
        let lacks = Class::ALL.iter().filter(|class| !expected.contains(class));
        let mut problems = Problems::default();
        for class in lacks {
            let message = format!("no scenario expects `{class}`: `crashbook new NAME` writes one");
            problems.0.push(Problem::new("scenarios", message));
        }
        for scenario in self.iter().filter(|scenario| scenario.variants.is_empty()) {
            let message = "there is no variant: the same failure with other names, another kind of \
                           workload or another number of containers";
            problems
                .0
                .push(Problem::new(scenario.path(VARIANTS), message));
        }
        problems.or(())
    }
}

/// What a new scenario's texts hold until they are written.
pub(super) const UNWRITTEN: &str = "FILL IN";

/// What the manifests make.
struct Made<'a> {
    /// The names of the objects, by kind.
    names: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The labels of pods and of templates of pods.
    labels: Vec<BTreeMap<String, String>>,
    /// The names of containers.
    containers: BTreeSet<&'a str>,
    spec: &'a Spec,
}

impl<'a> Made<'a> {
    fn of(rendered: &'a Rendered) -> Self {
        let mut made = Self {
            names: BTreeMap::new(),
            labels: Vec::new(),
            containers: BTreeSet::new(),
            spec: &rendered.spec,
        };
        for object in rendered.objects() {
            let metadata = &object["metadata"];
            let name = metadata["name"]
                .as_str()
                .or(metadata["generateName"].as_str());
            if let (Some(kind), Some(name)) = (object["kind"].as_str(), name) {
                made.names.entry(kind).or_default().insert(name);
            }
            made.add_pods(object);
        }
        made
    }

    /// Adds every pod, or template of pods, that a value holds.
    fn add_pods(&mut self, value: &'a Value) {
        if value["spec"]["containers"].is_array() {
            let labels = value["metadata"]["labels"].as_object();
            let labels = labels
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            self.labels.push(labels.collect());
            for list in ["containers", "initContainers"] {
                let containers = value["spec"][list].as_array().into_iter().flatten();
                self.containers
                    .extend(containers.filter_map(|c| c["name"].as_str()));
            }
        }
        match value {
            Value::Object(map) => map.values().for_each(|value| self.add_pods(value)),
            Value::Array(items) => items.iter().for_each(|item| self.add_pods(item)),
            _ => {}
        }
    }

    /// Why there is no such object, where there is none.
    fn lacks(&self, object: &ObjectName) -> Option<String> {
        let foreign = object.namespace.is_some()
            || object.kind == "Node"
            || object.kind == "Namespace"
            || object.kind == "ServiceAccount" && object.name.matches("default");
        let made = self.names.get(object.kind.as_str());
        let is_made = made.is_some_and(|names| names.iter().any(|name| object.name.matches(name)));
        let literal = object.name.0.split('*').next().unwrap_or_default();
        let is_generated = GENERATED.contains(&object.kind.as_str())
            && self.names.values().flatten().any(|name| {
                literal.starts_with(&format!("{name}-"))
                    || object.kind == "PersistentVolumeClaim"
                        && literal.contains(&format!("-{name}-"))
            });
        if foreign || is_made || is_generated {
            return None;
        }
        let known = made.into_iter().flatten().copied();
        let hint = match nearest(&object.name.0, known).first() {
            Some(near) => format!("; did you mean `{}/{near}`?", object.kind),
            None if is_cluster_scoped(&object.kind) => String::new(),
            None => ": expected an object of a manifest, or one that it makes".to_owned(),
        };
        Some(format!("no manifest has `{object}`{hint}"))
    }

    fn lacks_pods(&self, pods: &Labels) -> Option<String> {
        let mut own = pods.clone();
        own.0.retain(|key, _| !GIVEN.contains(&key.as_str()));
        let is_made = self.labels.iter().any(|labels| own.matches(labels));
        (!is_made).then(|| format!("no pod of a manifest has the labels `{pods}`"))
    }

    fn lacks_container(&self, name: Option<&str>) -> Option<String> {
        let name = name.filter(|name| !self.containers.contains(name))?;
        let hint = match nearest(name, self.containers.iter().copied()).first() {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        };
        Some(format!("no manifest has a container `{name}`{hint}"))
    }

    fn lacks_of(&self, proof: &Proof) -> Option<String> {
        match proof {
            Proof::Pod(proof) => self.lacks_pods(&proof.pods),
            Proof::Container(proof) => self
                .lacks_pods(&proof.pods)
                .or_else(|| self.lacks_container(proof.name.as_deref())),
            Proof::Event(proof) => self.lacks(&proof.regarding),
            Proof::Condition(proof) => self.lacks(&proof.object),
            Proof::Available(object) | Proof::Deleted(object) => self.lacks(object),
            Proof::Replaced(pods) | Proof::Refused(pods) => self.lacks_pods(pods),
            Proof::Log(proof) => self
                .lacks_pods(&proof.pods)
                .or_else(|| self.lacks_container(proof.container.as_deref())),
            Proof::Number(proof) => {
                let uses = self.spec.needs.node_stats;
                let lacks = (!uses).then(|| "expected `needs: { nodeStats: true }`".to_owned());
                lacks.or_else(|| self.lacks_pods(proof.pods.as_ref()?))
            }
            Proof::Endpoints(proof) => self.lacks(&ObjectName {
                kind: "Service".to_owned(),
                namespace: None,
                name: super::Name(proof.service.clone()),
            }),
            Proof::Field(proof) => self.lacks(&proof.object),
        }
    }
}
