//! Regular expressions that plugins of other caches send: those that name a few texts or the
//! beginning of one. All others are refused, as a purge names what it means.
//!
//! A dot alone is a dot: hosts and file names are rarely escaped. With `*` at the end of a pattern
//! it is what stands for anything.

use crate::url::UrlPrefix;

/// The texts that a pattern names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedBy<T> {
    /// Everything.
    Any,
    /// One of these.
    OneOf(Vec<T>),
}

/// The URLs that one alternative of a pattern names, of any host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlPattern {
    /// Those that begin so.
    Prefix(String),
    /// This one.
    Exact(String),
}

/// Reads `.*`, `^shop\.example$` or `^(a\.example|b\.example)$`. `None`: something else.
pub(super) fn hosts(text: &str) -> Option<NamedBy<String>> {
    read(text, |alternative| {
        let inner = alternative.strip_prefix('^')?.strip_suffix('$')?;
        list(inner, |part| literal(part).filter(|host| !host.is_empty()))
    })
}

/// Reads `.*`, `^/path$`, `^/path` or `^/path.*`, or several of these. `None`: something else.
pub(super) fn urls(text: &str) -> Option<NamedBy<UrlPattern>> {
    read(text, |alternative| {
        let inner = alternative.strip_prefix('^')?;
        let closed = inner.strip_suffix('$');
        let (path, is_open) = without_rest(closed.unwrap_or(inner));
        let path = literal(path)?;
        let pattern = if closed.is_some() && !is_open {
            UrlPattern::Exact(path)
        } else {
            UrlPattern::Prefix(path)
        };
        let (UrlPattern::Exact(path) | UrlPattern::Prefix(path)) = &pattern;
        path.starts_with('/').then(|| vec![pattern])
    })
}

/// Reads `.*`, `(^|,)(a|b)(,|$)`, `((^|,)a(,|$))|((^|,)b(,|$))` or `a|b`. `None`: something else.
pub(super) fn tags(text: &str) -> Option<NamedBy<String>> {
    read(text, |alternative| tag_list(alternative, 0))
}

/// Returns the beginning that a path with a pattern at its end stands for: `/a/.*`, `/a/(.*)`,
/// `/a/*`. A `*` in a query or behind half an escape (`/a%4.*`, `/a%.*.*`) is a plain character.
pub(super) fn beginning(path: &str) -> Option<&str> {
    let path = path.strip_suffix('$').unwrap_or(path);
    let rest = |end| path.strip_suffix(end);
    let beginning = rest("(.*)")
        .or_else(|| rest(".*"))
        .or_else(|| path.strip_suffix('*').filter(|path| path.ends_with('/')))?;
    let is_prefix = || UrlPrefix::parse(&format!("https://host{beginning}")).is_ok();
    (!beginning.contains('?') && is_prefix()).then_some(beginning)
}

fn read<T>(text: &str, alternative: impl Fn(&str) -> Option<Vec<T>>) -> Option<NamedBy<T>> {
    let text = text.trim();
    if ["", ".", ".*", ".+", "^", "^.*", "^.*$", ".*$", "(.*)"].contains(&text) {
        return Some(NamedBy::Any);
    }
    let all = alternatives(text).into_iter().map(|one| alternative(one.trim()));
    let all: Option<Vec<Vec<T>>> = all.collect();
    Some(NamedBy::OneOf(all?.into_iter().flatten().collect()))
}

fn tag_list(text: &str, depth: usize) -> Option<Vec<String>> {
    if depth > DEPTH_MAX {
        return None;
    }
    if let Some(inner) = grouped(text) {
        return list(inner, |part| tag_list(part, depth + 1)).map(|tags| tags.concat());
    }
    let inner = TAG_BEGINS.iter().find_map(|begin| text.strip_prefix(begin)).unwrap_or(text);
    let inner = TAG_ENDS.iter().find_map(|end| ended(inner, end)).unwrap_or(inner);
    list(inner, |tag| literal(tag).filter(|tag| !tag.is_empty()))
}

/// Takes an end off a pattern, unless it is escaped.
fn ended<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let rest = text.strip_suffix(end)?;
    let escapes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
    escapes.is_multiple_of(2).then_some(rest)
}

/// Reads the alternatives of a group, or of a text without one.
fn list<T>(text: &str, part: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    alternatives(grouped(text).unwrap_or(text)).into_iter().map(part).collect()
}

/// Returns what stands in the parentheses around the whole of a text.
fn grouped(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let mut depth = 0_i32;
    let is_one = bare(inner).all(|(_, letter)| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth >= 0
    });
    (is_one && depth == 0).then_some(inner)
}

/// Splits at `|` outside of parentheses.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, letter) in bare(text) {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        if letter == '|' && depth == 0 {
            parts.extend(text.get(start..at));
            start = at + 1;
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// Returns the characters that are not escaped, and where they are.
fn bare(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut is_escaped = false;
    text.char_indices().filter(move |(_, letter)| {
        let was_escaped = std::mem::take(&mut is_escaped);
        is_escaped = !was_escaped && *letter == '\\';
        !was_escaped && *letter != '\\'
    })
}

