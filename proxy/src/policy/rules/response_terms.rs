//! `ResponseTerms`: what the rules say of one response, once its head has arrived.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use purge_protocol::tag;
use settings::{ResponseActions, RuleSettings, SetCookie, TemplatePiece};

use super::edited;
use super::field_changes::FieldChanges;
use crate::freshness::RuledTerms;
use crate::policy::matcher::without_query;

/// What the rules say of one response. Of those that match it and set a thing, the first one
/// decides it.
#[derive(Clone, Debug, Default)]
pub struct ResponseTerms {
    pub lifetimes: RuledTerms,
    /// The lifetime that clients are told.
    browser_ttl: Option<Duration>,
    /// No client gets `Set-Cookie`.
    pub strips_cookies: bool,
    /// The fields that clients see.
    pub fields: FieldChanges,
    /// Tags beside those of the response.
    pub tags: Vec<Vec<u8>>,
    /// The response is not stored.
    pub is_uncacheable: bool,
}

impl ResponseTerms {
    /// Changes the fields of a response that is stored to those that clients see, and notes what
    /// they were.
    pub fn edit(&self, fields: &mut HeaderMap) {
        let forces = self.lifetimes.force;
        edited::edit(fields, &self.fields, self.browser_ttl.map(|ttl| (ttl, forces)));
    }
}

/// Returns what these rules, of which all match the request, say of its response.
pub(super) fn of<'r>(
    rules: impl Iterator<Item = &'r RuleSettings>,
    request: (&str, &str),
    status: StatusCode,
    fields: &HeaderMap,
) -> ResponseTerms {
    let mut matching: Vec<&RuleSettings> = Vec::new();
    for rule in rules.filter(|rule| rule.response.matches(status, fields)) {
        matching.push(rule);
        if rule.last {
            break;
        }
    }
    terms_of(&matching, request, status, fields)
}

fn terms_of(
    rules: &[&RuleSettings],
    request: (&str, &str),
    status: StatusCode,
    fields: &HeaderMap,
) -> ResponseTerms {
    let actions = || rules.iter().map(|rule| &rule.actions.response);
    // A lifetime is for errors only where the rule names their status: a failure is not to be kept
    // because its path is that of pages.
    let is_meant =
        |rule: &&&RuleSettings| status.as_u16() < 400 || !rule.response.statuses.is_empty();
    let lifetime = |of: fn(&ResponseActions) -> Option<Duration>| {
        rules.iter().filter(is_meant).find_map(|rule| of(&rule.actions.response))
    };
    let set_cookie = actions().find_map(|actions| actions.set_cookie);
    let tags = rules.iter().find_map(|rule| Some((*rule, rule.actions.response.tags.as_ref()?)));
    let tags = tags.map(|(rule, templates)| {
        let written = templates.iter().filter_map(|template| {
            let (host, target) = request;
            let (path, query) = without_query(target);
            template.render(&rule.matches.captures(path), |piece| match piece {
                TemplatePiece::Host => Some(host.as_bytes()),
                TemplatePiece::Path => Some(path.as_bytes()),
                TemplatePiece::Query => Some(query.unwrap_or_default().as_bytes()),
                TemplatePiece::Response(name) => Some(fields.get(name)?.as_bytes().trim_ascii()),
                TemplatePiece::Literal(_) | TemplatePiece::Capture(_) => None,
            })
        });
        // Text that would be several tags names none.
        written.filter(|text| tag::split(text).eq([text.as_slice()])).collect()
    });
    ResponseTerms {
        lifetimes: RuledTerms {
            ttl: lifetime(|actions| actions.ttl),
            ttl_if_silent: lifetime(|actions| actions.ttl_if_silent),
            stale_while_revalidate: lifetime(|actions| actions.stale_while_revalidate),
            stale_if_error: lifetime(|actions| actions.stale_if_error),
            force: rules.iter().any(|rule| rule.force),
            shares_cookies: matches!(set_cookie, Some(SetCookie::Strip | SetCookie::Store)),
        },
        browser_ttl: lifetime(|actions| actions.browser_ttl),
        strips_cookies: set_cookie == Some(SetCookie::Strip),
        fields: FieldChanges::of(actions().map(|actions| &actions.response_headers)),
        tags: tags.unwrap_or_default(),
        is_uncacheable: actions().find_map(|actions| actions.uncacheable).unwrap_or_default(),
    }
}
