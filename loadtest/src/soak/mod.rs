//! `loadtest soak`: millions of exchanges of every kind, well-behaved and not, and every byte of
//! every response checked.
//!
//! The origin is a part of it (`origin`): what it sends follows from host, path, variant and a
//! generation that no two of its responses share (`content`), so a byte that belongs to another
//! exchange is noticed wherever it turns up, and so is a response that ends as if it were whole.
//! The soak fails on a single one of those, and on a response from before a purge.

mod content;
mod wire;
mod verdict;
mod kind;
mod malformed;
mod origin;
mod tally;
mod client;
mod http2;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use self::client::Client;
use self::origin::Seen;
use self::tally::{Memory, Tally};
use crate::random::Random;

/// The options of `loadtest soak`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SoakArguments {
    /// The proxy; it has to let loopback purge.
    #[arg(long)]
    proxy: SocketAddr,
    /// Where the proxy expects its origin.
    #[arg(long)]
    origin: SocketAddr,
    /// How many exchanges, at least.
    #[arg(long, default_value_t = 1_000_000)]
    exchanges: u64,
    /// Clients of HTTP/1.1; there are a sixth as many of HTTP/2.
    #[arg(long, default_value_t = 36, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// The process whose memory is looked at.
    #[arg(long)]
    pid: Option<u32>,
    /// The choices that clients make.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs it, prints the table, and fails if any byte was wrong.
pub(crate) async fn run(arguments: SoakArguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(arguments.origin)
        .await
        .with_context(|| format!("cannot bind {}", arguments.origin))?;
    let start = Instant::now();
    let soaked = soak(&arguments, listener).await;
    let seconds = start.elapsed().as_secs_f64();
    let Soaked { tally, seen, memory } = soaked;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    write!(io::stdout(), "{tally}")?;
    writeln!(
        io::stdout(),
        "origin        {} requests, {} validated, {} malformed, {} with a wrong body, {} smuggled\n\
         memory        {memory}\n\
         took          {seconds:.1} s",
        count(&seen.requests),
        count(&seen.validated),
        count(&seen.malformed),
        count(&seen.wrong_bodies),
        count(&seen.smuggled),
    )?;
    let failures = tally.total().failures() + count(&seen.malformed) + count(&seen.wrong_bodies);
    if failures > 0 {
        bail!("{failures} exchanges or requests were not what they had to be");
    }
    Ok(())
}

/// What a soak leaves.
#[derive(Debug)]
struct Soaked {
    tally: Arc<Tally>,
    seen: Arc<Seen>,
    memory: Memory,
}

async fn soak(arguments: &SoakArguments, listener: TcpListener) -> Soaked {
    let (tally, seen) = (Arc::new(Tally::default()), Arc::new(Seen::default()));
    let left = Arc::new(AtomicU64::new(arguments.exchanges));
    let origin = tokio::spawn(origin::serve(listener, Arc::clone(&seen)));
    let mut clients = JoinSet::new();
    let newer = arguments.clients.div_ceil(6);
    for index in 0..arguments.clients + newer {
        let client = Client {
            proxy: arguments.proxy,
            tally: Arc::clone(&tally),
            seen: Arc::clone(&seen),
            random: Random::nth(arguments.seed, u64::from(index)),
            wire: None,
        };
        let left = Arc::clone(&left);
        if index < arguments.clients {
            clients.spawn(work(client, left));
        } else {
            clients.spawn(work_in_streams(client, left));
        }
    }
    let memory = watch(arguments, &tally, &mut clients).await;
    origin.abort();
    Soaked { tally, seen, memory }
}

async fn work(mut client: Client, left: Arc<AtomicU64>) {
    while take(&left, 1) {
        client.exchange().await;
    }
}

async fn work_in_streams(mut client: Client, left: Arc<AtomicU64>) {
    while take(&left, STREAMS as u64) {
        http2::exchange(&mut client, STREAMS).await;
    }
}

/// Takes some of what is left to do; false when nothing is.
fn take(left: &AtomicU64, count: u64) -> bool {
    let fewer = |left: u64| (left > 0).then(|| left.saturating_sub(count));
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
}

/// Streams of one connection of HTTP/2.
const STREAMS: usize = 32;

/// Waits for the clients, and says every now and then how it goes.
async fn watch(arguments: &SoakArguments, tally: &Tally, clients: &mut JoinSet<()>) -> Memory {
    let mut memory = Memory::default();
    let mut clock = interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            ended = clients.join_next() => if ended.is_none() {
                memory.sample(arguments.pid);
                return memory;
            },
            _ = clock.tick() => if let Some(kib) = memory.sample(arguments.pid) {
                let total = tally.total();
                let line = format!("{} exchanges, {} failures, {} MiB", total.exchanges, total.failures(), kib / 1024);
                // Without standard error there is nobody to tell.
                writeln!(io::stderr(), "{line}").unwrap_or_default();
            },
        }
    }
}
