//! The program as a whole, as far as it needs no cluster.

mod diagnose;
mod live;
mod lookalikes;
mod run;
