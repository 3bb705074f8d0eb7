//! The flights that are in the air, by what they fetch: one for each primary key and selection.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::flight::Flight;
use crate::field::range::RangeSpec;
use crate::key::Key;

/// What a flight fetches: a key and, once it is known that the URL varies, the request's selecting values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightKey {
    /// The primary key.
    pub key: Key,
    /// A hash of the selecting values, zero where nothing is known to vary. Two requests with one hash are told apart by the
    /// variant when the flight lands.
    pub selection: u64,
    /// The part that is asked for, where the whole is not.
    pub range: Option<RangeSpec>,
}

impl std::hash::Hash for FlightKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.key.hash() ^ self.selection);
    }
}

/// All flights that may be joined.
#[derive(Debug)]
pub struct InFlight {
    shards: Box<[Shard]>,
}

type Shard = Mutex<HashMap<FlightKey, Arc<Flight>>>;

impl Default for InFlight {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl InFlight {
    /// Shows `decide` the flight on this key, if one is in the air; what it returns instead takes its place.
    ///
    /// One call at a time for each key: whoever finds none and puts one is the only one who does.
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

    /// Takes this flight out, if it is still there.
    pub fn remove(&self, key: &FlightKey, flight: &Arc<Flight>) {
        let mut shard = self.shard(key).lock();
        if shard.get(key).is_some_and(|other| Arc::ptr_eq(other, flight)) {
            shard.remove(key);
        }
    }

    /// Returns whether this flight is still the one on its key.
    pub fn holds(&self, key: &FlightKey, flight: &Arc<Flight>) -> bool {
        self.shard(key).lock().get(key).is_some_and(|other| Arc::ptr_eq(other, flight))
    }

    /// Flights in the air.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Returns whether none is in the air.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&self, key: &FlightKey) -> &Shard {
        let hash = key.key.hash() ^ key.selection;
        &self.shards[usize::try_from(hash >> 40).unwrap_or(0) % SHARDS]
    }
}

const SHARDS: usize = 64;
