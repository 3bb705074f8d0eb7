//! What VCL does with cookies: those that are dropped, kept, in the key, or bypass the cache.

use crate::conditions::{Guard, is_always};
use crate::draft::{ConfigDraft, PendingRule, add};
use crate::remark::StatementFate;
use crate::syntax::{VclAction, VclExpression, VclStatement};
use crate::texts;
use crate::toml;

pub(crate) const COOKIE: &str = "req.http.cookie";

/// Returns whether a statement has the request passed.
pub(crate) fn is_pass(statement: &VclStatement) -> bool {
    let is_pass = |action: &str| ["pass", "pipe"].contains(&action);
    matches!(&statement.action, VclAction::Return { action, .. } if is_pass(action))
}

/// Returns whether a statement is about the request's cookies, or looks up or passes the request.
pub(crate) fn is_about(statement: &VclStatement) -> bool {
    let is_cookie = |name: &str| name.eq_ignore_ascii_case(COOKIE);
    match &statement.action {
        VclAction::Set { target, .. } | VclAction::Unset(target) => is_cookie(target),
        VclAction::Invoke { function, .. } => function.starts_with("cookie."),
        VclAction::Return { action, .. } => {
            is_pass(statement) || ["hash", "lookup", ""].contains(&action.as_str())
        }
        _ => false,
    }
}

/// The conditions that VCL writes around statements about cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieTest {
    /// There are cookies.
    Present,
    /// None is left.
    Empty,
}

pub(crate) fn test(condition: &VclExpression) -> Option<CookieTest> {
    match condition {
        VclExpression::Name(name) if name.eq_ignore_ascii_case(COOKIE) => Some(CookieTest::Present),
        VclExpression::Not(inner) => match test(inner)? {
            CookieTest::Present => Some(CookieTest::Empty),
            CookieTest::Empty => Some(CookieTest::Present),
        },
        VclExpression::Compare(left, operator, right) => {
            left.name().filter(|name| name == COOKIE)?;
            let text = right.text()?;
            let is_empty = match operator.trim_start_matches('!') {
                "=" | "==" => text.is_empty(),
                "~" => ["^\\s*$", "^ *$", "^$", "^[; ]*$"].contains(&text),
                _ => false,
            };
            match (is_empty, operator.starts_with('!')) {
                (true, false) => Some(CookieTest::Empty),
                (true, true) => Some(CookieTest::Present),
                (false, _) => (operator == "~" && text == ".").then_some(CookieTest::Present),
            }
        }
        _ => None,
    }
}

/// Reads `unset req.http.Cookie`.
pub(crate) fn unset(
    statement: &VclStatement,
    at: (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (guard, pending) = at;
    let (line, text) = (statement.line, statement.text.as_str());
    if is_always(guard) {
        draft.general.are_others_dropped = true;
        draft.note(line, text, StatementFate::Translated);
        return;
    }
    for (key, value) in [("cookies.otherwise", "\"drop\""), ("cookies.bypass_on", "[]")] {
        pending.settings.push((key.to_owned(), value.to_owned()));
    }
    pending.statements.push((line, text.to_owned()));
}

/// Reads `set req.http.Cookie = ...`.
pub(crate) fn set(
    statement: &VclStatement,
    value: &VclExpression,
    at: (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    let is_own = value.variables().iter().all(|name| name == COOKIE);
    let VclExpression::Call(function, arguments) = value else {
        if is_own && matches!(value, VclExpression::Sum(_) | VclExpression::Name(_)) {
            draft.built_in(line, text, "cookies are read one by one");
        } else if value.text() == Some("") {
            unset(statement, at, draft);
        } else {
            draft.not_translated(line, text, "cookies are not made");
        }
        return;
    };
    let texts = (arguments.get(1).and_then(VclExpression::text), arguments.get(2));
    let (Some(regex), Some(VclExpression::Text(to))) = texts else {
        draft.not_translated(line, text, "no list of cookies says the same");
        return;
    };
    if !["regsub", "regsuball"].contains(&function.as_str()) || !is_own {
        draft.not_translated(line, text, "no list of cookies says the same");
        return;
    }
    if texts::is_punctuation(regex) {
        draft.built_in(line, text, "cookies are read one by one");
        return;
    }
    match texts::names(regex) {
        Some(names) if to.contains("\\1=") || to.contains("\\2=") => {
            kept(statement, &names, at, draft);
        }
        Some(names) if to.is_empty() || to == ";" || to == "; " || to == "\\1" => {
            dropped(statement, &names, at, draft);
        }
        _ => draft.not_translated(line, text, "no list of cookies says the same"),
    }
}

fn dropped(
    statement: &VclStatement,
    names: &[String],
    at: (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (guard, pending) = at;
    let (line, text) = (statement.line, statement.text.clone());
    if is_always(guard) {
        add(&mut draft.general.cookie_drop, names);
        draft.note(line, &text, StatementFate::Translated);
        return;
    }
    let mut all = vec!["@analytics".to_owned(), "@consent".to_owned()];
    add(&mut all, names);
    pending.settings.push(("cookies.drop".to_owned(), toml::list(&all)));
    pending.statements.push((line, text));
}

/// All others are dropped, and one of these bypasses the cache.
fn kept(
    statement: &VclStatement,
    names: &[String],
    at: (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (guard, pending) = at;
    let (line, text) = (statement.line, statement.text.clone());
    if is_always(guard) {
        draft.general.are_others_dropped = true;
        add(&mut draft.general.cookie_bypass, names);
        draft.note(line, &text, StatementFate::Translated);
        return;
    }
    pending.settings.push(("cookies.otherwise".to_owned(), "\"drop\"".to_owned()));
    pending.settings.push(("cookies.bypass_on".to_owned(), toml::list(names)));
    pending.statements.push((line, text));
}

/// Reads a call of the vmod `cookie`.
pub(crate) fn invoked(
    statement: &VclStatement,
    (function, arguments): (&str, &[VclExpression]),
    at: (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    let argument = arguments.first().and_then(VclExpression::text).unwrap_or_default();
    let listed = || argument.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    match function {
        "cookie.parse" => draft.built_in(line, text, "cookies are read one by one"),
        "cookie.filter" | "cookie.delete" => dropped(statement, &listed(), at, draft),
        "cookie.filter_except" | "cookie.keep" => kept(statement, &listed(), at, draft),
        "cookie.filter_re" | "cookie.keep_re" => match texts::names(argument) {
            Some(names) if function == "cookie.keep_re" => kept(statement, &names, at, draft),
            Some(names) => dropped(statement, &names, at, draft),
            None => draft.not_translated(line, text, "no list of cookies says the same"),
        },
        _ => draft.not_translated(line, text, "cookies are not made"),
    }
}

/// Returns the cookies that a value for `hash_data` is taken from.
pub(crate) fn hashed(value: &VclExpression) -> Option<Vec<String>> {
    let VclExpression::Call(function, arguments) = value else { return None };
    if function == "cookie.get" {
        return Some(vec![arguments.first()?.text()?.to_owned()]);
    }
    let is_own = value.variables().iter().all(|name| name == COOKIE);
    if !function.starts_with("regsub") || !is_own {
        return None;
    }
    let regex = arguments.get(1)?.text()?;
    let bare = regex.trim_start_matches('^').trim_start_matches(".*?").trim_start_matches(".*");
    let names = texts::names(bare)?;
    names.iter().all(|name| !name.contains('*')).then_some(names)
}
