//! `loadtest burst`: N requests for one path on N connections at the same moment, as when a popular
//! page is cold.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::Uri;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Connection, RequestError};
use crate::outcome::Outcome;
use crate::target::Target;

/// The options of `loadtest burst`.
#[derive(Args, Debug)]
pub(crate) struct BurstArguments {
    /// The server, and the path unless --path is given.
    #[arg(long, value_name = "URL")]
    target: Target,
    /// How many requests, each on its own connection.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// The path that all of them ask for.
    #[arg(long)]
    path: Option<Uri>,
    /// After this long, a request has failed.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Opens the connections, sends everything at once, and prints who got what and when.
pub(crate) async fn run(arguments: BurstArguments) -> anyhow::Result<()> {
    let target = Arc::new(arguments.target);
    let path = arguments.path.unwrap_or_else(|| target.path().clone());
    let connections = open_all(&target, arguments.count)
        .await
        .with_context(|| format!("cannot start: {target}"))?;

    let start_line = Arc::new(Barrier::new(connections.len()));
    let mut requests = JoinSet::new();
    for connection in connections {
        requests.spawn(ask(connection, path.clone(), arguments.timeout, Arc::clone(&start_line)));
    }
    let mut result = Burst::default();
    while let Some(arrival) = requests.join_next().await {
        result.record(arrival.context("a request's task ended early")?);
    }
    write!(io::stdout(), "{result}")?;
    Ok(())
}

async fn open_all(target: &Arc<Target>, count: u16) -> Result<Vec<Connection>, RequestError> {
    let mut connections = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        connections.push(Connection::open(Arc::clone(target)).await?);
    }
    Ok(connections)
}

/// One answer of the burst, or its failure, and when it was complete.
#[derive(Debug)]
struct Arrival {
    after: Duration,
    answer: Result<Received, RequestError>,
}

#[derive(Debug)]
struct Received {
    status: u16,
    outcome: Outcome,
    body_hash: u64,
    body_bytes: usize,
}

async fn ask(
    mut connection: Connection,
    path: Uri,
    patience: Duration,
    start_line: Arc<Barrier>,
) -> Arrival {
    start_line.wait().await;
    let start = Instant::now();
    let (mut hasher, mut body_bytes) = (DefaultHasher::new(), 0);
    let on_data = |data: &bytes::Bytes| {
        hasher.write(data);
        body_bytes += data.len();
    };
    let head = connection.get(path, patience, on_data).await;
    let answer = head.map(|head| Received {
        status: head.status.as_u16(),
        outcome: Outcome::of(&head.headers),
        body_hash: hasher.finish(),
        body_bytes,
    });
    Arrival { after: start.elapsed(), answer }
}

/// What came back.
#[derive(Debug, Default)]
struct Burst {
    first: Option<Duration>,
    last: Duration,
    statuses: BTreeMap<u16, u32>,
    outcomes: BTreeMap<Outcome, u32>,
    /// Hash and length of each body.
    bodies: BTreeMap<(u64, usize), u32>,
    failures: BTreeMap<&'static str, u32>,
}

impl Burst {
    fn record(&mut self, arrival: Arrival) {
        self.first = Some(self.first.map_or(arrival.after, |first| first.min(arrival.after)));
        self.last = self.last.max(arrival.after);
        match arrival.answer {
            Ok(received) => {
                *self.statuses.entry(received.status).or_default() += 1;
                *self.outcomes.entry(received.outcome).or_default() += 1;
                *self.bodies.entry((received.body_hash, received.body_bytes)).or_default() += 1;
            }
            Err(error) => *self.failures.entry(error.kind()).or_default() += 1,
        }
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first.unwrap_or_default();
        writeln!(
            out,
            "completed   first after {:.3} s, last after {:.3} s",
            first.as_secs_f64(),
            self.last.as_secs_f64()
        )?;
        writeln!(out, "statuses    {}", Counts(&self.statuses))?;
        let outcomes =
            self.outcomes.iter().map(|(outcome, count)| (outcome.to_string(), *count)).collect();
        writeln!(out, "cache       {}", Counts(&outcomes))?;
        writeln!(out, "bodies      {} distinct", self.bodies.len())?;
        if !self.failures.is_empty() {
            writeln!(out, "failed      {}", Counts(&self.failures))?;
        }
        Ok(())
    }
}

/// `a: 1, b: 2`.
struct Counts<'a, K>(&'a BTreeMap<K, u32>);

impl<K: fmt::Display> fmt::Display for Counts<'_, K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (what, count)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(out, "{separator}{what}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::ForwardReason;

    fn arrival(millis: u64, outcome: Outcome, body_hash: u64) -> Arrival {
        let received = Received { status: 200, outcome, body_hash, body_bytes: 5 };
        Arrival { after: Duration::from_millis(millis), answer: Ok(received) }
    }

    #[test]
    fn the_result_counts_outcomes_and_distinct_bodies() {
        let mut burst = Burst::default();
        burst.record(arrival(2010, Outcome::Collapsed, 1));
        burst.record(arrival(2001, Outcome::Forwarded(ForwardReason::UriMiss), 1));
        burst.record(arrival(2020, Outcome::Collapsed, 2));
        let failure = Err(RequestError::Timeout(Duration::from_secs(3)));
        burst.record(Arrival { after: Duration::from_secs(3), answer: failure });

        let expected = "completed   first after 2.001 s, last after 3.000 s\n\
                        statuses    200: 3\n\
                        cache       collapsed: 2, fwd=uri-miss: 1\n\
                        bodies      2 distinct\n\
                        failed      timeout: 1\n";
        assert_eq!(burst.to_string(), expected);
    }
}
