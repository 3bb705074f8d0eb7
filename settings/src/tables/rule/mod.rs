//! `[[rule]]`: what holds for some requests and responses only.

mod device_class;
mod expected;
mod field_edits;
mod preset;
mod redirect;
mod request_actions;
mod respond;
mod response_actions;
mod response_match;
mod rule_match;
mod rule_overlay;
mod template;

pub use self::device_class::DeviceClass;
pub use self::expected::Expected;
pub use self::field_edits::FieldEdits;
pub use self::preset::{PRESETS, preset};
pub use self::redirect::Redirect;
pub use self::request_actions::{RequestActions, RuleOrigin};
pub use self::respond::{Respond, RespondContent};
pub use self::response_actions::{ResponseActions, SetCookie};
pub use self::response_match::ResponseMatch;
pub use self::rule_match::RuleMatch;
pub use self::rule_overlay::RuleOverlay;
pub use self::template::{RuleTemplate, TemplatePiece};

use std::collections::BTreeMap;

use crate::report::ProblemBuilder;
use crate::table::Table;
use crate::value::{Fault, boolean, parsed};

/// One rule. Of all that match, the first one that sets a thing decides it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSettings {
    /// `name`, unique; `rule 3` for the third one of the file if it has none. A rule of a preset is
    /// named after both: `shop/rsc`.
    pub name: String,
    /// The place of the `[[rule]]` in the file, from 0. A preset's rules have that of the rule that
    /// names it.
    pub index: usize,
    /// `preset`: its rules follow this one in the list.
    pub preset: Option<String>,
    /// The conditions.
    pub matches: RuleMatch,
    /// `not`: conditions, of which one at least does not hold.
    pub not: Option<RuleMatch>,
    /// The conditions, and `not`, of the rule that names the preset which this one is of.
    pub within: Option<Box<(RuleMatch, Option<RuleMatch>)>>,
    /// The conditions on responses.
    pub response: ResponseMatch,
    /// The things that it sets.
    pub actions: RuleActions,
    /// `last`: where it matches, no later rule is looked at.
    pub last: bool,
    /// `force`: it may store what the origin, or RFC 9111, forbids to share.
    pub force: bool,
    /// All that is written of it, by the paths of the settings.
    written: BTreeMap<String, String>,
}

/// The things that a rule sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleActions {
    /// Settings of the tables `[cache]`, `[key]`, `[cookies]`.
    pub settings: RuleOverlay,
    /// Its actions on a request.
    pub request: RequestActions,
    /// Its actions on a response.
    pub response: ResponseActions,
}

impl RuleSettings {
    /// Returns all conditions on the request, each with whether it must hold.
    pub fn conditions(&self) -> impl Iterator<Item = (&RuleMatch, bool)> {
        let of_preset = self.within.as_deref();
        let within = of_preset.map(|(matches, _)| (matches, true));
        let without = of_preset.and_then(|(_, not)| not.as_ref()).map(|not| (not, false));
        let not = self.not.as_ref().map(|not| (not, false));
        within.into_iter().chain(without).chain([(&self.matches, true)]).chain(not)
    }

    /// Returns whether it may match one of two GET requests for the same host and path.
    pub fn looks_beyond_the_path(&self) -> bool {
        self.conditions().any(|(conditions, _)| conditions.looks_beyond_the_path())
    }

    /// Returns whether what is stored may depend on it: the request that the origin gets, or the
    /// terms under which its response is stored.
    pub fn shapes_what_is_stored(&self) -> bool {
        let RequestActions { origin, request_headers, page, next_rsc, .. } = &self.actions.request;
        matches!(origin, Some(RuleOrigin::Named(_)))
            || !request_headers.is_empty()
            || page.is_some()
            || next_rsc.is_some()
            || !self.actions.settings.is_empty()
            || !self.actions.response.is_empty()
            || self.force
    }

