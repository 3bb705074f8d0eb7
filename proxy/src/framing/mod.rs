//! The boundaries of HTTP/1 messages (RFC 9112): one strict reader, in front of hyper on both
//! sides.
//!
//! hyper merges equal `Content-Length` lines, lets `Transfer-Encoding` win over `Content-Length`
//! and takes a bare LF for the end of a line: leniencies that RFC 9112 permits and that, between
//! two programs, are how requests are smuggled. What passes here can be read in one way only. Pure:
//! bytes in, the number of bytes that may go on out.
//!
//! ```text
//!   client ─► socket ─► requests: head, chunked ─► hyper ─► service
//!   hyper ◄─ responses: head, chunked ◄─ socket ◄─ origin
//! ```

pub(crate) mod chunked;
mod content;
pub(crate) mod frames;
pub(crate) mod grammar;
mod head;
pub(crate) mod parsed;
pub mod requests;
pub mod responses;
#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The first line is none (RFC 9112 §3, §4).
    #[error("the first line is malformed")]
    FirstLine,
    /// HTTP/2.0, HTTP/1.2 ...
    #[error("this version of HTTP is not spoken here")]
    Version,
    /// No target, or one with a byte that no URI has (RFC 3986 §2) or a fragment.
    #[error("the request target is no path, or has a byte that must be percent-encoded")]
    Target,
    /// A line ends with LF alone (RFC 9112 §2.2).
    #[error("a line ends without CR")]
    BareLineFeed,
    /// No field name, one with a byte that names do not have, or white space before the colon (RFC
    /// 9112 §5.1).
    #[error("a field line has no valid name")]
    FieldName,
    /// A control byte in a value (RFC 9110 §5.5), or white space around it where there is none to
    /// strip (RFC 9113 §8.2.1).
    #[error("a field value has a control byte, or white space around it")]
    FieldValue,
    /// A field line goes on in the next line (RFC 9112 §5.2).
    #[error("a field line is folded")]
    Folding,
    /// `Content-Length` is no number, too large, or there are several (RFC 9112 §6.3).
    #[error("Content-Length is malformed or repeated")]
    ContentLength,
    /// `Transfer-Encoding` beside `Content-Length`, repeated, malformed, or in HTTP/1.0 (RFC 9112
    /// §6.1).
    #[error("Transfer-Encoding is malformed, repeated, or contradicts Content-Length")]
    TransferEncoding,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    #[error("the only transfer coding here is chunked")]
    TransferCoding,
    /// A chunk that breaks the grammar (RFC 9112 §7.1).
    #[error("the chunked content is malformed")]
    Chunk,
    /// More bytes in the head than the limit.
    #[error("the head is longer than the limit")]
    HeadTooLarge,
    #[error("the head has more fields than the limit")]
    TooManyFields,
    /// A first line longer than the limit of the head.
    #[error("the request target is longer than the limit")]
    TargetTooLong,
    /// Bytes after a complete response, or before any request.
    #[error("the server sent bytes that belong to no response")]
    Surplus,
}

#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes, with the empty line at the end.
    pub head_bytes_max: usize,
    pub fields_max: usize,
}
