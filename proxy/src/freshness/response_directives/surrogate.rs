//! `Surrogate-Control` (W3C note "Edge Architecture Specification" 1.0, §2.2), for origin servers
//! that know no RFC 9213.
//!
//! `max-age=60+30` is fresh for 60 seconds and may be served stale for 30 more while it is
//! validated. `no-store` forbids storing. `content="ESI/1.0"` asks for processing, not caching. A
//! directive that names a target (`max-age=60;cdn`) is meant for another surrogate. With neither
//! directive the field does not govern.

use http::HeaderName;
use http::header::{HeaderMap, HeaderValue};

use crate::freshness::ResponseDirectives;
use crate::freshness::directive::{Argument, Directive, members, parse};

const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Returns the directives of the field when it speaks about caching: it then governs alone.
pub(crate) fn directives_of(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut all = ResponseDirectives::targeted();
    let mut governs = false;
    let lines = headers.get_all(SURROGATE_CONTROL).into_iter().map(HeaderValue::as_bytes);
    for directive in lines.flat_map(members).filter(|member| !has_target(member)).filter_map(parse)
    {
        if directive.is("max-age") {
            add_max_age(&mut all, directive);
            governs = true;
        } else if directive.is("no-store") {
            all.add(&directive);
            governs = true;
        }
    }
    governs.then_some(all)
}

fn has_target(member: &[u8]) -> bool {
    member.contains(&b';')
}

fn add_max_age(all: &mut ResponseDirectives, max_age: Directive<'_>) {
    let (fresh, stale) = match max_age.argument {
        Argument::Text(text) => split_at_plus(text),
        Argument::Absent | Argument::Malformed => (max_age.argument, Argument::Absent),
    };
    all.add(&Directive { name: b"max-age", argument: fresh });
    if stale != Argument::Absent {
        all.add(&Directive { name: b"stale-while-revalidate", argument: stale });
    }
}

fn split_at_plus(text: &[u8]) -> (Argument<'_>, Argument<'_>) {
    let mut parts = text.splitn(2, |byte| *byte == b'+').map(Argument::Text);
    let fresh = parts.next().unwrap_or(Argument::Malformed);
    (fresh, parts.next().unwrap_or(Argument::Absent))
}

#[cfg(test)]
mod tests {
    use crate::field::delta_seconds::DeltaSeconds;
    use crate::freshness::response_directives::{Flag, ResponseDirectives};
    use crate::freshness::tests::headers;

    const CACHE_CONTROL: (&str, &str) = ("cache-control", "private, max-age=5");

    #[test]
    fn max_age_and_its_stale_window_govern() {
        for (field, max_age, window) in [
            ("max-age=60", 60, None),
            ("max-age=60+30", 60, Some(30)),
            ("Max-Age=60+30, content=\"ESI/1.0\"", 60, Some(30)),
            ("content=\"ESI/1.0, x;y\", max-age=60", 60, None),
            ("max-age=7;other, max-age=60", 60, None),
            ("max-age=60, max-age=70", 60, None),
            ("max-age=60+", 60, Some(0)),
            ("max-age=60+x", 60, Some(0)),
            ("max-age=+30", 0, Some(30)),
            ("max-age=x", 0, None),
            ("max-age", 0, None),
        ] {
            let governing =
                ResponseDirectives::of(&headers(&[("surrogate-control", field), CACHE_CONTROL]));
            assert_eq!(governing.max_age, Some(DeltaSeconds::from_secs(max_age)), "{field}");
            assert_eq!(
                governing.stale_while_revalidate,
                window.map(DeltaSeconds::from_secs),
                "{field}"
            );
            assert!(!governing.has(Flag::Private) && governing.ignores_expires, "{field}");
        }
    }

    #[test]
    fn no_store_governs() {
        let fields = [("surrogate-control", "no-store"), ("cache-control", "max-age=60")];
        let governing = ResponseDirectives::of(&headers(&fields));
        assert!(governing.has(Flag::NoStore));
        assert_eq!(governing.max_age, None);
    }

    #[test]
    fn without_a_word_about_caching_it_does_not_govern() {
        for field in ["", "content=\"ESI/1.0\"", "no-store-remote", "max-age=60;other", "private"] {
            let governing =
                ResponseDirectives::of(&headers(&[("surrogate-control", field), CACHE_CONTROL]));
            assert!(governing.has(Flag::Private) && !governing.ignores_expires, "{field}");
        }
    }

    #[test]
    fn a_targeted_field_comes_first() {
        let fields = [("surrogate-control", "no-store"), ("cdn-cache-control", "max-age=60")];
        assert!(!ResponseDirectives::of(&headers(&fields)).has(Flag::NoStore));
        let fields = [("surrogate-control", "no-store"), ("cdn-cache-control", "MAX-AGE=60")];
        assert!(ResponseDirectives::of(&headers(&fields)).has(Flag::NoStore));
    }
}
