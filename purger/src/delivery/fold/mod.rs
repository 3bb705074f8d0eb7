//! `Fold`: the purges of many records merged into few, for a proxy that has missed them. Pure.
//!
//! A selector that several records name is purged once in each mode. A folded purge has the highest
//! offset of its selectors, so that a proxy that has applied some of the records still applies
//! later ones. A batch of folded purges covers all folded records: the position never stands
//! between two of them.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use purge_protocol::log::LoggedPurge;
use purge_protocol::{PurgeMode, PurgeRequest, Selector};

use crate::intake::encoded;

#[derive(Debug, Default)]
pub struct Fold {
    /// The highest offset of each selector in each mode; without a mode, the proxy's configuration
    /// decides.
    selectors: HashMap<(Option<PurgeMode>, Selector), i64>,
    /// Purges with a revision are not merged.
    with_revision: Vec<LoggedPurge>,
    bytes: usize,
    selectors_with_revision: usize,
}

impl Fold {
    /// Adds a purge without its request for fetches: pages that were hot then may not be hot now.
    pub fn add(&mut self, mut purge: LoggedPurge) {
        // Of one mode, so that none overtakes a later one. They have no use for another.
        for deploy in std::mem::take(&mut purge.request.deploys) {
            self.add_selector(None, Selector::Deploy(deploy), purge.offset);
        }
        if purge.request.selector_count() == 0 {
            return;
        }
        if purge.revision.is_some() {
            purge.rewarm = None;
            self.bytes += encoded(&purge).len();
            self.selectors_with_revision += purge.request.selector_count();
            self.with_revision.push(purge);
            return;
        }
        let mode = purge.request.mode;
        let all = purge.request.all.then_some(Selector::All(true));
        for selector in purge.request.take_selectors().into_iter().chain(all) {
            self.add_selector(mode, selector, purge.offset);
        }
    }

    fn add_selector(&mut self, mode: Option<PurgeMode>, selector: Selector, offset: i64) {
        let length = bytes_of(&selector);
        let newest = self.selectors.entry((mode, selector)).or_insert_with(|| {
            self.bytes += length + SELECTOR_BYTES;
            offset
        });
        *newest = offset.max(*newest);
    }

    pub fn extend(&mut self, purges: impl IntoIterator<Item = LoggedPurge>) {
        for purge in purges {
            self.add(purge);
        }
    }

    /// Returns whether one more record might exceed a batch that proxies take by default.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
            || self.selectors.len() + self.selectors_with_revision >= SELECTORS_MAX
    }

    /// Returns the folded purges by rising offset, none with more than `selectors_max` selectors.
    pub fn into_purges(self, selectors_max: usize) -> Vec<LoggedPurge> {
        let mut purges = self.with_revision;
        for mode in [Some(PurgeMode::Hard), Some(PurgeMode::Soft), None] {
            let of_mode = self.selectors.iter().filter(|((own, _), _)| *own == mode);
            let mut selectors: Vec<_> =
                of_mode.map(|((_, selector), offset)| (*offset, selector)).collect();
            selectors.sort_by_cached_key(|(offset, selector)| (*offset, text_of(selector)));
            for run in selectors.chunks(selectors_max.max(1)) {
                let offset = run.last().map_or(0, |(offset, _)| *offset);
                purges.push(together(run, mode, offset));
            }
        }
        purges.sort_by_key(|purge| purge.offset);
        purges
    }

    pub fn encode(self, selectors_max: usize) -> Vec<(i64, Bytes)> {
        let purges = self.into_purges(selectors_max).into_iter();
        purges.map(|purge| (purge.offset, encoded(&purge))).collect()
    }
}

fn together(run: &[(i64, &Selector)], mode: Option<PurgeMode>, offset: i64) -> LoggedPurge {
    let reason = Some("catching up".to_owned());
    let mut request = PurgeRequest { mode, reason, ..PurgeRequest::default() };
    for (_, selector) in run {
        request.push((*selector).clone());
    }
    LoggedPurge { offset, request, revision: None, rewarm: None }
}

fn text_of(selector: &Selector) -> Cow<'_, str> {
    match selector {
        Selector::Tag(text)
        | Selector::Url(text)
        | Selector::Host(text)
        | Selector::Prefix(text)
        | Selector::Page(text)
        | Selector::Path(text) => text.into(),
        Selector::Expression(expression) => expression.to_string().into(),
        Selector::Deploy(deploy) => deploy.to_string().into(),
        Selector::All(_) => "".into(),
    }
}

/// Returns the bytes of its text, and at least those that it takes in JSON without quotes.
fn bytes_of(selector: &Selector) -> usize {
    match selector {
        Selector::Expression(expression) => {
            expression.terms().map(|term| term.len() + SELECTOR_BYTES).sum::<usize>() + LISTS_BYTES
        }
        Selector::Deploy(deploy) => {
            let host = deploy.host.as_ref().map_or(0, String::len);
            deploy.id.len() + host + LISTS_BYTES
        }
        other => text_of(other).len(),
    }
}

/// Bytes of selectors in a fold: a quarter of what a proxy takes by default (`purge.log.max_body`),
/// since a record of up to `purger.max_event` bytes may come on top, and escapes in JSON.
const BYTES_MAX: usize = 1 << 20;
/// Selectors in a fold: a fifth of what a proxy takes by default (`purge.log.max_selectors`).
const SELECTORS_MAX: usize = 20_000;
/// Bytes that a selector costs beside its text: quotes, a comma, and its share of the purge around
/// it.
const SELECTOR_BYTES: usize = 8;

/// Bytes of the names in an expression or a deploy.
const LISTS_BYTES: usize = 64;

#[cfg(test)]
mod tests;
