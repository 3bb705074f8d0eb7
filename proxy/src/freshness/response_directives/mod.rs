//! Cache directives of a response (RFC 9111 §5.2.2), from the one field that governs this cache.
//!
//! The first of these that says anything governs alone; `Expires` has a say only beside the last:
//!
//! 1. `CDN-Cache-Control`, a targeted field (RFC 9213)
//! 2. `Surrogate-Control` (W3C Edge Architecture)
//! 3. `Cache-Control`
//!
//! Where a directive is repeated, its first occurrence counts (§4.2.1). A number that cannot be
//! read is zero: the response is stale, the window is empty. An argument where none belongs changes
//! nothing.

mod surrogate;
mod targeted;

use http::HeaderName;
use http::header::{CACHE_CONTROL, HeaderMap};
use smallvec::SmallVec;

use crate::field::delta_seconds::DeltaSeconds;
use crate::freshness::directive::{Argument, Directive, directives, members};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    flags: u8,
    /// `max-age` (§5.2.2.1).
    pub(crate) max_age: Option<DeltaSeconds>,
    /// `s-maxage` (§5.2.2.10).
    pub(crate) s_maxage: Option<DeltaSeconds>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub(crate) stale_while_revalidate: Option<DeltaSeconds>,
    /// `stale-if-error` (RFC 5861 §4).
    pub(crate) stale_if_error: Option<DeltaSeconds>,
    /// A targeted field governs: `Expires` is ignored (RFC 9213 §2.2).
    pub(crate) ignores_expires: bool,
    qualified_fields: SmallVec<[HeaderName; 1]>,
}

/// A directive without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// `must-revalidate` (§5.2.2.2).
    MustRevalidate = 1,
    /// `must-understand` (§5.2.2.3).
    MustUnderstand = 1 << 1,
    /// `no-cache` (§5.2.2.4) without field names.
    NoCache = 1 << 2,
    /// `no-store` (§5.2.2.5).
    NoStore = 1 << 3,
    /// `private` (§5.2.2.7) without field names.
    Private = 1 << 4,
    /// `proxy-revalidate` (§5.2.2.8).
    ProxyRevalidate = 1 << 5,
    /// `public` (§5.2.2.9).
    Public = 1 << 6,
    /// `immutable` (RFC 8246).
    Immutable = 1 << 7,
}

impl ResponseDirectives {
    pub fn of(headers: &HeaderMap) -> Self {
        targeted::directives_of(headers)
            .or_else(|| surrogate::directives_of(headers))
            .unwrap_or_else(|| Self::of_cache_control(headers))
    }

    /// Returns the fields named by `no-cache="..."` and `private="..."` (§5.2.2.4, §5.2.2.7): they
    /// are not stored.
    pub fn qualified_fields(&self) -> &[HeaderName] {
        &self.qualified_fields
    }

    /// Returns whether everyone may be given the response (§5.2.2.9).
    pub fn is_public(&self) -> bool {
        self.has(Flag::Public)
    }

    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    /// Ignores what forbids to store, to share, or to use without validation.
    pub(crate) fn forget_prohibitions(&mut self) {
        let forbidding = [Flag::NoCache, Flag::NoStore, Flag::Private, Flag::MustRevalidate];
        for flag in forbidding.into_iter().chain([Flag::ProxyRevalidate]) {
            self.flags &= !(flag as u8);
        }
    }

    /// Adds one directive; unknown ones are ignored (§5.2.3).
    pub(crate) fn add(&mut self, directive: &Directive<'_>) {
        if let Some(seconds) = self.seconds_mut(directive) {
            seconds.get_or_insert_with(|| read_seconds(directive.argument));
        } else if directive.is("no-cache") {
            self.add_qualifiable(Flag::NoCache, directive.argument);
        } else if directive.is("private") {
            self.add_qualifiable(Flag::Private, directive.argument);
        } else if let Some((_name, flag)) = FLAGS.iter().find(|(name, _flag)| directive.is(name)) {
            self.insert(*flag);
        }
    }

    /// Starts the directives of a targeted field: beside it, `Expires` is ignored.
    pub(crate) fn targeted() -> Self {
        Self { ignores_expires: true, ..Self::default() }
    }

    fn of_cache_control(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        directives(headers, CACHE_CONTROL).for_each(|directive| all.add(&directive));
        all
    }

    fn insert(&mut self, flag: Flag) {
        self.flags |= flag as u8;
    }

    fn seconds_mut(&mut self, directive: &Directive<'_>) -> Option<&mut Option<DeltaSeconds>> {
        match directive {
            _ if directive.is("max-age") => Some(&mut self.max_age),
            _ if directive.is("s-maxage") => Some(&mut self.s_maxage),
            _ if directive.is("stale-while-revalidate") => Some(&mut self.stale_while_revalidate),
            _ if directive.is("stale-if-error") => Some(&mut self.stale_if_error),
            _ => None,
        }
    }

