//! The head of the origin's response: whether it is shared, stored, a confirmation, or an error
//! that a stale response covers.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use tokio::sync::oneshot;

use super::error::is_error;
use super::exchange::OriginResponse;
use super::flight::HeadOutcome;
use super::freshen::{NewHead, freshen, may_confirm};
use super::held::is_stored;
use super::shared_error::shared_error;
use super::storable::Storable;
use super::task::FetchTask;
use super::transfer::{transfer, transfer_error};
use super::{marker, revision};
use crate::freshness::{ExchangeTimes, Uncacheable};
use crate::origins::failures::FetchFailure;
use crate::origins::{OriginBody, OriginError};
use crate::store::Stored;

/// Tells all readers what the head is, and transfers the content if there is any to share.
/// `unshared` takes a response that is for the leader only.
pub(super) async fn publish_head(
    mut task: FetchTask,
    answer: OriginResponse,
    unshared: oneshot::Sender<Response<OriginBody>>,
) {
    let OriginResponse { response, exchange, confirmed, completion } = answer;
    let (fetcher, status) = (Arc::clone(&task.fetcher), response.status());
    note_answer(&task, status);
    if let Some(held) = confirmed {
        let outcome = validated(&task, held.stored(), response.headers(), exchange);
        return task.end(outcome);
    }
    if let Some(held) = &task.request.stale
        && (is_error(status) || is_deleted_asset(&task, status))
        && fetcher.may_serve_on_error(held)
    {
        let outcome = HeadOutcome::StaleIfError(Arc::clone(held));
        return task.end(outcome);
    }
    if !task.request.head.is_shared_by(response.headers()) {
        task.leave(); // those who join it want another URL
        task.request = Arc::new(task.request.for_own_url());
    }
    match Storable::judge(&fetcher, &task.request, &response, exchange, completion.as_ref()) {
        Ok(storable) => {
            let tags = storable.tags.all();
            let (invalidation, rules) = (&fetcher.invalidation, &task.request.head.policy.tags);
            let is_lagging = revision::is_lagging(invalidation, rules, response.headers(), tags);
            let not_stored = if is_lagging {
                Some(Uncacheable::OriginLagging)
            } else {
                replaces_good(&task, status).then_some(Uncacheable::OriginError)
            };
            transfer(task, response, storable, not_stored).await;
        }
        Err(reason) => {
            fetcher.metrics.uncacheable(reason);
            if let Some(head) = shared_error(&task, &response, exchange, reason) {
                return transfer_error(task, response, head).await;
            }
            marker::store_for(&task, &response, reason);
            if unshared.send(response).is_err() {
                tracing::debug!(
                    key = %task.request.head.key,
                    "the client of an uncacheable response has left"
                );
            }
            task.end(HeadOutcome::Unshared(reason));
        }
    }
}

/// Notes that the origin can be reached, and whether it answers this URL with an error.
fn note_answer(task: &FetchTask, status: StatusCode) {
    let origin = task.request.head.policy.origin();
    origin.reachability.note_answer();
    if is_error(status) {
        task.note_failure(FetchFailure::of_status(status));
    } else {
        origin.failures.clear(task.request.head.key.hash());
    }
}

/// Returns whether a hashed file, for which pages of an earlier deployment ask, was deleted. Object
/// stores answer 403 for a file that is missing, where listing is not allowed.
fn is_deleted_asset(task: &FetchTask, status: StatusCode) -> bool {
    let is_asset = !task.request.head.policy.cache.asset_grace.is_zero();
    let missing = [StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::FORBIDDEN];
    is_asset && missing.contains(&status)
}

/// Returns whether an error page would take the place of a page that can still be validated.
fn replaces_good(task: &FetchTask, status: StatusCode) -> bool {
    let is_good = |stored: &Stored| {
        stored.response().is_some_and(|response| !response.status.is_server_error())
    };
    status.is_server_error() && task.usable_stale().is_some_and(|held| is_good(held.stored()))
}

/// Freshens the stored response by a 304 (RFC 9111 §4.3.4), unless it was purged since the request
/// was sent.
fn validated(
    task: &FetchTask,
    stale: &Arc<Stored>,
    not_modified: &HeaderMap,
    exchange: ExchangeTimes,
) -> HeadOutcome {
    let FetchTask { fetcher, request, .. } = task;
    fetcher.metrics.validated.add(1);
    let Some(old) = stale.response() else {
        return HeadOutcome::Failed(OriginError::Abandoned);
    };
    let (invalidation, tags) = (&fetcher.invalidation, stale.provenance.ids());
    if revision::is_lagging(invalidation, &request.head.policy.tags, not_modified, tags) {
        fetcher.metrics.uncacheable(Uncacheable::OriginLagging);
        return HeadOutcome::Validated(Arc::clone(stale)); // an origin that lags confirms nothing
    }
    if !is_stored(&*fetcher.store, stale) || !may_confirm(fetcher, stale, task.birth()) {
        return HeadOutcome::Validated(Arc::clone(stale)); // for requests from before the purge
    }
    let new = NewHead { fields: not_modified, birth: task.birth(), exchange };
    let freshened = freshen(fetcher, &request.head, &request.facts, stale, old, new);
    HeadOutcome::Validated(freshened.unwrap_or_else(|| Arc::clone(stale)))
}
