//! One head, line by line as it arrives (RFC 9112 §2.1, §3, §4, §5).

use super::grammar::{
    control_count, decimal, has_control, has_target_bytes, is_token, is_token_byte, trim,
};
use super::{HeadLimits, Violation};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field that is there or not")]
pub(super) struct Facts {
    pub(super) length: Option<u64>,
    pub(super) is_chunked: bool,
    /// `Upgrade` names `websocket`: it may become a tunnel. Other protocols are never switched to.
    pub(super) has_websocket: bool,
    /// `Expect` is there: the client may wait before it sends content.
    pub(super) has_expect: bool,
    /// HTTP/1.0.
    pub(super) is_old: bool,
    pub(super) status: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// Reads one head. It remembers the lines that were read: bytes are looked at once, however they
/// arrive.
#[derive(Clone, Debug)]
pub(super) struct HeadReader {
    side: Side,
    at: usize,
    /// Empty lines before the first one.
    empty_lines: usize,
    lines: usize,
    facts: Facts,
}

impl HeadReader {
    pub(super) const fn new(side: Side) -> Self {
        let facts = Facts {
            length: None,
            is_chunked: false,
            has_websocket: false,
            has_expect: false,
            is_old: false,
            status: 0,
        };
        Self { side, at: 0, empty_lines: 0, lines: 0, facts }
    }

    /// Reads on in `bytes`, which begin where the head does; returns its length and what it says
    /// once it is complete.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<(usize, Facts)>, Violation> {
        let begun = self.at;
        let unread = bytes.get(begun..).unwrap_or_default();
        for end in memchr::memchr_iter(b'\n', unread) {
            let end = begun + end;
            let line = bytes.get(self.at..end).unwrap_or_default();
            self.at = end + 1;
            if self.at > limits.head_bytes_max {
                return Err(self.too_large());
            }
            let line = line.strip_suffix(b"\r").ok_or(Violation::BareLineFeed)?;
            if self.line(line, limits)? == HeadLine::Last {
                self.check_framing()?;
                self.check_bytes(bytes.get(..self.at).unwrap_or_default())?;
                return Ok(Some((self.at, self.facts)));
            }
        }
        self.check_unfinished(bytes, limits)?;
        Ok(None)
    }

    fn line(&mut self, line: &[u8], limits: &HeadLimits) -> Result<HeadLine, Violation> {
        if line.is_empty() && self.lines == 0 {
            // A server ignores an empty line before the request line (RFC 9112 §2.2).
            self.empty_lines += 1;
            let may_be_ignored = self.side == Side::Request && self.empty_lines <= EMPTY_LINES_MAX;
            return if may_be_ignored { Ok(HeadLine::Other) } else { Err(Violation::FirstLine) };
        }
        if line.is_empty() {
            return Ok(HeadLine::Last);
        }
        self.lines += 1;
        match self.side {
            _ if self.lines > 1 => self.field(line, limits)?,
            Side::Request => self.request_line(line)?,
            Side::Response => self.status_line(line)?,
        }
        Ok(HeadLine::Other)
    }

