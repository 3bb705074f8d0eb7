//! `Quantile`: an estimate of the time within which a part of the responses come. It follows
//! changes and keeps no samples.

use std::time::Duration;

use parking_lot::Mutex;

/// Each response moves the estimate up or down by a step, so that it rests where as many are above
/// as should be (stochastic approximation).
#[derive(Debug, Default)]
pub(super) struct Quantile(Mutex<QuantileEstimate>);

#[derive(Clone, Copy, Debug, Default)]
struct QuantileEstimate {
    seconds: f64,
    seen: u32,
}

impl Quantile {
    /// Notes the time of a response. `percent` is the part of them below the estimate.
    pub(super) fn note(&self, time: Duration, percent: u8) {
        let (seconds, part) = (time.as_secs_f64(), f64::from(percent) / 100.0);
        let mut estimate = self.0.lock();
        if estimate.seen == 0 {
            estimate.seconds = seconds;
        } else if seconds > estimate.seconds {
            estimate.seconds *= 1.0 + STEP * part;
        } else {
            estimate.seconds *= 1.0 - STEP * (1.0 - part);
        }
        estimate.seen = estimate.seen.saturating_add(1);
    }

    /// Returns the estimate once there were enough responses for one.
    pub(super) fn value(&self) -> Option<Duration> {
        let QuantileEstimate { seconds, seen } = *self.0.lock();
        (seen >= SEEN_MIN).then(|| Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX)))
    }
}

const STEP: f64 = 0.05;
const SEEN_MIN: u32 = 100;
const SECONDS_MAX: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes times from 1 to 1000 ms, mixed, and returns the estimate in milliseconds.
    fn estimated(quantile: &Quantile, percent: u8, scale: u64) -> u128 {
        for number in 0..2000_u64 {
            let time = Duration::from_millis((number * 367 % 1000 + 1) * scale);
            quantile.note(time, percent);
        }
        quantile.value().unwrap().as_millis()
    }

    #[test]
    fn the_estimate_is_near_the_percentile_and_follows_it() {
        for (percent, expected) in [(50, 500), (90, 900), (95, 950)] {
            let quantile = Quantile::default();
            let near = |estimate: u128, expected: u128| {
                assert!(estimate.abs_diff(expected) * 5 < expected, "p{percent}: {estimate}");
            };
            near(estimated(&quantile, percent, 1), expected);
            near(estimated(&quantile, percent, 3), 3 * expected);
            near(estimated(&quantile, percent, 1), expected);
        }
    }

    #[test]
    fn few_responses_say_nothing() {
        let quantile = Quantile::default();
        (0..SEEN_MIN - 1).for_each(|_| quantile.note(Duration::from_millis(5), 95));
        assert_eq!(quantile.value(), None);
        quantile.note(Duration::from_millis(5), 95);
        assert!(quantile.value().is_some());
    }
}
