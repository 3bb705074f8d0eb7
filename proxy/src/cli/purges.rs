//! `shellac purges`: the last purges of a running proxy, or each as it is carried out.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::admin_client::{AdminArguments, AdminClient};
use super::event_stream::Event;
use super::listings::{rows, show};
use crate::live::snapshot::RecentPurge;
use process::exit::Exit;
use process::terminal::{print, print_more, say};
use purge_protocol::log::PATH;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct PurgesArguments {
    #[command(subcommand)]
    command: Option<PurgesCommand>,
    /// Purges to show; with `--watch`, those to begin with
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Show each purge as it is carried out, also those of a proxy that takes this one's place
    #[arg(long)]
    watch: bool,
    /// End after this many purges
    #[arg(short = 'n', long, value_name = "COUNT", requires = "watch")]
    count: Option<u64>,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON; with `--watch`, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum PurgesCommand {
    /// Forget the positions in a Kafka topic that no purger names any more, as after it was renamed
    Forget(ForgetArguments),
}

#[derive(Debug, Args)]
struct ForgetArguments {
    /// The topic's name
    #[arg(value_parser = topic_name)]
    topic: String,
    #[command(flatten)]
    admin: AdminArguments,
}

pub(super) fn purges(arguments: &PurgesArguments) -> ExitCode {
    if let Some(PurgesCommand::Forget(arguments)) = &arguments.command {
        return forget(arguments).unwrap_or_else(|exit| exit).into();
    }
    let path = format!("/api/v1/purges?limit={}", arguments.limit);
    if arguments.watch {
        return watch(arguments, &path).unwrap_or_else(|exit| exit).into();
    }
    let columns = [
        ("at", "at"),
        ("from", "source"),
        ("mode", "mode"),
        ("objects", "objects"),
        ("selector", "selector"),
        ("client", "client"),
        ("position", "position"),
        ("event", "event"),
        ("reason", "reason"),
    ];
    show(&arguments.admin, &path, arguments.json, |document| rows(document, "purges", &columns))
}

fn topic_name(text: &str) -> Result<String, &'static str> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_valid = !text.is_empty() && text.bytes().all(is_name);
    is_valid.then(|| text.to_owned()).ok_or("write the name of a Kafka topic, as cache-purge")
}

fn forget(arguments: &ForgetArguments) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let path = format!("{PATH}?topic={}", arguments.topic);
    let answer = client.ask(&Method::DELETE, &path, None)?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let document = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let partitions = document.get("partitions").and_then(Value::as_u64).unwrap_or(0);
    if partitions == 0 {
        say(format_args!("shellac: there is no position in this topic: GET {PATH} lists them"));
        return Ok(Exit::No);
    }
    Ok(print(&format!("forgot {} (partitions: {partitions})\n", arguments.topic)))
}

/// Shows the last purges, the oldest first, then each as it comes.
fn watch(arguments: &PurgesArguments, path: &str) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let answer = client.ask(&Method::GET, path, None)?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        say(format_args!("shellac: the proxy's answer is not JSON: is --admin right?"));
        return Err(Exit::Unavailable);
    };
    let last = document.get("purges").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut left = arguments.count;
    let mut print = |purge: &Value| -> Result<bool, Exit> {
        if left == Some(0) {
            return Ok(false);
        }
        let text = if arguments.json { purge.to_string() } else { line(purge) };
        left = left.map(|left| left - 1);
        Ok(print_more(&[&*text, "\n"].concat())? && left != Some(0))
    };
    for purge in last.iter().rev() {
        if !print(purge)? {
            return Ok(Exit::Done);
        }
    }
    let seen = newest(&document);
    let mut show = |event: &Event| match serde_json::from_str(&event.data) {
        Ok(purge) if event.name == "purge" => print(&purge),
        _ => Ok(true),
    };
    client.follow_on("/api/v1/stream/purges", seen, &mut show)
}

/// Returns the event that the newest of these purges was, of the process that they are of: another
/// one in its place has purges of its own, whose numbers begin again.
fn newest(document: &Value) -> String {
    let newest = document.pointer("/purges/0/id").and_then(Value::as_u64).unwrap_or_default();
    match document.get("process").and_then(Value::as_str) {
        Some(process) => format!("{process}.{newest}"),
        None => newest.to_string(),
    }
}

/// Writes a purge for people: time, source, mode, responses hit, what was named, and from where.
fn line(purge: &Value) -> String {
    let RecentPurge { at, source, mode, objects, selector, position, client, reason, .. } =
        serde_json::from_value(purge.clone()).unwrap_or_default();
    let place = position.or(client).unwrap_or_default();
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let line = format!("{at}  {mode:<4}  {objects:>9}  {selector}  from {source} {place}{reason}");
    line.chars().map(|one| if one.is_control() { '?' } else { one }).collect()
}

const EXAMPLES: &str = "Examples:
  shellac purges --limit 5
  shellac purges --watch
  shellac purges --watch --json | jq .selector";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_purge_is_a_line_that_says_what_and_from_where() {
        let purge = json!({"id": 3, "at": "2026-11-29T16:00:00.000Z", "source": "kafka",
            "client": null, "selector": "tag a\u{1b}", "mode": "hard", "objects": 12,
            "seconds": 0.1, "event": null, "position": "cache-purge/2@18811", "reason": null});
        let expected =
            "2026-11-29T16:00:00.000Z  hard         12  tag a?  from kafka cache-purge/2@18811";
        assert_eq!(line(&purge), expected);
        let by_hand = json!({"client": "10.0.0.7", "position": null, "reason": "price", "id": 4,
            "at": "T", "source": "admin", "selector": "everything", "mode": "soft", "objects": 0,
            "seconds": 0.0, "event": "e"});
        assert_eq!(line(&by_hand), "T  soft          0  everything  from admin 10.0.0.7: price");
    }

    #[test]
    fn a_list_is_followed_from_its_newest_purge_of_its_process() {
        for (document, seen) in [
            (json!({"process": "a-1", "purges": [{"id": 7}, {"id": 6}]}), "a-1.7"),
            (json!({"process": "a-1", "purges": []}), "a-1.0"),
            (json!({"purges": [{"id": 7}]}), "7"),
        ] {
            assert_eq!(newest(&document), seen);
        }
    }
}
