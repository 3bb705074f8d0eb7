//! `ListenerRequests`: what each listener has answered, while listeners come and go.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::metrics::RequestMetrics;
use crate::cache::outcome::Outcome;
use crate::client::peer::ListenerId;
use crate::live::counts::Figure;

/// The metrics of the listeners, by their ids. An id is given to another listener only when nobody
/// is connected any more that had it.
#[derive(Debug)]
pub struct ListenerRequests {
    places: Box<[OnceLock<Box<RequestMetrics>>]>,
    /// Of listeners that are gone.
    gone: RequestMetrics,
}

/// Requests of all listeners.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutcomeTotals {
    /// In the order of [`Figure::ANSWERS`].
    pub answers: [u64; Figure::ANSWERS.len()],
    pub server_errors: u64,
    /// Bytes of content to clients and from them.
    pub sent: u64,
    pub received: u64,
}

impl OutcomeTotals {
    fn add(&mut self, outcome: Outcome, code: u16, count: u64) {
        let is_error = (500..600).contains(&code);
        if is_error {
            self.server_errors += count;
        }
        let figure = match outcome {
            Outcome::Hit => Figure::Hits,
            Outcome::Stale => Figure::Stale,
            Outcome::Revalidated => Figure::Revalidated,
            Outcome::Miss => Figure::Misses,
            Outcome::Uncacheable => Figure::Uncacheable,
            Outcome::Bypass => Figure::Bypasses,
            Outcome::Synthetic if is_error => Figure::Errors,
            Outcome::Synthetic => Figure::Synthetic,
            Outcome::Purge => Figure::PurgeAnswers,
        };
        let place = Figure::ANSWERS.iter().position(|other| *other == figure);
        if let Some(answers) = place.and_then(|place| self.answers.get_mut(place)) {
            *answers += count;
        }
    }
}

impl ListenerRequests {
    /// Makes place for `count` listeners, which nothing is known of yet.
    pub fn new(count: usize) -> Self {
        let places = (0..count).map(|_| OnceLock::new()).collect();
        Self { places, gone: RequestMetrics::default() }
    }

    /// Returns the metrics of a listener that was begun.
    pub fn of(&self, id: ListenerId) -> Option<&RequestMetrics> {
        id.of(&self.places)?.get().map(Box::as_ref)
    }

    /// Begins to count for a listener. What the last one with its id has counted goes to `heir`, a
    /// listener of the same name, or to the sum of those that are gone.
    pub fn begin(&self, id: ListenerId, heir: Option<ListenerId>) {
        let Some(place) = id.of(&self.places) else { return };
        match place.get() {
            None => {
                place.get_or_init(Box::default);
            }
            Some(last) => {
                let heir = heir.filter(|heir| *heir != id).and_then(|heir| self.of(heir));
                heir.unwrap_or(&self.gone).absorb(last);
                last.reset();
            }
        }
    }

    /// Returns a sum for each name, of all its listeners.
    pub fn by_name<'a>(
        &self,
        listeners: impl IntoIterator<Item = (ListenerId, &'a str)>,
    ) -> Vec<(&'a str, RequestMetrics)> {
        let mut sums = BTreeMap::<&str, RequestMetrics>::new();
        for (id, name) in listeners {
            if let Some(metrics) = self.of(id) {
                sums.entry(name).or_default().absorb(metrics);
            }
        }
        sums.into_iter().collect()
    }

    /// Returns the sums of all listeners, also of those that are gone.
    pub fn totals(&self) -> OutcomeTotals {
        let mut totals = OutcomeTotals::default();
        let there = self.places.iter().filter_map(OnceLock::get).map(Box::as_ref);
        for metrics in there.chain([&self.gone]) {
            for (outcome, code, count) in metrics.counts() {
                totals.add(outcome, code, count);
            }
            for outcome in Outcome::ALL {
                totals.sent += metrics.sent(outcome);
                totals.received += metrics.received(outcome);
            }
        }
        totals
    }

    /// Returns the number of requests of all listeners, also of those that are gone.
    pub fn total(&self, outcome: Outcome) -> u64 {
        let there = self.places.iter().filter_map(OnceLock::get).map(Box::as_ref);
        there.chain([&self.gone]).map(|metrics| metrics.of(outcome)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn a_listener_that_is_gone_stays_in_the_total_and_lends_no_count_to_the_next() {
        let requests = ListenerRequests::new(2);
        let [first, second] = [ListenerId::at(0), ListenerId::at(1)];
        requests.begin(first, None);
        requests.of(first).unwrap().count(Outcome::Hit, StatusCode::OK, 5);
        requests.of(first).unwrap().time(Outcome::Miss, Duration::from_millis(1));
        assert!(requests.of(second).is_none(), "it is not there yet");

        requests.begin(first, None);

        assert_eq!(requests.of(first).unwrap().of(Outcome::Hit), 0);
        assert_eq!(requests.total(Outcome::Hit), 1);
        assert_eq!(requests.totals().sent, 5);
        let durations = &requests.of(first).unwrap().durations;
        assert!(durations.iter().all(|durations| durations.sum_nanos() == 0));
    }

    #[test]
    fn listeners_of_one_name_are_one_in_metrics_and_inherit() {
        let requests = ListenerRequests::new(2);
        let [old, new] = [ListenerId::at(0), ListenerId::at(1)];
        for id in [old, new] {
            requests.begin(id, None);
            requests.of(id).unwrap().count(Outcome::Hit, StatusCode::IM_A_TEAPOT, 5);
        }
        let hits = |listeners: &[(ListenerId, &'static str)]| {
            let sums = requests.by_name(listeners.iter().copied());
            sums.iter().map(|(name, sum)| (*name, sum.of(Outcome::Hit))).collect::<Vec<_>>()
        };
        assert_eq!(hits(&[(old, "main"), (new, "main")]), [("main", 2)]);

        requests.begin(old, Some(new));
        assert_eq!(hits(&[(old, "other"), (new, "main")]), [("main", 2), ("other", 0)]);
    }
}
