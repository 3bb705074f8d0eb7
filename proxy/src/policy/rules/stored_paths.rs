//! The paths under which responses to requests for one URL may be stored, whatever else is said in
//! the requests.

use std::collections::BTreeMap;

use purge_protocol::spelling;
use settings::{EffectiveSettings, QuerySettings, RuleSettings};

use super::rendered;
use crate::policy::Policy;
use crate::policy::matcher::without_query;
use crate::policy::query::QueryFilter;

/// Returns all forms of a path with its query, but for itself, each in one spelling. Rules compare
/// paths by their bytes: a purge means every spelling, so that each usual one is tried.
pub(super) fn of(
    rules: &[RuleSettings],
    tables: &EffectiveSettings,
    host: &str,
    target: &str,
    default: &Policy,
) -> Vec<String> {
    let own = spelling::normal(target.as_bytes());
    let mut all = BTreeMap::new();
    for spelled in spelling::usual(target.as_bytes()) {
        let Ok(target) = std::str::from_utf8(&spelled) else { continue };
        for form in of_spelling(rules, tables, host, target, default) {
            all.entry(spelling::normal(form.as_bytes()).into_owned()).or_insert(form);
        }
    }
    all.remove(&*own);
    all.into_values().collect()
}

fn of_spelling(
    rules: &[RuleSettings],
    tables: &EffectiveSettings,
    host: &str,
    target: &str,
    default: &Policy,
) -> Vec<String> {
    let (path, query) = without_query(target);
    let meant: Vec<&RuleSettings> =
        rules.iter().filter(|rule| may_match(rule, host, path)).collect();
    let mut forms = vec![target.to_owned()];
    for rule in &meant {
        let Some(template) = &rule.actions.request.rewrite else { continue };
        if let Some(mut path) = rendered::of_request(template, &rule.matches, host, target) {
            if let Some(query) = query {
                path.push('?');
                path.push_str(query);
            }
            forms.push(path);
        }
    }
    let mut all = forms.clone();
    for form in &forms {
        all.extend(default.query.apply(form).map(|filtered| filtered.target));
        for filter in filters(tables, &meant) {
            all.extend(filter.apply(form).map(|filtered| filtered.target));
        }
    }
    all
}

/// Returns a filter for each way in which one of the rules may leave it.
fn filters(tables: &EffectiveSettings, meant: &[&RuleSettings]) -> Vec<QueryFilter> {
    let sets_query = |rule: &&&RuleSettings| {
        rule.actions.settings.settings().any(|(path, _)| path.starts_with("key.query"))
    };
    let mut filters: Vec<QuerySettings> = Vec::new();
    for rule in meant.iter().filter(sets_query) {
        let mut ruled = tables.clone();
        rule.actions.settings.apply(&mut ruled);
        for sort in [false, true] {
            let query = QuerySettings { sort, ..ruled.key.query.clone() };
            if !filters.contains(&query) {
                filters.push(query);
            }
        }
    }
    filters.iter().map(QueryFilter::new).collect()
}

/// Returns whether a request for a URL may match a rule, by its host and path alone.
fn may_match(rule: &RuleSettings, host: &str, path: &str) -> bool {
    rule.conditions().all(|(conditions, is_wanted)| {
        !is_wanted || {
            let host = crate::policy::matcher::host_name(host);
            let settings::RuleMatch { hosts, paths, path_regex, .. } = conditions;
            (hosts.is_empty() || hosts.iter().any(|pattern| pattern.matches(host)))
                && (paths.is_empty() || paths.iter().any(|pattern| pattern.matches(path)))
                && path_regex.as_ref().is_none_or(|regex| regex.matches(path))
        }
    })
}
