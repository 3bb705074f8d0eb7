//! Origins: the sources of responses, with their servers, connections and failures. No cache is
//! known here.
//!
//! ```text
//! Origins ─► Origin ─► dispatch  one request: retries and their safety (attempts), hedging
//!  claims    NAME      balance   the server for it, by weight, load, latency or hash
//!                      slots     a place at a server, a bounded queue
//!                      budget    requests besides those that were asked for
//!                      failures  URLs, reachability, the log of an outage
//!                      health    which servers get requests
//!                      └► Server ─► load       requests in flight, latency
//!                                   pool       idle connections
//!                                   connector  names, addresses, the race between them
//!                                   connection  one exchange: http2, or server_stream, sending,
//!                                               request_body, response_body
//! ```

mod attempts;
mod background;
mod balance;
mod budget;
mod claims;
mod connector;
mod content;
mod dispatch;
mod error;
pub mod failures;
pub mod health;
mod http2;
mod keep_alive;
mod load;
mod members;
pub mod metrics;
mod names;
mod origin;
mod outage;
mod phases;
mod pool;
mod probing;
mod quantile;
mod race;
pub mod reachability;
mod replay;
mod request_body;
mod response_body;
mod selection;
mod sending;
mod server;
mod server_order;
mod server_report;
mod server_stream;
mod slots;
mod tcp_connector;
mod stream_patience;
mod traffic;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

pub use self::attempts::RetryMissing;
use self::background::Background;
use self::claims::OriginClaims;
pub use self::claims::OriginId;
pub use self::dispatch::send;
pub use self::error::OriginError;
use self::names::ServerNames;
pub use self::origin::Origin;
pub use self::request_body::{AcceptsTrailers, RequestBody};
pub use self::response_body::OriginBody;
pub use self::server_order::ServerOrder;
pub use self::server_report::ServerReport;
use crate::metrics::family::Family;
use crate::tls::OriginTls;

/// The origins of a configuration, never none, in the order in which they claim requests.
#[derive(Clone, Debug)]
pub struct Origins {
    first: Arc<Origin>,
    others: Box<[Arc<Origin>]>,
    claims: Arc<OriginClaims>,
    names: Arc<ServerNames>,
    background: Background,
}

impl Origins {
    pub fn new(settings: &[settings::OriginSettings], dns: &settings::DnsSettings) -> Self {
        let background = Background::default();
        let names = Arc::new(ServerNames::new(dns.clone(), background.clone()));
        Self::made(settings, (&names, &background), |settings| {
            Origin::started(Origin::new(settings.clone(), &names), &background)
        })
    }

    /// Returns origins with these settings. An origin with the same settings stays. Any other of
    /// the same name keeps its counters, failures and servers.
    #[must_use]
    pub fn renewed(
        &self,
        settings: &[settings::OriginSettings],
        dns: &settings::DnsSettings,
    ) -> Self {
        let Self { names, background, .. } = self;
        names.configure(dns);
        let started = |origin| Origin::started(origin, background);
        Self::made(settings, (names, background), |settings| match self.find(&settings.name) {
            Some(before) if before.has(settings) => Arc::clone(before),
            Some(before) => started(before.renewed(settings.clone())),
            None => started(Origin::new(settings.clone(), names)),
        })
    }

    fn made(
        settings: &[settings::OriginSettings],
        (names, background): (&Arc<ServerNames>, &Background),
        origin: impl Fn(&settings::OriginSettings) -> Arc<Origin>,
    ) -> Self {
        let mut all = settings.iter().map(origin);
        let first = all.next();
        Self {
            first: first.unwrap_or_else(|| Arc::new(Origin::without_servers(names))),
            others: all.collect(),
            claims: Arc::new(OriginClaims::new(settings)),
            names: Arc::clone(names),
            background: background.clone(),
        }
    }

    /// Starts the tasks of all origins, and of those that renew them, on this runtime.
    pub fn run_on(&self, runtime: Handle) {
        self.background.run_on(runtime);
    }

    /// Returns the first origin that claims a request, by its canonical host and its path with
    /// query.
    pub fn choose(&self, host: &str, path: &str) -> Option<OriginId> {
        self.claims.choose(host, path)
    }

    pub fn get(&self, id: OriginId) -> &Arc<Origin> {
        let place = id.place().checked_sub(1);
        place.and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }

    /// Returns the place of the origin of this name.
    pub fn id_of(&self, name: &str) -> Option<OriginId> {
        self.iter().position(|origin| origin.name() == name).map(OriginId::at)
    }

