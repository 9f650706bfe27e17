//! The program refuses its configuration and says what is wrong with it.
//!
//! # What it finds
//!
//! A container that ends because its program cannot use what it was given: a configuration file
//! with a mistake, a file that the configuration names and that is not there, an argument it does
//! not know, a variable that is not set. The culprit is the ConfigMap or Secret that holds the
//! file or variable, with its key; where none does, the workload.
//!
//! # How it tells
//!
//! The last run failed, and the last thing that it printed, of all that is understood, is such a
//! message: of httpd, nginx, HAProxy, PostgreSQL, MySQL, Redis, Envoy, CoreDNS, of the parsers of
//! YAML, JSON, TOML, INI and XML files and of arguments in the common languages, or in plain
//! words. The file that it names is looked up among the container's mounts.
//!
//! # Not before
//!
//! At once. Over when the present run has outlasted twice the last plus 10 s: a ConfigMap mounted
//! with `subPath` does not reach a running pod, so that its change alone proves nothing. A variable
//! whose holder changes is over at once, until the next run fails.
//!
//! # Looks like
//!
//! - `library-missing`: the file that is missing is the program's own, and no configuration names
//!   it.
//! - `permission-denied`: the file is there and may not be read.
//! - `config-map-missing`, `config-map-key-missing`: the container is never started.
//! - The same words during a start that succeeds: not a failure.
//!
//! # Remedy
//!
//! Correct the line, and restart the workload where the file is mounted with `subPath` or the
//! program reads it only when it starts.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::facts::{Container, LogLine, Pod};
use crate::finding::Finding;
use crate::kubernetes::files::{self, Held};
use crate::object::Kind;
use crate::kubernetes::references::{ConfigReference, Source, config_references};
use crate::rules::failing::{self, Failing};
use crate::rules::{Judge, Need, Rule, given};
use crate::signatures::{Meaning, Said};
use crate::verdict::{Class, Culprit, Reference};
use crate::view::{View, Workload};

pub(super) const RULE: Rule =
    Rule { class: Class::AppConfigInvalid, needs: &[Need::Words], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        let is_config = |meaning| meaning == Meaning::ConfigInvalid;
        if failing.ended.is_none_or(|ended| ended.exit_code == 0) {
            continue;
        }
        let Some((line, said)) = failing.main() else {
            continue;
        };
        let is_named = || {
            let file = said.field("file").filter(|_| said.meaning == Meaning::FileMissing)?;
            configured(pod, &failing.container, file, view)
        };
        if is_config(said.meaning) && was_given_another(pod, &failing, said, view) {
            continue;
        }
        if is_config(said.meaning) {
            // The last line may only sum up; the one before it tells the place.
            let tells_place = |(_, said): &(&LogLine, &Said)| {
                is_config(said.meaning) && said.field("line").is_some()
            };
            let place = failing.said().find(tells_place);
            let (line, said) = place.filter(|_| said.field("line").is_none()).unwrap_or((line, said));
            findings.push(finding(pod, &failing, line, said, None, view));
        } else if let Some(culprit) = is_named() {
            findings.push(finding(pod, &failing, line, said, Some(culprit), view));
        }
    }
}

/// Whether what holds the variable that the last run refused has changed since, so that the next
/// run is given another.
fn was_given_another(pod: &Pod, failing: &Failing<'_, '_>, said: &Said, view: &View<'_>) -> bool {
    let held = said.field("name").and_then(|name| {
        files::holder_of_variable(&failing.container, name)
            .or_else(|| held_by_all(pod, &failing.container, name, view))
    });
    let changed = held.and_then(|held| {
        let kind = match held.source {
            Source::ConfigMap => Kind::ConfigMap,
            Source::Secret => Kind::Secret,
        };
        view.changed(kind, &pod.namespace, &held.name)
    });
    let finished = failing.ended.and_then(|ended| ended.finished_at.as_ref());
    changed.zip(finished).is_some_and(|(changed, finished)| changed > finished.0)
}

