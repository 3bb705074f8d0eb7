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

/// What is asked before something that cannot be taken back.
pub(super) struct AskedStep {
    pub(super) effect: &'static str,
    pub(super) words: &'static str,
}

/// Has readiness say that nothing is to be sent; the proxy goes on.
pub(super) fn drain(arguments: &DrainArguments) -> ExitCode {
    run(arguments).unwrap_or_else(|exit| exit).into()
}

fn run(arguments: &DrainArguments) -> Result<Exit, Exit> {
    let question = AskedStep {
        effect: "load balancers will send nothing here",
        words: "Load balancers will send nothing here until `shellac undrain`. Drain? [y/N]",
    };
    if !arguments.yes && !question.is_confirmed() {
        return Err(Exit::Usage);
    }
    let UndrainArguments { admin, json } = &arguments.target;
    let client = AdminClient::of(admin)?;
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    loop {
        let answer = client.ask(&Method::POST, "/api/v1/drain", None)?;
        if !answer.status.is_success() {
            return Err(answer.refused());
        }
        let left = connections(&answer);
        if left == 0 || Instant::now() >= deadline {
            let is_in_time = left == 0 || arguments.timeout == 0;
            let exit = if is_in_time { Exit::Done } else { Exit::Partial };
            return Ok(report(&answer, *json, exit));
        }
        pause();
    }
}

pub(super) fn undrain(arguments: &UndrainArguments) -> ExitCode {
    let client = AdminClient::of(&arguments.admin);
    match client.and_then(|client| client.ask(&Method::POST, "/api/v1/undrain", None)) {
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

impl AskedStep {
    /// Asks on a terminal; anywhere else, `--yes` is needed.
    pub(super) fn is_confirmed(&self) -> bool {
        if !std::io::stdin().is_terminal() {
            say(format_args!("shellac: {}: say --yes", self.effect));
            return false;
        }
        say(format_args!("{}", self.words));
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("y")
    }
}

#[expect(clippy::disallowed_methods, reason = "a command line has no runtime to block")]
fn pause() {
    thread::sleep(LOOK);
}

const LOOK: Duration = Duration::from_millis(250);
