//! `ConfigDraft`: the configuration while it is put together.

use crate::conditions::{Guard, VclConditions, is_always};
use crate::guard::Networks;
use crate::remark::{Remark, StatementFate};
use crate::syntax::VclStatement;
use crate::toml;

#[derive(Debug, Default)]
pub(crate) struct ConfigDraft {
    pub(crate) networks: Networks,
    pub(crate) origins: Vec<DraftOrigin>,
    /// Of directors and of backends that are members of one, the name of the origin.
    pub(crate) origin_of: std::collections::BTreeMap<String, String>,
    pub(crate) general: General,
    /// In the order of a list in which the first one that sets a thing decides.
    pub(crate) delivered: Vec<DraftRule>,
    pub(crate) fetched: Vec<DraftRule>,
    pub(crate) directed: Vec<DraftRule>,
    pub(crate) received: Vec<DraftRule>,
    pub(crate) remarks: Vec<Remark>,
    /// Statements that end VCL's subroutine, but not the list of rules: with each, the number of
    /// rules for requests before it.
    pub(crate) unended: Vec<(usize, String, usize)>,
    pub(crate) overrides: Overrides,
    /// Statements that were looked at; some are called several times.
    pub(crate) steps: usize,
}

/// The lines where VCL stores what the response would have kept out.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// `set beresp.ttl`.
    pub(crate) lifetimes: Vec<usize>,
    /// `unset beresp.http.Set-Cookie`.
    pub(crate) cookies: Vec<usize>,
}

/// Settings that hold for everything.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(crate) struct General {
    pub(crate) query_drop: Vec<String>,
    pub(crate) is_query_sorted: bool,
    pub(crate) is_query_none: bool,
    pub(crate) cookie_drop: Vec<String>,
    pub(crate) cookie_bypass: Vec<String>,
    pub(crate) cookie_vary: Vec<String>,
    /// Cookies that no list names are dropped.
    pub(crate) are_others_dropped: bool,
    pub(crate) key_headers: Vec<(usize, String)>,
    pub(crate) purge_allow: Vec<String>,
    pub(crate) is_compressed: bool,
    pub(crate) keep: Option<String>,
}

#[derive(Debug)]
pub(crate) struct DraftOrigin {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Address and weight.
    pub(crate) servers: Vec<(String, Option<String>)>,
    pub(crate) settings: Vec<(String, String)>,
    /// Those of `[origin.NAME.health]`.
    pub(crate) health: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct DraftRule {
    pub(crate) line: usize,
    pub(crate) conditions: VclConditions,
    /// Keys and TOML.
    pub(crate) settings: Vec<(String, String)>,
    /// It does no more than end the list, for requests that are built in to bypass the cache.
    pub(crate) is_end: bool,
}

/// The statements of one block under one guard.
#[derive(Debug, Default)]
pub(crate) struct PendingRule {
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) statements: Vec<(usize, String)>,
}

impl ConfigDraft {
    /// Notes what became of a statement, once for all ways that lead to it.
    pub(crate) fn note(&mut self, line: usize, text: &str, fate: StatementFate) {
        let remark = Remark { line, text: toml::comment(text), fate };
        if self.remarks.iter().rev().take(REMARKS_COMPARED).all(|own| *own != remark) {
            self.remarks.push(remark);
        }
    }

    /// Returns whether enough was read: a file that calls its subroutines again and again.
    pub(crate) fn is_full(&self) -> bool {
        let rules = [&self.delivered, &self.fetched, &self.directed, &self.received];
        self.steps > STEPS_MAX || rules.iter().any(|rules| rules.len() > RULES_MAX)
    }

    pub(crate) fn not_translated(&mut self, line: usize, text: &str, why: &str) {
        self.note(line, text, StatementFate::NotTranslated(why.to_owned()));
    }

    pub(crate) fn built_in(&mut self, line: usize, text: &str, why: &str) {
        self.note(line, text, StatementFate::BuiltIn(why.to_owned()));
    }

