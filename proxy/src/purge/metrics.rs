//! Purges by who sent them and what they named.

use purge_protocol::request::Target;
use purge_protocol::{PurgeMode, Selector};

use crate::metrics::family::{Family, Sample};
use process::metrics::{Counter, Histogram};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Http,
    Admin,
    Log,
}

impl Source {
    /// The word of logs and views. Metrics call the last one `log`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Admin => "admin",
            Self::Log => "kafka",
        }
    }
}

#[derive(Debug, Default)]
pub struct PurgeMetrics {
    counts: [[[Counter; 2]; KINDS.len()]; 3],
    pub responses: Counter,
    pub purged: Counter,
    pub refused: Counter,
    /// Tags that have purged a large part of what was stored.
    pub large: Counter,
    pub durations: Histogram,
}

impl PurgeMetrics {
    pub(super) fn count(&self, source: Source, selector: &Selector, mode: PurgeMode) {
        let kind = match selector {
            Selector::Tag(_) => 0,
            Selector::Url(_) => 1,
            Selector::Host(_) => 2,
            Selector::Prefix(_) => 3,
            Selector::All(_) => 4,
            Selector::Page(_) => 5,
            Selector::Path(_) => 6,
            Selector::Expression(_) => 7,
            Selector::Deploy(_) => 8,
        };
        self.count_kind(source, kind, mode);
    }

    pub(super) fn count_target(&self, source: Source, target: &Target, mode: PurgeMode) {
        let kind = match target {
            Target::Tag(_) => 0,
            Target::Url(_) => 1,
            Target::Host(_) => 2,
            Target::Prefix(_) => 3,
            Target::All => 4,
            Target::Page(_) => 5,
            Target::Path(_) => 6,
            Target::Expression(_) => 7,
            Target::Deploy(_) => 8,
        };
        self.count_kind(source, kind, mode);
    }

    fn count_kind(&self, source: Source, kind: usize, mode: PurgeMode) {
        let counter = self.counts.get(source as usize).and_then(|kinds| kinds.get(kind));
        if let Some(counter) = counter.and_then(|modes| modes.get(mode as usize)) {
            counter.add(1);
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let implied = Sample::counter(
            [
                ("source", "response".to_owned()),
                ("kind", "url".to_owned()),
                ("mode", "hard".to_owned()),
            ],
            self.responses.value(),
        );
        let asked = self.counts().map(|([source, kind, mode], count)| {
            let labels = [
                ("source", source.to_owned()),
                ("kind", kind.to_owned()),
                ("mode", mode.to_owned()),
            ];
            Sample::counter(labels, count)
        });
        vec![
            Family::labelled("shellac_purges", "Selectors of purges", asked.chain([implied])),
            Family::counter(
                "shellac_purged_objects",
                "Stored responses that purges invalidated",
                self.purged.value(),
            ),
            Family::counter(
                "shellac_purges_refused",
                "Purges that were refused",
                self.refused.value(),
            ),
            Family::counter(
                "shellac_purges_large",
                "Purges in which one tag hit more than purge.warn_share of what was stored",
                self.large.value(),
            ),
            Family::labelled(
                "shellac_purge_duration_seconds",
                "Time that a purge took",
                std::iter::once(Sample::histogram([], &self.durations)),
            ),
        ]
    }

    pub fn counts(&self) -> impl Iterator<Item = ([&'static str; 3], u64)> {
        ["http", "admin", "log"].into_iter().zip(&self.counts).flat_map(|(source, kinds)| {
            KINDS.into_iter().zip(kinds).flat_map(move |(kind, modes)| {
                let named = ["hard", "soft"].into_iter().zip(modes);
                named.map(move |(mode, counter)| ([source, kind, mode], counter.value()))
            })
        })
    }
}

const KINDS: [&str; 9] =
    ["tag", "url", "host", "prefix", "all", "page", "path", "expression", "deploy"];
