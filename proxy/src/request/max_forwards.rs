//! `Max-Forwards` (RFC 9110 §7.6.2): how far OPTIONS may still go. TRACE goes nowhere from here.

use http::Method;
use http::header::{HeaderMap, HeaderValue, MAX_FORWARDS};

use super::RequestHead;

//= https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2
//# Each intermediary that receives a TRACE or OPTIONS request containing
//# a Max-Forwards header field MUST check and update its value prior to
//# forwarding the request.
/// Counts down; returns whether the request has arrived and is ours to answer.
pub fn count_down(request: &mut RequestHead) -> bool {
    if request.method != Method::OPTIONS {
        return false;
    }
    match read(&request.fields) {
        Some(0) => true,
        Some(left) => {
            request.fields.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            false
        }
        None => false,
    }
}

fn read(fields: &HeaderMap) -> Option<u64> {
    fields.get(MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}
