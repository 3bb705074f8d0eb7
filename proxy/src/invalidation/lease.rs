//! `Lease`: until when it is known that all purges have arrived, and how responses are used after
//! that.
//!
//! A hit pays one relaxed load and one comparison: the end of the lease is the number that is kept,
//! so no timer is needed, and the next message from a purger ends the degradation by itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use process::timestamp::Timestamp;

/// The use of stored responses after the purger's lease has run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    #[default]
    Serve,
    /// Not without validation when they were obtained or validated longer ago than this.
    /// Stale-if-error is allowed.
    Cap(Duration),
    /// Not without validation, and never when the origin fails.
    Validate,
    /// Not at all.
    Bypass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// All purges have arrived, as far as is known.
    Full,
    /// Those that were obtained or validated since then need no validation.
    Since(Timestamp),
    /// None without validation.
    Validated,
    /// None.
    Nothing,
}

impl Trust {
    /// Returns whether a response that was obtained or validated then needs no validation.
    pub fn covers(self, received: Timestamp) -> bool {
        match self {
            Self::Full => true,
            Self::Since(moment) => received >= moment,
            Self::Validated | Self::Nothing => false,
        }
    }

    /// Returns whether a stale response may stand in for an error of the origin.
    pub const fn allows_stale_if_error(self) -> bool {
        matches!(self, Self::Full | Self::Since(_))
    }
}

/// Until when it is known that all purges have arrived.
#[derive(Debug)]
pub struct Lease {
    /// In milliseconds; [`u64::MAX`]: there is no lease.
    expires: AtomicU64,
    on_expiry: OnceLock<OnExpiry>,
}

impl Default for Lease {
    fn default() -> Self {
        Self { expires: AtomicU64::new(u64::MAX), on_expiry: OnceLock::new() }
    }
}

impl Lease {
    /// Says what happens after its end; the first word counts. Without one, responses are used as
    /// ever.
    pub fn configure(&self, on_expiry: OnExpiry) {
        self.on_expiry.get_or_init(|| on_expiry);
    }

    pub fn set_end(&self, end: Timestamp) {
        let unless_for_good = |now| (now != FOR_GOOD).then_some(end.as_millis().max(1));
        let _kept =
            self.expires.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_for_good);
    }

    /// Ends it for good: from now on purges go to another process, and nothing is used here.
    pub fn end_for_good(&self) {
        self.expires.store(FOR_GOOD, Ordering::Relaxed);
    }

    /// Undoes [`Self::end_for_good`]: purges come here after all.
    pub fn resume(&self) {
        self.expires.store(u64::MAX, Ordering::Relaxed);
    }

    pub fn is_over_for_good(&self) -> bool {
        self.expires.load(Ordering::Relaxed) == FOR_GOOD
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.load(Ordering::Relaxed) <= now.as_millis()
    }

    pub fn trust(&self, now: Timestamp) -> Trust {
        if self.is_over(now) { self.trust_after_its_end(now) } else { Trust::Full }
    }

    #[cold]
    fn trust_after_its_end(&self, now: Timestamp) -> Trust {
        if self.is_over_for_good() {
            return Trust::Nothing;
        }
        match self.on_expiry.get().copied().unwrap_or_default() {
            OnExpiry::Serve => Trust::Full,
            OnExpiry::Cap(cap) => Trust::Since(now.minus(cap)),
            OnExpiry::Validate => Trust::Validated,
            OnExpiry::Bypass => Trust::Nothing,
        }
    }
}

const FOR_GOOD: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn expired(on_expiry: OnExpiry) -> Trust {
        let lease = Lease::default();
        lease.configure(on_expiry);
        assert_eq!(lease.trust(NOW), Trust::Full, "no lease");
        lease.set_end(NOW.plus(Duration::from_millis(1)));
        assert_eq!(lease.trust(NOW), Trust::Full);
        lease.set_end(NOW);
        lease.trust(NOW)
    }

    #[test]
    fn an_end_for_good_is_not_undone_by_settings_or_later_batches() {
        let lease = Lease::default();
        lease.configure(OnExpiry::Serve);
        lease.end_for_good();
        lease.set_end(NOW.plus(Duration::from_mins(1)));
        assert_eq!(lease.trust(NOW), Trust::Nothing);
    }

    #[test]
    fn trust_after_the_end_is_as_configured() {
        let minute = Duration::from_mins(1);
        for (on_expiry, fresh, old, stand_in) in [
            (OnExpiry::Serve, true, true, true),
            (OnExpiry::Cap(minute), true, false, true),
            (OnExpiry::Cap(Duration::ZERO), true, false, true),
            (OnExpiry::Validate, false, false, false),
            (OnExpiry::Bypass, false, false, false),
        ] {
            let trust = expired(on_expiry);
            assert_eq!(trust.covers(NOW), fresh, "{on_expiry:?}");
            assert_eq!(trust.covers(Timestamp::from_secs(939)), old, "{on_expiry:?}");
            assert_eq!(trust.allows_stale_if_error(), stand_in, "{on_expiry:?}");
        }
        assert!(expired(OnExpiry::Cap(minute)).covers(Timestamp::from_secs(940)));
    }
}
