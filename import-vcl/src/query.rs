//! What VCL does with `req.url`: parameters that are taken out, sorted queries, rewritten paths.

use crate::conditions::{Guard, is_always};
use crate::draft::{ConfigDraft, PendingRule, add};
use crate::remark::StatementFate;
use crate::syntax::{VclAction, VclExpression, VclStatement};
use crate::texts;
use crate::toml;

/// Returns whether a statement takes parameters out of the URL, or tidies up after that. Under a
/// condition on the URL it does the same as without one.
pub(crate) fn is_stripping(statement: &VclStatement) -> bool {
    match &statement.action {
        VclAction::Set { target, is_plain: true, value } if is_url(target) => change(value)
            .is_some_and(|change| match change {
                UrlChange::Keep | UrlChange::Drop(_) | UrlChange::Sort => true,
                UrlChange::NoQuery | UrlChange::Rewrite { .. } => false,
            }),
        _ => false,
    }
}

pub(crate) fn is_url(name: &str) -> bool {
    name.eq_ignore_ascii_case("req.url")
}

enum UrlChange {
    /// Empty queries, fragments: nothing that the key would hold.
    Keep,
    Drop(Vec<String>),
    Sort,
    NoQuery,
    Rewrite {
        path_regex: String,
        to: String,
    },
}

/// Reads the new value of `req.url`.
fn change(value: &VclExpression) -> Option<UrlChange> {
    match value {
        VclExpression::Name(name) if is_url(name) => Some(UrlChange::Keep),
        VclExpression::Call(function, arguments) => match (function.as_str(), arguments.as_slice())
        {
            ("std.querysort", [inner]) => {
                change(inner).filter(|inner| matches!(inner, UrlChange::Keep))?;
                Some(UrlChange::Sort)
            }
            ("regsub" | "regsuball", [inner, regex, to]) => {
                change(inner).filter(|inner| matches!(inner, UrlChange::Keep))?;
                substituted(regex.text()?, to.text()?)
            }
            _ => None,
        },
        _ => None,
    }
}

fn substituted(regex: &str, to: &str) -> Option<UrlChange> {
    if regex.starts_with("^http") && to.is_empty() {
        return Some(UrlChange::Keep); // URLs in the form for proxies
    }
    let is_whole_query = ["\\?.*", "\\?.*$", "\\?.+$", "\\?(.*)", "\\?(.*)$"].contains(&regex);
    if is_whole_query && to.is_empty() {
        return Some(UrlChange::NoQuery);
    }
    let has_sign = regex.contains(['?', '&']) && regex.contains('=');
    if has_sign && ["", "?", "&", "\\1", "?\\1"].contains(&to) {
        let names = texts::names(regex)?;
        return Some(UrlChange::Drop(names));
    }
    if texts::is_punctuation(regex) && texts::is_punctuation(&to.replace("\\1", "")) {
        return Some(UrlChange::Keep);
    }
    let before = regex.strip_prefix('^')?;
    let is_literal = |text: &str| {
        text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte))
    };
    let is_target = is_literal(to) && is_literal(before);
    let (path_regex, to) = (format!("^{before}(.*)$"), format!("{to}$1"));
    is_target.then_some(UrlChange::Rewrite { path_regex, to })
}

/// Reads `set req.url = ...`.
pub(crate) fn set(
    statement: &VclStatement,
    value: &VclExpression,
    (guard, pending): (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    let is_general = is_always(guard);
    let mut setting = |key: &str, value: String| {
        pending.settings.push((key.to_owned(), value));
        pending.statements.push((line, text.to_owned()));
    };
    match change(value) {
        Some(UrlChange::Keep) => {
            draft.built_in(line, text, "empty queries and fragments are not in the key");
        }
        Some(UrlChange::Drop(names)) if is_general => {
            add(&mut draft.general.query_drop, &names);
            draft.note(line, text, StatementFate::Translated);
        }
        Some(UrlChange::Sort) if is_general => {
            draft.general.is_query_sorted = true;
            draft.note(line, text, StatementFate::Translated);
        }
        Some(UrlChange::NoQuery) if is_general => {
            draft.general.is_query_none = true;
            draft.note(line, text, StatementFate::Translated);
        }
        Some(UrlChange::NoQuery) => setting("key.query", "\"none\"".to_owned()),
        Some(UrlChange::Sort) => setting("key.query.sort", "true".to_owned()),
        Some(UrlChange::Drop(names)) => {
            let mut all = vec!["@tracking".to_owned()];
            add(&mut all, &names);
            setting("key.query.drop", toml::list(&all));
        }
        Some(UrlChange::Rewrite { path_regex, to }) => {
            let rewritten = crate::conditions::VclConditions::path_regex(path_regex);
            match crate::conditions::all(guard, &vec![rewritten]) {
                Ok(guard) => {
                    let how = "later conditions see the path as the client sent it";
                    let pending = PendingRule {
                        settings: vec![("rewrite.path".to_owned(), toml::text(&to))],
                        statements: vec![(line, text.to_owned())],
                    };
                    let rules = draft.rules_of(pending, &guard);
                    draft.received.extend(rules);
                    if let Some(last) = draft.remarks.last_mut() {
                        last.fate = StatementFate::Differs(how.to_owned());
                    }
                }
                Err(why) => draft.not_translated(line, text, &why),
            }
        }
        None => draft.not_translated(line, text, "no setting of [key] and no `rewrite` says this"),
    }
}
