//! One run of one scenario, and the suite that runs many side by side.

pub mod judge;
