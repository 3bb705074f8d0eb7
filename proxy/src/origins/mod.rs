//! Origins: the sources of responses, with their servers, connections and failures. No cache is
//! known here.
//!
//! ```text
//! Origins ─► Origin ─► slots     a permit for each exchange, a bounded queue
//!   by       NAME      attempts  the number of retries, and their safety
//!   policy             failures  URLs, reachability, the log of an outage
//!                      └► Server ─► pool       idle connections
//!                                   connector  names, addresses, the race between them
//!                                   connection  one exchange: server_stream, sending,
//!                                               request_body, response_body
//! ```

mod attempts;
mod connector;
mod error;
pub mod failures;
mod keep_alive;
pub mod metrics;
mod origin;
mod outage;
mod pool;
mod race;
pub mod reachability;
mod request_body;
mod response_body;
mod sending;
mod server;
mod server_stream;
mod slots;

use std::sync::Arc;

pub use self::error::OriginError;
pub use self::origin::Origin;
pub use self::request_body::RequestBody;
pub use self::response_body::OriginBody;

#[derive(Clone, Debug)]
pub struct Origins {
    /// The origin of all requests that no other one claims.
    default: Arc<Origin>,
    others: Box<[Arc<Origin>]>,
}

/// The place of an origin in the [`Origins`] that returned it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginId(usize);

impl Origins {
    pub fn new(default: settings::OriginSettings, others: Vec<settings::OriginSettings>) -> Self {
        let origin = |settings| Arc::new(Origin::new(settings));
        Self { default: origin(default), others: others.into_iter().map(origin).collect() }
    }

    /// Returns origins with these settings. An origin with the same settings stays. Any other of
    /// the same name keeps its counters, failures and servers.
    #[must_use]
    pub fn renewed(
        &self,
        default: settings::OriginSettings,
        others: Vec<settings::OriginSettings>,
    ) -> Self {
        let origin = |settings: settings::OriginSettings| {
            let before = self.find(&settings.name).map(|id| self.get(id));
            match before {
                Some(before) if before.has(&settings) => Arc::clone(before),
                Some(before) => Arc::new(before.renewed(settings)),
                None => Arc::new(Origin::new(settings)),
            }
        };
        Self { default: origin(default), others: others.into_iter().map(origin).collect() }
    }

    pub fn get(&self, id: OriginId) -> &Arc<Origin> {
        let place = id.0.checked_sub(1);
        place.and_then(|place| self.others.get(place)).unwrap_or(&self.default)
    }

    pub fn find(&self, name: &str) -> Option<OriginId> {
        self.iter().position(|origin| origin.name() == name).map(OriginId)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Origin>> {
        std::iter::once(&self.default).chain(&self.others)
    }

    pub fn sweep(&self) {
        self.iter().for_each(|origin| origin.sweep());
    }

    pub fn connections(&self) -> (usize, usize) {
        let each = self.iter().map(|origin| origin.connections());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub fn queued(&self) -> usize {
        self.iter().map(|origin| origin.queued()).sum()
    }

    /// The origin of all requests that no other one claims.
    pub const fn default_origin(&self) -> &Arc<Origin> {
        &self.default
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Authority;
    use process::timestamp::Timestamp;

    use super::failures::FetchFailure;
    use super::*;

    fn settings(name: &str) -> settings::OriginSettings {
        settings::OriginSettings::new(name, vec![Authority::from_static("127.0.0.1:1")])
    }

    #[test]
    fn an_origin_that_cannot_be_reached_says_nothing_of_another() {
        let origins = Origins::new(settings("app"), vec![settings("api")]);
        let [app, api] = ["app", "api"].map(|name| origins.get(origins.find(name).unwrap()));
        let now = Timestamp::from_secs(1_000);

        app.reachability.note_error(&OriginError::Refused { server: "app:80".to_owned() }, now);
        app.failures.note(1, FetchFailure::TimedOut, now);

        assert!(app.reachability.is_lost(now) && !api.reachability.is_lost(now));
        assert!(app.failures.has_timed_out(1, now) && !api.failures.has_timed_out(1, now));
    }

    #[test]
    fn an_origin_is_found_by_its_name() {
        let origins = Origins::new(settings("app"), vec![settings("api"), settings("images")]);

        for name in ["app", "api", "images"] {
            let id = origins.find(name).unwrap();
            assert_eq!(origins.get(id).name(), name);
        }
        assert_eq!(origins.find("other"), None);
        assert_eq!(origins.get(OriginId::default()).name(), origins.default_origin().name());
    }
}
