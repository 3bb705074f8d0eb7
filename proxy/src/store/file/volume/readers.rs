//! `Readers`: the bodies that are being read, so that the oldest can lose their hold on segments
//! that are needed.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::store::file::device::segment_state::Pins;

/// The pins of each body that is being read, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<VecDeque<Weak<Pins>>>);

impl Readers {
    pub(crate) fn add(&self, pins: &Arc<Pins>) {
        let mut readers = self.0.lock();
        if readers.len().is_power_of_two() {
            readers.retain(|other| other.strong_count() > 0);
        }
        readers.push_back(Arc::downgrade(pins));
    }

    /// Releases the oldest pins and returns their number; `None`: there are none left.
    pub(crate) fn revoke_oldest(&self) -> Option<usize> {
        let oldest = self.0.lock().pop_front()?;
        Some(oldest.upgrade().map_or(0, |pins| pins.revoke()))
    }
}
