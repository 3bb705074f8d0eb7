//! `OpenConnections`: a listener's connections, of which idle ones make room for others.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;

use super::activity::Activity;

/// Every connection that may be idle, with the waker of its task.
#[derive(Debug, Default)]
pub struct OpenConnections(Mutex<Slab<(Arc<Activity>, Waker)>>);

/// A connection that is among them until this is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection {
    all: Arc<OpenConnections>,
    place: usize,
}

impl OpenConnections {
    pub(super) fn add(self: &Arc<Self>, activity: &Arc<Activity>, waker: &Waker) -> OpenConnection {
        let place = self.0.lock().insert((Arc::clone(activity), waker.clone()));
        OpenConnection { all: Arc::clone(self), place }
    }

    /// Has those close that were idle for the longest time, [`IDLE_MIN`] at least: one of 64, as
    /// each call looks at all of them. Returns how many.
    pub(super) fn close_idle(&self) -> usize {
        let all = self.0.lock();
        let idle = |(_, (activity, waker)): (usize, &(Arc<Activity>, Waker))| {
            let idle = activity.idle_for().filter(|idle| *idle >= IDLE_MIN)?;
            (!activity.is_unwanted()).then(|| (idle, Arc::clone(activity), waker.clone()))
        };
        let mut idle: Vec<_> = all.iter().filter_map(idle).collect();
        let count = idle.len().min(all.len().div_ceil(SHARE));
        drop(all);
        idle.sort_by_key(|(idle, ..)| std::cmp::Reverse(*idle));
        for (_, activity, waker) in idle.iter().take(count) {
            activity.make_unwanted();
            waker.wake_by_ref();
        }
        count
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.all.0.lock().try_remove(self.place);
    }
}

/// A connection that was used a moment ago is likely to be used again.
const IDLE_MIN: Duration = Duration::from_secs(1);
const SHARE: usize = 64;

#[cfg(test)]
mod tests {
    use process::clock::Clock;
    use process::timestamp::Timestamp;

    use super::*;
    use crate::listener::activity::Protocol;

    fn open(all: &Arc<OpenConnections>, clock: &Clock) -> (Arc<Activity>, OpenConnection) {
        let activity = Activity::new(clock.clone(), Protocol::Http1);
        let connection = all.add(&activity, Waker::noop());
        (activity, connection)
    }

    #[test]
    fn the_longest_idle_closes_first_and_a_busy_one_never() {
        let (all, clock) =
            (Arc::<OpenConnections>::default(), Clock::manual(Timestamp::from_millis(1000)));
        let (busy, _busy) = open(&all, &clock);
        let _work = busy.busy();
        let (reading, _reading) = open(&all, &clock);
        reading.on_read();
        let (older, first) = open(&all, &clock);
        clock.advance(Duration::from_millis(1));
        let (newer, _second) = open(&all, &clock);
        clock.advance(IDLE_MIN.saturating_sub(Duration::from_millis(1)));

        assert_eq!(all.close_idle(), 1);
        assert!(older.is_unwanted() && !newer.is_unwanted(), "that one was used a moment ago");
        assert_eq!(all.close_idle(), 0);
        drop(first);

        clock.advance(Duration::from_millis(1));
        assert_eq!(all.close_idle(), 1);
        assert!(newer.is_unwanted() && !busy.is_unwanted() && !reading.is_unwanted());
        assert_eq!(all.0.lock().len(), 3);
    }
}
