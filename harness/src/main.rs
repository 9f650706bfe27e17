//! The command line of crashbook.

fn main() {}
