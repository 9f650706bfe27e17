//! What a container was given, and the field that gives it.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ConfigMap, Service};

use crate::facts::{Container, LogLine, Pod, Secret};
use crate::kubernetes::files;
use crate::kubernetes::references::{ConfigReference, Source, config_references};
use crate::kubernetes::services;
use crate::signatures::Said;
use crate::verdict::{Culprit, Reference};
use crate::view::{View, Workload};

/// The field of a container that names this file, argument or host: an item of its arguments or
/// command, or a variable. What has it as a word of its own comes before what only contains it.
pub(super) fn mention(
    container: &Container<'_>,
    workload: &Workload,
    text: &str,
) -> Option<Culprit> {
    let all = texts(container);
    let mut ways: [&dyn Fn(&str) -> bool; 3] = [
        &|given| has_word(given, text, "_-."),
        &|given| has_word(given, text, "_"),
        &|given| given.contains(text),
    ];
    let found = ways
        .iter_mut()
        .find_map(|is_meant| all.iter().find(|(given, _)| is_meant(given)));
    Some(workload.culprit(&found?.1))
}

/// The arguments, command and plain variables of a container, with their fields.
fn texts<'c>(container: &Container<'c>) -> Vec<(&'c str, String)> {
    let (path, spec) = (container.path(), container.spec);
    let args = spec.args.iter().flatten().enumerate();
    let command = spec.command.iter().flatten().enumerate();
    let variables = spec.env.iter().flatten().enumerate();
    let variables = variables.filter_map(|(at, variable)| Some((at, variable.value.as_ref()?)));
    args.map(|(at, given)| (given.as_str(), format!("{path}.args[{at}]")))
        .chain(command.map(|(at, given)| (given.as_str(), format!("{path}.command[{at}]"))))
        .chain(variables.map(|(at, given)| (given.as_str(), format!("{path}.env[{at}].value"))))
        .collect()
}

/// Whether a text stands by itself in another: what is around it cannot go on with it, be it a
/// letter, a digit, or one of the joints.
fn has_word(given: &str, text: &str, joints: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || joints.contains(c);
    given.match_indices(text).any(|(at, _)| {
        let before = given.get(..at).unwrap_or_default();
        let after = given.get(at + text.len()..).unwrap_or_default();
        !before.ends_with(goes_on) && !after.starts_with(goes_on) && !after.starts_with('/')
    })
}

/// A variable of a container.
pub(super) struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; none where a Secret, or the pod itself, holds it.
    pub value: Option<String>,
    /// The field that gives it.
    pub culprit: Culprit,
}

/// The variables that a container was given.
pub(super) fn variables(pod: &Pod, container: &Container<'_>, view: &View<'_>) -> Vec<Variable> {
    let workload = view.workload(pod);
    let path = container.path();
    let mut variables = Vec::new();
    for (index, variable) in container.spec.env.iter().flatten().enumerate() {
        let field = format!("{path}.env[{index}]");
        let from = variable.value_from.as_ref();
        let of_pod = from.and_then(|from| from.field_ref.as_ref());
        let held = files::holder_of_variable(container, &variable.name);
        let (value, culprit) = match (&variable.value, held) {
            (Some(value), _) => {
                let culprit = workload.culprit(&format!("{field}.value"));
                (Some(value.clone()), culprit)
            }
            (None, Some(held)) => {
                let map = || view.get::<ConfigMap>(&pod.namespace, &held.name).found();
                let map = (held.source == Source::ConfigMap).then(map).flatten();
                let value = map.and_then(|map| map.data.as_ref()?.get(&held.key).cloned());
                (value, held.culprit(&pod.namespace))
            }
            (None, None) => {
                let namespace = of_pod.filter(|from| from.field_path == "metadata.namespace");
                let value = namespace.map(|_| pod.namespace.clone());
                (value, workload.culprit(&field))
            }
        };
        variables.push(Variable {
            name: variable.name.clone(),
            value,
            culprit,
        });
    }
    for from in container.spec.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let mut add = |key: &str, value: Option<String>, holder: Reference| {
            variables.push(Variable {
                name: format!("{prefix}{key}"),
                value,
                culprit: holder.field(format!("data[{key:?}]")),
            });
        };
        if let Some(source) = &from.config_map_ref {
            let map = view.get::<ConfigMap>(&pod.namespace, &source.name).found();
            for (key, value) in map.and_then(|map| map.data.as_ref()).into_iter().flatten() {
                let holder = Reference::namespaced("ConfigMap", &pod.namespace, &source.name);
                add(key, Some(value.clone()), holder);
            }
        }
        if let Some(source) = &from.secret_ref {
            let secret = view.get::<Secret>(&pod.namespace, &source.name).found();
            for key in secret.iter().flat_map(|secret| &secret.keys) {
                let holder = Reference::namespaced("Secret", &pod.namespace, &source.name);
                add(key, None, holder);
            }
        }
    }
    variables
}

