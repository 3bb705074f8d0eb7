//! `UnansweredRequest`: a request whose client may leave before there is a response.

use std::sync::Arc;

use super::Front;
use super::recorded_body::Ending;
use crate::cache::PendingRequest;
use crate::cache::outcome::Outcome;
use crate::cache::record::RequestRecord;
use crate::client::peer::{ListenerId, Peer};
use crate::policy::SiteId;

/// Recorded and counted when it is dropped, unless it was answered.
#[derive(Debug)]
pub(super) struct UnansweredRequest {
    front: Arc<Front>,
    listener: Option<ListenerId>,
    site: Option<SiteId>,
    outcome: Outcome,
    ending: Option<Ending>,
}

impl UnansweredRequest {
    pub(super) fn begin(front: &Arc<Front>, pending: &PendingRequest, peer: &Peer) -> Self {
        let record = front.cache.record_of_pending(pending);
        let (listener, site) = (peer.listener, record.site);
        let record = RequestRecord { listener, ..record };
        let ending = Some(Ending::new(record, front.records.local(), None, None));
        Self { front: Arc::clone(front), listener, site, outcome: pending.expected(), ending }
    }

    /// Another record says what became of it.
    pub(super) fn answered(mut self) {
        if let Some(ending) = self.ending.take() {
            ending.cancel();
        }
    }
}

impl Drop for UnansweredRequest {
    fn drop(&mut self) {
        if self.ending.is_none() {
            return;
        }
        for metrics in self.front.metrics_of(self.listener, self.site) {
            metrics.count_unanswered(self.outcome);
        }
    }
}
