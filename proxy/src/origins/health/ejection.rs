//! `Ejection`: a server that fails requests one after another is left out for a while, as in
//! Envoy.

use std::time::Duration;

use settings::OutlierSettings;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ejection {
    /// Failures since the last success.
    failures: u32,
    until: Option<Instant>,
    /// Ejections that count for the length of the next one.
    times: u32,
    returned: Option<Instant>,
}

impl Ejection {
    pub(super) const fn note_success(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure. Returns whether the server is to be ejected, if there is room.
    pub(super) fn note_failure(&mut self, settings: &OutlierSettings, now: Instant) -> bool {
        if self.is_on(now) {
            return false; // it was sent before, or because no other server is left
        }
        self.failures = self.failures.saturating_add(1);
        settings.consecutive_failures.is_some_and(|limit| self.failures >= limit)
    }

    /// Ejects the server. Each ejection takes longer than the one before; a time as long as the
    /// first one without any takes that back.
    pub(super) fn begin(&mut self, settings: &OutlierSettings, now: Instant) -> Duration {
        let base = settings.base_ejection.max(Duration::from_millis(1));
        if let Some(returned) = self.returned {
            let forgiven = now.duration_since(returned).as_millis() / base.as_millis();
            self.times = self.times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        }
        self.times = self.times.saturating_add(1);
        let time = base.saturating_mul(self.times).min(settings.max_ejection.max(base));
        (self.failures, self.until) = (0, Some(now + time));
        time
    }

    /// Ends an ejection whose time is over. Returns when that was, if one ended.
    pub(super) fn end_if_over(&mut self, now: Instant) -> Option<Instant> {
        let until = self.until.filter(|until| now >= *until)?;
        (self.until, self.returned) = (None, Some(until));
        Some(until)
    }

    /// Ends an ejection at once, and forgets all earlier ones.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }
}

/// The servers of an origin, as far as an ejection of one of them has to look at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::origins) struct EjectionRoom {
    pub(in crate::origins) servers: usize,
    pub(in crate::origins) ejected: usize,
    /// Servers beside the one in question that get requests.
    pub(in crate::origins) others_in_use: usize,
}

impl EjectionRoom {
    /// Returns whether one more may be ejected: the share is kept, half of the servers stay, and so
    /// does the last one.
    pub(super) const fn has_place(self, max_ejected: u32) -> bool {
        let share = self.servers.saturating_mul(max_ejected as usize) / 100;
        let most = if share == 0 { 1 } else { share };
        let ejected = self.ejected + 1;
        self.others_in_use > 0 && ejected <= most && ejected <= self.servers / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn failures_count_from_the_last_success() {
        let (settings, now) = (OutlierSettings::default(), Instant::now());
        for (history, is_due) in
            [("-----", true), ("----", false), ("----+----", false), ("----+-----", true)]
        {
            let mut ejection = Ejection::default();
            let mut due = false;
            for result in history.chars() {
                if result == '+' {
                    ejection.note_success();
                } else {
                    due = ejection.note_failure(&settings, now);
                }
            }
            assert_eq!(due, is_due, "{history}");
        }
    }

    #[test]
    fn none_is_due_when_it_is_off() {
        let off = OutlierSettings { consecutive_failures: None, ..OutlierSettings::default() };
        let mut ejection = Ejection::default();
        assert!((0..100).all(|_| !ejection.note_failure(&off, Instant::now())));
    }

    #[test]
    fn each_ejection_is_longer_and_calm_makes_them_shorter_again() {
        let (settings, start) = (OutlierSettings::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut ejection = Ejection::default();

        assert_eq!(ejection.begin(&settings, at(0)), 30 * SECOND);
        assert!(ejection.is_on(at(29)) && !ejection.is_on(at(30)));
        assert!(!ejection.note_failure(&settings, at(1)), "it is out already");
        assert_eq!(ejection.end_if_over(at(29)), None);
        assert_eq!(ejection.end_if_over(at(31)), Some(at(30)), "however late that is noticed");
        assert_eq!(ejection.end_if_over(at(32)), None, "it ends once");

        assert_eq!(ejection.begin(&settings, at(40)), 60 * SECOND);
        assert_eq!(ejection.end_if_over(at(100)), Some(at(100)));
        assert_eq!(ejection.begin(&settings, at(131)), 60 * SECOND, "30 s of calm took one back");
        ejection.forget();
        assert!(!ejection.is_on(at(132)));
        assert_eq!(ejection.begin(&settings, at(132)), 30 * SECOND);
    }

    #[test]
    fn an_ejection_has_a_longest_time() {
        let (settings, mut now) = (OutlierSettings::default(), Instant::now());
        let mut ejection = Ejection::default();
        for _ in 0..100 {
            now += ejection.begin(&settings, now);
            assert!(ejection.end_if_over(now).is_some());
        }
        assert_eq!(ejection.begin(&settings, now), 300 * SECOND);
    }

    #[test]
    fn half_of_the_servers_stay_and_always_the_last() {
        for (servers, ejected, others_in_use, max_ejected, has_place) in [
            (1, 0, 0, 50, false),
            (2, 0, 1, 50, true),
            (2, 0, 0, 50, false),
            (2, 1, 0, 50, false),
            (3, 0, 2, 50, true),
            (3, 1, 1, 50, false),
            (4, 1, 2, 50, true),
            (4, 2, 1, 50, false),
            (10, 0, 9, 1, true),
            (10, 1, 8, 1, false),
            (10, 2, 7, 30, true),
            (10, 3, 6, 30, false),
            (4, 1, 0, 50, false),
        ] {
            let room = EjectionRoom { servers, ejected, others_in_use };
            assert_eq!(room.has_place(max_ejected), has_place, "{room:?} {max_ejected}%");
        }
    }
}
