//! What is said of every recorded state of a real cluster, held against `recordings/verdicts.txt`.
//!
//! `CRASHBOOK_UPDATE=1 cargo test -p crashbook --test recordings` writes that file anew; each line
//! that changes is to be judged by hand against what really was wrong.

use std::fs;
use std::path::Path;

use crashbook::diagnose;

#[test]
fn every_recorded_state_is_judged_as_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut states: Vec<_> = (fs::read_dir(&folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".tar.gz"))
        .collect();
    states.sort();
    assert!(!states.is_empty());
    let mut said = String::new();
    for state in states {
        let name = state.file_name().unwrap().to_string_lossy().into_owned();
        said += &format!("{}\n", name.trim_end_matches(".tar.gz"));
        let input = diagnose::read(&state, crashbook::clock::now()).unwrap();
        assert!(
            input.passed_over.is_empty(),
            "{name}: {:?}",
            input.passed_over
        );
        for verdict in diagnose::report(input).verdicts {
            said += &format!("  {} ({})\n", verdict.identity(), verdict.confidence);
        }
    }
    let expected = folder.join("verdicts.txt");
    if std::env::var_os("CRASHBOOK_UPDATE").is_some() {
        fs::write(&expected, &said).unwrap();
    }
    let expected = fs::read_to_string(&expected).unwrap_or_default();
    assert!(said == expected, "expected:\n{expected}\nsaid:\n{said}");
}
