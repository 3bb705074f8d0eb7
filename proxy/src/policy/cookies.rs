//! `CookieRules`: the cookies that enter the key, those that are dropped, and those that bypass the
//! cache.

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use settings::{CookieSettings, NamePattern, OtherCookies};
use smallvec::SmallVec;

use super::name_pattern_table::NamePatternTable;

#[derive(Clone, Debug)]
pub struct CookieRules {
    uses: NamePatternTable<CookieUse>,
    /// The use of a cookie that no list names.
    otherwise: CookieUse,
    /// The field that always selects a variant, if cookies enter the key.
    selecting: &'static [HeaderName],
}

#[derive(Clone, Debug)]
enum CookieUse {
    Drop,
    /// It enters the key: with any value, or with one of these.
    Vary(Option<Box<[Box<[u8]>]>>),
    /// A request with it bypasses the cache. The pattern that names it, if one does.
    Bypass(Option<Box<str>>),
}

/// A cookie for which its request bypasses the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BypassCookie<'a> {
    /// One that `bypass_on` names, by the pattern there.
    Listed(&'a str),
    /// One that no list names.
    Unlisted(&'a [u8]),
}

/// A cookie that enters the key.
struct KeptCookie<'a> {
    name: &'a [u8],
    /// Name and value; `None` if its value is not one of those that count.
    listed: Option<&'a [u8]>,
}

impl CookieRules {
    pub fn new(rules: &CookieSettings) -> Self {
        let CookieSettings { drop, vary_on, bypass_on, otherwise } = rules;
        let selecting: &[HeaderName] = if vary_on.is_empty() { &[] } else { &[COOKIE] };
        let bypass = |pattern: &NamePattern| CookieUse::Bypass(Some(pattern.to_string().into()));
        let vary = |values: &[String]| {
            let values_of = || values.iter().map(|value| value.as_bytes().into()).collect();
            CookieUse::Vary((!values.is_empty()).then(values_of))
        };
        let bypasses = bypass_on.iter().map(|pattern| (pattern, bypass(pattern)));
        let varied = vary_on.iter().map(|cookie| (&cookie.name, vary(&cookie.values)));
        let dropped = drop.iter().map(|pattern| (pattern, CookieUse::Drop));
        let otherwise = match otherwise {
            OtherCookies::Bypass => CookieUse::Bypass(None),
            OtherCookies::Drop => CookieUse::Drop,
        };
        Self {
            uses: NamePatternTable::new(bypasses.chain(varied).chain(dropped)),
            otherwise,
            selecting,
        }
    }

