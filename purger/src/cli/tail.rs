//! `shellac-purger tail`: shows the events of the purge topics as they come, as the purger reads
//! them.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use clap::Args;
use process::clock::Clock;
use process::exit::Exit;
use process::terminal::{print, say};
use purge_protocol::PurgeMode;
use purge_protocol::log::LogId;
use rdkafka::Message as _;
use rdkafka::message::OwnedMessage;
use serde_json::json;
use settings::Config;

use super::CommonArguments;
use super::topic::{BrokerClient, ReadFrom};
use crate::app::event_rules;
use crate::event::{EventReader, PurgeEvent, Reading, Record};
use crate::kafka::cursor::{CursorError, CursorItem};
use crate::kafka::following_cursor::FollowingCursor;

/// The range and the form of the output.
#[derive(Debug, Args)]
pub(super) struct TailArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// The beginning: `earliest`, `latest`, `-5m`, or an offset
    #[arg(long, value_name = "PLACE", default_value = "latest", allow_hyphen_values = true)]
    from: ReadFrom,
    /// Show only unreadable records
    #[arg(long)]
    invalid: bool,
    /// End when everything that is in the topics now was shown
    #[arg(long)]
    once: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Shows events until Ctrl-C.
pub(super) fn tail(arguments: &TailArguments) -> ExitCode {
    let config = match arguments.common.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    match follow(arguments, &config) {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(format_args!("shellac-purger: {error}; `shellac-purger check` says more"));
            Exit::Unavailable.into()
        }
    }
}

fn follow(arguments: &TailArguments, config: &Config) -> Result<Exit, Box<dyn std::error::Error>> {
    let reader = EventReader::new(event_rules(&config.purger)?);
    let broker = BrokerClient::connect(config)?;
    let clock = Clock::system();
    let extents = broker.all(&config.purger.topics)?;
    if extents.is_empty() {
        say(format_args!("shellac-purger: there is no topic {}", config.purger.topics.join(", ")));
        return Ok(Exit::Unavailable);
    }
    let failed = Arc::new(AtomicBool::new(false));
    let (sender, records) = mpsc::sync_channel(RECORDS_AHEAD);
    for extent in extents {
        let begin = broker.offset(&extent, arguments.from, clock.wall().as_millis());
        let cursors = Arc::clone(&broker.cursors);
        let mut cursor = FollowingCursor::open(cursors, extent.log.clone(), begin)?;
        let (sender, is_once) = (sender.clone(), arguments.once);
        let has_failed = Arc::clone(&failed);
        drop(std::thread::Builder::new().spawn(move || {
            if is_once && begin >= extent.high {
                return;
            }
            loop {
                match cursor.next(PATIENCE) {
                    Ok(CursorItem::Record(record)) => {
                        let is_last = is_once && record.offset() + 1 >= extent.high;
                        if sender.send(record).is_err() || is_last {
                            return;
                        }
                    }
                    Ok(CursorItem::End) if is_once => return,
                    Ok(CursorItem::End) | Err(CursorError::Silence(_)) => {}
                    Err(error) => {
                        let LogId { topic, partition, .. } = &extent.log;
                        say(format_args!("shellac-purger: {topic}/{partition}: {error}"));
                        let goes_on = !is_once && cursor.recover(&error);
                        has_failed.fetch_or(!goes_on, Ordering::Relaxed);
                        if !goes_on {
                            return;
                        }
                    }
                }
            }
        })?);
    }
    drop((sender, broker));
    for record in records {
        let line = show(&reader, &record, &clock, arguments);
        if let Some(line) = line
            && print(&line) != Exit::Done
        {
            return Ok(Exit::Io);
        }
    }
    Ok(if failed.load(Ordering::Relaxed) { Exit::Unavailable } else { Exit::Done })
}

fn show(
    reader: &EventReader,
    record: &OwnedMessage,
    clock: &Clock,
    arguments: &TailArguments,
) -> Option<String> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.wall().as_millis());
    let reading = read(reader, record, now);
    if arguments.invalid && !matches!(reading, Reading::Unreadable(_)) {
        return None;
    }
    let place = format!("{}/{}@{}", record.topic(), record.partition(), record.offset());
    let (word, detail) = match &reading {
        Reading::Purge(event) => {
            ("purge", serde_json::to_value(&event.request).unwrap_or_default())
        }
        Reading::Ignored(why) => ("ignored", json!(why.as_str())),
        Reading::Unreadable(why) => ("unreadable", json!(format!("{}: {}", why.code, why.detail))),
    };
    let written = crate::intake::timestamp_of(record);
    let written = written.map(|time| humantime::format_rfc3339_millis(time).to_string());
    if arguments.json {
        let source = match &reading {
            Reading::Purge(event) => event.source.as_deref(),
            Reading::Ignored(_) | Reading::Unreadable(_) => None,
        };
        let key = record.key().map(String::from_utf8_lossy);
        let line = json!({
            "at": place, "written": written, "key": key, "source": source, "outcome": word,
            "detail": detail,
        });
        return Some(line.to_string() + "\n");
    }
    let text = match &reading {
        Reading::Purge(event) => words_of(event),
        Reading::Ignored(_) | Reading::Unreadable(_) => {
            detail.as_str().unwrap_or_default().to_owned()
        }
    };
    let written = written.as_deref().unwrap_or("-");
    Some(format!("{written:<24} {place:<28} {word:<10} {}\n", text.escape_debug()))
}

/// What an event purges, how, and why, as a line.
fn words_of(event: &PurgeEvent) -> String {
    let mut named: Vec<String> = match event.request.selectors(usize::MAX) {
        Ok(selectors) => selectors.iter().map(|(selector, _)| selector.to_string()).collect(),
        Err(error) => vec![error.to_string()],
    };
    let more = named.len().saturating_sub(NAMED_MAX);
    named.truncate(NAMED_MAX);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    if let Some(site) = &event.site {
        named.push(format!("site {site}"));
    }
    let how = match event.request.mode {
        Some(PurgeMode::Soft) => " (soft)",
        Some(PurgeMode::Hard) | None => "",
    };
    let reason = event.request.reason.as_ref().map(|reason| format!(": {reason}"));
    let source = event.source.as_ref().map(|source| format!(" from {source}"));
    let [source, reason] = [source, reason].map(Option::unwrap_or_default);
    format!("{}{how}{source}{reason}", named.join(", "))
}

/// Reads a record as the purger would.
pub(super) fn read(reader: &EventReader, record: &OwnedMessage, now: SystemTime) -> Reading {
    let headers = crate::intake::headers_of(record);
    reader.read(
        &Record {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: crate::intake::timestamp_of(record),
            key: record.key(),
            headers: &headers,
            payload: record.payload(),
        },
        now,
    )
}

/// Selectors that a line names.
const NAMED_MAX: usize = 8;
const PATIENCE: Duration = Duration::from_secs(1);
/// Records read ahead of the screen.
const RECORDS_AHEAD: usize = 1000;