    /// With a list of field names the directive speaks about those fields; with a broken one, about
    /// the response.
    fn add_qualifiable(&mut self, flag: Flag, argument: Argument<'_>) {
        match argument {
            Argument::Text(list) => match field_names(list) {
                Some(names) => self.qualified_fields.extend(names),
                None => self.insert(flag),
            },
            Argument::Absent | Argument::Malformed => self.insert(flag),
        }
    }
}

/// `no-cache` and `private` are not here: they may be qualified.
const FLAGS: [(&str, Flag); 6] = [
    ("must-revalidate", Flag::MustRevalidate),
    ("must-understand", Flag::MustUnderstand),
    ("no-store", Flag::NoStore),
    ("proxy-revalidate", Flag::ProxyRevalidate),
    ("public", Flag::Public),
    ("immutable", Flag::Immutable),
];

/// Reads delta-seconds in either syntax; what cannot be read is zero (§4.2.1).
fn read_seconds(argument: Argument<'_>) -> DeltaSeconds {
    match argument {
        Argument::Text(text) => DeltaSeconds::parse(text).unwrap_or(DeltaSeconds::ZERO),
        Argument::Absent | Argument::Malformed => DeltaSeconds::ZERO,
    }
}

/// Reads `#field-name`: at least one, and nothing else.
fn field_names(list: &[u8]) -> Option<SmallVec<[HeaderName; 1]>> {
    let names: SmallVec<[HeaderName; 1]> = members(list)
        .filter(|name| !name.is_empty())
        .map(|name| HeaderName::from_bytes(name).ok())
        .collect::<Option<_>>()?;
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, Flag, ResponseDirectives};
    use crate::field::delta_seconds::DeltaSeconds;
    use crate::freshness::tests::headers;

    fn cache_control(field: &str) -> ResponseDirectives {
        ResponseDirectives::of(&headers(&[("cache-control", field)]))
    }

    #[test]
    fn seconds_are_a_token_or_a_quoted_string_and_zero_if_unreadable() {
        for (argument, expected) in [
            ("=60", 60),
            ("=\"60\"", 60),
            ("=060", 60),
            ("=99999999999999999999", 1 << 31),
            ("", 0),
            ("=", 0),
            ("=\"\"", 0),
            ("=-1", 0),
            ("=+1", 0),
            ("=1.5", 0),
            ("=60s", 0),
            ("=60 5", 0),
            ("= 60", 0),
            (" =60", 0),
            ("=\"60", 0),
            ("=0x3c", 0),
        ] {
            let expected = Some(DeltaSeconds::from_secs(expected));
            let read = |name: &str| cache_control(&format!("{name}{argument}"));
            assert_eq!(read("max-age").max_age, expected, "{argument}");
            assert_eq!(read("s-maxage").s_maxage, expected, "{argument}");
            let window = read("stale-while-revalidate").stale_while_revalidate;
            assert_eq!(window, expected, "{argument}");
            assert_eq!(read("stale-if-error").stale_if_error, expected, "{argument}");
        }
    }

    #[test]
    fn the_first_occurrence_of_a_repeated_directive_counts() {
        let fields =
            [("cache-control", "x, max-age=60, max-age=1"), ("cache-control", "max-age=2")];
        assert_eq!(
            ResponseDirectives::of(&headers(&fields)).max_age,
            Some(DeltaSeconds::from_secs(60))
        );
        assert_eq!(cache_control("max-age=x, max-age=60").max_age, Some(DeltaSeconds::ZERO));
    }

    #[test]
    fn flags_are_seen_in_any_case_and_with_any_argument() {
        for (name, flag) in FLAGS {
            for field in [
                name.to_owned(),
                name.to_uppercase(),
                format!("max-age=1,{name}=x"),
                format!("{name} y"),
            ] {
                assert!(cache_control(&field).has(flag), "{field}");
            }
            let other = format!("x-{name}, {name}x, y=\"{name}\", z=\"a, {name}\"");
            assert!(!cache_control(&other).has(flag), "{other}");
        }
    }

    #[test]
    fn no_cache_and_private_with_field_names_speak_about_those_fields() {
        for (name, flag) in [("no-cache", Flag::NoCache), ("private", Flag::Private)] {
            for argument in
                ["", "=", "=\"\"", "=\" , \"", "=\"a", "=\"a b\"", "=\"a, (\"", "=\"a\\\"b\""]
            {
                let directives = cache_control(&format!("{name}{argument}"));
                assert!(
                    directives.has(flag) && directives.qualified_fields().is_empty(),
                    "{name}{argument}"
                );
            }
            for argument in ["=\"a, B\"", "=\",a ,, b\"", "=\"a\", max-age=1, no-cache=b"] {
                let directives = cache_control(&format!("{name}{argument}"));
                assert!(!directives.has(flag), "{name}{argument}");
                assert_eq!(directives.qualified_fields(), ["a", "b"], "{name}{argument}");
            }
        }
        assert!(cache_control("private=\"a\", private").has(Flag::Private));
    }
}
