//! `shellac-purger send`: writes one purge event, and waits until every proxy has confirmed it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use purge_protocol::log::{LogId, Rewarm};
use purge_protocol::{PurgeMode, PurgeRequest, RequestError};
use serde::Serialize;
use shellac::cli::check::say;
use shellac::cli::exit::Exit;
use shellac::clock::Clock;
use shellac::config::Config;
use tokio::time::{Instant, sleep};

use super::{Common, print, proxies};
use crate::delivery::target::Target;
use crate::event::{Priority, PurgeEvent, cloud_event};
use crate::kafka::context::Tokens;
use crate::kafka::producer::{Producer, Written};

/// What to purge.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group(clap::ArgGroup::new("selectors").required(true).multiple(true)
    .args(["tag", "url", "host", "prefix", "site", "all"])))]
pub(super) struct SendArguments {
    #[command(flatten)]
    common: Common,
    /// Responses that carry this tag
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// All variants of a URL
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// All URLs of a host
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// All URLs that begin so
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// A whole site; also the event's key
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Everything; the event's source has to be in `purger.may_purge_all`
    #[arg(long)]
    all: bool,
    /// Make stale instead of deleting
    #[arg(long)]
    soft: bool,
    /// Send it without waiting for others
    #[arg(long)]
    urgent: bool,
    /// Purge again after this time, for renderers that read from lagging replicas; may be repeated
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    settle: Vec<Duration>,
    /// Responses that report a lower revision are not kept
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Fetch this URL again afterwards; may be repeated
    #[arg(long, value_name = "URL")]
    rewarm: Vec<String>,
    /// Why, for logs
    #[arg(long, value_name = "TEXT", default_value = "command line")]
    reason: String,
    /// Who sends it
    #[arg(long, value_name = "SOURCE", default_value = "/shellac-purger/send")]
    source: String,
    /// Wait until every proxy has confirmed it, and print how long that took
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30s")]
    timeout: Duration,
    /// Print the event, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result, as JSON.
#[derive(Debug, Serialize)]
struct Sent {
    id: String,
    topic: String,
    partition: i32,
    offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<Vec<Confirmation>>,
}

/// When a proxy confirmed.
#[derive(Debug, Serialize)]
struct Confirmation {
    proxy: String,
    /// Milliseconds from the moment it was sent; absent: not in time.
    after_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Sends.
pub(super) fn send(arguments: &SendArguments) -> ExitCode {
    let config = match arguments.common.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    match super::block_on(send_and_wait(arguments, &config)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(format_args!("shellac-purger: {error}"));
            Exit::Io.into()
        }
    }
}

async fn send_and_wait(arguments: &SendArguments, config: &Config) -> Exit {
    let clock = Clock::system();
    let event = event(arguments, &clock);
    let selectors = event.request.selectors(usize::MAX);
    if let Err(error) = selectors.as_ref()
        && !(*error == RequestError::Empty && arguments.site.is_some())
    {
        say(format_args!("shellac-purger: {error}"));
        return Exit::Usage;
    }
    let json = cloud_event(&event);
    if arguments.dry_run {
        return print(&format!("{}\n", String::from_utf8_lossy(&json)));
    }
    let Some(topic) = config.purger.topics.first() else { return Exit::Config };
    let targets = if arguments.wait { proxies::find(config).await } else { Vec::new() };
    let tokens = Tokens { file: config.kafka.token_file.clone(), clock };
    let begun = Instant::now();
    let written = match Producer::new(&config.kafka, tokens) {
        Ok(producer) => {
            producer.write(topic, arguments.site.as_deref().map(str::as_bytes), &json).await
        }
        Err(error) => Err(error),
    };
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            say(format_args!(
                "shellac-purger: cannot write to {topic}: {error}; `shellac-purger check` says more"
            ));
            return Exit::Unavailable;
        }
    };
    let confirmed = if arguments.wait {
        Some(confirmations(&targets, topic, written, begun, arguments.timeout).await)
    } else {
        None
    };
    report(arguments, &event.id, topic, written, confirmed)
}

