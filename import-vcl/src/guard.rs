//! The conditions of VCL as those of rules.

use std::collections::BTreeMap;

use regex_automata::meta::Regex;

use crate::conditions::{Guard, Obstacle, VclConditions, all, always, any, negated};
use crate::syntax::VclExpression;
use crate::texts::{self, UrlPlace};

/// Networks by the name of their ACL; `None` where an entry has no equivalent.
pub(crate) type Networks = BTreeMap<String, Option<Vec<String>>>;

/// Returns when an expression holds.
pub(crate) fn guard(expression: &VclExpression, networks: &Networks) -> Result<Guard, Obstacle> {
    match expression {
        VclExpression::All(parts) => {
            let mut together = always();
            for part in parts {
                together = all(&together, &guard(part, networks)?)?;
            }
            Ok(together)
        }
        VclExpression::Any(parts) => {
            let mut either = Guard::new();
            for part in parts {
                either = any(either, guard(part, networks)?)?;
            }
            Ok(either)
        }
        VclExpression::Not(inner) => negated(&guard(inner, networks)?),
        VclExpression::Compare(left, operator, right) => compared(left, operator, right, networks),
        VclExpression::Name(_) => present(expression),
        VclExpression::Call(function, arguments) => called(function, arguments),
        _ => Err("a condition on a calculation".to_owned()),
    }
}

fn present(variable: &VclExpression) -> Result<Guard, Obstacle> {
    let name = variable.name().unwrap_or_default();
    match name.as_str() {
        "true" => return Ok(always()),
        "false" | "req.restarts" | "req.esi_level" | "bereq.retries" => return Ok(Guard::new()),
        _ => {}
    }
    match field(&name) {
        Some((key, field)) => Ok(vec![VclConditions::entry(key, &field, vec!["*".to_owned()])]),
        None => Err(format!("no rule looks at `{name}`")),
    }
}

fn called(function: &str, arguments: &[VclExpression]) -> Result<Guard, Obstacle> {
    let argument = arguments.first().and_then(VclExpression::text);
    match (function, argument) {
        ("cookie.isset", Some(name)) => {
            Ok(vec![VclConditions::of_cookies(vec![name.to_owned()], false)])
        }
        ("std.healthy", _) => Err("an origin's health decides by itself: probes, \
             `stale_if_error`, and the servers that are left"
            .to_owned()),
        _ => Err(format!("no rule calls `{function}`")),
    }
}

fn compared(
    left: &VclExpression,
    operator: &str,
    right: &VclExpression,
    networks: &Networks,
) -> Result<Guard, Obstacle> {
    let name = left.name().unwrap_or_default();
    let is_negative = operator.starts_with('!');
    let found = match (name.as_str(), right) {
        ("req.restarts" | "req.esi_level" | "bereq.retries", VclExpression::Number(number)) => {
            let is_zero = matches!((operator, number.as_str()), ("==" | "<=", "0") | ("<", "1"));
            return Ok(if is_zero { always() } else { Guard::new() });
        }
        ("client.ip" | "remote.ip", VclExpression::Name(acl)) => {
            let found = networks.get(acl).cloned().flatten();
            let known = found.filter(|networks| !networks.is_empty());
            let networks =
                known.ok_or_else(|| format!("the ACL `{acl}` was not translated whole"))?;
            vec![VclConditions::list("client", networks)]
        }
        ("beresp.status" | "resp.status" | "obj.status", VclExpression::Number(number)) => {
            return statuses(operator, number);
        }
        (_, VclExpression::Text(text)) => by_text(&name, operator.trim_start_matches('!'), text)?,
        _ => return Err(format!("no rule compares {}", shown(left, &name))),
    };
    if is_negative { negated(&found) } else { Ok(found) }
}

fn shown(expression: &VclExpression, name: &str) -> String {
    match expression {
        VclExpression::Name(_) => format!("`{name}` with something that is not written out"),
        VclExpression::Call(function, _) => format!("what `{function}` returns"),
        _ => "a calculation".to_owned(),
    }
}

