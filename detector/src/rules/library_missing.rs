//! A shared library, module or file of the program is not in the image.
//!
//! # What it finds
//!
//! A container that ends because its program lacks a part of itself: a shared library, a module, a
//! class, a script, that no configuration names.
//!
//! # How it tells
//!
//! The last run failed, and the last thing that it printed, of all that is understood, is such a
//! message: of the loaders of glibc and musl, of Python, Node.js, Ruby, Java, PHP, Perl or .NET.
//!
//! # Not before
//!
//! At once: what is not in an image will not come. Over when the present run has outlasted twice
//! the last plus 10 s.
//!
//! # Looks like
//!
//! - `app-config-invalid`: what is missing is named by the configuration.
//! - `command-not-found`: the program itself is missing.
//! - `permission-denied`: the file is there and may not be read.
//!
//! # Remedy
//!
//! Use an image that has it.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::{app_config_invalid, failing};
use crate::rules::{Judge, Need, Rule};
use crate::signatures::Meaning;
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::LibraryMissing,
    needs: &[Need::Words],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        if failing.ended.is_none_or(|ended| ended.exit_code == 0) {
            continue;
        }
        let is_missing =
            |meaning| matches!(meaning, Meaning::LibraryMissing | Meaning::FileMissing);
        let Some((line, said)) = failing.main_if(is_missing) else {
            continue;
        };
        // What the configuration names is the configuration's mistake.
        let file = said.field("file").filter(|_| said.meaning == Meaning::FileMissing);
        let container = &failing.container;
        if file.is_some_and(|file| app_config_invalid::configured(pod, container, file, view).is_some())
        {
            continue;
        }
        let workload = view.workload(pod);
        let name = failing.container.name();
        let file = said
            .field("file")
            .or_else(|| failing.field(Meaning::LibraryMissing, "file"));
        let image = failing.container.spec.image.as_deref().unwrap_or_default();
        let summary = format!(
            "Container {name} of {} lacks {}, which its image {image} does not have",
            workload.reference,
            file.unwrap_or("a part of its program"),
        );
        let kubectl = workload.reference.kubectl();
        let finding = Finding::new(
            Class::LibraryMissing,
            workload.reference.clone(),
            workload.culprit(&format!("{}.image", failing.container.path())),
            failing.since,
            summary,
        )
        .container(name)
        .detail("file", file)
        .evidence(failing.quote(line))
        .evidence([failing.symptom.clone()])
        .remedy(
            "Use an image that has it",
            format!("kubectl set image {kubectl} {name}=IMAGE"),
        );
        findings.push(finding);
    }
}
