//! `shellac stats`: the metrics of a running proxy, once or as they change.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::json;

use super::admin_client::{AdminArguments, AdminClient};
use super::columns::table;
use process::exit::Exit;
use process::terminal::{print, print_more};

#[derive(Debug, Args)]
pub(super) struct StatsArguments {
    /// Only metrics whose name matches, such as `*_http_*`
    #[arg(value_name = "GLOB", default_value = "*")]
    glob: String,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    /// Print them as `/metrics` does
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
    /// Go on, and print each second what has changed
    #[arg(long, conflicts_with = "prometheus")]
    watch: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

/// One line of the page: a name with its labels, and a value.
type Samples = BTreeMap<String, f64>;

pub(super) fn stats(arguments: &StatsArguments) -> ExitCode {
    run(arguments).unwrap_or_else(|exit| exit).into()
}

fn run(arguments: &StatsArguments) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let first = page(&client)?;
    if arguments.prometheus {
        return Ok(print(&filtered(&first, &arguments.glob)));
    }
    let mut last = samples(&first, &arguments.glob);
    if !arguments.watch {
        let text = if arguments.json { document(&last) } else { rows(&last, "value") };
        let printed = print(&text);
        return Ok(if last.is_empty() { Exit::No } else { printed });
    }
    let (_never, pause) = sync_channel::<()>(0);
    loop {
        let _elapsed = pause.recv_timeout(SECOND);
        let next = samples(&page(&client)?, &arguments.glob);
        let changed = differences(&last, &next);
        let text = if arguments.json { document(&changed) } else { rows(&changed, "a second") };
        if !print_more(&[&*text, if arguments.json { "" } else { "\n" }].concat())? {
            return Ok(Exit::Done);
        }
        last = next;
    }
}

fn page(client: &AdminClient) -> Result<String, Exit> {
    let answer = client.ask(&Method::GET, "/metrics", None)?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    Ok(answer.text().into_owned())
}

/// Returns the name of a line's metric, without labels.
fn name_of(line: &str) -> &str {
    let line =
        line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
    line.split(['{', ' ']).next().unwrap_or_default()
}

/// Returns whether `*` in the pattern can stand for something that makes it the name.
fn glob_matches(glob: &str, name: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match left.split_once(part) {
            Some((_, behind)) => left = behind,
            None => return false,
        }
    }
    left.ends_with(last)
}

/// Returns the lines of a page whose metric matches, with what is said about it.
fn filtered(page: &str, glob: &str) -> String {
    let is_meant = |line: &&str| *line == "# EOF" || glob_matches(glob, name_of(line));
    let lines: Vec<_> = page.lines().filter(is_meant).chain([""]).collect();
    lines.join("\n")
}

fn samples(page: &str, glob: &str) -> Samples {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.trim_end_matches("{}").to_owned(), value.parse().ok()?))
    };
    lines.filter(|line| glob_matches(glob, name_of(line))).filter_map(sample).collect()
}

/// Returns what has changed, by how much.
fn differences(last: &Samples, next: &Samples) -> Samples {
    let change = |(name, value): (&String, &f64)| {
        let change = value - last.get(name).copied().unwrap_or_default();
        (change != 0.0).then(|| (name.clone(), change))
    };
    next.iter().filter_map(change).collect()
}

fn document(samples: &Samples) -> String {
    format!("{}\n", json!(samples))
}

fn rows(samples: &Samples, title: &str) -> String {
    let row = |(name, value): (&String, &f64)| vec![value.to_string(), name.clone()];
    table(&[title, "metric"], &samples.iter().map(row).collect::<Vec<_>>())
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# HELP a_total Some\n# TYPE a_total counter\na_total{x=\"y z\"} 5\nb 0.5\n# EOF\n";

    #[test]
    fn lines_are_chosen_by_the_name_of_their_metric() {
        assert_eq!(samples(PAGE, "*").len(), 2);
        assert_eq!(samples(PAGE, "a_*").get("a_total{x=\"y z\"}"), Some(&5.0));
        assert_eq!(filtered(PAGE, "b"), "b 0.5\n# EOF\n");
        assert!(filtered(PAGE, "a*").contains("# HELP a_total"));
        assert!(samples(PAGE, "y").is_empty(), "a label is no name");
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (glob, name) in [("*", ""), ("a*", "abc"), ("*_http_*", "x_http_y"), ("a*b*c", "a1b2c")]
        {
            assert!(glob_matches(glob, name), "{glob}");
        }
        for (glob, name) in [("a", "ab"), ("a*", "ba"), ("*_http_*", "http"), ("a*b*c", "acb")] {
            assert!(!glob_matches(glob, name), "{glob}");
        }
    }

    #[test]
    fn only_what_has_changed_is_shown_again() {
        let later = PAGE.replace("} 5", "} 9");
        let changed = differences(&samples(PAGE, "*"), &samples(&later, "*"));
        assert_eq!(changed.into_values().collect::<Vec<_>>(), [4.0]);
    }
}
