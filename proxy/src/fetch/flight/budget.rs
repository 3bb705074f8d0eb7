//! The bytes that all flights together may retain, and the share of one client connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::client::account::Account;

/// The bytes that all flights together may retain.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    max: AtomicU64,
}

/// The bytes that one flight has taken from the budget. Dropped, it gives all back.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    account: Arc<Account>,
    bytes: u64,
}

impl Budget {
    pub const fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max: AtomicU64::new(max) }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Changes the bytes that may be retained. What is retained stays.
    pub fn resize(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let max = self.max();
        let add = |used: u64| used.checked_add(bytes).filter(|used| *used <= max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

impl Charge {
    pub(super) const fn new(budget: Arc<Budget>, account: Arc<Account>) -> Self {
        Self { budget, account, bytes: 0 }
    }

    /// Takes `bytes` more if the budget has them and the share of the connection allows it. The
    /// share is measured by the bytes that stay free: a connection that has many leaves some to
    /// those that have few, and one on its own is hardly held back.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let free = self.budget.max().saturating_sub(self.budget.used());
        let left = free.saturating_sub(bytes);
        let of_connection = self.account.bytes().saturating_add(bytes);
        let is_taken = of_connection <= left.saturating_mul(SHARE) && self.budget.take(bytes);
        if is_taken {
            self.bytes += bytes;
            self.account.charge(bytes);
        }
        is_taken
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.account.give_back(bytes);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// The flights of one connection may have this many times the bytes that stay free: on its own, two
/// thirds of all. A load balancer sends the requests of many clients on one connection.
const SHARE: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 9000;

    fn fill(charge: &mut Charge) -> u64 {
        while charge.take(1) {}
        charge.bytes
    }

    #[test]
    fn a_connection_leaves_something_to_others_and_they_to_more() {
        let budget = Arc::new(Budget::new(MAX));
        let account = Arc::<Account>::default();
        let charge = |account: &Arc<Account>| Charge::new(Arc::clone(&budget), Arc::clone(account));
        let mut all: Vec<_> = (0..40).map(|_| charge(&account)).collect();
        let greedy: u64 = all.iter_mut().map(fill).sum();
        assert_eq!(greedy, MAX * 2 / 3);

        let mut second = charge(&Arc::default());
        let mut third = charge(&Arc::default());
        assert_eq!(fill(&mut second), MAX * 2 / 9);
        assert_eq!(fill(&mut third), MAX * 2 / 27);

        drop((all, second, third));
        assert_eq!((budget.used(), account.bytes()), (0, 0));
    }

    #[test]
    fn a_smaller_budget_takes_nothing_back_and_gives_nothing_more() {
        let budget = Arc::new(Budget::new(MAX));
        let mut charge = Charge::new(Arc::clone(&budget), Arc::default());
        assert!(charge.take(600));
        budget.resize(100);
        assert!(!charge.take(1));
        assert_eq!(budget.used(), 600);
        budget.resize(MAX);
        assert!(charge.take(1));
    }
}
