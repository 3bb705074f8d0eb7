//! `Circuit`: lets no request pass for a while after most have failed, then a few that try.
//!
//! ```text
//!              failure_rate of min_requests within window
//!   closed ─────────────────────────────────────────────► open
//!     ▲                                                     │ open_for
//!     └──── trials have succeeded ──── half-open ◄──────────┘
//!                                          └─ one got no connection, or two URLs failed ─► open
//! ```

use std::time::Duration;

use settings::CircuitSettings;
use tokio::time::Instant;

use super::exchange_result::{Blame, ExchangeResult};
use super::failed_urls::FailedUrls;
use super::rolling::RollingCounts;

#[derive(Clone, Debug)]
pub(super) struct Circuit {
    phase: CircuitPhase,
    /// The half-open phases so far: a trial of an earlier one says nothing of this one.
    phases: u64,
    urls: FailedUrls,
}

#[derive(Clone, Debug)]
enum CircuitPhase {
    Closed(RollingCounts),
    Open(Instant),
    HalfOpen { running: u32, good: u32, failed: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Free,
    /// A few requests may pass.
    Trial,
    /// None may, for this long.
    Closed(Duration),
}

/// A request that was let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Free,
    /// It tries whether the circuit may close, in this half-open phase.
    Trial(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CircuitChange {
    Opened,
    Closed,
}

impl Circuit {
    pub(super) fn new(settings: &CircuitSettings, now: Instant) -> Self {
        let phase = CircuitPhase::Closed(RollingCounts::new(settings.window, now));
        Self { phase, phases: 0, urls: FailedUrls::default() }
    }

    /// Returns whether a request may pass now.
    pub(super) fn passage(&self, settings: &CircuitSettings, now: Instant) -> Passage {
        match self.phase {
            CircuitPhase::Closed(_) => Passage::Free,
            CircuitPhase::Open(until) if now < until => Passage::Closed(until - now),
            CircuitPhase::Open(_) => Passage::Trial,
            CircuitPhase::HalfOpen { running, .. } if running < settings.trials => Passage::Trial,
            CircuitPhase::HalfOpen { .. } => Passage::Closed(TRIAL_WAIT),
        }
    }

    /// Lets a request pass, or says for how long none may.
    pub(super) fn admit(
        &mut self,
        settings: &CircuitSettings,
        now: Instant,
    ) -> Result<Pass, Duration> {
        match self.passage(settings, now) {
            Passage::Free => return Ok(Pass::Free),
            Passage::Closed(wait) => return Err(wait),
            Passage::Trial => {}
        }
        if let CircuitPhase::HalfOpen { running, .. } = &mut self.phase {
            *running += 1;
        } else {
            self.phase = CircuitPhase::HalfOpen { running: 1, good: 0, failed: 0 };
            self.phases += 1;
            self.urls.clear();
        }
        Ok(Pass::Trial(self.phases))
    }

    /// Notes the result of a request that was let pass. `url` tells URLs apart.
    pub(super) fn note(
        &mut self,
        settings: &CircuitSettings,
        (pass, url): (Pass, u64),
        result: ExchangeResult,
        now: Instant,
    ) -> Option<CircuitChange> {
        let blame = result.failure(&settings.failure_status);
        let counts = match blame {
            Some(Blame::Url) => self.urls.is_new(url, settings.window, now),
            Some(Blame::Server) => true,
            None => result != ExchangeResult::Neutral,
        };
        match (&mut self.phase, pass) {
            (CircuitPhase::Closed(counted), Pass::Free) if counts => {
                counted.add(blame.is_none(), now);
                let is_failing = blame.is_some() && fails(counted, settings, now);
                is_failing.then(|| self.open(settings, now))
            }
            (CircuitPhase::HalfOpen { running, good, failed }, Pass::Trial(phase))
                if phase == self.phases =>
            {
                *running = running.saturating_sub(1);
                *good += u32::from(counts && blame.is_none());
                *failed += u32::from(counts && blame.is_some());
                let may_be_one_url = blame == Some(Blame::Url);
                let bearable = if may_be_one_url { 1.min(settings.trials - 1) } else { 0 };
                if blame.is_some() && *failed > bearable {
                    return Some(self.open(settings, now));
                }
                (*good >= settings.trials).then(|| self.close(settings, now))
            }
            _ => None, // it began before the circuit opened
        }
    }

    fn open(&mut self, settings: &CircuitSettings, now: Instant) -> CircuitChange {
        self.phase = CircuitPhase::Open(now + settings.open_for);
        CircuitChange::Opened
    }

    fn close(&mut self, settings: &CircuitSettings, now: Instant) -> CircuitChange {
        *self = Self { phases: self.phases, ..Self::new(settings, now) };
        CircuitChange::Closed
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.phase, CircuitPhase::Closed(_))
    }
}

fn fails(counted: &mut RollingCounts, settings: &CircuitSettings, now: Instant) -> bool {
    let Some(rate) = settings.failure_rate else { return false };
    let total = counted.total(now);
    let (failed, all) = (u64::from(total.failed), u64::from(total.failed) + u64::from(total.good));
    all >= u64::from(settings.min_requests) && failed * 100 >= all * u64::from(rate)
}

/// The time after which a client that found all trials in progress may come again.
const TRIAL_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const GOOD: ExchangeResult = ExchangeResult::Answered(StatusCode::OK);
    const BAD: ExchangeResult = ExchangeResult::NotConnected;

    fn settings() -> CircuitSettings {
        CircuitSettings {
            failure_rate: Some(50),
            min_requests: 4,
            trials: 2,
            ..CircuitSettings::default()
        }
    }

