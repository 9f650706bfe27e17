//! One run of one scenario, and the suite that runs many side by side.
//!
//! - [`suite`] runs scenarios side by side, each by [`pipeline`]: preflight, baseline, inject,
//!   symptom, verdict, fix, recovery, sweep
//! - [`embedded`] runs scenarios on embedded clusters, each on one of its own
//! - [`verbs`] acts; [`sight`] sees, without the detector; [`proof`] and [`health`] tell what that
//!   proves
//! - [`detector`] is what the detector under test says, [`attribution`] of whom, and [`judge`]
//!   whether it is right
//! - [`outcome`] is the report, [`story`] what is told where it is no good one, [`signals`] what the
//!   cluster showed of the fault

pub mod attribution;
pub mod cluster;
pub mod detector;
pub mod embedded;
pub mod health;
pub mod judge;
pub mod outcome;
pub mod pipeline;
pub mod proof;
pub mod sight;
pub mod signals;
pub mod stop;
pub mod story;
pub mod suite;
pub mod verbs;
