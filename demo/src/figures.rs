//! The traffic's figures: answers by source, their times, and whether one was older than its purge.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::client::{AnswerSource, ClientError, PageAnswer};
use super::shop::Cents;

#[derive(Debug)]
pub(super) struct StoryFigures {
    pub(super) requests: u64,
    hits: u64,
    /// Pages with a price that had been purged before they were asked for. There must be none.
    pub(super) outdated: u64,
    /// No answer or no page, as for pages that are not stored while the origin server is stopped.
    failed: u64,
    /// Requests that were not sent, because too many waited for an answer already.
    pub(super) withheld: u64,
    hit_times: TimeFigures,
    miss_times: TimeFigures,
    /// From the event in Kafka until the proxy had applied it.
    purge_times: TimeFigures,
}

#[derive(Debug)]
struct TimeFigures(Histogram<u64>);

impl StoryFigures {
    pub(super) fn new() -> Self {
        Self {
            requests: 0,
            hits: 0,
            outdated: 0,
            failed: 0,
            withheld: 0,
            hit_times: TimeFigures::new(),
            miss_times: TimeFigures::new(),
            purge_times: TimeFigures::new(),
        }
    }

    /// Counts an answer to a request for a page whose price was at least `floor` when it was asked
    /// for.
    pub(super) fn count(&mut self, answer: &Result<PageAnswer, ClientError>, floor: Cents) {
        self.requests += 1;
        let Some((answer, price)) = answer.as_ref().ok().and_then(|a| Some((a, a.price?))) else {
            self.failed += 1;
            return;
        };
        self.outdated += u64::from(price < floor);
        match answer.source {
            AnswerSource::Hit | AnswerSource::StaleHit => {
                self.hits += 1;
                self.hit_times.record(answer.took);
            }
            AnswerSource::Miss | AnswerSource::Collapsed | AnswerSource::Proxy => {
                self.miss_times.record(answer.took);
            }
        }
    }

    pub(super) fn purged(&mut self, took: Duration) {
        self.purge_times.record(took);
    }

    /// One line for people; `rate` in requests a second, `renders` at the origin server.
    pub(super) fn line(&self, rate: f64, renders: u64) -> String {
        format!(
            "traffic {rate:.0} rps  hit {:.1} %  p99 hit {}, miss {}  origin load −{:.0} %  Kafka purges p99 {}",
            100.0 * self.hit_ratio(),
            brief(self.hit_times.quantile(0.99)),
            brief(self.miss_times.quantile(0.99)),
            100.0 * self.saved(renders),
            brief(self.purge_times.quantile(0.99)),
        )
    }

    pub(super) fn document(&self, lasted: Duration, renders: u64) -> Value {
        json!({
            "seconds": rounded(lasted.as_secs_f64()),
            "requests": self.requests,
            "requests_per_second": rounded(ratio(self.requests, 1) / lasted.as_secs_f64().max(1e-3)),
            "hit_ratio": rounded(self.hit_ratio()),
            "origin_requests": renders,
            "origin_saved_ratio": rounded(self.saved(renders)),
            "failed": self.failed,
            "withheld": self.withheld,
            "purges": self.purge_times.0.len(),
            "outdated_after_purge": self.outdated,
            "hit_ms": self.hit_times.document(),
            "miss_ms": self.miss_times.document(),
            "purge_ms": self.purge_times.document(),
        })
    }

    fn hit_ratio(&self) -> f64 {
        ratio(self.hits, self.requests)
    }

    /// The share of requests that the origin server did not see.
    fn saved(&self, renders: u64) -> f64 {
        ratio(self.requests.saturating_sub(renders), self.requests)
    }
}

impl TimeFigures {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are apart"))
    }

    fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX));
    }

    fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    fn document(&self) -> Value {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| millis(self.quantile(quantile)));
        json!({ "count": self.0.len(), "p50": p50, "p99": p99, "p999": p999 })
    }
}

/// A time with two or three digits, for people.
pub(super) fn brief(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        10.0.. => format!("{millis:.0} ms"),
        1.0..10.0 => format!("{millis:.1} ms"),
        0.1..1.0 => format!("{millis:.2} ms"),
        _ => format!("{millis:.3} ms"),
    }
}

/// Milliseconds, for programs.
pub(super) fn millis(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// Part of the whole; a part of nothing is nothing.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let ratio = part as f64 / whole.max(1) as f64;
    ratio
}

/// The longest time that is told apart: a minute.
const MICROS_MAX: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(source: AnswerSource, price: u64, millis: u64) -> PageAnswer {
        let (price, took) = (Some(Cents(price)), Duration::from_millis(millis));
        PageAnswer { status: StatusCode::OK, source, price, took }
    }

    #[test]
    fn answers_are_counted_by_where_they_came_from() {
        let mut figures = StoryFigures::new();
        figures.count(&Ok(answer(AnswerSource::Miss, 100, 120)), Cents(100));
        figures.count(&Ok(answer(AnswerSource::Hit, 100, 1)), Cents(100));
        figures.count(&Ok(answer(AnswerSource::StaleHit, 100, 1)), Cents(101));
        figures.count(&Err(ClientError::Late), Cents(100));
        figures.purged(Duration::from_millis(9));

        let document = figures.document(Duration::from_secs(2), 1);

        assert_eq!(document["requests"], 4);
        assert_eq!(document["requests_per_second"], 2.0);
        assert_eq!(document["hit_ratio"], 0.5);
        assert_eq!(document["origin_saved_ratio"], 0.75);
        assert_eq!(document["outdated_after_purge"], 1);
        assert_eq!(document["failed"], 1);
        assert_eq!(document["purges"], 1);
        assert_eq!(document["hit_ms"]["count"], 2);
        let miss = document["miss_ms"]["p99"].as_f64().unwrap();
        assert!((119.8..120.2).contains(&miss), "three digits are kept: {miss}");
    }

    #[test]
    fn times_are_brief() {
        let texts = [11, 320, 1_440, 112_400].map(|micros| brief(Duration::from_micros(micros)));
        assert_eq!(texts, ["0.011 ms", "0.32 ms", "1.4 ms", "112 ms"]);
    }
}
