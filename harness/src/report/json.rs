use crate::run::outcome::Suite;

/// The report as JSON, of the form [`Suite::SCHEMA`], with an end of line.
///
/// # Errors
///
/// None that a suite can bring about: every map in it has strings as keys.
pub fn json(suite: &Suite) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(suite)? + "\n")
}
