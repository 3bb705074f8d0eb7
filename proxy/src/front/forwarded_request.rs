//! `ForwardedRequest`: what the live views learn of a request that the origin was asked for, when
//! its response has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Front;
use crate::cache::outcome::Outcome;
use crate::cache::record::RequestRecord;
use crate::field::cache_status::CacheStatus;
use crate::live::urls::{UrlRequest, shown_url};
use crate::reason::Reason;
use crate::request::RequestHead;

#[derive(Debug)]
pub(super) struct ForwardedRequest {
    front: Arc<Front>,
    url: String,
    begun: Instant,
}

impl ForwardedRequest {
    pub(super) fn begin(front: &Arc<Front>, head: &RequestHead) -> Self {
        Self { front: Arc::clone(front), url: url_of(head), begun: Instant::now() }
    }

    /// Notes what became of it.
    pub(super) fn end(&self, record: &RequestRecord) {
        let (live, now) = (&self.front.live, self.front.cache.now());
        let Some(outcome) = record.outcome else { return };
        for metrics in self.front.metrics_of(record.listener, record.site) {
            metrics.moved(outcome, record.sent, record.received.bytes());
            metrics.end(outcome, self.begun.elapsed());
        }
        if record.origin.is_none() {
            return;
        }
        let origin = record.first_byte.unwrap_or(Duration::ZERO);
        let (url, bytes) = (&*self.url, record.sent);
        live.urls.note(UrlRequest { url, count: 1, is_miss: true, bytes, origin }, now);
        if let Some(key) = record.key {
            live.tags.rendered(key, bytes);
        }
        if let Some(reason) = not_cached(record, outcome) {
            live.urls.note_not_cached(reason, url, now);
        }
    }
}

/// Returns the URL as it is shown to operators.
pub(super) fn url_of(head: &RequestHead) -> String {
    shown_url(head.key.scheme().as_str(), head.target.host(), head.target.path())
}

/// Returns why the response was not stored; `None` if it was, or may have been by another request.
fn not_cached(record: &RequestRecord, outcome: Outcome) -> Option<&'static str> {
    let Some(CacheStatus::Forward(forwarded)) = record.cache_status else { return None };
    if forwarded.is_stored || outcome == Outcome::Revalidated {
        return None;
    }
    let detail = forwarded.detail.map(Reason::as_str);
    let is_bypass = matches!(outcome, Outcome::Bypass | Outcome::Uncacheable);
    detail.or_else(|| is_bypass.then(|| forwarded.reason.as_str()))
}