fn event(arguments: &SendArguments, clock: &Clock) -> PurgeEvent {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.now().as_millis());
    let id = uuid::Uuid::now_v7().to_string();
    let rewarm = (!arguments.rewarm.is_empty()).then(|| Rewarm {
        urls: arguments.rewarm.clone(),
        max: u32::try_from(arguments.rewarm.len()).unwrap_or(u32::MAX),
    });
    let mut settle = arguments.settle.clone();
    settle.sort_unstable();
    PurgeEvent {
        source: Some(arguments.source.clone()),
        time: Some(now),
        request: PurgeRequest {
            tags: arguments.tag.clone(),
            urls: arguments.url.clone(),
            hosts: arguments.host.clone(),
            prefixes: arguments.prefix.clone(),
            all: arguments.all,
            mode: Some(if arguments.soft { PurgeMode::Soft } else { PurgeMode::Hard }),
            reason: Some(arguments.reason.clone()),
            id: Some(id.clone()),
            event_time: None,
        },
        priority: if arguments.urgent { Priority::Urgent } else { Priority::Normal },
        settle,
        revision: arguments.revision,
        site: arguments.site.clone(),
        rewarm,
        id,
    }
}

/// Asks the proxies again and again where they stand, until all are past the event.
async fn confirmations(
    targets: &[Arc<Target>],
    topic: &str,
    written: Written,
    begun: Instant,
    timeout: Duration,
) -> Vec<Confirmation> {
    let log =
        LogId { cluster: String::new(), topic: topic.to_owned(), partition: written.partition };
    let mut confirmed: Vec<Confirmation> = targets
        .iter()
        .map(|target| Confirmation { proxy: target.url.clone(), after_ms: None, error: None })
        .collect();
    let mut pause = POLL_FIRST;
    loop {
        let standings = proxies::standings(targets).await;
        for (confirmation, standing) in confirmed.iter_mut().zip(standings) {
            match standing {
                Ok(standing) => {
                    confirmation.error = None;
                    let is_past = proxies::position(&standing, &log)
                        .is_some_and(|next| next > written.offset);
                    if is_past && confirmation.after_ms.is_none() {
                        confirmation.after_ms = Some(begun.elapsed().as_secs_f64() * 1000.0);
                    }
                }
                Err(error) => confirmation.error = Some(error),
            }
        }
        let is_done = confirmed.iter().all(|confirmation| confirmation.after_ms.is_some());
        if is_done || begun.elapsed() >= timeout {
            return confirmed;
        }
        sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

fn report(
    arguments: &SendArguments,
    id: &str,
    topic: &str,
    written: Written,
    confirmed: Option<Vec<Confirmation>>,
) -> Exit {
    let Written { partition, offset } = written;
    let missing = confirmed.iter().flatten().filter(|one| one.after_ms.is_none()).count();
    let nobody = confirmed.as_ref().is_some_and(Vec::is_empty);
    let text = if arguments.json {
        let sent =
            Sent { id: id.to_owned(), topic: topic.to_owned(), partition, offset, confirmed };
        serde_json::to_string(&sent).unwrap_or_default() + "\n"
    } else {
        let line = |one: &Confirmation| match (one.after_ms, &one.error) {
            (Some(after), _) => format!("{after:>8.1} ms  {}\n", one.proxy),
            (None, Some(error)) => format!("         -  {}: {error}\n", one.proxy),
            (None, None) => format!("         -  {} has not confirmed\n", one.proxy),
        };
        let lines: Vec<String> = confirmed.iter().flatten().map(line).collect();
        format!("sent {id} as {topic}/{partition}@{offset}\n{}", lines.concat())
    };
    if nobody {
        say(format_args!(
            "shellac-purger: there is no proxy to wait for: set purger.targets, or give --target"
        ));
    }
    match (print(&text), missing > 0 || nobody) {
        (Exit::Done, true) => Exit::Partial,
        (exit, _) => exit,
    }
}

const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_MAX: Duration = Duration::from_millis(100);
