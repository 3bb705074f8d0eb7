//! `Shellac-Vary`: what the origin declares its response to vary on, for this cache alone.
//!
//! ```text
//! Shellac-Vary: query=page|q, header=X-Plan, cookie=ab|lang, device, language=en|de, country
//! ```

use http::header::{HeaderMap, HeaderName};

use super::derived;
use super::no_vary_search::SearchVariance;

/// The declaration of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredVary {
    /// `header`, `language`: they select beside those that `Vary` names.
    pub fields: Vec<HeaderName>,
    /// `cookie`: of the cookies in the key, only these select.
    pub cookies: Option<HeaderName>,
    /// `query`: no parameter matters but these.
    pub query: Option<SearchVariance>,
    pub country: bool,
    pub device: bool,
}

/// A member that is not known, or malformed: nobody could tell what the response varies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMember;

impl DeclaredVary {
    /// Reads the field of a response; `None` without it.
    pub fn of(fields: &HeaderMap) -> Result<Option<Self>, UnknownMember> {
        if !fields.contains_key(&NAME) {
            return Ok(None);
        }
        let mut declared = Self::default();
        for line in fields.get_all(&NAME) {
            let line = line.to_str().map_err(|_no_text| UnknownMember)?;
            for member in line.split(',').map(str::trim).filter(|member| !member.is_empty()) {
                declared.add(member).ok_or(UnknownMember)?;
            }
        }
        Ok(Some(declared))
    }

    fn add(&mut self, member: &str) -> Option<()> {
        let (kind, list) = match member.split_once('=') {
            Some((kind, list)) => (kind.trim(), Some(list.trim())),
            None => (member, None),
        };
        let names = || list.map(|list| list.split('|').map(str::trim));
        match (kind.to_ascii_lowercase().as_str(), list) {
            ("device", None) => self.device = true,
            ("country", None) => self.country = true,
            ("language", None) => self.fields.push(http::header::ACCEPT_LANGUAGE),
            ("language", Some(list)) => self.fields.push(derived::of_languages(list)?),
            ("header", Some(_)) => {
                for name in names()? {
                    let name = HeaderName::try_from(name).ok()?;
                    self.fields.push(Some(name).filter(|name| !derived::is_derived(name))?);
                }
            }
            ("cookie", Some(_)) if self.cookies.is_none() => {
                let is_sound = names()?.all(|name| !name.is_empty() && is_token(name));
                self.cookies = Some(is_sound.then(|| derived::of_cookies(names()?)).flatten()?);
            }
            ("query", Some(_)) if self.query.is_none() => {
                let names = names()?.filter(|name| !name.is_empty());
                self.query = Some(SearchVariance::only(names.map(str::as_bytes)));
            }
            _ => return None,
        }
        Some(())
    }
}

/// Returns whether these are the characters of a cookie's name (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`~".contains(&byte))
}

pub const NAME: HeaderName = HeaderName::from_static("shellac-vary");

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ACCEPT_LANGUAGE;

    use super::*;

    fn declared(lines: &[&str]) -> Result<Option<DeclaredVary>, UnknownMember> {
        let line = |line: &&str| (NAME, HeaderValue::from_str(line).unwrap());
        DeclaredVary::of(&lines.iter().map(line).collect())
    }

    #[test]
    fn each_member_names_something_that_selects() {
        let lines = ["query=page|q, header=X-A | x-b, Country", "device, cookie=ab, language"];
        let all = declared(&lines).unwrap().unwrap();
        let names = ["x-a", "x-b"].map(HeaderName::from_static);
        assert_eq!(all.fields, [&names[..], &[ACCEPT_LANGUAGE]].concat());
        assert!(all.country && all.device);
        assert_eq!(all.cookies, derived::of_cookies(["ab"]));
        assert_eq!(all.query, Some(SearchVariance::only([&b"page"[..], b"q"])));
        let none = declared(&["query="]).unwrap().unwrap();
        assert_eq!(none.query, Some(SearchVariance::only([])));
        assert_eq!(declared(&[]), Ok(None));
        assert_eq!(declared(&[" , "]), Ok(Some(DeclaredVary::default())));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for line in [
            "cookies=ab",
            "device=mobile",
            "country=de|fr",
            "header",
            "header=",
            "header=~device",
            "header=a b",
            "cookie=",
            "cookie=a;b",
            "cookie=a, cookie=b",
            "language=en_US",
            "query",
            "*",
        ] {
            assert_eq!(declared(&[line]), Err(UnknownMember), "{line}");
        }
    }
}