/// The variable of this name, as programs write it: `server.port` and `serverPort` are SERVER_PORT.
pub(super) fn named<'v>(variables: &'v [Variable], name: &str) -> Option<&'v Variable> {
    let exact = variables.iter().find(|variable| variable.name == name);
    exact.or_else(|| {
        let plain = plain(name);
        variables
            .iter()
            .find(|variable| self::plain(&variable.name) == plain)
    })
}

/// The variable that a text names; or the only one whose name ends with what the text calls a
/// setting, for programs leave out what all of their variables begin with.
pub(super) fn named_in<'v>(variables: &'v [Variable], text: &str) -> Option<&'v Variable> {
    const SHORTEST: usize = 3;
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    let words = text
        .split(|c| !is_of_name(c))
        .map(|word| word.trim_matches(['.', ':', '-']));
    let words: Vec<&str> = words.filter(|word| word.len() > SHORTEST).collect();
    let exact = words
        .iter()
        .find_map(|word| variables.iter().find(|variable| variable.name == *word));
    let settings = || {
        words
            .iter()
            .map(|word| plain(word))
            .filter(|word| word.contains('_'))
    };
    let alike = || {
        settings().find_map(|word| {
            variables
                .iter()
                .find(|variable| plain(&variable.name) == word)
        })
    };
    let ending = || {
        settings().find_map(|word| {
            let end = format!("_{word}");
            let mut all = variables
                .iter()
                .filter(|variable| plain(&variable.name).ends_with(&end));
            all.next().filter(|_| all.next().is_none())
        })
    };
    exact.or_else(alike).or_else(ending)
}

/// A name in capitals, its parts joined by one line each.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len() + 4);
    let mut before = '_';
    for c in name.chars() {
        let is_hump = c.is_ascii_uppercase() && before.is_ascii_lowercase();
        let is_joint = !c.is_ascii_alphanumeric();
        if (is_hump || is_joint) && !plain.ends_with('_') && !plain.is_empty() {
            plain.push('_');
        }
        if !is_joint {
            plain.push(c.to_ascii_uppercase());
        }
        before = c;
    }
    plain.trim_end_matches('_').to_owned()
}

/// What gives a container a value that its program refuses.
pub(super) struct Giver {
    /// The field that gives it.
    pub culprit: Culprit,
    /// The variable, where it is one.
    pub variable: Option<String>,
}

impl From<&Variable> for Giver {
    fn from(variable: &Variable) -> Self {
        Self {
            culprit: variable.culprit.clone(),
            variable: Some(variable.name.clone()),
        }
    }
}

impl From<Culprit> for Giver {
    fn from(culprit: Culprit) -> Self {
        Self {
            culprit,
            variable: None,
        }
    }
}

