//! `shellac-purger status`: every proxy's position in every partition, as the proxies and the
//! brokers report it.

use std::process::ExitCode;

use clap::Args;
use process::exit::Exit;
use process::terminal::{print, say};
use purge_protocol::log::{LogState, LogStatus};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;
use settings::Config;

use super::topic::{BrokerClient, Extent};
use super::{CommonArguments, group, proxies};
use crate::admin::LiveSummary;
use crate::kafka::cause::words;

/// Selects the configuration.
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    partitions: Vec<PartitionRow>,
    proxies: Vec<ProxyRow>,
    /// Problems other than those of proxies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PartitionRow {
    topic: String,
    partition: i32,
    oldest: i64,
    end: i64,
    /// The group's committed offset; absent: none yet.
    committed: Option<i64>,
    lag: Option<i64>,
}

#[derive(Debug, Serialize)]
struct ProxyRow {
    url: String,
    /// `current`, `catching-up`, `degraded`, `unattended` or `down`.
    state: String,
    /// Records that it has not confirmed, over all partitions.
    lag: Option<i64>,
    /// Everything that was in the log this many seconds ago has been applied.
    lag_seconds: Option<f64>,
    positions: Vec<(String, i32, i64)>,
    /// Its traffic, version and configuration; absent: it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Prints the status. Exit code 75: some proxy is not current, a topic is missing, or no purger is
/// running.
pub(super) fn status(arguments: &StatusArguments) -> ExitCode {
    let config = match arguments.common.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let report = match gather(&config) {
        Ok(report) => report,
        Err(error) => {
            say(format_args!("shellac-purger: {error}; `shellac-purger check` says more"));
            return Exit::Unavailable.into();
        }
    };
    let text = if arguments.json {
        serde_json::to_string(&report).unwrap_or_default() + "\n"
    } else {
        table(&report)
    };
    let is_current =
        report.proxies.iter().all(|proxy| proxy.state == "current") && report.problems.is_empty();
    match print(&text) {
        Exit::Done if !is_current => Exit::Partial.into(),
        exit => exit.into(),
    }
}

fn gather(config: &Config) -> Result<Report, Box<dyn std::error::Error>> {
    let broker = BrokerClient::connect(config)?;
    let mut problems = Vec::new();
    let mut extents = Vec::new();
    for topic in &config.purger.topics {
        match broker.partitions(topic) {
            Ok(found) if found.is_empty() => problems.push(format!("topic {topic} does not exist")),
            Ok(found) => extents.extend(found),
            Err(error) => problems.push(format!("topic {topic}: {}", words(&error))),
        }
    }
    let (committed, problem) = committed(&broker, config, &extents);
    problems.extend(problem);
    problems.extend(group::missing_members(&broker, config));
    let partitions = extents
        .iter()
        .zip(committed)
        .map(|(extent, committed)| PartitionRow {
            topic: extent.log.topic.clone(),
            partition: extent.log.partition,
            oldest: extent.low,
            end: extent.high,
            committed,
            lag: committed.map(|committed| broker.lag(extent, committed)),
        })
        .collect();
    let asked = super::block_on(async {
        let targets = proxies::find(config).await;
        let log_statuses = proxies::log_statuses(&targets).await;
        let lives = proxies::lives(&targets).await;
        let urls = targets.iter().map(|target| target.url.clone());
        urls.zip(log_statuses).zip(lives).collect::<Vec<_>>()
    })?;
    if asked.is_empty() {
        problems.push("there is no proxy: set purger.targets, or give --target URL".to_owned());
    }
    let row =
        |((url, log_status), live)| ProxyRow { live, ..row(url, log_status, &extents, &broker) };
    Ok(Report { partitions, proxies: asked.into_iter().map(row).collect(), problems })
}

/// Returns the group's committed offsets in the order of the partitions, and a problem.
fn committed(
    broker: &BrokerClient,
    config: &Config,
    extents: &[Extent],
) -> (Vec<Option<i64>>, Option<String>) {
    let mut list = TopicPartitionList::new();
    for extent in extents {
        list.add_partition(&extent.log.topic, extent.log.partition);
    }
    let found = if extents.is_empty() { Ok(list) } else { group::committed(broker, config, &list) };
    let of = |extent: &Extent| {
        let found = found.as_ref().ok()?;
        let found = found.find_partition(&extent.log.topic, extent.log.partition)?;
        match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    };
    let committed = extents.iter().map(of).collect();
    (committed, found.as_ref().err().map(|why| format!("group {}: {why}", config.purger.group)))
}

fn row(
    url: String,
    log_status: Result<LogStatus, String>,
    extents: &[Extent],
    broker: &BrokerClient,
) -> ProxyRow {
    let log_status = match log_status {
        Ok(log_status) => log_status,
        Err(error) => {
            let state = "down".to_owned();
            return ProxyRow {
                url,
                state,
                lag: None,
                lag_seconds: None,
                positions: Vec::new(),
                live: None,
                error: Some(error),
            };
        }
    };
    let lag = extents.iter().map(|extent| {
        let next = proxies::position(&log_status, &extent.log)?.next;
        Some(broker.lag(extent, next))
    });
    let clean = log_status.positions.iter().map(|position| position.clean_ms).max().flatten();
    ProxyRow {
        url,
        state: match log_status.state {
            LogState::Unattended => "unattended",
            LogState::CatchingUp => "catching-up",
            LogState::Current => "current",
            LogState::Degraded => "degraded",
        }
        .to_owned(),
        lag: lag.sum(),
        lag_seconds: clean.map(|millis| std::time::Duration::from_millis(millis).as_secs_f64()),
        positions: log_status
            .positions
            .into_iter()
            .map(|position| (position.log.topic, position.log.partition, position.next))
            .collect(),
        live: None,
        error: None,
    }
}

fn table(report: &Report) -> String {
    let number =
        |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let mut lines = vec![format!(
        "{:<32} {:>12} {:>12} {:>12} {:>8}\n",
        "PARTITION", "OLDEST", "COMMITTED", "END", "LAG"
    )];
    for row in &report.partitions {
        let name = format!("{}/{}", row.topic, row.partition);
        let (committed, lag) = (number(row.committed), number(row.lag));
        let (oldest, end) = (row.oldest, row.end);
        lines.push(format!("{name:<32} {oldest:>12} {committed:>12} {end:>12} {lag:>8}\n"));
    }
    lines.push(format!(
        "\n{:<36} {:<12} {:>8} {:>10} {:>6} {:>9}  {:<9} CONFIG\n",
        "PROXY", "STATE", "LAG", "LAG TIME", "HIT %", "REQ/S", "VERSION"
    ));
    for row in &report.proxies {
        let seconds = row.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s"));
        let (url, state, lag) = (&row.url, &row.state, number(row.lag));
        let error = row.error.as_deref().unwrap_or_default();
        let live = row.live.as_ref();
        let rate =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
        let ratio = rate(live.and_then(|live| live.hit_ratio).map(|ratio| ratio * 100.0));
        let requests = rate(live.and_then(|live| live.requests_per_second));
        let version = live.map_or("-", |live| &live.version);
        let config = live.map_or("-", |live| live.config_hash.get(..8).unwrap_or("-"));
        let shown = format!(
            "{url:<36} {state:<12} {lag:>8} {seconds:>10} {ratio:>6} {requests:>9}  {version:<9} {config:<8}  {error}"
        );
        lines.push(shown.trim_end().to_owned() + "\n");
    }
    for problem in &report.problems {
        lines.push(format!("\n✗ {problem}\n"));
    }
    lines.concat()
}
