//! `ResponseActions`: what a rule does with a response.

use std::time::Duration;

use super::field_edits::{FieldEdits, refuse_in_response};
use super::template::{RuleTemplate, template};
use crate::table::Table;
use crate::tree::Node;
use crate::value::{Fault, LIFETIME, boolean, choice, duration, parsed};

/// Actions on the responses of origins, before they are stored. What is `None` this rule leaves to
/// others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseActions {
    /// `ttl`: the freshness lifetime here, whatever the response says; 0s to 3650d.
    pub ttl: Option<Duration>,
    /// `ttl_if_silent`: the same, for responses that say nothing.
    pub ttl_if_silent: Option<Duration>,
    /// `browser_ttl`: the lifetime that clients are told; 0s to 3650d.
    pub browser_ttl: Option<Duration>,
    /// `stale_while_revalidate`: as in `[cache]`, whatever the response says.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale_if_error`: as in `[cache]`, whatever the response says.
    pub stale_if_error: Option<Duration>,
    /// `set_cookie`.
    pub set_cookie: Option<SetCookie>,
    /// `response_headers`: the fields that clients see.
    pub response_headers: FieldEdits,
    /// `tags`: added to those of the response.
    pub tags: Option<Vec<RuleTemplate>>,
    /// `uncacheable`: the response is not stored.
    pub uncacheable: Option<bool>,
}

/// The effect of `Set-Cookie` on a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCookie {
    /// The response is not stored.
    Uncacheable,
    /// No client gets the cookie; the response may be stored.
    Strip,
    /// Every client gets the cookie.
    Store,
}

impl ResponseActions {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the things that are set, by the paths of their settings.
    pub(super) fn things(&self) -> Vec<String> {
        let flags = [
            ("ttl", self.ttl.is_some()),
            ("ttl_if_silent", self.ttl_if_silent.is_some()),
            ("browser_ttl", self.browser_ttl.is_some()),
            ("stale_while_revalidate", self.stale_while_revalidate.is_some()),
            ("stale_if_error", self.stale_if_error.is_some()),
            ("set_cookie", self.set_cookie.is_some()),
            ("tags", self.tags.is_some()),
            ("uncacheable", self.uncacheable.is_some()),
        ];
        let set = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned());
        set.chain(self.response_headers.things("response_headers")).collect()
    }

    pub(super) fn read(&mut self, table: &mut Table<'_>) {
        let lifetime = |node: &Node| duration(LIFETIME)(node).map(Some);
        table.read("ttl", lifetime, &mut self.ttl);
        table.read("ttl_if_silent", lifetime, &mut self.ttl_if_silent);
        table.read("browser_ttl", lifetime, &mut self.browser_ttl);
        table.read("stale_while_revalidate", lifetime, &mut self.stale_while_revalidate);
        table.read("stale_if_error", lifetime, &mut self.stale_if_error);
        table.read("set_cookie", |node| choice(&SET_COOKIE)(node).map(Some), &mut self.set_cookie);
        table.table("response_headers", |table| {
            self.response_headers.read(table, refuse_in_response);
        });
        if table.has("tags") {
            let mut tags = Vec::new();
            table.read_each("tags", parsed(tag), &mut tags);
            self.tags = Some(tags);
        } else {
            table.read_each("tags", parsed(tag), &mut Vec::new());
        }
        table.read("uncacheable", |node| boolean(node).map(Some), &mut self.uncacheable);
    }
}

fn tag(text: &str) -> Result<RuleTemplate, Fault> {
    if text.is_empty() || text.contains([' ', ',']) {
        return Err(Fault::new("must be one tag", "empty, or several"));
    }
    template(text)
}

const SET_COOKIE: [(&str, SetCookie); 3] = [
    ("uncacheable", SetCookie::Uncacheable),
    ("strip", SetCookie::Strip),
    ("store", SetCookie::Store),
];
