//! What a suite of runs prints: JSON, JUnit, a summary, and a live line for each run.

mod json;
mod junit;
mod live;
mod text;

pub use json::json;
pub use junit::junit;
pub use live::Live;
pub use text::text;

#[cfg(test)]
mod tests;
