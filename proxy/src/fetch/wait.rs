//! `HeadWait`: one request that waits for a head, whatever fetches it joins and starts meanwhile.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::flight::{Flight, FlightReader, HeadOutcome, SharedHead};
use super::join::{Attempt, Joined, join_or_start};
use super::request::FetchRequest;
use super::{FetchError, Fetched, Fetcher, OnDisconnect, Role};
use crate::compression::form::ContentForm;
use crate::invalidation::Provenance;
use crate::key::vary::VariantHash;
use crate::origins::OriginError;
use crate::origins::failures::FetchFailure;
use crate::store::Stored;
use crate::store::selection::is_selected;

pub(super) struct HeadWait {
    fetcher: Arc<Fetcher>,
    pub(super) request: Arc<FetchRequest>,
    /// The newest comes last.
    attempts: Vec<Attempt>,
    /// A flight that turned out to be wrong for this request.
    mismatch: Option<Arc<Flight>>,
    mismatches: usize,
    /// The time of its next look for a newer flight.
    next_look: Instant,
    is_look_due: bool,
    /// Set if it started its first fetch: then the limits of one exchange hold.
    has_led: bool,
    /// Set once the fetch of another request has timed out for it.
    had_another_chance: bool,
    pub(super) deadline: Instant,
}

pub(super) enum WaitEvent {
    Head(Attempt, HeadOutcome),
    /// No head within the patience.
    Late,
    TimedOut,
}

enum Followed {
    Done(Result<Fetched, FetchError>),
    /// The response is for the leader only.
    Unshared,
    /// A purge has overtaken this flight, or it is for other requests: another takes its place.
    Mismatch(Arc<Flight>),
    /// The response is not one for the URL of the request, though an earlier one was.
    OtherUrl,
    /// The URL varies, and the request selects this variant.
    OtherVariant(VariantHash),
    /// It failed; another attempt may succeed.
    KeepWaiting,
}

/// The next step of a request after a head.
pub(super) enum AfterHead {
    Done(Result<Fetched, FetchError>),
    KeepWaiting,
    FetchUncollapsed(OnDisconnect),
}

impl HeadWait {
    pub(super) fn new(
        fetcher: Arc<Fetcher>,
        request: Arc<FetchRequest>,
        deadline: Instant,
    ) -> Self {
        Self {
            fetcher,
            request,
            attempts: Vec::new(),
            mismatch: None,
            mismatches: 0,
            next_look: deadline,
            is_look_due: true,
            has_led: false,
            had_another_chance: false,
            deadline,
        }
    }

    /// Waits for this fetch only.
    pub(super) fn of(
        fetcher: Arc<Fetcher>,
        request: Arc<FetchRequest>,
        attempt: Attempt,
        deadline: Instant,
    ) -> Self {
        Self {
            attempts: vec![attempt],
            is_look_due: false,
            ..Self::new(fetcher, request, deadline)
        }
    }

    /// Returns whether it started the newest fetch: it starts no other one beside it.
    pub(super) fn is_leading(&self) -> bool {
        self.attempts.last().is_some_and(Attempt::is_leading)
    }

    pub(super) fn needs_look(&self) -> bool {
        self.attempts.is_empty() || self.is_look_due
    }

    /// Looks for a newer flight after another part of the patience.
    pub(super) fn look_later(&mut self) {
        self.is_look_due = true;
        self.next_look = Instant::now() + self.request.head.policy.cache.collapse_patience / LOOKS;
    }

    /// Joins a fetch, or starts one; `Some` ends the wait.
    pub(super) fn join_or_start(&mut self) -> Option<Result<Fetched, FetchError>> {
        self.is_look_due = false;
        let may_start = !self.is_leading();
        match join_or_start(&self.fetcher, &self.request, self.mismatch.as_ref(), may_start) {
            Joined::Leading(attempt) | Joined::Following(attempt) => self.enter(attempt),
            Joined::Stored(stored) => return Some(Ok(Fetched::Stored(stored))),
            Joined::Refused if self.attempts.is_empty() => {
                return Some(self.fetcher.stale_or_error(&self.request, FetchError::Overloaded));
            }
            Joined::Refused | Joined::NotStarted => {} // it keeps its attempts
        }
        None
    }

