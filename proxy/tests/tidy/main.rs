//! The style that a machine can check: file heads, sizes, floors, circles, types and prose.
//!
//! `cargo test -p shellac --test tidy -- --ignored --nocapture` prints the violations of the checks
//! that do not hold yet, by folder, with the figures.

#[cfg(test)]
mod circles;
#[cfg(test)]
mod code;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod modules;
#[cfg(test)]
mod prose;
#[cfg(test)]
mod report;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod types;
