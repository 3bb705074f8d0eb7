//! `Outage`: the failures of an origin that are logged. The first one for each reason is, then a
//! line a minute with their number, then one line when the origin has answered for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::error::OriginError;
use crate::reason::Reason;

#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Keeps successes from taking the lock.
    is_on: AtomicBool,
    state: Mutex<Option<RunningOutage>>,
}

#[derive(Debug)]
struct RunningOutage {
    began: Instant,
    last: Instant,
    told: Instant,
    untold: u64,
    all: u64,
    /// The reasons of which there was a line; `None` for a status.
    reasons: SmallVec<[Option<Reason>; 4]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutageLine {
    Failing(u64),
    /// Exchanges succeed again: the number of failures, and the time from the first to the last.
    Answering(u64, Duration),
}

impl Outage {
    /// Notes the result of a request for this path, and logs what is due.
    pub(super) fn log(
        &self,
        (origin, path): (&str, &str),
        result: Result<StatusCode, &OriginError>,
    ) {
        let now = Instant::now();
        let line = match result {
            Ok(status) if !status.is_server_error() => self.answered(now),
            Ok(_) => self.failed(None, now),
            Err(error) if error.is_of_origin() => self.failed(Some(error.reason()), now),
            Err(_) => None,
        };
        match (line, result) {
            (Some(OutageLine::Answering(failures, lasted)), _) => {
                tracing::info!(origin, failures, ?lasted, "the origin answers again");
            }
            (Some(OutageLine::Failing(failures)), Ok(status)) => {
                let status = status.as_u16();
                tracing::warn!(origin, path, status, failures, "the origin answers with an error");
            }
            (Some(OutageLine::Failing(failures)), Err(error)) => {
                let (reason, setting) = (error.reason().as_str(), error.setting());
                tracing::warn!(
                    origin, path, %error, reason, setting, failures,
                    "the origin does not answer"
                );
            }
            (None, _) => {}
        }
    }

    fn failed(&self, reason: Option<Reason>, now: Instant) -> Option<OutageLine> {
        let mut state = self.state.lock();
        self.is_on.store(true, Ordering::Relaxed);
        let state = state.get_or_insert_with(|| RunningOutage {
            began: now,
            last: now,
            told: now,
            untold: 0,
            all: 0,
            reasons: SmallVec::new(),
        });
        (state.last, state.all, state.untold) = (now, state.all + 1, state.untold + 1);
        let is_new = !state.reasons.contains(&reason);
        if is_new {
            state.reasons.push(reason);
        }
        (is_new || now.duration_since(state.told) >= PERIOD).then(|| {
            state.told = now;
            OutageLine::Failing(std::mem::take(&mut state.untold))
        })
    }

    fn answered(&self, now: Instant) -> Option<OutageLine> {
        if !self.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state.lock();
        let ended = state.take_if(|state| now.duration_since(state.last) >= CALM)?;
        self.is_on.store(false, Ordering::Relaxed);
        Some(OutageLine::Answering(ended.all, ended.last.duration_since(ended.began)))
    }
}

const PERIOD: Duration = Duration::from_mins(1);
/// An outage is over when nothing has failed for this long. An origin that fails now and then is
/// logged once a minute.
const CALM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_failures_are_a_line_a_minute_and_their_end_is_told() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.answered(at(0)), None);
        let lines: Vec<_> = (0..200).filter_map(|second| outage.failed(None, at(second))).collect();
        assert_eq!(lines, [1, 60, 60, 60].map(OutageLine::Failing));
        assert_eq!(outage.answered(at(200)), None, "it may fail again at once");
        let lasted = Duration::from_secs(199);
        assert_eq!(outage.answered(at(209)), Some(OutageLine::Answering(200, lasted)));
        assert_eq!(outage.answered(at(210)), None);
        assert_eq!(outage.failed(None, at(211)), Some(OutageLine::Failing(1)));
    }

    #[test]
    fn another_reason_within_an_outage_is_told_at_once_and_once() {
        let (outage, start) = (Outage::default(), Instant::now());
        let (refused, late) = (Some(Reason::ConnectRefused), Some(Reason::FirstByteTimeout));
        let told: Vec<_> = [refused, refused, late, refused, late, None]
            .into_iter()
            .map(|reason| outage.failed(reason, start))
            .collect();
        let line = |count| Some(OutageLine::Failing(count));
        assert_eq!(told, [line(1), None, line(2), None, None, line(3)]);
    }

    #[test]
    fn what_is_not_the_origins_doing_is_no_outage_of_it() {
        let outage = Outage::default();
        for error in [OriginError::RequestTooLarge, OriginError::RequestBroken] {
            outage.log(("app", "/p"), Err(&error));
        }
        assert!(outage.state.lock().is_none());
    }

    #[test]
    fn an_origin_that_fails_now_and_then_is_not_told_of_each_time() {
        let (outage, start) = (Outage::default(), Instant::now());
        let lines = (0..600).filter(|second| {
            let now = start + Duration::from_secs(*second);
            outage.failed(None, now).or_else(|| outage.answered(now)).is_some()
        });
        assert_eq!(lines.count(), 10);
    }
}