    fn enter(&mut self, attempt: Attempt) {
        let is_first = self.attempts.is_empty() && self.mismatches == 0 && !self.had_another_chance;
        self.has_led |= is_first && attempt.is_leading();
        let patience = self.request.head.policy.cache.collapse_patience;
        self.next_look = attempt.reader.flight().begun() + patience;
        self.attempts.push(attempt);
    }

    /// Waits for the first head among its attempts. A leader is allowed `allowance` more.
    pub(super) async fn next(&mut self, allowance: Duration) -> WaitEvent {
        let limit = if self.has_led { self.deadline + allowance } else { self.deadline };
        let attempts = &self.attempts;
        let head = std::future::poll_fn(|cx| {
            let heads = attempts.iter().map(|one| one.reader.poll_head(cx));
            heads.enumerate().find_map(ready_one).map_or(Poll::Pending, Poll::Ready)
        });
        match timeout_at(self.next_look.min(limit), head).await {
            Ok((place, head)) => WaitEvent::Head(self.attempts.remove(place), head),
            Err(_elapsed) if Instant::now() >= limit => WaitEvent::TimedOut,
            Err(_elapsed) => WaitEvent::Late,
        }
    }

    /// Takes the head of one attempt, and says what the request does next.
    pub(super) async fn take(&mut self, attempt: Attempt, head: HeadOutcome) -> AfterHead {
        let followed = if attempt.is_leading() {
            self.led(attempt, head).await
        } else {
            let Attempt { reader, birth, .. } = attempt;
            let followed = self.followed(reader, head);
            drop(birth); // not before
            followed
        };
        match followed {
            Followed::Done(result) => return AfterHead::Done(result),
            Followed::KeepWaiting => return AfterHead::KeepWaiting,
            Followed::Unshared => return AfterHead::FetchUncollapsed(OnDisconnect::Cancel),
            Followed::Mismatch(flight) => self.mismatch = Some(flight),
            Followed::OtherUrl => {
                self.request = Arc::new(self.request.for_own_url());
                self.attempts.clear();
            }
            Followed::OtherVariant(variant) => {
                let variant = Some(variant);
                self.request = Arc::new(FetchRequest { variant, ..(*self.request).clone() });
                self.attempts.clear();
            }
        }
        self.mismatches += 1;
        if self.mismatches < FLIGHTS_MAX {
            AfterHead::KeepWaiting
        } else {
            AfterHead::FetchUncollapsed(OnDisconnect::Continue)
        }
    }

    async fn led(&self, attempt: Attempt, head: HeadOutcome) -> Followed {
        let Attempt { reader, unshared, .. } = attempt;
        let fetcher = &self.fetcher;
        Followed::Done(match head {
            HeadOutcome::Shared(head) => Ok(Fetched::Arriving { head, reader, role: Role::Leader }),
            HeadOutcome::Validated(stored) => Ok(Fetched::Validated(stored, Role::Leader)),
            HeadOutcome::StaleIfError(stale) if fetcher.may_serve_on_error(&stale) => {
                Ok(Fetched::StaleIfError(Arc::clone(stale.stored())))
            }
            HeadOutcome::StaleIfError(_purged) => Err(OriginError::Abandoned.into()),
            HeadOutcome::Failed(_) if !self.attempts.is_empty() => return Followed::KeepWaiting,
            HeadOutcome::Failed(error) => fetcher.stale_or_error(&self.request, error.into()),
            HeadOutcome::Unshared(reason) => match unshared {
                Some(unshared) => match unshared.await {
                    Ok(response) => Ok(Fetched::Unshared(Box::new(response), reason)),
                    Err(_closed) => Err(OriginError::Abandoned.into()),
                },
                None => Err(OriginError::Abandoned.into()),
            },
        })
    }