    pub fn find(&self, name: &str) -> Option<&Arc<Origin>> {
        self.iter().find(|origin| origin.name() == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Origin>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns TLS of the origins that have it.
    pub fn tls(&self) -> Vec<Arc<OriginTls>> {
        self.iter().filter_map(|origin| origin.tls().cloned()).collect()
    }

    /// Forgets latencies of servers that are older than the last period. Is called twice a minute.
    pub fn turn_latencies(&self) {
        for origin in self.iter() {
            origin.servers().iter().for_each(|server| server.health().turn_latency());
        }
    }

    pub fn sweep(&self) {
        self.iter().for_each(|origin| origin.sweep());
    }

    pub fn connections(&self) -> (usize, usize) {
        let each = self.iter().map(|origin| origin.connections());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub(crate) fn name_families(&self) -> Vec<Family> {
        names::metrics::families(&self.names)
    }

    pub fn queued(&self) -> usize {
        self.iter().map(|origin| origin.queued()).sum()
    }

    /// Returns the orders that operators have given to servers.
    pub fn orders(&self) -> Vec<ServerOrder> {
        self.iter().flat_map(|origin| origin.orders()).collect()
    }

    /// Gives the orders of the process before. A server that its name has not resolved to yet gets
    /// its order when it joins.
    pub fn follow_orders(&self, orders: &[ServerOrder]) {
        for order in orders {
            if let Some(origin) = self.find(&order.origin) {
                origin.follow(order);
            } else {
                tracing::warn!(?order, "there is no such origin any more");
            }
        }
    }

    /// Begins the probes that are due, and notices what time has brought. Is called where tasks may
    /// be started.
    pub fn watch_over(&self) {
        let now = Instant::now();
        for origin in self.iter() {
            origin.watch_over(now);
        }
    }

    pub const fn first(&self) -> &Arc<Origin> {
        &self.first
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Authority;
    use process::timestamp::Timestamp;

    use super::failures::FetchFailure;
    use super::health::AdminState;
    use super::*;

    fn settings(name: &str) -> settings::OriginSettings {
        settings::OriginSettings::new(name, vec![Authority::from_static("127.0.0.1:1").into()])
    }

    fn origins(names: &[&str]) -> Origins {
        let all: Vec<_> = names.iter().map(|name| settings(name)).collect();
        Origins::new(&all, &settings::DnsSettings::default())
    }

    #[test]
    fn an_origin_that_cannot_be_reached_says_nothing_of_another() {
        let origins = origins(&["app", "api"]);
        let [app, api] = ["app", "api"].map(|name| origins.find(name).unwrap());
        let now = Timestamp::from_secs(1_000);

        app.reachability.note_error(&OriginError::Refused { server: "app:80".to_owned() }, now);
        app.failures.note(1, FetchFailure::TimedOut, now);

        assert!(app.reachability.is_lost(now) && !api.reachability.is_lost(now));
        assert!(app.failures.has_timed_out(1, now) && !api.failures.has_timed_out(1, now));
    }

    #[test]
    fn an_order_to_a_server_passes_to_the_process_that_takes_over() {
        let before = origins(&["app", "api"]);
        assert_eq!(before.orders(), []);
        assert!(before.find("api").unwrap().assign("127.0.0.1:1", AdminState::Drain));
        assert!(!before.find("api").unwrap().assign("127.0.0.1:2", AdminState::Drain));
        let orders = before.orders();

        let after = origins(&["api", "new"]);
        after.follow_orders(&orders);

        assert_eq!(after.orders(), orders);
        assert_eq!(orders[0].state, AdminState::Drain);
        let gone = ServerOrder { origin: "gone".to_owned(), ..orders[0].clone() };
        after.follow_orders(&[gone]);
        assert_eq!(after.orders(), orders);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_joins_later_gets_the_order_it_was_given_before() {
        for (waited, expected) in [(59, AdminState::Disabled), (61, AdminState::Enabled)] {
            let before = origins(&["app"]);
            let server = "127.0.0.1:2".to_owned();
            let origin = "app".to_owned();
            let order = ServerOrder { origin, server, state: AdminState::Disabled };
            before.follow_orders(&[order]);
            tokio::time::advance(std::time::Duration::from_secs(waited)).await;

            let mut two = settings("app");
            two.servers.push(Authority::from_static("127.0.0.1:2").into());
            let after = before.renewed(&[two], &settings::DnsSettings::default());

            let reports = after.find("app").unwrap().reports();
            let joined = reports.iter().find(|server| server.name == "127.0.0.1:2").unwrap();
            assert_eq!(joined.health.assigned, expected);
        }
    }

    #[test]
    fn the_order_of_the_settings_is_the_order_of_the_origins() {
        let names = ["app", "api", "images"];
        let origins = origins(&names);

        assert_eq!(origins.iter().map(|origin| origin.name()).collect::<Vec<_>>(), names);
        assert_eq!(origins.get(OriginId::default()).name(), "app");
        assert_eq!(origins.find("images").unwrap().name(), "images");
        assert!(origins.find("other").is_none());
    }

    #[test]
    fn an_origin_that_moves_in_the_file_keeps_what_it_counted() {
        let before = origins(&["app", "api"]);
        let after =
            before.renewed(&["new", "api"].map(settings), &settings::DnsSettings::default());

        assert!(Arc::ptr_eq(before.find("api").unwrap(), after.find("api").unwrap()));
        assert!(after.find("app").is_none());
    }
}
