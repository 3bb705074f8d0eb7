//! Stale responses that may be served: windows of RFC 5861 within the limits of RFC 9111 §4.2.4.

use std::time::Duration;

use crate::field::delta_seconds::DeltaSeconds;
use crate::freshness::response_directives::Flag;
use crate::freshness::{FreshnessRules, ResponseDirectives, RuledTerms};

/// Times for which a response may answer after its freshness, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// While it is validated (RFC 5861 §3).
    pub(crate) while_revalidate: DeltaSeconds,
    /// While the origin server fails (RFC 5861 §4).
    pub(crate) if_error: DeltaSeconds,
}

/// Returns whether a client that accepts a stale response may be given this one (RFC 9111 §4.2.4,
/// §5.2.1.2).
///
/// Not beside `s-maxage`, which means `proxy-revalidate`, too (§5.2.2.10): the windows that the
/// origin server states beside it are all that it allows.
pub(crate) fn may_be_accepted(directives: &ResponseDirectives) -> bool {
    !forbids_stale(directives) && directives.s_maxage.is_none()
}

/// Returns the windows that the response states, or else those of the operator.
///
/// The operator's windows are no reason to store. Stale-while-revalidate is for what was fresh
/// once: who says `max-age=0` wants validation. Stale-if-error is also for what is kept to be
/// validated.
pub(crate) fn windows(
    directives: &ResponseDirectives,
    lifetime: DeltaSeconds,
    keep: DeltaSeconds,
    policy: &FreshnessRules,
    ruled: &RuledTerms,
) -> Windows {
    if forbids_stale(directives) {
        return Windows { while_revalidate: DeltaSeconds::ZERO, if_error: DeltaSeconds::ZERO };
    }
    let assumed = |span: DeltaSeconds, window: Duration| {
        let may_be_assumed = span > DeltaSeconds::ZERO && directives.s_maxage.is_none();
        if may_be_assumed { window.into() } else { DeltaSeconds::ZERO }
    };
    Windows {
        while_revalidate: ruled
            .stale_while_revalidate
            .map(DeltaSeconds::from)
            .or_else(|| {
                let stated = directives.stale_while_revalidate?;
                Some(stated.min(policy.max_stale_while_revalidate.into()))
            })
            .unwrap_or_else(|| assumed(lifetime, policy.stale_while_revalidate)),
        if_error: ruled
            .stale_if_error
            .map(DeltaSeconds::from)
            .or(directives.stale_if_error)
            .unwrap_or_else(|| assumed(lifetime.max(keep), policy.stale_if_error))
            .max(policy.asset_grace.into()),
    }
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4
//# A cache MUST NOT generate a stale response if it is prohibited by an
//# explicit in-protocol directive (e.g., by a no-cache response
//# directive, a must-revalidate response directive, or an applicable
//# s-maxage or proxy-revalidate response directive; see Section 5.2.2).
///
/// `s-maxage` forbids what only the operator assumes. Beside it, a window that the origin server
/// states is its explicit permission: `s-maxage=600, stale-while-revalidate=60` is what renderers
/// send, and every CDN reads it so.
fn forbids_stale(directives: &ResponseDirectives) -> bool {
    directives.has(Flag::NoCache)
        || directives.has(Flag::MustRevalidate)
        || directives.has(Flag::ProxyRevalidate)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::windows;
    use crate::field::delta_seconds::DeltaSeconds;
    use crate::freshness::tests::{POLICY, headers};
    use crate::freshness::{FreshnessRules, ResponseDirectives, RuledTerms};

    fn windows_of(field: &str, lifetime: u64, keep: u64) -> (u32, u32) {
        let policy = FreshnessRules {
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_mins(5),
            ..POLICY
        };
        let directives = ResponseDirectives::of(&headers(&[("cache-control", field)]));
        let [lifetime, keep] = [lifetime, keep].map(DeltaSeconds::from_secs);
        let windows = windows(&directives, lifetime, keep, &policy, &RuledTerms::default());
        (windows.while_revalidate.as_secs(), windows.if_error.as_secs())
    }

    #[test]
    fn the_response_comes_before_the_operator() {
        for (field, expected) in [
            ("max-age=60", (30, 300)),
            ("max-age=60, stale-while-revalidate=5", (5, 300)),
            ("max-age=60, stale-if-error=7", (30, 7)),
            ("max-age=60, stale-while-revalidate=0, stale-if-error=0", (0, 0)),
            ("max-age=60, stale-while-revalidate, stale-if-error=x", (0, 0)),
        ] {
            assert_eq!(windows_of(field, 60, 0), expected, "{field}");
        }
    }

    #[test]
    fn a_window_that_the_origin_states_is_cut_to_the_operators_maximum() {
        let policy =
            FreshnessRules { max_stale_while_revalidate: Duration::from_secs(10), ..POLICY };
        let lifetime = DeltaSeconds::from_secs(60);
        for (stated, expected) in [("5", 5), ("10", 10), ("31536000", 10)] {
            let field = format!("s-maxage=60, stale-while-revalidate={stated}");
            let directives = ResponseDirectives::of(&headers(&[("cache-control", &field)]));
            let windows =
                windows(&directives, lifetime, DeltaSeconds::ZERO, &policy, &RuledTerms::default());
            assert_eq!(windows.while_revalidate.as_secs(), expected, "{stated}");
        }
    }

    #[test]
    fn the_operator_has_no_windows_for_what_was_never_fresh() {
        assert_eq!(windows_of("max-age=0", 0, 0), (0, 0));
        assert_eq!(
            windows_of("max-age=0", 0, 60),
            (0, 300),
            "what is kept may stand in for an error"
        );
        assert_eq!(
            windows_of("max-age=0, stale-while-revalidate=5, stale-if-error=7", 0, 0),
            (5, 7)
        );
    }

    #[test]
    fn the_grace_of_assets_is_a_window_unless_stale_is_forbidden() {
        let policy = FreshnessRules { asset_grace: Duration::from_mins(15), ..POLICY };
        for (field, if_error) in [
            ("max-age=60, immutable", 900),
            ("max-age=60, stale-if-error=5", 900),
            ("max-age=60, stale-if-error=1000", 1000),
            ("max-age=60, must-revalidate", 0),
        ] {
            let directives = ResponseDirectives::of(&headers(&[("cache-control", field)]));
            let lifetime = DeltaSeconds::from_secs(60);
            let windows =
                windows(&directives, lifetime, DeltaSeconds::ZERO, &policy, &RuledTerms::default());
            assert_eq!(windows.if_error.as_secs(), if_error, "{field}");
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4
    //= type=test
    //# A cache MUST NOT generate a stale response if it is prohibited by an
    //# explicit in-protocol directive (e.g., by a no-cache response
    //# directive, a must-revalidate response directive, or an applicable
    //# s-maxage or proxy-revalidate response directive; see Section 5.2.2).
    #[test]
    fn an_explicit_directive_forbids_every_window() {
        for directive in ["no-cache", "must-revalidate", "proxy-revalidate"] {
            let field =
                format!("max-age=60, stale-while-revalidate=5, stale-if-error=7, {directive}");
            assert_eq!(windows_of(&field, 60, 60), (0, 0), "{field}");
        }
        assert_eq!(windows_of("s-maxage=60", 60, 60), (0, 0));
    }

    #[test]
    fn a_window_that_the_origin_states_holds_beside_s_maxage() {
        let field = "s-maxage=60, stale-while-revalidate=5, stale-if-error=7";
        assert_eq!(windows_of(field, 60, 60), (5, 7));
    }
}
