//! The closed list of ways in which `http-cache-semantics` 3.0.0 differs from us, and who is right
//! by which section.
//!
//! A deviation explains some aspects only: one that is about ages cannot excuse a response that was
//! stored.

use process::timestamp::Timestamp;
use shellac::testing::field::http_date;

use super::case::{Case, Line, NOW, lines, name_of};
use super::verdict::Aspect::{self, Age, Answered, Forwarded, Refused, Stored, Ttl};
use super::verdict::their_first_ttl;

pub(crate) struct Deviation {
    pub(crate) name: &'static str,
    /// Whether it may show in a case.
    pub(crate) applies: fn(&Case) -> bool,
    /// What it may change.
    pub(crate) explains: &'static [Aspect],
}

macro_rules! deviation {
    ($name:ident explains $explains:expr) => {
        Deviation { name: stringify!($name), applies: $name, explains: $explains }
    };
}

const LIFETIME: &[Aspect] = &[Refused, Stored, Ttl, Answered, Forwarded];
const ALL: &[Aspect] = &[Refused, Stored, Age, Ttl, Answered, Forwarded];
/// Whatever the age decides: for us it only ever grows.
const OLDER: &[Aspect] = &[Refused, Age, Ttl, Forwarded];

pub(crate) const DEVIATIONS: &[Deviation] = &[
    // Storing.
    deviation!(peer_stores_what_nothing_can_use explains &[Refused]),
    deviation!(peer_stores_set_cookie explains &[Refused]),
    deviation!(peer_stores_vary_on_everything explains &[Refused]),
    deviation!(peer_stores_vary_on_what_is_no_field explains &[Refused]),
    deviation!(peer_stores_vary_on_what_a_proxy_writes explains &[Refused]),
    deviation!(peer_does_not_store_less_common_status_codes explains &[Stored]),
    deviation!(an_error_of_one_client explains &[Refused]),
    // Directives.
    deviation!(peer_reads_directives_in_lower_case_only explains LIFETIME),
    deviation!(peer_cuts_quoted_strings_at_commas explains LIFETIME),
    deviation!(peer_allows_white_space_around_equals explains LIFETIME),
    deviation!(peer_reads_numbers_with_a_sign explains ALL),
    deviation!(peer_closes_open_quotes explains LIFETIME),
    deviation!(peer_ignores_a_lifetime_without_a_number explains LIFETIME),
    deviation!(peer_overlooks_what_ends_in_junk explains LIFETIME),
    deviation!(peer_drops_lines_that_are_not_ascii explains LIFETIME),
    deviation!(peer_does_not_saturate explains ALL),
    deviation!(peer_does_not_know_must_understand explains &[Refused, Stored]),
    deviation!(peer_takes_named_fields_for_the_response explains LIFETIME),
    deviation!(peer_takes_proxy_revalidate_for_a_lifetime explains LIFETIME),
    deviation!(peer_takes_a_repetition_for_must_revalidate explains &[Refused]),
    deviation!(peer_does_not_know_targeted_fields explains LIFETIME),
    deviation!(peer_reads_pragma_of_a_response explains &[Stored, Ttl, Answered]),
    // Times.
    deviation!(peer_does_not_count_the_response_delay explains OLDER),
    deviation!(peer_reads_one_member_of_age_only explains OLDER),
    deviation!(peer_reads_other_dates explains ALL),
    deviation!(peer_reads_the_first_of_two_expires explains &[Refused, Ttl, Forwarded]),
    deviation!(peer_has_no_limit_to_heuristics explains &[Ttl, Forwarded]),
    // The later request.
    deviation!(peer_lets_a_client_loosen_freshness explains &[Forwarded]),
    deviation!(peer_reads_pragma_beside_cache_control explains &[Answered]),
    deviation!(peer_shares_what_is_not_shareable explains &[Forwarded]),
    deviation!(peer_reloads_what_is_immutable explains &[Answered]),
    deviation!(peer_stops_at_a_number_it_cannot_read explains &[Forwarded]),
    deviation!(peer_compares_one_line_of_a_selecting_field explains &[Answered, Forwarded]),
];

/// Neither fresh on arrival nor with a validator, it could only take up room. (RFC 9111 §3 never
/// obliges to store.)
fn peer_stores_what_nothing_can_use(case: &Case) -> bool {
    let has_validator = case.said("etag").chain(case.said("last-modified")).next().is_some();
    !has_validator && their_first_ttl(case).is_zero()
}

/// A cookie is for one client. RFC 9111 §7.3 leaves it to the origin server to say `private`; we do
/// not rely on that.
fn peer_stores_set_cookie(case: &Case) -> bool {
    case.said("set-cookie").next().is_some()
}