    /// The fields that select a variant even if the response does not name them.
    pub const fn selecting(&self) -> &'static [HeaderName] {
        self.selecting
    }

    /// Returns whether a request with these fields may be answered from the cache.
    pub fn allow_cache(&self, fields: &HeaderMap) -> bool {
        !fields.contains_key(COOKIE)
            || pairs(fields).all(|(name, _)| !matches!(self.use_of(name), CookieUse::Bypass(_)))
    }

    /// Returns the cookies for which a request bypasses the cache: the first one that is listed,
    /// else those that are not.
    pub fn bypassing<'a>(&'a self, fields: &'a HeaderMap) -> SmallVec<[BypassCookie<'a>; 4]> {
        let mut unlisted = SmallVec::new();
        for (name, _) in pairs(fields) {
            match self.use_of(name) {
                CookieUse::Bypass(Some(pattern)) => {
                    return SmallVec::from_iter([BypassCookie::Listed(pattern)]);
                }
                CookieUse::Bypass(None) if unlisted.len() < BYPASSING_MAX => {
                    unlisted.push(BypassCookie::Unlisted(name));
                }
                CookieUse::Bypass(None) | CookieUse::Drop | CookieUse::Vary(_) => {}
            }
        }
        unlisted
    }

    /// Joins the crumbs that HTTP/2 splits cookies into (RFC 9113 §8.2.3).
    pub fn join_crumbs(fields: &mut HeaderMap) {
        if fields.get_all(COOKIE).iter().nth(1).is_some() {
            let lines: Vec<&[u8]> =
                fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
            if let Ok(whole) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
                fields.insert(COOKIE, whole);
            }
        }
    }

    /// Keeps only the cookies that enter the key, sorted by name, those of one name in their order.
    /// These are forwarded by a fetch whose response may be stored.
    pub fn reduce(&self, fields: &mut HeaderMap) {
        if !fields.contains_key(COOKIE) {
            return;
        }
        let mut kept: SmallVec<[KeptCookie<'_>; 8]> = SmallVec::new();
        if !self.selecting.is_empty() {
            kept.extend(pairs(fields).filter_map(|(name, pair)| self.kept(name, pair)));
            kept.sort_by_key(|cookie| cookie.name); // stable
        }
        let mut text = Vec::new();
        for cookie in kept {
            text.extend_from_slice(if text.is_empty() { b"" } else { b"; " });
            match cookie.listed {
                Some(pair) => text.extend_from_slice(pair),
                None => text.extend_from_slice(&[cookie.name, OTHER].concat()),
            }
        }
        fields.remove(COOKIE);
        if let Ok(value) = HeaderValue::from_bytes(&text)
            && !text.is_empty()
        {
            fields.insert(COOKIE, value);
        }
    }

    /// Returns what is kept of a cookie that enters the key.
    fn kept<'a>(&self, name: &'a [u8], pair: &'a [u8]) -> Option<KeptCookie<'a>> {
        let CookieUse::Vary(values) = self.use_of(name) else { return None };
        let value = pair.get(name.len() + 1..).unwrap_or_default();
        let is_listed =
            values.as_ref().is_none_or(|values| values.iter().any(|own| **own == *value));
        Some(KeptCookie { name, listed: is_listed.then_some(pair) })
    }

    fn use_of(&self, name: &[u8]) -> &CookieUse {
        self.uses.get(name).unwrap_or(&self.otherwise)
    }
}

/// Returns each cookie of all lines as its name and the whole pair.
fn pairs(fields: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = fields.get_all(COOKIE).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| (pair.split(|byte| *byte == b'=').next().unwrap_or_default(), pair))
}

/// In the place of a value that is none of those that count.
const OTHER: &[u8] = b"=other";

