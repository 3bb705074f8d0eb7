//! Decides how a request is answered, given the stored response: pure, with a table of tests.

use std::sync::Arc;

use crate::field::cache_status::ForwardReason;
use crate::freshness::{FreshnessRules, RequestFacts, Staleness, Uncacheable};
use crate::invalidation::Verdict;
use crate::invalidation::lease::Trust;
use crate::lookup::Found;
use crate::store::{Content, Stored};
use process::timestamp::Timestamp;

#[derive(Clone, Debug)]
pub enum Decision {
    Hit(Arc<Stored>),
    /// From the store, and validated in the background (RFC 5861 §3).
    HitStale(Arc<Stored>),
    /// From the store, though stale: the client accepts it (RFC 9111 §5.2.1.2).
    HitAccepted(Arc<Stored>),
    /// Not at all: the client wants a stored response only, and there is none (RFC 9111 §5.2.1.7).
    Unsatisfiable,
    Forward(ForwardReason, Plan),
}

#[derive(Clone, Debug)]
pub enum Plan {
    /// For a response that others may share. This stale one may be validated, or served when the
    /// origin fails.
    Fetch(Option<Arc<Stored>>),
    /// For a response that no other request waits for; it may be stored all the same.
    FetchUncollapsed(Uncacheable),
    /// With the request as it is. Nothing is stored.
    Pass(Uncacheable),
}

/// Decides. Requests that may not be answered from a cache at all bypass it before the look-up.
pub fn decide(
    found: Found,
    facts: &RequestFacts,
    policy: &FreshnessRules,
    trust: Trust,
    now: Timestamp,
) -> Decision {
    let (stored, soft_purged) = match found {
        _ if trust == Trust::Nothing => return pass(facts),
        Found::Nothing(reason) => return miss(reason, None, facts),
        Found::Stored(_, Verdict::Purged) => return miss(ForwardReason::UriMiss, None, facts),
        Found::Stored(stored, Verdict::Unproven) => return prove(stored, facts),
        Found::Stored(stored, Verdict::Soft(at)) => (stored, Some(at)),
        Found::Stored(stored, Verdict::Valid) => (stored, None),
    };
    let response = match &stored.content {
        Content::Response(response) => response,
        Content::Uncacheable { until, .. } if *until <= now || soft_purged.is_some() => {
            return miss(ForwardReason::UriMiss, None, facts);
        }
        Content::Uncacheable { .. } if facts.directives.only_if_cached => {
            return Decision::Unsatisfiable;
        }
        Content::Uncacheable { reason, .. } => {
            return Decision::Forward(ForwardReason::UriMiss, Plan::FetchUncollapsed(*reason));
        }
    };
    if facts.has_authorization && !response.freshness.allows_sharing() {
        return uncollapsed(ForwardReason::Request, Uncacheable::Authorization, facts);
    }
    let freshness = &response.freshness;
    if !trust.covers(freshness.received()) {
        return prove(stored, facts);
    }
    if response.part.is_some() {
        // A part is used while it is fresh; it is never validated, nor served in place of an error.
        let is_usable = freshness.state(now, soft_purged) == Staleness::Fresh
            && facts.directives.permit(freshness, now, soft_purged, policy);
        let missed = || miss(ForwardReason::Partial, None, facts);
        return if is_usable { Decision::Hit(Arc::clone(&stored)) } else { missed() };
    }
    if !facts.directives.permit(freshness, now, soft_purged, policy) {
        return miss(ForwardReason::Request, Some(stored), facts);
    }
    match freshness.state(now, soft_purged) {
        Staleness::Fresh => Decision::Hit(stored),
        Staleness::StaleWhileRevalidate => Decision::HitStale(stored),
        Staleness::Stale if facts.directives.accepts_stale(freshness, now, soft_purged) => {
            Decision::HitAccepted(stored)
        }
        Staleness::Stale => miss(ForwardReason::Stale, Some(stored), facts),
    }
}

