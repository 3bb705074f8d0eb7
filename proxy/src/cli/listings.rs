//! `shellac tags` and `objects`: tables of what a running proxy knows.

use std::fmt::Write as _;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::Value;

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use super::columns::table;
use super::origins::encoded;
use process::exit::Exit;
use process::terminal::{print, say};

#[derive(Debug, Args)]
pub(super) struct TagsArguments {
    /// The order: what costs most first
    #[arg(long, value_enum, default_value_t)]
    by: TagsBy,
    /// Tags to show
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum TagsBy {
    /// Renders that purges of the tag have caused
    #[default]
    Renders,
    /// Stored responses that carry it now
    Pages,
    /// Bytes of these renders
    Bytes,
    /// Purges in the last hour
    Purges,
}

#[derive(Debug, Args)]
pub(super) struct ObjectsArguments {
    #[command(subcommand)]
    command: ObjectsCommand,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ObjectsCommand {
    /// Show what is in memory, page by page
    List(ObjectsListArguments),
    /// Show every variant that is stored of a URL, with its tags
    Show { url: String },
}

#[derive(Debug, Args)]
struct ObjectsListArguments {
    /// Only responses with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only URLs that begin so
    #[arg(long, value_name = "URL")]
    prefix: Option<String>,
    /// Only bodies of at least this size, such as 100KiB
    #[arg(long, value_name = "SIZE")]
    larger: Option<ByteSize>,
    /// Only responses of at least this age, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    older: Option<std::time::Duration>,
    /// Responses to show
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where the last page ended
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

pub(super) fn tags(arguments: &TagsArguments) -> ExitCode {
    let by = match arguments.by {
        TagsBy::Renders => "renders",
        TagsBy::Pages => "pages",
        TagsBy::Bytes => "bytes",
        TagsBy::Purges => "purges",
    };
    let path = format!("/api/v1/tags?by={by}&limit={}", arguments.limit);
    let columns = [
        ("renders", "renders"),
        ("purges/h", "purges_per_hour"),
        ("pages", "pages"),
        ("bytes", "bytes"),
        ("stale", "stale_served"),
        ("tag", "tag"),
    ];
    show(&arguments.admin, &path, arguments.json, |document| rows(document, "tags", &columns))
}

pub(super) fn objects(arguments: &ObjectsArguments) -> ExitCode {
    let (path, url) = match &arguments.command {
        ObjectsCommand::Show { url } => {
            (format!("/api/v1/objects?url={}", encoded(url)), Some(url))
        }
        ObjectsCommand::List(list) => (list.path(), None),
    };
    let exit = ask(&arguments.admin, &path).map(|(answer, document)| {
        let is_empty = document.get("objects").and_then(Value::as_array).is_some_and(Vec::is_empty);
        let missing = url.filter(|_| is_empty);
        let text = |document: &Value| match missing {
            Some(_) => String::new(),
            None => objects_page(document),
        };
        let printed = print_answer(&answer, &document, arguments.json, text);
        match missing.filter(|_| printed == Exit::Done) {
            Some(url) => {
                say(format_args!(
                    "shellac: nothing is stored of {url}: `shellac explain` says why"
                ));
                Exit::No
            }
            None => printed,
        }
    });
    exit.unwrap_or_else(|exit| exit).into()
}

impl ObjectsListArguments {
    fn path(&self) -> String {
        let mut path = format!("/api/v1/objects?limit={}", self.limit);
        let texts = [("tag", &self.tag), ("prefix", &self.prefix), ("after", &self.after)];
        for (name, text) in texts {
            if let Some(text) = text {
                let _written = write!(path, "&{name}={}", encoded(text));
            }
        }
        let numbers = [
            ("larger", self.larger.map(|size| size.as_u64())),
            ("older", self.older.map(|age| age.as_secs())),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                let _written = write!(path, "&{name}={number}");
            }
        }
        path
    }
}

fn objects_page(document: &Value) -> String {
    let columns = [
        ("bytes", "bytes"),
        ("age", "age_seconds"),
        ("ttl", "ttl_seconds"),
        ("state", "state"),
        ("status", "status"),
        ("tier", "tier"),
        ("form", "compressed"),
        ("varies by", "varies_by"),
        ("tags", "tags"),
        ("URL", "url"),
    ];
    let all = document.get("objects").and_then(Value::as_array);
    let has = |field: &str| all.is_some_and(|all| all.iter().any(|one| one.get(field).is_some()));
    let shown: Vec<_> = columns.into_iter().filter(|(_, field)| has(field)).collect();
    let mut page = rows(document, "objects", &shown);
    if let Some(next) = document.get("next").and_then(Value::as_str) {
        let _written = writeln!(page, "more: --after {next}");
    }
    if document.get("is_partial") == Some(&Value::Bool(true)) {
        page.push_str("the walk took too long: not everything was looked at\n");
    }
    page
}

/// Asks, and prints the answer as it is, or as text for people.
pub(super) fn show(
    admin: &AdminArguments,
    path: &str,
    is_json: bool,
    text: impl Fn(&Value) -> String,
) -> ExitCode {
    let exit =
        ask(admin, path).map(|(answer, document)| print_answer(&answer, &document, is_json, text));
    exit.unwrap_or_else(|exit| exit).into()
}

/// Returns the answer, also as JSON.
fn ask(admin: &AdminArguments, path: &str) -> Result<(AdminAnswer, Value), Exit> {
    let answer = AdminClient::of(admin)?.ask(&Method::GET, path, None)?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        say(format_args!("shellac: the proxy's answer is not JSON: is --admin right?"));
        return Err(Exit::Unavailable);
    };
    Ok((answer, document))
}

fn print_answer(
    answer: &AdminAnswer,
    document: &Value,
    is_json: bool,
    text: impl Fn(&Value) -> String,
) -> Exit {
    print(&if is_json { answer.text().into_owned() } else { text(document) })
}

pub(super) fn rows(document: &Value, list: &str, columns: &[(&str, &str)]) -> String {
    let all = document.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |entry: &Value| columns.iter().map(|(_, field)| cell(entry.get(field))).collect();
    let titles: Vec<_> = columns.iter().map(|(title, _)| *title).collect();
    table(&titles, &all.iter().map(row).collect::<Vec<_>>())
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) => {
            let all: Vec<_> = all.iter().map(|one| cell(Some(one))).collect();
            if all.is_empty() { "-".to_owned() } else { all.join(" ") }
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_asks_for_what_was_named() {
        let list = ObjectsListArguments {
            tag: Some("a&b".to_owned()),
            prefix: None,
            larger: Some(ByteSize::kib(100)),
            older: Some(std::time::Duration::from_mins(10)),
            limit: 5,
            after: None,
        };
        let path = "/api/v1/objects?limit=5&tag=a%26b&larger=102400&older=600";
        assert_eq!(list.path(), path);
    }

    #[test]
    fn a_page_shows_the_columns_that_there_are() {
        let object = json!({"url": "http://h/a", "bytes": 5, "age_seconds": 1, "ttl_seconds": 59, "state": "fresh", "status": 200, "varies_by": ["accept"], "compressed": null});
        let document = json!({"objects": [object], "next": "00ff", "is_partial": false});
        let page = objects_page(&document);
        let expected = "bytes  age  ttl  state  status  form  varies by  URL\n5      1    59   fresh  200     -     accept     http://h/a\nmore: --after 00ff\n";
        assert_eq!(page, expected);
    }
}
