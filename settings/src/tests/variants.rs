//! `[key]` beside its query: fields, devices, countries, languages, images and modes of `Vary`.

use http::HeaderName;
use insta::assert_snapshot;

use super::problems::{lines, listed};
use super::{MINIMAL, load};
use crate::{
    Config, DeviceVariants, EffectiveSettings, ImageRequests, KeyField, KeySettings, VaryMode,
};

fn loaded(text: &str) -> Config {
    load(&format!("{MINIMAL}{text}")).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn field(name: &'static str, values: &[&str]) -> KeyField {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    KeyField { name: HeaderName::from_static(name), values }
}

#[test]
fn a_request_can_be_told_apart_by_much() {
    let config = loaded(
        r#"
[key]
headers = ["X-Tenant", { name = "X-Plan", values = ["free", "pro plus"] }]
device = "mobile|tablet|desktop"
country = { header = "X-Country", values = ["DE", "FR"] }
languages = ["en", "fr-CA"]
images = "by-extension"
vary = { "User-Agent" = "normalize", Origin = "ignore-if-public", "X-Raw" = "raw", "X-No" = "bypass" }
[[listen]]
address = "127.0.0.1:1"
trusted_proxies = ["10.0.0.0/8"]
"#,
    );
    let KeySettings { headers, device, country, languages, images, vary, .. } = &config.key;
    assert_eq!(*headers, [field("x-tenant", &[]), field("x-plan", &["free", "pro plus"])]);
    assert_eq!(*device, DeviceVariants::MobileTabletDesktop);
    assert_eq!(*country, Some(field("x-country", &["DE", "FR"])));
    assert_eq!(*languages, ["en", "fr-CA"]);
    assert_eq!(*images, ImageRequests::ByExtension);
    let modes = [
        ("user-agent", VaryMode::Normalize),
        ("origin", VaryMode::IgnoreIfPublic),
        ("x-raw", VaryMode::Raw),
        ("x-no", VaryMode::Bypass),
    ];
    assert_eq!(*vary, modes.map(|(name, mode)| (HeaderName::from_static(name), mode)));
}

#[test]
fn a_rule_tells_apart_what_others_do_not() {
    let config = loaded(
        r#"
[key]
headers = ["X-Tenant"]
[[rule]]
path = "/shop/**"
key.device = "mobile|desktop"
key.headers = [{ name = "X-Plan", values = ["pro"] }]
key.vary = { Accept = "raw" }
[[rule]]
path = "/_next/image"
key.images = "all"
"#,
    );
    let tables = EffectiveSettings::of(&config);
    let mut ruled = tables.clone();
    config.rules[0].actions.settings.apply(&mut ruled);
    assert_eq!(ruled.key.device, DeviceVariants::MobileDesktop);
    assert_eq!(ruled.key.headers, [field("x-plan", &["pro"])]);
    assert_eq!(ruled.key.images, tables.key.images);
    config.rules[1].actions.settings.apply(&mut ruled);
    assert_eq!(ruled.key.images, ImageRequests::All);
    assert_eq!(ruled.key.device, DeviceVariants::MobileDesktop);
}

#[test]
fn what_tells_nothing_apart_or_shares_too_much_is_refused_with_its_remedy() {
    let file = r#"
[origin.app]
servers = ["a:1"]
[key]
headers = [
  "Cookie", "Authorization", "User-Agent", "X-Forwarded-Proto", "Range", "a b",
  { name = "X-Plan" }, { name = "X-Plan", values = ["a", "other", ""] },
]
device = "phone"
country = { header = "X-Country" }
languages = ["en_US", "", "de"]
images = "all-of-them"
[key.vary]
Cookie = "ignore-if-public"
authorization = "ignore-if-public"
Accept-Encoding = "raw"
X-Tenant = "normalize"
"a b" = "raw"
Origin = "ignore"
"#;
    assert_snapshot!(listed(file), @r##"
    6:3: `key.headers[0]` must not name `Cookie` (cookies have lists of their own) -> name the cookie in `cookies.vary_on`
    6:13: `key.headers[1]` must not name `Authorization` (a page for each password is one user's own) -> such requests are not answered from the cache unless the response allows it
    6:30: `key.headers[2]` must not name `User-Agent` (nearly every client has its own) -> use `key.device`
    6:44: `key.headers[3]` must not name `X-Forwarded-Proto` (the proxy writes it itself) -> host and scheme are in the key
    6:65: `key.headers[4]` must not name `Range` (it is about this one request, or the proxy's own) -> leave it out
    6:74: `key.headers[5]` must be a field name, and `a b` is none (invalid HTTP header name)
    7:3: `key.headers[6].values` is missing (not in this table)
    7:58: `key.headers[7].values[1]` must not hold `other` (every value that is not listed) -> leave it out
    7:67: `key.headers[7].values[2]` must be a field's value, and `` is none (as it is sent)
    9:10: `key.device` must be one of "off", "mobile|desktop", "mobile|tablet|desktop" (unknown value)
    10:11: `key.country.values` is missing (not in this table)
    11:14: `key.languages[0]` must be a language tag, and `en_US` is none (no language) -> did you mean "en-US"?
    11:23: `key.languages[1]` must be a language tag, and `` is none (no language) -> "de" or "fr-CA"
    12:10: `key.images` must be one of "off", "by-extension", "all" (unknown value)
    14:10: `key.vary.Cookie` must not be "ignore-if-public" (one user's page would be everybody's) -> let the origin leave it out of `Vary` where pages do not depend on it, or drop cookies in [cookies]
    15:17: `key.vary.authorization` must not be "ignore-if-public" (one user's page would be everybody's) -> let the origin leave it out of `Vary` where pages do not depend on it, or drop cookies in [cookies]
    16:19: `key.vary.Accept-Encoding` must be "normalize" (clients would get codings that they cannot read) -> leave it out: "normalize" is the default
    17:12: `key.vary.X-Tenant` must not be "normalize" (no normal form of it is known) -> Accept, Accept-Language and User-Agent have one; else list the values in `key.headers`
    18:9: `key.vary.a b` must be named after a field, and `a b` is none (invalid HTTP header name)
    19:10: `key.vary.Origin` must be one of "normalize", "raw", "ignore-if-public", "bypass" (unknown value)
    "##);
}

#[test]
fn what_has_no_effect_is_told() {
    let file = r#"
[key]
headers = ["X-Tenant"]
languages = ["en"]
vary = { x-tenant = "raw", Accept-Language = "raw" }
"#;
    assert_snapshot!(listed(&format!("{MINIMAL}{file}")), @r##"
    7:10: `key.vary` has no effect on `x-tenant`, which `key.headers` has in the key (it selects a variant of every response) -> take it out of one of them
    7:28: `key.vary` has no effect on `accept-language`, which `key.languages` has in the key (it selects a variant of every response) -> take it out of one of them
    "##);
    let config = loaded("[key.country]\nheader = \"X-Country\"\nvalues = [\"DE\"]\n");
    assert_snapshot!(lines(&config.warnings), @r##"
    4:10: `key.country.header` is `x-country`, and no listener has `trusted_proxies` (every client would be without a country) -> name the peers that set it: trusted_proxies = ["10.0.0.0/8"]
    "##);
}
