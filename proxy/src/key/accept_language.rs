//! `Accept-Language` (RFC 9110 §12.5.4) in one form for all ways to write the same preferences.
//!
//! For the key only: the origin sees what the client sent. Browsers differ in spacing, case and the
//! digits of weights, and a page that varies on the field would be stored once for each. Values
//! that have the same meaning are one (RFC 9111 §4.1); languages are neither matched nor reduced,
//! since only the origin knows which it has.

use std::cmp::Reverse;

use http::header::{ACCEPT_LANGUAGE, HeaderMap};
use smallvec::SmallVec;

#[derive(Clone, Copy)]
struct Member<'a> {
    range: &'a [u8],
    weight: u16,
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
//# *  normalizing both header field values in a way that is known to
//#    have identical semantics, according to the header field's
//#    specification (e.g., reordering field values when order is not
//#    significant; case-normalization, where values are defined to be
//#    case-insensitive)
/// Returns the preferences in lower case, the most wanted first; those of equal weight stay in
/// their order, which some origins read as a preference (RFC 9110 §12.5.4). Refusals (`q=0`) are
/// preferences, too.
///
/// `None` without the field, and where it has to stay as it is: it is malformed, or longer than any
/// that means something.
pub(super) fn canonical(fields: &HeaderMap) -> Option<SmallVec<[u8; 128]>> {
    let mut lines = fields.get_all(ACCEPT_LANGUAGE).iter().peekable();
    lines.peek()?;
    let texts = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty());
    let mut members = SmallVec::<[Member<'_>; MEMBERS_MAX]>::new();
    for text in texts {
        if members.len() == MEMBERS_MAX {
            return None;
        }
        let member = Member::parse(text)?;
        if !members.iter().any(|earlier| earlier.is_same(member)) {
            members.push(member);
        }
    }
    members.sort_by_key(|member| Reverse(member.weight));
    let mut text = SmallVec::new();
    for member in &members {
        text.extend(member.range.iter().map(u8::to_ascii_lowercase));
        if member.weight < WHOLE {
            text.push(b';');
            text.extend_from_slice(itoa::Buffer::new().format(member.weight).as_bytes());
        }
        text.push(b',');
    }
    Some(text)
}

/// Returns whether two requests name the same languages with the same weights, though in different
/// orders, and the second one names `language` before all others. An origin that has a page in
/// `language` chooses it for the second request whether it reads the order as a preference, looks
/// at the first language only, or looks at weights alone: in the last case its choice is that for
/// the first request.
pub(super) fn agree_on(language: &[u8], one: &HeaderMap, two: &HeaderMap) -> bool {
    let (Some(one), Some(two)) = (canonical(one), canonical(two)) else { return false };
    let (mut one, mut two) = (members(&one), members(&two));
    let is_wanted = two.first().is_some_and(|(range, weight)| {
        range.eq_ignore_ascii_case(language) && *weight != Some(b"0")
    });
    let is_ambiguous = (0..two.len()).any(|end| {
        let mut earlier = two.iter().take(end);
        two.get(end).is_some_and(|member| earlier.any(|other| other.0 == member.0))
    });
    one.sort_unstable();
    two.sort_unstable();
    is_wanted && !is_ambiguous && one == two
}

/// A range, and its weight where that is below one.
pub(super) type WeightedRange<'a> = (&'a [u8], Option<&'a [u8]>);

/// The ranges of a canonical form, with their weights where these are below one.
pub(super) fn members(canonical: &[u8]) -> SmallVec<[WeightedRange<'_>; MEMBERS_MAX]> {
    let members = canonical.split(|byte| *byte == b',').filter(|member| !member.is_empty());
    let parts = members.map(|member| {
        let mut parts = member.splitn(2, |byte| *byte == b';');
        (parts.next().unwrap_or_default(), parts.next())
    });
    parts.collect()
}

/// Returns a field value whose canonical form is this.
pub(super) fn written(canonical: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    for (range, weight) in members(canonical) {
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(range);
        if let Some(thousandths) = weight {
            value.extend_from_slice(b";q=0.");
            value.resize(value.len() + 3_usize.saturating_sub(thousandths.len()), b'0');
            value.extend_from_slice(thousandths);
        }
    }
    value
}

impl<'a> Member<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parts = text.splitn(2, |byte| *byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next()?;
        let weight = parts.next().map_or(Some(WHOLE), weight)?;
        let begins = range.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'*');
        let is_in_range = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*');
        (begins && range.iter().all(is_in_range)).then_some(Self { range, weight })
    }

    const fn is_same(self, other: Self) -> bool {
        self.weight == other.weight && self.range.eq_ignore_ascii_case(other.range)
    }
}

