//! `RuleEffects`: what the rules that match a request do with it, beside the settings.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use settings::{RequestActions, RuleOrigin, RuleSettings, RuleTemplate};

use super::counters::{RuleCounters, RuleUse};
use super::field_changes::FieldChanges;
use super::own_answer::OwnAnswer;
use super::response_terms::{self, ResponseTerms};
use super::{SharedRules, identity, rendered};
use crate::key::KeyRules;
use crate::policy::matcher::{MatchedRules, without_query};

/// The effects of the matching rules. Of those that set a thing, the first one decides it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an action by itself")]
pub struct RuleEffects {
    rules: Arc<SharedRules>,
    matched: MatchedRules,
    apart: Option<KeyRules>,
    bypass: bool,
    origin: Option<RuleOrigin>,
    request_fields: FieldChanges,
    /// The rules that answer, rewrite and name the page.
    answer: Option<u16>,
    rewrite: Option<u16>,
    page: Option<u16>,
    next_rsc: bool,
    /// The rules that say something of responses.
    response: Box<[u16]>,
    has_browser_ttl: bool,
    invalidates: bool,
}

impl RuleEffects {
    pub(super) fn new(rules: &Arc<SharedRules>, matched: MatchedRules) -> Self {
        let list = || {
            let rule = |place: &u16| Some((*place, rules.list.get(usize::from(*place))?));
            matched.iter().filter_map(rule)
        };
        let first = |sets: fn(&RequestActions) -> bool| {
            list().find(|(_, rule)| sets(&rule.actions.request)).map(|(place, _)| place)
        };
        let requests = || list().map(|(_, rule)| &rule.actions.request);
        let is_apart = |(_, rule): &(u16, &RuleSettings)| {
            rule.looks_beyond_the_path() && identity::shapes_or_ends(rule)
        };
        let identity_of = |place: u16| rules.identities.get(usize::from(place)).copied();
        let apart = list().filter(is_apart).fold(0, |hash, (place, _)| {
            identity::join(hash, identity_of(place).unwrap_or_default())
        });
        Self {
            apart: NonZeroU64::new(apart).map(KeyRules),
            bypass: requests().find_map(|actions| actions.bypass).unwrap_or_default(),
            origin: requests().find_map(|actions| actions.origin.clone()),
            request_fields: FieldChanges::of(requests().map(|actions| &actions.request_headers)),
            answer: first(|actions| actions.respond.is_some() || actions.redirect.is_some()),
            rewrite: first(|actions| actions.rewrite.is_some()),
            page: first(|actions| actions.page.is_some()),
            next_rsc: requests().find_map(|actions| actions.next_rsc).unwrap_or_default(),
            response: list().filter(|(_, rule)| acts_on_response(rule)).map(|(at, _)| at).collect(),
            has_browser_ttl: list().any(|(_, rule)| rule.actions.response.browser_ttl.is_some()),
            invalidates: requests().find_map(|actions| actions.invalidate).unwrap_or(true),
            rules: Arc::clone(rules),
            matched,
        }
    }

    /// The places of the rules.
    pub const fn matched(&self) -> &MatchedRules {
        &self.matched
    }

