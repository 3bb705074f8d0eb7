//! The result of a run, as data (`--json`) and as text made from the same data.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::histogram::Summary;
use crate::outcome::{ForwardReason, Outcome};
use crate::purges::PurgeCounts;
use crate::tally::{Failures, Tally};

/// Everything worth knowing about a run. Field names are an interface: scripts read the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) target: String,
    pub(crate) scheduled: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Scheduled, but neither answered nor failed when the run ended.
    pub(crate) unanswered: u64,
    pub(crate) elapsed_seconds: f64,
    pub(crate) answered_per_second: f64,
    pub(crate) body_bytes: u64,
    pub(crate) hit_percent: f64,
    pub(crate) hits: u64,
    pub(crate) stale_hits: u64,
    pub(crate) collapsed: u64,
    pub(crate) forwarded: BTreeMap<ForwardReason, u64>,
    /// Answers without any field that tells.
    pub(crate) unknown: u64,
    pub(crate) origin: OriginShare,
    pub(crate) latency: LatencyTable,
    pub(crate) send_lag: Summary,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) failures: BTreeMap<&'static str, Failures>,
    pub(crate) purges: Option<PurgeCounts>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OriginShare {
    pub(crate) requests: u64,
    pub(crate) saved_percent: f64,
    /// Whether the origin counted (background validations included) or the responses' fields were
    /// believed.
    pub(crate) counted_by: Counter,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Counter {
    Origin,
    Responses,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LatencyTable {
    pub(crate) hit: Summary,
    pub(crate) miss: Summary,
    pub(crate) unknown: Summary,
    pub(crate) uncorrected: Summary,
}

/// What the tally does not know.
#[derive(Debug)]
pub(crate) struct Circumstances {
    pub(crate) target: String,
    pub(crate) scheduled: u64,
    pub(crate) elapsed: Duration,
    pub(crate) origin_requests: Option<u64>,
    pub(crate) purges: Option<PurgeCounts>,
}

impl Report {
    pub(crate) fn new(tally: &Tally, circumstances: Circumstances) -> Self {
        let (answered, failed) = (tally.answered(), tally.failed());
        let seconds = circumstances.elapsed.as_secs_f64();
        let counted = |outcome| tally.outcomes.get(&outcome).copied().unwrap_or_default();
        Self {
            origin: OriginShare::new(tally, circumstances.origin_requests),
            target: circumstances.target,
            scheduled: circumstances.scheduled,
            answered,
            failed,
            unanswered: circumstances.scheduled.saturating_sub(answered + failed),
            elapsed_seconds: seconds,
            answered_per_second: float(answered) / seconds.max(f64::MIN_POSITIVE),
            body_bytes: tally.body_bytes,
            hit_percent: percentage(tally.hit_count(), answered),
            hits: tally.hit_count(),
            stale_hits: counted(Outcome::StaleHit),
            collapsed: counted(Outcome::Collapsed),
            forwarded: forwarded(tally),
            unknown: counted(Outcome::Unknown),
            latency: LatencyTable {
                hit: tally.hits.summary(),
                miss: tally.misses.summary(),
                unknown: tally.unknown.summary(),
                uncorrected: tally.uncorrected.summary(),
            },
            send_lag: tally.lag.summary(),
            statuses: tally.statuses.clone(),
            failures: tally.failures.clone(),
            purges: circumstances.purges,
        }
    }

    pub(crate) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        } else {
            write!(out, "{self}")?;
        }
        Ok(())
    }
}

impl OriginShare {
    fn new(tally: &Tally, counted: Option<u64>) -> Self {
        let (requests, counted_by) = match counted {
            Some(requests) => (requests, Counter::Origin),
            None => (tally.forwarded_count(), Counter::Responses),
        };
        let saved_percent = 100.0 - percentage(requests, tally.answered());
        Self { requests, saved_percent, counted_by }
    }
}

fn forwarded(tally: &Tally) -> BTreeMap<ForwardReason, u64> {
    let reasons = tally.outcomes.iter().filter_map(|(outcome, count)| match outcome {
        Outcome::Forwarded(reason) => Some((*reason, *count)),
        Outcome::Hit | Outcome::StaleHit | Outcome::Collapsed | Outcome::Unknown => None,
    });
    reasons.collect()
}

/// Returns the share of `part` in `whole`, 0 when there is nothing.
pub(crate) fn percentage(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * float(part) / float(whole) }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes far below 2^52, shown with one decimal"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "target      {}", self.target)?;
        writeln!(
            out,
            "requests    {} scheduled, {} answered in {:.1} s ({:.0}/s, {:.1} MB), {} failed, {} unanswered",
            self.scheduled,
            self.answered,
            self.elapsed_seconds,
            self.answered_per_second,
            float(self.body_bytes) / 1e6,
            self.failed,
            self.unanswered,
        )?;
        self.write_outcomes(out)?;
        self.write_latencies(out)?;
        self.write_trouble(out)
    }
}

