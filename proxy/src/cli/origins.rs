//! `shellac origins`: the servers of a running proxy's origins, and orders to them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::{print, say};

#[derive(Debug, Args)]
pub(super) struct OriginsArguments {
    #[command(subcommand)]
    command: Option<OriginsCommand>,
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum OriginsCommand {
    /// Show every server, whether it gets requests, and why not; the default
    List,
    /// Send a server no new requests; those in flight end, and probes go on
    Drain(ServerArguments),
    /// Send a server requests again, beginning with a few
    Enable(ServerArguments),
    /// Send a server neither requests nor probes
    Disable(ServerArguments),
    /// Probe a server now; the exit code is 1 if the answer is not as expected
    Check(ServerArguments),
}

#[derive(Debug, Args)]
struct ServerArguments {
    /// The name of the origin, from `[origin.NAME]`
    origin: String,
    /// The server's address as `list` shows it
    server: String,
}

/// Runs the command.
pub(super) fn origins(arguments: &OriginsArguments) -> ExitCode {
    let exit = match &arguments.command {
        None | Some(OriginsCommand::List) => list(arguments),
        Some(OriginsCommand::Drain(server)) => assign(arguments, server, "drain"),
        Some(OriginsCommand::Enable(server)) => assign(arguments, server, "enabled"),
        Some(OriginsCommand::Disable(server)) => assign(arguments, server, "disabled"),
        Some(OriginsCommand::Check(server)) => check(arguments, server),
    };
    exit.unwrap_or_else(|exit| exit).into()
}

fn list(arguments: &OriginsArguments) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let answer = client.ask(&Method::GET, "/api/v1/origins", None)?;
    show(&answer, arguments.json, table)
}

fn assign(
    arguments: &OriginsArguments,
    server: &ServerArguments,
    state: &str,
) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let content = json!({"state": state});
    let answer = client.ask(&Method::PATCH, &server.path(), Some(&content))?;
    show(&answer, arguments.json, line)
}

fn check(arguments: &OriginsArguments, server: &ServerArguments) -> Result<Exit, Exit> {
    let client = AdminClient::of(&arguments.admin)?;
    let answer = client.ask(&Method::POST, &format!("{}/check", server.path()), None)?;
    let exit = show(&answer, arguments.json, check_line)?;
    let document = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let is_good = document.pointer("/check/is_good") == Some(&Value::Bool(true));
    Ok(if is_good { exit } else { Exit::No })
}

impl ServerArguments {
    fn path(&self) -> String {
        let (origin, server) = (encoded(&self.origin), encoded(&self.server));
        format!("/api/v1/origins/{origin}/servers/{server}")
    }
}

/// Prints an answer as it is, or as text for people.
fn show(answer: &AdminAnswer, is_json: bool, text: fn(&Value) -> String) -> Result<Exit, Exit> {
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        say(format_args!("shellac: the proxy's answer is not JSON: is --admin right?"));
        return Err(Exit::Unavailable);
    };
    if let Some(warning) = document.get("warning").and_then(Value::as_str).filter(|_| !is_json) {
        say(format_args!("shellac: {warning}"));
    }
    let page = if is_json { answer.text().into_owned() } else { text(&document) };
    Ok(print(&page))
}

fn table(document: &Value) -> String {
    let mut lines = Vec::new();
    for origin in document["origins"].as_array().into_iter().flatten() {
        let counts = ["in_flight", "queued"].map(|key| origin[key].as_u64().unwrap_or(0));
        let circuit = match origin["circuit"].as_str() {
            None | Some("closed") => String::new(),
            Some(state) => format!(", circuit {state}"),
        };
        let [in_flight, queued] = counts;
        let name = text_of(&origin["name"]);
        lines.push(format!("{name}  {in_flight} in flight, {queued} queued{circuit}\n"));
        for server in origin["servers"].as_array().into_iter().flatten() {
            lines.push(format!("  {}\n", row(server)));
        }
    }
    lines.concat()
}

fn line(server: &Value) -> String {
    format!("{}\n", row(server))
}

fn row(server: &Value) -> String {
    let latency = server["latency_ms"].as_f64().map(|millis| format!("{millis} ms"));
    let in_flight =
        server["in_flight"].as_u64().map_or_else(String::new, |count| count.to_string());
    let mut row = format!(
        "{:<28} {:<12} {:>8}  {in_flight:>4}  {:>9}",
        text_of(&server["server"]),
        text_of(&server["state"]),
        span(server["lasted_seconds"].as_u64().unwrap_or(0)),
        latency.as_deref().unwrap_or("-"),
    );
    let last = &server["last_probe"];
    let told = [&server["reason"], &last["error"]].into_iter().filter_map(Value::as_str);
    let told: Vec<&str> = told.collect();
    if !told.is_empty() {
        row.push_str("  ");
        row.push_str(&told.join("; last probe: "));
    }
    row.truncate(row.trim_end().len());
    row
}

fn check_line(server: &Value) -> String {
    let check = &server["check"];
    let result = match (check["error"].as_str(), check["status"].as_u64()) {
        (Some(error), _) => error.to_owned(),
        (None, Some(status)) => format!("{status} in {} ms", check["took_ms"]),
        (None, None) => format!("connected in {} ms", check["took_ms"]),
    };
    format!("{} {result}\n", text_of(&server["server"]))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A time in its largest units.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Encodes what a path segment cannot hold.
/// Escapes what may not stand in a part of a URL.
pub(super) fn encoded(text: &str) -> String {
    let encode = |byte: u8| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
        if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_shown_with_the_reason_for_its_state() {
        let sick = json!({
            "server": "10.0.0.1:3000", "state": "sick", "lasted_seconds": 75, "latency_ms": 12.5,
            "reason": "2 of the last 8 probes were good, 3 are needed",
            "last_probe": {"error": "status 503 is not expected"},
        });
        assert_eq!(
            row(&sick),
            "10.0.0.1:3000                sick            1m15s          12.5 ms  \
             2 of the last 8 probes were good, 3 are needed; last probe: status 503 is not expected"
        );
        let up = json!({"server": "a:1", "state": "up", "lasted_seconds": 1, "in_flight": 3});
        assert_eq!(row(&up), "a:1                          up                 1s     3          -");
        let document = json!({"origins": [
            {"name": "app", "circuit": "open", "in_flight": 4, "queued": 0, "servers": [up]},
        ]});
        assert!(table(&document).starts_with("app  4 in flight, 0 queued, circuit open\n  a:1"));
    }

    #[test]
    fn a_probe_says_what_came_back() {
        for (check, said) in [
            (json!({"is_good": true, "status": 200, "took_ms": 1.5}), "200 in 1.5 ms"),
            (json!({"is_good": true, "status": null, "took_ms": 1.5}), "connected in 1.5 ms"),
            (json!({"is_good": false, "error": "a:1 refused"}), "a:1 refused"),
        ] {
            let document = json!({"server": "a:1", "check": check});
            assert_eq!(check_line(&document), format!("a:1 {said}\n"));
        }
    }

    #[test]
    fn names_become_path_segments() {
        assert_eq!(encoded("10.0.0.1:80"), "10.0.0.1:80");
        assert_eq!(encoded("unix:/run/a b"), "unix:%2Frun%2Fa%20b");
        assert_eq!(encoded("[::1]:80"), "%5B::1%5D:80");
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, shown) in [(9, "9s"), (75, "1m15s"), (7_260, "2h1m"), (180_000, "2d2h")] {
            assert_eq!(span(seconds), shown);
        }
    }
}
