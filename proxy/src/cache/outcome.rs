//! `Outcome`: how a request was answered, in one word.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Hit,
    Stale,
    /// From the store, after the origin confirmed it.
    Revalidated,
    /// From the origin; it may have been stored.
    Miss,
    Bypass,
    /// From the origin; it could not be stored.
    Uncacheable,
    Synthetic,
    Purge,
}

impl Outcome {
    pub const ALL: [Self; 8] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Bypass,
        Self::Uncacheable,
        Self::Synthetic,
        Self::Purge,
    ];

    /// Returns whether it is a stored response that nothing was waited for.
    pub const fn is_of_store(self) -> bool {
        matches!(self, Self::Hit | Self::Stale)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
            Self::Uncacheable => "uncacheable",
            Self::Synthetic => "synthetic",
            Self::Purge => "purge",
        }
    }
}
