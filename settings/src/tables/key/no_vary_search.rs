//! `key.no_vary_search`: what responses declare about the parameters of their query.

/// The use of what a response declares about its query, in `No-Vary-Search` or `Shellac-Vary`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoVarySearch {
    /// It answers requests for all URLs that are equivalent by its declaration.
    #[default]
    Heed,
    /// It answers requests for its own URL only.
    Ignore,
}

pub(super) const NO_VARY_SEARCH: [(&str, NoVarySearch); 2] =
    [("heed", NoVarySearch::Heed), ("ignore", NoVarySearch::Ignore)];
