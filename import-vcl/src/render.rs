//! The configuration as text, and the check that it is one.

use settings::{Config, ConfigErrors, Sources};

use crate::draft::{ConfigDraft, DraftOrigin, DraftRule, General};
use crate::remark::{Remark, StatementFate};
use crate::toml;

/// Lines that stand or fall together.
#[derive(Debug)]
struct Part {
    /// The line of the VCL that they come from.
    source: usize,
    /// What they set, for a report.
    subject: String,
    lines: Vec<String>,
    /// The file is a configuration without them.
    is_optional: bool,
}

impl Part {
    fn fixed(lines: &[&str]) -> Self {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Self { source: 0, subject: String::new(), lines, is_optional: false }
    }

    fn setting(source: usize, key: &str, value: &str) -> Self {
        let lines = vec![format!("{key} = {value}")];
        Self { source, subject: format!("{key} = {value}"), lines, is_optional: true }
    }
}

/// Writes the configuration. What `shellac check` would refuse is left out and reported.
pub(crate) fn render(name: &str, draft: &mut ConfigDraft) -> Result<String, ConfigErrors> {
    let mut parts = parts(draft);
    loop {
        let text = text(&parts);
        let sources = Sources { file: Some((FILE.to_owned(), text)), ..Sources::default() };
        match Config::load(&sources) {
            Ok(_config) => break,
            Err(errors) => {
                if !leave_out(&mut parts, &errors, draft) {
                    return Err(errors);
                }
            }
        }
    }
    draft.remarks.sort_by_key(|remark| remark.line);
    Ok(head(name, &draft.remarks) + &text(&parts))
}

fn text(parts: &[Part]) -> String {
    lines(parts.iter().flat_map(|part| &part.lines))
}

