//! Light traffic: a constant rate of requests regardless of answers, pages by Zipf's law, and
//! prices that change.
//!
//! Each change is purged by its tag, through Kafka, and from then on no page with an older price
//! may come: every answer is checked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use purge_protocol::PurgeMode;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::client::{ClientConnection, ClientError, PageAnswer};
use super::figures::{StoryFigures, ratio};
use super::publisher::Publisher;
use super::shop::{Cents, Shop};
use super::stage::Stage;

#[derive(Debug)]
pub(super) struct Traffic {
    shop: Arc<Shop>,
    proxy: SocketAddr,
    started: OnceLock<Instant>,
    figures: Mutex<StoryFigures>,
    /// For each product, the least price that a page may show. It rises when a purge is confirmed.
    floors: Vec<AtomicU64>,
    /// Of the n-th product, the share of requests for it and those before it: rising to 1.
    shares: Vec<f64>,
    idle: Mutex<Vec<ClientConnection>>,
    /// The last reading of the rate: its moment, and the number of requests until then.
    reading: Mutex<(Instant, u64)>,
}

impl Traffic {
    pub(super) fn new(stage: &Stage, products: usize) -> Arc<Self> {
        let now = Instant::now();
        let shop = Arc::clone(&stage.origin.shop);
        let price = |number| AtomicU64::new(shop.price(FIRST_PRODUCT + number).0);
        let floors = (0..products).map(price).collect();
        Arc::new(Self {
            shop,
            proxy: stage.proxy.traffic,
            started: OnceLock::new(),
            figures: Mutex::new(StoryFigures::new()),
            floors,
            shares: zipf(products),
            idle: Mutex::default(),
            reading: Mutex::new((now, 0)),
        })
    }

    /// Sends requests and changes prices until it is dropped, once the purger has begun.
    pub(super) async fn run(self: Arc<Self>, mut publisher: Publisher) {
        match publisher.ready().await {
            Ok(()) => {
                let _first = self.started.set(Instant::now());
                tokio::join!(self.ask(), self.change(publisher));
            }
            Err(error) => tracing::error!(%error, "the purger does not begin: there is no traffic"),
        }
    }

    pub(super) fn line(&self) -> String {
        let renders = self.shop.renders_from(FIRST_PRODUCT);
        let figures = self.figures.lock();
        let rate = {
            let (now, mut reading) = (Instant::now(), self.reading.lock());
            let (then, before) = std::mem::replace(&mut *reading, (now, figures.requests));
            ratio(figures.requests - before, 1) / (now - then).as_secs_f64().max(1e-3)
        };
        figures.line(rate, renders)
    }

    pub(super) fn document(&self) -> Value {
        let renders = self.shop.renders_from(FIRST_PRODUCT);
        let lasted = self.started.get().map_or(Duration::ZERO, Instant::elapsed);
        self.figures.lock().document(lasted, renders)
    }

    /// Returns whether no page was older than its purge.
    pub(super) fn is_sound(&self) -> bool {
        self.figures.lock().outdated == 0
    }

    /// Asks for pages at a constant rate, also while answers are slow.
    async fn ask(self: &Arc<Self>) {
        let mut random = Random(1);
        let mut ticks = interval(BETWEEN_REQUESTS);
        let seats = Arc::new(Semaphore::new(WAITING_MAX));
        let mut asked = JoinSet::new();
        loop {
            ticks.tick().await;
            while asked.try_join_next().is_some() {}
            let number = self.pick(&mut random);
            match Arc::clone(&seats).try_acquire_owned() {
                Ok(seat) => drop(asked.spawn(Arc::clone(self).visit(number, seat))),
                Err(_full) => self.figures.lock().withheld += 1,
            }
        }
    }

    async fn visit(self: Arc<Self>, number: usize, _seat: OwnedSemaphorePermit) {
        let floor = self.floors.get(number).map_or(0, |floor| floor.load(Ordering::Relaxed));
        let answer = self.get(&format!("/p/{}", FIRST_PRODUCT + number)).await;
        self.figures.lock().count(&answer, Cents(floor));
    }

    async fn get(&self, path: &str) -> Result<PageAnswer, ClientError> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => ClientConnection::open(self.proxy).await?,
        };
        let answer = connection.get(path).await?;
        self.idle.lock().push(connection); // a broken one is not kept
        Ok(answer)
    }

    /// Changes prices, one after the other, and purges each.
    async fn change(&self, mut publisher: Publisher) {
        let mut random = Random(2);
        let mut ticks = interval(BETWEEN_CHANGES);
        loop {
            ticks.tick().await;
            let number = self.pick(&mut random);
            let price = self.shop.raise(FIRST_PRODUCT + number);
            let tag = format!("product-{}", FIRST_PRODUCT + number);
            match publisher.purge(&tag, PurgeMode::Hard).await {
                Ok(purged) => {
                    self.figures.lock().purged(purged.took);
                    if let Some(floor) = self.floors.get(number) {
                        floor.store(price.0, Ordering::Relaxed);
                    }
                }
                Err(error) => tracing::error!(%error, "a purge of the demonstration failed"),
            }
        }
    }

    fn pick(&self, random: &mut Random) -> usize {
        let point = random.unit();
        self.shares.partition_point(|share| *share <= point)
    }
}

/// Numbers that are the same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    /// Returns a number in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The mantissa of a number in [1, 2): no cast, no rounding.
        f64::from_bits(0x3FF0_0000_0000_0000 | (mixed >> 12)) - 1.0
    }
}

/// Cumulative shares of Zipf's law with exponent 1: the n-th product is asked for as often as the
/// first, divided by n.
fn zipf(products: usize) -> Vec<f64> {
    let weight = |rank: usize| ratio(1, rank as u64);
    let total: f64 = (1..=products).map(weight).sum();
    let mut share = 0.0;
    let cumulative = (1..=products).map(|rank| {
        share += weight(rank) / total;
        share
    });
    let mut shares: Vec<f64> = cumulative.collect();
    shares.pop(); // the last one is 1, regardless of rounding
    shares
}

/// The products before it are the story's, so that its cold pages are cold.
pub(super) const FIRST_PRODUCT: usize = 100;
/// Traffic of 2,000 requests a second.
const BETWEEN_REQUESTS: Duration = Duration::from_micros(500);
const BETWEEN_CHANGES: Duration = Duration::from_millis(100);
/// Requests without an answer yet: each has a connection.
const WAITING_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_product_is_asked_for_half_as_often_as_the_first() {
        let shares = zipf(1000);
        assert_eq!(shares.len(), 999);
        let first = shares[0];
        assert!((shares[1] - first * 1.5).abs() < 1e-9, "{} {}", shares[0], shares[1]);
        assert!(shares.is_sorted() && shares[998] < 1.0, "{}", shares[998]);
    }

    #[test]
    fn one_product_alone_gets_all_the_traffic() {
        assert_eq!(zipf(1), [] as [f64; 0]);
    }
}