fn by_text(name: &str, operator: &str, text: &str) -> Result<Guard, Obstacle> {
    let is_pattern = operator == "~";
    let equal = || vec![text.to_owned()];
    match name {
        "req.url" | "bereq.url" if is_pattern => by_url(text),
        "req.url" | "bereq.url" => {
            if !text.starts_with('/') || text.contains(['?', '*', '{', '}', '#', ' ']) {
                return Err("the path with its query, as a whole".to_owned());
            }
            let how = Some("with any query");
            Ok(vec![VclConditions::list("path", equal()).nearly(how)])
        }
        "req.http.host" | "bereq.http.host" => {
            let hosts = if is_pattern { texts::hosts(text) } else { Some(equal()) };
            let hosts = hosts.ok_or("no list of hosts says the same")?;
            Ok(vec![VclConditions::list("host", hosts)])
        }
        "req.method" | "req.request" | "bereq.method" | "bereq.request" => {
            let methods = if is_pattern { texts::whole(text) } else { Some(equal()) };
            let methods = methods.ok_or("no list of methods says the same")?;
            Ok(vec![VclConditions::list("method", methods)])
        }
        "req.http.cookie" if is_pattern => {
            let names = texts::names(text).ok_or("no names of cookies were found in it")?;
            let is_of_values = texts::has_value(text);
            Ok(vec![VclConditions::of_cookies(names, is_of_values)])
        }
        "beresp.http.content-type" | "resp.http.content-type" => content_types(is_pattern, text),
        "beresp.http.set-cookie" | "resp.http.set-cookie" if is_pattern => {
            let names = texts::names(text).ok_or("no names of cookies were found in it")?;
            let begins = |name: &String| match name.strip_suffix('*') {
                Some(_) => name.clone(),
                None => format!("{name}=*"),
            };
            let values = names.iter().map(begins).collect();
            Ok(vec![VclConditions::entry("response_header", "set-cookie", values)])
        }
        "req.http.upgrade" => {
            Ok(vec![VclConditions::entry("header", "upgrade", vec!["*".to_owned()])])
        }
        _ => {
            let (key, field) = field(name).ok_or_else(|| format!("no rule looks at `{name}`"))?;
            let values = if is_pattern { texts::whole(text) } else { Some(equal()) };
            let values = values.ok_or_else(|| {
                format!("`{field}` is compared as a whole: no list of values says the same")
            })?;
            if values.iter().any(|value| value.ends_with('*')) {
                return Err("a star stands for other values in a rule".to_owned());
            }
            Ok(vec![VclConditions::entry(key, &field, values)])
        }
    }
}

/// A field of a request or a response.
fn field(name: &str) -> Option<(&'static str, String)> {
    for (prefix, key) in [
        ("req.http.", "header"),
        ("bereq.http.", "header"),
        ("beresp.http.", "response_header"),
        ("resp.http.", "response_header"),
        ("obj.http.", "response_header"),
    ] {
        if let Some(field) = name.strip_prefix(prefix).filter(|field| !field.is_empty()) {
            return Some((key, field.to_owned()));
        }
    }
    None
}

/// Reads an expression on path and query. What rules can say of queries is which parameters are
/// there: a word that may be in either is sought in the path, and among their names.
fn by_url(regex: &str) -> Result<Guard, Obstacle> {
    let (flag, bare) = match regex.strip_prefix("(?i)") {
        Some(bare) => ("(?i)", bare),
        None => ("", regex),
    };
    let (mut paths, mut parameters, mut nearly) = (Vec::new(), Vec::new(), None);
    for part in texts::alternatives(bare) {
        let UrlPart { path, parameters: own, nearly: how } = url_part(part)?;
        paths.extend(path);
        parameters.extend(own);
        nearly = nearly.or(how);
    }
    if !flag.is_empty() && !parameters.is_empty() {
        nearly = nearly.or(Some("parameters are compared with their capitals"));
    }
    let mut either = Guard::new();
    if !paths.is_empty() {
        let regex = if parameters.is_empty() { without_query(bare) } else { paths.join("|") };
        either = any(either, vec![of_path(&format!("{flag}{regex}"))?.nearly(nearly)])?;
    }
    for (name, value) in parameters {
        let entry = VclConditions::entry("query", &name, vec![value]);
        either = any(either, vec![entry.nearly(nearly)])?;
    }
    Ok(either)
}

/// One alternative of an expression on a URL.
#[derive(Default)]
struct UrlPart {
    /// The expression, where it is sought in the path.
    path: Option<String>,
    /// Names and values.
    parameters: Vec<(String, String)>,
    nearly: Option<&'static str>,
}

