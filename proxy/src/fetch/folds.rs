//! `FoldMetrics`: responses that have too many tags to keep each of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::tags::ResponseTags;
use crate::key::Key;
use process::metrics::Counter;
use process::timestamp::Timestamp;

/// Counts them, and says once a minute which setting would help.
#[derive(Debug, Default)]
pub struct FoldMetrics {
    pub responses: Counter,
    /// In milliseconds.
    next_hint: AtomicU64,
}

impl FoldMetrics {
    pub(super) fn note(&self, tags: &ResponseTags, key: &Key, now: Timestamp) {
        if tags.folded() == 0 {
            return;
        }
        self.responses.add(1);
        if self.is_due(now) {
            tracing::warn!(
                url = %key,
                folded = tags.folded(),
                shared = tags.shared.as_deref().unwrap_or_default(),
                "a page has more or longer tags than tags.max_per_object and tags.max_length allow: \
                some are kept by their shared beginning, and a purge of any tag that begins so \
                purges the page"
            );
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let (now, next) = (now.as_millis(), self.next_hint.load(Ordering::Relaxed));
        let later = now.saturating_add(u64::try_from(PERIOD.as_millis()).unwrap_or(u64::MAX));
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        now >= next && self.next_hint.compare_exchange(next, later, order, failed).is_ok()
    }
}

const PERIOD: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_comes_once_a_minute() {
        let folds = FoldMetrics::default();
        let at = Timestamp::from_secs;
        let due: Vec<_> = [1, 2, 60, 61, 62, 200].map(|second| folds.is_due(at(second))).into();
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
