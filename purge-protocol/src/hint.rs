//! Hints for purges that have matched nothing: a typing error looks like a page that is not stored.

use crate::request::Selector;

/// Facts about the stored responses, from the proxy that answers a purge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// A host that differs from the selector's by its port only, of which responses are stored.
    pub other_host: Option<&'a str>,
    /// Stored responses may have been purged without being counted, as their tags are in a file.
    pub has_uncounted: bool,
}

/// Says what to look at when a selector has matched nothing.
pub fn for_no_match(selector: &Selector, known: Known<'_>) -> String {
    let place = if known.has_uncounted { "in memory" } else { "stored" };
    let mut hint = match selector {
        Selector::All(_) => return format!("nothing is {place}"),
        Selector::Tag(tag) => {
            format!("nothing {place} has the tag {tag:?}: {}", about_tag(tag))
        }
        Selector::Url(url) => {
            let otherwise = if url.contains('*') { STAR } else { URL };
            format!("nothing is stored under {url:?}{}", about_host(known.other_host, otherwise))
        }
        Selector::Host(host) => {
            format!("nothing {place} has the host {host:?}{}", about_host(known.other_host, HOST))
        }
        Selector::Prefix(prefix) => {
            let about = about_host(known.other_host, PREFIX);
            format!("nothing {place} has a URL that begins with {prefix:?}{about}")
        }
        Selector::Page(page) => {
            format!("nothing {place} is of the page {page:?}{}", about_host(known.other_host, PAGE))
        }
        Selector::Path(path) => {
            let about = about_host(known.other_host, PATH);
            format!("nothing {place} has the path of {path:?}{about}")
        }
        Selector::Deploy(deploy) => {
            return format!("nothing {place} names another deployment than {:?}", deploy.id);
        }
        Selector::Expression(expression) => {
            format!("nothing {place} meets {expression}: {EXPRESSION}")
        }
    };
    if known.has_uncounted && !matches!(selector, Selector::Url(_)) {
        hint.push_str("; what is in the file is purged as well, but not counted");
    }
    hint
}

/// Says why a purge of a tag has hit pages that may not have it.
pub fn for_folded(objects: u64) -> String {
    format!(
        "{objects} of these have more tags than tags.max_per_object, and are hit by every purge of \
        a tag that begins like one of theirs"
    )
}

fn about_tag(tag: &str) -> &'static str {
    if tag.contains("://") || tag.starts_with('/') {
        "it looks like a URL, which is purged as a URL or a prefix"
    } else if tag.contains('*') {
        "`*` is a plain character in tags; name each tag, purge a prefix, or everything"
    } else {
        "tags are compared byte for byte with those that the origin sends (Surrogate-Key, xkey, \
        Cache-Tag, Cache-Groups, ETag)"
    }
}

fn about_host(other: Option<&str>, otherwise: &str) -> String {
    match other {
        Some(other) => format!("; responses of the host {other:?} are stored: name its port"),
        None => otherwise.to_owned(),
    }
}

const URL: &str =
    ": host, port, path and query are compared as clients send them; the scheme does not matter";
const STAR: &str = ": `*` is a plain character in URLs; a prefix covers all that begin alike";
const HOST: &str = ": a port that is not the default one is part of a host";
const PREFIX: &str = ": a prefix is a whole host and the beginning of a path, or a path alone";
const PAGE: &str = ": host, port and path are compared; the query does not matter, and where a \
    rule says which page a path belongs to, the page is named";
const PATH: &str = ": host, port and path are compared; the query does not matter";
const EXPRESSION: &str = "purge one of its terms alone to see what that one matches";

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(selector: &Selector) -> String {
        for_no_match(selector, Known::default())
    }

    #[test]
    fn a_hint_says_what_was_probably_meant() {
        let tag = |text: &str| hint(&Selector::Tag(text.to_owned()));
        assert!(tag("site-*").contains("`*` is a plain character"));
        assert!(tag("/s/*").contains("looks like a URL"));
        assert!(tag("https://h/a").contains("looks like a URL"));
        assert!(tag("site-7").contains("byte for byte"));
        assert_eq!(hint(&Selector::All(true)), "nothing is stored");
        let url = hint(&Selector::Url("http://h/s*".to_owned()));
        assert!(url.ends_with("a prefix covers all that begin alike"), "{url}");
    }

    #[test]
    fn a_host_under_another_port_is_named() {
        let known = Known { other_host: Some("h:8080"), has_uncounted: false };
        for selector in [
            Selector::Host("h".to_owned()),
            Selector::Url("http://h/a".to_owned()),
            Selector::Prefix("http://h/".to_owned()),
        ] {
            let hint = for_no_match(&selector, known);
            assert!(hint.ends_with("of the host \"h:8080\" are stored: name its port"), "{hint}");
        }
    }

    #[test]
    fn uncounted_responses_are_mentioned() {
        let known = Known { other_host: None, has_uncounted: true };
        let hint = for_no_match(&Selector::Tag("a".to_owned()), known);
        assert!(hint.starts_with("nothing in memory has") && hint.ends_with("but not counted"));
        let url = for_no_match(&Selector::Url("http://h/".to_owned()), known);
        assert!(!url.contains("counted"), "URLs are counted in the file too: {url}");
    }
}
