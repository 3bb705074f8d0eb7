//! `Captures`: the parts of a path that a pattern left open.

/// The whole path, and the text under each `*` and `**` of a glob, or of each group of an
/// expression, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures<'p> {
    all: Vec<&'p str>,
}

impl<'p> Captures<'p> {
    /// Returns the captures of a pattern that leaves nothing open.
    pub fn whole(path: &'p str) -> Self {
        Self { all: vec![path] }
    }

    pub(super) fn push(&mut self, text: &'p str) {
        self.all.push(text);
    }

    /// Returns the text of `$number`; `$0` is the path. A group that took no part is empty.
    pub fn get(&self, number: usize) -> &'p str {
        self.all.get(number).copied().unwrap_or_default()
    }

    /// Returns the number of parts, without the whole.
    pub fn len(&self) -> usize {
        self.all.len().saturating_sub(1)
    }

    /// Returns whether the pattern left nothing open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