    /// Refuses an incomplete line that is too long or begins like no message.
    fn check_unfinished(&self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Violation> {
        if bytes.len() > limits.head_bytes_max {
            return Err(self.too_large());
        }
        let is_first = self.lines == 0;
        match bytes.get(self.at) {
            Some(b'\r') | None => Ok(()),
            Some(first) if is_first && !is_token_byte(*first) => Err(Violation::FirstLine),
            Some(_) => Ok(()),
        }
    }

    /// Looks for bytes that are in no head, all at once: line by line it would cost four times as
    /// much. Each line was seen to end with CR and LF, so that a head with no more control bytes
    /// than these has no other.
    fn check_bytes(&self, head: &[u8]) -> Result<(), Violation> {
        let line_ends = self.lines + self.empty_lines + 1;
        if control_count(head) == 2 * line_ends {
            return Ok(());
        }
        let has_bare_return = memchr::memchr_iter(b'\r', head).count() != line_ends;
        if has_bare_return || has_control(head) { Err(Violation::FieldValue) } else { Ok(()) }
    }

    const fn too_large(&self) -> Violation {
        if self.lines == 0 { Violation::TargetTooLong } else { Violation::HeadTooLarge }
    }

    //= https://www.rfc-editor.org/rfc/rfc9112#section-3
    //# request-line   = method SP request-target SP HTTP-version
    fn request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (method, target, version) = request_words(line).ok_or(Violation::FirstLine)?;
        let has_target_bytes = has_target_bytes(target);
        let is_one_word = has_target_bytes || !target.contains(&b' ');
        if !is_token(method) || target.is_empty() || !is_one_word {
            return Err(Violation::FirstLine);
        }
        self.version(version)?;
        match target.len() {
            ..=TARGET_BYTES_MAX if has_target_bytes && is_readable(target) => Ok(()),
            ..=TARGET_BYTES_MAX => Err(Violation::Target),
            _ => Err(Violation::TargetTooLong),
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9112#section-4
    //# status-line = HTTP-version SP status-code SP [ reason-phrase ]
    fn status_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (version, rest) = line.split_at_checked(8).ok_or(Violation::FirstLine)?;
        self.version(version)?;
        let (code, reason) = rest
            .strip_prefix(b" ")
            .and_then(|rest| rest.split_at_checked(3))
            .ok_or(Violation::FirstLine)?;
        // Many servers leave out the space before an empty reason.
        let is_reason = reason.is_empty() || reason.starts_with(b" ");
        let [hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = *code else {
            return Err(Violation::FirstLine);
        };
        let digit = |byte: u8| u16::from(byte - b'0');
        self.facts.status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
        if is_reason { Ok(()) } else { Err(Violation::FirstLine) }
    }

    fn version(&mut self, version: &[u8]) -> Result<(), Violation> {
        match version {
            b"HTTP/1.1" => Ok(()),
            b"HTTP/1.0" => {
                self.facts.is_old = true;
                Ok(())
            }
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                Err(Violation::Version)
            }
            _ => Err(Violation::FirstLine),
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9112#section-5.1
    //# No whitespace is allowed between the field name and colon.
    fn field(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), Violation> {
        if self.lines > limits.fields_max + 1 {
            return Err(Violation::TooManyFields);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Violation::Folding);
        }
        let (name, value) = split_field(line)?;
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"expect") => self.facts.has_expect = true,
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.facts.has_websocket |= trim(value).eq_ignore_ascii_case(b"websocket");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        let length = decimal(trim(value)).ok_or(Violation::ContentLength)?;
        match self.facts.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Violation::ContentLength),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        let value = trim(value);
        if self.facts.is_chunked {
            return Err(Violation::TransferEncoding);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            let is_contradictory = self.facts.length.is_some();
            let other = other_coding(value);
            return Err(if is_contradictory { Violation::TransferEncoding } else { other });
        }
        self.facts.is_chunked = true;
        Ok(())
    }

    //= https://www.rfc-editor.org/rfc/rfc9112#section-6.1
    //# A server MAY reject a request that contains both Content-Length and
    //# Transfer-Encoding
    fn check_framing(&self) -> Result<(), Violation> {
        let Facts { is_chunked, is_old, length, status, .. } = self.facts;
        // A 1xx has neither (RFC 9110 §8.6, RFC 9112 §6.1).
        let is_framed_interim = matches!(status, 100..=199) && (is_chunked || length.is_some());
        let is_contradictory = is_chunked && (length.is_some() || is_old) || is_framed_interim;
        if is_contradictory { Err(Violation::TransferEncoding) } else { Ok(()) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HeadLine {
    Last,
    Other,
}

/// Splits a request line at its first space and its last one. The version has as many bytes in
/// every request.
fn request_words(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (rest, version) = line.split_last_chunk::<{ b"HTTP/1.1".len() }>()?;
    let rest = rest.strip_suffix(b" ")?;
    let (method, target) = rest.split_at_checked(rest.iter().position(|byte| *byte == b' ')?)?;
    Some((method, target.get(1..)?, version))
}

/// Splits a field line behind a name that is one; the bytes of the value are the caller's to look
/// at.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or_default();
    match line.split_at_checked(end) {
        Some((name, [b':', value @ ..])) if !name.is_empty() => Ok((name, value)),
        _ => Err(Violation::FieldName),
    }
}

/// A list of tokens names codings that we do not have; `chunked` twice or not last, and all else,
/// is malformed.
fn other_coding(value: &[u8]) -> Violation {
    let members = || value.split(|byte| *byte == b',').map(trim);
    let chunked = members().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    let is_last = members().next_back().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let are_tokens = members().all(is_token);
    let is_sound = are_tokens && (chunked == 0 || chunked == 1 && is_last);
    if is_sound { Violation::TransferCoding } else { Violation::TransferEncoding }
}

//= https://www.rfc-editor.org/rfc/rfc9112#section-3.2
//# request-target = origin-form
//#                / absolute-form
//#                / authority-form
//#                / asterisk-form
/// Returns whether `http::Uri` reads a target of sound bytes: hyper answers by itself what it
/// cannot read. Which form goes with which method is judged with the complete request.
fn is_readable(target: &[u8]) -> bool {
    match target {
        [b'/', ..] | b"*" => true,
        _ => http::Uri::try_from(target).is_ok(), // rare, so that it may cost
    }
}

const EMPTY_LINES_MAX: usize = 2;
/// `http::Uri` holds no more.
const TARGET_BYTES_MAX: usize = (u16::MAX - 1) as usize;
