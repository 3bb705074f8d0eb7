//! `Tally`: what came of the exchanges, by kind, and how much memory the proxy took meanwhile.

use std::fmt;
use std::fs;

use parking_lot::Mutex;

use super::kind::Kind;
use super::verdict::Verdict;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: Mutex<[Row; Kind::ALL.len()]>,
    examples: Mutex<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) exchanges: u64,
    pub(crate) good: u64,
    pub(crate) hits: u64,
    pub(crate) cut: u64,
    pub(crate) refused: u64,
    pub(crate) stuck: u64,
    pub(crate) wrong: u64,
    pub(crate) truncated: u64,
    pub(crate) stale: u64,
}

impl Row {
    /// What must never happen, whoever misbehaves.
    pub(crate) const fn failures(&self) -> u64 {
        self.wrong + self.truncated + self.stale
    }

    fn count(&mut self, verdict: Verdict, is_hit: bool) {
        self.exchanges += 1;
        self.hits += u64::from(is_hit);
        match verdict {
            Verdict::Good(_) => self.good += 1,
            Verdict::Cut => self.cut += 1,
            Verdict::Refused(_) => self.refused += 1,
            Verdict::Stuck => self.stuck += 1,
            Verdict::Wrong(_) => self.wrong += 1,
            Verdict::Truncated => self.truncated += 1,
            Verdict::Stale => self.stale += 1,
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            exchanges: self.exchanges + other.exchanges,
            good: self.good + other.good,
            hits: self.hits + other.hits,
            cut: self.cut + other.cut,
            refused: self.refused + other.refused,
            stuck: self.stuck + other.stuck,
            wrong: self.wrong + other.wrong,
            truncated: self.truncated + other.truncated,
            stale: self.stale + other.stale,
        }
    }
}

impl Tally {
    pub(crate) fn count(
        &self,
        kind: Kind,
        verdict: Verdict,
        is_hit: bool,
        about: impl FnOnce() -> String,
    ) {
        let mut rows = self.rows.lock();
        if let Some(row) = rows.get_mut(kind as usize) {
            row.count(verdict, is_hit);
        }
        drop(rows);
        let is_failure = matches!(verdict, Verdict::Wrong(_) | Verdict::Truncated | Verdict::Stale);
        let is_refused = matches!(verdict, Verdict::Refused(_)) && kind != Kind::Malformed;
        let is_odd = is_failure || is_refused || verdict == Verdict::Stuck;
        if is_odd {
            let mut examples = self.examples.lock();
            if examples.len() < EXAMPLES_MAX {
                examples.push(format!("{kind:?} {verdict:?}: {}", about()));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn row(&self, kind: Kind) -> Row {
        self.rows.lock().get(kind as usize).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> Row {
        self.rows.lock().iter().fold(Row::default(), |sum, row| sum.plus(*row))
    }
}

const EXAMPLES_MAX: usize = 20;

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<14}{:>10}{:>10}{:>10}{:>8}{:>9}{:>7}{:>7}{:>11}{:>7}",
            "kind",
            "exchanges",
            "good",
            "hits",
            "cut",
            "refused",
            "stuck",
            "wrong",
            "truncated",
            "stale"
        )?;
        let rows = *self.rows.lock();
        let names = Kind::ALL.iter().map(|(_, name, _)| *name).chain(["all"]);
        for (name, row) in names.zip(rows.into_iter().chain([self.total()])) {
            writeln!(
                out,
                "{name:<14}{:>10}{:>10}{:>10}{:>8}{:>9}{:>7}{:>7}{:>11}{:>7}",
                row.exchanges,
                row.good,
                row.hits,
                row.cut,
                row.refused,
                row.stuck,
                row.wrong,
                row.truncated,
                row.stale
            )?;
        }
        for example in self.examples.lock().iter() {
            writeln!(out, "! {example}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    samples: Vec<u64>,
}

impl Memory {
    /// Adds a sample in KiB; without a process, nothing.
    pub(crate) fn sample(&mut self, pid: Option<u32>) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib = line.split_whitespace().nth(1)?.parse().ok()?;
        self.samples.push(kib);
        Some(kib)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return write!(out, "not measured");
        };
        let max = self.samples.iter().max().unwrap_or(last);
        let half = self.samples.get(self.samples.len() / 2).unwrap_or(last);
        let [first, half, last, max] = [first, half, last, max].map(|kib| kib / 1024);
        write!(out, "first {first} MiB, half-way {half} MiB, last {last} MiB, max {max} MiB")
    }
}
