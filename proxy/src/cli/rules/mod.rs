//! `shellac rules`: which rules match a request, and what of it they decide.

mod explanation;
mod tests_of_file;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use self::explanation::{Explanation, RuleQuestion};
use super::admin_client::{AdminArguments, AdminClient};
use process::configuration::{load, refused};
use process::exit::Exit;
use process::terminal::{print, say};
use settings::{Config, Flags, PRESETS, Sources};

#[derive(Debug, Args)]
pub(super) struct RulesArguments {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Show the rules of a running proxy, with what was counted of each
    List(ListArguments),
    /// Say which rules of a configuration match a request, and what each of them decides
    Match(MatchArguments),
    /// Compare what rules make of requests with what a file expects; the exit code is 1 if they
    /// differ
    Test(TestArguments),
    /// Print the rules of a preset
    Print(PrintArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct MatchArguments {
    /// Scheme, host and path with query
    url: String,
    /// The configuration file; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(short = 'X', long, default_value = "GET")]
    method: Method,
    /// A field of the request, several times if there are several
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The client's address
    #[arg(long, value_name = "ADDR")]
    client: Option<IpAddr>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TestArguments {
    /// TOML with `[[test]]` tables: url, method, header, client; rules, key, decision, origin
    file: PathBuf,
    /// The configuration file; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct PrintArguments {
    /// The name of the preset; without one, all names
    preset: Option<String>,
}

/// Runs the command.
pub(super) fn rules(arguments: RulesArguments) -> ExitCode {
    let exit = match arguments.command {
        RulesCommand::List(arguments) => list(&arguments),
        RulesCommand::Match(arguments) => explain(arguments),
        RulesCommand::Test(arguments) => test(arguments),
        RulesCommand::Print(arguments) => print_preset(&arguments),
    };
    exit.unwrap_or_else(|exit| exit).into()
}

fn list(arguments: &ListArguments) -> Result<Exit, Exit> {
    let answer = AdminClient::of(&arguments.admin)?.ask(&Method::GET, "/api/v1/rules", None)?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        say(format_args!("shellac: the proxy's answer is not JSON: is --admin right?"));
        return Err(Exit::Unavailable);
    };
    Ok(print(&if arguments.json { answer.text().into_owned() } else { table(&document) }))
}

fn table(document: &Value) -> String {
    let mut page = format!(
        "{:<32} {:>10} {:>10} {:>10} {:>10} {:>14} {:>11}\n",
        "rule", "matches", "hits", "misses", "uncached", "sent bytes", "origin ms"
    );
    for rule in document["rules"].as_array().into_iter().flatten() {
        let count = |key: &str| rule[key].as_u64().unwrap_or_default();
        let row = format!(
            "{:<32} {:>10} {:>10} {:>10} {:>10} {:>14} {:>11}\n",
            rule["name"].as_str().unwrap_or("?"),
            count("matches"),
            count("hits"),
            count("misses"),
            count("uncached"),
            count("sent_bytes"),
            count("origin_ms"),
        );
        page.push_str(&row);
    }
    page
}

fn explain(arguments: MatchArguments) -> Result<Exit, Exit> {
    let MatchArguments { url, config, method, headers, client, json } = arguments;
    let config = configuration(config)?;
    let fields = headers.into_iter().collect::<HeaderMap>();
    let explanation = Explanation::of(&config, RuleQuestion { url, method, fields, client });
    let explanation = explanation.map_err(|problem| {
        say(format_args!("shellac: {problem}"));
        Exit::Usage
    })?;
    Ok(print(&if json { format!("{}\n", explanation.document()) } else { explanation.to_string() }))
}

fn test(arguments: TestArguments) -> Result<Exit, Exit> {
    let config = configuration(arguments.config)?;
    let text = std::fs::read_to_string(&arguments.file).map_err(|error| {
        say(format_args!("shellac: cannot read {}: {error}", arguments.file.display()));
        Exit::Io
    })?;
    let name = arguments.file.display().to_string();
    let tests = settings::RuleTest::read_all(&name, &text).map_err(refused)?;
    let (page, failed) = tests_of_file::run(&config, tests);
    Ok(match print(&page) {
        Exit::Done if failed > 0 => Exit::No,
        printed => printed,
    })
}

fn print_preset(arguments: &PrintArguments) -> Result<Exit, Exit> {
    let Some(name) = &arguments.preset else {
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        return Ok(print(&[names.join("\n").as_str(), "\n"].concat()));
    };
    if let Some(rules) = settings::preset(name) {
        return Ok(print(rules));
    }
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    say(format_args!("shellac: there is no preset `{name}`: {}", names.join(", ")));
    Err(Exit::Usage)
}

fn configuration(config: Option<PathBuf>) -> Result<Config, Exit> {
    let flags = Flags { config, ..Flags::default() };
    if let Ok(sources) = Sources::of_process(flags.clone())
        && sources.file.is_none()
        && !sources.environment.iter().any(|(name, _)| name.starts_with(SETTINGS))
    {
        say(format_args!(
            "shellac: there is no configuration file here: this command reads one, so give it \
             --config FILE; a running proxy says the same by `shellac explain URL`"
        ));
        return Err(Exit::Config);
    }
    load(flags)
}

/// Variables that begin so are settings.
const SETTINGS: &str = "SHELLAC__";

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a field is NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_malformed| "not the name of a field".to_owned())?;
    let value = value.trim().parse().map_err(|_malformed| "not the value of a field".to_owned())?;
    Ok((name, value))
}
