//! `shellac explain`: why a request is answered as it is, asked of a running proxy.

#![expect(clippy::format_push_string, reason = "text for people, a few lines of it")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value does not hold is null")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::admin_client::{AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::say;

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArguments {
    /// The URL, with scheme and host
    url: String,
    /// The method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A field of the request, `NAME: VALUE`; again and again
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// A cookie of the request, `NAME=VALUE`; again and again
    #[arg(long, value_name = "PAIR")]
    cookie: Vec<String>,
    /// Ask the origin as a request would, so that it is known whether the response is stored
    #[arg(long)]
    fetch: bool,
    /// The listener at which the request comes [default: the first one]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Exit with 1 unless this is so
    #[arg(long, value_name = "OUTCOME")]
    expect: Option<Expectation>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expectation {
    /// A stored response answers, fresh or stale
    Hit,
    /// A stored response answers, or the one that is fetched is stored; needs `--fetch` for what
    /// is not stored yet
    Cacheable,
    /// The cache is not asked
    Bypass,
}

/// A configuration's name and text.
type ConfigFile = (String, String);

/// Runs the command.
pub(super) fn explain(arguments: &ExplainArguments) -> ExitCode {
    match run(arguments) {
        Ok(exit) | Err(exit) => exit.into(),
    }
}

fn run(arguments: &ExplainArguments) -> Result<Exit, Exit> {
    let question = question(arguments).map_err(|error| {
        say(format_args!("shellac: {error}"));
        Exit::Usage
    })?;
    let client = AdminClient::of(&arguments.admin)?;
    let answer = client.ask(&Method::POST, "/api/v1/explain", Some(&question))?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        say(format_args!("shellac: the proxy's answer is not JSON: is --admin right?"));
        return Err(Exit::Unavailable);
    };
    let file = arguments.admin.config_file();
    let page =
        if arguments.json { format!("{document}\n") } else { page(&document, file.as_ref()) };
    if std::io::stdout().write_all(page.as_bytes()).is_err() {
        return Err(Exit::Io);
    }
    match arguments.expect {
        Some(expected) if !is_met(expected, &document["verdict"]) => {
            let outcome = document["verdict"]["outcome"].as_str().unwrap_or_default();
            say(format_args!("shellac: expected {expected:?}, and it is: {outcome}"));
            Ok(Exit::No)
        }
        _ => Ok(Exit::Done),
    }
}

fn question(arguments: &ExplainArguments) -> Result<Value, String> {
    let mut headers = Vec::new();
    for field in &arguments.headers {
        let (name, value) = field
            .split_once(':')
            .ok_or_else(|| format!("`{field}` is no field: write \"NAME: VALUE\""))?;
        headers.push(json!([name.trim(), value.trim()]));
    }
    if !arguments.cookie.is_empty() {
        headers.push(json!(["cookie", arguments.cookie.join("; ")]));
    }
    let url = if arguments.url.contains("://") {
        arguments.url.clone()
    } else {
        format!("http://{}", arguments.url)
    };
    let scheme = url.split("://").next().unwrap_or_default();
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(format!("`{url}` is no URL of http or https"));
    }
    let mut question = json!({
        "url": url, "method": arguments.method, "headers": headers, "fetch": arguments.fetch,
    });
    if let (Some(listener), Some(map)) = (&arguments.listener, question.as_object_mut()) {
        map.insert("listener".to_owned(), json!(listener));
    }
    Ok(question)
}

fn is_met(expected: Expectation, verdict: &Value) -> bool {
    let outcome = verdict["outcome"].as_str().unwrap_or_default();
    match expected {
        Expectation::Hit => matches!(outcome, "hit" | "stale"),
        Expectation::Cacheable => verdict["is_cacheable"] == true,
        Expectation::Bypass => outcome == "bypass",
    }
}

/// Writes the steps for people.
fn page(document: &Value, file: Option<&ConfigFile>) -> String {
    let text = |value: &Value| value.as_str().map(printable).unwrap_or_default();
    let mut page = format!("{} {}\n", text(&document["method"]), text(&document["url"]));
    let mut number = 0;
    let mut step = |name: &str, line: String| {
        number += 1;
        page.push_str(&format!("  {number} {name:<9} {line}\n"));
    };
    let listener = &document["listener"];
    let trust = if listener["is_trusted"] == true { ", trusted" } else { "" };
    step(
        "listener",
        format!("{}, from {}{trust}", text(&listener["name"]), text(&listener["peer"])),
    );
    let rules = document["rules"].as_array().cloned().unwrap_or_default();
    if rules.is_empty() {
        step("rules", "none matches".to_owned());
    }
    for rule in &rules {
        let place = rule["number"].as_u64().map(|number| place(file, number)).unwrap_or_default();
        step("rule", format!("\"{}\"{place}", text(&rule["name"])));
    }
    step("key", key(&document["key"]));
    step("request", request(&document["request"]));
    step("lookup", lookup(&document["lookup"], &document["last_purge"]));
    step("origin", origin(&document["origin"]));
    step("store", store(&document["store"], &document["verdict"]));
    page.push_str(&verdict(&document["verdict"]));
    page
}

