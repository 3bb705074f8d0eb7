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
    #[arg(value_parser = place)]
    place: LetterPlace,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["up_to", "all"])))]
struct Dealt {
    #[command(flatten)]
    common: CommonArguments,
    /// Up to and including this one of its partition: PARTITION@OFFSET
    #[arg(long, value_name = "PLACE", value_parser = place)]
    up_to: Option<LetterPlace>,
    /// All that `list` shows
    #[arg(long)]
    all: bool,
}

/// Where a dead letter lies.
#[derive(Clone, Copy, Debug)]
struct LetterPlace {
    partition: i32,
    offset: i64,
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
    let LetterPlace { partition, offset } = named.place;
    let Some(letter) = letter_at(config, partition, offset)? else {
        say(format_args!("shellac-purger: there is no dead letter at {partition}@{offset}"));
        return Ok(Exit::No);
    };
    let value = letter.value_bytes().unwrap_or_default();
    let head = DeadLetter { value: None, ..letter };
    let json = serde_json::to_string_pretty(&head)?;
    Ok(print(&format!("{json}\n{}\n", String::from_utf8_lossy(&value))))
}

/// Sends dead letters again if `is_retry`, then moves the mark.
fn deal(dealt: &Dealt, config: &Config, is_retry: bool) -> Result<Exit, Failure> {
    let is_meant = |placed: &Placed| {
        let of_place = |place: LetterPlace| {
            placed.partition == place.partition && placed.offset <= place.offset
        };
        dealt.up_to.is_none_or(of_place)
    };
    let meant: Vec<Placed> = read(config, false)?.into_iter().filter(is_meant).collect();
    if !is_retry {
        mark(config, meant.iter())?;
        return Ok(print(&format!("{} dead letters dropped\n", meant.len())));
    }
    let Retry { whole, stuck, behind } = Retry::of(&meant);
    let (sent, failure) = super::block_on(resend(config, &whole))?;
    mark(config, whole.iter().take(sent).map(|(placed, _)| *placed))?;
    let printed = print(&format!("{sent} dead letters sent again\n"));
    if let Some(error) = failure {
        return Err(format!("{error}; {} are not sent again", meant.len() - sent).into());
    }
    for (placed, why) in &stuck {
        let Placed { partition, offset, .. } = placed;
        say(format_args!(
            "shellac-purger: {partition}@{offset} is not sent again: {why}; `dlq drop --up-to {partition}@{offset}` lays it aside"
        ));
    }
    if behind > 0 {
        say(format_args!("shellac-purger: {behind} behind them in their partitions wait"));
    }
    Ok(if stuck.is_empty() { printed } else { Exit::Partial })
}

/// Notes that these, and all before them in their partitions, are dealt with.
fn mark<'p>(config: &Config, dealt: impl Iterator<Item = &'p Placed>) -> Result<(), Failure> {
    let topic = &config.purger.dead_letter;
    let mut marks = TopicPartitionList::new();
    for Placed { partition, offset, .. } in dealt {
        let next = Offset::Offset(offset + 1);
        match marks.find_partition(topic, *partition) {
            Some(mut mark) => mark.set_offset(next)?,
            None => marks.add_partition_offset(topic, *partition, next)?,
        }
    }
    if marks.count() > 0 {
        group(&BrokerClient::connect(config)?, config)?.commit(&marks, CommitMode::Sync)?;
    }
    Ok(())
}

/// What a retry sends: in each partition, up to the first one that cannot be sent, as a mark is one
/// offset.
struct Retry<'p> {
    whole: Vec<(&'p Placed, &'p DeadLetter)>,
    /// The first ones that cannot be sent, and why.
    stuck: Vec<(&'p Placed, String)>,
    /// Those behind them.
    behind: usize,
}

impl<'p> Retry<'p> {
    fn of(meant: &'p [Placed]) -> Self {
        let mut this = Self { whole: Vec::new(), stuck: Vec::new(), behind: 0 };
        for placed in meant {
            if this.stuck.iter().any(|(stuck, _)| stuck.partition == placed.partition) {
                this.behind += 1;
                continue;
            }
            match &placed.letter {
                None => this.stuck.push((placed, "it is no dead letter".to_owned())),
                Some(DeadLetter { missing_bytes: missing @ 1.., .. }) => {
                    this.stuck.push((placed, format!("{missing} of its bytes are missing")));
                }
                Some(letter) => this.whole.push((placed, letter)),
            }
        }
        this
    }
}

/// Returns how many were sent, and why not all.
async fn resend(config: &Config, whole: &[(&Placed, &DeadLetter)]) -> (usize, Option<KafkaError>) {
    let tokens = TokenSource { file: config.kafka.token_file.clone(), clock: Clock::system() };
    let producer = match Producer::new(&config.kafka, tokens) {
        Ok(producer) => producer,
        Err(error) => return (0, Some(error)),
    };
    for (sent, (_, letter)) in whole.iter().enumerate() {
        let (key, value) = (letter.key_bytes(), letter.value_bytes().unwrap_or_default());
        let written = if letter.headers.is_empty() {
            producer.write(&letter.topic, key.as_deref(), &value).await
        } else {
            let headers = headers(letter);
            producer.write_with_headers(&letter.topic, key.as_deref(), &value, headers).await
        };
        if let Err(error) = written {
            return (sent, Some(error));
        }
    }
    (whole.len(), None)
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
        let mut cursor = broker.cursors.open(&extent.log, begin)?;
        while let CursorItem::Record(record) = extent.next(&mut cursor)? {
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

fn place(text: &str) -> Result<LetterPlace, String> {
    let parsed = text.split_once('@').and_then(|(partition, offset)| {
        Some(LetterPlace { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    });
    parsed.ok_or_else(|| "write PARTITION@OFFSET, as `dlq list` shows it".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn placed(partition: i32, offset: i64, missing_bytes: Option<u64>) -> Placed {
        let letter = missing_bytes.map(|missing_bytes| {
            let (topic, code) = ("purges".to_owned(), "unreadable".to_owned());
            let (key, value, detail) = (None, None, String::new());
            let (headers, time_ms) = (Vec::new(), 0);
            let (partition, offset) = (0, offset);
            DeadLetter {
                topic,
                partition,
                offset,
                code,
                detail,
                time_ms,
                key,
                value,
                headers,
                missing_bytes,
            }
        });
        Placed { partition, offset, letter }
    }

    #[test]
    fn a_retry_ends_in_each_partition_before_the_first_one_that_it_cannot_send() {
        let meant = [
            placed(0, 1, Some(0)),
            placed(0, 2, Some(7)),
            placed(0, 3, Some(0)),
            placed(1, 5, Some(0)),
            placed(2, 8, None),
        ];
        let Retry { whole, stuck, behind } = Retry::of(&meant);
        let places = |placed: &Placed| (placed.partition, placed.offset);
        assert_eq!(whole.iter().map(|(it, _)| places(it)).collect::<Vec<_>>(), [(0, 1), (1, 5)]);
        assert_eq!(stuck.iter().map(|(it, _)| places(it)).collect::<Vec<_>>(), [(0, 2), (2, 8)]);
        assert_eq!((stuck[0].1.as_str(), behind), ("7 of its bytes are missing", 1));
    }

    #[test]
    fn what_is_no_place_is_refused_as_an_argument() {
        for arguments in [&["show", "nonsense"][..], &["retry", "--up-to", "1"]] {
            let line = ["shellac-purger", "dlq"].iter().chain(arguments);
            let error = crate::cli::Arguments::try_parse_from(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
