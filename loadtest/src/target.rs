//! Where requests go: `http://host:port/path`, nothing else. No TLS: everything measured here is on
//! loopback.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};

#[derive(Clone, Debug)]
pub(crate) struct Target {
    authority: Authority,
    path: Uri,
}

impl Target {
    pub(crate) fn address(&self) -> (&str, u16) {
        let host = self.authority.host();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        (bare, self.authority.port_u16().unwrap_or(80))
    }

    pub(crate) fn host(&self) -> HeaderValue {
        HeaderValue::from_str(self.authority.as_str()).expect("an authority is a valid field value")
    }

    pub(crate) fn path(&self) -> &Uri {
        &self.path
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse().with_context(|| format!("{text:?} is not a URL"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            bail!("{text:?} is not an http:// URL");
        }
        let authority = uri.authority().context("the URL has no host")?.clone();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { authority, path: path.parse()? })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_http_url() {
        let target: Target = "http://127.0.0.1:8080/slow?ms=2".parse().expect("a URL");

        assert_eq!(target.address(), ("127.0.0.1", 8080));
        assert_eq!(target.host(), "127.0.0.1:8080");
        assert_eq!(target.path(), "/slow?ms=2");
    }

    #[test]
    fn port_and_path_have_defaults() {
        let target: Target = "http://localhost".parse().expect("a URL");

        assert_eq!(target.address(), ("localhost", 80));
        assert_eq!(target.path(), "/");
    }

    #[test]
    fn an_ipv6_address_is_connected_to_without_its_brackets() {
        let target: Target = "http://[::1]:81/".parse().expect("a URL");

        assert_eq!(target.address(), ("::1", 81));
        assert_eq!(target.host(), "[::1]:81");
    }

    #[test]
    fn other_schemes_are_refused() {
        for text in ["https://localhost/", "localhost:80", "/path", ""] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
