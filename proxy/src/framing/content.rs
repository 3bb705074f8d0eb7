//! The content of a message, by its framing (RFC 9112 §6.3).

use super::Violation;
use super::chunked::Chunked;

/// The rule that tells where content ends.
#[derive(Clone, Debug)]
pub(super) enum BodyFraming {
    /// After so many bytes.
    Sized(u64),
    Chunked(Chunked),
    UntilClose,
}

impl BodyFraming {
    /// Takes bytes up to its end; returns how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        match self {
            Self::UntilClose => Ok(bytes.len()),
            Self::Chunked(chunked) => chunked.take(bytes),
            Self::Sized(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Ok(taken)
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::UntilClose => false,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::Sized(left) => *left == 0,
        }
    }
}
