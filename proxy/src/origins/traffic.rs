//! `OriginTraffic`: what is known of the requests to an origin, whatever its settings.

use std::sync::Arc;
use std::time::Duration;

use settings::HedgeAfter;

use super::budget::ExtraBudget;
use super::load::{ServerLoad, Stopwatch};
use super::quantile::Quantile;
use super::server::Server;
use super::slots::{RequestSlot, SlotQueue};

#[derive(Debug, Default)]
pub(super) struct OriginTraffic {
    pub(super) queue: Arc<SlotQueue>,
    pub(super) retries: ExtraBudget,
    pub(super) hedges: ExtraBudget,
    /// The time to the head of a response, for `hedge_after`.
    latency: Arc<Quantile>,
}

/// A server that was chosen for a request, and the slot of the request there.
#[derive(Debug)]
pub(super) struct ServerPlace {
    pub(super) server: Arc<Server>,
    pub(super) slot: RequestSlot,
}

/// The servers among which one is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Servers that were sent the request are chosen last.
    All,
    /// Servers that were sent the request are not chosen.
    Untried,
}

impl OriginTraffic {
    /// Counts a request. Returns the time after which it may go to a second server.
    pub(super) fn hedge_after(&self, after: HedgeAfter) -> Option<Duration> {
        let after = match after {
            HedgeAfter::Off => return None,
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::Percentile(_) => self.latency.value(),
        };
        self.hedges.deposit();
        after
    }

    pub(super) fn stopwatch(&self, load: &Arc<ServerLoad>, hedge_after: HedgeAfter) -> Stopwatch {
        let all = match hedge_after {
            HedgeAfter::Percentile(percent) => Some((Arc::clone(&self.latency), percent)),
            HedgeAfter::Off | HedgeAfter::Time(_) => None,
        };
        Stopwatch::start(Arc::clone(load), all)
    }
}