/// `Vary: *` matches no request ever (RFC 9111 §4.1), so it is not worth storing.
fn peer_stores_vary_on_everything(case: &Case) -> bool {
    vary(case).any(|name| name == "*")
}

/// What is no field name (RFC 9110 §12.5.5) says that the response varies, but not on what.
fn peer_stores_vary_on_what_is_no_field(case: &Case) -> bool {
    vary(case).any(|name| name.contains(' '))
}

/// `Via` and the like are written by the proxy (RFC 9110 §7.6.3): the origin server did not see the
/// client's.
fn peer_stores_vary_on_what_a_proxy_writes(case: &Case) -> bool {
    vary(case).any(|name| name == "via")
}

/// With an explicit lifetime any final status code may be stored (RFC 9111 §3); the other has a
/// short list of those that it understands.
fn peer_does_not_store_less_common_status_codes(case: &Case) -> bool {
    matches!(case.status, 201 | 401 | 403 | 418 | 500 | 503 | 599)
}

/// A 414 or a 501 speaks about one client's request, not about the resource: not to store it is
/// caution that RFC 9111 §3 leaves to a cache.
fn an_error_of_one_client(case: &Case) -> bool {
    matches!(case.status, 414 | 501)
}

/// Names of directives are case-insensitive (RFC 9111 §5.2), and so is `Pragma` (§5.4). The other
/// stores `No-Store`.
fn peer_reads_directives_in_lower_case_only(case: &Case) -> bool {
    let pragma = case.request.iter().chain(&case.later).filter(|(name, _)| *name == "pragma");
    members(case)
        .map(name_of)
        .chain(pragma.map(|(_, value)| value.as_str()))
        .any(|name| name.contains(|letter: char| letter.is_ascii_uppercase()))
}

/// A comma inside a quoted string separates nothing (RFC 9110 §5.6.1, §5.6.4).
fn peer_cuts_quoted_strings_at_commas(case: &Case) -> bool {
    members(case).any(|member| member.starts_with("x=\"a"))
}

/// There is no white space around `=` (RFC 9111 §5.2), and what cannot be read is stale (§4.2.1); a
/// client's is ignored.
fn peer_allows_white_space_around_equals(case: &Case) -> bool {
    members(case).any(|member| member.contains(" =") || member.contains("= "))
}

/// Seconds are digits (RFC 9111 §1.2.2).
fn peer_reads_numbers_with_a_sign(case: &Case) -> bool {
    members(case).chain(case.said("age")).any(|member| member.contains('+'))
}

/// A quoted string has two quotes (RFC 9110 §5.6.4); with one it cannot be read.
fn peer_closes_open_quotes(case: &Case) -> bool {
    members(case).any(|member| member.contains("-age=\"") && !member.ends_with('"'))
}

/// `max-age` without a number is freshness information that cannot be read: stale (RFC 9111
/// §4.2.1).
fn peer_ignores_a_lifetime_without_a_number(case: &Case) -> bool {
    case.members().any(|member| matches!(member, "max-age" | "s-maxage"))
}

/// What begins as `no-store`, `private` or `max-age` and goes on against the grammar is obeyed, to
/// be on the safe side.
fn peer_overlooks_what_ends_in_junk(case: &Case) -> bool {
    let is_junk =
        |member: &str| member.contains(';') || member.contains(' ') && !member.contains('=');
    members(case).any(is_junk)
}

/// One odd byte does not make the rest of a line unsaid (RFC 9110 §5.5: obs-text is opaque data).
fn peer_drops_lines_that_are_not_ascii(case: &Case) -> bool {
    members(case).any(|member| !member.is_ascii())
}

/// More than 2^31 seconds are 2^31 (RFC 9111 §1.2.2). The other counts on, or takes the number for
/// zero.
fn peer_does_not_saturate(case: &Case) -> bool {
    let is_huge = |member: &str| member.contains("99999999");
    members(case).any(is_huge) || case.said("age").any(is_huge)
}

/// `must-understand` replaces `no-store` for status codes that are known, and forbids the others
/// (RFC 9111 §5.2.2.3).
fn peer_does_not_know_must_understand(case: &Case) -> bool {
    case.says("must-understand")
}

/// `no-cache="x"` and `private="x"` speak about those fields only (RFC 9111 §5.2.2.4, §5.2.2.7).
fn peer_takes_named_fields_for_the_response(case: &Case) -> bool {
    case.members()
        .any(|member| matches!(name_of(member), "no-cache" | "private") && member.contains("=\""))
}

/// `proxy-revalidate` begins to matter when the response is stale (RFC 9111 §5.2.2.8); it does not
/// make it so.
fn peer_takes_proxy_revalidate_for_a_lifetime(case: &Case) -> bool {
    case.says("proxy-revalidate")
}

