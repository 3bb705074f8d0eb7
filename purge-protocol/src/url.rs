//! `CanonicalUrl`: the one form under which a URL is stored, looked up and purged.
//!
//! The host is lower case, without a trailing dot and without the scheme's default port. The path
//! and query keep their bytes, because key bytes and forwarded bytes are the same bytes; what
//! differs from them only in its escapes is purged along ([`spelling`]). The scheme is not part of
//! it: behind a load balancer that ends TLS, `http` and `https` are one site, and a purge must not
//! depend on guessing which.
//!
//! A text that a person or a program wrote is taken as it was meant where that is beyond doubt:
//! `http://h/café` is `http://h/caf%C3%A9`, and an international host is its ASCII form (RFC 5891).
//! Everything else that no request could carry is refused with what to write instead: a purge that
//! matches nothing looks like one that worked.

use std::borrow::Cow;
use std::fmt;

use crate::spelling;

/// An authority and a path with query, both canonical.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalUrl {
    host: Box<str>,
    path: Box<str>,
}

/// All URLs that begin alike: a host (or every host) and the beginning of a path, in its normal
/// spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UrlPrefix {
    host: Option<Box<str>>,
    path: Box<str>,
}

/// The reason why a text is not a URL that could be stored. The caller refuses it with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {problem}")]
pub struct UrlError {
    /// The text.
    pub text: String,
    /// The problem with it, and the remedy.
    pub problem: UrlProblem,
}

/// A problem with a URL, a host or a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// Another scheme.
    #[error("is not an http URL: write https://host/path")]
    Scheme,
    /// No host; this text would name one.
    #[error("names no host: write {0}")]
    NoHost(String),
    /// Its host or port is malformed.
    #[error("has no sound host: write host or host:port, without user and spaces")]
    Host,
    /// Its host is a pattern.
    #[error("has a host with a `*`, which stands for no other characters: name each host")]
    HostPattern,
    /// Its host is not ASCII, and has no ASCII form.
    #[error("has a host without an ASCII form (RFC 5891): write the one that its DNS name has")]
    HostName,
    /// A host with something behind it.
    #[error("is more than a host: write the host alone, or name it as a URL or a prefix")]
    MoreThanHost,
    /// Its path holds control characters, or a backslash, which clients send as a slash.
    #[error(
        "has no sound path: percent-encode control characters, and write / or %5C for a backslash"
    )]
    Path,
    /// Its path is a pattern; this is the prefix that was probably meant.
    #[error(
        "holds a `*`, which stands for no other characters: purge the prefix {0}, or write %2A \
        for the character itself"
    )]
    Pattern(String),
    /// A prefix that ends in the middle of an escape.
    #[error("ends within an escape: leave the % out, or write its two digits")]
    Truncated,
}

impl CanonicalUrl {
    /// Reads `https://host[:port][/path][?query][#fragment]`, or the same without its scheme. The
    /// fragment is dropped.
    ///
    /// `host/path` will do where the host is one beyond doubt: it has a dot or a port, or is
    /// `localhost`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Self::read(text, &|rest| format!("https://host{}", rooted(rest)))?;
        match pattern_at(&url.path) {
            None => Ok(url),
            Some(at) => {
                let beginning = url.path.get(..at).unwrap_or("/");
                Err(UrlProblem::Pattern(format!("https://{}{beginning}", url.host)).of(text))
            }
        }
    }

    /// Reads a URL in which `*` is a plain character. `remedy` makes a URL of a text without a
    /// host.
    fn read(text: &str, remedy: &dyn Fn(&str) -> String) -> Result<Self, UrlError> {
        let (scheme, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.is_empty() || scheme.is_none() && !is_host_beyond_doubt(authority) {
            let is_plain = !rest.contains(char::is_control); // else no remedy repeats it
            let problem =
                if is_plain { UrlProblem::NoHost(remedy(rest)) } else { UrlProblem::Path };
            return Err(problem.of(text));
        }
        let host = host_of(authority, scheme).map_err(|problem| problem.of(text))?;
        let path = written_path(path).map_err(|problem| problem.of(text))?;
        Ok(Self { host: host.into(), path: path.into() })
    }

    /// Reads the URI of a request or of a response's `Location`, in which `*` is a plain character.
    pub fn from_uri(uri: &http::Uri) -> Option<Self> {
        let authority = uri.authority()?.as_str();
        let authority = match uri.scheme_str() {
            Some("https") => authority.strip_suffix(":443").unwrap_or(authority),
            _ => authority,
        };
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Self::from_parts(authority, &rooted(path)).ok()
    }

    /// Joins an authority, as in a `Host` field, and a path with query.
    pub fn from_parts(authority: &str, path: &str) -> Result<Self, UrlError> {
        if !is_path(path) || path.contains('#') {
            return Err(UrlProblem::Path.of(path));
        }
        Ok(Self { host: canonical_host(authority)?.into(), path: path.into() })
    }

    /// Returns the URL without its query.
    #[must_use]
    pub fn without_query(self) -> Self {
        match self.path.find('?') {
            Some(at) => Self { path: self.path.get(..at).unwrap_or("/").into(), ..self },
            None => self,
        }
    }

    /// The host, with its port unless that is the default one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path and the query, byte for byte.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for CanonicalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "//{}{}", self.host, self.path)
    }
}

