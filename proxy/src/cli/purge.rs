//! `shellac purge`: a purge through a running proxy's admin API.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use purge_protocol::request::Target;
use purge_protocol::{Expression, PurgeMode, PurgeReport, PurgeRequest, Selector};

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group(clap::ArgGroup::new("selectors").required(true).multiple(true)
    .args(["tag", "url", "page", "path", "host", "prefix", "all_of", "any_of", "all"])))]
pub(super) struct PurgeArguments {
    /// Responses that carry this tag, or this entity tag, quoted or not
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// All variants of a URL, `https://host/path`
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// The page at a URL: its document and its data, under every query
    #[arg(long, value_name = "URL")]
    page: Vec<String>,
    /// The path of a URL under every query
    #[arg(long, value_name = "URL")]
    path: Vec<String>,
    /// All URLs of a host
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// All URLs that begin so: `https://host/path`, or `/path` for every host
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// Responses that meet all of these: `tag:a`, `host:h`, `page:URL`, `path:URL`, `url:URL`,
    /// `prefix:URL`
    #[arg(long, value_name = "TERM")]
    all_of: Vec<String>,
    /// And at least one of these
    #[arg(long, value_name = "TERM")]
    any_of: Vec<String>,
    /// And none of these
    #[arg(long, value_name = "TERM")]
    none_of: Vec<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Mark as stale instead of deleting
    #[arg(long)]
    soft: bool,
    /// Print what would be asked, and purge nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Purges.
pub(super) fn purge(arguments: PurgeArguments) -> ExitCode {
    let client = AdminClient::of(&arguments.admin);
    let PurgeArguments { all_of, any_of, none_of, .. } = arguments;
    let expression = Expression { all_of, any_of, none_of };
    let request = PurgeRequest {
        tags: arguments.tag,
        urls: arguments.url,
        hosts: arguments.host,
        prefixes: arguments.prefix,
        pages: arguments.page,
        paths: arguments.path,
        expressions: if expression.is_empty() { Vec::new() } else { vec![expression] },
        all: arguments.all,
        mode: Some(if arguments.soft { PurgeMode::Soft } else { PurgeMode::Hard }),
        reason: Some("command line".to_owned()),
        ..PurgeRequest::default()
    };
    let content = serde_json::to_value(&request).unwrap_or_default();
    if arguments.dry_run {
        return forecast(&request).into();
    }
    match client.ask(&Method::POST, "/api/v1/purge", Some(&content)) {
        Ok(answer) => report(&answer, arguments.json).into(),
        Err(exit) => exit.into(),
    }
}

/// Says what a purge would name, as the proxy reads it.
fn forecast(request: &PurgeRequest) -> Exit {
    let selectors = match request.selectors(usize::MAX) {
        Ok(selectors) => selectors,
        Err(error) => {
            say(format_args!("shellac: {error}"));
            return Exit::Usage;
        }
    };
    let line = |(selector, target): &(Selector, Target)| match target {
        Target::Url(url) | Target::Page(url) | Target::Path(url) => {
            format!("{selector}, which is {url}\n")
        }
        Target::Host(host) => format!("{selector}, which is {host}\n"),
        Target::Prefix(prefix) => format!("{selector}, which is {prefix}\n"),
        Target::Tag(_) | Target::Expression(_) | Target::Deploy(_) | Target::All => {
            format!("{selector}\n")
        }
    };
    let lines: String = selectors.iter().map(line).collect();
    let json = serde_json::to_string(request).unwrap_or_default();
    let page = format!("{lines}POST /api/v1/purge {json}\n");
    if std::io::stdout().write_all(page.as_bytes()).is_ok() { Exit::Done } else { Exit::Io }
}

fn report(answer: &AdminAnswer, is_json: bool) -> Exit {
    match serde_json::from_slice::<PurgeReport>(&answer.body) {
        Ok(report) if answer.status.is_success() => {
            let page = if is_json { answer.text().into_owned() } else { sentences(&report) };
            if let Some(hint) = report.hint.filter(|_| !is_json) {
                say(format_args!("shellac: {hint}"));
            }
            if std::io::stdout().write_all(page.as_bytes()).is_ok() { Exit::Done } else { Exit::Io }
        }
        _ => answer.refused(),
    }
}

fn sentences(report: &PurgeReport) -> String {
    let line = |selected: &purge_protocol::SelectorReport| {
        format!("{:>10}  {}\n", selected.objects, selected.selector)
    };
    let lines: String = report.selectors.iter().map(line).collect();
    let mode = match report.mode {
        PurgeMode::Hard => "purged",
        PurgeMode::Soft => "made stale",
    };
    format!(
        "{lines}{:>10}  stored responses {mode} in {} µs\n",
        report.matched.objects, report.took_us
    )
}
