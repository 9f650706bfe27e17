//! `crashbook explain`.

use clap::Args;
use crashbook_detector::{Class, rules};

use super::{Exit, print};

/// Tells what a class of verdict finds, how it tells, what looks like it, and what to do.
#[derive(Debug, Args)]
#[command(after_help = "Example: crashbook explain config-map-missing")]
pub(super) struct Explain {
    /// The class, such as `config-map-missing`; without one, all are listed.
    class: Option<String>,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(name) = self.class else {
            print(&list());
            return Ok(Exit::Pass);
        };
        let Ok(class) = name.parse::<Class>() else {
            eprintln!("error: there is no class `{name}`{}", nearest(&name));
            return Ok(Exit::Usage);
        };
        print(&section(class));
        Ok(Exit::Pass)
    }
}

/// Every class, by phase, with what it finds in a line.
fn list() -> String {
    let mut text = String::new();
    let width = Class::ALL.iter().map(|class| class.name().len()).max();
    let width = width.unwrap_or_default();
    let mut phase = None;
    for class in Class::ALL {
        if phase.replace(class.phase()) != Some(class.phase()) {
            text += &format!("{}:\n", class.phase());
        }
        let title = rules::documentation(*class).unwrap_or_default();
        let mut paragraphs = title
            .split(
                "

",
            )
            .filter(|text| !text.starts_with('#'));
        let title = paragraphs.next().unwrap_or_default().replace('\n', " ");
        text += format!("  {class:width$}  {title}").trim_end();
        text += "\n";
    }
    text
}

/// The class's name as a heading, its phase, and what its rule says of itself.
fn section(class: Class) -> String {
    let documentation = rules::documentation(class)
        .unwrap_or_else(|| "No rule finds this class yet.\n".to_owned())
        .replace("\n# ", "\n### ");
    format!("## {class}\n\nPhase: {}. {documentation}", class.phase())
}

/// The names that were perhaps meant.
fn nearest(name: &str) -> String {
    let mut near: Vec<(usize, &str)> = (Class::ALL.iter())
        .map(|class| {
            (
                strsim::damerau_levenshtein(name, class.name()),
                class.name(),
            )
        })
        .filter(|(distance, class)| *distance <= name.len() / 3 || class.contains(name))
        .collect();
    near.sort_unstable();
    match near.as_slice() {
        [] => ": `crashbook explain` lists all".to_owned(),
        [(_, one), ..] => format!(": did you mean `{one}`?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_of_the_classes_is_up_to_date() {
        let mut text = "# Classes\n\nWhat the detector finds. Generated from the documentation of \
                        its rules: `CRASHBOOK_UPDATE=1 cargo test -p crashbook --lib` writes it \
                        anew.\n"
            .to_owned();
        for class in Class::ALL {
            text += "\n";
            text += &section(*class);
        }
        crate::generated::check("docs/classes.md", &text);
    }

    #[test]
    fn a_misspelt_class_is_answered_with_the_nearest() {
        assert_eq!(
            nearest("config-map-misssing"),
            ": did you mean `config-map-missing`?"
        );
        assert!(nearest("zzz").contains("lists all"));
    }
}