impl UrlPrefix {
    /// Reads `https://host/beginning` (that host) or `/beginning` (every host). A `*` at its end is
    /// left out.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (host, path) = if text.starts_with('/') && !text.starts_with("//") {
            (None, written_path(text).map_err(|problem| problem.of(text))?)
        } else {
            let remedy = |rest: &str| {
                let path = rooted(rest);
                format!("{path} for every host, or https://host{path}")
            };
            let url = CanonicalUrl::read(text, &remedy)?;
            (Some(url.host), url.path.into())
        };
        let beginning = path.trim_end_matches('*');
        if let Some(at) = pattern_at(beginning) {
            let shorter = beginning.get(..at).unwrap_or("/");
            let host = host.map(|host| format!("https://{host}")).unwrap_or_default();
            return Err(UrlProblem::Pattern(format!("{host}{shorter}")).of(text));
        }
        if beginning.bytes().rev().take(2).any(|byte| byte == b'%') {
            return Err(UrlProblem::Truncated.of(text));
        }
        let spelled = spelling::normal(beginning.as_bytes());
        let path = String::from_utf8_lossy(&spelled).into_owned().into_boxed_str();
        Ok(Self { host, path })
    }

    /// Reads back what [`fmt::Display`] has written: patterns and the like are plain text here.
    pub fn read_back(text: &str) -> Option<Self> {
        let (host, path) = match text.strip_prefix("//") {
            None => (None, text),
            Some(rest) => {
                let (host, path) = rest.split_at_checked(rest.find('/')?)?;
                (Some(host.into()), path)
            }
        };
        path.starts_with('/').then(|| Self { host, path: path.into() })
    }

    /// Returns whether it covers every URL of every host.
    pub fn is_everything(&self) -> bool {
        self.host.is_none() && &*self.path == "/"
    }

    /// The host whose URLs it covers; `None`: those of every host.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The beginning of the path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes of its text.
    pub fn text_bytes(&self) -> usize {
        self.host.as_ref().map_or(0, |host| host.len() + 2) + self.path.len()
    }

    /// Returns whether the URL of this host and path begins so.
    pub fn covers(&self, host: &[u8], path: &[u8]) -> bool {
        self.covers_normal(host, &spelling::normal(path))
    }

    /// The same for a path in its normal spelling.
    pub fn covers_normal(&self, host: &[u8], path: &[u8]) -> bool {
        path.starts_with(self.path.as_bytes())
            && self.host.as_deref().is_none_or(|own| own.as_bytes() == host)
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "//{host}{}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

impl UrlProblem {
    fn of(self, text: &str) -> UrlError {
        UrlError { text: text.to_owned(), problem: self }
    }
}

/// Returns the canonical form of an authority as in a `Host` field: lower case, no trailing dot, no
/// `:80`.
///
/// # Errors
/// User information, an empty or malformed port, or a byte that no host has.
pub fn canonical_host(authority: &str) -> Result<String, UrlError> {
    let wrong = || UrlProblem::Host.of(authority);
    let (name, port) = split_port(authority).ok_or_else(wrong)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.ends_with('.') || !is_host_name(name) {
        let problem = if name.contains('*') { UrlProblem::HostPattern } else { UrlProblem::Host };
        return Err(problem.of(authority));
    }
    let mut host = name.to_ascii_lowercase();
    match port {
        None => {}
        Some(digits) => match digits.parse::<u16>().map_err(|_not_a_number| wrong())? {
            0 => return Err(wrong()),
            80 => {}
            port => {
                host.push(':');
                host.push_str(&port.to_string());
            }
        },
    }
    Ok(host)
}

/// Reads a host as somebody wrote it: also `https://host`, `host/`, and an international name.
pub fn written_host(text: &str) -> Result<String, UrlError> {
    let (scheme, rest) = split_scheme(text)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '\\']) {
        return Err(UrlProblem::MoreThanHost.of(text));
    }
    host_of(authority, scheme).map_err(|problem| problem.of(text))
}

