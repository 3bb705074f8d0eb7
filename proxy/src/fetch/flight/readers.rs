//! The readers of one flight: how far each has got, and the wakers of those that wait.

use std::task::{Context, Waker};

/// Readers by slot. A free slot holds `None`.
#[derive(Debug, Default)]
pub(super) struct FlightReaders {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    /// The writer's, while it waits for the slowest reader.
    pub(super) writer: Option<Waker>,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) next: usize,
    waker: Option<Waker>,
}

impl FlightReaders {
    pub(super) fn enter(&mut self, max: usize) -> Option<usize> {
        if let Some(slot) = self.free.pop() {
            if let Some(free) = self.slots.get_mut(slot) {
                *free = Some(Slot::default());
            }
            return Some(slot);
        }
        if self.slots.len() >= max {
            return None;
        }
        self.slots.push(Some(Slot::default()));
        Some(self.slots.len() - 1)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Slot> {
        self.slots.get_mut(slot).and_then(Option::as_mut)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().flatten().next().is_none()
    }

    pub(super) fn several(&self) -> bool {
        self.slots.iter().flatten().nth(1).is_some()
    }

    pub(super) fn leave(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = None;
        }
        self.free.push(slot);
        self.wake_writer();
    }

    pub(super) fn wait(&mut self, slot: usize, cx: &Context<'_>) {
        if let Some(slot) = self.get_mut(slot) {
            match &mut slot.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
    }

    pub(super) fn wake_all(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// The number of the next piece of the slowest reader.
    pub(super) fn slowest(&self) -> Option<usize> {
        self.slots.iter().flatten().map(|slot| slot.next).min()
    }
}