/// Returns the text that a pattern without wildcards stands for.
fn literal(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // `\d` and its like are classes.
            '\\' => plain.push(letters.next().filter(|next| !next.is_alphanumeric())?),
            '[' | ']' | '(' | ')' | '{' | '}' | '*' | '+' | '?' | '|' | '^' | '$' => return None,
            _ => plain.push(letter),
        }
    }
    Some(plain)
}

/// Takes the wildcard off the end of a pattern; returns whether there was one.
fn without_rest(text: &str) -> (&str, bool) {
    let beginning = text.strip_suffix("(.*)").or_else(|| text.strip_suffix(".*"));
    (beginning.unwrap_or(text), beginning.is_some())
}

const TAG_BEGINS: [&str; 5] = ["(^|,)", "(^|,| )", "(^| )", "(^|\\s)", "^"];
const TAG_ENDS: [&str; 5] = ["(,|$)", "(,| |$)", "( |$)", "(\\s|$)", "$"];
const DEPTH_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of(texts: &[&str]) -> NamedBy<String> {
        NamedBy::OneOf(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn tags_are_read_as_magento_and_foshttpcache_write_them() {
        for (text, expected) in [
            ("((^|,)cat_p_1(,|$))", &["cat_p_1"][..]),
            ("((^|,)cat_p_1(,|$))|((^|,)cat_p(,|$))", &["cat_p_1", "cat_p"]),
            ("(^|,)(tag\\-1|tag\\.2)(,|$)", &["tag-1", "tag.2"]),
            ("(^|,)tag(,|$)", &["tag"]),
            ("node:1|node_list", &["node:1", "node_list"]),
            ("(a|b)", &["a", "b"]),
            ("^a$", &["a"]),
        ] {
            assert_eq!(tags(text), Some(one_of(expected)), "{text}");
        }
        assert_eq!(tags(".*"), Some(NamedBy::Any));
        for text in ["cat_[0-9]+", "(^|,)cat_.*(,|$)", "(a", "a|", "a\\", "\\d", "(a)(b)", "a||b"] {
            assert_eq!(tags(text), None, "{text}");
        }
        assert_eq!(tags(&"(".repeat(100_000)), None);
        assert_eq!(tags(&format!("{}a{}", "(".repeat(1000), ")".repeat(1000))), None);
    }

    #[test]
    fn hosts_are_read_where_a_pattern_names_them_whole() {
        assert_eq!(hosts(".*"), Some(NamedBy::Any));
        assert_eq!(hosts("^shop\\.example$"), Some(one_of(&["shop.example"])));
        assert_eq!(
            hosts("^(a.example|b\\.example:8080)$"),
            Some(one_of(&["a.example", "b.example:8080"]))
        );
        for text in ["shop.example", "^shop", "^(www\\.)?a\\.b$", "^.*\\.example$", "^$", "^(a|)$"]
        {
            assert_eq!(hosts(text), None, "{text}");
        }
    }

    #[test]
    fn urls_are_read_where_a_pattern_is_one_or_a_beginning() {
        let prefix = |text: &str| UrlPattern::Prefix(text.to_owned());
        let exact = |text: &str| UrlPattern::Exact(text.to_owned());
        for (text, expected) in [
            ("^/a", vec![prefix("/a")]),
            ("^/a/.*", vec![prefix("/a/")]),
            ("^/a/.*$", vec![prefix("/a/")]),
            ("^/a\\.html$", vec![exact("/a.html")]),
            ("^/a$|^/b/", vec![exact("/a"), prefix("/b/")]),
        ] {
            assert_eq!(urls(text), Some(NamedBy::OneOf(expected)), "{text}");
        }
        assert_eq!(urls("^.*$"), Some(NamedBy::Any));
        for text in ["/a", "/a.*", "\\.css$", "^/a/[0-9]+", "^/(a|b)", "^/a?b$", "^a"] {
            assert_eq!(urls(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_with_a_pattern_at_its_end_is_a_beginning() {
        for (path, expected) in [
            ("/.*", Some("/")),
            ("/a/.*", Some("/a/")),
            ("/a.*", Some("/a")),
            ("/a/(.*)", Some("/a/")),
            ("/*", Some("/")),
            ("/a/*", Some("/a/")),
            ("/a*", None),
            ("/a", None),
            ("/a?x=/*", None),
            ("/a?x=.*", None),
            ("/a%4.*", None),
            ("/a%.*.*", None),
        ] {
            assert_eq!(beginning(path), expected, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_quoted_text_is_read_back(text in "[a-zA-Z0-9.:/?*+(){}|^$_-]{1,20}") {
            let mut quoted = String::new();
            for letter in text.chars() {
                if !letter.is_alphanumeric() && letter != '_' {
                    quoted.push('\\');
                }
                quoted.push(letter);
            }
            let found = tags(&format!("(^|,)({quoted})(,|$)"));
            proptest::prop_assert_eq!(found, Some(NamedBy::OneOf(vec![text])));
        }

        #[test]
        fn no_text_is_a_pattern_that_panics(text in "[\\PC]{0,60}") {
            let _read = (tags(&text), hosts(&text), urls(&text), beginning(&text));
        }
    }
}
