//! `shellac drain` and `shellac undrain`: readiness of a running proxy off and on.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::admin_client::{AdminAnswer, AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
pub(super) struct DrainArguments {
    /// Wait up to this many seconds until no client is connected any more
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    target: UndrainArguments,
}

#[derive(Debug, Args)]
pub(super) struct UndrainArguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Has readiness say that nothing is to be sent; the proxy goes on.
pub(super) fn drain(arguments: &DrainArguments) -> ExitCode {
    if !arguments.yes && !is_confirmed() {
        return Exit::Usage.into();
    }
    let UndrainArguments { admin, json } = &arguments.target;
    let client = AdminClient::of(admin);
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    loop {
        let answer = match client.ask(&Method::POST, "/api/v1/drain", None) {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => return answer.refused().into(),
            Err(exit) => return exit.into(),
        };
        let left = connections(&answer);
        if left == 0 || Instant::now() >= deadline {
            let is_in_time = left == 0 || arguments.timeout == 0;
            return report(&answer, *json, if is_in_time { Exit::Done } else { Exit::Partial })
                .into();
        }
        pause();
    }
}

pub(super) fn undrain(arguments: &UndrainArguments) -> ExitCode {
    match AdminClient::of(&arguments.admin).ask(&Method::POST, "/api/v1/undrain", None) {
        Ok(answer) if answer.status.is_success() => {
            report(&answer, arguments.json, Exit::Done).into()
        }
        Ok(answer) => answer.refused().into(),
        Err(exit) => exit.into(),
    }
}

fn connections(answer: &AdminAnswer) -> u64 {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    document.get("connections").and_then(Value::as_u64).unwrap_or_default()
}

fn report(answer: &AdminAnswer, is_json: bool, exit: Exit) -> Exit {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let is_drained = document.get("drained").and_then(Value::as_bool).unwrap_or_default();
    let state = if is_drained { "drained: readiness answers 503" } else { "ready again" };
    let text = if is_json {
        String::from_utf8_lossy(&answer.body).into_owned()
    } else {
        format!("  {state}, {} client connections\n", connections(answer))
    };
    if std::io::stdout().write_all(text.as_bytes()).is_ok() { exit } else { Exit::Io }
}

/// Asks on a terminal; anywhere else, `--yes` is needed.
fn is_confirmed() -> bool {
    if !std::io::stdin().is_terminal() {
        say(format_args!("shellac: load balancers will send nothing here: say --yes"));
        return false;
    }
    say(format_args!(
        "Load balancers will send nothing here until `shellac undrain`. Drain? [y/N]"
    ));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("y")
}

#[expect(clippy::disallowed_methods, reason = "a command line has no runtime to block")]
fn pause() {
    thread::sleep(LOOK);
}

const LOOK: Duration = Duration::from_millis(250);