fn url_part(regex: &str) -> Result<UrlPart, Obstacle> {
    let together = || "a condition on path and query together".to_owned();
    let path = without_query(regex);
    let in_path = UrlPart { path: Some(path.clone()), ..UrlPart::default() };
    if path.contains("\\?") || path.contains("[?") || path.contains("?&]") {
        let parameters = texts::parameters(&path).ok_or_else(together)?;
        return Ok(UrlPart { parameters, ..UrlPart::default() });
    }
    let elsewhere = Some("in the path: VCL also finds it in the query");
    let Some(places) = texts::places(&path) else {
        if path.contains(['=', '&']) {
            return Err(together());
        }
        let nearly = elsewhere.filter(|_| !path.starts_with('^'));
        return Ok(UrlPart { nearly, ..in_path });
    };
    let is_parameter = |place: &UrlPlace| matches!(place, UrlPlace::Parameter(..));
    if places.iter().any(is_parameter) && !places.iter().all(is_parameter) {
        return Err(together());
    }
    let mut part = if places.iter().any(is_parameter) { UrlPart::default() } else { in_path };
    for place in places {
        match place {
            UrlPlace::Parameter(name, value) => {
                part.parameters.push((name, value));
                part.nearly = Some("parameters of this very name");
            }
            UrlPlace::Word(name) => {
                part.parameters.push((name, "*".to_owned()));
                part.nearly = Some(
                    "in the path, or the name of a parameter: VCL finds it anywhere in the URL",
                );
            }
            UrlPlace::Anywhere => part.nearly = part.nearly.or(elsewhere),
            UrlPlace::From(sample) if crosses(regex, &sample) => {
                part.nearly = part.nearly.or(elsewhere);
            }
            UrlPlace::From(_) | UrlPlace::End => {}
        }
    }
    Ok(part)
}

/// Returns whether an expression from the start of the path on goes on in the query: it finds
/// `sample`, which has a query wherever it leaves open what stands there.
fn crosses(regex: &str, sample: &str) -> bool {
    sample.contains('?') && Regex::new(regex).is_ok_and(|regex| regex.is_match(sample))
}

/// Returns an expression for the path alone.
fn without_query(regex: &str) -> String {
    let ending = QUERY_ENDINGS.iter().find_map(|ending| regex.strip_suffix(ending));
    ending.map_or_else(|| regex.to_owned(), |path| format!("{path}$"))
}

fn of_path(path: &str) -> Result<VclConditions, Obstacle> {
    if let Some(globs) = texts::globs(path) {
        return Ok(VclConditions::list("path", globs));
    }
    if path.len() > REGEX_BYTES_MAX || Regex::new(path).is_err() {
        return Err("the expression looks around, or repeats what it found: no linear time".into());
    }
    Ok(VclConditions::path_regex(path.to_owned()))
}

fn content_types(is_pattern: bool, text: &str) -> Result<Guard, Obstacle> {
    let found = if is_pattern { texts::beginnings(text) } else { Some(vec![text.to_owned()]) };
    let found = found.ok_or("no list of media types says the same")?;
    let types = found.into_iter().map(|found| match found.as_str() {
        found if found.ends_with('/') => Ok(format!("{found}*")),
        "text" | "image" | "audio" | "video" | "font" => Ok(format!("{found}/*")),
        found if found.contains('/') && !found.contains([' ', ';']) => Ok(found.to_owned()),
        _ => Err("no list of media types says the same".to_owned()),
    });
    Ok(vec![VclConditions::list("content_type", types.collect::<Result<_, _>>()?)])
}

fn statuses(operator: &str, number: &str) -> Result<Guard, Obstacle> {
    let status: u16 = number.parse().map_err(|_not_a_number| format!("`{number}` is no status"))?;
    let range = |low: u16, high: u16| {
        let status = if low == high { low.to_string() } else { format!("{low}-{high}") };
        Ok(vec![VclConditions::list("status", vec![status])])
    };
    if !(100..=600).contains(&status) || status == 600 && operator != "<" {
        return Err(format!("`{number}` is no status of an origin"));
    }
    match operator {
        "==" => range(status, status),
        "!=" => negated(&vec![VclConditions::list("status", vec![number.to_owned()])]),
        ">=" => range(status, 599),
        ">" => range((status + 1).min(599), 599),
        "<" => range(100, status.saturating_sub(1).max(100)),
        _ => range(100, status),
    }
}

/// What VCL writes at the end of an expression for URLs with and without a query.
const QUERY_ENDINGS: [&str; 12] = [
    "(\\?.*)?$",
    "(\\?.*|)$",
    "(|\\?.*)$",
    "(\\?|$)",
    "($|\\?)",
    "(?:\\?|$)",
    "(\\?.*|$)",
    "(?:\\?.*)?$",
    "(\\?.+)?$",
    "(\\?.*$|$)",
    "(\\?[a-z0-9]+)?$",
    "\\?*$",
];
const REGEX_BYTES_MAX: usize = 2048;
