//! `[cookies]`: which request cookies matter to a cache.

use crate::table::Table;
use crate::value::{Fault, choice, is_token, parsed};

/// Cookies by their effect on the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieSettings {
    /// Cookies that neither reach the key nor keep a request from the cache; `@analytics` is
    /// written out.
    pub ignore: Vec<NamePattern>,
    /// Cookies that enter the key and are forwarded. Each distinct value is another stored
    /// response.
    pub vary_on: Vec<String>,
    /// The effect of a cookie that no list names.
    pub otherwise: OtherCookies,
}

/// The effect of a cookie that no list names on its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherCookies {
    /// The request bypasses the cache.
    Bypass,
    /// The cookie is dropped, the request is answered from the cache.
    Drop,
}

/// A cookie name, or the beginning of one: `_ga`, `_ga_*`. Names are case-sensitive (RFC 6265
/// §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// This name.
    Exact(String),
    /// Any name that begins so.
    Prefix(String),
}

impl NamePattern {
    /// Returns the pattern that is written like this: `*` at the end stands for anything.
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// Returns whether a cookie of this name is meant.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        match self {
            Self::Exact(exact) => name.as_ref() == exact.as_bytes(),
            Self::Prefix(prefix) => name.as_ref().starts_with(prefix.as_bytes()),
        }
    }
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self { ignore: analytics(), vary_on: Vec::new(), otherwise: OtherCookies::Bypass }
    }
}

impl CookieSettings {
    /// Reads `[cookies]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        let mut ignore = vec![self.ignore.clone()];
        table.read_each("ignore", parsed(patterns), &mut ignore);
        self.ignore = ignore.into_iter().flatten().collect();
        table.read_each("vary_on", parsed(cookie_name), &mut self.vary_on);
        table.read("otherwise", choice(&OTHERWISE), &mut self.otherwise);
    }
}

/// Reads one item of `ignore`: a built-in list, or a name that may end in `*`.
fn patterns(text: &str) -> Result<Vec<NamePattern>, Fault> {
    if text == "@analytics" {
        return Ok(analytics());
    }
    if text.starts_with('@') {
        let fault = Fault::new(
            "must be a cookie name or a list of them",
            format!("there is no list `{text}`"),
        );
        return Err(fault.help("the only built-in list is @analytics"));
    }
    let name = text.strip_suffix('*').unwrap_or(text);
    if name.is_empty() && text == "*" {
        return Ok(vec![NamePattern::new(text)]);
    }
    cookie_name(name).map(|_name| vec![NamePattern::new(text)])
}

/// Reads a cookie's name, which is a token (RFC 6265 §4.1.1); `*` would be one, but means something
/// else here.
fn cookie_name(text: &str) -> Result<String, Fault> {
    if is_token(text) && !text.contains('*') {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("must be a cookie name, and `{text}` is none"), "not a name"))
}

const OTHERWISE: [(&str, OtherCookies); 2] =
    [("bypass", OtherCookies::Bypass), ("drop", OtherCookies::Drop)];

/// Returns what `@analytics` stands for.
fn analytics() -> Vec<NamePattern> {
    ANALYTICS.iter().map(|name| NamePattern::new(name)).collect()
}

/// Cookies that scripts set for themselves and that no server rendering depends on.
const ANALYTICS: [&str; 24] = [
    "_ga", // Google Analytics
    "_ga_*",
    "_gid",
    "_gat*",
    "_gcl_*", // Google Ads
    "__gads",
    "__gpi",
    "__utm*", // Urchin
    "_dc_gtm_*",
    "_fbp", // Meta
    "_fbc",
    "_hj*",  // Hotjar
    "_pk_*", // Matomo
    "ajs_*", // Segment
    "mp_*",  // Mixpanel
    "amplitude_*",
    "AMP_*",
    "_clck", // Microsoft Clarity
    "_clsk",
    "_uet*",  // Microsoft Ads
    "_ttp",   // TikTok
    "_scid*", // Snapchat
    "hubspotutk",
    "__hs*",
];
