//! `shellac reload`: has a running proxy read its configuration again, waits, and says what became
//! of it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
pub(super) struct ReloadArguments {
    /// Say what would change and what would need a restart; change nothing
    #[arg(long)]
    dry_run: bool,
    /// If the running proxy does not know the file's new address or token, send SIGHUP to this
    /// process, which has it read the file, too
    #[arg(long, value_name = "PID", conflicts_with = "dry_run")]
    pid: Option<i32>,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Reloads.
pub(super) fn reload(arguments: &ReloadArguments) -> ExitCode {
    run(arguments).unwrap_or_else(|exit| exit).into()
}

fn run(arguments: &ReloadArguments) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let target = if arguments.dry_run { "/api/v1/reload?trial" } else { "/api/v1/reload" };
    let ask = || client.try_ask(&Method::POST, target, None);
    let mut outcome = ask();
    if let Some(pid) = arguments.pid.filter(|_| !is_understood(&outcome)) {
        hang_up(pid)?;
        let deadline = Instant::now() + SIGHUP_PATIENCE;
        while !is_understood(&outcome) && Instant::now() < deadline {
            pause();
            outcome = ask();
        }
    }
    let is_understood = is_understood(&outcome);
    let exit = match outcome {
        Ok(answer) => report(&answer, arguments.json),
        Err(problem) => {
            say(format_args!("shellac: {problem}"));
            Exit::Unavailable
        }
    };
    match arguments.pid {
        _ if is_understood => {}
        None => say(format_args!(
            "shellac: a running proxy knows admin.listen and admin.token as they were when it read its file; if the file has \
             others now, `kill -HUP PID` has it read them"
        )),
        Some(pid) => say(format_args!(
            "shellac: after SIGHUP, process {pid} does not know this address and token either: its log says what is wrong"
        )),
    }
    Ok(exit)
}

/// Returns whether a proxy answered that knows the token.
fn is_understood(outcome: &Result<AdminAnswer, String>) -> bool {
    outcome.as_ref().is_ok_and(|answer| answer.status != StatusCode::UNAUTHORIZED)
}

fn hang_up(pid: i32) -> Result<(), Exit> {
    let sent = Pid::from_raw(pid).ok_or(Errno::INVAL);
    sent.and_then(|pid| kill_process(pid, Signal::HUP)).map_err(|error| {
        say(format_args!("shellac: cannot send SIGHUP to process {pid}: {error}"));
        Exit::Unavailable
    })?;
    say(format_args!(
        "shellac: the running proxy does not know this address and token: process {pid} was sent SIGHUP, which has it read them"
    ));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a command line has no runtime to block")]
fn pause() {
    std::thread::sleep(LOOK);
}

fn report(answer: &AdminAnswer, is_json: bool) -> Exit {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if is_json && document.is_object() {
        let mut text = answer.body.to_vec();
        if text.last() != Some(&b'\n') {
            text.push(b'\n');
        }
        if std::io::stdout().write_all(&text).is_err() {
            return Exit::Io;
        }
    }
    if answer.status.is_success() {
        let is_written =
            is_json || std::io::stdout().write_all(lines(&document).as_bytes()).is_ok();
        return if is_written { Exit::Done } else { Exit::Io };
    }
    let Some(exit) = document.get("code").and_then(Value::as_str).and_then(exit_of) else {
        return answer.refused();
    };
    if let Some(shown) = document.get("shown").and_then(Value::as_str).filter(|_| !is_json) {
        say(format_args!("{}", shown.trim_end()));
    }
    say(format_args!("shellac: {}", answer.detail()));
    exit
}

fn exit_of(code: &str) -> Option<Exit> {
    match code {
        "bad_configuration" => Some(Exit::Config),
        "unreadable" | "cannot_bind" => Some(Exit::Io),
        "refused" => Some(Exit::No),
        _ => None,
    }
}

/// Returns the answer for people.
fn lines(document: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("(default)").to_owned();
    let list = |key: &str| document.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let listeners = |key: &str| {
        let all = document.get("listeners").and_then(|all| all.get(key)?.as_array());
        all.cloned().unwrap_or_default()
    };
    let is_applied = document.get("applied").and_then(Value::as_bool).unwrap_or_default();
    let mut page = String::new();
    let mut line = |label: &str, rest: &str| {
        // Writing to text cannot fail.
        let _written = writeln!(page, "  {label:<8} {rest}");
    };
    for (key, end) in [("changed", ""), ("needs_restart", "  (restart needed)")] {
        for change in list(key) {
            let [setting, before, after] =
                ["setting", "before", "after"].map(|key| change.get(key).map(text));
            let value = |value: Option<String>| value.unwrap_or_default();
            let change = format!("{}: {} → {}{end}", value(setting), value(before), value(after));
            line(if end.is_empty() { "change" } else { "not yet" }, &change);
        }
    }
    for listener in listeners("opened") {
        line("listen", &text(&listener));
    }
    for listener in listeners("closed") {
        line("closed", &text(&listener));
    }
    for setting in list("of_purger") {
        line("ignored", &format!("{}: the purger's", text(&setting)));
    }
    for warning in list("warnings") {
        line("warning", &text(&warning));
    }
    let (changed, waiting) = (list("changed").len(), list("needs_restart").len());
    let restart = match waiting {
        0 => String::new(),
        1 => ", 1 needs a restart".to_owned(),
        _ => format!(", {waiting} need a restart"),
    };
    let verb = if is_applied { "reloaded" } else { "would reload" };
    let settings = if changed == 1 { "setting" } else { "settings" };
    let hash = document.get("hash").map(text).unwrap_or_default();
    line(verb, &format!("{changed} {settings} changed{restart}, configuration {hash}"));
    page
}

/// Time for a proxy to read its file after SIGHUP.
const SIGHUP_PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_says_what_changed_and_what_needs_a_restart() {
        let document = json!({
            "applied": true,
            "hash": "0123456789abcdef",
            "changed": [{"setting": "cache.keep", "before": null, "after": "2h"}],
            "needs_restart": [{"setting": "workers", "before": "2", "after": "4"}],
            "of_purger": ["purger.topics"],
            "listeners": {"opened": ["web http://127.0.0.1:81"], "closed": []},
            "warnings": [],
        });
        assert_eq!(
            lines(&document),
            "  change   cache.keep: (default) → 2h\n  \
               not yet  workers: 2 → 4  (restart needed)\n  \
               listen   web http://127.0.0.1:81\n  \
               ignored  purger.topics: the purger's\n  \
               reloaded 1 setting changed, 1 needs a restart, configuration 0123456789abcdef\n"
        );
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        assert_eq!(exit_of("bad_configuration"), Some(Exit::Config));
        assert_eq!(exit_of("cannot_bind"), Some(Exit::Io));
        assert_eq!(exit_of("refused"), Some(Exit::No));
        assert_eq!(exit_of("something"), None);
    }
}
