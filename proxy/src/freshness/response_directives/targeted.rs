//! `CDN-Cache-Control`, a targeted cache-control field (RFC 9213).
//!
//! A Dictionary structured field (RFC 9651 §3.2): keys are lower case, the *last* of a repeated key
//! counts, and one error anywhere makes the whole field as if absent, `no-store` included (RFC 9213
//! §2.1).

use http::HeaderName;
use http::header::{HeaderMap, HeaderValue};
use itoa::Buffer;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::freshness::ResponseDirectives;
use crate::freshness::directive::{Argument, Directive};

/// The target list of this cache (RFC 9213 §2.2) has one member.
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Returns the directives of a targeted field that is valid and not empty: it then governs alone.
pub(crate) fn directives_of(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut lines = headers.get_all(CDN_CACHE_CONTROL).iter().peekable();
    lines.peek()?;
    let value = lines.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    let dictionary = Parser::new(&value).parse::<Dictionary>().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut all = ResponseDirectives::targeted();
    for (key, entry) in &dictionary {
        add(&mut all, key.as_str(), entry);
    }
    Some(all)
}

/// Adds a directive whose value has the type the directive asks for; others are not consumed (RFC
/// 9213 §2.1).
fn add(all: &mut ResponseDirectives, name: &str, entry: &ListEntry) {
    let ListEntry::Item(item) = entry else { return };
    let takes_seconds = IN_SECONDS.contains(&name);
    let mut digits = Buffer::new();
    let argument = match &item.bare_item {
        BareItem::Integer(seconds) if takes_seconds => {
            Argument::Text(digits.format(i64::from(*seconds)).as_bytes())
        }
        BareItem::String(names) if QUALIFIABLE.contains(&name) => {
            Argument::Text(names.as_str().as_bytes())
        }
        BareItem::Boolean(true) if !takes_seconds => Argument::Absent,
        _ => return,
    };
    all.add(&Directive { name: name.as_bytes(), argument });
}

const IN_SECONDS: [&str; 4] = ["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"];

const QUALIFIABLE: [&str; 2] = ["no-cache", "private"];

#[cfg(test)]
mod tests {
    use crate::field::delta_seconds::DeltaSeconds;
    use crate::freshness::response_directives::{Flag, ResponseDirectives};
    use crate::freshness::tests::headers;

    fn directives(fields: &[(&str, &str)]) -> ResponseDirectives {
        ResponseDirectives::of(&headers(fields))
    }

    //= https://www.rfc-editor.org/rfc/rfc9213#section-2.2
    //= type=test
    //# When a cache that implements this specification receives a response
    //# with one or more of the header field names on its target list, the
    //# cache MUST select the first (in target-list order) field with a
    //# valid, non-empty value and use its value to determine the caching
    //# policy for the response, and it MUST ignore the Cache-Control and
    //# Expires header fields in that response, unless no valid, non-empty
    //# value is available from the listed header fields.
    #[test]
    fn a_valid_field_governs_alone() {
        for targeted in ["max-age=60", "none", "max-age=60;a=b, x", "private=?0"] {
            let fields = [
                ("cdn-cache-control", targeted),
                ("cache-control", "no-store, private, s-maxage=1"),
            ];
            let governing = directives(&fields);
            assert!(governing.ignores_expires, "{targeted}");
            assert!(!governing.has(Flag::NoStore) && !governing.has(Flag::Private), "{targeted}");
            assert_eq!(governing.s_maxage, None, "{targeted}");
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9213#section-2.1
    //= type=test
    //# If a targeted field in a given response is empty, or a parsing error
    //# is encountered, that field MUST be ignored by the cache
    #[test]
    fn an_empty_or_invalid_field_is_ignored_as_a_whole() {
        for targeted in [
            "",
            " ",
            "No-Store",
            "no-store,",
            "max-age=60; A",
            "max-age=",
            "no-store, =",
            "max-age=0x1",
            "a b",
        ] {
            let governing =
                directives(&[("cdn-cache-control", targeted), ("cache-control", "max-age=5")]);
            assert_eq!(governing.max_age, Some(DeltaSeconds::from_secs(5)), "{targeted}");
            assert!(!governing.has(Flag::NoStore), "{targeted}");
        }
        let lines = [
            ("cdn-cache-control", "max-age=60"),
            ("cdn-cache-control", "!"),
            ("cache-control", "no-store"),
        ];
        assert!(directives(&lines).has(Flag::NoStore), "all lines are one dictionary");
    }

    #[test]
    fn values_of_the_wrong_type_are_not_consumed() {
        for (targeted, max_age) in [
            ("max-age=60", Some(60)),
            ("max-age=999999999999", Some(1 << 31)),
            ("max-age=-1", Some(0)),
            ("max-age=60.5", None),
            ("max-age=\"60\"", None),
            ("max-age=abc", None),
            ("max-age", None),
            ("max-age=(60)", None),
            ("max-age=60, max-age=70", Some(70)),
        ] {
            let governing = directives(&[("cdn-cache-control", targeted)]);
            assert_eq!(governing.max_age, max_age.map(DeltaSeconds::from_secs), "{targeted}");
        }
        for (targeted, has) in [
            ("no-store", true),
            ("no-store=?1", true),
            ("no-store=?0", false),
            ("no-store=1", false),
        ] {
            assert_eq!(
                directives(&[("cdn-cache-control", targeted)]).has(Flag::NoStore),
                has,
                "{targeted}"
            );
        }
    }

    #[test]
    fn lines_are_joined_and_field_names_are_strings() {
        let fields = [
            ("cdn-cache-control", "max-age=60"),
            ("cdn-cache-control", "no-cache=\"a, b\", must-revalidate"),
        ];
        let governing = directives(&fields);
        assert_eq!(governing.max_age, Some(DeltaSeconds::from_secs(60)));
        assert_eq!(governing.qualified_fields(), ["a", "b"]);
        assert!(governing.has(Flag::MustRevalidate) && !governing.has(Flag::NoCache));
    }
}
