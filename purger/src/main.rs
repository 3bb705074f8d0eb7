//! `shellac-purger`: the purger's program.

fn main() {}
