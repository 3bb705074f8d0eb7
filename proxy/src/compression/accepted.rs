//! `Accept-Encoding` (RFC 9110 §12.5.3) and the choice of a coding by it.

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use settings::Coding;

use super::{ALL, name};

/// The weights of a request, in thousandths; `None` where no member names the coding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// In the order of [`ALL`].
    codings: [Option<u16>; ALL.len()],
    identity: Option<u16>,
    /// Of `*`: for the codings that are not named.
    others: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Coded(Coding),
    Plain,
    /// The plain form is refused, and every coding that there is.
    Unknown,
}

impl Accepted {
    pub fn of(fields: &HeaderMap) -> Self {
        let mut accepted = Self::default();
        let lines = fields.get_all(ACCEPT_ENCODING).into_iter().map(HeaderValue::as_bytes);
        for member in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let weight = Some(parts.find_map(weight).unwrap_or(1000));
            if coding == b"*" {
                accepted.others = weight;
            } else if coding.eq_ignore_ascii_case(b"identity") {
                accepted.identity = weight;
            }
            let is_gzip = coding.eq_ignore_ascii_case(b"x-gzip");
            for (known, own) in ALL.into_iter().zip(&mut accepted.codings) {
                if coding.eq_ignore_ascii_case(name(known).as_bytes())
                    || is_gzip && known == Coding::Gzip
                {
                    *own = weight;
                }
            }
        }
        accepted
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
    //# When sending a response in a content coding, preference is given to
    //# the codings with the highest nonzero qvalue.
    /// Returns the coding of the highest weight; among equals the first of `preferred`, and any of
    /// them before the plain form.
    pub fn choose(&self, preferred: &[Coding]) -> Choice {
        let weight_of = |coding: Coding| {
            let named = ALL.iter().position(|known| *known == coding);
            let named = named.and_then(|place| self.codings.get(place).copied().flatten());
            named.or(self.others).unwrap_or(0)
        };
        let plain = self.identity.or_else(|| self.others.filter(|weight| *weight == 0));
        let mut best = None;
        for coding in preferred {
            let weight = weight_of(*coding);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((*coding, weight));
            }
        }
        match (best, plain) {
            (Some((_, weight)), Some(plain)) if plain > weight => Choice::Plain,
            (Some((coding, _)), _) => Choice::Coded(coding),
            (None, Some(0)) => Choice::Unknown,
            (None, _) => Choice::Plain,
        }
    }
}

/// Reads a weight in thousandths; one that cannot be read counts as zero.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at_checked(parameter.iter().position(|b| *b == b'=')?)?;
    if !name.trim_ascii().eq_ignore_ascii_case(b"q") {
        return None;
    }
    let value = value.get(1..)?.trim_ascii();
    let (whole, digits) = match value.iter().position(|byte| *byte == b'.') {
        Some(point) => (value.get(..point)?, value.get(point + 1..)?),
        None => (value, &[][..]),
    };
    let is_number = digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit);
    let thousandths = (0..3).fold(0, |sum, place| {
        let digit = digits.get(place).map_or(0, |digit| u16::from(digit.wrapping_sub(b'0')));
        sum * 10 + digit
    });
    Some(match whole {
        b"0" if is_number => thousandths,
        b"1" if is_number && thousandths == 0 => 1000,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn chosen(field: &str) -> Choice {
        let fields = HeaderMap::from_iter([(ACCEPT_ENCODING, field.parse().unwrap())]);
        Accepted::of(&fields).choose(&ALL)
    }

    #[test]
    fn the_weights_of_the_client_go_before_our_order() {
        for (field, expected) in [
            ("gzip, br", Choice::Coded(Coding::Br)),
            ("zstd, gzip", Choice::Coded(Coding::Gzip)),
            ("gzip;q=1.0, br;q=0.9", Choice::Coded(Coding::Gzip)),
            ("gzip;q=0.001, br;q=0", Choice::Coded(Coding::Gzip)),
            ("X-GZip", Choice::Coded(Coding::Gzip)),
            ("GZIP ; Q=0.5 , br;q=0.25", Choice::Coded(Coding::Gzip)),
            ("*", Choice::Coded(Coding::Br)),
            ("*;q=0.5, br;q=0", Choice::Coded(Coding::Gzip)),
            ("br;q=0.5, identity", Choice::Plain),
            ("identity;q=0.5, br", Choice::Coded(Coding::Br)),
            ("identity, br", Choice::Coded(Coding::Br)),
            ("identity;q=0, br", Choice::Coded(Coding::Br)),
            ("identity;q=0, br;q=0.1", Choice::Coded(Coding::Br)),
            ("identity;q=0", Choice::Unknown),
            ("*;q=0", Choice::Unknown),
            ("*;q=0, identity", Choice::Plain),
            ("*;q=0, gzip", Choice::Coded(Coding::Gzip)),
            ("deflate", Choice::Plain),
            ("", Choice::Plain),
            ("br;q=2", Choice::Plain),
            ("br;q=0.0001", Choice::Plain),
            ("br;q=", Choice::Plain),
            ("br;level=5", Choice::Coded(Coding::Br)),
        ] {
            assert_eq!(chosen(field), expected, "{field}");
        }
    }

    #[test]
    fn a_coding_that_is_not_configured_is_not_chosen() {
        let fields = HeaderMap::from_iter([(ACCEPT_ENCODING, "br, gzip".parse().unwrap())]);
        let accepted = Accepted::of(&fields);
        assert_eq!(accepted.choose(&[Coding::Gzip]), Choice::Coded(Coding::Gzip));
        assert_eq!(accepted.choose(&[Coding::Zstd]), Choice::Plain);
        let zstd_first = [Coding::Zstd, Coding::Gzip, Coding::Br];
        assert_eq!(accepted.choose(&zstd_first), Choice::Coded(Coding::Gzip));
    }

    proptest! {
        #[test]
        fn a_coding_is_chosen_only_if_a_member_names_it_or_any(field in any::<Vec<u8>>()) {
            let Ok(value) = HeaderValue::from_bytes(&field) else { return Ok(()) };
            let fields = HeaderMap::from_iter([(ACCEPT_ENCODING, value)]);
            if let Choice::Coded(coding) = Accepted::of(&fields).choose(&ALL) {
                let text = String::from_utf8_lossy(&field).to_ascii_lowercase();
                assert!(text.contains(name(coding)) || text.contains('*'));
            }
        }
    }
}
