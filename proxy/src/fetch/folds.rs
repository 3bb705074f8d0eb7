//! `FoldMetrics`: responses that have too many tags to keep each of them.

use super::hint_timer::HintTimer;
use super::tags::ResponseTags;
use crate::key::Key;
use process::metrics::Counter;
use process::timestamp::Timestamp;

/// Counts them, and says once a minute which setting would help.
#[derive(Debug, Default)]
pub struct FoldMetrics {
    pub responses: Counter,
    hint: HintTimer,
}

impl FoldMetrics {
    pub(super) fn note(&self, tags: &ResponseTags, key: &Key, now: Timestamp) {
        if tags.folded() == 0 {
            return;
        }
        self.responses.add(1);
        if self.hint.is_due(now) {
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
}