fn finding(
    pod: &Pod,
    failing: &Failing<'_, '_>,
    line: &LogLine,
    said: &Said,
    named: Option<Culprit>,
    view: &View<'_>,
) -> Finding {
    let workload = view.workload(pod);
    let container = &failing.container;
    // Some programs spread it over several lines.
    let field = |name| said.field(name).or_else(|| failing.field(Meaning::ConfigInvalid, name));
    let file = field("file");
    let number: Option<u32> = field("line").and_then(|text| text.parse().ok());
    let problem = problem(failing, line, said);
    let culprit =
        named.unwrap_or_else(|| culprit(pod, container, &workload, field, &problem, view));
    let place = match (file, number) {
        (Some(file), Some(number)) => format!(" (line {number} of {file})"),
        (Some(file), None) => format!(" ({file})"),
        (None, Some(number)) => format!(" (line {number})"),
        (None, None) => String::new(),
    };
    let key = culprit.field.as_deref().unwrap_or_default();
    let summary = format!(
        "Container {} of {} refuses its configuration, {key} of {}: {problem}{place}",
        container.name(),
        workload.reference,
        culprit.object,
    );
    let edit = format!("kubectl edit {}", culprit.object.kubectl());
    let is_own = culprit.object == workload.reference;
    let mut finding = Finding::new(
        Class::AppConfigInvalid,
        workload.reference.clone(),
        culprit,
        failing.since,
        summary,
    )
    .container(container.name())
    .detail("file", file)
    .detail("line", number)
    .detail("problem", problem)
    .evidence(failing.quote(line))
    .evidence([failing.symptom.clone()])
    .remedy("Correct it", edit);
    let restarts = ["Deployment", "StatefulSet", "DaemonSet"];
    if !is_own && restarts.contains(&workload.reference.kind.as_str()) {
        finding = finding.remedy(
            "Restart the workload, so that it reads what was corrected",
            format!("kubectl rollout restart {}", workload.reference.kubectl()),
        );
    }
    finding
}

/// The field that names a file which is not there: what holds the file itself, an argument or
/// variable, or a text of a ConfigMap.
pub(super) fn configured(
    pod: &Pod,
    container: &Container<'_>,
    file: &str,
    view: &View<'_>,
) -> Option<Culprit> {
    if let Some(held) = files::holder(pod, container, file) {
        return Some(held.culprit(&pod.namespace));
    }
    given::mention(container, &view.workload(pod), file).or_else(|| in_text(pod, file, view))
}

/// The key of a ConfigMap of the pod in whose text this stands.
fn in_text(pod: &Pod, text: &str, view: &View<'_>) -> Option<Culprit> {
    let holds = |reference: ConfigReference| {
        let map = view.get::<ConfigMap>(&pod.namespace, &reference.name).found()?;
        let (key, _) = map.data.iter().flatten().find(|(_, held)| held.contains(text))?;
        let object = Reference::namespaced("ConfigMap", &pod.namespace, &reference.name);
        Some(object.field(format!("data[{key:?}]")))
    };
    let maps = config_references(pod).into_iter();
    maps.filter(|reference| reference.source == Source::ConfigMap).find_map(holds)
}

/// What is wrong, in the program's words: from the lines that follow where the first does not say.
fn problem(failing: &Failing<'_, '_>, line: &LogLine, said: &Said) -> String {
    let next = |line| failing.after(line).map(|line| line.text.trim());
    let given = said
        .field("problem")
        .or_else(|| failing.field(Meaning::ConfigInvalid, "problem"));
    match given {
        // Redis quotes the line, and then says what is wrong with it.
        Some("Reading the configuration file") => {
            let quoted = next(line).unwrap_or_default();
            let reason = failing.after(line).and_then(next).unwrap_or_default();
            format!("{quoted} {reason}").trim().to_owned()
        }
        Some(problem) => problem.to_owned(),
        // httpd gives the place on one line and the reason on the next.
        None => next(line).filter(|next| !next.is_empty()).unwrap_or(line.text.trim()).to_owned(),
    }
}

