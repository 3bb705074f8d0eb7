//! `SHELLAC__SECTION__KEY=value`: two underscores are a level. `SHELLAC_CONFIG` is no setting.

use super::overlay::Overlay;
use super::{Location, Node, Value, syntax};
use crate::report::{ENVIRONMENT, ProblemBuilder, Report};

/// Returns the settings among these variables.
pub(super) fn overlays(environment: &[(String, String)], report: &mut Report) -> Vec<Overlay> {
    let settings = environment.iter().filter(|(name, _)| name.starts_with(PREFIX));
    settings.filter_map(|(name, value)| overlay(name, value, report)).collect()
}

fn overlay(name: &str, value: &str, report: &mut Report) -> Option<Overlay> {
    let source = report.add_source(ENVIRONMENT, &format!("{name}={value}"));
    let place = Location::new(source, 0..name.len());
    let path: Vec<String> =
        name.strip_prefix(PREFIX)?.to_ascii_lowercase().split("__").map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        report.add(nameless(name).at(&place));
        return None;
    }
    Some(Overlay { path, place, node: node(value, source, name.len() + 1) })
}

/// Returns a value: a list if it looks like one, text in quotes without them, else the text.
fn node(value: &str, source: usize, offset: usize) -> Node {
    let place = Location::new(source, offset..offset + value.len());
    let value = match syntax::list(value, source, offset) {
        Some(items) => Value::List(items),
        None => Value::Bare(syntax::quoted(value).unwrap_or_else(|| value.to_owned())),
    };
    Node { place, value }
}

fn nameless(name: &str) -> ProblemBuilder {
    ProblemBuilder::error(format!("`{name}` names no setting"), "not a setting")
        .help("SHELLAC__SECTION__KEY, for example SHELLAC__CACHE__DEFAULT_TTL")
}

const PREFIX: &str = "SHELLAC__";
