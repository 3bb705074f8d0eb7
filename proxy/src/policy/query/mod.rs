//! `QueryFilter`: what of a query enters the key, and is forwarded.
//!
//! Parameters are the pieces between `&`; no other character divides them. Their names end at the
//! first `=`, and are compared after percent-decoding, as origins decode them. What stays keeps its
//! bytes and its order. A query from which nothing is dropped stays as it is, `&&` and a bare `?`
//! included; with a parameter that is dropped go empty pieces, and with the last piece the `?`.

mod parameter;
mod reflection;

use settings::{QueryParameters, QuerySettings};
use smallvec::SmallVec;

use self::parameter::Parameter;
pub(super) use self::parameter::decoded;
pub use self::reflection::reflect;
use super::name_pattern_table::NamePatternTable;

#[derive(Clone, Debug)]
pub struct QueryFilter {
    names: NamePatternTable<()>,
    listed: Listed,
    sort: bool,
    reflect: bool,
}

/// The fate of the parameters whose names are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Dropped,
    Kept,
}

/// A target from which something was dropped, or which was sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilteredQuery {
    pub target: String,
    /// The parameters that were dropped and are to be reflected.
    pub dropped: Option<Box<str>>,
}

impl QueryFilter {
    pub fn new(settings: &QuerySettings) -> Self {
        let QuerySettings { parameters, sort, reflect } = settings;
        let (patterns, listed) = match parameters {
            QueryParameters::Drop(names) => (names.as_slice(), Listed::Dropped),
            QueryParameters::Keep(names) => (names.as_slice(), Listed::Kept),
            QueryParameters::Ignored => (&[][..], Listed::Kept),
        };
        let names = NamePatternTable::new(patterns.iter().map(|pattern| (pattern, ())));
        Self { names, listed, sort: *sort, reflect: *reflect }
    }

    /// Filters a path with its query. `None`: it stays as it is.
    pub fn apply(&self, target: &str) -> Option<FilteredQuery> {
        let (path, query) = target.split_once('?')?;
        self.changes(query).then(|| self.rewrite(path, query))
    }

    /// Returns whether a query would not stay as it is. Allocates nothing.
    fn changes(&self, query: &str) -> bool {
        if self.listed == Listed::Dropped && self.names.is_empty() && !self.sort {
            return false;
        }
        let mut earlier: Option<Parameter<'_>> = None;
        query.split('&').map(Parameter).any(|parameter| {
            // An empty piece is no parameter: nothing is dropped with it alone, unless only some
            // parameters are kept.
            let is_dropped = if parameter.is_empty() {
                self.listed == Listed::Kept || self.sort
            } else {
                !self.stays(parameter)
            };
            let is_unsorted = self.sort
                && earlier.replace(parameter).is_some_and(|earlier| earlier.is_after(parameter));
            is_dropped || is_unsorted
        })
    }

    #[cold]
    fn rewrite(&self, path: &str, query: &str) -> FilteredQuery {
        let parameters = query.split('&').map(Parameter).filter(|parameter| !parameter.is_empty());
        let (mut kept, dropped): (SmallVec<[Parameter<'_>; 16]>, SmallVec<[Parameter<'_>; 16]>) =
            parameters.partition(|parameter| self.stays(*parameter));
        if self.sort {
            kept.sort_by(|one, other| one.compare(*other)); // stable
        }
        let mut target = String::with_capacity(path.len() + 1 + query.len());
        target.push_str(path);
        for (number, parameter) in kept.iter().enumerate() {
            target.push(if number == 0 { '?' } else { '&' });
            target.push_str(parameter.0);
        }
        let texts = || dropped.iter().map(|parameter| parameter.0).collect::<Vec<_>>().join("&");
        let is_reflected = self.reflect && !dropped.is_empty();
        FilteredQuery { target, dropped: is_reflected.then(|| texts().into()) }
    }

    fn stays(&self, parameter: Parameter<'_>) -> bool {
        let is_listed = parameter.with_name(|name| self.names.get(name).is_some());
        is_listed == (self.listed == Listed::Kept)
    }
}

#[cfg(test)]
mod tests;
