//! Requests, the variants that they select, and what the origin sees of them.

use http::header::{CACHE_CONTROL, COOKIE};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
use settings::{Config, EffectiveSettings, Flags, Sources};

use super::*;
use crate::key::vary::Variant;
use crate::policy::Policy;

/// Returns the policy of a file with this `[key]`.
fn policy(key: &str) -> Policy {
    let text =
        format!("[origin.app]\nservers = [\"a:1\"]\n[cookies]\nvary_on = [\"ab\"]\n[key]\n{key}");
    let file = Some(("config.toml".to_owned(), text));
    let sources = Sources { file, environment: Vec::default(), flags: Flags::default() };
    Policy::new(&EffectiveSettings::of(&Config::load(&sources).unwrap()))
}

fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = lines.iter();
    pairs
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

/// Returns the fields that the origin sees of a GET for this path.
fn seen(
    policy: &Policy,
    path: &str,
    lines: &[(&'static str, &str)],
    is_trusted: bool,
) -> HeaderMap {
    let mut fields = fields(lines);
    if let Some(variants) = &policy.variants {
        variants.prepare(&mut fields, is_trusted);
    }
    policy.reduce(&mut fields, path);
    let once = fields.clone();
    policy.reduce(&mut fields, path);
    assert_eq!(once, fields, "what is reduced stays so");
    fields
}

fn variant(policy: &Policy, response: &HeaderMap, request: &HeaderMap) -> Option<Variant> {
    Variant::selected(policy.selecting(response, Vec::new()).unwrap(), request).unwrap()
}

fn value<'f>(fields: &'f HeaderMap, name: &str) -> &'f str {
    fields.get(name).map_or("-", |value| value.to_str().unwrap())
}

#[test]
fn without_settings_nothing_is_reduced() {
    assert!(policy("").variants.is_none());
    assert!(policy("query = \"none\"\ndevice = \"off\"\nvary = {}").variants.is_none());
}

#[test]
fn a_value_that_is_not_listed_is_other_in_the_key_and_at_the_origin() {
    let policy = policy(
        "headers = [\"X-Tenant\", { name = \"X-Plan\", values = [\"free\", \"pro plus\"] }]",
    );
    for (sent, expected) in [
        (&[("x-plan", "free")][..], "free"),
        (&[("x-plan", " pro plus ")], "pro plus"),
        (&[("x-plan", "Free")], "other"),
        (&[("x-plan", "free, pro")], "other"),
        (&[("x-plan", "")], "other"),
        (&[], "-"),
    ] {
        assert_eq!(value(&seen(&policy, "/", sent, false), "x-plan"), expected, "{sent:?}");
    }
    let mut twice = fields(&[("x-plan", "free")]);
    twice.append("x-plan", HeaderValue::from_static("free"));
    policy.reduce(&mut twice, "/");
    assert_eq!(twice.get_all("x-plan").iter().collect::<Vec<_>>(), ["other"]);
    let response = HeaderMap::new();
    let one =
        variant(&policy, &response, &seen(&policy, "/", &[("x-tenant", "a")], false)).unwrap();
    assert!(one.matches(&seen(&policy, "/", &[("x-tenant", "a"), ("x-else", "1")], false)));
    assert!(!one.matches(&seen(&policy, "/", &[("x-tenant", "b")], false)));
    assert!(!one.matches(&seen(&policy, "/", &[], false)));
}

#[test]
fn a_country_is_believed_from_trusted_peers_only() {
    let policy = policy("country = { header = \"X-Country\", values = [\"DE\", \"FR\"] }");
    for (sent, is_trusted, expected) in [
        ("DE", true, "DE"),
        ("de", true, "DE"),
        ("US", true, "other"),
        ("DE, FR", true, "other"),
        ("DE", false, "-"),
    ] {
        let seen = seen(&policy, "/", &[("x-country", sent)], is_trusted);
        assert_eq!(value(&seen, "x-country"), expected, "{sent} {is_trusted}");
    }
}

