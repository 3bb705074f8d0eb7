//! `multipart/byteranges` (RFC 9110 §14.6, §15.3.7.2): several parts of stored content in one 206.
//!
//! ```text
//! --BOUNDARY CRLF Content-Type CRLF Content-Range CRLF CRLF bytes CRLF
//! --BOUNDARY CRLF ...                              CRLF CRLF bytes CRLF
//! --BOUNDARY-- CRLF
//! ```
//! The bytes are shared with the store; only the small heads between them are written. Which parts
//! are sent is decided in `range`; content that is still arriving has one part or none.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue};
use uuid::Uuid;

use super::body::ResponseBody;
use crate::field::range::ByteRange;
use crate::store::Body;

/// The line between the parts, which must not occur in them (RFC 2046 §5.1.1).
///
/// 122 random bits, new for each response: content that was stored before holds it by a chance of
/// one in 2^122 for each of its bytes, and no author of content can foresee it. So the content need
/// not be searched. One boundary for the whole process would not do: a client that has seen it
/// could have it stored in a comment, and forge parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundary(Uuid);

impl Boundary {
    pub(super) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::try_from(format!("multipart/byteranges; boundary={self}"))
            .unwrap_or_else(|_| HeaderValue::from_static("multipart/byteranges"))
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
//# If multiple parts are being transferred, the server generating the
//# 206 response MUST generate "multipart/byteranges" content, as defined
//# in Section 14.6, and a Content-Type header field containing the
//# "multipart/byteranges" media type and its required boundary
//# parameter.  To avoid confusion with single-part responses, a server
//# MUST NOT generate a Content-Range header field in the HTTP header
//# section of a multiple part response (this field will be sent in each
//# part instead).
/// Turns the head of a stored 200 into that of a 206 with these parts, and returns its content.
pub(super) fn render(
    fields: &mut HeaderMap,
    body: &Body,
    parts: &[ByteRange],
    boundary: Boundary,
) -> ResponseBody {
    let media_type = fields.insert(CONTENT_TYPE, boundary.content_type());
    let content = pieces(body, parts, media_type.as_ref(), boundary);
    let length: u64 = content.iter().map(|piece| piece.len() as u64).sum();
    fields.remove(CONTENT_RANGE);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    ResponseBody::of_pieces(content)
}

fn pieces(
    body: &Body,
    parts: &[ByteRange],
    media_type: Option<&HeaderValue>,
    boundary: Boundary,
) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut line_break = "";
    for part in parts {
        let mut head = format!("{line_break}--{boundary}\r\n").into_bytes();
        if let Some(media_type) = media_type {
            push_field(&mut head, "Content-Type", media_type);
        }
        push_field(&mut head, "Content-Range", &part.content_range(body.length()));
        head.extend_from_slice(b"\r\n");
        pieces.push(head.into());
        pieces.extend(body.slices(&(part.first()..part.last() + 1)));
        line_break = "\r\n";
    }
    pieces.push(format!("{line_break}--{boundary}--\r\n").into());
    pieces
}

fn push_field(head: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    for text in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        head.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;
    use crate::freshness::tests::headers;
    use crate::response::conditional::Validators;
    use crate::response::range::{self, Ranges};

    const BOUNDARY: Boundary = Boundary(Uuid::nil());
    const NIL: &str = "00000000000000000000000000000000";

    fn parts(range: &str, length: u64) -> Vec<ByteRange> {
        let received = process::timestamp::Timestamp::MAX;
        let validators = Validators {
            etag: None,
            last_modified: None,
            date: None,
            received,
            has_codings: false,
        };
        let request = headers(&[("range", range)]);
        let (get, ok) = (http::Method::GET, http::StatusCode::OK);
        match range::evaluate(&get, &request, ok, &validators, length) {
            Ranges::Multiple(parts) => parts.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn stored() -> Body {
        Body::of_pieces(vec![Bytes::from_static(b"01234"), Bytes::from_static(b"56789")])
    }

    fn text(pieces: &[Bytes]) -> String {
        String::from_utf8(pieces.concat()).unwrap()
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
    //= type=test
    //# Within the header area of each body part in the multipart content,
    //# the server MUST generate a Content-Range header field corresponding
    //# to the range being enclosed in that body part.  If the selected
    //# representation would have had a Content-Type header field in a 200
    //# (OK) response, the server SHOULD generate that same Content-Type
    //# header field in the header area of each body part.
    #[test]
    fn each_part_says_what_it_is_and_where_it_belongs() {
        let media_type = HeaderValue::from_static("text/plain");
        let content = pieces(&stored(), &parts("bytes=8-8,3-6", 10), Some(&media_type), BOUNDARY);
        let expected = format!(
            "--{NIL}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-8/10\r\n\r\n8\r\n\
             --{NIL}\r\nContent-Type: text/plain\r\nContent-Range: bytes 3-6/10\r\n\r\n3456\r\n\
             --{NIL}--\r\n"
        );
        assert_eq!(text(&content), expected);
        let content = pieces(&stored(), &parts("bytes=0-0,-1", 10), None, BOUNDARY);
        assert!(!text(&content).contains("Content-Type"));
    }

    #[test]
    fn the_bytes_of_a_part_are_those_of_the_store() {
        let body = stored();
        let content = pieces(&body, &parts("bytes=0-1,4-6", 10), None, BOUNDARY);
        let stored: Vec<_> = body.pieces().iter().map(|piece| piece.as_ptr_range()).collect();
        let is_shared = |piece: &Bytes| stored.iter().any(|range| range.contains(&piece.as_ptr()));
        let shared: Vec<_> = content.iter().map(is_shared).collect();
        assert_eq!(shared, [false, true, false, true, true, false]);
        assert!(content.iter().all(|piece| !piece.is_empty()));
    }

    #[test]
    fn the_head_has_the_length_of_all_parts_and_no_content_range() {
        let mut fields = headers(&[
            ("content-type", "text/css"),
            ("content-length", "10"),
            ("content-range", "bytes 0-9/10"),
            ("etag", "\"1\""),
        ]);
        let body = render(&mut fields, &stored(), &parts("bytes=0-0,-1", 10), BOUNDARY);
        let length = fields.get("content-length").unwrap().to_str().unwrap();
        assert_eq!(body.size_hint().exact().unwrap().to_string(), length);
        let expected = format!("multipart/byteranges; boundary={NIL}");
        assert_eq!(fields.get("content-type").unwrap(), &expected);
        assert_eq!(fields.get("content-range"), None);
        assert_eq!(fields.get("etag").unwrap(), "\"1\"");
    }

    #[test]
    fn no_two_responses_have_the_same_boundary() {
        let [one, other] = [Boundary::random(), Boundary::random()].map(|one| one.to_string());
        assert_ne!(one, other);
        assert_eq!(one.len(), NIL.len());
    }
}