    /// Makes rules of what a block does, one for each alternative of its guard. What is under a
    /// condition on cookies bypasses the cache, or is not translated.
    pub(crate) fn rules_of(&mut self, pending: PendingRule, guard: &Guard) -> Vec<DraftRule> {
        let PendingRule { settings, statements } = pending;
        let Some((line, _)) = statements.first().cloned() else { return Vec::new() };
        let mut fate = StatementFate::Translated;
        let mut rules = Vec::new();
        let guard = if is_always(guard) { &crate::conditions::always() } else { guard };
        for conditions in guard {
            if let Some(why) = needless(conditions, &settings) {
                fate = StatementFate::BuiltIn(why.to_owned());
                if conditions.is_of_methods() {
                    let settings = vec![("last".to_owned(), "true".to_owned())];
                    let conditions = conditions.clone();
                    rules.push(DraftRule { line, conditions, settings, is_end: true });
                } else {
                    self.unended(&statements);
                }
                continue;
            }
            let mut conditions = conditions.clone();
            if let (Some(how), StatementFate::Translated) = (conditions.nearly.take(), &fate) {
                fate = StatementFate::Differs(how.to_owned());
            }
            let cookies = std::mem::take(&mut conditions.cookies);
            let is_of_values = std::mem::take(&mut conditions.is_of_values);
            let mut settings = settings.clone();
            if !cookies.is_empty() {
                let is_bypass = is_bypass(&settings);
                if is_bypass {
                    self.unended(&statements);
                }
                match cookies.as_slice() {
                    _ if is_bypass && conditions.is_always() => {
                        add(&mut self.general.cookie_bypass, &cookies);
                        fate = cookies_fate(&cookies, is_of_values);
                        continue;
                    }
                    _ if is_bypass => {
                        let mut names = vec!["@session".to_owned(), "@preview".to_owned()];
                        add(&mut names, &cookies);
                        settings = vec![("cookies.bypass_on".to_owned(), toml::list(&names))];
                        fate = cookies_fate(&cookies, is_of_values);
                    }
                    [one] if !one.contains('*') && !is_of_values => {
                        match crate::conditions::all(
                            &vec![conditions.clone()],
                            &vec![VclConditions::entry("cookie", one, vec!["*".to_owned()])],
                        ) {
                            Ok(both) => conditions = both.into_iter().next().unwrap_or_default(),
                            Err(why) => fate = StatementFate::NotTranslated(why),
                        }
                    }
                    _ => {
                        let why = "a rule looks at cookies by their whole names, all of them";
                        fate = StatementFate::NotTranslated(why.to_owned());
                        continue;
                    }
                }
            }
            rules.push(DraftRule { line, conditions, settings, is_end: false });
        }
        for (line, text) in statements {
            self.note(line, &text, fate.clone());
        }
        rules
    }

    /// Notes statements that end VCL's subroutine, while later rules go on to be looked at.
    pub(crate) fn unended(&mut self, statements: &[(usize, String)]) {
        let before = self.received.len();
        self.unended.extend(statements.iter().map(|(line, text)| (*line, text.clone(), before)));
    }
}

impl PendingRule {
    /// Adds a setting, and the statement that it comes from.
    pub(crate) fn does(&mut self, statement: &VclStatement, key: &str, value: String) {
        self.settings.push((key.to_owned(), value));
        self.statements.push((statement.line, statement.text.clone()));
    }
}

fn cookies_fate(cookies: &[String], is_of_values: bool) -> StatementFate {
    if is_of_values {
        return StatementFate::Differs("with any value: more requests bypass the cache".to_owned());
    }
    if cookies.iter().any(|name| name.ends_with('*')) {
        return StatementFate::Differs(
            "cookies whose names begin so; VCL also finds it inside".to_owned(),
        );
    }
    StatementFate::Translated
}

/// Says why a rule would change nothing.
fn needless(conditions: &VclConditions, settings: &[(String, String)]) -> Option<&'static str> {
    if !is_bypass(settings) {
        return None;
    }
    match conditions.only_present("header") {
        Some("cookie") => return Some("cookies that no list names bypass the cache: [cookies]"),
        Some("upgrade") => return Some("WebSockets are tunnelled"),
        _ => {}
    }
    let has_get = |methods: &[String]| methods.iter().any(|it| it == "GET" || it == "HEAD");
    let is_of_others = conditions.only_list("method").is_some_and(|methods| !has_get(methods));
    let not = conditions.only_not().and_then(|not| not.only_list("method"));
    if is_of_others || not.is_some_and(has_get) {
        return Some("other methods are forwarded, and invalidate their URL");
    }
    None
}

/// Returns whether settings are those of a `pass`, and no others.
fn is_bypass(settings: &[(String, String)]) -> bool {
    settings.iter().all(|(key, _)| key == "bypass" || key == "last")
        && settings.iter().any(|(key, _)| key == "bypass")
}

/// Adds items that are not there yet.
pub(crate) fn add(list: &mut Vec<String>, items: &[String]) {
    for item in items {
        if !list.contains(item) && list.len() < ITEMS_MAX {
            list.push(item.clone());
        }
    }
}

const ITEMS_MAX: usize = 500;
const REMARKS_COMPARED: usize = 100;
const STEPS_MAX: usize = 5_000;
/// Rules of one kind.
const RULES_MAX: usize = 400;
