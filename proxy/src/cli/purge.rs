//! `shellac purge`: a purge through a running proxy's admin API.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use purge_protocol::{PurgeMode, PurgeReport, PurgeRequest};

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("selectors").required(true).multiple(true)
    .args(["tag", "url", "host", "prefix", "all"])))]
pub(super) struct PurgeArguments {
    /// Responses that carry this tag, or this entity tag, quoted or not
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// All variants of a URL, `https://host/path`
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// All URLs of a host
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// All URLs that begin so: `https://host/path`, or `/path` for every host
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Mark as stale instead of deleting
    #[arg(long)]
    soft: bool,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Purges.
pub(super) fn purge(arguments: PurgeArguments) -> ExitCode {
    let client = AdminClient::of(&arguments.admin);
    let request = PurgeRequest {
        tags: arguments.tag,
        urls: arguments.url,
        hosts: arguments.host,
        prefixes: arguments.prefix,
        all: arguments.all,
        mode: Some(if arguments.soft { PurgeMode::Soft } else { PurgeMode::Hard }),
        reason: Some("command line".to_owned()),
        ..PurgeRequest::default()
    };
    let content = serde_json::to_value(&request).unwrap_or_default();
    match client.ask(&Method::POST, "/api/v1/purge", Some(&content)) {
        Ok(answer) => report(&answer, arguments.json).into(),
        Err(exit) => exit.into(),
    }
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
