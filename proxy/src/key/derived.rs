//! Derived fields: what a response varies on that is no field of a request, but is told from some.
//!
//! They stand among the names of fields, with a name that begins with `~`, which none in `Vary` may
//! do: `~device`, `~language.en|de`, `~cookie.ab|^lang`. A `^` stands before what was a capital
//! letter, or another `^`: field names have none.

use http::header::{ACCEPT_LANGUAGE, COOKIE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use smallvec::SmallVec;

use super::device_class::DeviceKind;
use super::language_choice;

/// The kind of device.
pub const DEVICE: HeaderName = HeaderName::from_static("~device");

/// Returns the values of these cookies as one selecting field.
pub fn of_cookies<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<HeaderName> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    let mut text = COOKIES.to_owned();
    for (number, letter) in names.join("|").chars().enumerate() {
        if letter.is_ascii_uppercase() || letter == '^' {
            text.push('^');
        }
        text.push(letter.to_ascii_lowercase());
        if number > NAME_BYTES_MAX {
            return None;
        }
    }
    HeaderName::try_from(text).ok()
}

/// Returns the choice among these languages as a selecting field.
pub fn of_languages(languages: &str) -> Option<HeaderName> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'|';
    let is_sound = languages.len() <= NAME_BYTES_MAX
        && languages.bytes().all(is_plain)
        && languages.split('|').all(|language| !language.is_empty());
    is_sound.then(|| HeaderName::try_from(format!("{LANGUAGES}{languages}")).ok()).flatten()
}

/// Returns the value that a request has; `None` where the field is no derived one.
pub(super) fn value(name: &HeaderName, request: &HeaderMap) -> Option<SmallVec<[u8; 128]>> {
    if *name == DEVICE {
        return Some(SmallVec::from_slice(DeviceKind::of(request).as_str().as_bytes()));
    }
    if let Some(languages) = name.as_str().strip_prefix(LANGUAGES) {
        let languages: Vec<Box<str>> = languages.split('|').map(Box::from).collect();
        let chosen = language_choice::choose(&languages, request).unwrap_or_default();
        return Some(SmallVec::from_slice(chosen.as_bytes()));
    }
    let mut text = SmallVec::new();
    for cookie in cookies(name.as_str().strip_prefix(COOKIES)?) {
        for pair in pairs(request).filter(|pair| name_of(pair) == cookie.as_bytes()) {
            text.extend_from_slice(pair);
            text.push(b';');
        }
    }
    Some(text)
}

/// Writes fields of a request that has this value.
pub(super) fn write(name: &HeaderName, value: &[u8], fields: &mut HeaderMap) {
    let kinds = [DeviceKind::Mobile, DeviceKind::Tablet, DeviceKind::Desktop];
    let written = if *name == DEVICE {
        let kind = kinds.into_iter().find(|kind| kind.as_str().as_bytes() == value);
        kind.map(|kind| (USER_AGENT, HeaderValue::from_static(kind.user_agent())))
    } else if name.as_str().starts_with(LANGUAGES) {
        HeaderValue::from_bytes(value).ok().map(|value| (ACCEPT_LANGUAGE, value))
    } else {
        let cookies = value.strip_suffix(b";").unwrap_or_default();
        HeaderValue::from_bytes(cookies).ok().map(|value| (COOKIE, value))
    };
    if let Some((name, value)) = written.filter(|(_, value)| !value.is_empty()) {
        fields.insert(name, value);
    }
}

/// Returns whether requests are not asked for a field of this name.
pub fn is_derived(name: &HeaderName) -> bool {
    name.as_str().starts_with('~')
}

fn cookies(escaped: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut letters = escaped.chars();
    while let Some(letter) = letters.next() {
        let Some(name) = names.last_mut() else { break };
        match letter {
            '^' => name.extend(letters.next().map(|letter| letter.to_ascii_uppercase())),
            '|' => names.push(String::new()),
            letter => name.push(letter),
        }
    }
    names
}

fn pairs(request: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = request.get_all(COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

fn name_of(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default()
}

const COOKIES: &str = "~cookie.";
const LANGUAGES: &str = "~language.";
const NAME_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::vary::Variant;

    fn cookie(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))])
    }

    #[test]
    fn only_the_cookies_that_are_named_count_with_their_case() {
        let name = of_cookies(["Lang", "ab", "a^b", "ab"]).unwrap();
        assert_eq!(name.as_str(), "~cookie.^lang|a^^b|ab");
        let variant = |text| Variant::selected(vec![name.clone()], &cookie(text)).unwrap().unwrap();
        let one = variant("Lang=de; ab=1; x=2");
        for (other, is_same) in [
            ("ab=1; Lang=de; x=3", true),
            ("ab=1; Lang=de; lang=en", true),
            ("ab=1; lang=de", false),
            ("ab=1; Lang=de; a^b=", false),
            ("ab=1; ab=1; Lang=de", false),
            ("", false),
        ] {
            assert_eq!(one.matches(&cookie(other)), is_same, "{other}");
        }
        assert!(one.matches(&one.request().unwrap()));
        assert!(variant("x=1").matches(&HeaderMap::new()));
    }

    #[test]
    fn devices_and_languages_are_told_from_their_fields() {
        let names = vec![DEVICE, of_languages("en|de").unwrap()];
        let request = |agent, language| {
            HeaderMap::from_iter([
                (USER_AGENT, HeaderValue::from_static(agent)),
                (ACCEPT_LANGUAGE, HeaderValue::from_static(language)),
            ])
        };
        let one = Variant::selected(names, &request("iPhone Mobi", "de-AT")).unwrap().unwrap();
        assert!(one.matches(&request("Android Mobi", "it, de;q=0.1")));
        assert!(!one.matches(&request("Android Mobi", "en")));
        assert!(!one.matches(&request("curl", "de")));
        assert!(one.matches(&one.request().unwrap()));
        for malformed in ["", "en||de", "en|d_e", "en, de"] {
            assert_eq!(of_languages(malformed), None, "{malformed}");
        }
    }
}