/// Returns the canonical form of an authority in a URL of this scheme.
fn host_of(authority: &str, scheme: Option<Scheme>) -> Result<String, UrlProblem> {
    let authority = match scheme {
        Some(Scheme::Https) => authority.strip_suffix(":443").unwrap_or(authority),
        Some(Scheme::Http | Scheme::Any) | None => authority,
    };
    let ascii = if authority.is_ascii() {
        Cow::Borrowed(authority)
    } else {
        let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
        let name = idna::domain_to_ascii(name).map_err(|_no_name| UrlProblem::HostName)?;
        Cow::Owned(if port.is_empty() { name } else { format!("{name}:{port}") })
    };
    canonical_host(&ascii).map_err(|error| error.problem)
}

/// Returns the name and the digits of the port; `None` where the port is not made of digits.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let tail = authority.get(after_bracket..)?;
    match tail.find(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (name, port) = authority.split_at_checked(after_bracket + colon)?;
            let digits = port.strip_prefix(':')?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then_some((name, Some(digits)))
        }
    }
}

fn is_host_name(name: &str) -> bool {
    match name.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').is_some_and(|address| {
            address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }),
        None => name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%')
        }),
    }
}

/// The beginning of a URL.
#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
    /// `//host`: the scheme is left open.
    Any,
}

fn split_scheme(text: &str) -> Result<(Option<Scheme>, &str), UrlError> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("https://") {
        return Ok((Some(Scheme::Https), text.get(8..).unwrap_or_default()));
    }
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://")) {
        return Ok((Some(Scheme::Http), text.get(7..).unwrap_or_default()));
    }
    if let Some(rest) = text.strip_prefix("//") {
        return Ok((Some(Scheme::Any), rest));
    }
    let before_path = text.split(['/', '?', '#']).next().unwrap_or_default();
    if text.contains("://") && before_path.ends_with(':') {
        return Err(UrlProblem::Scheme.of(text));
    }
    Ok((None, text))
}

/// Returns whether a text without a scheme begins with a host, and not with a piece of a path.
fn is_host_beyond_doubt(authority: &str) -> bool {
    authority.contains(['.', ':']) || authority.eq_ignore_ascii_case("localhost")
}

/// Returns a path as a client would send it.
fn written_path(path: &str) -> Result<String, UrlProblem> {
    let path = rooted(path.split('#').next().unwrap_or_default());
    let encoded = spelling::encode(&path);
    // Browsers send a backslash in a path as a slash: no page is stored under it.
    let has_backslash = encoded.split('?').next().unwrap_or_default().contains('\\');
    if is_path(&encoded) && !has_backslash {
        Ok(encoded.into_owned())
    } else {
        Err(UrlProblem::Path)
    }
}

fn rooted(path: &str) -> Cow<'_, str> {
    if path.starts_with('/') { path.into() } else { format!("/{path}").into() }
}

/// Returns whether a path holds visible characters only.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

