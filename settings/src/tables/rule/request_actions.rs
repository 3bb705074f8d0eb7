//! `RequestActions`: what a rule does with a request.

use super::field_edits::{FieldEdits, refuse_in_request};
use super::redirect::Redirect;
use super::respond::Respond;
use super::template::{RuleTemplate, TemplatePiece, template};
use crate::table::Table;
use crate::value::{Fault, boolean, parsed};

/// Actions on requests. What is `None` this rule leaves to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestActions {
    /// `origin`.
    pub origin: Option<RuleOrigin>,
    /// `bypass`: the request goes to the origin, and its response is not stored.
    pub bypass: Option<bool>,
    /// `rewrite.path`: the path that the cache and the origin see, without a query.
    pub rewrite: Option<RuleTemplate>,
    /// `rewrite.next_rsc`: the parameter `_rsc` is computed anew from the fields that Next.js
    /// compares it with.
    pub next_rsc: Option<bool>,
    /// `request_headers`: the request's fields as the cache and the origin see them.
    pub request_headers: FieldEdits,
    /// `respond`: an answer of our own.
    pub respond: Option<Respond>,
    /// `redirect`: another URL.
    pub redirect: Option<Redirect>,
    /// `invalidate`: whether an unsafe request, such as POST, invalidates what is stored of its URL
    /// (RFC 9111 §4.4). True without a rule.
    pub invalidate: Option<bool>,
    /// `page`: the path of the page that the URL belongs to.
    pub page: Option<RuleTemplate>,
}

/// The origin of a rule's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleOrigin {
    /// The origin of this name.
    Named(String),
    /// `"none"`: what is stored answers, or nothing does (504).
    OnlyStored,
}

impl RequestActions {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn read(&mut self, table: &mut Table<'_>) {
        let mut origin = None;
        table.read("origin", |node| parsed(rule_origin)(node).map(Some), &mut origin);
        self.origin = origin;
        table.read("bypass", |node| boolean(node).map(Some), &mut self.bypass);
        table.read("invalidate", |node| boolean(node).map(Some), &mut self.invalidate);
        table.table("rewrite", |table| {
            let mut path = None;
            table.read("path", |node| parsed(path_template)(node).map(Some), &mut path);
            table.read("next_rsc", |node| boolean(node).map(Some), &mut self.next_rsc);
            if self.next_rsc.is_none() {
                table.require("path");
            }
            self.rewrite = path;
        });
        table.table("request_headers", |table| {
            self.request_headers.read(table, refuse_in_request);
        });
        self.respond = Respond::read(table);
        self.redirect = Redirect::read(table);
        let mut page = None;
        table.read("page", |node| parsed(path_template)(node).map(Some), &mut page);
        self.page = page;
        if self.respond.is_some() && self.redirect.is_some() {
            table.fault_of(
                "redirect",
                Fault::new("stands beside `respond`", "only one can be done"),
            );
        }
    }

    /// Returns the things that are set, by the paths of their settings.
    pub(super) fn things(&self) -> Vec<String> {
        let Self { origin, bypass, rewrite, request_headers, respond, redirect, .. } = self;
        let flags = [
            ("origin", origin.is_some()),
            ("bypass", bypass.is_some()),
            ("invalidate", self.invalidate.is_some()),
            ("rewrite", rewrite.is_some()),
            ("rewrite.next_rsc", self.next_rsc.is_some()),
            ("answer", respond.is_some() || redirect.is_some()),
            ("page", self.page.is_some()),
        ];
        let set = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned());
        set.chain(request_headers.things("request_headers")).collect()
    }

    /// Returns the templates that may hold captures, by the names of their settings.
    pub(super) fn templates(&self) -> impl Iterator<Item = (&'static str, &RuleTemplate)> {
        let redirect = self.redirect.as_ref().map(|redirect| ("redirect", &redirect.to));
        let rewrite = self.rewrite.as_ref().map(|template| ("rewrite", template));
        let page = self.page.as_ref().map(|template| ("page", template));
        redirect.into_iter().chain(rewrite).chain(page)
    }
}

fn rule_origin(text: &str) -> Result<RuleOrigin, Fault> {
    match text {
        "none" => Ok(RuleOrigin::OnlyStored),
        "" => Err(Fault::new("must be the name of an origin, or \"none\"", "empty")),
        name => Ok(RuleOrigin::Named(name.to_owned())),
    }
}

fn path_template(text: &str) -> Result<RuleTemplate, Fault> {
    let fault = |label| Fault::new(format!("must be a path, and `{text}` is none"), label);
    let template = template(text)?;
    if template.looks_at_response() {
        return Err(fault("there is no response yet"));
    }
    if template.pieces().contains(&TemplatePiece::Query) {
        return Err(fault("a path with a query after it").help("the query stays as it is"));
    }
    if !text.starts_with('/') {
        return Err(fault("it begins with no slash").help(format!("did you mean \"/{text}\"?")));
    }
    if text.contains(['?', '#', ' ']) {
        return Err(fault("a path with more after it").help("the query stays as it is"));
    }
    Ok(template)
}
