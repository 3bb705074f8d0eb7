//! The style that a machine can check: file heads, sizes, floors, circles, types and prose.

#[cfg(test)]
mod circles;
#[cfg(test)]
mod code;
#[cfg(test)]
mod documents;
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