/// Returns where a path, without its query, holds a segment of nothing but `*` and dots: `/s/*`,
/// `/.*`. It is meant as a pattern. A page whose name only ends with a star
/// (`/wiki/Sagittarius_A*`) is one.
fn pattern_at(path: &str) -> Option<usize> {
    let path = path.split('?').next().unwrap_or_default();
    let mut begin = 0;
    path.split_inclusive('/').find_map(|segment| {
        let at = begin;
        begin += segment.len();
        let name = segment.trim_end_matches('/');
        let is_pattern = name.contains('*') && name.bytes().all(|byte| matches!(byte, b'*' | b'.'));
        is_pattern.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        CanonicalUrl::parse(text).unwrap().to_string()
    }

    #[test]
    fn scheme_case_default_port_and_fragment_do_not_matter() {
        for text in [
            "https://shop.example/p/42",
            "http://Shop.Example:80/p/42",
            "HTTPS://shop.example:443/p/42#top",
            "//shop.example/p/42",
            "shop.example./p/42",
        ] {
            assert_eq!(canonical(text), "//shop.example/p/42", "{text}");
        }
    }

    #[test]
    fn path_and_query_keep_their_bytes() {
        assert_eq!(canonical("http://a/%2F//x;y?b=2&a=1"), "//a/%2F//x;y?b=2&a=1");
        assert_eq!(canonical("http://a?q"), "//a/?q");
        assert_eq!(canonical("http://[::1]:8080"), "//[::1]:8080/");
    }

    fn problem(text: &str) -> UrlProblem {
        CanonicalUrl::parse(text).unwrap_err().problem
    }

    #[test]
    fn a_text_that_is_not_a_url_says_why() {
        assert_eq!(problem("ftp://a/"), UrlProblem::Scheme);
        for host in ["a:b/", "a:/", "//u@a/", "a:99999/", "//[::1/", "a:0/", "..", "//a../"] {
            assert_eq!(problem(host), UrlProblem::Host, "{host}");
        }
        assert_eq!(problem("//a/b\tc"), UrlProblem::Path);
        assert_eq!(problem("//a/b\\c"), UrlProblem::Path);
    }

    #[test]
    fn a_text_that_may_be_a_piece_of_a_path_is_no_url_and_says_what_to_write() {
        for (text, remedy) in [
            ("nope", "https://host/nope"),
            ("/p/42", "https://host/p/42"),
            ("s/a/", "https://host/s/a/"),
        ] {
            let error = CanonicalUrl::parse(text).unwrap_err();
            assert_eq!(error.problem, UrlProblem::NoHost(remedy.to_owned()), "{text}");
            assert_eq!(error.to_string(), format!("{text:?} names no host: write {remedy}"));
        }
        let error = CanonicalUrl::parse("nope\0/").unwrap_err();
        assert!(!error.to_string().contains(char::is_control), "{error}");
        assert_eq!(canonical("shop.example/p"), "//shop.example/p");
        assert_eq!(canonical("localhost/p"), "//localhost/p");
        assert_eq!(canonical("web:3000/p"), "//web:3000/p");
    }

    #[test]
    fn an_unambiguous_spelling_is_accepted() {
        assert_eq!(canonical("http://h/café?q=ü#é"), "//h/caf%C3%A9?q=%C3%BC");
        assert_eq!(canonical("http://h/a b"), "//h/a%20b");
        assert_eq!(
            canonical("https://Bücher.example:8443/é"),
            "//xn--bcher-kva.example:8443/%C3%A9"
        );
        for host in [
            "bücher.example",
            "https://BÜCHER.example/",
            "xn--bcher-kva.example.",
            "//bücher.example:80",
        ] {
            assert_eq!(written_host(host).unwrap(), "xn--bcher-kva.example", "{host}");
        }
        assert_eq!(written_host("https://h:443").unwrap(), "h");
    }

    #[test]
    fn a_pattern_is_refused_with_the_prefix_that_was_meant() {
        for (text, prefix) in [
            ("https://h/s/*", "https://h/s/"),
            ("https://h/*/x", "https://h/"),
            ("https://h/.*", "https://h/"),
            ("https://h/s/**", "https://h/s/"),
        ] {
            assert_eq!(problem(text), UrlProblem::Pattern(prefix.to_owned()), "{text}");
        }
        assert_eq!(canonical("https://h/2*3?q=*"), "//h/2*3?q=*");
        assert_eq!(canonical("https://h/wiki/Sagittarius_A*"), "//h/wiki/Sagittarius_A*");
        assert_eq!(canonical("https://h/s/%2A"), "//h/s/%2A");
        let url = CanonicalUrl::from_parts("h", "/s/*").unwrap();
        assert_eq!(url.path(), "/s/*", "what a request named is no pattern");
        for host in ["*.example", "https://*.example/"] {
            assert_eq!(written_host(host).unwrap_err().problem, UrlProblem::HostPattern);
        }
        assert_eq!(written_host("h/x").unwrap_err().problem, UrlProblem::MoreThanHost);
    }

    #[test]
    fn a_prefix_without_a_host_says_both_ways_to_write_it() {
        let error = UrlPrefix::parse("s/amber/").unwrap_err();
        let remedy = "/s/amber/ for every host, or https://host/s/amber/";
        assert_eq!(error.problem, UrlProblem::NoHost(remedy.to_owned()));
    }

    #[test]
    fn a_star_at_the_end_of_a_prefix_says_what_a_prefix_is_anyway() {
        let prefix = |text: &str| UrlPrefix::parse(text).unwrap().to_string();
        assert_eq!(prefix("https://h/s/*"), "//h/s/");
        assert_eq!(prefix("/s/**"), "/s/");
        assert!(UrlPrefix::parse("/*").unwrap().is_everything());
        assert!(UrlPrefix::parse("/#").unwrap().is_everything());
        assert!(!UrlPrefix::parse("/a").unwrap().is_everything());
        let pattern = UrlPrefix::parse("/*/x").unwrap_err().problem;
        assert_eq!(pattern, UrlProblem::Pattern("/".to_owned()));
        for text in ["/a%", "/a%4", "https://h/%d"] {
            assert_eq!(UrlPrefix::parse(text).unwrap_err().problem, UrlProblem::Truncated);
        }
    }

    #[test]
    fn a_prefix_covers_every_spelling() {
        let prefix = UrlPrefix::parse("/caf%c3%a9/").unwrap();
        for path in ["/caf%C3%A9/1", "/caf%c3%a9/1", "/%63af%c3%A9/1"] {
            assert!(prefix.covers(b"h", path.as_bytes()), "{path}");
        }
        assert_eq!(prefix, UrlPrefix::parse("/café/").unwrap());
        assert!(!prefix.covers(b"h", b"/cafe/1"));
    }

    #[test]
    fn a_prefix_is_of_one_host_or_of_all() {
        let one = UrlPrefix::parse("https://a.example/blog/").unwrap();
        assert!(one.covers(b"a.example", b"/blog/1") && !one.covers(b"b.example", b"/blog/1"));
        let all = UrlPrefix::parse("/blog/").unwrap();
        assert!(all.covers(b"b.example", b"/blog/1") && !all.covers(b"b.example", b"/blo"));
    }

    #[test]
    fn a_prefix_is_read_back_from_its_text() {
        for text in ["/s/%2A/x", "//h/%5C%22", "//h:81/", "/"] {
            let prefix = UrlPrefix::parse(text).unwrap();
            assert_eq!(UrlPrefix::read_back(&prefix.to_string()), Some(prefix), "{text}");
        }
        assert_eq!(UrlPrefix::read_back("//h"), None);
        assert_eq!(UrlPrefix::read_back("h/"), None);
    }

    proptest::proptest! {
        #[test]
        fn canonical_form_is_idempotent(text in "(https?://)?[a-zA-Z0-9.:-]{1,20}(/[!-~]{0,30})?") {
            if let Ok(url) = CanonicalUrl::parse(&text) {
                proptest::prop_assert_eq!(CanonicalUrl::parse(&url.to_string()).unwrap(), url);
            }
        }

        #[test]
        fn any_text_is_a_url_or_an_error(text in "\\PC{0,60}") {
            drop(CanonicalUrl::parse(&text));
            drop(UrlPrefix::parse(&text));
        }
    }
}