    /// Returns whether it certainly matches every request and response that the other one matches.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let is_wanted = |(conditions, is_wanted): (_, bool)| is_wanted.then_some(conditions);
        let others: Vec<&RuleMatch> = other.conditions().filter_map(is_wanted).collect();
        let unwanted = |rule: &Self| -> Vec<RuleMatch> {
            let unwanted = rule.conditions().filter(|(_, is_wanted)| !is_wanted);
            unwanted.map(|(conditions, _)| conditions.clone()).collect()
        };
        let known = unwanted(other);
        self.conditions()
            .filter_map(is_wanted)
            .all(|own| others.iter().any(|other| own.covers(other)))
            && unwanted(self).iter().all(|own| known.contains(own))
            && (self.response.is_empty() || self.response == other.response)
    }

    /// Returns whether no later rule is looked at where it matches.
    pub(crate) fn ends(&self) -> bool {
        self.last && self.response.is_empty()
    }

    /// Returns what is written of a thing that it sets.
    pub fn written(&self, thing: &str) -> String {
        let is_of = |path: &str, thing: &str| {
            path.strip_prefix(thing).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let names: &[&str] = if thing == "answer" { &["respond", "redirect"] } else { &[thing] };
        let table = thing.split_once('.').filter(|(table, _)| table.ends_with("_headers"));
        let is_meant = |path: &str| match table {
            Some((table, name)) => {
                is_of(path, table)
                    && (path.to_ascii_lowercase().ends_with(name) || path.ends_with(".remove"))
            }
            None => names.iter().any(|name| is_of(path, name)),
        };
        let written = self.written.iter().filter(|(path, _)| is_meant(path));
        let texts: Vec<String> = written
            .map(
                |(path, value)| {
                    if path == thing { value.clone() } else { format!("{path} = {value}") }
                },
            )
            .collect();
        texts.join(", ")
    }

    /// Returns its conditions on the response as they are written.
    pub fn written_response(&self) -> String {
        let is_of_response = |path: &str| {
            let table = path.split('.').next().unwrap_or(path);
            matches!(table, "status" | "content_type" | "response_header")
        };
        let conditions = self.written.iter().filter(|(path, _)| is_of_response(path));
        let texts: Vec<String> =
            conditions.map(|(path, value)| format!("{path} = {value}")).collect();
        texts.join(" and ")
    }

    /// Returns its conditions as they are written.
    pub fn written_conditions(&self) -> Vec<String> {
        let things = self.things();
        let is_action = |path: &str| {
            ["name", "preset", "last", "force", "respond", "redirect"]
                .into_iter()
                .chain(things.iter().map(String::as_str))
                .any(|thing| {
                    let table = thing.split('.').next().unwrap_or(thing);
                    path.split('.').next() == Some(table)
                })
        };
        let conditions = self.written.iter().filter(|(path, _)| !is_action(path));
        conditions.map(|(path, value)| format!("{path} = {value}")).collect()
    }

    /// Returns the things that it sets, by the paths of their settings.
    pub fn things(&self) -> Vec<String> {
        let RuleActions { settings, request, response } = &self.actions;
        let mut things: Vec<String> =
            settings.settings().map(|(path, _)| path.to_owned()).collect();
        things.extend(request.things());
        things.extend(response.things());
        if self.force {
            things.push("force".to_owned());
        }
        things
    }

    /// Reads each `[[rule]]`, and writes out presets.
    pub(crate) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let mut rules: Vec<Self> = Vec::new();
        let mut index = 0;
        root.items("rule", |table| {
            let mut rule = Self::read(table, index);
            index += 1;
            if rules.iter().any(|earlier| earlier.name == rule.name) {
                let wants = format!("names two rules `{}`", rule.name);
                table.fault_of("name", Fault::new(wants, "the second one"));
            }
            match rule.preset.clone() {
                Some(name) => {
                    let ends = std::mem::take(&mut rule.last);
                    let first = rules.len();
                    rules.push(rule);
                    preset::expand(&name, first, ends, &mut rules);
                }
                None => rules.push(rule),
            }
            if rules.len() > RULES_MAX {
                let message = format!("more than {RULES_MAX} rules, with those of presets");
                table.add_here(ProblemBuilder::error(message, "this one is too many"));
                rules.truncate(RULES_MAX);
            }
        });
        rules
    }

    fn read(table: &mut Table<'_>, index: usize) -> Self {
        let mut rule = Self { name: format!("rule {}", index + 1), index, ..Self::default() };
        table.read("name", parsed(rule_name), &mut rule.name);
        table.read("preset", |node| preset::known(node).map(Some), &mut rule.preset);
        rule.written = table.written();
        rule.matches.read(table);
        rule.read_not(table);
        rule.response.read(table);
        rule.actions.settings = RuleOverlay::read(table);
        rule.actions.request.read(table);
        rule.actions.response.read(table);
        table.read("last", boolean, &mut rule.last);
        table.read("force", boolean, &mut rule.force);
        rule.check(table);
        rule
    }

    fn read_not(&mut self, table: &mut Table<'_>) {
        let is_written = table.has("not");
        let mut not = RuleMatch::default();
        table.table("not", |table| not.read(table));
        if is_written && not.is_empty() {
            table.fault_of("not", Fault::new("must hold a condition", "nothing would match"));
        }
        self.not = is_written.then_some(not);
    }

    /// Reports settings that are right alone and not together.
    fn check(&self, table: &mut Table<'_>) {
        let RuleActions { settings, request, response } = &self.actions;
        if !(self.response.is_empty() || settings.is_empty() && request.is_empty()) {
            let message = format!(
                "the rule `{}` has conditions on the response, and acts on the request",
                self.name
            );
            table.add_here(
                ProblemBuilder::error(message, "there is no response yet when it would act")
                    .help("write two rules, one for the request and one for its response"),
            );
        }
        if settings.is_empty()
            && request.is_empty()
            && response.is_empty()
            && self.preset.is_none()
            && !self.last
            && !self.force
        {
            let message = format!("the rule `{}` does nothing", self.name);
            table.add_here(ProblemBuilder::error(message, "conditions without an action"));
        }
        let captures = self.captures();
        let tags = response.tags.iter().flatten().map(|template| ("tags", template));
        for (key, template) in request.templates().chain(tags) {
            let wanted = template.highest_capture();
            if wanted > captures {
                let wants =
                    format!("asks for ${wanted}, and the rule's path leaves {captures} open");
                let fault = Fault::new(wants, "more than there are").help(
                    "each `*` and `**` of every pattern in `path` is one, or each group of `path_regex`",
                );
                table.fault_of(key, fault);
            }
        }
    }

    /// Returns the number of captures that every path of the rule has.
    fn captures(&self) -> usize {
        match (&self.matches.path_regex, self.matches.paths.as_slice()) {
            (Some(regex), _) => regex.groups(),
            (None, paths) => paths.iter().map(crate::PathPattern::stars).min().unwrap_or(0),
        }
    }
}

/// Reads a name, which is a metric's label and a word of a command line.
fn rule_name(text: &str) -> Result<String, Fault> {
    let is_sound = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic() && byte != b'/')
        && text.trim() == text;
    if is_sound {
        return Ok(text.to_owned());
    }
    let wants = format!("must be a name of 1 to {NAME_BYTES_MAX} characters, and `{text}` is none");
    Err(Fault::new(wants, "not a name").help("letters, digits, spaces and - _ . :"))
}

/// The rules of a configuration, with those of its presets.
const RULES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 64;
