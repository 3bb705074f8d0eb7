//! `Target`: where a request is directed (RFC 9110 §7.1, RFC 9112 §3.2).

use compact_str::CompactString;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme as UriScheme};
use http::{Method, Version};
use purge_protocol::url::canonical_host;

use super::refusal::Refusal;
use crate::client::peer::Peer;
use crate::framing::Violation;
use crate::framing::grammar::{has_target_bytes, is_plain_host};
use crate::key::Scheme;
use crate::policy::query::{FilteredQuery, QueryFilter};

/// A canonical host and the path as the client wrote it, with what its filter leaves of the query.
#[derive(Clone, Debug)]
pub struct Target {
    /// Most are short: up to 24 bytes take no memory of their own.
    host: CompactString,
    path: PathAndQuery,
    /// Parameters that left the query and are to be reflected in redirects.
    dropped: Option<Box<str>>,
    /// The path with its query as the client wrote it, if a rule has rewritten it.
    original: Option<Box<str>>,
}

impl Target {
    /// Reads the target. The host comes from the authority of an absolute-form target or
    /// `:authority`, else from `Host`; where both are given, they must agree.
    pub fn read(parts: &Parts, peer: &Peer, url_bytes_max: usize) -> Result<Self, Refusal> {
        let path = path(parts, url_bytes_max)?;
        let Parts { uri, version, headers: fields, .. } = parts;
        let mut lines = fields.get_all(HOST).iter();
        let field = lines.next();
        if lines.next().is_some() {
            return Err(Refusal::Host("there is more than one Host field"));
        }
        let mut host = match (uri.authority(), field) {
            (Some(_), None) if *version == Version::HTTP_11 => {
                return Err(Refusal::Host("the Host field is missing")); // even then (RFC 9112 §3.2)
            }
            (Some(authority), None) => canonical(authority.as_str())?,
            (None, Some(field)) => canonical_value(field)?,
            (Some(authority), Some(field)) => {
                let host = canonical(authority.as_str())?;
                if host != canonical_value(field)? {
                    return Err(Refusal::Host(
                        "Host names another authority than the request target",
                    ));
                }
                host
            }
            (None, None) if *version == Version::HTTP_10 => canonical(&peer.local.authority())?,
            (None, None) => return Err(Refusal::Host("the Host field is missing")),
        };
        if peer.is_trusted {
            let mut lines = fields.get_all("x-forwarded-host").iter();
            if let Some(original) = lines.next() {
                host = canonical_value(original)?;
            }
            if lines.next().is_some() {
                return Err(Refusal::Host("the X-Forwarded-Host field is there twice"));
            }
        }
        if host.ends_with(":443") && peer.scheme_of(fields) == Scheme::Https {
            host.truncate(host.len() - b":443".len());
        }
        Ok(Self { host, path, dropped: None, original: None })
    }

    /// The host in canonical form, with a port unless it is the default one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Leaves of the query what enters the key. Costs next to nothing where there is none.
    pub fn filter(&mut self, filter: &QueryFilter) {
        if self.path.query().is_some()
            && let Some(FilteredQuery { target, dropped }) = filter.apply(self.path.as_str())
            && let Ok(path) = PathAndQuery::try_from(target)
        {
            (self.path, self.dropped) = (path, dropped);
        }
    }

    /// Takes another path, with its query.
    pub fn rewrite(&mut self, target: String) {
        if let Ok(path) = PathAndQuery::try_from(target) {
            let before = std::mem::replace(&mut self.path, path);
            self.original.get_or_insert_with(|| before.as_str().into());
        }
    }

    /// The path with its query as the client wrote it, or as a filter has left it.
    pub fn original(&self) -> &str {
        self.original.as_deref().unwrap_or_else(|| self.path.as_str())
    }

    /// The parameters that redirects are to be given back.
    pub fn dropped(&self) -> Option<&str> {
        self.dropped.as_deref()
    }

    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    pub const fn path_and_query(&self) -> &PathAndQuery {
        &self.path
    }

    pub fn host_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.host).ok()
    }
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1
//# The ":path" pseudo-header field [...] MUST NOT be empty for "http" or
//# "https" URIs; [...] "http" or "https" URIs that do not contain a path
//# component MUST include a value of '/'.
/// Reads path and query: a path, or `*` of OPTIONS. A URL of HTTP/1 that has a query and no path
/// has the path `/` (RFC 9110 §4.2.3).
///
/// `http::Uri` cuts fragments off, so that `#x` leaves a path that is empty and says that it is
/// `/`.
fn path(parts: &Parts, url_bytes_max: usize) -> Result<PathAndQuery, Refusal> {
    let Parts { method, uri, version, .. } = parts;
    let path = uri.path_and_query().filter(|_| uri.scheme().is_none_or(is_http));
    let path = path.ok_or(Violation::Target)?;
    let text = path.as_str();
    if text.len() > url_bytes_max {
        return Err(Refusal::UriTooLong { limit: url_bytes_max });
    }
    let path = match text.as_bytes() {
        [b'/'] if *path == PathAndQuery::from_static("/") => path.clone(),
        [b'/', _, ..] => path.clone(),
        b"*" if *method == Method::OPTIONS => path.clone(),
        [b'?', ..] if *version < Version::HTTP_2 => {
            PathAndQuery::try_from(["/", text].concat()).map_err(|_malformed| Violation::Target)?
        }
        _ => return Err(Violation::Target.into()),
    };
    if has_target_bytes(path.as_str().as_bytes()) {
        Ok(path)
    } else {
        Err(Violation::Target.into())
    }
}

fn is_http(scheme: &UriScheme) -> bool {
    scheme == "http" || scheme == "https"
}

/// Returns the canonical form; the usual host, which is in it already, is copied without more ado.
fn canonical(authority: &str) -> Result<CompactString, Refusal> {
    if is_canonical(authority) {
        return Ok(authority.into());
    }
    let malformed = || Refusal::Host("the host is malformed");
    let host = canonical_host(authority).map_err(|_malformed| malformed())?;
    if host.contains('%') {
        return Err(malformed()); // no name of a site, and no `:authority` here
    }
    Ok(host.into())
}

fn canonical_value(field: &HeaderValue) -> Result<CompactString, Refusal> {
    match field.to_str() {
        Ok(text) => canonical(text),
        Err(_not_ascii) => Err(Refusal::Host("the host is not in ASCII: send its punycode")),
    }
}

/// Returns whether this is a lower-case name without trailing dot, its port, if any, not to be left
/// out.
fn is_canonical(authority: &str) -> bool {
    is_canonical_name(authority)
        || authority
            .split_once(':')
            .is_some_and(|(name, port)| is_canonical_name(name) && is_canonical_port(port))
}

fn is_canonical_name(name: &str) -> bool {
    !name.is_empty() && !name.ends_with('.') && is_plain_host(name.as_bytes())
}

fn is_canonical_port(port: &str) -> bool {
    (1..=5).contains(&port.len())
        && (port.len() < 5 || port <= "65535")
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port != "80"
        && !port.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_short_cut_agrees_with_the_long_way(authority in "[a-zA-Z0-9.:-]{1,12}") {
            if is_canonical(&authority) {
                proptest::prop_assert_eq!(canonical_host(&authority).ok(), Some(authority));
            }
        }
    }
}
