//! `SlowStart`: the share of a server that has come back grows to the full one.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlowStart {
    since: Option<Instant>,
}

impl SlowStart {
    pub(super) const fn begun(now: Instant) -> Self {
        Self { since: Some(now) }
    }

    /// Returns the share, from [`FLOOR`] to [`FULL`].
    pub(super) fn share(&self, duration: Option<Duration>, now: Instant) -> u16 {
        let (Some(since), Some(duration)) = (self.since, duration) else { return FULL };
        let elapsed = now.duration_since(since);
        if elapsed >= duration {
            return FULL;
        }
        let grown = u128::from(FULL - FLOOR) * elapsed.as_nanos() / duration.as_nanos().max(1);
        FLOOR + u16::try_from(grown).unwrap_or(FULL - FLOOR)
    }

    /// Forgets a start that is over.
    pub(super) fn end_if_over(&mut self, duration: Option<Duration>, now: Instant) {
        if self.share(duration, now) == FULL {
            self.since = None;
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.since.is_some()
    }
}

/// The share of a server that takes all requests that are due to it.
pub(in crate::origins) const FULL: u16 = 1000;

/// The share at the beginning: enough to warm up, too little to hurt.
pub(super) const FLOOR: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_from_a_floor_to_the_full_one() {
        let (start, duration) = (Instant::now(), Some(Duration::from_secs(30)));
        let mut slow = SlowStart::begun(start);
        for (seconds, share) in [(0, 100), (10, 400), (15, 550), (29, 970), (30, 1000), (99, 1000)]
        {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(slow.share(duration, now), share, "after {seconds} s");
        }
        slow.end_if_over(duration, start);
        assert!(slow.is_on());
        slow.end_if_over(duration, start + Duration::from_secs(30));
        assert!(!slow.is_on());
        assert_eq!(SlowStart::begun(start).share(None, start), FULL, "off");
        assert_eq!(SlowStart::default().share(duration, start), FULL, "never begun");
    }
}
