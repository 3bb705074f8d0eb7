//! Which requests a filter means.

use settings::{FilterField, FilterTest, RecordFilter};

use super::logged_request::LoggedRequest;

/// Returns whether a filter means this request.
pub(super) fn means(filter: &RecordFilter, request: &LoggedRequest<'_>) -> bool {
    filter.holds(|test| holds(test, request))
}

fn holds(test: &FilterTest, request: &LoggedRequest<'_>) -> bool {
    match test {
        FilterTest::Status(compare, status) => compare.holds(&u64::from(request.status()), status),
        FilterTest::Bytes(compare, bytes) => compare.holds(&request.record.sent, bytes),
        FilterTest::Duration(compare, span) => compare.holds(&request.total(), span),
        FilterTest::FirstByte(compare, span) => compare.holds(&request.first_byte(), span),
        FilterTest::Client(networks) => {
            request.client().is_some_and(|client| FilterTest::contains(networks, client))
        }
        FilterTest::Failed => request.is_failed(),
        FilterTest::Incomplete => !request.record.is_complete,
        FilterTest::Text(FilterField::Rule, patterns) => {
            request.rules().any(|rule| FilterTest::is_met(patterns, rule))
        }
        FilterTest::Text(field, patterns) => {
            let value = text_of(*field, request);
            FilterTest::is_met(patterns, std::str::from_utf8(value).unwrap_or_default())
        }
    }
}

fn text_of<'a>(field: FilterField, request: &LoggedRequest<'a>) -> &'a [u8] {
    let word = |word: Option<&'static str>| word.unwrap_or_default().as_bytes();
    match field {
        FilterField::Cache => {
            word(request.outcome().map(super::super::cache::outcome::Outcome::as_str))
        }
        FilterField::Reason => word(request.reason().map(super::super::reason::Reason::as_str)),
        FilterField::Method => request.method().as_bytes(),
        FilterField::Host => request.host(),
        FilterField::Path => request.path(),
        FilterField::Origin => request.origin().unwrap_or_default().as_bytes(),
        FilterField::Listener => request.listener().unwrap_or_default().as_bytes(),
        FilterField::RequestId => request.request_id().unwrap_or_default(),
        FilterField::Rule => b"",
    }
}