fn culprit<'f>(
    pod: &Pod,
    container: &Container<'_>,
    workload: &Workload,
    field: impl Fn(&'static str) -> Option<&'f str>,
    problem: &str,
    view: &View<'_>,
) -> Culprit {
    let path = container.path();
    let held = |held: Held| held.culprit(&pod.namespace);
    if let Some(file) = field("file") {
        if let Some(found) = files::holder(pod, container, file) {
            return held(found);
        }
        if let Some(found) = given::mention(container, workload, file) {
            return found;
        }
    }
    if let Some(name) = field("name") {
        return match files::holder_of_variable(container, name) {
            Some(found) => held(found),
            None => held_by_all(pod, container, name, view)
                .map(held)
                .or_else(|| in_text(pod, name, view).filter(|_| !is_of_environment(name)))
                .unwrap_or_else(|| workload.culprit(&format!("{path}.env"))),
        };
    }
    if let Some(argument) = field("argument") {
        let list = if container.spec.args.is_some() { "args" } else { "command" };
        return given::mention(container, workload, argument)
            .or_else(|| in_text(pod, argument, view))
            .unwrap_or_else(|| workload.culprit(&format!("{path}.{list}")));
    }
    // No place is named: a variable that the message names, an argument that is a mounted file,
    // or the only file that there is.
    let named = container.spec.env.iter().flatten().find(|variable| {
        variable.name.len() > 3
            && problem
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .any(|word| word == variable.name)
    });
    if let Some(variable) = named {
        return match files::holder_of_variable(container, &variable.name) {
            Some(found) => held(found),
            None => workload.culprit(&format!("{path}.env")),
        };
    }
    let arguments = container.spec.command.iter().flatten().chain(container.spec.args.iter().flatten());
    let mut words = arguments.flat_map(|text| text.split(|c: char| c.is_whitespace() || c == '='));
    if let Some(found) = words.find_map(|word| {
        word.starts_with('/').then(|| files::holder(pod, container, word)).flatten()
    }) {
        return held(found);
    }
    only_file(pod, container, problem, view).map_or_else(|| workload.culprit(&path), held)
}

/// Whether a name is written as those of environment variables are, and not as a setting's.
fn is_of_environment(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The key of a ConfigMap all of whose keys are variables.
fn held_by_all(
    pod: &Pod,
    container: &Container<'_>,
    name: &str,
    view: &View<'_>,
) -> Option<Held> {
    container.spec.env_from.iter().flatten().find_map(|from| {
        let source = from.config_map_ref.as_ref()?;
        let key = name.strip_prefix(from.prefix.as_deref().unwrap_or_default())?;
        let map = view.get::<ConfigMap>(&pod.namespace, &source.name).found()?;
        map.data.as_ref()?.contains_key(key).then(|| Held {
            source: Source::ConfigMap,
            name: source.name.clone(),
            key: key.to_owned(),
        })
    })
}

/// The one configuration file of a container: the only key that is mounted, or the only one in
/// whose text a setting stands that the problem names.
fn only_file(
    pod: &Pod,
    container: &Container<'_>,
    problem: &str,
    view: &View<'_>,
) -> Option<Held> {
    let mut all: Vec<Held> =
        files::files(pod, container).into_iter().map(|(_, held)| held).collect();
    for mount in container.spec.volume_mounts.iter().flatten() {
        let volume = pod.spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
        for (source, name, items) in files::sources(volume) {
            let is_whole = items.as_ref().is_none_or(Vec::is_empty) && mount.sub_path.is_none();
            if source != Source::ConfigMap || !is_whole {
                continue;
            }
            let map = view.get::<ConfigMap>(&pod.namespace, name).found()?;
            let keys = map.data.iter().flatten().map(|(key, _)| key);
            all.extend(keys.map(|key| Held { source, name: name.to_owned(), key: key.clone() }));
        }
    }
    all.retain(|held| held.source == Source::ConfigMap);
    all.dedup();
    if all.len() > 1 {
        let settings: Vec<&str> = settings(problem).collect();
        all.retain(|held| {
            let map = view.get::<ConfigMap>(&pod.namespace, &held.name).found();
            let text = map.and_then(|map| map.data.as_ref()?.get(&held.key));
            text.is_some_and(|text| settings.iter().any(|setting| text.contains(setting)))
        });
    }
    match all.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// The words of a message that can only be names of settings, for they are no words of a language:
/// `listeners.tcp.default`, `scrape_interval`.
fn settings(problem: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let words = problem.split(move |c| !is_of_name(c));
    let words = words.map(|word| word.trim_matches(['.', '-']));
    words.filter(|word| word.len() > 4 && word.contains(['.', '_', '-']))
}