    /// A circuit, and the time in milliseconds.
    #[derive(Debug)]
    struct Story {
        circuit: Circuit,
        settings: CircuitSettings,
        start: Instant,
        millis: u64,
        url: u64,
    }

    impl Story {
        fn new() -> Self {
            let (settings, start) = (settings(), Instant::now());
            let circuit = Circuit::new(&settings, start);
            Self { circuit, settings, start, millis: 0, url: 0 }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.millis)
        }

        fn admit(&mut self) -> Result<Pass, Duration> {
            let now = self.now();
            self.circuit.admit(&self.settings, now)
        }

        fn end(&mut self, pass: Pass, result: ExchangeResult) -> Option<CircuitChange> {
            let now = self.now();
            self.circuit.note(&self.settings, (pass, self.url), result, now)
        }

        /// `+` good, `-` no connection, `u` no response of the same URL, `n` none of a new URL, `.`
        /// neutral, `5` a status 500, ` ` a second.
        fn tell(&mut self, history: &str) -> String {
            let mut told = String::new();
            for letter in history.chars() {
                let result = match letter {
                    ' ' => {
                        self.millis += 1000;
                        continue;
                    }
                    '+' => GOOD,
                    '-' => BAD,
                    '.' => ExchangeResult::Neutral,
                    '5' => ExchangeResult::Answered(StatusCode::INTERNAL_SERVER_ERROR),
                    _ => ExchangeResult::NoResponse,
                };
                self.url += u64::from(letter == 'n');
                told.push(match self.admit() {
                    Err(_) => 'x',
                    Ok(pass) => match self.end(pass, result) {
                        Some(CircuitChange::Opened) => 'O',
                        Some(CircuitChange::Closed) => 'C',
                        None => '_',
                    },
                });
            }
            told
        }
    }

    #[test]
    fn it_opens_when_the_share_of_failures_among_enough_requests_is_reached() {
        for (history, told) in [
            ("----", "___O"),
            ("---", "___"),
            ("++--", "___O"),
            ("+++-", "____"),
            ("+++---", "_____O"),
            ("--++", "____"),
            ("--++-", "____O"),
            ("---          -", "____"),
            ("....----", "_______O"),
            ("5555", "____"),
            ("----+", "___Ox"),
        ] {
            assert_eq!(Story::new().tell(history), told, "{history}");
        }
    }

    #[test]
    fn a_url_that_gets_no_response_counts_once() {
        assert_eq!(Story::new().tell("uuuuuuuuuu"), "__________");
        assert_eq!(Story::new().tell("+uuuuuuuuuu+u"), "_____________");
        assert_eq!(Story::new().tell("nnnn"), "___O");
        assert_eq!(Story::new().tell("u---"), "___O");
    }

    #[test]
    fn an_error_status_counts_where_it_was_said_to() {
        let mut story = Story::new();
        story.settings.failure_status = vec![settings::StatusRange::new(500..=599)];
        assert_eq!(story.tell("5555"), "____", "one URL");
        let mut told = String::new();
        for _ in 0..3 {
            story.url += 1;
            told += &story.tell("5");
        }
        assert_eq!(told, "__O");
    }

    #[test]
    fn trials_close_it_or_open_it_again() {
        let later = " ".repeat(10);
        for (history, told) in [
            ("++", "_C"),
            ("+-", "_O"),
            ("-", "O"),
            ("n+", "__"),
            ("n++", "__C"),
            ("nn", "_O"),
            ("uu++", "___C"),
            (".++", "__C"),
            ("-++", "Oxx"),
            ("++----", "_C___O"),
        ] {
            let mut story = Story::new();
            story.tell("----");
            assert_eq!(story.tell(&format!("+{later}")), "x");
            assert_eq!(story.tell(history), told, "{history}");
        }
    }

    #[test]
    fn few_trials_run_at_once_and_one_that_is_given_up_makes_room() {
        let mut story = Story::new();
        story.tell("----");
        assert_eq!(story.admit(), Err(Duration::from_secs(10)));
        story.millis = 10_000;
        let (first, second) = (story.admit().unwrap(), story.admit().unwrap());
        assert_eq!(story.admit(), Err(TRIAL_WAIT));
        assert_eq!(story.end(first, ExchangeResult::Neutral), None);
        let third = story.admit().unwrap();
        assert_eq!(story.end(second, GOOD), None);
        assert_eq!(story.end(third, GOOD), Some(CircuitChange::Closed));
    }

    #[test]
    fn results_of_requests_from_before_do_not_count() {
        let mut story = Story::new();
        let (before, other) = (story.admit().unwrap(), story.admit().unwrap());
        story.tell("----");
        assert_eq!(story.end(before, GOOD), None, "it is open");
        story.millis = 10_000;
        let trial = story.admit().unwrap();
        assert_eq!(story.end(other, BAD), None, "it is no trial");
        story.tell("-");
        story.millis = 20_000;
        let (one, two) = (story.admit().unwrap(), story.admit().unwrap());
        assert_eq!(story.end(trial, GOOD), None, "it is a trial of an earlier phase");
        assert_eq!(story.end(one, GOOD), None);
        assert_eq!(story.end(two, GOOD), Some(CircuitChange::Closed));
    }

    #[test]
    fn it_never_opens_while_it_is_off() {
        let mut story = Story::new();
        story.settings.failure_rate = None;
        assert_eq!(story.tell(&"-".repeat(100)), "_".repeat(100));
    }

    #[test]
    fn one_trial_suffices_where_one_was_asked_for() {
        let mut story = Story::new();
        story.settings.trials = 1;
        story.tell("----");
        assert_eq!(story.tell(&format!("{}n", " ".repeat(10))), "O");
        assert_eq!(story.tell(&format!("{}+", " ".repeat(10))), "C");
    }
}