    /// The names of the rules.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let rule = |place: &u16| self.rules.list.get(usize::from(*place));
        self.matched.iter().filter_map(rule).map(|rule| rule.name.as_str())
    }

    /// The rules for which responses are kept apart from others of the same URL.
    pub const fn apart(&self) -> Option<KeyRules> {
        self.apart
    }

    /// Returns whether requests bypass the cache.
    pub const fn bypasses(&self) -> bool {
        self.bypass
    }

    pub const fn origin(&self) -> Option<&RuleOrigin> {
        self.origin.as_ref()
    }

    /// Returns whether only what is stored may answer.
    pub fn is_only_stored(&self) -> bool {
        self.origin == Some(RuleOrigin::OnlyStored)
    }

    /// The edits of the request's fields.
    pub const fn request_fields(&self) -> &FieldChanges {
        &self.request_fields
    }

    /// Returns whether a rule answers by itself.
    pub const fn answers(&self) -> bool {
        self.answer.is_some()
    }

    /// Returns whether a rule rewrites the path or the query.
    pub const fn rewrites(&self) -> bool {
        self.rewrite.is_some() || self.next_rsc
    }

    /// Returns whether `_rsc` is computed anew, see [`super::next_rsc`].
    pub const fn next_rsc(&self) -> bool {
        self.next_rsc
    }

    /// Returns the path with query that takes the place of this one, if a rule rewrites it.
    pub fn rewritten(&self, host: &str, target: &str) -> Option<String> {
        let mut path =
            self.written(self.rewrite?, |actions| actions.rewrite.as_ref(), host, target)?;
        if let (_, Some(query)) = without_query(target) {
            path.push('?');
            path.push_str(query);
        }
        Some(path)
    }

    /// Returns the path of the page that a path belongs to, if a rule names it.
    pub fn page(&self, host: &str, target: &str) -> Option<String> {
        self.written(self.page?, |actions| actions.page.as_ref(), host, target)
    }

    /// Returns the answer of a rule, if one answers by itself. `None` also where a redirect's
    /// target cannot be a field's value.
    pub fn answer(&self, host: &str, target: &str) -> Option<OwnAnswer> {
        let place = self.answer?;
        if let Some(content) = self.rules.contents.get(usize::from(place))?.as_ref() {
            return Some(content.answer());
        }
        let redirect = self.rule(place)?.actions.request.redirect.as_ref()?;
        let rule = &self.rule(place)?.matches;
        let to = rendered::of_request(&redirect.to, rule, host, target)?;
        let mut fields = HeaderMap::new();
        fields.insert(LOCATION, HeaderValue::try_from(on_same_host(&to)).ok()?);
        Some(OwnAnswer { status: redirect.status, fields, content: Bytes::new() })
    }

    /// Returns whether clients may have been told a lifetime of a rule.
    pub const fn has_browser_ttl(&self) -> bool {
        self.has_browser_ttl
    }

    /// Returns whether an unsafe request invalidates what is stored of its URL.
    pub const fn invalidates(&self) -> bool {
        self.invalidates
    }

    /// Returns what the rules say of a response; `None` where none says anything of responses.
    pub fn judge(
        &self,
        request: (&str, &str),
        status: StatusCode,
        fields: &HeaderMap,
    ) -> Option<ResponseTerms> {
        let rules = self.response.iter().filter_map(|place| self.rule(*place));
        (!self.response.is_empty()).then(|| response_terms::of(rules, request, status, fields))
    }

    /// Counts a request, and the time for which its response was awaited from the origin.
    pub fn count(&self, used: RuleUse, origin: Option<Duration>) {
        self.counters().for_each(|counters| counters.count(used, origin));
    }

    /// Counts bytes of content that were sent.
    pub fn count_sent(&self, bytes: u64) {
        self.counters().for_each(|counters| counters.count_sent(bytes));
    }

    fn counters(&self) -> impl Iterator<Item = &RuleCounters> {
        let counters = |place: &u16| self.rules.counters.get(usize::from(*place));
        self.matched.iter().filter_map(counters).map(Arc::as_ref)
    }

    fn rule(&self, place: u16) -> Option<&RuleSettings> {
        self.rules.list.get(usize::from(place))
    }

    fn written(
        &self,
        place: u16,
        template: fn(&RequestActions) -> Option<&RuleTemplate>,
        host: &str,
        target: &str,
    ) -> Option<String> {
        let rule = self.rule(place)?;
        rendered::of_request(template(&rule.actions.request)?, &rule.matches, host, target)
    }
}

fn acts_on_response(rule: &RuleSettings) -> bool {
    !rule.actions.response.is_empty() || rule.force || rule.last && !rule.response.is_empty()
}

/// A path that begins with two slashes would name a host: what a capture holds is not to choose
/// one. A query that is empty is none.
fn on_same_host(to: &str) -> String {
    let to = to.strip_suffix('?').unwrap_or(to);
    if to.starts_with('/') {
        return format!("/{}", to.trim_start_matches(['/', '\\']));
    }
    to.to_owned()
}

#[cfg(test)]
mod tests {
    use super::on_same_host;

    #[test]
    fn a_redirect_to_a_path_stays_on_its_host() {
        for (to, expected) in [
            ("/a", "/a"),
            ("//evil.example/a", "/evil.example/a"),
            ("/\\evil.example", "/evil.example"),
            ("/a//b?", "/a//b"),
            ("https://new.example//a", "https://new.example//a"),
        ] {
            assert_eq!(on_same_host(to), expected, "{to}");
        }
    }
}