impl Report {
    fn write_outcomes(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "hit ratio   {:.2} %  ({} hits, {} of them stale)",
            self.hit_percent, self.hits, self.stale_hits
        )?;
        let source = match self.origin.counted_by {
            Counter::Origin => "counted by the origin",
            Counter::Responses => "counted from the responses",
        };
        let OriginShare { requests, saved_percent, .. } = self.origin;
        writeln!(out, "origin      {requests} requests, {saved_percent:.2} % saved  ({source})")?;
        write!(
            out,
            "not hits    {} collapsed, {} unknown, forwarded:",
            self.collapsed, self.unknown
        )?;
        for (reason, count) in &self.forwarded {
            write!(out, " {} {count}", reason.token())?;
        }
        writeln!(out)
    }

    fn write_latencies(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nlatency (ms, from the intended send time)")?;
        writeln!(
            out,
            "{:<12}{:>9}  {:>9}{:>9}{:>9}{:>9}{:>9}",
            "", "count", "p50", "p90", "p99", "p99.9", "max"
        )?;
        write_row(out, "hit", &self.latency.hit)?;
        write_row(out, "miss", &self.latency.miss)?;
        if self.unknown > 0 {
            write_row(out, "unknown", &self.latency.unknown)?;
        }
        write_row(out, "uncorrected", &self.latency.uncorrected)?;
        write_row(out, "send lag", &self.send_lag)
    }

    fn write_trouble(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\nstatuses   ")?;
        for (status, count) in &self.statuses {
            write!(out, " {status}: {count}")?;
        }
        writeln!(out)?;
        if let Some(purges) = self.purges {
            writeln!(out, "purges      {} done, {} failed", purges.done, purges.failed)?;
        }
        for (kind, failures) in &self.failures {
            writeln!(out, "failed      {kind}: {}, e.g. {}", failures.count, failures.example)?;
        }
        Ok(())
    }
}

fn write_row(out: &mut fmt::Formatter<'_>, name: &str, summary: &Summary) -> fmt::Result {
    write!(out, "{name:<12}{:>9}  ", summary.count)?;
    for micros in [summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us]
    {
        write!(out, "{:>9.3}", float(micros) / 1e3)?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::time::Instant;

    use super::*;
    use crate::histogram::Timing;
    use crate::tally::Answer;

    fn report(origin_requests: Option<u64>) -> Report {
        let mut tally = Tally::new();
        let now = Instant::now();
        let timing =
            Timing { intended: now, sent: now, answered: now + Duration::from_micros(250) };
        let forwarded = Outcome::Forwarded(ForwardReason::UriMiss);
        for outcome in [Outcome::Hit, Outcome::Hit, Outcome::StaleHit, forwarded] {
            tally.record(timing, Ok(Answer { status: StatusCode::OK, outcome, body_bytes: 1000 }));
        }
        let circumstances = Circumstances {
            target: "http://127.0.0.1:1/".to_owned(),
            scheduled: 5,
            elapsed: Duration::from_secs(2),
            origin_requests,
            purges: None,
        };
        Report::new(&tally, circumstances)
    }

    #[tokio::test]
    async fn the_text_shows_ratio_savings_and_what_is_missing() {
        let text = report(None).to_string();

        for line in [
            "requests    5 scheduled, 4 answered in 2.0 s (2/s, 0.0 MB), 0 failed, 1 unanswered",
            "hit ratio   75.00 %  (3 hits, 1 of them stale)",
            "origin      1 requests, 75.00 % saved  (counted from the responses)",
            "not hits    0 collapsed, 0 unknown, forwarded: uri-miss 1",
            "hit                 3      0.250    0.250    0.250    0.250    0.250",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\nis not in\n{text}");
        }
    }

    #[tokio::test]
    async fn the_origins_own_count_is_believed() {
        let report = report(Some(2));

        assert_eq!(report.origin.requests, 2);
        assert!((report.origin.saved_percent - 50.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn the_json_has_the_words_of_rfc_9211() {
        let json = serde_json::to_value(report(None)).expect("serialisable");

        assert_eq!(json["forwarded"]["uri-miss"], 1);
        assert_eq!(json["latency"]["hit"]["p99_us"], 250);
    }

    #[test]
    fn the_share_of_nothing_is_zero() {
        assert!(percentage(0, 0).abs() < f64::EPSILON);
    }
}
