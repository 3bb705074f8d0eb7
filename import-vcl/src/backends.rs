//! Backends, probes and directors as origins.

use crate::draft::{ConfigDraft, DraftOrigin};
use crate::remark::StatementFate;
use crate::syntax::{VclAction, VclExpression, VclFile, VclObject, VclProperty, VclStatement};
use crate::toml;

/// Makes an origin of each director, and of each backend that is in none.
pub(crate) fn origins(file: &VclFile, draft: &mut ConfigDraft) {
    let mut directors = directors_of_version_3(file);
    for subroutine in file.subroutines.iter().filter(|it| it.name == "vcl_init") {
        new_directors(&subroutine.body, &mut directors, draft);
    }
    let backends: Vec<&VclObject> =
        file.objects.iter().filter(|object| object.kind == "backend").collect();
    for director in &directors {
        let name = origin_name(&director.name);
        let mut origin = DraftOrigin {
            name: name.clone(),
            line: director.line,
            servers: Vec::new(),
            settings: vec![("balance".to_owned(), toml::text(director.balance))],
            health: Vec::new(),
        };
        for (place, (member, weight)) in director.members.iter().enumerate() {
            let Some(backend) = backends.iter().find(|it| it.name == *member) else { continue };
            read(backend, &mut origin, weight.clone(), (file, draft, place == 0));
            draft.origin_of.insert(member.clone(), name.clone());
        }
        draft.origin_of.insert(director.name.clone(), name);
        if !origin.servers.is_empty() {
            draft.origins.push(origin);
        }
    }
    for backend in backends {
        if draft.origin_of.contains_key(&backend.name) {
            continue;
        }
        let name = origin_name(&backend.name);
        let mut origin = DraftOrigin {
            name: name.clone(),
            line: backend.line,
            servers: Vec::new(),
            settings: Vec::new(),
            health: Vec::new(),
        };
        read(backend, &mut origin, None, (file, draft, true));
        if !origin.servers.is_empty() {
            draft.origin_of.insert(backend.name.clone(), name);
            draft.origins.push(origin);
        }
    }
    // What no rule directs goes to the first origin; in VCL to `default`, or the first backend.
    let first = file.objects.iter().filter(|object| object.kind == "backend");
    let first = first.clone().find(|it| it.name == "default").or_else(|| first.clone().next());
    let first = first.and_then(|backend| draft.origin_of.get(&backend.name)).cloned();
    draft.origins.sort_by_key(|origin| Some(&origin.name) != first.as_ref());
}

fn origin_name(name: &str) -> String {
    let sound: String =
        name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    sound.trim_matches('-').to_ascii_lowercase()
}

/// A director, until its members are looked up.
struct Director {
    name: String,
    line: usize,
    balance: &'static str,
    members: Vec<(String, Option<String>)>,
}

fn balance(policy: &str) -> &'static str {
    match policy {
        "round-robin" | "directors.round_robin" => "round-robin",
        "fallback" | "directors.fallback" => "first",
        "hash" | "client" | "directors.hash" | "directors.shard" => "hash",
        _ => "least-requests",
    }
}

fn directors_of_version_3(file: &VclFile) -> Vec<Director> {
    let directors = file.objects.iter().filter(|object| object.kind == "director");
    let member = |property: &VclProperty| {
        let value = |name: &str| {
            let found = property.inside.iter().find(|it| it.name == name)?.values.first()?;
            match found {
                VclExpression::Name(text) | VclExpression::Number(text) => Some(text.clone()),
                _ => None,
            }
        };
        Some((value(".backend")?, value(".weight")))
    };
    let read = |object: &VclObject| Director {
        name: object.name.clone(),
        line: object.line,
        balance: balance(&object.policy),
        members: object.properties.iter().filter_map(member).collect(),
    };
    directors.map(read).collect()
}

/// Reads `new name = directors.kind()` and what follows it in `vcl_init`.
fn new_directors(body: &[VclStatement], directors: &mut Vec<Director>, draft: &mut ConfigDraft) {
    for statement in body.iter().flat_map(VclStatement::leaves) {
        let (line, text) = (statement.line, statement.text.as_str());
        match &statement.action {
            VclAction::New { name, constructor } if constructor.starts_with("directors.") => {
                let balance = balance(constructor);
                directors.push(Director { name: name.clone(), line, balance, members: Vec::new() });
                draft.note(line, text, StatementFate::Translated);
            }
            VclAction::Invoke { function, arguments } => {
                let Some((name, method)) = function.rsplit_once('.') else { continue };
                let director = directors.iter_mut().find(|it| it.name == name);
                let Some(director) = director.filter(|_| method == "add_backend") else {
                    let is_member = method == "reconfigure";
                    if is_member {
                        draft.note(line, text, StatementFate::Translated);
                    } else {
                        draft.not_translated(line, text, "no equivalent in [origin]");
                    }
                    continue;
                };
                let (Some(VclExpression::Name(member)), weight) =
                    (arguments.first(), arguments.get(1))
                else {
                    draft.not_translated(line, text, "no backend's name");
                    continue;
                };
                let weight = weight.and_then(VclExpression::literal).and_then(|text| {
                    let weight: f64 = text.parse().ok()?;
                    (1.0..=256.0).contains(&weight).then(|| format!("{weight:.0}"))
                });
                director.members.push((member.clone(), weight));
                draft.note(line, text, StatementFate::Translated);
            }
            VclAction::Return { .. } => {}
            _ => draft.not_translated(line, text, "no equivalent in [origin]"),
        }
    }
}

