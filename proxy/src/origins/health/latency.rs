//! `Latency`: how long a server takes to answer, and which server takes much longer than the
//! others.

use std::time::Duration;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    /// Moving average in microseconds: each answer counts an eighth.
    average: Option<u64>,
    /// Answers of the current period, and the sum of their times in microseconds.
    answers: u32,
    sum: u64,
}

/// The mean of a period, with the number of answers it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origins) struct PeriodMean {
    pub(super) mean: Duration,
    pub(super) answers: u32,
}

impl Latency {
    pub(super) fn note(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 8);
        self.average = Some(match self.average {
            Some(average) => average - average / 8 + micros / 8,
            None => micros,
        });
        self.answers = self.answers.saturating_add(1);
        self.sum = self.sum.saturating_add(micros);
    }

    pub(super) fn average(&self) -> Option<Duration> {
        self.average.map(Duration::from_micros)
    }

    /// Ends the period. Returns its mean if there were enough answers.
    pub(super) fn end_period(&mut self) -> Option<PeriodMean> {
        let (answers, sum) = (self.answers, self.sum);
        (self.answers, self.sum) = (0, 0);
        let mean = Duration::from_micros(sum.checked_div(answers.into())?);
        (answers >= ANSWERS_MIN).then_some(PeriodMean { mean, answers })
    }
}

/// Returns the place of the slowest server, if it takes `factor` times as long as the median of the
/// others or longer, and so long that it matters.
pub(in crate::origins) fn outlier(means: &[Option<PeriodMean>], factor: u32) -> Option<usize> {
    let known = || means.iter().enumerate().filter_map(|(at, mean)| Some((at, (*mean)?)));
    let (slowest, slow) = known().max_by_key(|(_, mean)| mean.mean)?;
    let mut others: Vec<Duration> =
        known().filter(|(at, _)| *at != slowest).map(|(_, mean)| mean.mean).collect();
    others.sort_unstable();
    let median = others.get(others.len() / 2)?;
    let limit = median.saturating_mul(factor).max(LATENCY_MIN);
    (slow.mean >= limit).then_some(slowest)
}

/// A mean of fewer answers says little.
const ANSWERS_MIN: u32 = 20;

/// A server that answers faster than this is not too slow, whatever the others do.
const LATENCY_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a server may have no mean")]
    fn mean(millis: u64) -> Option<PeriodMean> {
        Some(PeriodMean { mean: Duration::from_millis(millis), answers: ANSWERS_MIN })
    }

    #[test]
    fn the_slowest_is_one_that_takes_many_times_as_long_as_the_others() {
        for (means, factor, found) in [
            (vec![mean(50), mean(60), mean(1000)], 3, Some(2)),
            (vec![mean(50), mean(60), mean(1000)], 50, None),
            (vec![mean(50), mean(150)], 3, Some(1)),
            (vec![mean(50), mean(149)], 3, None),
            (vec![mean(1000), mean(1100), mean(50)], 3, None),
            (vec![mean(1), mean(9)], 3, None),
            (vec![mean(1000), None, None], 3, None),
            (vec![None, mean(10), mean(900), mean(1000)], 3, None),
            (vec![], 3, None),
        ] {
            assert_eq!(outlier(&means, factor), found, "{means:?} {factor}");
        }
    }

    #[test]
    fn a_period_with_few_answers_has_no_mean() {
        let mut latency = Latency::default();
        assert_eq!((latency.average(), latency.end_period()), (None, None));
        for _ in 0..19 {
            latency.note(Duration::from_millis(8));
        }
        assert_eq!(latency.end_period(), None);
        for _ in 0..20 {
            latency.note(Duration::from_millis(8));
        }
        assert_eq!(latency.end_period(), mean(8));
        assert_eq!(latency.end_period(), None, "the next period has begun");
        let average = latency.average().unwrap();
        assert!(average > Duration::from_millis(7) && average <= Duration::from_millis(8));
    }
}
