//! The rules for fields that a library has parsed already: those of HTTP/2, and trailers of either
//! protocol.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Violation;
use super::chunked::TRAILER_BYTES_MAX;
use super::grammar::{is_token, trim};

/// Checks a trailer section. Both protocols have the same limit.
pub(crate) fn check_trailers(trailers: &HeaderMap) -> Result<(), Violation> {
    check_fields(trailers)?;
    let is_too_large = trailers.iter().map(line_length).sum::<usize>() > TRAILER_BYTES_MAX;
    if is_too_large { Err(Violation::HeadTooLarge) } else { Ok(()) }
}

/// Checks for names that are no tokens and for white space around values. HTTP/1's reader strips
/// the one and refuses the other.
pub(crate) fn check_fields(fields: &HeaderMap) -> Result<(), Violation> {
    for (name, value) in fields {
        if !is_token(name.as_str().as_bytes()) {
            return Err(Violation::FieldName);
        }
        if trim(value.as_bytes()).len() != value.len() {
            return Err(Violation::FieldValue);
        }
    }
    Ok(())
}

/// Returns the bytes of a field line in HTTP/1.
pub(crate) fn line_length((name, value): (&HeaderName, &HeaderValue)) -> usize {
    name.as_str().len() + ": \r\n".len() + value.len()
}
