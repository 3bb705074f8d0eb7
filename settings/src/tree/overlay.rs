//! `Overlay`: a setting from the environment or a flag.

use super::{Location, Node};

/// A value that overrides the file.
pub(super) struct Overlay {
    /// The keys that lead to the setting.
    pub(super) path: Vec<String>,
    /// Its place.
    pub(super) place: Location,
    pub(super) node: Node,
}