    fn followed(&mut self, reader: FlightReader, head: HeadOutcome) -> Followed {
        let (fetcher, request) = (&self.fetcher, &self.request);
        match head {
            HeadOutcome::Shared(head) => self.share(head, reader),
            HeadOutcome::Validated(stored)
                if self.is_for(&stored) && self.may_follow(&stored.provenance) =>
            {
                fetcher.metrics.collapsed.add(1);
                Followed::Done(Ok(Fetched::Validated(
                    stored,
                    Role::Follower(reader.flight().span()),
                )))
            }
            HeadOutcome::StaleIfError(stale)
                if self.is_for(stale.stored()) && fetcher.may_serve_on_error(&stale) =>
            {
                Followed::Done(Ok(Fetched::StaleIfError(Arc::clone(stale.stored()))))
            }
            HeadOutcome::Validated(_) | HeadOutcome::StaleIfError(_) => {
                Followed::Mismatch(Arc::clone(reader.flight()))
            }
            HeadOutcome::Unshared(_) => {
                fetcher.metrics.collapsed_uncacheable.add(1);
                Followed::Unshared
            }
            HeadOutcome::Failed(_) if !self.attempts.is_empty() => Followed::KeepWaiting,
            // The leader has waited for the whole time, this request for a part of it.
            HeadOutcome::Failed(error)
                if FetchFailure::of(&error) == FetchFailure::TimedOut
                    && !self.had_another_chance =>
            {
                self.had_another_chance = true;
                Followed::KeepWaiting
            }
            HeadOutcome::Failed(error) => {
                Followed::Done(fetcher.stale_or_error(request, error.into()))
            }
        }
    }

    fn share(&self, head: Arc<SharedHead>, reader: FlightReader) -> Followed {
        let (fetcher, request) = (&self.fetcher, &self.request);
        if !fetcher.is_for(&request.head, &head.key, &head.provenance) {
            let is_of_own = request.head.asked.is_none();
            let mismatch = || Followed::Mismatch(Arc::clone(reader.flight()));
            return if is_of_own { mismatch() } else { Followed::OtherUrl };
        }
        let fields = match head.source {
            Some(_) => request.head.fields_of_plain(),
            None => Cow::Borrowed(&request.head.fields),
        };
        if let Some(variant) = head.variant.as_ref().filter(|variant| !variant.matches(&fields)) {
            let wanted = variant.selection_of(&fields);
            return if Some(wanted) == request.variant {
                Followed::Mismatch(Arc::clone(reader.flight()))
            } else {
                Followed::OtherVariant(wanted)
            };
        }
        let born = reader.flight().born();
        let is_base_valid = head.base.as_ref().is_none_or(|base| {
            fetcher.invalidation.may_confirm(&base.provenance, born, &request.head.key)
        });
        if !is_base_valid || !self.may_follow(&head.provenance) {
            return Followed::Mismatch(Arc::clone(reader.flight()));
        }
        fetcher.metrics.collapsed.add(1);
        let role = Role::Follower(reader.flight().span());
        Followed::Done(Ok(Fetched::Arriving { head, reader, role }))
    }

    /// Returns whether it is one for the URL of this request, in the variant that it selects.
    fn is_for(&self, stored: &Stored) -> bool {
        let (store, head) = (&*self.fetcher.store, &self.request.head);
        if !self.fetcher.is_for(head, &stored.key, &stored.provenance) {
            return false;
        }
        let is_compressible =
            stored.response().is_some_and(|own| own.fields.form() == ContentForm::Compressible);
        is_selected(store, stored, &head.fields)
            || is_compressible && is_selected(store, stored, &head.fields_of_plain())
    }

    fn may_follow(&self, provenance: &Provenance) -> bool {
        let FetchRequest { head, arrived, .. } = &*self.request;
        self.fetcher.invalidation.may_follow(provenance, *arrived, &head.key)
    }
}

fn ready_one((place, head): (usize, Poll<HeadOutcome>)) -> Option<(usize, HeadOutcome)> {
    match head {
        Poll::Ready(head) => Some((place, head)),
        Poll::Pending => None,
    }
}

/// Number of looks for the flights of other requests within one patience, while a request leads the
/// newest flight or may not start one.
const LOOKS: u32 = 4;
/// Flights that one request tries, when each turned out to be for others or was overtaken by a
/// purge.
const FLIGHTS_MAX: usize = 4;
