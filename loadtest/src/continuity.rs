//! `loadtest continuity`: clients that never pause, while a server is reloaded or replaced under
//! them. Every request that fails is counted and none is sent again.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, RequestError};
use crate::target::Target;

/// The options of `loadtest continuity`.
#[derive(Args, Debug)]
pub(crate) struct ContinuityArguments {
    /// The server and the path.
    #[arg(long, value_name = "URL")]
    target: Target,
    /// Clients that keep their connections.
    #[arg(long, default_value_t = 20)]
    keep_alive: u16,
    /// Clients that open a connection for each request.
    #[arg(long, default_value_t = 20)]
    fresh: u16,
    /// Each client's pause between two requests.
    #[arg(long, default_value = "5ms", value_parser = humantime::parse_duration)]
    pause: Duration,
    /// The duration of the run.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Or until this file exists.
    #[arg(long, value_name = "FILE")]
    until: Option<PathBuf>,
    /// After this long, a request has failed.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Sends requests until the time is up, and prints how many failed, by the kind of client.
pub(crate) async fn run(arguments: ContinuityArguments) -> anyhow::Result<()> {
    let arguments = Arc::new(arguments);
    let target = Arc::new(arguments.target.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for is_kept in [true, false] {
        let count = if is_kept { arguments.keep_alive } else { arguments.fresh };
        for _ in 0..count {
            let client =
                Client { target: Arc::clone(&target), arguments: Arc::clone(&arguments), is_kept };
            let stop = Arc::clone(&stop);
            clients.spawn(async move { (is_kept, client.ask_until(&stop).await) });
        }
    }
    let until = Instant::now() + arguments.duration;
    while Instant::now() < until && !arguments.until.as_ref().is_some_and(|file| file.exists()) {
        sleep(LOOK).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut kept, mut fresh) = (Tally::default(), Tally::default());
    while let Some(client) = clients.join_next().await {
        let (is_kept, tally) = client?;
        if is_kept { kept.add(tally) } else { fresh.add(tally) }
    }
    let mut out = io::stdout();
    writeln!(out, "keep-alive  {}", kept.line())?;
    writeln!(out, "fresh       {}", fresh.line())?;
    ensure!(kept.requests + fresh.requests > 0, "no request was sent");
    Ok(())
}

struct Client {
    target: Arc<Target>,
    arguments: Arc<ContinuityArguments>,
    is_kept: bool,
}

impl Client {
    async fn ask_until(self, stop: &AtomicBool) -> Tally {
        let mut tally = Tally::default();
        let mut kept = None;
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            tally.record(self.ask(&mut kept).await);
            tally.slowest = tally.slowest.max(began.elapsed());
            sleep(self.arguments.pause).await;
        }
        tally
    }

    async fn ask(&self, kept: &mut Option<Connection>) -> Result<u16, RequestError> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(Arc::clone(&self.target)).await?,
        };
        let path = self.target.path().clone();
        let head = connection.get(path, self.arguments.timeout, |_| {}).await?;
        *kept = Some(connection).filter(|_| self.is_kept);
        Ok(head.status.as_u16())
    }
}

#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    failures: BTreeMap<String, u64>,
    slowest: Duration,
}

impl Tally {
    fn record(&mut self, result: Result<u16, RequestError>) {
        self.requests += 1;
        let failure = match result {
            Ok(200) => return,
            Ok(status) => status.to_string(),
            Err(error) => error.kind().to_owned(),
        };
        *self.failures.entry(failure).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.slowest = self.slowest.max(other.slowest);
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
    }

    fn line(&self) -> String {
        let failed: u64 = self.failures.values().sum();
        let kinds: Vec<_> =
            self.failures.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        let kinds =
            if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        format!(
            "{} requests, {failed} failed{kinds}, slowest {:.0} ms",
            self.requests,
            self.slowest.as_secs_f64() * 1000.0
        )
    }
}

/// The interval at which the file is looked for.
const LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_200_has_failed_and_says_how() {
        let mut tally = Tally::default();
        tally.record(Ok(200));
        tally.record(Ok(503));
        let mut other = Tally::default();
        other.record(Err(RequestError::Timeout(Duration::from_secs(1))));
        other.slowest = Duration::from_millis(1500);
        tally.add(other);

        assert_eq!(tally.line(), "3 requests, 2 failed (503: 1, timeout: 1), slowest 1500 ms");
    }
}
