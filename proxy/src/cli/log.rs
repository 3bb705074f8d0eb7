//! `shellac log`: requests of a running proxy as they end.

#![expect(clippy::format_push_string, reason = "text for people, a few lines of it")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value does not hold is null")]

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use settings::RecordFilter;

use super::admin_client::{AdminArguments, AdminClient};
use super::event_stream::Event;
use crate::reason::Reason;
use process::exit::Exit;
use process::terminal::{print_more, say};

/// Options of `log`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct LogArguments {
    /// What to show: `status>=500`, `cache=miss`, `path=/p/*`, `host=shop.example`,
    /// `client=10.0.0.0/8`, `reason=cookie`, `slower than 200ms`, `errors`, joined by `and`, `or`,
    /// `not` [default: everything]
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Only requests that were fetched from the origin and could be stored
    #[arg(long)]
    misses: bool,
    /// Only a status of 500 and above, and responses that broke off
    #[arg(long)]
    errors: bool,
    /// Only requests that took longer
    #[arg(long, value_name = "DURATION")]
    slow: Option<String>,
    /// Of these, only this share, as in `1%`
    #[arg(long, value_name = "SHARE", default_value = "100%")]
    sample: String,
    /// Say the cause and the remedy of each reason
    #[arg(long)]
    explain: bool,
    /// One JSON object a line, with the fields of the access log
    #[arg(long, conflicts_with_all = ["ncsa", "explain"])]
    json: bool,
    /// Lines in the combined format
    #[arg(long, conflicts_with = "explain")]
    ncsa: bool,
    /// End after this many requests
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    #[command(flatten)]
    admin: AdminArguments,
}

/// Runs the command.
pub(super) fn log(arguments: &LogArguments) -> ExitCode {
    match run(arguments) {
        Ok(exit) | Err(exit) => exit.into(),
    }
}

fn run(arguments: &LogArguments) -> Result<Exit, Exit> {
    let path = path(arguments).map_err(|error| {
        say(format_args!("shellac: {error}"));
        Exit::Usage
    })?;
    let client = AdminClient::of(&arguments.admin)?;
    let mut shown = 0;
    let mut show = |event: &Event| -> Result<bool, Exit> {
        if event.name == "dropped" {
            let document = serde_json::from_str::<Value>(&event.data).unwrap_or_default();
            let count = document["dropped"].as_u64().unwrap_or_default();
            say(format_args!(
                "shellac: {count} requests are not shown: this reader is too slow; narrow the filter, or use --sample"
            ));
            return Ok(true);
        }
        let text = if arguments.json || arguments.ncsa {
            event.data.clone()
        } else {
            line(&event.data, arguments.explain)
        };
        let is_read = print_more(&[&*text, "\n"].concat())?;
        shown += 1;
        Ok(is_read && arguments.count.is_none_or(|count| shown < count))
    };
    client.follow(&path, &mut show)
}

/// Returns the path of the stream, after the filters were found right.
fn path(arguments: &LogArguments) -> Result<String, String> {
    let mut filters = Vec::new();
    if !arguments.filter.is_empty() {
        filters.push(arguments.filter.join(" "));
    }
    if arguments.misses {
        filters.push("misses".to_owned());
    }
    if arguments.errors {
        filters.push("errors".to_owned());
    }
    if let Some(span) = &arguments.slow {
        filters.push(format!("slower than {span}"));
    }
    for filter in &filters {
        RecordFilter::parse(filter)?;
        unknown_reason(filter)?;
    }
    if settings::share_of(&arguments.sample).is_none() {
        return Err(format!("`{}` is no share, such as 1%", arguments.sample));
    }
    let format = if arguments.ncsa { "combined" } else { "json" };
    let mut path =
        format!("/api/v1/stream/log?format={format}&sample={}", encoded(&arguments.sample));
    for filter in &filters {
        path.push_str("&filter=");
        path.push_str(&encoded(filter));
    }
    Ok(path)
}

