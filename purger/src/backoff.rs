//! Waits between attempts: exponential with jitter, so that purgers and proxies do not retry in
//! step.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Backoff {
    ceiling: Duration,
    max: Duration,
}

impl Backoff {
    /// Begins at [`FIRST`]; no wait is longer than `max`.
    pub fn new(max: Duration) -> Self {
        Self { ceiling: FIRST.min(max), max }
    }

    /// Returns the next wait: between half of a ceiling and the ceiling, which doubles each time.
    pub fn wait(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(self.max);
        ceiling / 2 + (ceiling / 2).mul_f64(fraction())
    }

    pub fn reset(&mut self) {
        self.ceiling = FIRST.min(self.max);
    }
}

/// A number from 0 to 1 that differs from call to call.
fn fraction() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(random).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

pub const FIRST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.wait();
            let ceiling = Duration::from_millis(ceiling);
            assert!(wait >= ceiling / 2 && wait <= ceiling, "{wait:?} of {ceiling:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
