//! `RequestView`: what rules may know of a request.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Method};
use settings::DeviceClass;

use crate::key::device_class::DeviceKind;
use crate::policy::query::decoded;

/// A request as the client sent it, before a rule has changed it.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'r> {
    pub method: &'r Method,
    /// The canonical host, with its port unless that is the default one.
    pub host: &'r str,
    /// The path without its query.
    pub path: &'r str,
    /// The query without its question mark, as it was received.
    pub query: Option<&'r str>,
    pub fields: &'r HeaderMap,
    /// `None` where no rule asks, and for a request of our own.
    pub client: Option<IpAddr>,
}

impl<'r> RequestView<'r> {
    /// Splits a path with its query.
    pub fn new(method: &'r Method, host: &'r str, target: &'r str, fields: &'r HeaderMap) -> Self {
        let (path, query) = without_query(target);
        Self { method, host, path, query, fields, client: None }
    }

    /// The host without its port.
    pub fn host_name(&self) -> &'r str {
        host_name(self.host)
    }

    /// The values of a parameter. Names and values are compared after percent-decoding, as origins
    /// read them.
    pub fn parameters(&self, name: &str) -> impl Iterator<Item = Cow<'r, [u8]>> {
        let pairs = self.query.into_iter().flat_map(|query| query.split('&'));
        pairs.filter_map(move |pair| {
            let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
            decoded(own.as_bytes()).eq(name.bytes()).then(|| {
                if value.contains(['%', '+']) {
                    Cow::Owned(decoded(value.as_bytes()).collect())
                } else {
                    Cow::Borrowed(value.as_bytes())
                }
            })
        })
    }

    /// The values of a cookie.
    pub fn cookies(&self, name: &str) -> impl Iterator<Item = &'r [u8]> {
        let lines = self.fields.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        pairs.filter_map(move |pair| {
            let own = pair.split(|byte| *byte == b'=').next()?;
            let value = pair.get(own.len() + 1..).unwrap_or_default();
            (!pair.is_empty() && own == name.as_bytes()).then_some(value)
        })
    }

    /// The kind of device that the client says it is.
    pub fn device(&self) -> DeviceClass {
        match DeviceKind::of(self.fields) {
            DeviceKind::Mobile => DeviceClass::Mobile,
            DeviceKind::Tablet => DeviceClass::Tablet,
            DeviceKind::Desktop => DeviceClass::Desktop,
        }
    }
}

/// Returns a path, and its query without the question mark.
pub fn without_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// Returns a host without its port.
pub fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}
