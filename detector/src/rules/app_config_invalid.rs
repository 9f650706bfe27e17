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
//! words. The file that it names is looked up among the container's mounts. That it cannot read a
//! value as a number, duration, URL or choice, or finds no object of a name, counts where that is
//! what it was given: by a variable, an argument, the text of a ConfigMap, or the kubelet, which
//! makes variables of the namespace's Services. That it does not trust a server counts where it
//! was given the certificates of those that it is to trust, and is `likely`.
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

use crate::facts::{Container, LogLine, Pod, Secret};
use crate::finding::Finding;
use crate::kubernetes::files::{self, Held};
use crate::kubernetes::references::Source;
use crate::object::Kind;
use crate::rules::failing::{self, Failing};
use crate::rules::given::{self, Giver, Variable};
use crate::rules::{Judge, Need, Rule};
use crate::signatures::{Meaning, Said};
use crate::verdict::{Class, Confidence, Culprit};
use crate::view::{View, Workload};

pub(super) const RULE: Rule =
    Rule { class: Class::AppConfigInvalid, needs: &[Need::Words], judges: &[Judge::Pod(judge)] };

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        if failing.ended.is_none_or(|ended| ended.exit_code == 0) {
            continue;
        }
        let Some((line, said)) = failing.main() else {
            continue;
        };
        let container = &failing.container;
        let found = match said.meaning {
            Meaning::ConfigInvalid if was_given_another(pod, &failing, said, view) => continue,
            Meaning::ConfigInvalid => {
                let (line, said) = most_telling(&failing, (line, said));
                Refused { said, lines: vec![line], giver: None, is_sure: true }
            }
            Meaning::ValueRefused => {
                let at = failing.lines().iter().position(|other| std::ptr::eq(other, line));
                let around = (failing.lines(), at.unwrap_or_default());
                let Some(giver) = given::refused(pod, container, said, around, view) else {
                    continue;
                };
                // What it is for may stand above.
                let above = failing.said().find(|(_, said)| is_config(said));
                let said = above.map_or(said, |(_, what)| what);
                let lines = above.map(|(above, _)| above).into_iter().chain([line]).collect();
                Refused { said, lines, giver: Some(giver), is_sure: true }
            }
            Meaning::FileMissing => {
                let file = said.field("file");
                let Some(culprit) = file.and_then(|file| configured(pod, container, file, view))
                else {
                    continue;
                };
                let giver = Some(Giver::from(culprit));
                Refused { said, lines: vec![line], giver, is_sure: true }
            }
            // Whom to trust is a part of the configuration, where it is one.
            Meaning::Untrusted if said.field("problem").is_none() => {
                let Some(culprit) = authority(pod, container, view) else {
                    continue;
                };
                let giver = Some(Giver::from(culprit));
                Refused { said, lines: vec![line], giver, is_sure: false }
            }
            _ => continue,
        };
        findings.push(finding(pod, &failing, found, view));
    }
}

fn is_config(said: &Said) -> bool {
    said.meaning == Meaning::ConfigInvalid
}

/// Of a program's words on its configuration those that tell most.
fn most_telling<'w>(
    failing: &'w Failing<'_, '_>,
    last: (&'w LogLine, &'w Said),
) -> (&'w LogLine, &'w Said) {
    // The last line may only sum up; the one before it tells the place.
    let has_place = last.1.field("line").is_some();
    let tells_place =
        |(_, said): &(&LogLine, &Said)| is_config(said) && said.field("line").is_some();
    let (line, said) = failing.said().find(tells_place).filter(|_| !has_place).unwrap_or(last);
    // Of what it says of one place, the first counts: the rest follows from it.
    let is_there = |(_, other): &(&LogLine, &Said)| {
        is_config(other)
            && ["file", "line", "problem"].iter().all(|name| other.field(name).is_some())
            && ["file", "line"].iter().all(|name| other.field(name) == said.field(name))
    };
    failing.said().filter(is_there).last().unwrap_or((line, said))
}