/// Has the origin confirm a response that may have missed a purge, fresh or not; parts and markers
/// are of no use then.
fn prove(stored: Arc<Stored>, facts: &RequestFacts) -> Decision {
    match stored.response() {
        None => miss(ForwardReason::UriMiss, None, facts),
        Some(response) if response.part.is_some() => miss(ForwardReason::Partial, None, facts),
        Some(response) if facts.has_authorization && !response.freshness.allows_sharing() => {
            uncollapsed(ForwardReason::Request, Uncacheable::Authorization, facts)
        }
        Some(_) => miss(ForwardReason::Stale, Some(stored), facts),
    }
}

/// Passes the request: nothing stored is used, and nothing is stored.
fn pass(facts: &RequestFacts) -> Decision {
    if facts.directives.only_if_cached {
        Decision::Unsatisfiable
    } else {
        Decision::Forward(ForwardReason::Bypass, Plan::Pass(Uncacheable::Degraded))
    }
}

fn miss(reason: ForwardReason, stale: Option<Arc<Stored>>, facts: &RequestFacts) -> Decision {
    if facts.directives.only_if_cached {
        Decision::Unsatisfiable
    } else if facts.directives.no_store {
        Decision::Forward(reason, Plan::Pass(Uncacheable::RequestNoStore))
    } else if facts.has_authorization {
        Decision::Forward(reason, Plan::FetchUncollapsed(Uncacheable::Authorization))
    } else {
        Decision::Forward(reason, Plan::Fetch(stale))
    }
}

