//! `shellac-purger top`: the fleet as a screen of text, once a second.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, StatusCode};
use process::exit::Exit;
use process::terminal::{print, say};
use tokio::time::{Instant, sleep_until};

use super::block_on;
use super::own_listener::OwnListener;
use crate::admin::{FleetStatus, PartitionStatus, ProxyStatus, TargetStatus};
use crate::delivery::target::Target;

/// Selects the purger and the form of the output.
#[derive(Debug, Args)]
pub(super) struct TopArguments {
    #[command(flatten)]
    listener: OwnListener,
    /// Time between two screens
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1s")]
    interval: Duration,
    /// Print one screen and end
    #[arg(long)]
    once: bool,
    /// One JSON object a line instead of a screen
    #[arg(long)]
    json: bool,
}

/// Shows the screen until Ctrl-C. Exit code 75: some proxy is not up to date (with `--once`).
pub(super) fn top(arguments: &TopArguments) -> ExitCode {
    let purger = match arguments.listener.purger() {
        Ok(purger) => purger,
        Err(exit) => return exit.into(),
    };
    match block_on(follow(arguments, &purger)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(format_args!("shellac-purger: {error}"));
            Exit::Io.into()
        }
    }
}

async fn follow(arguments: &TopArguments, purger: &Target) -> Exit {
    let is_screen = !arguments.once && !arguments.json && io::stdout().is_terminal();
    let is_once = arguments.once || !is_screen && !arguments.json;
    if is_screen {
        control(ENTER);
    }
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut next = Instant::now();
    let exit = loop {
        let asked = ask(purger).await;
        let shown = match &asked {
            Ok(fleet) if arguments.json => {
                print(&(serde_json::to_string(fleet).unwrap_or_default() + "\n"))
            }
            Ok(fleet) if is_screen => {
                print(&format!("{HOME}{}", screen(fleet).replace('\n', "\x1b[K\n")))
            }
            Ok(fleet) => print(&screen(fleet)),
            Err(why) if is_screen => print(&format!("{HOME}{}: {why}\x1b[K\n", purger.url)),
            Err(why) => {
                say(format_args!(
                    "shellac-purger: {}: {why}; is `shellac-purger run` running there?",
                    purger.url
                ));
                break Exit::Unavailable;
            }
        };
        if shown != Exit::Done {
            break shown;
        }
        if is_once {
            break asked.map_or(Exit::Unavailable, |fleet| of(&fleet));
        }
        next = (next + arguments.interval).max(Instant::now());
        tokio::select! {
            _ = &mut interrupted => break Exit::Done,
            () = sleep_until(next) => {}
        }
    };
    if is_screen {
        control(LEAVE);
    }
    exit
}

async fn ask(purger: &Target) -> Result<FleetStatus, String> {
    let (status, body) = purger.ask(Method::GET, "/api/v1/fleet", Bytes::new()).await?;
    if status != StatusCode::OK {
        return Err(format!("{status}"));
    }
    serde_json::from_slice(&body).map_err(|error| format!("this is no purger's answer: {error}"))
}

fn of(fleet: &FleetStatus) -> Exit {
    let is_well = |proxy: &ProxyStatus| proxy.target.state == "ok";
    let is_well = fleet.kafka_connected && fleet.proxies.iter().all(is_well);
    if is_well { Exit::Done } else { Exit::Partial }
}

/// Draws the fleet in 80 columns.
fn screen(fleet: &FleetStatus) -> String {
    let mut text = String::new();
    let kafka = if fleet.kafka_connected { "connected" } else { "NOT CONNECTED" };
    let uptime = Duration::from_secs_f64(fleet.uptime_seconds.max(0.0).round());
    let _infallible = writeln!(
        text,
        "shellac-purger {}  {}  up {}  Kafka {kafka}  dead letters {}",
        fleet.version,
        fleet.purger,
        humantime::format_duration(uptime),
        fleet.dead_letters
    );
    if let (false, Some(why)) = (fleet.kafka_connected, &fleet.kafka_problem) {
        let _infallible = writeln!(text, "  {}", printable(why, 76));
    }
    let _infallible = writeln!(
        text,
        "\n{:<28} {:<8} {:>6} {:>8} {:>8} {:>7}  VERSION",
        "PROXY", "STATE", "HIT %", "REQ/S", "ORIGIN/S", "BEHIND"
    );
    for proxy in &fleet.proxies {
        text.push_str(&row(proxy));
    }
    if fleet.proxies.is_empty() {
        text.push_str("there is no proxy to deliver to: see purger.targets\n");
    }
    text.push_str(&drift(fleet));
    let _infallible = writeln!(
        text,
        "\n{:<30} {:>12} {:>12} {:>8} {:>8} {:>5}",
        "PARTITION", "CONFIRMED", "END", "BEHIND", "OLDEST", "OWED"
    );
    for partition in &fleet.partitions {
        text.push_str(&partition_row(partition));
    }
    text
}

