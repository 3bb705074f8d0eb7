//! `Answer`: a response, and the record of its request.

use std::time::Duration;

use http::Response;
use http::header::{HeaderValue, LOCATION};

use super::outcome::Outcome;
use super::record::RequestRecord;
use crate::field::cache_status::CacheStatus;
use crate::field::server_timing;
use crate::policy::SiteId;
use crate::policy::query::reflect;
use crate::request::RequestHead;
use crate::request::details::RequestDetails;
use crate::response::body::ResponseBody;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct Answer {
    pub response: Response<ResponseBody>,
    pub record: RequestRecord,
}

impl Answer {
    pub(super) fn new(
        request: &RequestHead,
        mut response: Response<ResponseBody>,
        outcome: Outcome,
        status: CacheStatus,
        now: Timestamp,
    ) -> Self {
        if let Some(dropped) = request.target.dropped() {
            reflect_dropped(request, dropped, &mut response);
        }
        let key = Some(request.key.hash());
        let ruled = request.policy.ruled().cloned();
        let site = site_of(request);
        let record = RequestRecord::new(outcome, Some(status), now);
        let record = RequestRecord { site, ruled, key, ..record };
        Self { response, record }
    }

    /// Notes for how long the store or the origin was waited for, in the response as well if its
    /// client is to know.
    pub(super) fn note_wait(&mut self, what: &'static str, took: Duration, is_told: bool) {
        self.record.first_byte = Some(took);
        if is_told {
            let is_said = matches!(self.record.cache_status, Some(CacheStatus::Hit { .. }));
            let kind = self.record.outcome.filter(|_| !is_said).map(Outcome::as_str);
            let timing = server_timing::awaited(kind, what, took);
            self.response.headers_mut().append(server_timing::NAME, timing);
        }
    }

    /// Moves the request's head into the record, if a sink of records asks for it.
    #[inline]
    #[must_use]
    pub fn keeping(mut self, head: Box<RequestHead>) -> Self {
        if head.details.get().is_some() {
            self.record.details = RequestDetails::of(head);
        }
        self
    }
}

/// Returns the site whose requests this is counted among, if there is one.
pub(super) fn site_of(request: &RequestHead) -> Option<SiteId> {
    request.policy.settings().sites.of(request.target.host())
}

/// Gives a redirect on the same host back what was dropped from the query of its request.
fn reflect_dropped(request: &RequestHead, dropped: &str, response: &mut Response<ResponseBody>) {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let reflected = location
        .filter(|_| response.status().is_redirection())
        .and_then(|location| reflect(location, request.target.host(), dropped))
        .and_then(|location| HeaderValue::try_from(location).ok());
    if let Some(reflected) = reflected {
        response.headers_mut().insert(LOCATION, reflected);
    }
}
