//! Models of the file store's `segment_state`, which decides who reads a segment and when it is
//! overwritten: `cargo test -p shellac-loom` runs that very file in every order that loom's atomics
//! allow. (The cfg `loom` is not set: tokio would react to it.)

#[cfg(test)]
mod sync;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../src/store/file/device/segment_state.rs"]
mod segment_state;