/// What a container's program refuses.
struct Refused<'w> {
    /// What it says of it.
    said: &'w Said,
    /// The lines that say so, the most telling first.
    lines: Vec<&'w LogLine>,
    /// What gives it, where that is known already.
    giver: Option<Giver>,
    /// Whether it must be this.
    is_sure: bool,
}

/// Whether what holds the variable that the last run refused has changed since, so that the next
/// run is given another.
fn was_given_another(pod: &Pod, failing: &Failing<'_, '_>, said: &Said, view: &View<'_>) -> bool {
    let variables = || given::variables(pod, &failing.container, view);
    let object = said.field("name").and_then(|name| {
        let variables = variables();
        Some(given::named(&variables, name)?.culprit.object.clone())
    });
    let changed = object.and_then(|object| {
        let kind = match object.kind.as_str() {
            "ConfigMap" => Kind::ConfigMap,
            "Secret" => Kind::Secret,
            _ => return None,
        };
        view.changed(kind, &pod.namespace, &object.name)
    });
    let finished = failing.ended.and_then(|ended| ended.finished_at.as_ref());
    changed.zip(finished).is_some_and(|(changed, finished)| changed > finished.0)
}

fn finding(
    pod: &Pod,
    failing: &Failing<'_, '_>,
    refused: Refused<'_>,
    view: &View<'_>,
) -> Finding {
    let Refused { said, lines, giver, is_sure } = refused;
    let workload = view.workload(pod);
    let container = &failing.container;
    // Some programs spread it over several lines.
    let field = |name| said.field(name).or_else(|| failing.field(Meaning::ConfigInvalid, name));
    let file = field("file");
    let number: Option<u32> = field("line").and_then(|text| text.parse().ok());
    let problem = problem(failing, lines[0], said);
    let giver = giver.unwrap_or_else(|| culprit(pod, container, &workload, field, &problem, view));
    let Giver { culprit, variable } = giver;
    let place = match (file, number) {
        (Some(file), Some(number)) => format!(" (line {number} of {file})"),
        (Some(file), None) => format!(" ({file})"),
        (None, Some(number)) => format!(" (line {number})"),
        (None, None) => String::new(),
    };
    let key = culprit.field.as_deref().unwrap_or_default();
    let of_variable =
        variable.as_ref().map(|name| format!(", variable {name}")).unwrap_or_default();
    let summary = format!(
        "Container {} of {} refuses its configuration, {key} of {}{of_variable}: {problem}{place}",
        container.name(),
        workload.reference,
        culprit.object,
    );
    let edit = format!("kubectl edit {}", culprit.object.kubectl());
    let is_own = culprit.object == workload.reference;
    let step = if key.ends_with(SERVICE_LINKS) {
        "Set it to false, or rename the Service: its variable stands in the way of the program's own"
    } else if is_sure {
        "Correct it"
    } else {
        "Add the authority that signed the server's certificate"
    };
    let mut finding = Finding::new(
        Class::AppConfigInvalid,
        workload.reference.clone(),
        culprit,
        failing.since,
        summary,
    )
    .container(container.name())
    .confidence(if is_sure { Confidence::Certain } else { Confidence::Likely })
    .detail("file", file)
    .detail("line", number)
    .detail("problem", problem)
    .detail("variable", variable)
    .evidence(lines.into_iter().filter_map(|line| failing.quote(line)))
    .evidence([failing.symptom.clone()])
    .remedy(step, edit);
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
    given::mention(container, &view.workload(pod), file)
        .or_else(|| given::in_text(pod, file, view))
}

