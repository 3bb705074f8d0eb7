//! The compressions in progress, by their content and coding, and how many there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use settings::Coding;

use crate::fetch::flight::{Flight, FlightReader};

/// As many as the operator allows.
#[derive(Debug, Default)]
pub(super) struct RunningEncodings {
    flights: Mutex<HashMap<(u64, Coding), Arc<Flight>>>,
    count: AtomicUsize,
}

/// One of the compressions that may run at once.
#[derive(Debug)]
pub(super) struct EncodingPermit {
    running: Arc<RunningEncodings>,
}

/// The place of a compression among those in progress. Once it is dropped, nobody joins.
#[derive(Debug)]
pub(super) struct EncodingPlace {
    number: Option<(u64, Coding)>,
    flight: Arc<Flight>,
    permit: EncodingPermit,
}

/// The way in which a request comes by its compressed form.
pub(super) enum EncodingStart<T> {
    Following(FlightReader),
    Begun(T, EncodingPlace),
}

impl RunningEncodings {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn permit(self: &Arc<Self>, max: usize) -> Option<EncodingPermit> {
        let one_more = |count: usize| (count < max).then_some(count + 1);
        let taken = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.ok().map(|_| EncodingPermit { running: Arc::clone(self) })
    }

    /// Joins the compression of this content that is in progress, or enters the one that `begin`
    /// begins. The lock is held: no two requests begin the same.
    pub(super) fn join_or_enter<T>(
        &self,
        number: Option<(u64, Coding)>,
        followers_max: usize,
        begin: impl FnOnce() -> Option<(Arc<Flight>, EncodingPermit, T)>,
    ) -> Option<EncodingStart<T>> {
        let Some(number) = number else {
            return begin().map(|(flight, permit, job)| {
                EncodingStart::Begun(job, EncodingPlace { number: None, flight, permit })
            });
        };
        let mut flights = self.flights.lock();
        if let Some(Ok(reader)) = flights.get(&number).map(|flight| flight.join(followers_max)) {
            return Some(EncodingStart::Following(reader));
        }
        let (flight, permit, job) = begin()?;
        flights.insert(number, Arc::clone(&flight));
        Some(EncodingStart::Begun(job, EncodingPlace { number: Some(number), flight, permit }))
    }
}

impl Drop for EncodingPlace {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut flights = self.permit.running.flights.lock();
        if flights.get(&number).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(&number);
        }
    }
}

impl Drop for EncodingPermit {
    fn drop(&mut self) {
        self.running.count.fetch_sub(1, Ordering::AcqRel);
    }
}
