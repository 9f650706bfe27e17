//! The program as a whole, as far as it needs no cluster.

mod live;
mod run;
