//! `loadtest run`: from the command line to the report.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use http::Uri;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::generator::{Load, generate};
use crate::popularity::Popularity;
use crate::progress;
use crate::purges::{PurgeCounts, Purges, TagTemplate, purge_steadily};
use crate::report::{Circumstances, Report};
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::target::Target;
use crate::urls;

/// The options of `loadtest run`.
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    /// The server to load.
    #[arg(long, value_name = "URL")]
    target: Target,
    /// A list of paths or URLs, one a line, the most popular first; a file or an http:// URL
    /// [default: /p/0, /p/1, ...].
    #[arg(long, value_name = "FILE|URL")]
    urls: Option<String>,
    /// How many numbered pages there are without --urls.
    #[arg(long, default_value_t = 10_000, conflicts_with = "urls")]
    pages: usize,
    /// The exponent of the URLs' popularity; 0: all alike.
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// Requests a second, sent whether or not earlier ones are answered.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rps: u32,
    /// How long to send.
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Keep-alive connections; when all are busy, requests wait, and that wait is part of their
    /// latency.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// After this long, a request has failed.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Equal seeds ask for the same URLs in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the origin's own count of requests is: JSON with a number in "requests".
    #[arg(long, value_name = "URL")]
    origin_stats: Option<Target>,
    #[command(flatten)]
    purging: PurgeArguments,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct PurgeArguments {
    /// Purge one tag this often.
    #[arg(id = "purge_every", long = "purge-every", requires = "purge_url", value_parser = humantime::parse_duration)]
    every: Option<Duration>,
    /// Where PURGE requests go: an admin listener.
    #[arg(id = "purge_url", long = "purge-url", value_name = "URL", requires = "purge_every")]
    target: Option<Target>,
    /// The tag to purge; {n} becomes a URL's place in the list, picked like the URLs of requests.
    #[arg(
        id = "purge_tag",
        long = "purge-tag-template",
        value_name = "TEMPLATE",
        default_value = "product-{n}"
    )]
    template: TagTemplate,
}

/// Runs the load and prints the report.
pub(crate) async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let load = Arc::new(load(&arguments).await?);
    let purges = purges(&arguments, load.urls.len());
    let tally = Arc::new(Mutex::new(Tally::new()));
    let purge_counts = Mutex::new(PurgeCounts::default());

    let before = origin_requests(&arguments).await?;
    let elapsed = tokio::select! {
        elapsed = generate(Arc::clone(&load), Arc::clone(&tally)) => elapsed?,
        never = progress::show(&tally, load.duration) => match never {},
        never = purge_if_asked(purges.as_ref(), &purge_counts) => match never {},
    };
    let after = origin_requests(&arguments).await?;
    progress::clear();

    let circumstances = Circumstances {
        target: load.target.to_string(),
        scheduled: Schedule::new(Instant::now(), load.per_second, load.duration).total(),
        elapsed,
        origin_requests: after.zip(before).map(|(after, before)| after.saturating_sub(before)),
        purges: purges.is_some().then(|| *purge_counts.lock()),
    };
    Report::new(&tally.lock(), circumstances).print(arguments.json)
}

async fn load(arguments: &RunArguments) -> anyhow::Result<Load> {
    let urls = urls(arguments).await?;
    ensure!(!urls.is_empty(), "there is no URL to ask for");
    Ok(Load {
        target: Arc::new(arguments.target.clone()),
        popularity: Popularity::zipf(urls.len(), arguments.zipf),
        urls,
        seed: arguments.seed,
        per_second: arguments.rps,
        duration: arguments.duration,
        connections: usize::from(arguments.connections),
        patience: arguments.timeout,
    })
}

async fn urls(arguments: &RunArguments) -> anyhow::Result<Vec<Uri>> {
    match &arguments.urls {
        Some(source) => urls::listed(source).await,
        None => urls::numbered(arguments.pages),
    }
}

fn purges(arguments: &RunArguments, pages: usize) -> Option<Purges> {
    let options = &arguments.purging;
    Some(Purges {
        every: options.every?,
        target: Arc::new(options.target.clone()?),
        template: options.template.clone(),
        popularity: Popularity::zipf(pages, arguments.zipf),
        seed: arguments.seed,
    })
}

async fn purge_if_asked(
    purges: Option<&Purges>,
    counts: &Mutex<PurgeCounts>,
) -> std::convert::Infallible {
    match purges {
        Some(purges) => purge_steadily(purges, counts).await,
        None => std::future::pending().await,
    }
}

/// Asks the origin how many requests it has had so far.
async fn origin_requests(arguments: &RunArguments) -> anyhow::Result<Option<u64>> {
    let Some(target) = &arguments.origin_stats else { return Ok(None) };
    let body =
        urls::fetch(target.clone()).await.with_context(|| format!("cannot fetch {target}"))?;
    let stats: serde_json::Value =
        serde_json::from_slice(&body).with_context(|| format!("{target} is not JSON"))?;
    let requests = stats.get("requests").and_then(serde_json::Value::as_u64);
    Ok(Some(requests.with_context(|| format!("{target} has no number in \"requests\""))?))
}
