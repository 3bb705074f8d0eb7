//! `OtherDeployments`: responses that name another deployment than the present one.

use super::hint_timer::HintTimer;
use crate::invalidation::{Invalidation, TagId};
use crate::key::Key;
use process::metrics::Counter;
use process::timestamp::Timestamp;

/// Counts them, and says once a minute which command would help.
#[derive(Debug, Default)]
pub struct OtherDeployments {
    pub responses: Counter,
    hint: HintTimer,
}

impl OtherDeployments {
    pub(super) fn note(
        &self,
        tags: &[TagId],
        (key, named): (&Key, &[u8]),
        invalidation: &Invalidation,
        now: Timestamp,
    ) {
        let Some(present) = invalidation.deployments().present_instead(tags) else { return };
        self.responses.add(1);
        if self.hint.is_due(now) {
            tracing::warn!(
                url = %key,
                named = %String::from_utf8_lossy(named),
                present = &*present,
                "the origin answers with another deployment than the present one: what it sends is \
                stale at once, and is not stored after the grace; `shellac deploy` changes that"
            );
        }
    }
}