/// What is wrong, in the program's words: from the lines that follow where the first does not say.
fn problem(failing: &Failing<'_, '_>, line: &LogLine, said: &Said) -> String {
    let next = |line| failing.after(line).map(|line| line.text.trim());
    let given = said
        .field("problem")
        .or_else(|| said.field("what"))
        .or_else(|| failing.field(Meaning::ConfigInvalid, "problem"));
    match given {
        // Redis quotes the line, and then says what is wrong with it.
        Some("Reading the configuration file") => {
            let quoted = next(line).unwrap_or_default();
            let reason = failing.after(line).and_then(next).unwrap_or_default();
            format!("{quoted} {reason}").trim().to_owned()
        }
        Some(problem) if is_heading(problem) => {
            let below = below(failing, line).join("; ");
            format!("{problem} {below}").trim().to_owned()
        }
        Some(problem) => problem.to_owned(),
        // httpd gives the place on one line and the reason on the next.
        None => next(line).filter(|next| !next.is_empty()).unwrap_or(line.text.trim()).to_owned(),
    }
}

/// Whether a line only says that what is wrong comes below.
fn is_heading(problem: &str) -> bool {
    problem.trim_end().ends_with(':') || problem.contains("validation error")
}

/// The lines below this one, up to the next empty one, but no more than a few.
fn below<'l>(failing: &'l Failing<'_, '_>, line: &LogLine) -> Vec<&'l str> {
    const MOST: usize = 4;
    let lines = failing.lines().iter();
    let after = lines.skip_while(|other| !std::ptr::eq(*other, line)).skip(1);
    let texts = after.map(|line| line.text.trim()).skip_while(|text| text.is_empty());
    let ends = |text: &&str| {
        text.is_empty() || text.starts_with("at ") || text.starts_with("For further information")
    };
    texts.take_while(|text| !ends(text)).take(MOST).collect()
}

/// The field that says how variables are made of Services.
const SERVICE_LINKS: &str = "enableServiceLinks";

fn culprit<'f>(
    pod: &Pod,
    container: &Container<'_>,
    workload: &Workload,
    field: impl Fn(&'static str) -> Option<&'f str>,
    problem: &str,
    view: &View<'_>,
) -> Giver {
    let path = container.path();
    let held = |held: Held| Giver::from(held.culprit(&pod.namespace));
    // Whatever names it, the kubelet gave it.
    if let Some(link) = given::service_link(pod, problem, view) {
        return link;
    }
    if let Some(file) = field("file") {
        if let Some(found) = files::holder(pod, container, file) {
            return held(found);
        }
        if let Some(found) = given::mention(container, workload, file) {
            return Giver::from(found);
        }
        let base = file.rsplit('/').next().unwrap_or(file);
        let mut keys = keys(pod, container, view).into_iter();
        if let Some(found) = keys.find(|found| found.key == base) {
            return held(found);
        }
    }
    let variables = given::variables(pod, container, view);
    if let Some(name) = field("name") {
        if let Some(found) = given::named(&variables, name) {
            return Giver::from(found);
        }
        let culprit = given::in_text(pod, name, view)
            .filter(|_| !is_of_environment(name))
            .unwrap_or_else(|| workload.culprit(&format!("{path}.env")));
        return Giver {
            culprit,
            variable: is_of_environment(name).then(|| name.to_owned()),
        };
    }
    if let Some(argument) = field("argument") {
        let list = if container.spec.args.is_some() { "args" } else { "command" };
        return Giver::from(
            given::mention(container, workload, argument)
                .or_else(|| given::in_text(pod, argument, view))
                .unwrap_or_else(|| workload.culprit(&format!("{path}.{list}"))),
        );
    }
    let is_value = |variable: &&Variable| {
        field("value").is_some() && variable.value.as_deref() == field("value")
    };
    if let Some(found) = variables.iter().find(is_value) {
        return Giver::from(found);
    }
    // No place is named: a variable that the message names, an argument that is a mounted file,
    // or the only file that there is.
    if let Some(found) = given::named_in(&variables, problem) {
        return Giver::from(found);
    }
    let arguments = container.spec.command.iter().flatten().chain(container.spec.args.iter().flatten());
    let mut words = arguments.flat_map(|text| text.split(|c: char| c.is_whitespace() || c == '='));
    if let Some(found) = words.find_map(|word| {
        word.starts_with('/').then(|| files::holder(pod, container, word)).flatten()
    }) {
        return held(found);
    }
    let only = only_file(pod, container, problem, view);
    only.map_or_else(|| Giver::from(workload.culprit(&path)), held)
}