/// Returns where the rule with this number stands, as far as the file is here.
fn place(file: Option<&ConfigFile>, number: u64) -> String {
    let line = file.and_then(|(name, content)| {
        let is_head = |line: &str| line.split('#').next().unwrap_or_default().trim() == "[[rule]]";
        let mut heads = content.lines().enumerate().filter(|(_, line)| is_head(line));
        let (line, _) = heads.nth(usize::try_from(number).ok()?.checked_sub(1)?)?;
        Some(format!("  {name}:{}", line + 1))
    });
    line.unwrap_or_else(|| format!("  [[rule]] number {number} of the configuration"))
}

fn key(key: &Value) -> String {
    let mut text = key["url"].as_str().map(printable).unwrap_or_default();
    if key["is_apart"] == true {
        text.push_str("  kept apart by its rules");
    }
    for (name, what) in [("dropped_parameters", "?"), ("dropped_cookies", "cookie ")] {
        let dropped: Vec<String> = names(&key[name]).map(|name| format!("{what}{name}")).collect();
        if !dropped.is_empty() {
            text.push_str(&format!("\n              dropped {}", printable(&dropped.join(", "))));
        }
    }
    text
}

fn request(request: &Value) -> String {
    if request["may_be_cached"] == true {
        return "may be answered from the cache".to_owned();
    }
    let cookies: Vec<&str> = names(&request["cookies"]).collect();
    match request["reason"].as_str() {
        Some("cookie") => format!("bypasses the cache: cookie {}", printable(&cookies.join(", "))),
        Some(reason) => format!("bypasses the cache: {reason}"),
        None => "goes no further".to_owned(),
    }
}

fn lookup(lookup: &Value, last_purge: &Value) -> String {
    if lookup.is_null() {
        return format!("none: the cache is not asked{}", purge(last_purge));
    }
    let mut text = lookup["why"].as_str().unwrap_or_default().to_owned();
    if let (Some(age), Some(ttl)) = (lookup["age"].as_u64(), lookup["ttl"].as_i64()) {
        let lifetime = &lookup["lifetime"];
        text.push_str(&format!("  age {age} s, ttl {ttl} s of {lifetime} s"));
    }
    if let Some(marker) = lookup["marker"].as_str() {
        text.push_str(&format!("  {marker}, for {} s more", lookup["marker_seconds"]));
    }
    if let Some(seconds) = lookup["purge"]["seconds_ago"].as_u64() {
        text.push_str(&format!("  {seconds} s ago"));
    }
    let variants = lookup["variants"].as_u64().unwrap_or_default();
    let fields: Vec<&str> = names(&lookup["variants_differ_by"]).collect();
    if variants > 0 && !fields.is_empty() {
        text.push_str(&format!(
            "\n              {variants} variants are in memory, by {}",
            fields.join(", ")
        ));
    }
    text.push_str(&purge(last_purge));
    if last_purge.is_null() && matches!(lookup["purge"]["mode"].as_str(), Some("hard" | "soft")) {
        text.push_str("\n              the purge that hit it is not among the last 1,000");
    }
    text
}

/// Writes a line about the last purge of the page; nothing where none is known.
fn purge(purge: &Value) -> String {
    let text = |key: &str| purge[key].as_str().map(printable);
    let Some(selector) = text("selector") else { return String::new() };
    let ago = purge["seconds_ago"].as_u64().unwrap_or_default();
    let ago = humantime::format_duration(Duration::from_secs(ago));
    let place = text("position").or_else(|| text("client")).unwrap_or_default();
    let reason = text("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "\n              last purged {ago} ago by {selector}, {}, from {} {place}{reason}",
        text("mode").unwrap_or_default(),
        text("source").unwrap_or_default(),
    )
}

fn origin(origin: &Value) -> String {
    let Some(name) = origin["name"].as_str() else { return "none is asked".to_owned() };
    let servers = origin["servers"].as_array().into_iter().flatten();
    let servers: Vec<String> = servers
        .map(|server| {
            let text = |key: &str| server[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("server"), text("state"))
        })
        .collect();
    format!(
        "{name}, because {}: {}",
        origin["because"].as_str().unwrap_or_default(),
        servers.join(", ")
    )
}

fn store(store: &Value, verdict: &Value) -> String {
    if store.is_null() {
        return match verdict["outcome"].as_str() {
            Some("miss" | "validation" | "bypass") => {
                "not known before the origin is asked: --fetch".to_owned()
            }
            _ => "nothing to store".to_owned(),
        };
    }
    let word = if store["is_stored"] == true { "YES" } else { "NO" };
    let millis = store["seconds"].as_f64().unwrap_or_default() * 1000.0;
    let cause = store["cause"].as_str().map(|cause| format!("  {cause}")).unwrap_or_default();
    let (status, bytes) = (&store["status"], &store["bytes"]);
    format!("{word}  {status} after {millis:.0} ms, {bytes} bytes{cause}")
}