/// Reads `q=qvalue` (RFC 9110 §12.4.2) in thousandths.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', whole, fraction @ ..] = parameter else { return None };
    let fraction = match fraction {
        [] => fraction,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        [_, ..] => return None,
    };
    let thousandths =
        fraction.iter().copied().chain([b'0'; 3]).take(3).try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'))
        })?;
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(WHOLE),
        _ => None,
    }
}

const WHOLE: u16 = 1000;

/// Browsers send up to a dozen. It bounds what a comparison costs.
const MEMBERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn canonical_of(lines: &[&str]) -> Option<String> {
        let fields: HeaderMap = lines
            .iter()
            .map(|line| (ACCEPT_LANGUAGE, HeaderValue::from_str(line).unwrap()))
            .collect();
        canonical(&fields).map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn one_meaning_has_one_form() {
        for (lines, expected) in [
            (&["en-US,en;q=0.5"][..], "en-us,en;500,"),
            (&["EN-us, en;q=0.50"], "en-us,en;500,"),
            (&["en ; Q=0.500\t,en-us"], "en-us,en;500,"),
            (&["en-us", "en;q=0.5"], "en-us,en;500,"),
            (&["de;q=1, en;q=1.0, fr;q=1.000, it;q=1."], "de,en,fr,it,"),
            (&["en, de"], "en,de,"),
            (&["de, en"], "de,en,"),
            (&["*;q=0.1, de, fr;q=0, en;q=0."], "de,*;100,fr;0,en;0,"),
            (&["de, de, DE;q=1, de;q=0.9"], "de,de;900,"),
            (&["de;q=0.001"], "de;1,"),
            (&["", " , "], ""),
        ] {
            assert_eq!(canonical_of(lines).as_deref(), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn a_malformed_or_very_long_value_stays_as_it_is() {
        for value in [
            "en_US",
            "en;",
            "en;q",
            "en;q=",
            "en;q=2",
            "en;q=.5",
            "en;q=1.001",
            "en;q=0.1234",
            "en;q=0,5",
            "en;q=0.5x",
            "en;q= 0.5",
            "en;q=-1",
            "en;level=1",
            "en;q=0.5;x=1",
            ";q=1",
            "en us",
            "\"en\"",
        ] {
            assert_eq!(canonical_of(&[value]), None, "{value}");
        }
        assert_eq!(canonical_of(&[]), None, "absent is not empty");
        let languages = |count| (0..count).map(|n| format!("l{n}")).collect::<Vec<_>>().join(",");
        assert!(canonical_of(&[&languages(MEMBERS_MAX)]).is_some());
        assert_eq!(canonical_of(&[&languages(MEMBERS_MAX + 1)]), None);
    }

    #[test]
    fn two_orders_agree_on_the_language_that_the_second_names_first() {
        let fields =
            |value| HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(value))]);
        for (one, two, is_shared) in [
            ("en, de", "de, en", true),
            ("en, de", "DE , EN;q=1", true),
            ("fr;q=0.5, de, it;q=0.5", "de, it;q=0.5, fr;q=0.5", true),
            ("en, de, fr", "de, fr, en", true),
            ("de, en", "en, de", false),       // names another one first
            ("en, de", "de, en, fr", false),   // names more
            ("en, de", "de, en;q=0.9", false), // weighs otherwise
            ("en, de-AT", "de-AT, en", false), // a page in de may not be all there is for de-AT
            ("de;q=0.9, de, en", "de, en, de;q=0.9", false), // which weight counts?
            ("de;q=0, en;q=0", "de;q=0, en;q=0", false),
            ("*, de", "*, de", false),
            ("en, d_e", "en, d_e", false),
        ] {
            assert_eq!(agree_on(b"de", &fields(one), &fields(two)), is_shared, "{one} {two}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_form_or_none(value in any::<Vec<u8>>()) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                canonical(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, value)]));
            }
        }

        #[test]
        fn spacing_case_and_trailing_zeros_do_not_matter(
            members in proptest::collection::vec(("[a-z]{2}(-[a-z]{2})?", 0_u16..1000), 1..6),
        ) {
            let write = |separator: &str, digits: &dyn Fn(u16) -> String| {
                let texts: Vec<_> = members
                    .iter()
                    .map(|(range, weight)| format!("{range};q=0.{}", digits(*weight)))
                    .collect();
                texts.join(separator)
            };
            let long = write(" ,\t", &|weight| format!("{weight:03}")).to_uppercase();
            let short = write(",", &|weight| {
                format!("{weight:03}").trim_end_matches('0').to_owned()
            });
            assert_eq!(canonical_of(&[&long]), canonical_of(&[&short]));
            assert!(canonical_of(&[&long]).is_some());
        }
    }
}