fn lines<'l>(lines: impl IntoIterator<Item = &'l String>) -> String {
    lines.into_iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// Leaves out each part that a problem is in; returns whether there was one.
fn leave_out(parts: &mut Vec<Part>, errors: &ConfigErrors, draft: &mut ConfigDraft) -> bool {
    let mut found: Vec<(usize, String)> = Vec::new();
    for problem in errors.problems() {
        let place = problem.location().unwrap_or_default();
        let line = place.rsplit(':').nth(1).and_then(|line| line.parse::<usize>().ok());
        let Some(wanted) = line else { continue };
        let mut last = 0;
        let at = parts.iter().position(|part| {
            last += part.lines.len();
            last >= wanted
        });
        let Some(at) = at.filter(|at| parts.get(*at).is_some_and(|part| part.is_optional)) else {
            continue;
        };
        let why = problem.to_string();
        match found.iter_mut().find(|(own, _)| *own == at) {
            // That a rule does nothing follows from what is wrong in it.
            Some((_, own)) if own.ends_with("does nothing") => *own = why,
            Some(_) => {}
            None => found.push((at, why)),
        }
    }
    found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    for (at, why) in &found {
        let part = parts.remove(*at);
        draft
            .remarks
            .retain(|own| own.line != part.source || own.fate != StatementFate::Translated);
        draft.not_translated(part.source, &part.subject, &toml::comment(why));
    }
    !found.is_empty()
}

fn head(name: &str, remarks: &[Remark]) -> String {
    let mut lines = vec![
        format!("# Shellac's configuration from {}, by `shellac import-vcl`.", toml::comment(name)),
        "# Read it, then: shellac check, shellac rules match URL, shellac rules test FILE."
            .to_owned(),
    ];
    let lost: Vec<&Remark> =
        remarks.iter().filter(|it| matches!(it.fate, StatementFate::NotTranslated(_))).collect();
    if lost.is_empty() {
        lines.push("# Every statement was translated, or is built in.".to_owned());
    } else {
        lines.push("#".to_owned());
        lines.push("# NOT TRANSLATED:".to_owned());
        lines.extend(lost.iter().map(|remark| format!("#   {remark}")));
    }
    let differing: Vec<&Remark> =
        remarks.iter().filter(|it| matches!(it.fate, StatementFate::Differs(_))).collect();
    if !differing.is_empty() {
        lines.push("#".to_owned());
        lines.push("# Nearly the same:".to_owned());
        lines.extend(differing.iter().map(|remark| format!("#   {remark}")));
    }
    self::lines(&lines)
}

fn parts(draft: &ConfigDraft) -> Vec<Part> {
    let mut parts = Vec::new();
    if draft.origins.is_empty() {
        parts.push(Part::fixed(&[
            "",
            "# The VCL names no backend that could be read: write the address of your renderer.",
            "[origin.default]",
            "servers = [\"127.0.0.1:8080\"]",
        ]));
    }
    let is_sound = |origin: &&DraftOrigin| check_alone(origin);
    let (sound, unsound): (Vec<_>, Vec<_>) = draft.origins.iter().partition(|it| is_sound(it));
    if sound.is_empty() && !unsound.is_empty() {
        parts.push(Part::fixed(&["", "[origin.default]", "servers = [\"127.0.0.1:8080\"]"]));
    }
    for origin in sound.iter().chain(&unsound) {
        add_origin(origin, sound.iter().any(|it| it.name == origin.name), &mut parts);
    }
    add_general(&draft.general, &mut parts);
    for (phase, rules) in [
        ("deliver", &draft.delivered),
        ("response", &draft.fetched),
        ("origin", &draft.directed),
        ("request", &draft.received),
    ] {
        for (place, rule) in rules.iter().enumerate() {
            let is_again = |other: &DraftRule| other.line == rule.line;
            let again = rules.iter().take(place).filter(|it| is_again(it)).count();
            let suffix = if again == 0 { String::new() } else { format!("-{}", again + 1) };
            let name = match rule.line {
                0 => format!("{phase}-builtin"),
                line => format!("{phase}-line-{line}{suffix}"),
            };
            parts.push(rule_part(rule, &name));
        }
    }
    parts
}

/// Returns whether an origin's servers are addresses.
fn check_alone(origin: &DraftOrigin) -> bool {
    let mut parts = Vec::new();
    add_origin(origin, true, &mut parts);
    parts.truncate(1);
    let file = Some((FILE.to_owned(), text(&parts)));
    Config::load(&Sources { file, ..Sources::default() }).is_ok()
}

fn add_origin(origin: &DraftOrigin, is_sound: bool, parts: &mut Vec<Part>) {
    let DraftOrigin { name, line, servers, settings, health } = origin;
    let server = |(address, weight): &(String, Option<String>)| match weight {
        Some(weight) => format!("{{ address = {}, weight = {weight} }}", toml::text(address)),
        None => toml::text(address),
    };
    let servers: Vec<String> = servers.iter().map(server).collect();
    parts.push(Part {
        source: *line,
        subject: format!("backend {name}"),
        lines: vec![
            String::new(),
            format!("[origin.{}]", toml::key(name)),
            format!("servers = [{}]", servers.join(", ")),
        ],
        is_optional: !is_sound,
    });
    if !is_sound {
        return;
    }
    let mut written = Vec::new();
    for (key, value) in settings {
        if !written.contains(key) {
            parts.push(Part::setting(*line, key, value));
            written.push(key.clone());
        }
    }
    if !health.is_empty() {
        let head = format!("[origin.{}.health]", toml::key(name));
        parts.push(Part { lines: vec![head], ..Part::fixed(&[]) });
    }
    let mut written = Vec::new();
    for (key, value) in health {
        if !written.contains(key) {
            parts.push(Part::setting(*line, key, value));
            written.push(key.clone());
        }
    }
}

fn add_general(general: &General, parts: &mut Vec<Part>) {
    let General { query_drop, cookie_drop, cookie_bypass, cookie_vary, .. } = general;
    parts.push(Part::fixed(&[
        "",
        "[cache]",
        "default_ttl = \"120s\"                # Varnish's default_ttl, for what says nothing about it",
        "stale_while_revalidate = \"10s\"      # Varnish's default_grace",
    ]));
    if let Some(keep) = &general.keep {
        parts.push(Part::setting(0, "keep", keep));
    }
    let is_keyed = !query_drop.is_empty() || general.is_query_sorted || general.is_query_none;
    if is_keyed || !general.key_headers.is_empty() {
        parts.push(Part::fixed(&["", "[key]"]));
    }
    if general.is_query_none {
        parts.push(Part::setting(0, "query", "\"none\""));
    } else if is_keyed {
        let mut drop = vec!["@tracking".to_owned()];
        drop.extend(query_drop.iter().cloned());
        parts.push(Part::setting(0, "query.drop", &toml::list(&drop)));
        if general.is_query_sorted {
            parts.push(Part::setting(0, "query.sort", "true"));
        }
    }
    if let Some((line, _)) = general.key_headers.first() {
        let mut names: Vec<String> = Vec::new();
        general
            .key_headers
            .iter()
            .for_each(|(_, name)| crate::draft::add(&mut names, std::slice::from_ref(name)));
        parts.push(Part::setting(*line, "headers", &toml::list(&names)));
    }
    let lists = [cookie_drop, cookie_bypass, cookie_vary];
    if general.are_others_dropped || lists.iter().any(|list| !list.is_empty()) {
        parts.push(Part::fixed(&["", "[cookies]"]));
    }
    let with = |defaults: &[&str], names: &[String]| {
        let defaults = defaults.iter().map(|name| (*name).to_owned());
        toml::list(&defaults.chain(names.iter().cloned()).collect::<Vec<_>>())
    };
    if !cookie_drop.is_empty() {
        let kept = cookie_drop.iter().filter(|it| !cookie_bypass.contains(it)).cloned();
        let kept: Vec<String> = kept.filter(|it| !cookie_vary.contains(it)).collect();
        parts.push(Part::setting(0, "drop", &with(&["@analytics", "@consent"], &kept)));
    }
    if !cookie_vary.is_empty() {
        parts.push(Part::setting(0, "vary_on", &toml::list(cookie_vary)));
    }
    let bypass: Vec<String> =
        cookie_bypass.iter().filter(|it| !cookie_vary.contains(it)).cloned().collect();
    if general.are_others_dropped {
        parts.push(Part::setting(0, "bypass_on", &toml::list(&bypass)));
        parts.push(Part::setting(0, "otherwise", "\"drop\""));
    } else if !bypass.is_empty() {
        parts.push(Part::setting(0, "bypass_on", &with(&["@session", "@preview"], &bypass)));
    }
    if general.is_compressed {
        parts.push(Part::fixed(&["", "[compression]"]));
        parts.push(Part::setting(0, "mode", "\"on\""));
    }
    if !general.purge_allow.is_empty() {
        parts.push(Part::fixed(&[
            "",
            "[purge]",
            "# The socket's own address decides: behind a load balancer purge at the admin listener.",
        ]));
        parts.push(Part::setting(0, "allow", &toml::list(&general.purge_allow)));
    }
}

fn rule_part(rule: &DraftRule, name: &str) -> Part {
    let mut lines =
        vec![String::new(), "[[rule]]".to_owned(), format!("name = {}", toml::text(name))];
    lines.extend(rule.conditions.lines());
    let mut written: Vec<&str> = Vec::new();
    for (key, value) in &rule.settings {
        if written.contains(&key.as_str()) {
            continue;
        }
        written.push(key);
        let all: Vec<String> =
            rule.settings.iter().filter(|(own, _)| own == key).map(|(_, it)| it.clone()).collect();
        lines.push(match key.as_str() {
            key if key.ends_with(".remove") => format!("{key} = {}", toml::list(&all)),
            key if key.ends_with("_headers.set") => format!("{key} = {{ {} }}", last_of_each(&all)),
            // Of several assignments the last one holds.
            key => format!("{key} = {}", all.last().unwrap_or(value)),
        });
    }
    let subject = format!("the rule `{name}`");
    Part { source: rule.line, subject, lines, is_optional: true }
}

/// Of several texts for one field, the last one.
fn last_of_each(settings: &[String]) -> String {
    let name = |setting: &str| setting.split_once(" = ").map(|(name, _)| name.to_owned());
    let mut kept: Vec<String> = Vec::new();
    for setting in settings {
        kept.retain(|own| name(own) != name(setting));
        kept.push(setting.clone());
    }
    kept.join(", ")
}

/// The name of the text while it is checked: without a colon.
const FILE: &str = "config.toml";
