//! `Parameter`: one piece of a query, with its name as an origin reads it.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// The text between two `&`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a>(pub(super) &'a str);

impl<'a> Parameter<'a> {
    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Calls `use_name` with the decoded name. Copies only a name with escapes.
    pub(super) fn with_name<T>(self, use_name: impl FnOnce(&[u8]) -> T) -> T {
        let name = self.name();
        if name.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
            let decoded: SmallVec<[u8; 64]> = decoded(name.as_bytes()).collect();
            use_name(&decoded)
        } else {
            use_name(name.as_bytes())
        }
    }

    /// Compares two names. Parameters that an origin gives one name are equal.
    pub(super) fn compare(self, other: Self) -> Ordering {
        decoded(self.name().as_bytes()).cmp(decoded(other.name().as_bytes()))
    }

    pub(super) fn is_after(self, other: Self) -> bool {
        self.compare(other) == Ordering::Greater
    }

    fn name(self) -> &'a str {
        self.0.split('=').next().unwrap_or_default()
    }
}

/// Decodes escapes, and `+` as forms have it, once. A `%` that begins no escape is itself.
pub(in crate::policy) fn decoded(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        rest = after;
        match first {
            b'+' => Some(b' '),
            b'%' => match escape(after) {
                Some(byte) => {
                    rest = after.get(2..).unwrap_or_default();
                    Some(byte)
                }
                None => Some(b'%'),
            },
            byte => Some(*byte),
        }
    })
}

/// Returns the byte whose two digits stand at the beginning.
fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| {
        let digit = char::from(*digits.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(0)? << 4 | digit(1)?)
}
