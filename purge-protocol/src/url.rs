//! `CanonicalUrl`: the one form under which a URL is stored, looked up and purged.
//!
//! The host is lower case, without a trailing dot and without the scheme's default port; the path and query keep their
//! exact bytes, because key bytes, forwarded bytes and purged bytes are the same bytes. The scheme is not part of it: behind
//! a load balancer that ends TLS, `http` and `https` are one site, and a purge must not depend on guessing which.

use std::fmt;

/// An authority and a path with query, both canonical.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalUrl {
    host: Box<str>,
    path: Box<str>,
}

/// All URLs that begin alike: a host (or every host) and the beginning of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UrlPrefix {
    host: Option<Box<str>>,
    path: Box<str>,
}

/// Why a text is not a URL that could be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It names another protocol. The caller writes `http://` or `https://`.
    #[error("{0:?} is not an http URL: write https://host/path")]
    Scheme(String),
    /// It names no host. The caller writes `https://host/path`.
    #[error("{0:?} names no host: write https://host/path")]
    NoHost(String),
    /// Its host or port is malformed.
    #[error("{0:?} is not a host")]
    Host(String),
    /// Its path does not begin with a slash, or holds white space or control characters.
    #[error("{0:?} is not a path: percent-encode what is not a visible character")]
    Path(String),
}

impl CanonicalUrl {
    /// Reads `https://host[:port][/path][?query][#fragment]`; `//host/path` and `host/path` will do, the fragment is dropped.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (default_port, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err(UrlError::NoHost(text.to_owned()));
        }
        Self::from_parts(&with_default_port(authority, default_port), &rooted(path))
    }

    /// Joins an authority, as in a `Host` field, and a path with query.
    pub fn from_parts(authority: &str, path: &str) -> Result<Self, UrlError> {
        let path = check_path(path)?;
        Ok(Self { host: canonical_host(authority)?.into(), path: path.into() })
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
    /// Reads `https://host/beginning` (that host) or `/beginning` (every host).
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.starts_with('/') && !text.starts_with("//") {
            return Ok(Self { host: None, path: check_path(text)?.into() });
        }
        let url = CanonicalUrl::parse(text)?;
        Ok(Self { host: Some(url.host), path: url.path })
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
        self.host.as_deref().is_none_or(|own| own.as_bytes() == host)
            && path.starts_with(self.path.as_bytes())
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

/// Returns the canonical form of an authority: lower case, no trailing dot, no `:80`.
///
/// # Errors
/// [`UrlError::Host`] when it holds user information, an empty or malformed port, or a byte that no host has.
pub fn canonical_host(authority: &str) -> Result<String, UrlError> {
    let wrong = || UrlError::Host(authority.to_owned());
    let (name, port) = split_port(authority).ok_or_else(wrong)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.ends_with('.') || !is_host_name(name) {
        return Err(wrong());
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

fn split_scheme(text: &str) -> Result<(&'static str, &str), UrlError> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("https://") {
        return Ok((":443", text.get(8..).unwrap_or_default()));
    }
    if lower.starts_with("http://") {
        return Ok((":80", text.get(7..).unwrap_or_default()));
    }
    if text.contains("://") && !text.starts_with('/') {
        return Err(UrlError::Scheme(text.to_owned()));
    }
    Ok((":80", text.strip_prefix("//").unwrap_or(text)))
}

fn with_default_port(authority: &str, default_port: &str) -> String {
    authority.strip_suffix(default_port).unwrap_or(authority).to_owned()
}

fn rooted(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn check_path(path: &str) -> Result<&str, UrlError> {
    let is_path = path.starts_with('/')
        && path.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#');
    if is_path { Ok(path) } else { Err(UrlError::Path(path.to_owned())) }
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

    #[test]
    fn what_is_no_url_says_why() {
        assert!(matches!(CanonicalUrl::parse("ftp://a/"), Err(UrlError::Scheme(_))));
        assert!(matches!(CanonicalUrl::parse("/p/42"), Err(UrlError::NoHost(_))));
        for host in ["a:b/", "a:/", "u@a/", "a:99999/", "[::1/", "a:0/", "..", "a../"] {
            assert!(matches!(CanonicalUrl::parse(host), Err(UrlError::Host(_))), "{host}");
        }
        assert!(matches!(CanonicalUrl::parse("a/b c"), Err(UrlError::Path(_))));
    }

    #[test]
    fn a_prefix_is_of_one_host_or_of_all() {
        let one = UrlPrefix::parse("https://a.example/blog/").unwrap();
        assert!(one.covers(b"a.example", b"/blog/1") && !one.covers(b"b.example", b"/blog/1"));
        let all = UrlPrefix::parse("/blog/").unwrap();
        assert!(all.covers(b"b.example", b"/blog/1") && !all.covers(b"b.example", b"/blo"));
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
