//! `race`: attempts to connect, begun one after another without a long wait in between (RFC 8305
//! §5).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speed {
    Quick,
    Slow,
}

/// The moment of the last slow attempt, if none has been quick since.
#[derive(Debug, Default)]
pub(super) struct SlowMark(Mutex<Option<Instant>>);

impl SlowMark {
    pub(super) fn note(&self, speed: Speed) {
        *self.0.lock() = (speed == Speed::Slow).then(Instant::now);
    }

    pub(super) fn is_slow(&self) -> bool {
        self.0.lock().is_some_and(|since| since.elapsed() < SLOW_FOR)
    }
}

/// Attempts each candidate in turn, and passes over those without an attempt, which says nothing
/// about their speed. Returns the first success, or the last error, or `None` without attempts. An
/// attempt begins when the one before has failed or takes longer than [`ATTEMPT_DELAY`]. Dropping
/// the future ends all attempts.
//= https://www.rfc-editor.org/rfc/rfc8305#section-5
//# Once the list of addresses received up to this point has been
//# constructed, the client will attempt to make connections.  In order
//# to avoid unreasonable network load, connection attempts SHOULD NOT be
//# made simultaneously.  Instead, one connection attempt to a single
//# address is started first, followed by the others, one at a time.
pub(super) async fn race<C, T, E, F>(
    candidates: impl IntoIterator<Item = C>,
    attempt: impl Fn(&C) -> Option<F>,
    note: impl Fn(&C, Speed),
) -> Result<T, Option<E>>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut waiting = candidates.into_iter().peekable();
    let mut running = JoinSet::new();
    let mut newest = None;
    let mut error = None;
    loop {
        let mut possible = waiting.by_ref().filter_map(|it| attempt(&it).map(|begun| (it, begun)));
        if let Some((candidate, attempt)) = possible.next() {
            let own = candidate.clone();
            running.spawn(async move { (own, attempt.await) });
            newest = Some(candidate);
        }
        tokio::select! {
            done = running.join_next() => match done {
                Some(Ok((candidate, Ok(success)))) => {
                    note(&candidate, Speed::Quick);
                    return Ok(success);
                }
                Some(Ok((candidate, Err(failed)))) => {
                    note(&candidate, Speed::Slow);
                    error = Some(failed);
                }
                Some(Err(_panicked)) => {}
                None => return Err(error),
            },
            () = sleep(ATTEMPT_DELAY), if waiting.peek().is_some() => {
                if let Some(candidate) = &newest {
                    note(candidate, Speed::Slow);
                }
            }
        }
    }
}

/// The Connection Attempt Delay of RFC 8305 §5, as recommended there.
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
pub(super) const SLOW_FOR: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_attempted_is_passed_over_and_not_noted() {
        let (busy, good) = (2, 4);
        let noted = Mutex::new(Vec::new());
        let attempt = |candidate: &u8| {
            let own = *candidate;
            (own != busy).then_some(async move { if own == good { Ok(own) } else { Err(own) } })
        };
        let note = |candidate: &u8, speed| noted.lock().push((*candidate, speed));

        assert_eq!(race([1, busy], attempt, note).await, Err(Some(1)), "the error of an attempt");
        assert_eq!(*noted.lock(), [(1, Speed::Slow)]);
        noted.lock().clear();
        let begun = Instant::now();
        assert_eq!(race([1, busy, busy, good], attempt, note).await, Ok(good));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(*noted.lock(), [(1, Speed::Slow), (good, Speed::Quick)]);
        assert_eq!(race([busy], attempt, note).await, Err(None));
    }
}
