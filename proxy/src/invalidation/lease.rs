//! `Lease`: until when it is known that all purges have arrived, and how responses are used after
//! that.
//!
//! A hit pays one relaxed load and one comparison: the end of the lease is the number that is kept,
//! so no timer is needed, and the next message from a purger ends the degradation by itself.

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

impl OnExpiry {
    /// Returns it as a number, which a hit loads without a lock. The default is zero.
    fn to_number(self) -> u64 {
        match self {
            Self::Serve => 0,
            Self::Validate => 1,
            Self::Bypass => 2,
            Self::Cap(cap) => {
                u64::try_from(cap.as_millis()).unwrap_or(u64::MAX).saturating_add(CAP_ZERO)
            }
        }
    }

    const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Serve,
            1 => Self::Validate,
            2 => Self::Bypass,
            cap => Self::Cap(Duration::from_millis(cap - CAP_ZERO)),
        }
    }
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
    /// See [`OnExpiry::to_number`].
    on_expiry: AtomicU64,
}

impl Default for Lease {
    fn default() -> Self {
        Self { expires: AtomicU64::new(u64::MAX), on_expiry: AtomicU64::new(0) }
    }
}

impl Lease {
    /// Says what happens after its end, from now on.
    pub fn configure(&self, on_expiry: OnExpiry) {
        self.on_expiry.store(on_expiry.to_number(), Ordering::Relaxed);
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

    /// Returns the time until its end; `None`: there is no lease.
    pub fn left(&self, now: Timestamp) -> Option<Duration> {
        match self.expires.load(Ordering::Relaxed) {
            u64::MAX => None,
            millis => Some(Timestamp::from_millis(millis).since(now)),
        }
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
        match OnExpiry::from_number(self.on_expiry.load(Ordering::Relaxed)) {
            OnExpiry::Serve => Trust::Full,
            OnExpiry::Cap(cap) => Trust::Since(now.minus(cap)),
            OnExpiry::Validate => Trust::Validated,
            OnExpiry::Bypass => Trust::Nothing,
        }
    }
}

const FOR_GOOD: u64 = 0;
/// The number of [`OnExpiry::Cap`] with no time at all.
const CAP_ZERO: u64 = 3;

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
    fn settings_apply_after_the_end_as_well_each_time_they_change() {
        let lease = Lease::default();
        lease.set_end(NOW);
        assert_eq!(lease.trust(NOW), Trust::Full, "the default");
        for (on_expiry, trust) in [
            (OnExpiry::Bypass, Trust::Nothing),
            (OnExpiry::Cap(Duration::from_mins(1)), Trust::Since(Timestamp::from_secs(940))),
            (OnExpiry::Cap(Duration::ZERO), Trust::Since(NOW)),
            (OnExpiry::Cap(Duration::MAX), Trust::Since(Timestamp::default())),
            (OnExpiry::Validate, Trust::Validated),
            (OnExpiry::Serve, Trust::Full),
        ] {
            lease.configure(on_expiry);
            assert_eq!(lease.trust(NOW), trust, "{on_expiry:?}");
        }
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
