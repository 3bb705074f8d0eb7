//! The pauses between two look-ups of a name.

use std::time::Duration;

use settings::DnsSettings;

/// Returns the time for which an answer is used: the TTL of its records, within the bounds.
pub(super) fn pause_after_answer(ttl: Duration, is_partial: bool, dns: &DnsSettings) -> Duration {
    let most = if is_partial { dns.min_ttl } else { dns.max_ttl };
    ttl.clamp(dns.min_ttl, most.max(dns.min_ttl))
}

/// Returns the pause after this number of failures in a row: it doubles from one to the next.
/// A name without any answer is tried more often, as requests fail meanwhile.
pub(super) fn pause_after_failure(failures: u32, has_answer: bool, dns: &DnsSettings) -> Duration {
    let most = if has_answer { PAUSE_MAX } else { PAUSE_MAX_WITHOUT_ANSWER };
    let doubled = PAUSE_FIRST * 2_u32.saturating_pow(failures.saturating_sub(1).min(DOUBLINGS_MAX));
    doubled.clamp(PAUSE_FIRST, most).max(dns.min_ttl)
}

const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const PAUSE_MAX_WITHOUT_ANSWER: Duration = Duration::from_secs(5);
const DOUBLINGS_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn dns() -> DnsSettings {
        DnsSettings { max_ttl: Duration::from_mins(5), ..DnsSettings::default() }
    }

    #[test]
    fn an_answer_holds_for_its_ttl_within_the_bounds() {
        let pause = |seconds, is_partial| {
            pause_after_answer(Duration::from_secs(seconds), is_partial, &dns()).as_secs()
        };

        assert_eq!([0, 1, 30, 300, 86_400].map(|ttl| pause(ttl, false)), [1, 1, 30, 300, 300]);
        assert_eq!(pause(30, true), 1, "the other half is looked up soon");
    }

    #[test]
    fn pauses_after_failures_double_up_to_a_bound() {
        let pause = |failures, has_answer| pause_after_failure(failures, has_answer, &dns());

        assert_eq!([1, 2, 3, 4, 8, 4000].map(|n| pause(n, true).as_secs()), [1, 1, 2, 4, 30, 30]);
        assert_eq!([1, 2, 3, 4, 8, 4000].map(|n| pause(n, false).as_secs()), [1, 1, 2, 4, 5, 5]);
    }
}
