//! `shellac-purger dlq`: lists the dead letters, sends them again, or marks them as dealt with.
//!
//! Kafka does not delete single records. Dead letters that are dealt with lie below an offset that
//! a group of its own has committed, `<group>-dlq`; `list` shows those above.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use process::clock::Clock;
use process::exit::Exit;
use process::terminal::{print, say};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use settings::Config;

use super::CommonArguments;
use super::topic::{BrokerClient, Extent};
use crate::dead_letter::DeadLetter;
use crate::kafka::client::{self, PATIENCE};
use crate::kafka::context::{PlainContext, TokenSource};
use crate::kafka::cursor::CursorItem;
use crate::kafka::producer::Producer;

/// The action on dead letters.
#[derive(Debug, Args)]
pub(super) struct DlqArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List those not dealt with yet
    List(Shown),
    /// Show one completely, with the record's value
    Show(Named),
    /// Write the records to their topics again, then mark them as dealt with
    Retry(Dealt),
    /// Mark as dealt with
    Drop(Dealt),
}

#[derive(Debug, Args)]
struct Shown {
    #[command(flatten)]
    common: CommonArguments,
    /// Include those dealt with
    #[arg(long)]
    all: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Named {
    #[command(flatten)]
    common: CommonArguments,
    /// Its place in the dead letters' topic, as `list` shows it: PARTITION@OFFSET
    place: String,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["up_to", "all"])))]
struct Dealt {
    #[command(flatten)]
    common: CommonArguments,
    /// Up to and including this one of its partition: PARTITION@OFFSET
    #[arg(long, value_name = "PLACE")]
    up_to: Option<String>,
    /// All that `list` shows
    #[arg(long)]
    all: bool,
}

/// A dead letter and its place.
struct Placed {
    partition: i32,
    offset: i64,
    letter: Option<DeadLetter>,
}

type Failure = Box<dyn std::error::Error>;

/// Runs the action.
pub(super) fn dlq(arguments: DlqArguments) -> ExitCode {
    let done = match arguments.action {
        Action::List(shown) => with(&shown.common, |config| list(&shown, config)),
        Action::Show(named) => with(&named.common, |config| show(&named, config)),
        Action::Retry(dealt) => with(&dealt.common, |config| deal(&dealt, config, true)),
        Action::Drop(dealt) => with(&dealt.common, |config| deal(&dealt, config, false)),
    };
    done.into()
}

fn with(common: &CommonArguments, action: impl FnOnce(&Config) -> Result<Exit, Failure>) -> Exit {
    let config = match common.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if config.purger.dead_letter.is_empty() {
        say(format_args!(
            "shellac-purger: there is no topic for dead letters: set purger.dead_letter"
        ));
        return Exit::Config;
    }
    action(&config).unwrap_or_else(|error| {
        say(format_args!("shellac-purger: {error}"));
        Exit::Unavailable
    })
}

fn list(shown: &Shown, config: &Config) -> Result<Exit, Failure> {
    let line = |placed: &Placed| {
        let place = format!("{}@{}", placed.partition, placed.offset);
        match (&placed.letter, shown.json) {
            (Some(letter), true) => {
                serde_json::json!({"place": place, "letter": letter}).to_string() + "\n"
            }
            (Some(letter), false) => format!(
                "{place:<12} {}/{}@{:<10} {:<10} {}\n",
                letter.topic, letter.partition, letter.offset, letter.code, letter.detail
            ),
            (None, _) => format!("{place:<12} is no dead letter\n"),
        }
    };
    let lines: Vec<String> = read(config, shown.all)?.iter().map(line).collect();
    Ok(print(&lines.concat()))
}

fn show(named: &Named, config: &Config) -> Result<Exit, Failure> {
    let (partition, offset) = place(&named.place)?;
    let Some(letter) = letter_at(config, partition, offset)? else {
        say(format_args!("shellac-purger: there is no dead letter at {}", named.place));
        return Ok(Exit::No);
    };
    let value = letter.value_bytes().unwrap_or_default();
    let head = DeadLetter { value: None, ..letter };
    let json = serde_json::to_string_pretty(&head)?;
    Ok(print(&format!("{json}\n{}\n", String::from_utf8_lossy(&value))))
}

