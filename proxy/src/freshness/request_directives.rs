//! Cache directives of a request (RFC 9111 §5.2.1): what the client asks of the cache.
//!
//! `max-stale` lets a stored response answer that the origin server does not forbid to be stale; it
//! loosens nothing about what is stored (the way private responses leaked out of other caches). The
//! `stale-if-error` of a request (RFC 5861 §4) is not read: the windows of failures are the origin
//! server's and the operator's.

use http::header::{CACHE_CONTROL, HeaderMap, PRAGMA};

use crate::field::delta_seconds::DeltaSeconds;
use crate::freshness::directive::{Argument, Directive, directives};
use crate::freshness::{Freshness, FreshnessRules, Staleness};
use process::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Not older than this (§5.2.1.1).
    pub max_age: Option<DeltaSeconds>,
    /// Not stale for longer than this (§5.2.1.2); without a value the greatest number there is.
    pub max_stale: Option<DeltaSeconds>,
    /// Fresh for at least this much longer (§5.2.1.3).
    pub min_fresh: Option<DeltaSeconds>,
    /// Not without validation (§5.2.1.4).
    pub no_cache: bool,
    /// Neither the request nor its response may be stored (§5.2.1.5).
    pub no_store: bool,
    /// A stored response, or 504 (§5.2.1.7).
    pub only_if_cached: bool,
}

