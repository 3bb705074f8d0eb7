//! `shellac deploy`: which deployment of the site is the present one.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use purge_protocol::{Deploy, PurgeReport, PurgeRequest};
use serde_json::Value;

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::{print, say};

#[derive(Debug, Args)]
pub(super) struct DeployArguments {
    /// The deployment that is the present one from now on, as responses name it in the field that
    /// `key.deployment` says; without it, the present ones and those of stored responses are shown
    id: Option<String>,
    /// Time until responses of other deployments are not used any more; until then they are stale
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "10m")]
    grace: Duration,
    /// The only host that it concerns
    #[arg(long, value_name = "HOST", requires = "id")]
    host: Option<String>,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Changes the deployment, or shows which is the present one.
pub(super) fn deploy(arguments: DeployArguments) -> ExitCode {
    run(arguments).unwrap_or_else(|exit| exit).into()
}

fn run(arguments: DeployArguments) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let DeployArguments { id, grace, host, json, .. } = arguments;
    let Some(id) = id else {
        let answer = client.ask(&Method::GET, "/api/v1/deploys", None)?;
        return Ok(show(&answer, json, &present));
    };
    // A part of a second is a second: zero would be no grace.
    let grace_seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    let deploy = Deploy { id, grace_seconds, host, at_ms: None };
    let request = PurgeRequest {
        deploys: vec![deploy],
        reason: Some("command line".to_owned()),
        ..PurgeRequest::default()
    };
    let content = serde_json::to_value(&request).unwrap_or_default();
    let answer = client.ask(&Method::POST, "/api/v1/purge", Some(&content))?;
    Ok(show(&answer, json, &|_| changed(&answer, grace_seconds)))
}

fn show(answer: &AdminAnswer, is_json: bool, text: &dyn Fn(&Value) -> String) -> Exit {
    if !answer.status.is_success() {
        return answer.refused();
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        say(format_args!("shellac: the proxy's answer is not JSON: is --admin right?"));
        return Exit::Unavailable;
    };
    if let Some(hint) = document.get("hint").and_then(Value::as_str).filter(|_| !is_json) {
        say(format_args!("shellac: {hint}"));
    }
    let page = if is_json { answer.text().into_owned() } else { text(&document) };
    print(&page)
}

fn changed(answer: &AdminAnswer, grace_seconds: u64) -> String {
    let report = serde_json::from_slice::<PurgeReport>(&answer.body);
    let objects = report.map_or(0, |report| report.matched.objects);
    let grace = humantime::format_duration(Duration::from_secs(grace_seconds));
    match grace_seconds {
        0 => {
            format!("{objects:>10}  stored responses of other deployments are not used any more\n")
        }
        _ => format!(
            "{objects:>10}  stored responses of other deployments are stale, and go in {grace}\n"
        ),
    }
}

fn present(document: &Value) -> String {
    let rows =
        |name: &str| document.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |row: &Value, name: &str| {
        row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let number = |row: &Value, name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut page = String::new();
    for row in rows("present") {
        let host = match text(&row, "host") {
            host if host.is_empty() => "every host".to_owned(),
            host => host,
        };
        let left = match number(&row, "grace_left") {
            0 => "others are not used any more".to_owned(),
            left => {
                let left = humantime::format_duration(Duration::from_secs(left));
                format!("others are stale, and go in {left}")
            }
        };
        let _infallible = writeln!(page, "present  {}  of {host}: {left}", text(&row, "id"));
    }
    if page.is_empty() {
        page.push_str("no deployment was announced: see `shellac deploy --help`\n");
    }
    for row in rows("stored") {
        let responses = number(&row, "responses");
        let id = text(&row, "id");
        let _infallible = writeln!(page, "{responses:>10}  stored responses of {id}");
    }
    page
}
