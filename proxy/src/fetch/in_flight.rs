//! The flights that may be joined, by what they fetch.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

use super::flight::Flight;
use crate::field::range::RangeSpec;
use crate::key::Key;
use crate::key::vary::VariantHash;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightKey {
    pub key: Key,
    /// The variant that the request selects; `None` where the URL is not known to vary. Requests
    /// with equal hashes are told apart when the head arrives.
    pub variant: Option<VariantHash>,
    /// The part that is asked for; `None`: the whole.
    pub range: Option<RangeSpec>,
}

impl FlightKey {
    fn hash(&self) -> u64 {
        self.key.hash() ^ self.variant.map_or(0, VariantHash::get)
    }
}

impl Hash for FlightKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(Self::hash(self));
    }
}

/// All flights that may be joined.
#[derive(Debug)]
pub struct InFlight {
    shards: Box<[FlightShard]>,
}

type FlightShard = Mutex<HashMap<FlightKey, Arc<Flight>>>;

impl Default for InFlight {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl InFlight {
    /// Calls `decide` with the flight of this key, if there is one. A flight that it returns takes
    /// that one's place.
    ///
    /// One call at a time for each key: of many requests, only one finds no flight and starts one.
    pub fn with<T>(
        &self,
        key: &FlightKey,
        decide: impl FnOnce(Option<&Arc<Flight>>) -> (Option<Arc<Flight>>, T),
    ) -> T {
        let mut shard = self.shard(key).lock();
        let (new, result) = decide(shard.get(key));
        if let Some(flight) = new {
            shard.insert(key.clone(), flight);
        }
        result
    }

    /// Removes this flight, if it is still there.
    pub fn remove(&self, key: &FlightKey, flight: &Arc<Flight>) {
        let mut shard = self.shard(key).lock();
        if shard.get(key).is_some_and(|other| Arc::ptr_eq(other, flight)) {
            shard.remove(key);
        }
    }

    /// Returns whether this flight is still the one that its key finds.
    pub fn holds(&self, key: &FlightKey, flight: &Arc<Flight>) -> bool {
        self.shard(key).lock().get(key).is_some_and(|other| Arc::ptr_eq(other, flight))
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&self, key: &FlightKey) -> &FlightShard {
        let hash = FlightKey::hash(key);
        &self.shards[usize::try_from(hash >> 40).unwrap_or(0) % SHARDS]
    }
}

/// Keeps a flight where requests can join it, until dropped.
#[derive(Debug)]
pub struct InFlightGuard {
    in_flight: Arc<InFlight>,
    /// `None` for a flight that cannot be joined.
    key: Option<FlightKey>,
    flight: Arc<Flight>,
}

impl InFlightGuard {
    pub(super) const fn new(
        in_flight: Arc<InFlight>,
        key: Option<FlightKey>,
        flight: Arc<Flight>,
    ) -> Self {
        Self { in_flight, key, flight }
    }

    /// Returns whether a newer flight has taken the place of this one.
    pub(super) fn is_superseded(&self) -> bool {
        self.key.as_ref().is_some_and(|key| !self.in_flight.holds(key, &self.flight))
    }

    /// Lets no further request join.
    pub(super) fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            self.in_flight.remove(&key, &self.flight);
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.leave();
    }
}

const SHARDS: usize = 64;