fn verdict(verdict: &Value) -> String {
    let text = |key: &str| verdict[key].as_str();
    let outcome = text("outcome").unwrap_or_default();
    let cacheable = match verdict["is_cacheable"].as_bool() {
        Some(true) => "such responses are stored",
        Some(false) => "such a response is never a hit",
        None => "whether it can be a hit is not known yet",
    };
    let mut page = format!("=> {outcome}: {cacheable}");
    if let (Some(reason), Some(cause), Some(remedy)) =
        (text("reason"), text("cause"), text("remedy"))
    {
        page.push_str(&format!(" ({reason}). {cause}\n   {remedy}"));
    }
    page.push('\n');
    if let Some(fix) = text("fix") {
        for line in printable(fix).lines() {
            page.push_str(&format!("     {line}\n"));
        }
    }
    page
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Leaves no control character to a terminal.
fn printable(text: &str) -> String {
    let shown =
        |letter: char| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter };
    text.chars().map(shown).collect()
}

const EXAMPLES: &str = "Examples:
  shellac explain https://shop.example/p/42?utm_source=x
  shellac explain https://shop.example/p/42 --cookie ab_bucket=b -H 'Accept-Language: de'
  shellac explain https://shop.example/p/42 --fetch --expect cacheable

Without --fetch nothing is sent to an origin.";

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({
            "method": "GET", "url": "https://h/p?utm_source=x",
            "listener": {"name": "main", "peer": "127.0.0.1:0", "is_trusted": false},
            "rules": [{"name": "pages", "number": 2}],
            "key": {"url": "https://h/p", "hash": "0", "is_apart": false,
                "dropped_parameters": ["utm_source"], "dropped_cookies": ["_ga"]},
            "request": {"may_be_cached": true, "reason": null, "cookies": []},
            "lookup": {"fwd": "uri-miss", "why": "nothing is stored under this key",
                "variants": 0, "variants_differ_by": []},
            "last_purge": {"selector": "tag product-42", "mode": "hard", "seconds_ago": 192,
                "source": "kafka", "client": null, "position": "cache-purge/2@18811",
                "event": "01JD", "reason": "price change", "objects": 3},
            "origin": {"name": "app", "because": "it claims the host and the path",
                "servers": [{"server": "127.0.0.1:3000", "state": "up", "in_flight": 0}]},
            "store": {"is_stored": false, "status": 200, "seconds": 0.083, "bytes": 41,
                "reason": "set_cookie", "cause": "The response sets a cookie."},
            "verdict": {"outcome": "miss", "is_cacheable": false, "reason": "set_cookie",
                "cause": "The response sets a cookie.", "remedy": "Set it elsewhere.",
                "fix": "[[rule]]\npath = \"/p\"\n"},
        })
    }

    #[test]
    fn the_steps_are_told_one_by_one_and_end_with_the_fix() {
        let content =
            "# x\n[[rule]]  # pages\nname = \"a\"\n\n[[rule]]\nname = \"pages\"\n".to_owned();
        let page = page(&document(), Some(&("c.toml".to_owned(), content)));
        let expected = "\
GET https://h/p?utm_source=x
  1 listener  main, from 127.0.0.1:0
  2 rule      \"pages\"  c.toml:5
  3 key       https://h/p
              dropped ?utm_source
              dropped cookie _ga
  4 request   may be answered from the cache
  5 lookup    nothing is stored under this key
              last purged 3m 12s ago by tag product-42, hard, from kafka cache-purge/2@18811: price change
  6 origin    app, because it claims the host and the path: 127.0.0.1:3000 up
  7 store     NO  200 after 83 ms, 41 bytes  The response sets a cookie.
=> miss: such a response is never a hit (set_cookie). The response sets a cookie.
   Set it elsewhere.
     [[rule]]
     path = \"/p\"
";
        assert_eq!(page, expected);
    }

    #[test]
    fn a_purge_that_is_not_remembered_is_said_to_be_none_of_the_last() {
        let found = json!({"why": "it was purged", "purge": {"mode": "hard"}});
        let told = lookup(&found, &Value::Null);
        assert!(told.ends_with("is not among the last 1,000"), "{told}");
        let by_hand = json!({"selector": "all", "mode": "soft", "seconds_ago": 0,
            "source": "admin", "client": "127.0.0.1", "position": null, "reason": null});
        let told = lookup(&Value::Null, &by_hand);
        let expected = "none: the cache is not asked\n              last purged 0s ago by all, soft, from admin 127.0.0.1";
        assert_eq!(told, expected);
    }

    #[test]
    fn an_expectation_is_about_the_verdict() {
        use Expectation::{Bypass, Cacheable, Hit};
        let verdict = |outcome: &str, is_cacheable: Value| json!({"outcome": outcome, "is_cacheable": is_cacheable});
        assert!(is_met(Hit, &verdict("stale", true.into())));
        assert!(!is_met(Hit, &verdict("miss", true.into())));
        assert!(is_met(Cacheable, &verdict("miss", true.into())));
        assert!(!is_met(Cacheable, &verdict("miss", Value::Null)));
        assert!(is_met(Bypass, &verdict("bypass", false.into())));
    }
}
