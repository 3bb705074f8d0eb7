//! Parts of purge requests for other caches that are not carried out, refused with what to send
//! instead. Without that, a request that asks for a pattern would purge one URL, and answer as if
//! it had done what was asked.

use http::HeaderMap;

/// A part of a purge request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// A method of another cache.
    #[error(
        "the method {0} is not carried out: send PURGE for a URL, PURGE with Surrogate-Key or \
        xkey-purge for tags, BAN with X-Host and X-Url for hosts and beginnings, or POST \
        /api/v1/purge to the admin listener"
    )]
    Method(String),
    /// A `PURGEKEYS` or `PURGETAGS` without a field that names tags.
    #[error("a {0} names tags: in xkey-purge, xkey-softpurge, Surrogate-Key or X-Cache-Tags")]
    NoTags(&'static str),
    /// A field that names a pattern, a host or another list of what to purge.
    #[error(
        "the field {0} is not carried out: name tags in Surrogate-Key, xkey-purge, Cache-Tag, \
        X-Cache-Tags or ETag, or POST hosts and prefixes to /api/v1/purge of the admin listener"
    )]
    Field(String),
    /// A field with a value that means something else than it is understood to.
    #[error("the field {field} is not carried out with this value: {instead}")]
    Value {
        /// The field.
        field: String,
        /// The values that are.
        instead: &'static str,
    },
    /// nginx's way to purge a path.
    #[error(
        "the path {path:?} is not purged as nginx does: send PURGE {rest}, or Shellac-Purge: url \
        if this is the path of the page"
    )]
    Path {
        /// The path.
        path: String,
        /// The path that was probably meant.
        rest: String,
    },
    /// A `PURGE` with content.
    #[error(
        "a PURGE carries no content: name tags in Surrogate-Key, or POST the content to \
        /api/v1/purge of the admin listener"
    )]
    Content,
}

/// Returns whether other caches take this method as a purge: `BAN`, `PURGEKEYS`, `URIBAN`,
/// `REFRESH`.
pub fn is_purge_method(method: &str) -> bool {
    let method = method.to_ascii_uppercase();
    method.contains("PURGE")
        || method.ends_with("BAN")
        || matches!(method.as_str(), "REFRESH" | "INVALIDATE" | "FLUSH")
}

/// The methods by which caches are purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PurgeMethod {
    /// Of a URL or, with fields that name tags, of these.
    Purge,
    /// Of tags.
    Tags(&'static str),
    /// Of what meets conditions.
    Ban,
}

impl PurgeMethod {
    pub(crate) fn read(method: &str) -> Result<Self, Foreign> {
        Ok(match method {
            "PURGE" => Self::Purge,
            "PURGEKEYS" => Self::Tags("PURGEKEYS"),
            "PURGETAGS" => Self::Tags("PURGETAGS"),
            "BAN" => Self::Ban,
            _ => return Err(Foreign::Method(method.to_owned())),
        })
    }

    /// Returns whether this field, which is another cache's, is carried out.
    fn takes(self, name: &str) -> bool {
        TAG_PATTERN_FIELDS.contains(&name)
            || match self {
                Self::Purge => name == "clear-cache",
                Self::Ban => {
                    matches!(name, "x-host" | "x-url" | "x-content-type" | "varnish-ban-all")
                }
                Self::Tags(_) => false,
            }
    }
}

/// Checks that the fields and the path of a request ask for nothing else than is carried out.
pub(crate) fn check(method: PurgeMethod, fields: &HeaderMap, path: &str) -> Result<(), Foreign> {
    for (name, value) in fields {
        let (name, value) = (name.as_str(), value.as_bytes());
        let refuse = |instead| Foreign::Value { field: name.to_owned(), instead };
        let is = |texts: &[&str]| {
            texts.iter().any(|text| value.trim_ascii().eq_ignore_ascii_case(text.as_bytes()))
        };
        match name {
            "shellac-purge" if !is_own(value) => {
                return Err(refuse("write soft or hard, and url, page or path"));
            }
            "fastly-soft-purge" if !is(&["1", "0", ""]) => return Err(refuse("write 1 or 0")),
            "x-purge-method" if !is(&["exact", "default", "regex", ""]) => {
                return Err(refuse("write exact, default or regex"));
            }
            "clear-cache" | "varnish-ban-all" if !is(&["true", "1"]) => {
                return Err(refuse("write true, which means everything"));
            }
            "surrogate-key" | "cache-tag" | "xkey" | "xkey-purge" | "xkey-softpurge"
                if is_pattern(value) =>
            {
                return Err(refuse("name each tag, as it is in the responses"));
            }
            _ if is_understood(name) || method.takes(name) => {}
            _ if FIELDS.contains(&name) || has_purge_word(name) => {
                return Err(Foreign::Field(name.to_owned()));
            }
            _ => {}
        }
    }
    let says_what_it_names = ["url", "page", "path"].iter().any(|word| has_word(fields, word));
    match path.strip_prefix("/purge/") {
        Some(rest) if !says_what_it_names => {
            Err(Foreign::Path { path: path.to_owned(), rest: format!("/{rest}") })
        }
        _ => Ok(()),
    }
}

/// Returns whether `Shellac-Purge` has this word.
pub(crate) fn has_word(fields: &HeaderMap, wanted: &str) -> bool {
    let values = fields.get_all("shellac-purge");
    values.iter().flat_map(|value| words(value.as_bytes())).any(|word| is_word(word, wanted))
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = value.split(|byte| matches!(byte, b' ' | b'\t' | b','));
    words.filter(|word| !word.is_empty())
}

