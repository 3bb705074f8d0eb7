//! `CookieRules`: the cookies that enter the key, those that are dropped, and those that bypass the
//! cache.

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

#[derive(Clone, Debug)]
pub struct CookieRules {
    rules: settings::CookieSettings,
    /// The field that always selects a variant, if cookies enter the key.
    selecting: &'static [HeaderName],
}

impl CookieRules {
    pub fn new(rules: settings::CookieSettings) -> Self {
        let selecting: &[HeaderName] = if rules.vary_on.is_empty() { &[] } else { &[COOKIE] };
        Self { rules, selecting }
    }

    /// The fields that select a variant even if the response does not name them.
    pub const fn selecting(&self) -> &'static [HeaderName] {
        self.selecting
    }

    /// Returns whether a request with these fields may be answered from the cache.
    pub fn allow_cache(&self, fields: &HeaderMap) -> bool {
        self.rules.otherwise == settings::OtherCookies::Drop
            || !fields.contains_key(COOKIE)
            || pairs(fields).all(|(name, _)| self.is_kept(name) || self.is_ignored(name))
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

    /// Keeps only the cookies that enter the key, sorted by name. These are forwarded by a fetch
    /// whose response may be stored.
    pub fn reduce(&self, fields: &mut HeaderMap) {
        if !fields.contains_key(COOKIE) {
            return;
        }
        let mut kept: Vec<(&[u8], &[u8])> =
            pairs(fields).filter(|(name, _)| self.is_kept(name)).collect();
        kept.sort_unstable();
        let text = kept.iter().map(|(_, pair)| *pair).collect::<Vec<_>>().join(&b"; "[..]);
        fields.remove(COOKIE);
        if let Ok(value) = HeaderValue::from_bytes(&text)
            && !text.is_empty()
        {
            fields.insert(COOKIE, value);
        }
    }

    fn is_kept(&self, name: &[u8]) -> bool {
        self.rules.vary_on.iter().any(|kept| kept.as_bytes() == name)
    }

    fn is_ignored(&self, name: &[u8]) -> bool {
        self.rules.ignore.iter().any(|pattern| pattern.matches(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(vary_on: &[&str]) -> CookieRules {
        CookieRules::new(settings::CookieSettings {
            vary_on: vary_on.iter().map(ToString::to_string).collect(),
            ..settings::CookieSettings::default()
        })
    }

    fn cookie(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))])
    }

    #[test]
    fn analytics_do_not_keep_a_request_from_the_cache_a_session_does() {
        assert!(rules(&[]).allow_cache(&cookie("_ga=1; _gid=2")));
        assert!(!rules(&[]).allow_cache(&cookie("_ga=1; session=2")));
        assert!(!rules(&[]).allow_cache(&cookie("nonsense")));
        assert!(rules(&["ab"]).allow_cache(&cookie("ab=1;_ga=2")));
    }

    #[test]
    fn cookies_of_the_key_are_sorted_and_no_others_forwarded() {
        let mut fields = cookie("lang=de; _ga=1; ab=b");
        rules(&["ab", "lang"]).reduce(&mut fields);
        assert_eq!(fields, cookie("ab=b; lang=de"));
        rules(&[]).reduce(&mut fields);
        assert!(fields.is_empty());
    }
}
