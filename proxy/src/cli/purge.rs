//! `shellac purge`: a purge through a running proxy's admin API.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use purge_protocol::request::Target;
use purge_protocol::{PurgeMode, PurgeReport, PurgeRequest, Selector, SelectorReport};
use serde_json::Value;

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use super::drain::AskedStep;
use process::exit::Exit;
use process::selectors::SelectorArguments;
use process::terminal::{print, say};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group(clap::ArgGroup::new("selectors").required(true).multiple(true)
    .args(["tag", "url", "page", "path", "host", "prefix", "all_of", "any_of", "all"])))]
pub(super) struct PurgeArguments {
    #[command(flatten)]
    selectors: SelectorArguments,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Do not ask before everything is purged
    #[arg(short, long)]
    yes: bool,
    /// Mark as stale instead of deleting [default: as `purge.default_mode` says]
    #[arg(long)]
    soft: bool,
    /// Delete, whatever `purge.default_mode` says
    #[arg(long, conflicts_with = "soft")]
    hard: bool,
    /// Say how many stored responses it would hit, and purge nothing
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
    run(arguments).unwrap_or_else(|exit| exit).into()
}

fn run(arguments: PurgeArguments) -> Result<Exit, Exit> {
    let question = AskedStep {
        effect: "nothing of what is stored would be used any more",
        words: "Nothing of what is stored would be used any more. Purge everything? [y/N]",
    };
    let asks = arguments.all && !arguments.yes && !arguments.dry_run;
    if asks && !question.is_confirmed() {
        return Err(Exit::Usage);
    }
    let client = AdminClient::of(&arguments.admin)?;
    // Without a flag, `purge.default_mode` decides.
    let mode = match (arguments.soft, arguments.hard) {
        (true, _) => Some(PurgeMode::Soft),
        (false, true) => Some(PurgeMode::Hard),
        (false, false) => None,
    };
    let request = PurgeRequest {
        all: arguments.all,
        mode,
        reason: Some("command line".to_owned()),
        ..arguments.selectors.request()
    };
    let content = serde_json::to_value(&request).unwrap_or_default();
    let path = if arguments.dry_run { "/api/v1/purge?dry_run" } else { "/api/v1/purge" };
    let answer = client.ask(&Method::POST, path, Some(&content))?;
    Ok(if arguments.dry_run {
        forecast(&answer, arguments.json)
    } else {
        report(&answer, arguments.json)
    })
}

/// Says what a purge would hit.
fn forecast(answer: &AdminAnswer, is_json: bool) -> Exit {
    let report = serde_json::from_slice::<PurgeReport>(&answer.body);
    let Some(report) = report.ok().filter(|_| answer.status.is_success()) else {
        return answer.refused();
    };
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let is_lower_bound = document.get("is_lower_bound") == Some(&Value::Bool(true));
    let page =
        if is_json { answer.text().into_owned() } else { forecast_page(&report, is_lower_bound) };
    print(&page)
}

fn forecast_page(report: &PurgeReport, is_lower_bound: bool) -> String {
    let line = |selected: &SelectorReport| {
        let SelectorReport { selector, objects, .. } = selected;
        format!("{objects:>10}  {selector}{}\n", read_as(selector))
    };
    let lines: String = report.selectors.iter().map(line).collect();
    let mode = match report.mode {
        PurgeMode::Hard => "purged",
        PurgeMode::Soft => "made stale",
    };
    let objects = report.matched.objects;
    let bound = if is_lower_bound {
        " (in memory; what only the file holds is hit, too, and not counted)"
    } else {
        ""
    };
    format!("{lines}{objects:>10}  stored responses would be {mode}{bound}\n")
}

/// Says as what the proxy reads a selector that is written in another way.
fn read_as(selector: &Selector) -> String {
    let target = selector.target().ok();
    let read = match (selector, &target) {
        (_, Some(Target::Url(url) | Target::Page(url) | Target::Path(url))) => url.to_string(),
        (_, Some(Target::Host(host))) => host.clone(),
        (_, Some(Target::Prefix(prefix))) => prefix.to_string(),
        _ => return String::new(),
    };
    let written = selector.to_string();
    let is_same = written.split_once(' ').is_some_and(|(_, written)| written == read);
    if is_same { String::new() } else { format!(", which is {read}") }
}

fn report(answer: &AdminAnswer, is_json: bool) -> Exit {
    match serde_json::from_slice::<PurgeReport>(&answer.body) {
        Ok(report) if answer.status.is_success() => {
            let page = if is_json { answer.text().into_owned() } else { sentences(&report) };
            if let Some(hint) = report.hint.filter(|_| !is_json) {
                say(format_args!("shellac: {hint}"));
            }
            print(&page)
        }
        _ => answer.refused(),
    }
}

fn sentences(report: &PurgeReport) -> String {
    let line =
        |selected: &SelectorReport| format!("{:>10}  {}\n", selected.objects, selected.selector);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_says_what_each_selector_would_hit_and_as_what_it_is_read() {
        let report: PurgeReport = serde_json::from_value(serde_json::json!({
            "id": "x", "mode": "soft", "matched": {"objects": 3}, "sequence": 7, "took_us": 5,
            "selectors": [{"tag": "a", "objects": 2}, {"url": "https://H/p", "objects": 1}],
        }))
        .unwrap();
        let page = forecast_page(&report, false);
        let expected = "         2  tag a\n         1  url https://H/p, which is //h/p\n         3  stored responses would be made stale\n";
        assert_eq!(page, expected);
        assert!(forecast_page(&report, true).contains("not counted"));
    }
}