/// Whether a name is written as those of environment variables are, and not as a setting's.
fn is_of_environment(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The one configuration file of a container: the only key that is mounted, or the only one in
/// whose text a setting stands that the problem names.
fn only_file(
    pod: &Pod,
    container: &Container<'_>,
    problem: &str,
    view: &View<'_>,
) -> Option<Held> {
    let mut all = keys(pod, container, view);
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

/// The keys of ConfigMaps and Secrets that are files in a container.
fn keys(pod: &Pod, container: &Container<'_>, view: &View<'_>) -> Vec<Held> {
    let mut all: Vec<Held> =
        files::files(pod, container).into_iter().map(|(_, held)| held).collect();
    for mount in container.spec.volume_mounts.iter().flatten() {
        let mut volumes = pod.spec.volumes.iter().flatten();
        let Some(volume) = volumes.find(|volume| volume.name == mount.name) else {
            continue;
        };
        for (source, name, items) in files::sources(volume) {
            let is_whole = items.as_ref().is_none_or(Vec::is_empty) && mount.sub_path.is_none();
            if !is_whole {
                continue;
            }
            let map = || view.get::<ConfigMap>(&pod.namespace, name).found();
            let secret = || view.get::<Secret>(&pod.namespace, name).found();
            let keys: Vec<String> = match source {
                Source::ConfigMap => {
                    map().iter().flat_map(|map| map.data.iter().flatten()).map(|(key, _)| key.clone()).collect()
                }
                Source::Secret => {
                    secret().iter().flat_map(|secret| &secret.keys).cloned().collect()
                }
            };
            all.extend(keys.into_iter().map(|key| Held { source, name: name.to_owned(), key }));
        }
    }
    all
}

/// The certificates of the authorities that a container was told to trust: the file that its
/// variables and arguments name, else the only one that is called so.
fn authority(pod: &Pod, container: &Container<'_>, view: &View<'_>) -> Option<Culprit> {
    let is_authority = |file: &str| {
        let file = file.to_lowercase();
        let parts = file.split(|c: char| !c.is_alphanumeric());
        file.contains("trust")
            || { parts }.any(|part| ["ca", "cacert", "cacerts", "root", "bundle"].contains(&part))
    };
    let variables = given::variables(pod, container, view);
    let values = variables.iter().filter_map(|variable| variable.value.as_deref());
    let (command, args) = (container.spec.command.iter(), container.spec.args.iter());
    let texts = values.chain(command.chain(args).flatten().map(String::as_str));
    let paths = texts.flat_map(|text| text.split(|c: char| c.is_whitespace() || "=,;?&".contains(c)));
    let named = paths
        .filter(|path| path.starts_with('/'))
        .filter_map(|path| files::holder(pod, container, path))
        .find(|held| is_authority(&held.key));
    let mut called = keys(pod, container, view);
    called.retain(|held| is_authority(&held.key));
    called.dedup();
    let only = || match called.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    Some(named.or_else(only)?.culprit(&pod.namespace))
}

/// The words of a message that can only be names of settings, for they are no words of a language
/// or stand in quotes: `listeners.tcp.default`, `scrape_interval`.
fn settings(problem: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let words = problem.split(move |c| !is_of_name(c));
    let words = words.map(|word| word.trim_matches(['.', '-']));
    let words = words.filter(|word| word.len() > 4 && word.contains(['.', '_', '-']));
    let quoted = problem.split(['"', '\'']).skip(1).step_by(2);
    words.chain(quoted.filter(|word| word.len() > 2))
}
