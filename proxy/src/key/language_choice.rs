//! The language of a site that a client wants most (RFC 4647 §3.4).

use http::header::HeaderMap;

use super::accept_language;

/// Returns the language of `site` that the request wants most; the first one where it wants none of
/// them, or says nothing that can be read.
///
/// A range is matched by a language that begins with it, or with which it begins: `de-CH` by `de`,
/// `en` by `en-GB`.
pub fn choose<'s>(site: &'s [Box<str>], fields: &HeaderMap) -> Option<&'s str> {
    let default = site.first().map(Box::as_ref);
    let Some(wanted) = accept_language::canonical(fields) else { return default };
    let wanted = accept_language::members(&wanted);
    let refused = |language: &str| {
        let own = language.as_bytes();
        wanted
            .iter()
            .any(|(range, weight)| *weight == Some(b"0") && range.eq_ignore_ascii_case(own))
    };
    for (range, weight) in &wanted {
        if *weight == Some(b"0") {
            break; // the lowest weight: only refusals follow
        }
        if *range == b"*" {
            return site.iter().map(Box::as_ref).find(|language| !refused(language)).or(default);
        }
        if let Some(language) = matched(site, range) {
            return Some(language);
        }
    }
    default
}

fn matched<'s>(site: &'s [Box<str>], range: &[u8]) -> Option<&'s str> {
    let mut rest = range;
    loop {
        let is_it = |language: &&str| language.as_bytes().eq_ignore_ascii_case(rest);
        if let Some(language) = site.iter().map(Box::as_ref).find(is_it) {
            return Some(language);
        }
        match rest.iter().rposition(|byte| *byte == b'-') {
            Some(end) => rest = rest.get(..end).unwrap_or_default(),
            None => break,
        }
    }
    let begins = |language: &&str| {
        let own = language.as_bytes();
        own.get(range.len()) == Some(&b'-')
            && own.get(..range.len()).is_some_and(|head| head.eq_ignore_ascii_case(range))
    };
    site.iter().map(Box::as_ref).find(begins)
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT_LANGUAGE, HeaderValue};
    use proptest::prelude::proptest;

    use super::*;

    fn chosen(site: &[&str], wanted: Option<&str>) -> String {
        let site: Vec<Box<str>> = site.iter().map(|language| (*language).into()).collect();
        let line = |text: &str| (ACCEPT_LANGUAGE, HeaderValue::from_str(text).unwrap());
        let fields: HeaderMap = wanted.map(line).into_iter().collect();
        choose(&site, &fields).unwrap().to_owned()
    }

    #[test]
    fn the_site_has_the_language_that_is_wanted_most_or_its_first() {
        let site = ["en", "de", "fr-CA", "pt-BR"];
        for (wanted, expected) in [
            (Some("de"), "de"),
            (Some("de-CH, en;q=0.9"), "de"),
            (Some("en;q=0.5, de;q=0.6"), "de"),
            (Some("DE-ch-1996"), "de"),
            (Some("fr"), "fr-CA"),
            (Some("fr-FR, fr;q=0.9, en;q=0.8"), "fr-CA"),
            (Some("pt-PT, pt;q=0.9"), "pt-BR"),
            (Some("it, *;q=0.1"), "en"),
            (Some("it, *;q=0.1, en;q=0"), "de"),
            (Some("de;q=0"), "en"),
            (Some("it"), "en"),
            (Some("d"), "en"),
            (Some("de_DE"), "en"),
            (Some(""), "en"),
            (None, "en"),
        ] {
            assert_eq!(chosen(&site, wanted), expected, "{wanted:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_of_the_site_and_chosen_again(
            site in proptest::collection::vec("[a-c]{2}(-[A-C]{2})?", 1..5),
            wanted in "([a-c*]{1,2}(-[a-c]{2})?(;q=(0|1|0\\.[0-9]))?,? ?){0,5}",
        ) {
            let site: Vec<&str> = site.iter().map(String::as_str).collect();
            let once = chosen(&site, Some(&wanted));
            assert!(site.contains(&once.as_str()));
            assert!(chosen(&site, Some(&once)).eq_ignore_ascii_case(&once));
        }
    }
}