/// Cookies of one request that are counted.
const BYPASSING_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use settings::VaryCookie;

    use super::*;

    fn settings() -> CookieSettings {
        CookieSettings::default()
    }

    fn varying(names: &[&str]) -> CookieSettings {
        let vary_on = names.iter().map(|name| VaryCookie::any(name)).collect();
        CookieSettings { vary_on, ..settings() }
    }

    fn cookie(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(text).unwrap())])
    }

    fn allows(rules: &CookieSettings, text: &str) -> bool {
        CookieRules::new(rules).allow_cache(&cookie(text))
    }

    fn reduced(rules: &CookieSettings, text: &str) -> String {
        let mut fields = cookie(text);
        CookieRules::new(rules).reduce(&mut fields);
        let value = fields.get(COOKIE).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    }

    #[test]
    fn analytics_do_not_keep_a_request_from_the_cache_a_session_does() {
        assert!(allows(&settings(), "_ga=1; _gid=2; _ga_X1=3"));
        assert!(!allows(&settings(), "_ga=1; session=2"));
        assert!(!allows(&settings(), "nonsense"));
        assert!(allows(&varying(&["ab"]), "ab=1;_ga=2"));
    }

    #[test]
    fn an_answer_to_a_consent_banner_does_not_bypass() {
        for name in ["OptanonConsent", "CookieConsent", "euconsent-v2", "cmplz_marketing"] {
            assert!(allows(&settings(), &format!("{name}=yes%2Cno")), "{name}");
            assert_eq!(reduced(&settings(), &format!("{name}=yes")), "");
        }
    }

    #[test]
    fn sessions_and_previews_bypass_also_where_other_cookies_are_dropped() {
        for drop in [settings().drop, vec![NamePattern::new("*")]] {
            let rules = CookieSettings { drop, otherwise: OtherCookies::Drop, ..settings() };
            assert!(allows(&rules, "theme=dark; _ga=1"));
            for name in ["PHPSESSID", "SSESSa1b2c3", "wordpress_logged_in_0a", "__prerender_bypass"]
            {
                assert!(!allows(&rules, &format!("theme=dark; {name}=1")), "{name}");
            }
        }
    }

    #[test]
    fn a_name_that_is_written_goes_before_a_built_in_list() {
        let drop = vec![NamePattern::new("PHPSESSID"), NamePattern::new("wordpress_*")];
        let rules = CookieSettings { drop, ..settings() };
        assert!(allows(&rules, "PHPSESSID=1; wordpress_test_cookie=1"));
        assert!(!allows(&rules, "wordpress_logged_in_0a=1"), "the longer pattern decides");
    }

    #[test]
    fn cookies_of_the_key_are_sorted_and_no_others_forwarded() {
        let rules = varying(&["ab", "lang", "x_*"]);
        assert_eq!(reduced(&rules, "lang=de; _ga=1; ab=b; x_2=; x_1"), "ab=b; lang=de; x_1; x_2=");
        assert_eq!(reduced(&settings(), "lang=de; ab=b"), "");
    }

    #[test]
    fn cookies_of_one_name_keep_their_order() {
        assert_eq!(reduced(&varying(&["ab"]), "ab=2; c=1; ab=1"), "ab=2; ab=1");
    }

    #[test]
    fn a_value_that_does_not_count_is_other_in_the_key_and_at_the_origin() {
        let values = ["a", "b"].map(str::to_owned).to_vec();
        let ab = VaryCookie { name: NamePattern::new("ab"), values };
        let rules = CookieSettings { vary_on: vec![ab], ..settings() };
        for (sent, kept) in [
            ("ab=a", "ab=a"),
            ("ab=c", "ab=other"),
            ("ab=\"a\"", "ab=other"),
            ("ab=", "ab=other"),
            ("ab", "ab=other"),
            ("ab=other", "ab=other"),
            ("ab=a=b", "ab=other"),
            ("_ga=1", ""),
        ] {
            assert_eq!(reduced(&rules, sent), kept, "{sent}");
        }
    }

    #[test]
    fn a_listed_cookie_explains_a_bypass_else_every_other_does() {
        let rules = CookieRules::new(&settings());
        let of = |text| {
            let fields = cookie(text);
            let all = rules.bypassing(&fields);
            all.iter().map(|cookie| format!("{cookie:?}")).collect::<Vec<_>>()
        };
        assert_eq!(of("_ga=1; a=1; SSESSff=2; PHPSESSID=3"), ["Listed(\"SSESS*\")"]);
        assert_eq!(of("_ga=1; a=1; b=2"), ["Unlisted([97])", "Unlisted([98])"]);
        assert_eq!(of("_ga=1").len(), 0);
        let many: Vec<_> = (0..100).map(|number| format!("c{number}=1")).collect();
        assert_eq!(rules.bypassing(&cookie(&many.join("; "))).len(), BYPASSING_MAX);
    }

    proptest::proptest! {
        #[test]
        fn what_is_kept_is_kept_again_and_bypasses_nothing(text in "[ab_g=;x, \"]{0,30}") {
            let values = vec!["x".to_owned()];
            let listed = VaryCookie { name: NamePattern::new("b*"), values };
            let vary_on = vec![VaryCookie::any("a"), listed];
            let rules = CookieSettings { vary_on, ..settings() };
            let once = reduced(&rules, &text);
            proptest::prop_assert_eq!(&reduced(&rules, &once), &once);
            proptest::prop_assert!(allows(&rules, &once));
        }
    }
}
