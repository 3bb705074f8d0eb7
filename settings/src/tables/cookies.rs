//! `[cookies]`: which request cookies matter to a cache.

use super::name_pattern::{NamePattern, name_patterns};
use crate::table::Table;
use crate::value::{Fault, choice, is_token, parsed};

/// Cookies by their effect on the cache. Of all patterns that match a name, the longest decides; of
/// the same twice, what was written goes before what is built in, then `bypass_on` before `vary_on`
/// before `drop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieSettings {
    /// Cookies that neither reach the key nor keep a request from the cache, nor reach the origin
    /// with a request whose response may be stored.
    pub drop: Vec<NamePattern>,
    /// Cookies that enter the key and are forwarded. Each distinct value is another stored
    /// response.
    pub vary_on: Vec<VaryCookie>,
    /// Cookies with which a request bypasses the cache.
    pub bypass_on: Vec<NamePattern>,
    /// The effect of a cookie that no list names.
    pub otherwise: OtherCookies,
}

/// A cookie that enters the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaryCookie {
    /// Its name.
    pub name: NamePattern,
    /// The values that count, at most 100; every other one is forwarded as `other`. Empty: all do.
    pub values: Vec<String>,
}

/// The effect of a cookie that no list names on its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherCookies {
    /// The request bypasses the cache.
    Bypass,
    /// The cookie is dropped, the request is answered from the cache.
    Drop,
}

impl VaryCookie {
    /// Returns the cookie of this name with any value.
    pub fn any(name: &str) -> Self {
        Self { name: NamePattern::new(name), values: Vec::new() }
    }
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            drop: built_in(&["@analytics", "@consent"]),
            vary_on: Vec::new(),
            bypass_on: built_in(&["@session", "@preview"]),
            otherwise: OtherCookies::Bypass,
        }
    }
}

impl CookieSettings {
    /// Reads `[cookies]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        read_names(table, "drop", &mut self.drop);
        let mut vary_on = vec![std::mem::take(&mut self.vary_on)];
        let any = |names: Vec<NamePattern>| {
            names.into_iter().map(|name| VaryCookie { name, values: Vec::new() }).collect()
        };
        let listed = parsed(|text| cookie_names(text).map(any));
        table.read_tables_or("vary_on", listed, |table| Some(vary_cookie(table)), &mut vary_on);
        self.vary_on = vary_on.into_iter().flatten().collect();
        read_names(table, "bypass_on", &mut self.bypass_on);
        table.read("otherwise", choice(&OTHERWISE), &mut self.otherwise);
    }
}

fn built_in(lists: &[&str]) -> Vec<NamePattern> {
    lists.iter().filter_map(|list| NamePattern::built_in(list)).flatten().collect()
}

/// Reads a list of names and built-in lists.
fn read_names(table: &mut Table<'_>, key: &'static str, target: &mut Vec<NamePattern>) {
    let mut names = vec![std::mem::take(target)];
    table.read_each(key, parsed(cookie_names), &mut names);
    *target = names.into_iter().flatten().collect();
}

/// Reads `{ name = "ab", values = ["a", "b"] }`.
fn vary_cookie(table: &mut Table<'_>) -> Vec<VaryCookie> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    table.require("name");
    table.read("name", parsed(cookie_names), &mut names);
    table.require("values");
    table.reject_empty("values");
    table.read_each("values", parsed(cookie_value), &mut values);
    if values.len() > VALUES_MAX {
        let fault = Fault::new(format!("may hold {VALUES_MAX} values"), "too many");
        table.fault_of("values", fault.help("each is another stored response"));
    }
    let cookie = |name| VaryCookie { name, values: values.clone() };
    names.into_iter().map(cookie).collect()
}

/// Reads one item of a list.
fn cookie_names(text: &str) -> Result<Vec<NamePattern>, Fault> {
    name_patterns(text, ("cookie", &LISTS), is_token)
}

/// Reads a value, of characters that stand in a cookie without quotes (RFC 6265 §4.1.1).
fn cookie_value(text: &str) -> Result<String, Fault> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
    if text == "other" {
        let fault = Fault::new("must not hold `other`", "every value that is not listed");
        return Err(fault.help("leave it out"));
    }
    if text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("must be a cookie's value, and `{text}` is none"), "as it is sent"))
}

const LISTS: [&str; 4] = ["@analytics", "@consent", "@session", "@preview"];

const OTHERWISE: [(&str, OtherCookies); 2] =
    [("bypass", OtherCookies::Bypass), ("drop", OtherCookies::Drop)];

const VALUES_MAX: usize = 100;
