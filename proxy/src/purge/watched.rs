//! What operators learn of purges: the last ones, what the tags cost, and those that hit much.

use std::time::Duration;

use parking_lot::Mutex;
use purge_protocol::log::Hit;
use purge_protocol::request::Target;
use purge_protocol::{PurgeMode, PurgeReport, Selector};
use tokio::time::Instant;

use super::PurgeExecutor;
use super::sender::PurgeSender;
use crate::live::moment;
use crate::live::purges::{NamedTargets, SelectorRoom};
use crate::live::snapshot::RecentPurge;
use crate::live::tags::KEYS_OF_PURGE_MAX;

/// Purges that came over the log, with their offsets, before they are carried out.
#[derive(Debug)]
pub(super) struct LoggedPurges {
    pub(super) purges: Vec<(i64, RecentPurge, NamedTargets)>,
    pub(super) begun: Instant,
}

/// When a purge that hit much was last written about, and how many there were since.
#[derive(Debug, Default)]
pub(super) struct LargePurges(Mutex<(Option<Instant>, u64)>);

impl LargePurges {
    /// Returns how many there were since the last line, if another one is due.
    fn say(&self, now: Instant) -> Option<u64> {
        let (last, unsaid) = &mut *self.0.lock();
        *unsaid += 1;
        if last.is_some_and(|last| now.duration_since(last) < LINE_PAUSE) {
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(unsaid))
    }
}

/// Notes which stored responses the purge of tags is about to hit.
pub(super) fn watch_tags(executor: &PurgeExecutor, targets: &[Target], mode: PurgeMode) {
    let Some(live) = executor.live.get() else { return };
    let ids = executor.invalidation.ids();
    for target in targets {
        let Target::Tag(tag) = target else { continue };
        let id = ids.tag(tag.as_str().as_bytes());
        let keys = if ids.live(id) <= KEYS_OF_PURGE_MAX { ids.key_hashes(id) } else { Vec::new() };
        live.tags.purged(tag.as_str(), mode == PurgeMode::Soft, &keys, executor.clock.now());
    }
}

/// Writes a line if one selector has hit a large part of what was stored.
pub(super) fn warn_of_large(executor: &PurgeExecutor, targets: &[Target], hit: &[u64], all: u64) {
    let share = executor.settings.get().and_then(|settings| settings.current().purge.warn_share);
    let Some(share) = share.filter(|_| all >= OBJECTS_MIN) else { return };
    let largest = targets.iter().zip(hit).max_by_key(|(_, count)| **count);
    let Some((Target::Tag(tag), objects)) = largest else { return };
    if objects.saturating_mul(100) < all.saturating_mul(u64::from(share)) {
        return;
    }
    executor.metrics.large.add(1);
    if let Some(count) = executor.large.say(Instant::now()) {
        tracing::warn!(
            tag = tag.as_str(),
            objects,
            of = all,
            count,
            setting = "purge.warn_share",
            "one tag purged a large part of what is stored: give pages narrower tags, or purge softly"
        );
    }
}

/// Notes a purge of these that was carried out.
pub(super) fn note_purge(
    executor: &PurgeExecutor,
    sender: PurgeSender,
    (selector, named): (String, NamedTargets),
    report: &PurgeReport,
    reason: Option<String>,
) {
    let PurgeSender { source, client } = sender;
    let source = if selector.starts_with("deploy ") { "deploy" } else { source.as_str() };
    let Some(live) = executor.live.get() else { return };
    let purge = RecentPurge {
        at: moment(executor.clock.wall()),
        source: source.to_owned(),
        client: Some(client),
        selector,
        mode: word_of(report.mode).to_owned(),
        objects: report.matched.objects,
        seconds: Duration::from_micros(report.took_us).as_secs_f64(),
        event: Some(report.id.clone()),
        reason,
        ..RecentPurge::default()
    };
    live.purges.note(purge, named);
}

/// Notes purges of a batch of the log. The time is that of the batch.
pub(super) fn note_logged(executor: &PurgeExecutor, logged: LoggedPurges, hits: &[Hit]) {
    let Some(live) = executor.live.get() else { return };
    let (at, seconds) = (moment(executor.clock.wall()), logged.begun.elapsed().as_secs_f64());
    for (offset, purge, named) in logged.purges {
        let hit = hits.iter().find(|hit| hit.offset == offset);
        let objects = hit.map_or(0, |hit| hit.objects);
        let (at, source) = (at.clone(), "kafka".to_owned());
        live.purges.note(RecentPurge { at, source, objects, seconds, ..purge }, named);
    }
}

/// Returns what is kept of selectors that are about to be purged: a line, and the last ones.
pub(super) fn kept(selectors: &[(Selector, Target)]) -> (String, NamedTargets) {
    (text_of(selectors), SelectorRoom::default().copy(selectors))
}

/// Returns the first few selectors as a line for the log.
pub(super) fn text_of(selectors: &[(Selector, Target)]) -> String {
    let name = |(selector, _): &(Selector, Target)| {
        let mut name = selector.to_string();
        name.truncate(name.floor_char_boundary(NAMED_BYTES));
        name
    };
    let first: Vec<_> = selectors.iter().take(NAMED_MAX).map(name).collect();
    let more = if selectors.len() > NAMED_MAX { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}

pub(super) const fn word_of(mode: PurgeMode) -> &'static str {
    match mode {
        PurgeMode::Hard => "hard",
        PurgeMode::Soft => "soft",
    }
}

const NAMED_MAX: usize = 5;
/// Bytes of one of them.
const NAMED_BYTES: usize = 200;
/// Of fewer stored responses, a large part is no news.
const OBJECTS_MIN: u64 = 100;
/// Between two lines.
const LINE_PAUSE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_written_once_a_minute_with_the_number_since_the_last() {
        let large = LargePurges::default();
        assert_eq!(large.say(Instant::now()), Some(1));
        assert_eq!(large.say(Instant::now()), None);
        assert_eq!(large.say(Instant::now()), None);
        tokio::time::advance(LINE_PAUSE).await;
        assert_eq!(large.say(Instant::now()), Some(3));
    }
}
