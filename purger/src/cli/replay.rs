//! `shellac-purger replay`: repeats the purges of a range of the topics, to repair the caches after
//! an incident. Positions do not move.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use http::Method;
use process::clock::Clock;
use process::exit::Exit;
use process::terminal::{print, say};
use purge_protocol::log::LoggedPurge;
use rdkafka::Message as _;
use settings::Config;

use super::topic::{BrokerClient, ReadFrom};
use super::{CommonArguments, proxies, tail};
use crate::app::event_rules;
use crate::delivery::fold::Fold;
use crate::event::{EventReader, Reading};
use crate::intake::logged;
use crate::kafka::cursor::CursorItem;

/// The range to replay, and the proxies.
#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// The beginning: `earliest`, `-30m`, or an offset
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    from: ReadFrom,
    /// Only purges that name this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only to this proxy, instead of all; may be repeated
    #[arg(long, value_name = "URL")]
    to: Vec<String>,
    /// Print the purges, and purge nothing
    #[arg(long)]
    dry_run: bool,
}

/// Replays. Exit code 75: some proxy did not confirm.
pub(super) fn replay(mut arguments: ReplayArguments) -> ExitCode {
    if !arguments.to.is_empty() {
        arguments.common.target = std::mem::take(&mut arguments.to);
    }
    let config = match arguments.common.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    match gather(&arguments, &config) {
        Ok(purges) => match super::block_on(deliver(&arguments, &config, &purges)) {
            Ok(exit) => exit.into(),
            Err(error) => {
                say(format_args!("shellac-purger: {error}"));
                Exit::Io.into()
            }
        },
        Err(error) => {
            say(format_args!("shellac-purger: {error}; `shellac-purger check` says more"));
            Exit::Unavailable.into()
        }
    }
}

/// Reads the range of every partition, and folds it.
fn gather(
    arguments: &ReplayArguments,
    config: &Config,
) -> Result<Vec<LoggedPurge>, Box<dyn std::error::Error>> {
    let reader = EventReader::new(event_rules(&config.purger)?);
    let broker = BrokerClient::connect(config)?;
    let clock = Clock::system();
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.wall().as_millis());
    let since = match arguments.from {
        ReadFrom::Ago(ago) => now.checked_sub(ago),
        ReadFrom::Earliest | ReadFrom::Latest | ReadFrom::Offset(_) => None,
    };
    let mut fold = Fold::default();
    for extent in broker.all(&config.purger.topics)? {
        let begin = broker.offset(&extent, arguments.from, clock.wall().as_millis());
        if begin >= extent.high {
            continue;
        }
        let mut cursor = broker.cursors.open(&extent.log, begin)?;
        while let CursorItem::Record(record) = extent.next(&mut cursor)? {
            let event = match tail::read(&reader, &record, now) {
                Reading::Purge(event) => Some(event),
                Reading::Unreadable(unreadable) => unreadable.guess,
                Reading::Ignored(_) => None,
            };
            // A broker that knows no times begins too early; the event's own time decides.
            let is_due = |time: Option<SystemTime>| {
                time.is_none_or(|time| since.is_none_or(|since| time >= since))
            };
            let is_meant = |tags: &[String]| {
                arguments.tag.is_empty() || tags.iter().any(|tag| arguments.tag.contains(tag))
            };
            if let Some(event) =
                event.filter(|event| is_due(event.time) && is_meant(&event.request.tags))
            {
                fold.extend(logged(&event, record.offset()));
            }
            if record.offset() + 1 >= extent.high {
                break;
            }
        }
    }
    Ok(fold.into_purges(config.purge.max_selectors))
}

async fn deliver(arguments: &ReplayArguments, config: &Config, purges: &[LoggedPurge]) -> Exit {
    if arguments.dry_run {
        let line =
            |purge: &LoggedPurge| serde_json::to_string(&purge.request).unwrap_or_default() + "\n";
        return print(&purges.iter().map(line).collect::<String>());
    }
    let targets = proxies::find(config).await;
    if targets.is_empty() {
        say(format_args!(
            "shellac-purger: there is no proxy to purge: set purger.targets, or give --to"
        ));
        return Exit::Partial;
    }
    let mut failed = false;
    let mut lines = Vec::new();
    for target in &targets {
        let mut objects = 0;
        let mut error = None;
        for purge in purges {
            let json = serde_json::to_vec(&purge.request).unwrap_or_default();
            match target.ask(Method::POST, "/api/v1/purge", json.into()).await {
                Ok((status, body)) if status.is_success() => {
                    let report = serde_json::from_slice::<purge_protocol::PurgeReport>(&body);
                    objects += report.map_or(0, |report| report.matched.objects);
                }
                Ok((status, body)) => {
                    error = Some(format!("{status}: {}", String::from_utf8_lossy(&body).trim()));
                }
                Err(why) => error = Some(why),
            }
        }
        failed |= error.is_some();
        lines.push(match error {
            None => format!("{:>10}  stored responses purged at {}\n", objects, target.url),
            Some(error) => format!("{:>10}  {}: {error}\n", "-", target.url),
        });
    }
    match (print(&lines.concat()), failed) {
        (Exit::Done, true) => Exit::Partial,
        (exit, _) => exit,
    }
}