/// A repeated directive whose values differ is, to the other, `must-revalidate`, which lets it
/// store what answers `Authorization` (RFC 9111 §3.5 wants it said).
fn peer_takes_a_repetition_for_must_revalidate(case: &Case) -> bool {
    let repeats = case.members().any(|one| {
        case.members().any(|two| one != two && name_of(one) == name_of(two))
            || one.contains('"') && case.members().filter(|two| one == *two).count() > 1
    });
    repeats && has(&case.request, "authorization")
}

/// A targeted field governs alone (RFC 9213 §2.2; Edge Architecture §2.2).
fn peer_does_not_know_targeted_fields(case: &Case) -> bool {
    has(&case.response, "cdn-cache-control") || has(&case.response, "surrogate-control")
}

/// `Pragma` is for requests; in responses it never meant anything (RFC 9111 §5.4).
fn peer_reads_pragma_of_a_response(case: &Case) -> bool {
    has(&case.response, "pragma") && !has(&case.response, "cache-control")
}

/// The time that the origin server took counts as age (RFC 9111 §4.2.3).
fn peer_does_not_count_the_response_delay(case: &Case) -> bool {
    case.delay > 0
}

/// Of a list in `Age` the first member counts (RFC 9111 §5.1).
fn peer_reads_one_member_of_age_only(case: &Case) -> bool {
    case.said("age").any(|age| age.contains(','))
}

/// An HTTP-date has three formats, all in GMT (RFC 9110 §5.6.7); a cache takes every other zone and
/// a wrong day of the week for invalid (RFC 9111 §4.2). The other reads dates of e-mails.
fn peer_reads_other_dates(case: &Case) -> bool {
    let fields = ["date", "expires", "last-modified"];
    fields.iter().flat_map(|name| case.said(name)).any(|date| {
        let imf_fixdate = read(date).map(http_date::format);
        let is_like_a_date = date.contains(" 1994 ");
        imf_fixdate.map_or(is_like_a_date, |same| same != date)
    })
}

/// Two lines of `Expires` are no date (RFC 9111 §4.2.1).
fn peer_reads_the_first_of_two_expires(case: &Case) -> bool {
    case.said("expires").count() > 1
}

/// A day is the most that we assign (RFC 9111 §4.2.2 leaves it to the cache).
fn peer_has_no_limit_to_heuristics(case: &Case) -> bool {
    let change = case.said("last-modified").next().and_then(read);
    change.is_some_and(|change| change.as_secs() + 864_000 < NOW.as_secs())
}

/// `max-stale` is advice that a shared cache need not take (RFC 9111 §5.2.1.2): with the other, it
/// reaches what says `no-cache` and `s-maxage=0`.
fn peer_lets_a_client_loosen_freshness(case: &Case) -> bool {
    lines(&case.later, "cache-control").any(|line| line.contains("max-stale"))
}

/// `Pragma` counts only without `Cache-Control` (RFC 9111 §5.4).
fn peer_reads_pragma_beside_cache_control(case: &Case) -> bool {
    has(&case.later, "pragma") && has(&case.later, "cache-control")
}

/// A request with `Authorization` is answered only with what may be shared (RFC 9111 §3.5). The
/// other looks at the request that a response was stored for, not at the one that it answers.
fn peer_shares_what_is_not_shareable(case: &Case) -> bool {
    has(&case.later, "authorization")
}

/// What is immutable is not reloaded while it is fresh (RFC 8246 §2).
fn peer_reloads_what_is_immutable(case: &Case) -> bool {
    case.says("immutable")
        && lines(&case.later, "cache-control").any(|line| line.contains("max-age"))
}

/// A client's number that cannot be read is no number; the next one counts (RFC 9111 §5.2.1 makes
/// it advice).
fn peer_stops_at_a_number_it_cannot_read(case: &Case) -> bool {
    let line = lines(&case.later, "cache-control").find(|line| line.contains("=x"));
    line.is_some_and(|line| line.matches("max-age=").count() > 1)
}

/// All lines of a selecting field count, without white space between members (RFC 9111 §4.1).
fn peer_compares_one_line_of_a_selecting_field(case: &Case) -> bool {
    let is_odd = |head: &[Line]| {
        lines(head, "x-a").count() > 1 || lines(head, "x-b").any(|value| value.contains(','))
    };
    vary(case).next().is_some() && (is_odd(&case.request) || is_odd(&case.later))
}

fn members(case: &Case) -> impl Iterator<Item = &str> {
    case.members().chain(case.asked())
}

fn vary(case: &Case) -> impl Iterator<Item = &str> {
    case.said("vary").flat_map(|line| line.split(',')).map(str::trim)
}

fn has(head: &[Line], name: &str) -> bool {
    lines(head, name).next().is_some()
}

fn read(date: &str) -> Option<Timestamp> {
    http_date::parse(date.as_bytes(), NOW)
}
