//! Files of the repository that are generated from the code: a test keeps each as it would be.

use std::path::Path;

/// Fails unless the file holds exactly this; with `CRASHBOOK_UPDATE=1` in the environment it is
/// written instead.
pub(crate) fn check(file: &str, content: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(file);
    if std::env::var_os("CRASHBOOK_UPDATE").is_some() {
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == content,
        "{file} is out of date: run `CRASHBOOK_UPDATE=1 cargo test -p crashbook --lib`"
    );
}
