//! The response to a POST, stored for later GETs of the same URL (RFC 9110 §9.3.3).

use std::sync::Arc;

use http::header::{CONTENT_LOCATION, HeaderMap};
use http::{Method, Response, StatusCode, Uri};

use super::flight::{Flight, HeadOutcome};
use super::request::FetchRequest;
use super::storable::Storable;
use super::task::FetchTask;
use super::transfer::transfer;
use super::{FetchError, Fetched, Fetcher, Role, revision};
use crate::field::uri_reference;
use crate::freshness::{ExchangeTimes, RequestFacts, Uncacheable, has_explicit_lifetime};
use crate::invalidation::{Marked, RunningFetch};
use crate::origins::{OriginBody, OriginError};
use crate::request::RequestHead;

/// A POST whose response may be stored.
#[derive(Debug)]
pub struct StorablePost {
    pub birth: RunningFetch,
    pub marked: Marked,
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3
//# Responses to POST requests are only cacheable when they include
//# explicit freshness information
//# [...] and a
//# Content-Location header field that has the same value as the POST's
//# target URI
/// Stores the response to a POST while its client reads it, if it may be stored; otherwise it is
/// for the client only.
///
/// Another purge of it, or another change of its URL, while it was made keeps it out: the order of
/// the two is not known. Purges of other responses do not matter.
pub(super) async fn store(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    response: Response<OriginBody>,
    post: Option<StorablePost>,
    exchange: ExchangeTimes,
) -> Result<Fetched, FetchError> {
    let unshared = |response, reason| Ok(Fetched::Unshared(Box::new(response), reason));
    let Some(StorablePost { birth, marked }) = post else {
        return unshared(response, Uncacheable::Method);
    };
    let is_storable = response.status() == StatusCode::OK
        && has_explicit_lifetime(response.headers(), exchange.wall_time)
        && is_about_its_target(request, response.headers());
    let Some(permit) = is_storable.then(|| fetcher.permit()).flatten() else {
        return unshared(response, Uncacheable::Method);
    };
    let own = birth.later(marked.sequence);
    let account = Arc::clone(&request.peer.retained);
    let (_flight, writer) = Flight::begin(own, Arc::clone(&fetcher.budget), account, None);
    let get = Arc::new(FetchRequest {
        head: Box::new(RequestHead { method: Method::GET, ..request.clone() }),
        facts: RequestFacts { method: Method::GET, ..request.facts() },
        arrived: fetcher.invalidation.sequence(),
        stale: None,
        variant: None,
        range: None,
        span: None,
    });
    let reader = writer.first_reader();
    let Ok(storable) = Storable::judge(fetcher, &get, &response, exchange, None) else {
        return unshared(response, Uncacheable::Method);
    };
    let provenance = birth.provenance(storable.tags.ids.iter().copied());
    let (invalidation, key) = (&fetcher.invalidation, &request.key);
    if !invalidation.is_undisturbed(&provenance, &birth, marked.sequence, key) {
        fetcher.metrics.uncacheable(Uncacheable::PurgedInFlight);
        return unshared(response, Uncacheable::PurgedInFlight);
    }
    let tags = storable.tags.all();
    if revision::is_lagging(invalidation, &request.policy.tags, response.headers(), tags) {
        fetcher.metrics.uncacheable(Uncacheable::OriginLagging);
        return unshared(response, Uncacheable::OriginLagging);
    }
    let task = FetchTask::new(fetcher, get, writer, None, permit);
    tokio::spawn(transfer(task, response, storable, None));
    match reader.head().await {
        HeadOutcome::Shared(head) => Ok(Fetched::Arriving { head, reader, role: Role::Leader }),
        _ => Err(OriginError::Abandoned.into()),
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
