//! Collapsing (RFC 9211 §2.6): of many requests for one response, one goes to the origin.
//!
//! ```text
//! stale response at hand, last fetch out of time ──► served at once, one fetch in the background
//! otherwise: join the fetch in progress for this key and variant, or start one, and wait
//!   ├ a head ──────────────────────► shared with this request, or for others: join another
//!   ├ no head for collapse_patience ► stale response, else: join or start another one beside it
//!   └ no head for first_byte_timeout ► stale response, else 504
//! ```
//!
//! No request joins a flight that has no head after the patience: the next request starts one in
//! its place. Requests that have joined it keep waiting for it, beside the newer one: whichever has
//! a head first answers them. So a URL whose origin hangs has at most one flight for each patience
//! within a time-out, no request fails because a page is slow, and each waits for one time-out in
//! all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::in_flight::FlightKey;
use super::join::{Attempt, is_late};
use super::refresh::refresh;
use super::request::FetchRequest;
use super::task::FetchTask;
use super::wait::{AfterHead, HeadWait, WaitEvent};
use super::{FetchError, Fetched, Fetcher, OnDisconnect};
use crate::field::content_range::ContentRange;
use crate::lookup::look_up;
use crate::origins::OriginError;
use crate::store::Stored;

/// Fetches a response that other requests may share.
pub(super) async fn fetch(
    fetcher: &Arc<Fetcher>,
    mut request: FetchRequest,
) -> Result<Fetched, FetchError> {
    if let Some(stale) = stale_at_once(fetcher, &request) {
        return Ok(Fetched::StaleIfError(stale));
    }
    // Where the whole is on its way already, a part of it needs no fetch of its own.
    let whole = FlightKey { range: None, ..request.flight_key() };
    let wants_part = !has_young(fetcher, &whole, &request) && !is_apart(fetcher, &request);
    request.range = request.range.filter(|_| wants_part);
    let origin = Arc::clone(request.head.policy.origin());
    let deadline = Instant::now() + origin.first_byte_timeout();
    let mut wait = HeadWait::new(Arc::clone(fetcher), Arc::new(request), deadline);
    loop {
        if wait.needs_look()
            && let Some(result) = wait.join_or_start()
        {
            return result;
        }
        match wait.next(origin.connect_allowance()).await {
            WaitEvent::Head(attempt, head) => match wait.take(attempt, head).await {
                AfterHead::Done(result) => return result,
                AfterHead::KeepWaiting => {}
                AfterHead::FetchUncollapsed(on_disconnect) => {
                    let request = Arc::clone(&wait.request);
                    return fetch_until(fetcher, request, on_disconnect, wait.deadline).await;
                }
            },
            WaitEvent::TimedOut => {
                return fetcher.stale_or_error(&wait.request, OriginError::HeadTimeout.into());
            }
            WaitEvent::Late => {
                wait.look_later();
                if !wait.is_leading() {
                    fetcher.metrics.collapsed_late.add(1);
                    note_late(fetcher, &wait.request);
                    if let Some(stale) = stale_at_once(fetcher, &wait.request) {
                        return Ok(Fetched::StaleIfError(stale));
                    }
                }
            }
        }
    }
}

/// Fetches a response that no other request waits for; it may be stored all the same.
pub(super) async fn fetch_uncollapsed(
    fetcher: &Arc<Fetcher>,
    request: Arc<FetchRequest>,
    on_disconnect: OnDisconnect,
) -> Result<Fetched, FetchError> {
    if let Some(stale) = stale_at_once(fetcher, &request) {
        return Ok(Fetched::StaleIfError(stale));
    }
    let origin = request.head.policy.origin();
    let deadline = Instant::now() + origin.first_byte_timeout() + origin.connect_allowance();
    fetch_until(fetcher, request, on_disconnect, deadline).await
}

async fn fetch_until(
    fetcher: &Arc<Fetcher>,
    request: Arc<FetchRequest>,
    on_disconnect: OnDisconnect,
    deadline: Instant,
) -> Result<Fetched, FetchError> {
    let Some(permit) = fetcher.permit() else {
        return fetcher.stale_or_error(&request, FetchError::Overloaded);
    };
    let (_flight, writer) = fetcher.begin(&request.head, request.span);
    let mut task = FetchTask::new(fetcher, Arc::clone(&request), writer, None, permit);
    task.on_disconnect = on_disconnect;
    let attempt = Attempt::start(task);
    let mut wait = HeadWait::of(Arc::clone(fetcher), Arc::clone(&request), attempt, deadline);
    match wait.next(Duration::ZERO).await {
        WaitEvent::Head(attempt, head) => match wait.take(attempt, head).await {
            AfterHead::Done(result) => result,
            AfterHead::KeepWaiting | AfterHead::FetchUncollapsed(_) => {
                Err(OriginError::Abandoned.into())
            }
        },
        WaitEvent::Late | WaitEvent::TimedOut => {
            fetcher.stale_or_error(&request, OriginError::HeadTimeout.into())
        }
    }
}

/// Returns the stale response of a request that does not wait for the origin, because the last
/// fetch of its URL timed out or is about to. One fetch in the background notices when that is
/// over.
fn stale_at_once(fetcher: &Arc<Fetcher>, request: &FetchRequest) -> Option<Arc<Stored>> {
    let stale = request.stale.as_ref()?;
    let is_late = fetcher.in_flight.with(&request.flight_key(), |running| {
        (None, running.is_some_and(|flight| is_late(flight, request)))
    });
    if is_late {
        note_late(fetcher, request);
    }
    let (url, now) = (request.head.key.hash(), fetcher.clock.now());
    let is_hopeless = is_late || request.head.policy.origin().failures.has_timed_out(url, now);
    if !is_hopeless || !fetcher.may_serve_on_error(stale) {
        return None;
    }
    fetcher.metrics.stale_at_once.add(1);
    let mut background = request.clone();
    background.head.interim = None; // its client has its answer
    refresh(fetcher, background, stale.stored());
    Some(Arc::clone(stale.stored()))
}

fn note_late(fetcher: &Fetcher, request: &FetchRequest) {
    let failures = &request.head.policy.origin().failures;
    failures.note_late(request.head.key.hash(), fetcher.clock.now());
}

fn has_young(fetcher: &Fetcher, key: &FlightKey, request: &FetchRequest) -> bool {
    fetcher
        .in_flight
        .with(key, |running| (None, running.is_some_and(|flight| !is_late(flight, request))))
}

/// Returns whether a part is stored that does not touch the one that is asked for. Each would take
/// the other's place, over and over, so the whole is fetched where it may be stored.
fn is_apart(fetcher: &Fetcher, request: &FetchRequest) -> bool {
    let Some(asked) = request.range else { return false };
    let stored = look_up(&*fetcher.store, &[], &fetcher.invalidation, &request.head).found.stored();
    let stored = stored.as_ref().and_then(|stored| stored.response());
    let Some(part) = stored.and_then(|response| response.part.as_deref()) else { return false };
    let complete = part.complete().unwrap_or(u64::MAX);
    let asked = asked
        .of(complete)
        .and_then(|asked| ContentRange::new(asked.first(), asked.last(), part.complete()));
    complete <= fetcher.limits.object_bytes_max
        && asked.is_some_and(|asked| part.union(asked).is_none())
}
