//! The response to a POST, kept for those who GET the same URL (RFC 9110 §9.3.3).

use std::sync::Arc;

use http::header::{CONTENT_LOCATION, HeaderMap};
use http::{Method, Response, StatusCode, Uri};

use super::flight::{Flight, HeadOutcome};
use super::request::FetchRequest;
use super::{Fetched, Fetcher, Role};
use crate::field::uri_reference;
use crate::freshness::{Exchange, RequestFacts, Uncacheable, has_explicit_lifetime};
use crate::invalidation::{Marked, RunningFetch};
use crate::origins::{OriginBody, OriginError};
use crate::request::RequestHead;
use crate::response::failure::ProxyError;

/// What is to be known of a POST whose response may be kept.
#[derive(Debug)]
pub struct StorablePost {
    /// When it was sent.
    pub birth: RunningFetch,
    /// The purge of what it has changed.
    pub marked: Marked,
}

impl Fetcher {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3
    //# Responses to POST requests are only cacheable when they include
    //# explicit freshness information
    //# [...] and a
    //# Content-Location header field that has the same value as the POST's
    //# target URI
    /// Stores the response to a POST while its client reads it, if it may; else it stays the client's alone.
    ///
    /// Another purge of it, or another change of its URL, while it was made keeps it out: which of them is the later one is not
    /// known. What else was purged does not matter.
    pub async fn store_post_response(
        self: &Arc<Self>,
        request: &RequestHead,
        response: Response<OriginBody>,
        storable_post: Option<StorablePost>,
        exchange: Exchange,
    ) -> Result<Fetched, ProxyError> {
        let Some(StorablePost { birth, marked }) = storable_post else {
            return Ok(Fetched::Unshared(Box::new(response), Uncacheable::Method));
        };
        let is_adoptable = response.status() == StatusCode::OK
            && has_explicit_lifetime(response.headers(), exchange.wall_time)
            && is_about_its_target(request, response.headers());
        let Some(permit) = is_adoptable.then(|| self.permit()).flatten() else {
            return Ok(Fetched::Unshared(Box::new(response), Uncacheable::Method));
        };
        let own = birth.later(marked.sequence);
        let account = Arc::clone(&request.peer.retained);
        let (_flight, writer) = Flight::begin(own, Arc::clone(&self.budget), account);
        let mut head = request.clone();
        head.method = Method::GET;
        let facts = RequestFacts { method: Method::GET, ..request.facts() };
        let arrived = self.invalidation.sequence();
        let fetch_request =
            Arc::new(FetchRequest { head, facts, arrived, stale: None, selection: 0, range: None });
        let reader = writer.first_reader();
        let fetch = self.fetch_of(writer, fetch_request, None, permit);
        let Ok(accepted) = fetch.accept(&response, exchange, None) else {
            return Ok(Fetched::Unshared(Box::new(response), Uncacheable::Method));
        };
        let provenance = birth.provenance(accepted.tags.iter().copied());
        let (invalidation, key) = (&self.invalidation, &request.key);
        if !invalidation.is_undisturbed(&provenance, &birth, marked.sequence, key) {
            self.metrics.uncacheable(Uncacheable::PurgedInFlight);
            return Ok(Fetched::Unshared(Box::new(response), Uncacheable::PurgedInFlight));
        }
        if self.is_lagging(request, response.headers(), accepted.tags.iter().copied()) {
            self.metrics.uncacheable(Uncacheable::OriginLagging);
            return Ok(Fetched::Unshared(Box::new(response), Uncacheable::OriginLagging));
        }
        tokio::spawn(fetch.carry(response, accepted, None));
        match reader.head().await {
            HeadOutcome::Shared(head) => Ok(Fetched::Arriving { head, reader, role: Role::Leader }),
            _ => Err(OriginError::Abandoned.into()),
        }
    }
}

/// Returns whether `Content-Location` names the URL that the request was sent to.
fn is_about_its_target(request: &RequestHead, fields: &HeaderMap) -> bool {
    let mut lines = fields.get_all(CONTENT_LOCATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let target = request.key.to_string().parse::<Uri>().ok();
    let named = target.as_ref().zip(line.to_str().ok());
    named.and_then(|(target, line)| uri_reference::resolve(target, line)) == target
}