/// Sends dead letters again if `is_retry`, then moves the mark.
fn deal(dealt: &Dealt, config: &Config, is_retry: bool) -> Result<Exit, Failure> {
    let up_to = dealt.up_to.as_deref().map(place).transpose()?;
    let is_meant = |placed: &Placed| match up_to {
        Some((partition, offset)) => placed.partition == partition && placed.offset <= offset,
        None => true,
    };
    let meant: Vec<Placed> = read(config, false)?.into_iter().filter(is_meant).collect();
    if is_retry {
        super::block_on(resend(config, &meant))??;
    }
    let mut marks = TopicPartitionList::new();
    for placed in &meant {
        let topic = &config.purger.dead_letter;
        match marks.find_partition(topic, placed.partition) {
            Some(mut mark) => mark.set_offset(Offset::Offset(placed.offset + 1))?,
            None => marks.add_partition_offset(
                topic,
                placed.partition,
                Offset::Offset(placed.offset + 1),
            )?,
        }
    }
    if marks.count() > 0 {
        group(&BrokerClient::connect(config)?, config)?.commit(&marks, CommitMode::Sync)?;
    }
    let word = if is_retry { "sent again" } else { "dropped" };
    Ok(print(&format!("{} dead letters {word}\n", meant.len())))
}

async fn resend(config: &Config, meant: &[Placed]) -> Result<(), KafkaError> {
    let tokens = TokenSource { file: config.kafka.token_file.clone(), clock: Clock::system() };
    let producer = Producer::new(&config.kafka, tokens)?;
    for letter in meant.iter().filter_map(|placed| placed.letter.as_ref()) {
        if letter.missing_bytes > 0 {
            say(format_args!(
                "shellac-purger: {}/{}@{} is not sent again: {} of its bytes are missing",
                letter.topic, letter.partition, letter.offset, letter.missing_bytes
            ));
            continue;
        }
        let (key, value) = (letter.key_bytes(), letter.value_bytes().unwrap_or_default());
        if letter.headers.is_empty() {
            producer.write(&letter.topic, key.as_deref(), &value).await?;
        } else {
            let headers = headers(letter);
            producer.write_with_headers(&letter.topic, key.as_deref(), &value, headers).await?;
        }
    }
    Ok(())
}

fn headers(letter: &DeadLetter) -> OwnedHeaders {
    use base64::Engine as _;
    let decode =
        |text: &String| base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    let add = |headers: OwnedHeaders, (key, value): &(String, String)| {
        headers.insert(Header { key, value: Some(&decode(value)) })
    };
    letter.headers.iter().fold(OwnedHeaders::new(), add)
}

/// Reads one dead letter.
fn letter_at(config: &Config, partition: i32, offset: i64) -> Result<Option<DeadLetter>, Failure> {
    let broker = BrokerClient::connect(config)?;
    let extents = broker.partitions(&config.purger.dead_letter)?;
    let holds = |extent: &&Extent| {
        extent.log.partition == partition && (extent.low..extent.high).contains(&offset)
    };
    let Some(extent) = extents.iter().find(holds) else { return Ok(None) };
    let CursorItem::Record(record) = broker.cursors.open(&extent.log, offset)?.next(PATIENCE)?
    else {
        return Ok(None);
    };
    let value = record.payload().filter(|_| record.offset() == offset);
    Ok(value.and_then(|value| serde_json::from_slice(value).ok()))
}

/// Reads the dead letters, including those dealt with if `is_all`.
fn read(config: &Config, is_all: bool) -> Result<Vec<Placed>, Failure> {
    let broker = BrokerClient::connect(config)?;
    let topic = &config.purger.dead_letter;
    let extents = broker.partitions(topic)?;
    if extents.is_empty() {
        return Err(format!("there is no topic {topic}").into());
    }
    let marks = if is_all { None } else { Some(marks(&broker, config, &extents)?) };
    let mut letters = Vec::new();
    for extent in &extents {
        let mark = marks.as_ref().and_then(|marks| {
            marks
                .find_partition(topic, extent.log.partition)?
                .offset()
                .to_raw()
                .filter(|mark| *mark > extent.low)
        });
        let begin = mark.unwrap_or(extent.low);
        if begin >= extent.high {
            continue;
        }
        let cursor = broker.cursors.open(&extent.log, begin)?;
        while let CursorItem::Record(record) = cursor.next(PATIENCE)? {
            let letter = record.payload().and_then(|value| serde_json::from_slice(value).ok());
            letters.push(Placed { partition: record.partition(), offset: record.offset(), letter });
            if record.offset() + 1 >= extent.high {
                break;
            }
        }
    }
    Ok(letters)
}

fn marks(
    broker: &BrokerClient,
    config: &Config,
    extents: &[Extent],
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for extent in extents {
        list.add_partition(&extent.log.topic, extent.log.partition);
    }
    client::committed(&group(broker, config)?, &list)
}

fn group(broker: &BrokerClient, config: &Config) -> Result<BaseConsumer<PlainContext>, KafkaError> {
    broker.cursors.offset_client(&format!("{}-dlq", config.purger.group))
}

fn place(text: &str) -> Result<(i32, i64), String> {
    let parsed = text
        .split_once('@')
        .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    parsed.ok_or_else(|| {
        format!("{text:?} is no place: write PARTITION@OFFSET, as `dlq list` shows it")
    })
}