#[test]
fn the_origin_is_told_the_device_and_nobody_else_says_it() {
    let phone = ("user-agent", "Mozilla/5.0 (iPhone) Mobile/15E148");
    let tablet = ("user-agent", "Mozilla/5.0 (iPad; CPU OS 12_0) Mobile/15E148");
    let forged = ("x-ua-device", "<script>");
    for (mode, of_tablet) in [("mobile|desktop", "desktop"), ("mobile|tablet|desktop", "tablet")] {
        let policy = policy(&format!("device = \"{mode}\""));
        let device = |lines: &[(&'static str, &str)]| {
            value(&seen(&policy, "/", lines, true), "x-ua-device").to_owned()
        };
        assert_eq!(device(&[phone, forged]), "mobile");
        assert_eq!(device(&[tablet]), of_tablet);
        assert_eq!(device(&[("user-agent", "curl"), forged]), "desktop");
        assert_eq!(device(&[("user-agent", "x"), ("sec-ch-ua-mobile", "?1")]), "mobile");
    }
}

#[test]
fn a_site_is_asked_for_one_of_its_languages() {
    let policy = policy("languages = [\"en\", \"de\"]");
    for (sent, expected) in [(&[("accept-language", "de-AT, en;q=0.1")][..], "de"), (&[], "en")] {
        assert_eq!(value(&seen(&policy, "/", sent, false), "accept-language"), expected);
    }
    let response = HeaderMap::new();
    let german = seen(&policy, "/", &[("accept-language", "de")], false);
    let one = variant(&policy, &response, &german).unwrap();
    assert!(one.matches(&seen(&policy, "/", &[("accept-language", "de-CH;q=0.3")], false)));
    assert!(!one.matches(&seen(&policy, "/", &[], false)));
}

#[test]
fn images_have_few_forms_of_accept_and_pages_keep_theirs() {
    let chrome = [("accept", "image/avif,image/webp,image/apng,image/*,*/*;q=0.8")];
    let by_extension = policy("images = \"by-extension\"");
    let accept = |policy: &Policy, path: &str| {
        value(&seen(policy, path, &chrome, false), "accept").to_owned()
    };
    assert_eq!(accept(&by_extension, "/a.jpg?w=1"), "image/avif,image/webp,*/*");
    assert_eq!(accept(&by_extension, "/a"), chrome[0].1);
    assert_eq!(
        accept(&policy("vary = { Accept = \"normalize\" }"), "/a.png"),
        "image/avif,image/webp,*/*"
    );
    assert_eq!(
        accept(&policy("images = \"all\""), "/_next/image?w=1"),
        "image/avif,image/webp,*/*"
    );
    let seen = seen(&by_extension, "/a.jpg", &chrome, false);
    assert_eq!(
        variant(&by_extension, &HeaderMap::new(), &seen).map(|it| it.names().len()),
        Some(1),
        "only the cookie"
    );
    let varying = fields(&[("vary", "Accept")]);
    let one = variant(&by_extension, &varying, &seen).unwrap();
    assert_eq!(one.names(), [ACCEPT, COOKIE]);
}

#[test]
fn a_field_in_vary_means_what_settings_say() {
    let of = |mode: &str, response: &[(&'static str, &str)]| {
        let policy = policy(&format!("vary = {{ {mode} }}"));
        policy.selecting(&fields(response), Vec::new()).map(|names| {
            let texts: Vec<_> = names.iter().map(HeaderName::as_str).collect();
            texts.join(" ")
        })
    };
    let plain = [("vary", "User-Agent, X-A"), ("cache-control", "max-age=60")];
    let public = [("vary", "User-Agent, X-A"), ("cache-control", "public, max-age=60")];
    for (mode, response, expected) in [
        ("User-Agent = \"raw\"", &public, Ok("user-agent x-a cookie")),
        ("User-Agent = \"normalize\"", &public, Ok("user-agent x-a cookie")),
        ("User-Agent = \"ignore-if-public\"", &public, Ok("x-a cookie")),
        ("User-Agent = \"ignore-if-public\"", &plain, Ok("user-agent x-a cookie")),
        ("User-Agent = \"bypass\"", &public, Err(Uncacheable::VaryBypass)),
        ("X-B = \"bypass\"", &public, Ok("user-agent x-a cookie")),
        ("X-A = \"ignore-if-public\", User-Agent = \"ignore-if-public\"", &public, Ok("cookie")),
    ] {
        assert_eq!(of(mode, response).as_deref(), expected.as_ref().copied(), "{mode}");
    }
    let language = [("vary", "Accept-Language")];
    assert_eq!(of("Accept-Language = \"raw\"", &language).unwrap(), "~accept-language cookie");
    assert_eq!(of("Accept-Language = \"normalize\"", &language).unwrap(), "accept-language cookie");
    let targeted =
        [("vary", "X-A"), ("cdn-cache-control", "max-age=9"), ("cache-control", "public")];
    let ignored = "X-A = \"ignore-if-public\"";
    assert_eq!(of(ignored, &targeted).unwrap(), "x-a cookie", "the targeted field decides");
}

#[test]
fn a_known_field_of_the_url_has_its_mode_too() {
    let policy = policy("vary = { User-Agent = \"ignore-if-public\" }");
    let mut response = HeaderMap::new();
    response.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    let names = policy.selecting(&response, vec![USER_AGENT, ACCEPT]).unwrap();
    assert_eq!(names, [ACCEPT, COOKIE]);
}

/// What a request is to the policy of the property test, told in another way.
fn view(lines: &[(&'static str, &str)]) -> (String, String, String, String) {
    let last = |name: &str| {
        let found = lines.iter().find(|(own, _)| *own == name);
        found.map_or_else(|| "-".to_owned(), |(_, value)| (*value).to_owned())
    };
    let plan = match last("x-plan").as_str() {
        plan @ ("-" | "free" | "pro") => plan.to_owned(),
        _ => "other".to_owned(),
    };
    let agent = last("user-agent");
    let device = if agent.contains("iPad") {
        "tablet"
    } else if agent.contains("Mobi") {
        "mobile"
    } else {
        "desktop"
    };
    let language = last("accept-language");
    let language = if language.starts_with("de") { "de" } else { "en" };
    let country = match last("x-country").to_ascii_uppercase().as_str() {
        country @ ("-" | "DE" | "FR") => country.to_owned(),
        _ => "other".to_owned(),
    };
    (plan, device.to_owned(), language.to_owned(), country)
}

fn request() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let one = |name: &'static str, values: &'static [&'static str]| {
        let value = proptest::sample::select(values);
        proptest::option::of(value.prop_map(move |value| (name, value.to_owned())))
    };
    let all = (
        one("x-plan", &["free", "pro", "other", "FREE", "x"]),
        one("user-agent", &["iPad", "x Mobi", "Mobi", "curl", ""]),
        one("accept-language", &["de", "de-AT,en;q=0.5", "en", "it", "en;q=0.2", "x y"]),
        one("x-country", &["DE", "de", "FR", "US", ""]),
        one("x-else", &["1", "2"]),
    );
    all.prop_map(|(a, b, c, d, e)| [a, b, c, d, e].into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn requests_select_one_variant_if_the_policy_sees_the_same_in_them(
        one in request(), two in request(),
    ) {
        let policy = policy(
            "headers = [{ name = \"X-Plan\", values = [\"free\", \"pro\"] }]\n\
             device = \"mobile|tablet|desktop\"\nlanguages = [\"en\", \"de\"]\n\
             country = { header = \"X-Country\", values = [\"DE\", \"FR\"] }\n\
             vary = { User-Agent = \"normalize\" }",
        );
        let response = fields(&[("vary", "User-Agent, X-UA-Device")]);
        let one: Vec<_> = one.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let two: Vec<_> = two.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (first, second) = (seen(&policy, "/", &one, true), seen(&policy, "/", &two, true));
        let variant = variant(&policy, &response, &first).unwrap();
        let is_same = view(&one) == view(&two);
        prop_assert_eq!(variant.matches(&second), is_same);
        prop_assert_eq!(variant.selection_of(&second) == variant.hash(), is_same);
        if is_same {
            for name in variant.names() {
                prop_assert_eq!(first.get(name), second.get(name), "the origin sees the same");
            }
        }
        prop_assert!(variant.request().is_some());
    }
}
