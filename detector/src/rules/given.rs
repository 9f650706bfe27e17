//! What a container was given in its own specification, and the field that gives it.

use crate::facts::Container;
use crate::verdict::Culprit;
use crate::view::Workload;

/// The field of a container that names this file, argument or host: an item of its arguments or
/// command, or a variable. What has it as a word of its own comes before what only contains it.
pub(super) fn mention(
    container: &Container<'_>,
    workload: &Workload,
    text: &str,
) -> Option<Culprit> {
    let (path, spec) = (container.path(), container.spec);
    let args = spec.args.iter().flatten().enumerate();
    let command = spec.command.iter().flatten().enumerate();
    let variables = spec.env.iter().flatten().enumerate();
    let variables = variables.filter_map(|(at, variable)| Some((at, variable.value.as_ref()?)));
    let all: Vec<(&String, String)> = args
        .map(|(at, given)| (given, format!("{path}.args[{at}]")))
        .chain(command.map(|(at, given)| (given, format!("{path}.command[{at}]"))))
        .chain(variables.map(|(at, given)| (given, format!("{path}.env[{at}].value"))))
        .collect();
    let as_word = all.iter().find(|(given, _)| is_word_of(text, given));
    let (_, field) = as_word.or_else(|| all.iter().find(|(given, _)| given.contains(text)))?;
    Some(workload.culprit(field))
}

/// Whether a text stands by itself in another: what is around it cannot go on with it.
fn is_word_of(text: &str, given: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    given.match_indices(text).any(|(at, _)| {
        let before = given.get(..at).unwrap_or_default();
        let after = given.get(at + text.len()..).unwrap_or_default();
        !before.ends_with(goes_on) && !after.starts_with(goes_on) && !after.starts_with('/')
    })
}
