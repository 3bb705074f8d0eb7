//! Validation of a stale response in the background (RFC 5861 §3).

use std::sync::Arc;

use tokio::sync::oneshot;

use super::join::{is_late, may_join, stored_meanwhile};
use super::request::FetchRequest;
use super::task::FetchTask;
use super::{Fetcher, run};
use crate::store::Stored;

/// Validates a stale response in the background, unless a fetch for it is in progress, its URL
/// failed a moment ago, or the origin cannot be reached. `request` need not hold it yet.
pub(super) fn refresh(fetcher: &Arc<Fetcher>, request: FetchRequest, stale: &Arc<Stored>) {
    let (url, now) = (request.head.key.hash(), fetcher.clock.now());
    let origin = Arc::clone(request.head.policy.origin());
    if origin.failures.is_paused(url, now) || origin.reachability.is_lost(now) {
        return;
    }
    let key = request.flight_key();
    let started = fetcher.in_flight.with(&key, |running| {
        if running.is_some_and(|flight| is_late(flight, &request)) {
            origin.failures.note_late(url, now);
        }
        let is_needless = running.is_some_and(|flight| may_join(fetcher, flight, &request))
            || stored_meanwhile(fetcher, &request).is_some();
        let Some(permit) = (!is_needless).then(|| fetcher.permit()).flatten() else {
            return (None, None);
        };
        let (flight, writer) = fetcher.begin(&request.head, request.span);
        (Some(flight), Some((writer, permit)))
    });
    if let Some((writer, permit)) = started {
        fetcher.metrics.background.add(1);
        let stale = request.stale.clone().or_else(|| fetcher.hold(stale));
        let request = Arc::new(FetchRequest { stale, ..request });
        let task = FetchTask::new(fetcher, request, writer, Some(key), permit);
        let (sender, _no_client) = oneshot::channel();
        tokio::spawn(run(task, sender));
    }
}