fn row(proxy: &ProxyStatus) -> String {
    let live = proxy.live.as_ref();
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
    let ratio = live.and_then(|live| live.hit_ratio).map(|ratio| ratio * 100.0);
    let TargetStatus { url, state, lag, error, .. } = &proxy.target;
    let url = url.strip_prefix("http://").unwrap_or(url);
    let mut shown = format!(
        "{:<28} {state:<8} {:>6} {:>8} {:>8} {lag:>7}  {}\n",
        printable(url, 28),
        number(ratio),
        number(live.and_then(|live| live.requests_per_second)),
        number(live.and_then(|live| live.origin_requests_per_second)),
        live.map_or("-", |live| &live.version),
    );
    if let Some(why) = error.as_ref().or(proxy.live_problem.as_ref()) {
        let _infallible = writeln!(shown, "  {}", printable(why, 76));
    }
    shown
}

/// Says which proxies have another configuration than most.
fn drift(fleet: &FleetStatus) -> String {
    let hashes: Vec<(&str, &str)> = fleet
        .proxies
        .iter()
        .filter_map(|proxy| Some((&*proxy.target.url, &*proxy.live.as_ref()?.config_hash)))
        .collect();
    let count = |hash: &str| hashes.iter().filter(|(_, other)| *other == hash).count();
    let Some((_, usual)) = hashes.iter().max_by_key(|(_, hash)| count(hash)) else {
        return String::new();
    };
    let line = |(url, hash): &(&str, &str)| {
        format!(
            "  {} has the configuration {}, others {}\n",
            printable(url, 40),
            short(hash),
            short(usual)
        )
    };
    hashes.iter().filter(|(_, hash)| hash != usual).map(line).collect()
}

fn partition_row(partition: &PartitionStatus) -> String {
    let PartitionStatus {
        topic, partition: number, confirmed, end, lag, lag_seconds, owed, ..
    } = partition;
    let name = format!("{topic}/{number}");
    let end = end.map_or_else(|| "-".to_owned(), |end| end.to_string());
    let oldest = if *lag > 0 { format!("{lag_seconds:.1} s") } else { "-".to_owned() };
    let paused = if partition.full { "  paused" } else { "" };
    let name = printable(&name, 30);
    format!("{name:<30} {confirmed:>12} {end:>12} {lag:>8} {oldest:>8} {owed:>5}{paused}\n")
}

/// What others have sent, without control characters and cut to a number of characters.
fn printable(text: &str, max: usize) -> String {
    let shown: String = text.chars().filter(|character| !character.is_control()).collect();
    if shown.chars().count() <= max {
        return shown;
    }
    shown.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

fn short(hash: &str) -> String {
    printable(hash, 9)
}

fn control(sequence: &str) {
    let mut stdout = io::stdout();
    let _not_on_a_terminal = stdout.write_all(sequence.as_bytes()).and_then(|()| stdout.flush());
}

/// Another screen, without a cursor, that wraps no line.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// To the upper left; what is below is cleared once it is written over.
const HOME: &str = "\x1b[H\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::LiveSummary;

    fn proxy(url: &str, state: &str, config: Option<&str>) -> ProxyStatus {
        let live = config.map(|hash| LiveSummary {
            version: "0.1.0".to_owned(),
            config_hash: hash.to_owned(),
            hit_ratio: Some(0.9312),
            requests_per_second: Some(1940.04),
            ..LiveSummary::default()
        });
        let error = live.is_none().then(|| "connection \x1b[31mrefused\n".to_owned());
        let target = TargetStatus {
            url: url.to_owned(),
            state: state.to_owned(),
            instance: String::new(),
            positions: Vec::new(),
            lag: 3,
            last_answer_seconds: None,
            error,
        };
        ProxyStatus { target, live, live_problem: None }
    }

    fn fleet(proxies: Vec<ProxyStatus>) -> FleetStatus {
        let partition = PartitionStatus {
            topic: "cache-purge".to_owned(),
            partition: 2,
            read_to: 12,
            confirmed: 10,
            end: Some(13),
            lag: 3,
            lag_seconds: 1.25,
            full: false,
            owed: 0,
        };
        FleetStatus {
            version: "0.1.0".to_owned(),
            uptime_seconds: 61.2,
            purger: "purger-0".to_owned(),
            kafka_connected: true,
            kafka_problem: None,
            partitions: vec![partition],
            proxies,
            dead_letters: 0,
        }
    }

    #[test]
    fn a_screen_has_a_row_for_each_proxy_and_names_drift() {
        let proxies = vec![
            proxy("http://proxy-0:8081", "ok", Some("aaaa")),
            proxy("http://proxy-1:8081", "ok", Some("aaaa")),
            proxy("http://proxy-2:8081", "behind", Some("bbbb")),
            proxy("http://proxy-3:8081", "down", None),
        ];
        let text = screen(&fleet(proxies));
        let row: Vec<&str> = text.lines().nth(3).unwrap().split_whitespace().collect();
        assert_eq!(row, ["proxy-0:8081", "ok", "93.1", "1940.0", "-", "3", "0.1.0"]);
        assert!(text.contains("http://proxy-2:8081 has the configuration bbbb, others aaaa"));
        assert!(!text.contains('\x1b'), "what proxies say controls no terminal: {text:?}");
        assert!(text.contains("cache-purge/2"));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_fleet_without_proxies_says_so() {
        let text = screen(&fleet(Vec::new()));
        assert!(text.contains("purger.targets"));
        assert_eq!(of(&fleet(Vec::new())), Exit::Done);
        assert_eq!(of(&fleet(vec![proxy("http://p", "down", None)])), Exit::Partial);
    }
}
