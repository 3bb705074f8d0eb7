//! `loadtest sweep`: each URL once, in random order, over a few connections: fills a cache, and
//! times what is in it.
//!
//! A closed loop: each connection sends when its last answer is complete, so that a latency is the
//! server's own and not that of a queue before it. For a server's latencies under load that does
//! not wait, see `loadtest run`.

use std::iter::{Cycle, Take};
use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

use anyhow::{Context as _, ensure};
use clap::Args;
use http::Uri;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::connection::{Connection, RequestError};
use crate::generator::ask;
use crate::histogram::Timing;
use crate::random::Random;
use crate::report::{Circumstances, Report};
use crate::tally::{Answer, Tally};
use crate::target::Target;
use crate::urls;

/// The options of `loadtest sweep`.
#[derive(Args, Debug)]
pub(crate) struct SweepArguments {
    /// The server to ask.
    #[arg(long, value_name = "URL")]
    target: Target,
    /// A list of paths or URLs, one a line; a file or an http:// URL.
    #[arg(long, value_name = "FILE|URL")]
    urls: String,
    /// How many requests [default: one for each URL]; more go round again in the same order.
    #[arg(long)]
    requests: Option<usize>,
    /// Keep-alive connections; one request at a time on each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// No connection sends more often than this.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// After this long, a request has failed.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Equal seeds ask in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fail unless every answer is a hit of so many bytes.
    #[arg(long, value_name = "BYTES")]
    hits_of: Option<u64>,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks for everything and prints the report.
pub(crate) async fn run(arguments: SweepArguments) -> anyhow::Result<()> {
    let urls = shuffled(urls::listed(&arguments.urls).await?, arguments.seed);
    let target = arguments.target.to_string();
    let requests = arguments.requests.unwrap_or(urls.len());
    let sweep = Sweep {
        queue: Mutex::new(urls.into_iter().cycle().take(requests)),
        every: arguments.every,
        patience: arguments.timeout,
        hits_of: arguments.hits_of,
        counted: Mutex::new(Counted { tally: Tally::new(), unexpected: 0 }),
    };

    let start = Instant::now();
    let counted = sweep
        .all(Arc::new(arguments.target), arguments.connections)
        .await
        .with_context(|| format!("cannot sweep {target}"))?;
    let circumstances = Circumstances {
        target,
        scheduled: requests as u64,
        elapsed: start.elapsed(),
        origin_requests: None,
        purges: None,
    };
    Report::new(&counted.tally, circumstances).print(arguments.json)?;
    ensure!(counted.unexpected == 0, "{} answers are not what --hits-of says", counted.unexpected);
    Ok(())
}

fn shuffled(mut urls: Vec<Uri>, seed: u64) -> Vec<Uri> {
    Random::seeded(seed).shuffle(&mut urls);
    urls
}

/// What all connections share.
#[derive(Debug)]
struct Sweep {
    queue: Mutex<Take<Cycle<IntoIter<Uri>>>>,
    every: Duration,
    patience: Duration,
    hits_of: Option<u64>,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    tally: Tally,
    /// Answers, failures included, that are not what `hits_of` demands.
    unexpected: u64,
}

impl Sweep {
    async fn all(self, target: Arc<Target>, connections: u16) -> anyhow::Result<Counted> {
        let shared = Arc::new(self);
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let connection = Connection::open(Arc::clone(&target)).await?;
            workers.spawn(Arc::clone(&shared).work(connection));
        }
        while let Some(ended) = workers.join_next().await {
            ended.context("a connection's task ended early")?;
        }
        let sweep = Arc::into_inner(shared).context("a connection's task is still there")?;
        Ok(sweep.counted.into_inner())
    }

    /// Takes URLs until none are left.
    async fn work(self: Arc<Self>, mut connection: Connection) {
        while let Some(url) = self.next() {
            let sent = Instant::now();
            let result = ask(&mut connection, url, self.patience).await;
            self.record(Timing { intended: sent, sent, answered: Instant::now() }, result);
            sleep_until(sent + self.every).await;
        }
    }

    fn next(&self) -> Option<Uri> {
        self.queue.lock().next()
    }

    fn record(&self, timing: Timing, result: Result<Answer, RequestError>) {
        let is_expected = self.hits_of.is_none_or(|bytes| is_hit_of(bytes, result.as_ref().ok()));
        let mut counted = self.counted.lock();
        counted.unexpected += u64::from(!is_expected);
        counted.tally.record(timing, result);
    }
}

fn is_hit_of(bytes: u64, answer: Option<&Answer>) -> bool {
    answer.is_some_and(|answer| {
        answer.status.is_success() && answer.outcome.is_hit() && answer.body_bytes == bytes
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::generator::tests::cache_of_one_byte;
    use crate::outcome::{ForwardReason, Outcome};

    fn sweep(urls: usize, requests: usize, hits_of: u64) -> Sweep {
        let urls = urls::numbered(urls).expect("paths");
        Sweep {
            queue: Mutex::new(urls.into_iter().cycle().take(requests)),
            every: Duration::ZERO,
            patience: Duration::from_secs(5),
            hits_of: Some(hits_of),
            counted: Mutex::new(Counted { tally: Tally::new(), unexpected: 0 }),
        }
    }

    #[tokio::test]
    async fn all_connections_together_send_as_many_requests_as_asked_for() {
        let target = cache_of_one_byte().await;

        let counted = sweep(30, 100, 1).all(target, 4).await.expect("the server runs");

        assert_eq!((counted.tally.hit_count(), counted.tally.body_bytes), (100, 100));
        assert_eq!(counted.unexpected, 0);
    }

    #[tokio::test]
    async fn hits_of_another_size_are_unexpected() {
        let target = cache_of_one_byte().await;

        let counted = sweep(3, 3, 2).all(target, 1).await.expect("the server runs");

        assert_eq!((counted.tally.hit_count(), counted.unexpected), (3, 3));
    }

    #[test]
    fn only_whole_hits_are_expected() {
        let answer = |status, outcome, body_bytes| Answer { status, outcome, body_bytes };
        let miss = Outcome::Forwarded(ForwardReason::Miss);

        assert!(is_hit_of(9, Some(&answer(StatusCode::OK, Outcome::Hit, 9))));
        for other in [
            None,
            Some(&answer(StatusCode::OK, Outcome::Hit, 8)),
            Some(&answer(StatusCode::OK, miss, 9)),
            Some(&answer(StatusCode::NOT_FOUND, Outcome::Hit, 9)),
        ] {
            assert!(!is_hit_of(9, other), "{other:?}");
        }
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        let urls = || urls::numbered(100).expect("paths");

        assert_eq!(shuffled(urls(), 1), shuffled(urls(), 1));
        assert_ne!(shuffled(urls(), 1), shuffled(urls(), 2));
        assert_ne!(shuffled(urls(), 1), urls());
    }
}