/// What gives a container the value that it refuses, by its words; none where it was not given it,
/// so that it is one that it read or was sent. What the lines around name counts where its value is
/// not known to be another, and of several with this value first.
pub(super) fn refused(
    pod: &Pod,
    container: &Container<'_>,
    said: &Said,
    (lines, at): (&[LogLine], usize),
    view: &View<'_>,
) -> Option<Giver> {
    let variables = variables(pod, container, view);
    let line = lines.get(at).map_or("", |line| &line.text);
    let by_name = match said.field("name") {
        Some(name) => named(&variables, name),
        None => named_in(&variables, line),
    };
    let Some(value) = said.field("value").filter(|_| by_name.is_none()) else {
        return by_name.map(Giver::from);
    };
    let mut exact = variables
        .iter()
        .filter(|variable| variable.value.as_deref() == Some(value));
    let first = exact.next();
    let only = first.filter(|_| exact.next().is_none());
    let may_be = |variable: &&Variable| {
        let known = variable.value.as_ref();
        known.is_none_or(|known| known.contains(value))
    };
    let around = || around(lines, at);
    let nearby = || {
        let mut named = around().filter_map(|line| named_in(&variables, line));
        named.find(may_be)
    };
    let workload = view.workload(pod);
    // It may come with the image.
    let in_source = || {
        Some(Giver {
            variable: Some(around().find_map(looked_up)?.to_owned()),
            culprit: workload.culprit(&format!("{}.env", container.path())),
        })
    };
    let argument = || {
        let given = texts(container);
        let (_, field) = given
            .iter()
            .find(|(given, _)| has_word(given, value, "_-."))?;
        Some(workload.culprit(field))
    };
    only.map(Giver::from)
        .or_else(|| service_link(pod, value, view))
        .or_else(|| nearby().or(first).map(Giver::from))
        .or_else(in_source)
        .or_else(|| {
            argument()
                .or_else(|| in_text(pod, value, view))
                .map(Giver::from)
        })
}

/// A few lines before and after one, and itself.
fn around(lines: &[LogLine], at: usize) -> impl Iterator<Item = &str> {
    const AROUND: usize = 3;
    let from = lines.get(at.saturating_sub(AROUND)..).unwrap_or_default();
    from.iter().take(2 * AROUND).map(|line| line.text.as_str())
}

/// The variable that a line of a program's source looks up.
fn looked_up(line: &str) -> Option<&str> {
    const WAYS: &[&str] = &[
        "environ[",
        "environ.get(",
        "etenv(",
        "ENV[",
        "ENV.fetch(",
        "process.env.",
    ];
    let (at, way) = WAYS.iter().find_map(|way| Some((line.find(way)?, way)))?;
    let rest = line.get(at + way.len()..)?.trim_start_matches(['"', '\'']);
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    rest.get(..end).filter(|name| !name.is_empty())
}

/// The variable that the kubelet makes of a Service, `NAME_PORT=tcp://10.96.0.7:80`, where a text
/// holds its value: it stands in the way of the program's own of that name.
pub(super) fn service_link(pod: &Pod, text: &str, view: &View<'_>) -> Option<Giver> {
    let (_, rest) = text.split_once("tcp://")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let address: IpAddr = rest.get(..end)?.parse().ok()?;
    let is_near =
        |service: &&Service| service.metadata.namespace.as_deref() == Some(pod.namespace.as_str());
    let service = view.services_at(address).find(is_near)?;
    if pod.spec.enable_service_links == Some(false) {
        return None;
    }
    Some(Giver {
        culprit: view.workload(pod).culprit("spec.enableServiceLinks"),
        variable: Some(format!(
            "{}_PORT",
            plain(&services::reference(service).name)
        )),
    })
}

/// The key of a ConfigMap of the pod in whose text this stands as a word.
pub(super) fn in_text(pod: &Pod, text: &str, view: &View<'_>) -> Option<Culprit> {
    const SHORTEST: usize = 3;
    if text.len() < SHORTEST {
        return None;
    }
    let holds = |reference: ConfigReference| {
        let map = view
            .get::<ConfigMap>(&pod.namespace, &reference.name)
            .found()?;
        let mut texts = map.data.iter().flatten();
        let (key, _) = texts.find(|(_, held)| has_word(held, text, "_-"))?;
        let object = Reference::namespaced("ConfigMap", &pod.namespace, &reference.name);
        Some(object.field(format!("data[{key:?}]")))
    };
    let maps = config_references(pod).into_iter();
    maps.filter(|reference| {
        reference.source == Source::ConfigMap && reference.name != "kube-root-ca.crt"
    })
    .find_map(holds)
}
