//! `Limit`: a number of permits that can change while some of them are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits for a number of things at once.
///
/// When the number falls below what is taken, nobody is cut: permits that are given back are
/// withdrawn until the new number holds.
#[derive(Debug)]
pub struct Limit {
    semaphore: Arc<Semaphore>,
    total: Mutex<usize>,
    /// Permits that are to be withdrawn when they are given back.
    excess: AtomicUsize,
}

/// One of them. Dropped, it is given back.
#[derive(Debug)]
pub struct Permit {
    /// `None` only while it is dropped.
    permit: Option<OwnedSemaphorePermit>,
    limit: Arc<Limit>,
}

impl Limit {
    pub fn new(total: usize) -> Arc<Self> {
        let semaphore = Arc::new(Semaphore::new(total));
        Arc::new(Self { semaphore, total: Mutex::new(total), excess: AtomicUsize::new(0) })
    }

    /// Takes a permit if there is one.
    pub fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(Permit { permit: Some(permit), limit: Arc::clone(self) })
    }

    /// Waits for a permit. Those who wait get one in their order.
    pub async fn acquire(self: &Arc<Self>) -> Permit {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.semaphore).acquire_owned().await.ok();
        Permit { permit, limit: Arc::clone(self) }
    }

    /// Changes the number of permits.
    pub fn resize(&self, total: usize) {
        let mut current = self.total.lock();
        if total >= *current {
            let mut more = total - *current;
            while more > 0 && self.withdraw_one_less() {
                more -= 1;
            }
            self.semaphore.add_permits(more);
        } else {
            let less = *current - total;
            let forgotten = self.semaphore.forget_permits(less);
            self.excess.fetch_add(less - forgotten, Ordering::AcqRel);
        }
        *current = total;
    }

    /// Returns the number of permits that are taken.
    pub fn in_use(&self) -> usize {
        let total = *self.total.lock() + self.excess.load(Ordering::Acquire);
        total.saturating_sub(self.semaphore.available_permits())
    }

    /// Returns whether there was a permit to be withdrawn, which is one fewer now.
    fn withdraw_one_less(&self) -> bool {
        let one_less = |excess: usize| excess.checked_sub(1);
        self.excess.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let is_in_excess = self.limit.excess.load(Ordering::Acquire) > 0;
        if is_in_excess
            && self.limit.withdraw_one_less()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(limit: &Arc<Limit>) -> Vec<Permit> {
        std::iter::from_fn(|| limit.try_acquire()).collect()
    }

    #[test]
    fn more_permits_are_there_at_once() {
        let limit = Limit::new(1);
        let first = taken(&limit);
        limit.resize(3);
        let more = taken(&limit);
        assert_eq!((first.len(), more.len(), limit.in_use()), (1, 2, 3));
    }

    #[test]
    fn fewer_permits_cut_nobody_and_hold_once_enough_are_given_back() {
        let limit = Limit::new(3);
        let mut all = taken(&limit);
        limit.resize(1);
        assert_eq!(limit.in_use(), 3);

        drop(all.pop());
        drop(all.pop());
        assert!(limit.try_acquire().is_none());
        assert_eq!(limit.in_use(), 1);
        drop(all.pop());
        assert_eq!(taken(&limit).len(), 1);
        assert_eq!(limit.in_use(), 0);
    }

    #[test]
    fn permits_that_nobody_has_are_withdrawn_first() {
        let limit = Limit::new(5);
        let two = [limit.try_acquire().unwrap(), limit.try_acquire().unwrap()];
        limit.resize(1);
        assert!(limit.try_acquire().is_none());
        limit.resize(2);
        assert!(limit.try_acquire().is_none(), "two are taken");
        drop(two);
        assert_eq!(taken(&limit).len(), 2);
    }

    #[tokio::test]
    async fn who_waits_gets_what_a_larger_number_adds() {
        let limit = Limit::new(1);
        let held = limit.acquire().await;
        let waiting = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.acquire().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        limit.resize(2);
        let second = waiting.await.unwrap();
        drop((held, second));
        assert_eq!(limit.in_use(), 0);
    }
}