/// Finds a reason that no request can have.
fn unknown_reason(filter: &str) -> Result<(), String> {
    let named = filter
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("reason=").or_else(|| word.strip_prefix("reason!=")));
    for code in named.flat_map(|codes| codes.split(',')) {
        if !code.contains('*') && Reason::of(code).is_none() {
            let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
            return Err(format!("there is no reason `{code}`: {}", all.join(", ")));
        }
    }
    Ok(())
}

/// Writes a request for people: time, status, outcome, duration, bytes, request, reason.
fn line(data: &str, explains: bool) -> String {
    let request = serde_json::from_str::<Value>(data).unwrap_or_default();
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let time = text("ts").get(11..23).unwrap_or_default();
    let query = request["query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
    let mut line = format!(
        "{time}  {}  {:<11} {:>9}  {:>9}  {} {}{}{query}",
        request["status"],
        request["cache"].as_str().unwrap_or("-"),
        format!("{:.1}ms", request["dur_ms"].as_f64().unwrap_or_default()),
        format!("{}B", request["bytes"]),
        text("method"),
        text("host"),
        text("path"),
    );
    for (key, label) in [("reason", ""), ("origin", "from "), ("request_id", "id ")] {
        if let Some(value) = request[key].as_str() {
            line.push_str(&format!("  {label}{value}"));
        }
    }
    if let Some(reason) = Reason::of(text("reason")).filter(|_| explains) {
        line.push_str(&format!(
            "\n              {}\n              {}",
            reason.cause(),
            reason.remedy()
        ));
    }
    printable(&line)
}

/// Leaves no control character to a terminal: a client may have sent it.
fn printable(text: &str) -> String {
    let shown =
        |letter: char| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter };
    text.chars().map(shown).collect()
}

/// Encodes a value of a query.
fn encoded(text: &str) -> String {
    let mut all = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                all.push(char::from(byte));
            }
            _ => all.push_str(&format!("%{byte:02X}")),
        }
    }
    all
}

const EXAMPLES: &str = "Examples:
  shellac log --misses --explain
  shellac log status>=500 or slower than 1s
  shellac log host=shop.example path=/p/* not cache=hit
  shellac log --json --sample 1% | jq .dur_ms

In a shell, write > and * within quotes.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        arguments: LogArguments,
    }

    fn asked(arguments: &[&str]) -> Result<String, String> {
        let arguments = ["log"].iter().chain(arguments);
        path(&Command::try_parse_from(arguments).unwrap().arguments)
    }

    #[test]
    fn words_and_flags_become_one_question() {
        assert_eq!(asked(&[]).unwrap(), "/api/v1/stream/log?format=json&sample=100%25");
        let path = asked(&["status>=500", "or", "slower", "than", "1s", "--misses", "--ncsa"]);
        assert_eq!(
            path.unwrap(),
            "/api/v1/stream/log?format=combined&sample=100%25\
             &filter=status%3E%3D500%20or%20slower%20than%201s&filter=misses"
        );
        let error = asked(&["reason=coffee"]).unwrap_err();
        assert!(error.starts_with("there is no reason `coffee`: method, "), "{error}");
        assert!(asked(&["--sample", "2"]).is_err() && asked(&["--slow", "long"]).is_err());
    }

    #[test]
    fn a_line_is_short_and_explains_itself_when_asked() {
        let data = r#"{"ts":"2026-11-29T12:00:00.123Z","status":200,"cache":"bypass","dur_ms":83.21,
            "bytes":41000,"method":"GET","host":"h","path":"/p\u001b","query":"a=1","reason":"cookie","origin":"app"}"#;
        let short = "12:00:00.123  200  bypass         83.2ms     41000B  GET h/p\u{fffd}?a=1  cookie  from app";
        assert_eq!(line(data, false), short);
        let lines = line(data, true);
        assert_eq!(lines.lines().count(), 3);
        assert!(lines.contains(Reason::Cookie.remedy()), "{lines}");
    }
}
