//! Markers in place of uncacheable responses: later requests for the URL do not wait for each other
//! for a while ("hit for miss").

use http::{Response, StatusCode};

use super::error::is_error;
use super::task::FetchTask;
use super::{places, tags};
use crate::freshness::Uncacheable;
use crate::freshness::status_code::is_never_stored;
use crate::invalidation::Provenance;
use crate::origins::OriginBody;
use crate::store::{Content, NewEntry};

/// Stores a marker for a response that may not be stored. Errors of the origin leave none.
pub(super) fn store_for(task: &FetchTask, response: &Response<OriginBody>, reason: Uncacheable) {
    let fetcher = &task.fetcher;
    if is_error(response.status()) || keeps_stale(task, response.status(), reason) {
        return;
    }
    let key = &task.request.head.key;
    let policy = &task.request.head.policy;
    let mut tags = tags::of(response.headers(), &[], key, &policy.tags, &fetcher.invalidation).ids;
    tags.extend(places::of(response.headers(), &task.request.head, &fetcher.invalidation));
    store(task, reason, task.provenance(tags));
}

/// Returns whether a stale response stays, as the answer tells of what this client has sent and not
/// of the page: anybody could have it forgotten.
fn keeps_stale(task: &FetchTask, status: StatusCode, reason: Uncacheable) -> bool {
    let is_asset = !task.request.head.policy.cache.asset_grace.is_zero();
    let is_provoked = is_never_stored(status)
        || reason == Uncacheable::ContentType
        || is_asset && status.is_client_error();
    is_provoked && task.usable_stale().is_some()
}

pub(super) fn store(task: &FetchTask, reason: Uncacheable, provenance: Provenance) {
    let (fetcher, request) = (&task.fetcher, &task.request);
    let lasts = request.head.policy.cache.uncacheable_for;
    let is_one_clients_own = request.facts.has_authorization;
    if is_one_clients_own || request.range.is_some() || lasts.is_zero() {
        return;
    }
    let entry = NewEntry {
        key: request.head.key.clone(),
        variant: None,
        provenance,
        content: Content::Uncacheable { reason, until: fetcher.clock.now().plus(lasts) },
    };
    match fetcher.store.begin().commit(entry) {
        Ok(marker) => fetcher.remove_if_purged(&marker),
        Err(error) => tracing::debug!(%error, "marker not stored"),
    }
}
