//! `ResolvedName`: a question with its last good answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use process::metrics::Counter;
use settings::DnsSettings;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::answer::{FoundRecords, NoAnswer, Question, Records};
use super::schedule::{pause_after_answer, pause_after_failure};

#[derive(Debug)]
pub(in crate::origins) struct ResolvedName {
    question: Question,
    state: watch::Sender<NameState>,
    /// The number of times that an address has left the answer.
    losses: AtomicU64,
    pub(super) counts: LookupCounts,
    doubts: Arc<Notify>,
    gone: CancellationToken,
    _end: DropGuard,
}

/// The last good answer for a name, and the failures since.
#[derive(Clone, Debug, Default)]
pub(in crate::origins) struct NameState {
    /// The last good answer, with the moment of its last confirmation.
    pub(in crate::origins) answer: Option<(Arc<Records>, Instant)>,
    /// The reason why the last look-up brought nothing, if it did not.
    failure: Option<NoAnswer>,
    failures_in_row: u32,
}

/// Look-ups by their result.
#[derive(Debug, Default)]
pub(super) struct LookupCounts {
    pub(super) answered: Counter,
    pub(super) negative: Counter,
    pub(super) timed_out: Counter,
    pub(super) failed: Counter,
}

impl ResolvedName {
    pub(super) fn new(question: Question) -> Self {
        let gone = CancellationToken::new();
        Self {
            question,
            state: watch::Sender::default(),
            losses: AtomicU64::default(),
            counts: LookupCounts::default(),
            doubts: Arc::default(),
            _end: gone.clone().drop_guard(),
            gone,
        }
    }

    /// Returns a name that has been looked up, and never is again.
    #[cfg(test)]
    pub(in crate::origins) fn known(name: &str, records: Records) -> Self {
        let known = Self::new(Question::Addresses(name.to_owned()));
        let answer = Some((Arc::new(records), Instant::now()));
        known.state.send_replace(NameState { answer, ..NameState::default() });
        known
    }

    pub(in crate::origins) const fn question(&self) -> &Question {
        &self.question
    }

    /// Returns the last good answer. Waits for the first look-up only, without a time-out: the
    /// caller drops the future.
    pub(in crate::origins) async fn records(&self) -> Result<Arc<Records>, NoAnswer> {
        let mut states = self.state.subscribe();
        let is_known = |state: &NameState| state.answer.is_some() || state.failure.is_some();
        let state = states.wait_for(is_known).await.map_err(|_closed| NoAnswer::TimedOut)?;
        match (&state.answer, &state.failure) {
            (Some((records, _)), _) => Ok(Arc::clone(records)),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(NoAnswer::TimedOut),
        }
    }

    /// Returns the states, for those who follow the changes.
    pub(in crate::origins) fn states(&self) -> watch::Receiver<NameState> {
        self.state.subscribe()
    }

    /// Returns how often an address has left the answer.
    pub(in crate::origins) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Asks for an early look-up: the answer led to no server.
    pub(in crate::origins) fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// Returns what wakes the name's task, and what ends it.
    pub(super) fn signals(&self) -> (Arc<Notify>, CancellationToken) {
        (Arc::clone(&self.doubts), self.gone.clone())
    }

    pub(in crate::origins) fn last_answer(&self) -> Option<Arc<Records>> {
        self.state.borrow().answer.as_ref().map(|(records, _)| Arc::clone(records))
    }

    /// Returns the time since the last good answer, and the number of failures since.
    pub(super) fn condition(&self) -> (Option<Duration>, u32) {
        let state = self.state.borrow();
        (state.answer.as_ref().map(|(_, since)| since.elapsed()), state.failures_in_row)
    }

    /// Notes the result of a look-up. Returns the pause before the next one.
    pub(super) fn note(
        &self,
        result: Result<FoundRecords, NoAnswer>,
        dns: &DnsSettings,
    ) -> Duration {
        self.counts.count(&result);
        let before = self.state.borrow().clone();
        match result {
            Ok(found) => self.answered(found, &before, dns),
            Err(failure) => self.failed(failure, &before, dns),
        }
    }

    fn answered(&self, found: FoundRecords, before: &NameState, dns: &DnsSettings) -> Duration {
        let pause = pause_after_answer(found.ttl, found.missing.is_some(), dns);
        let name = self.question.name();
        let last = before.answer.as_ref().map(|(records, _)| records);
        let records = Arc::new(with_missing(found, last.map(AsRef::as_ref)));
        if before.failures_in_row > 0 {
            let failures = before.failures_in_row;
            tracing::info!(name, failures, "the name can be looked up again");
        }
        if last.is_none_or(|last| !last.is_same_set(&records)) {
            tracing::info!(name, %records, before = last.map(tracing::field::display), "a name was looked up");
        }
        if last.is_some_and(|last| last.has_lost(&records)) {
            self.losses.fetch_add(1, Ordering::Release);
        }
        self.state.send_replace(NameState {
            answer: Some((records, Instant::now())),
            ..NameState::default()
        });
        pause
    }

    fn failed(&self, failure: NoAnswer, before: &NameState, dns: &DnsSettings) -> Duration {
        let (name, has_answer) = (self.question.name(), before.answer.is_some());
        if !before.failure.as_ref().is_some_and(|last| last.is_like(&failure)) {
            let meanwhile = if has_answer { "the last answer is used" } else { "nothing is known" };
            tracing::warn!(name, error = %failure, meanwhile, "a name cannot be looked up");
        }
        let failures_in_row = before.failures_in_row.saturating_add(1);
        self.state.send_modify(|state| {
            state.failure = Some(failure);
            state.failures_in_row = failures_in_row;
        });
        pause_after_failure(failures_in_row, has_answer, dns)
    }
}

impl LookupCounts {
    fn count(&self, result: &Result<FoundRecords, NoAnswer>) {
        let counter = match result {
            Ok(_) => &self.answered,
            Err(NoAnswer::NoRecords | NoAnswer::NoName) => &self.negative,
            Err(NoAnswer::TimedOut) => &self.timed_out,
            Err(NoAnswer::Failed(_)) => &self.failed,
        };
        counter.add(1);
    }
}

/// Adds the last known addresses of the kind that could not be looked up.
fn with_missing(found: FoundRecords, last: Option<&Records>) -> Records {
    match (found.records, found.missing, last) {
        (Records::Addresses(mut all), Some(missing), Some(Records::Addresses(last))) => {
            all.extend(last.iter().filter(|address| missing.is_of(**address)));
            Records::Addresses(all)
        }
        (records, _, _) => records,
    }
}