const fn uncollapsed(reason: ForwardReason, why: Uncacheable, facts: &RequestFacts) -> Decision {
    if facts.directives.only_if_cached {
        Decision::Unsatisfiable
    } else {
        Decision::Forward(reason, Plan::FetchUncollapsed(why))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

    use super::*;
    use crate::freshness::{ExchangeTimes, Heuristic, RequestDirectives, judge};
    use crate::invalidation::Invalidation;
    use crate::key::{Key, KeySeed, Scheme};
    use crate::store::memory::{MemoryLimits, MemoryStore};
    use crate::store::{Body, Fields, NewEntry, Store as _, StoredResponse};
    use process::clock::Clock;

    const BORN: Timestamp = Timestamp::from_secs(1_000_000);
    const POLICY: FreshnessRules = FreshnessRules {
        default_ttl: Duration::ZERO,
        heuristic: Some(Heuristic { share: 10, max: Duration::from_hours(24) }),
        ttl_by_status: Vec::new(),
        stale_while_revalidate: Duration::ZERO,
        max_stale_while_revalidate: Duration::MAX,
        stale_if_error: Duration::ZERO,
        keep: Duration::from_mins(10),
        asset_grace: Duration::ZERO,
        ignore_client_no_cache: false,
    };

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    fn facts(lines: &[(&'static str, &'static str)]) -> RequestFacts {
        let fields = fields(lines);
        RequestFacts {
            method: Method::GET,
            has_authorization: fields.contains_key("authorization"),
            directives: RequestDirectives::of(&fields),
        }
    }

    fn store(content: Content) -> Arc<Stored> {
        let limits = MemoryLimits { capacity: 1 << 20, object_bytes_max: 1 << 10, variants_max: 8 };
        let draft = NewEntry {
            key: Key::new(KeySeed(1), Scheme::Http, b"h", b"/"),
            variant: None,
            provenance: Arc::new(Invalidation::new(1)).begin_fetch().provenance([]),
            content,
        };
        MemoryStore::new(limits, Clock::manual(BORN)).begin().commit(draft).unwrap()
    }

    fn page(cache_control: &'static str) -> Found {
        let head = fields(&[("cache-control", cache_control), ("etag", "\"a\"")]);
        let exchange = ExchangeTimes { request_time: BORN, response_time: BORN, wall_time: BORN };
        let freshness = judge(&POLICY, &facts(&[]), StatusCode::OK, &head, exchange).unwrap();
        let fields = Fields::copy_of(&head, &|_| false);
        let response = StoredResponse {
            status: StatusCode::OK,
            fields,
            freshness,
            body: Body::Empty,
            part: None,
        };
        Found::Stored(store(Content::Response(response)), Verdict::Valid)
    }

    fn marker() -> Found {
        let until = BORN.plus(Duration::from_mins(2));
        let content = Content::Uncacheable { reason: Uncacheable::Private, until };
        Found::Stored(store(content), Verdict::Valid)
    }

    fn purged(found: Found, verdict: Verdict) -> Found {
        match found {
            Found::Stored(stored, _) => Found::Stored(stored, verdict),
            nothing @ Found::Nothing(_) => nothing,
        }
    }

    fn decided(found: Found, request: &[(&'static str, &'static str)], after_secs: u64) -> String {
        trusted(found, request, after_secs, Trust::Full)
    }

    fn trusted(
        found: Found,
        request: &[(&'static str, &'static str)],
        after_secs: u64,
        trust: Trust,
    ) -> String {
        let now = BORN.plus(Duration::from_secs(after_secs));
        match decide(found, &facts(request), &POLICY, trust, now) {
            Decision::Hit(_) => "hit".to_owned(),
            Decision::HitStale(_) => "hit stale".to_owned(),
            Decision::HitAccepted(_) => "hit accepted".to_owned(),
            Decision::Unsatisfiable => "unsatisfiable".to_owned(),
            Decision::Forward(reason, Plan::Fetch(None)) => format!("fetch {}", reason.as_str()),
            Decision::Forward(reason, Plan::Fetch(Some(_))) => {
                format!("validate {}", reason.as_str())
            }
            Decision::Forward(reason, Plan::FetchUncollapsed(why)) => {
                format!("alone {} {}", reason.as_str(), why.code())
            }
            Decision::Forward(reason, Plan::Pass(why)) => {
                format!("pass {} {}", reason.as_str(), why.code())
            }
        }
    }

    #[test]
    fn the_stored_response_and_its_age_decide() {
        let nothing = || Found::Nothing(ForwardReason::VaryMiss);
        for (found, after, expected) in [
            (nothing(), 0, "fetch vary-miss"),
            (page("max-age=60"), 59, "hit"),
            (page("max-age=60"), 60, "validate stale"),
            (page("max-age=60, stale-while-revalidate=30"), 89, "hit stale"),
            (page("max-age=60, stale-while-revalidate=30"), 90, "validate stale"),
            (page("no-cache"), 0, "validate stale"),
            (marker(), 119, "alone uri-miss private"),
            (marker(), 120, "fetch uri-miss"),
        ] {
            assert_eq!(decided(found, &[], after), expected, "after {after} s");
        }
    }

    #[test]
    fn a_purge_overrides_every_lifetime() {
        let soft = Verdict::Soft(BORN);
        for (found, expected) in [
            (purged(page("max-age=60"), Verdict::Purged), "fetch uri-miss"),
            (purged(page("max-age=60"), soft), "validate stale"),
            (purged(page("max-age=60, stale-while-revalidate=30"), soft), "hit stale"),
            (purged(marker(), Verdict::Purged), "fetch uri-miss"),
            (purged(marker(), soft), "fetch uri-miss"),
        ] {
            assert_eq!(decided(found, &[], 1), expected);
        }
    }

    #[test]
    fn a_response_that_may_have_missed_a_purge_is_validated_first() {
        let unproven = |found| purged(found, Verdict::Unproven);
        let windowed = || page("max-age=60, stale-while-revalidate=30");
        let none: &[(&'static str, &'static str)] = &[];
        for (found, request, after, expected) in [
            (unproven(page("max-age=60")), none, 0, "validate stale"),
            (unproven(windowed()), none, 70, "validate stale"),
            (unproven(page("max-age=60")), &[("cache-control", "max-stale")], 70, "validate stale"),
            (
                unproven(page("max-age=60")),
                &[("cache-control", "only-if-cached")],
                0,
                "unsatisfiable",
            ),
            (
                unproven(page("max-age=60")),
                &[("authorization", "x")],
                0,
                "alone request authorization",
            ),
            (
                unproven(page("public, max-age=60")),
                &[("authorization", "x")],
                0,
                "alone stale authorization",
            ),
            (unproven(marker()), none, 0, "fetch uri-miss"),
        ] {
            assert_eq!(decided(found, request, after), expected, "{request:?} after {after} s");
        }
    }

    #[test]
    fn trust_in_stored_responses_bounds_every_lifetime() {
        let since = Trust::Since(BORN.plus(Duration::from_secs(1)));
        let windowed = || page("max-age=60, stale-while-revalidate=30");
        for (found, after, trust, expected) in [
            (page("max-age=60"), 30, Trust::Since(BORN), "hit"),
            (page("max-age=60"), 60, Trust::Since(BORN), "validate stale"),
            (windowed(), 70, Trust::Since(BORN), "hit stale"),
            (page("max-age=60"), 30, since, "validate stale"),
            (windowed(), 70, since, "validate stale"),
            (marker(), 30, since, "alone uri-miss private"),
            (page("max-age=60"), 0, Trust::Validated, "validate stale"),
            (page("max-age=60"), 0, Trust::Nothing, "pass bypass degraded"),
            (Found::Nothing(ForwardReason::UriMiss), 0, Trust::Nothing, "pass bypass degraded"),
        ] {
            assert_eq!(trusted(found, &[], after, trust), expected, "after {after} s, {trust:?}");
        }
        let accept = [("cache-control", "max-stale")];
        assert_eq!(trusted(page("max-age=60"), &accept, 70, since), "validate stale");
        let only = [("cache-control", "only-if-cached")];
        for trust in [since, Trust::Validated, Trust::Nothing] {
            assert_eq!(trusted(page("max-age=60"), &only, 5, trust), "unsatisfiable");
        }
    }

    #[test]
    fn a_client_that_accepts_a_stale_response_gets_it_unless_it_was_purged() {
        let soft = Verdict::Soft(BORN);
        let windowed = || page("max-age=60, stale-while-revalidate=30");
        let accept = [("cache-control", "max-stale=60")];
        for (found, after, expected) in [
            (page("max-age=60"), 59, "hit"),
            (page("max-age=60"), 60, "hit accepted"),
            (page("max-age=60"), 120, "hit accepted"),
            (page("max-age=60"), 121, "validate stale"),
            (page("max-age=60, must-revalidate"), 60, "validate stale"),
            (page("s-maxage=60"), 60, "validate stale"),
            (page("no-cache"), 0, "validate stale"),
            (windowed(), 60, "hit stale"),
            (windowed(), 90, "hit accepted"),
            (purged(page("max-age=60"), soft), 1, "validate stale"),
            (purged(page("max-age=60"), Verdict::Purged), 60, "fetch uri-miss"),
        ] {
            assert_eq!(decided(found, &accept, after), expected, "after {after} s");
        }
        let only_if_cached = [("cache-control", "max-stale, only-if-cached")];
        assert_eq!(decided(page("max-age=60"), &only_if_cached, 600), "hit accepted");
        let whatever_a_reload_says = FreshnessRules { ignore_client_no_cache: true, ..POLICY };
        let now = BORN.plus(Duration::from_mins(2));
        let decision =
            decide(page("max-age=60"), &facts(&accept), &whatever_a_reload_says, Trust::Full, now);
        assert!(matches!(decision, Decision::HitAccepted(_)));
    }

    #[test]
    fn the_clients_directives_decide_within_what_the_response_allows() {
        let only_if_cached = [("cache-control", "only-if-cached")];
        let nothing = || Found::Nothing(ForwardReason::UriMiss);
        for (found, request, expected) in [
            (page("max-age=60"), only_if_cached, "hit"),
            (page("no-cache"), only_if_cached, "unsatisfiable"),
            (nothing(), only_if_cached, "unsatisfiable"),
            (marker(), only_if_cached, "unsatisfiable"),
            (page("max-age=60"), [("cache-control", "no-cache")], "validate request"),
            (page("max-age=60"), [("cache-control", "no-store")], "hit"),
            (nothing(), [("cache-control", "no-store")], "pass uri-miss request_no_store"),
            (page("max-age=60"), [("authorization", "x")], "alone request authorization"),
            (page("public, max-age=60"), [("authorization", "x")], "hit"),
            (nothing(), [("authorization", "x")], "alone uri-miss authorization"),
        ] {
            assert_eq!(decided(found, &request, 1), expected, "{request:?}");
        }
    }
}