impl RequestDirectives {
    /// Reads `Cache-Control`, or `Pragma` when there is none (RFC 9111 §5.4).
    ///
    /// These directives are advisory: the first occurrence counts, and an argument that is no
    /// number is ignored.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        if headers.contains_key(CACHE_CONTROL) {
            directives(headers, CACHE_CONTROL).for_each(|directive| all.add(&directive));
        } else if headers.contains_key(PRAGMA) {
            all.no_cache = directives(headers, PRAGMA).any(|directive| directive.is("no-cache"));
        }
        all
    }

    /// Returns whether the client lets this stored response answer without validation.
    ///
    /// Whether the *response* lets it is [`Freshness::state`]'s to say; both have to agree.
    pub fn permit(
        &self,
        freshness: &Freshness,
        now: Timestamp,
        soft_purged: Option<Timestamp>,
        policy: &FreshnessRules,
    ) -> bool {
        let asks_nothing = !self.no_cache && self.max_age.is_none() && self.min_fresh.is_none();
        if asks_nothing || policy.ignore_client_no_cache {
            return true;
        }
        let remaining = freshness.ttl(now, soft_purged);
        let is_fresh = freshness.state(now, soft_purged) == Staleness::Fresh;
        // A reload says max-age=0; it does not reach what is immutable while fresh (RFC 8246 §2).
        let is_settled = freshness.is_immutable() && is_fresh;
        // With max-age the client wants no stale response, unless max-stale says so (§5.2.1.1).
        let is_accepted = is_fresh || self.accepts_stale(freshness, now, soft_purged);
        let is_young =
            self.max_age.is_none_or(|max_age| is_accepted && freshness.age(now) <= max_age);
        let stays_fresh = self.min_fresh.is_none_or(|more| remaining >= i64::from(more.as_secs()));
        !self.no_cache && (is_young || is_settled) && stays_fresh
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.2
    //# If a value is present, then
    //# the client is willing to accept a response that has exceeded its
    //# freshness lifetime by no more than the specified number of seconds.
    //# If no value is assigned to max-stale, then the client will accept a
    //# stale response of any age.
    /// Returns whether the client takes this stored response although it is stale, and the response
    /// allows it.
    ///
    /// Never what was purged, softly or not: a purge means that it is wrong, not only old. An
    /// operator who ignores clients that ask for more ([`FreshnessRules::ignore_client_no_cache`])
    /// loses nothing by one that asks for less.
    pub fn accepts_stale(
        &self,
        freshness: &Freshness,
        now: Timestamp,
        soft_purged: Option<Timestamp>,
    ) -> bool {
        let is_old_only = soft_purged.is_none() && !self.no_cache;
        is_old_only && self.max_stale.is_some_and(|span| freshness.may_be_stale_for(now, span))
    }

    fn add(&mut self, directive: &Directive<'_>) {
        if directive.is("no-cache") {
            self.no_cache = true;
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("only-if-cached") {
            self.only_if_cached = true;
        } else if directive.is("max-age") {
            self.max_age = self.max_age.or_else(|| seconds(directive));
        } else if directive.is("min-fresh") {
            self.min_fresh = self.min_fresh.or_else(|| seconds(directive));
        } else if directive.is("max-stale") {
            let any = matches!(directive.argument, Argument::Absent).then_some(DeltaSeconds::MAX);
            self.max_stale = self.max_stale.or(any).or_else(|| seconds(directive));
        }
    }
}

fn seconds(directive: &Directive<'_>) -> Option<DeltaSeconds> {
    match directive.argument {
        Argument::Text(text) => DeltaSeconds::parse(text),
        Argument::Absent | Argument::Malformed => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RequestDirectives;
    use crate::field::delta_seconds::DeltaSeconds;
    use crate::freshness::FreshnessRules;
    use crate::freshness::tests::{NOW, POLICY, headers, judged};

    fn request(field: &str) -> RequestDirectives {
        RequestDirectives::of(&headers(&[("cache-control", field)]))
    }

    #[test]
    fn directives_are_read_in_any_case_and_unreadable_numbers_ignored() {
        let all = request(
            "No-Cache, NO-STORE, only-if-cached, Max-Age=\"5\", min-fresh=x, min-fresh=7, max-stale=9",
        );
        let expected = RequestDirectives {
            max_age: Some(DeltaSeconds::from_secs(5)),
            max_stale: Some(DeltaSeconds::from_secs(9)),
            min_fresh: Some(DeltaSeconds::from_secs(7)),
            no_cache: true,
            no_store: true,
            only_if_cached: true,
        };
        assert_eq!(all, expected);
        assert_eq!(
            request("max-stale=x, stale-if-error=60, x, max-age=-1"),
            RequestDirectives::default()
        );
        assert_eq!(request("Max-Stale, max-stale=1").max_stale, Some(DeltaSeconds::MAX));
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        let pragma = ("pragma", "x, No-Cache");
        assert!(RequestDirectives::of(&headers(&[pragma])).no_cache);
        assert!(
            !RequestDirectives::of(&headers(&[pragma, ("cache-control", "max-age=60")])).no_cache
        );
        assert!(!RequestDirectives::of(&headers(&[("pragma", "max-age=0")])).no_cache);
    }

    #[test]
    fn a_client_may_ask_for_a_younger_response() {
        let swr = FreshnessRules { stale_while_revalidate: Duration::from_mins(1), ..POLICY };
        let ignoring = FreshnessRules { ignore_client_no_cache: true, ..swr.clone() };
        let plain = judged(&swr, &[("cache-control", "max-age=60"), ("age", "10")]).unwrap();
        let immutable =
            judged(&swr, &[("cache-control", "max-age=60, immutable"), ("age", "10")]).unwrap();
        for (field, secs, permits_plain, permits_immutable) in [
            ("", 0, true, true),
            ("no-store, only-if-cached", 0, true, true),
            ("no-cache", 0, false, false),
            ("max-age=10", 0, true, true),
            ("max-age=9", 0, false, true),
            ("max-age=0", 0, false, true),
            ("max-age=1000", 49, true, true),
            ("max-age=1000", 50, false, false),
            ("max-age=0", 50, false, false),
            ("min-fresh=50", 0, true, true),
            ("min-fresh=51", 0, false, false),
            ("min-fresh=0", 51, false, false),
            ("", 51, true, true),
            ("max-stale=1000, max-age=1000", 50, true, true),
            ("max-stale=1000, max-age=59", 50, false, false),
            ("max-stale=0, max-age=1000", 50, true, true),
            ("max-stale=0, max-age=1000", 51, false, false),
            ("max-stale=1000, min-fresh=0", 51, false, false),
            ("max-stale=1000, no-cache", 50, false, false),
        ] {
            let now = NOW.plus(Duration::from_secs(secs));
            let request = request(field);
            assert_eq!(request.permit(&plain, now, None, &swr), permits_plain, "{field} {secs}");
            assert_eq!(
                request.permit(&immutable, now, None, &swr),
                permits_immutable,
                "{field} {secs}"
            );
            assert!(request.permit(&plain, now, None, &ignoring), "{field} {secs}");
        }
    }

    #[test]
    fn a_client_may_accept_a_response_for_so_long_after_its_freshness() {
        let etag = ("etag", r#""a""#);
        let plain = judged(&POLICY, &[("cache-control", "max-age=60"), etag]).unwrap();
        for (field, secs, accepts) in [
            ("", 60, false),
            ("max-stale=10", 60, true),
            ("max-stale=10", 70, true),
            ("max-stale=10", 71, false),
            ("max-stale", 3659, true),
            ("max-stale=999999999999999999999999", 3659, true),
            ("max-stale", 3660, false),
            ("max-stale=x", 60, false),
            ("max-stale, no-cache", 60, false),
        ] {
            let now = NOW.plus(Duration::from_secs(secs));
            let request = request(field);
            assert_eq!(request.accepts_stale(&plain, now, None), accepts, "{field} {secs}");
            assert!(!request.accepts_stale(&plain, now, Some(NOW)), "soft purge: {field}");
            assert!(!request.accepts_stale(&plain, now, Some(now)), "soft purge: {field}");
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4
    //= type=test
    //# A cache MUST NOT generate a stale response if it is prohibited by an
    //# explicit in-protocol directive (e.g., by a no-cache response
    //# directive, a must-revalidate response directive, or an applicable
    //# s-maxage or proxy-revalidate response directive; see Section 5.2.2).
    #[test]
    fn a_client_cannot_accept_stale_responses_that_the_origin_forbids() {
        let etag = ("etag", r#""a""#);
        for field in [
            "max-age=60, no-cache",
            "max-age=60, must-revalidate",
            "max-age=60, proxy-revalidate",
            "s-maxage=60",
            "s-maxage=60, stale-while-revalidate=5, stale-if-error=5",
        ] {
            let stored = judged(&POLICY, &[("cache-control", field), etag]).unwrap();
            let now = NOW.plus(Duration::from_secs(61));
            assert!(!request("max-stale").accepts_stale(&stored, now, None), "{field}");
        }
    }

    #[test]
    fn a_soft_purge_leaves_nothing_of_min_fresh_and_immutable() {
        let immutable = judged(&POLICY, &[("cache-control", "max-age=60, immutable")]).unwrap();
        assert!(!request("min-fresh=1").permit(&immutable, NOW, Some(NOW), &POLICY));
        assert!(!request("max-age=0").permit(&immutable, NOW, Some(NOW), &POLICY));
    }
}
