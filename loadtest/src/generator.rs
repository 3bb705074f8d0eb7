//! The open loop: connections take turns from the schedule, whatever the answers do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Connection, RequestError};
use crate::histogram::Timing;
use crate::outcome::Outcome;
use crate::popularity::Popularity;
use crate::random::Random;
use crate::schedule::{Schedule, Turns};
use crate::tally::{Answer, Tally};
use crate::target::Target;

#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) target: Arc<Target>,
    pub(crate) urls: Vec<Uri>,
    pub(crate) popularity: Popularity,
    pub(crate) seed: u64,
    pub(crate) per_second: u32,
    pub(crate) duration: Duration,
    pub(crate) connections: usize,
    /// For one request; also how long the run waits for the last answers.
    pub(crate) patience: Duration,
}

impl Load {
    /// Returns the URL of the `index`-th request, the same in every run with this seed.
    fn url(&self, index: u64) -> Uri {
        let rank = self.popularity.pick(Random::nth(self.seed, index).unit());
        self.urls.get(rank).cloned().unwrap_or_default()
    }
}

/// Sends the whole load, counts into `tally`, and returns how long it took.
pub(crate) async fn generate(
    load: Arc<Load>,
    tally: Arc<Mutex<Tally>>,
) -> anyhow::Result<Duration> {
    let connections =
        open_all(&load).await.with_context(|| format!("cannot start: {}", load.target))?;
    let start = Instant::now();
    let schedule = Schedule::new(start, load.per_second, load.duration);
    let turns = Turns::start(schedule, connections.len());

    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(work(Arc::clone(&load), Arc::clone(&turns), connection, Arc::clone(&tally)));
    }
    let all_done = async { while workers.join_next().await.is_some() {} };
    // Whoever is not done by then is dropped with `workers`; the report counts the difference as
    // unanswered.
    let in_time = timeout_at(schedule.end() + load.patience, all_done).await;
    if in_time.is_err() {
        turns.close();
    }
    Ok(start.elapsed())
}

/// Opens all connections before the clock starts, so that no latency contains a handshake.
async fn open_all(load: &Load) -> Result<Vec<Connection>, RequestError> {
    let mut connections = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        connections.push(Connection::open(Arc::clone(&load.target)).await?);
    }
    Ok(connections)
}

/// Takes turns until none are left. A failed request counts, and the next one opens a connection
/// again.
async fn work(
    load: Arc<Load>,
    turns: Arc<Turns>,
    mut connection: Connection,
    tally: Arc<Mutex<Tally>>,
) {
    while let Some(turn) = turns.next().await {
        let sent = Instant::now();
        let result = ask(&mut connection, load.url(turn.index), load.patience).await;
        let timing = Timing { intended: turn.intended, sent, answered: Instant::now() };
        tally.lock().record(timing, result);
    }
}

pub(crate) async fn ask(
    connection: &mut Connection,
    url: Uri,
    patience: Duration,
) -> Result<Answer, RequestError> {
    let mut body_bytes = 0;
    let head = connection.get(url, patience, |data| body_bytes += data.len() as u64).await?;
    Ok(Answer { status: head.status, outcome: Outcome::of(&head.headers), body_bytes })
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers every request on every connection with one byte from its "cache".
    pub(crate) async fn cache_of_one_byte() -> Arc<Target> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let target = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    // Each request fits into one segment, and the client waits for the answer.
                    while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\nCache-Status: shellac; hit\r\nContent-Length: 1\r\n\r\nx";
                        stream.write_all(answer).await.expect("the client reads");
                    }
                });
            }
        });
        Arc::new(target.parse().expect("a URL"))
    }

    fn load(target: Arc<Target>) -> Load {
        Load {
            target,
            urls: vec![Uri::from_static("/a"), Uri::from_static("/b")],
            popularity: Popularity::zipf(2, 1.0),
            seed: 1,
            per_second: 10_000,
            duration: Duration::from_millis(50),
            connections: 4,
            patience: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn every_scheduled_request_is_sent_and_counted_once() {
        let tally = Arc::new(Mutex::new(Tally::new()));

        generate(Arc::new(load(cache_of_one_byte().await)), Arc::clone(&tally))
            .await
            .expect("the server runs");

        let tally = tally.lock();
        assert_eq!((tally.answered(), tally.failed(), tally.hit_count()), (500, 0, 500));
        assert_eq!(tally.body_bytes, 500);
        assert_eq!(tally.hits.summary().count, 500);
    }

    #[tokio::test]
    async fn the_same_seed_asks_for_the_same_urls() {
        let target: Arc<Target> = Arc::new("http://127.0.0.1:1".parse().expect("a URL"));
        let (first, second) = (load(Arc::clone(&target)), load(target));

        assert!((0..100).all(|index| first.url(index) == second.url(index)));
    }
}