/// Adds a backend as a server. What is of the whole origin comes from the first one.
fn read(
    backend: &VclObject,
    origin: &mut DraftOrigin,
    weight: Option<String>,
    (file, draft, is_first): (&VclFile, &mut ConfigDraft, bool),
) {
    let value = |name: &str| {
        let property = backend.properties.iter().find(|it| it.name == name)?;
        property.values.first().and_then(VclExpression::literal)
    };
    let address = match (value(".path"), value(".host")) {
        (Some(path), _) => format!("unix:{path}"),
        (None, Some(host)) if host.contains(':') && !host.starts_with('[') => {
            let is_with_port = host.matches(':').count() == 1;
            let port = value(".port").unwrap_or_else(|| "80".to_owned());
            if is_with_port { host } else { format!("[{host}]:{port}") }
        }
        (None, Some(host)) => {
            format!("{host}:{}", value(".port").unwrap_or_else(|| "80".to_owned()))
        }
        (None, None) => {
            draft.not_translated(backend.line, &backend.name, "a backend without an address");
            return;
        }
    };
    origin.servers.push((address, weight));
    for property in &backend.properties {
        let (line, text) = (property.line, property.text.as_str());
        match property.name.as_str() {
            ".host" | ".port" | ".path" => draft.note(line, text, StatementFate::Translated),
            ".probe" if is_first => {
                let named = property.values.first().and_then(VclExpression::name);
                let probe = file.objects.iter().filter(|object| object.kind == "probe");
                let probe = probe.clone().find(|it| Some(it.name.to_ascii_lowercase()) == named);
                let inside = probe.map_or(&property.inside, |probe| &probe.properties);
                draft.note(line, text, StatementFate::Translated);
                read_probe(inside, origin, draft);
            }
            ".probe" => draft.built_in(line, text, "the origin's probes are for all its servers"),
            name => {
                let fate = setting(name, property, origin, is_first);
                draft.note(line, text, fate);
            }
        }
    }
}

fn setting(
    name: &str,
    property: &VclProperty,
    origin: &mut DraftOrigin,
    is_first: bool,
) -> StatementFate {
    let literal = property.values.first().and_then(VclExpression::literal).unwrap_or_default();
    let setting = match name {
        ".connect_timeout" => duration(&literal).map(|it| ("connect_timeout", it)),
        ".first_byte_timeout" => duration(&literal).map(|it| ("first_byte_timeout", it)),
        ".between_bytes_timeout" => duration(&literal).map(|it| ("idle_timeout", it)),
        ".max_connections" => {
            literal.parse::<u32>().ok().map(|it| ("max_requests", it.to_string()))
        }
        ".host_header" => Some(("host_header", toml::text(&literal))),
        ".proxy_header" => {
            return StatementFate::NotTranslated("no PROXY protocol towards servers".to_owned());
        }
        _ => None,
    };
    match setting {
        Some((key, value)) if is_first => {
            origin.settings.push((key.to_owned(), value));
            StatementFate::Translated
        }
        Some(_) => StatementFate::Differs("as the first backend of the director says".to_owned()),
        None => StatementFate::NotTranslated("no equivalent in [origin]".to_owned()),
    }
}

fn read_probe(properties: &[VclProperty], origin: &mut DraftOrigin, draft: &mut ConfigDraft) {
    for property in properties {
        let (line, text) = (property.line, property.text.as_str());
        let literal = property.values.iter().filter_map(VclExpression::literal);
        let literal = literal.collect::<Vec<_>>();
        let first = literal.first().cloned().unwrap_or_default();
        let number = || first.parse::<u32>().ok().map(|number| number.to_string());
        let setting = match property.name.as_str() {
            ".url" => Some(("path", toml::text(&first))),
            ".interval" => duration(&first).map(|it| ("interval", it)),
            ".timeout" => duration(&first).map(|it| ("timeout", it)),
            ".window" => number().map(|it| ("window", it)),
            ".threshold" => number().map(|it| ("threshold", it)),
            ".initial" => number().map(|it| ("initial", it)),
            ".expected_response" => {
                Some(("expect_status", toml::list(std::slice::from_ref(&first))))
            }
            ".request" => {
                request(&literal, origin);
                draft.note(
                    line,
                    text,
                    StatementFate::Differs("method, path and host of it".to_owned()),
                );
                continue;
            }
            _ => None,
        };
        match setting {
            Some((key, value)) => {
                origin.health.push((key.to_owned(), value));
                draft.note(line, text, StatementFate::Translated);
            }
            None => draft.not_translated(line, text, "no equivalent in [origin.NAME.health]"),
        }
    }
}

/// Reads the lines of a probe's request.
fn request(lines: &[String], origin: &mut DraftOrigin) {
    let first = lines.first().map(|line| line.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    if let [method, path, ..] = first.as_slice() {
        origin.health.push(("method".to_owned(), toml::text(method)));
        origin.health.push(("path".to_owned(), toml::text(path)));
    }
    let host = lines.iter().find_map(|line| line.strip_prefix("Host:"));
    if let Some(host) = host {
        origin.health.push(("host".to_owned(), toml::text(host.trim())));
    }
}

/// Returns a duration of VCL as one of ours, in TOML.
pub(crate) fn duration(text: &str) -> Option<String> {
    let at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(at)?;
    let number: f64 = number.parse().ok()?;
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        "y" => 31_536_000.0,
        _ => return None,
    };
    let (whole, unit) = match unit {
        "w" => (number * 7.0, "d"),
        "y" => (number * 365.0, "d"),
        unit => (number, unit),
    };
    if !(0.0..=315_360_000.0).contains(&(number * factor)) {
        return None;
    }
    if whole.fract() == 0.0 {
        return Some(format!("\"{whole:.0}{unit}\""));
    }
    Some(format!("\"{:.0}ms\"", number * factor * 1000.0))
}
