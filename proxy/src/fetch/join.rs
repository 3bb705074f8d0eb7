//! One request and the fetches in progress: it joins one, starts one, or finds that another fetch
//! has stored the response meanwhile.

use std::sync::Arc;

use http::Response;
use tokio::sync::oneshot;

use super::flight::{Flight, FlightReader, NotJoinable};
use super::request::FetchRequest;
use super::task::FetchTask;
use super::{Fetcher, spawn_fetch};
use crate::invalidation::RunningFetch;
use crate::lookup::{Found, usable};
use crate::origins::OriginBody;
use crate::request::RequestHead;
use crate::store::Stored;

/// The way in which a request comes by its response.
pub(super) enum Joined {
    Leading(Attempt),
    Following(Attempt),
    Stored(Arc<Stored>),
    /// It would have to start a fetch, and may not.
    NotStarted,
    /// Too many requests are at the origin, or in the fetch in progress.
    Refused,
}

pub(super) struct Attempt {
    pub(super) reader: FlightReader,
    /// Gets the response if it is for the leader only; `None` for a follower.
    pub(super) unshared: Option<oneshot::Receiver<Response<OriginBody>>>,
    /// That of the flight it has joined, until its head was compared with the purges since.
    pub(super) birth: Option<Arc<RunningFetch>>,
}

impl Attempt {
    pub(super) fn start(task: FetchTask) -> Self {
        let (reader, unshared) = spawn_fetch(task);
        Self { reader, unshared: Some(unshared), birth: None }
    }

    pub(super) const fn is_leading(&self) -> bool {
        self.unshared.is_some()
    }
}

/// Joins the fetch in progress for this key and variant, or starts one. `mismatch` is a flight that
/// turned out to be wrong for this request.
pub(super) fn join_or_start(
    fetcher: &Arc<Fetcher>,
    request: &Arc<FetchRequest>,
    mismatch: Option<&Arc<Flight>>,
    may_start: bool,
) -> Joined {
    let key = request.flight_key();
    let permit = fetcher.permits.try_acquire();
    let is_wrong = |flight: &Arc<Flight>| mismatch.is_some_and(|wrong| Arc::ptr_eq(wrong, flight));
    // The lock is held: no two requests find no flight and start one. A task is spawned after it.
    let found = fetcher.in_flight.with(&key, |running| {
        let joined = running
            .filter(|flight| !is_wrong(flight) && may_join(fetcher, flight, request))
            .map(|flight| flight.join(request.head.policy.cache.max_followers));
        let is_collapsible = joined.is_none();
        match joined {
            Some(Ok(reader)) => {
                let birth = reader.flight().birth();
                return (None, Ok(Joined::Following(Attempt { reader, unshared: None, birth })));
            }
            Some(Err(NotJoinable::Full)) => return (None, Ok(Joined::Refused)),
            Some(Err(NotJoinable::Uncollapsible)) => {}
            None => {
                if let Some(stored) = stored_meanwhile(fetcher, request) {
                    return (None, Ok(Joined::Stored(stored)));
                }
            }
        }
        match (may_start, permit) {
            (false, _) => (None, Ok(Joined::NotStarted)),
            (true, None) => (None, Ok(Joined::Refused)),
            (true, Some(permit)) => {
                let (flight, writer) = fetcher.begin(&request.head, request.span);
                (is_collapsible.then_some(flight), Err((writer, permit, is_collapsible)))
            }
        }
    });
    match found {
        Ok(Joined::Refused) => {
            fetcher.metrics.overloaded.add(1);
            Joined::Refused
        }
        Ok(joined) => joined,
        Err((writer, permit, is_collapsible)) => {
            let key = is_collapsible.then_some(key);
            let task = FetchTask::new(fetcher, Arc::clone(request), writer, key, permit);
            Joined::Leading(Attempt::start(task))
        }
    }
}

/// Returns whether a request may join a flight. One that began before a purge of this URL, its host
/// or everything is not for requests that arrived after it; one that is late is for no request.
pub(super) fn may_join(fetcher: &Fetcher, flight: &Flight, request: &FetchRequest) -> bool {
    let is_newer = flight.born() >= request.arrived
        || fetcher.invalidation.may_join(flight.born(), &request.head.key);
    is_newer && !is_late(flight, request) && flight.is_current(fetcher.clock.now())
}

/// Returns whether a flight has no head after the patience of this request.
pub(super) fn is_late(flight: &Flight, request: &FetchRequest) -> bool {
    flight.is_late(request.head.policy.cache.collapse_patience)
}

/// Returns a fresh response that was stored since this request missed. A flight can be joined until
/// it has stored its response, so a request that finds neither may fetch.
pub(super) fn stored_meanwhile(fetcher: &Fetcher, request: &FetchRequest) -> Option<Arc<Stored>> {
    let head = &request.head;
    fresh(fetcher, request, head).or_else(|| {
        if head.key == *head.own_key() {
            return None;
        }
        // It may declare no longer that its URL has equivalents, and is found under its own.
        let mut own = head.clone();
        own.answer_as_asked();
        fresh(fetcher, request, &own)
    })
}

fn fresh(fetcher: &Fetcher, request: &FetchRequest, head: &RequestHead) -> Option<Arc<Stored>> {
    let Fetcher { store, invalidation, clock, .. } = fetcher;
    let now = clock.present();
    let found: Found = usable(&**store, &[], invalidation, head, || request.range, now).found;
    let trust = invalidation.lease().trust(now);
    found.fresh(now).filter(|stored| {
        stored.response().is_some_and(|response| {
            let freshness = &response.freshness;
            fetcher.is_for(head, &stored.key, &stored.provenance)
                && trust.covers(freshness.received())
                && request.facts.directives.permit(freshness, now, None, &head.policy.freshness)
        })
    })
}