fn is_word(word: &[u8], wanted: &str) -> bool {
    word.eq_ignore_ascii_case(wanted.as_bytes())
}

/// Returns whether this is what `Shellac-Purge` may say.
fn is_own(value: &[u8]) -> bool {
    let is_known = |word| OWN_WORDS.iter().any(|known| is_word(word, known));
    words(value).next().is_some() && words(value).all(is_known)
}

const OWN_WORDS: [&str; 5] = ["soft", "hard", "url", "page", "path"];

fn is_understood(name: &str) -> bool {
    let is_mode = matches!(name, "shellac-purge" | "fastly-soft-purge" | "x-purge-method");
    is_mode || matches!(name, "xkey-purge" | "xkey-softpurge")
}

/// Fields of requests that name tags, also by a pattern: Magento's, Drupal's, Symfony's.
pub(crate) const TAG_PATTERN_FIELDS: [&str; 4] =
    ["x-magento-tags-pattern", "x-cache-tags", "cache-tags", "purge-cache-tags"];

/// Returns whether a list of tags is a regular expression, as Varnish's bans take it:
/// `(^|,)cat_1(,|$)`.
fn is_pattern(value: &[u8]) -> bool {
    let value = String::from_utf8_lossy(value);
    ["(^|", "|^", "|$)", ".*", "[^"].iter().any(|piece| value.contains(piece))
}

/// Returns whether a field's name has a word that only an instruction to a cache has.
fn has_purge_word(name: &str) -> bool {
    name.split(['-', '_']).any(|word| WORDS.contains(&word))
}

const WORDS: [&str; 9] = [
    "purge",
    "softpurge",
    "ban",
    "invalidate",
    "invalidates",
    "invalidation",
    "pattern",
    "regex",
    "wildcard",
];
/// Fields of `FOSHttpCache`, Symfony, Drupal, Magento, Varnish Enterprise and TYPO3 without such a
/// word.
const FIELDS: [&str; 9] = [
    "clear-cache",
    "cache-tags",
    "x-host",
    "x-url",
    "x-content-type",
    "x-location",
    "x-pool",
    "x-cache-tag-regexp",
    "ykey",
];

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn check_field(name: &str, value: &str) -> Result<(), Foreign> {
        let name: HeaderName = name.parse().unwrap();
        let fields = [(name, HeaderValue::from_str(value).unwrap())].into_iter().collect();
        check(PurgeMethod::Purge, &fields, "/p")
    }

    #[test]
    fn instructions_of_other_caches_are_refused() {
        for (name, value) in [
            ("X-Pool", "cdn"),
            ("X-Purge-Method", "wildcard"),
            ("Clear-Cache", "maybe"),
            ("Varnish-Ban-All", "1"),
            ("X-Purge-Regex", "/s/.*"),
            ("X-Ban-Url", "/s"),
            ("X-VC-Purge-Host", "h"),
            ("X-Host", "h"),
            ("X-Url", "/s/.*"),
            ("X-Acquia-Purge-Tags", "a"),
            ("ykey-purge", "a"),
            ("X-Invalidates", "a"),
            ("Surrogate-Key", "(^|,)(tag-1|tag-2)(,|$)"),
            ("Varnish-Ban-TYPO3-Pid", "12"),
            ("Shellac-Purge", "warm"),
            ("Fastly-Soft-Purge", "yes"),
        ] {
            let error = check_field(name, value).unwrap_err().to_string();
            let name = name.to_ascii_lowercase();
            assert!(error.starts_with(&format!("the field {name} is not")), "{error}");
        }
    }

    #[test]
    fn known_and_unrelated_fields_pass() {
        for (name, value) in [
            ("Surrogate-Key", "node:1 cat|2"),
            ("xkey-purge", "a"),
            ("xkey-softpurge", "a"),
            ("Fastly-Soft-Purge", "1"),
            ("Shellac-Purge", "Soft"),
            ("Shellac-Purge", "page, soft"),
            ("X-Purge-Method", "exact"),
            ("X-Magento-Tags-Pattern", "((^|,)cat_p_1(,|$))"),
            ("Cache-Tags", "node:1"),
            ("Clear-Cache", "true"),
            ("User-Agent", "purge ban"),
            ("Accept", "*/*"),
            ("X-Request-Id", "ban-1"),
            ("Authorization", "Bearer x"),
        ] {
            assert_eq!(check_field(name, value), Ok(()), "{name}: {value}");
        }
    }

    #[test]
    fn the_path_of_nginx_is_refused_with_the_path_that_was_meant() {
        let error =
            check(PurgeMethod::Purge, &HeaderMap::new(), "/purge/p?x").unwrap_err().to_string();
        assert!(error.contains("send PURGE /p?x,"), "{error}");
        let fields = HeaderMap::from_iter([(
            HeaderName::from_static("shellac-purge"),
            HeaderValue::from_static("url"),
        )]);
        assert_eq!(check(PurgeMethod::Purge, &fields, "/purge/p?x"), Ok(()));
        assert_eq!(check(PurgeMethod::Purge, &HeaderMap::new(), "/purged"), Ok(()));
    }

    #[test]
    fn methods_of_other_caches_are_known() {
        for method in ["BAN", "PURGEKEYS", "URIBAN", "PURGEALL", "purge", "SOFTPURGE", "REFRESH"] {
            assert!(is_purge_method(method), "{method}");
        }
        for method in ["GET", "POST", "PROPFIND", "REPORT", "UNBIND", "BANANA"] {
            assert!(!is_purge_method(method), "{method}");
        }
    }
}
