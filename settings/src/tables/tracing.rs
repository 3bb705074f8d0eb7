//! `[tracing]`: spans of requests, exported over OTLP/HTTP.

use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};

use super::access_log::share;
use super::origin::OriginTlsSettings;
use super::secret::Secret;
use crate::report::ProblemBuilder;
use crate::table::Table;
use crate::tree::Node;
use crate::value::{Fault, TIMEOUT, duration, parsed, text, whole};

/// The collector of spans, and which requests have some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingSettings {
    /// The URL that spans are posted to; `None`: nowhere, there are none.
    pub endpoint: Option<Uri>,
    /// Traces that begin here and are exported, in millionths. Of a trace that a caller has begun,
    /// the caller says.
    pub sample: u32,
    /// Fields of each export, which may hold a key: never shown.
    pub headers: Vec<(String, Secret)>,
    /// The name of this service.
    pub service: String,
    /// Spans that wait for the collector, 64 to 100000; past it they are dropped and counted.
    pub queue: usize,
    /// Time for one export, 1ms to 1d.
    pub timeout: Duration,
    /// For an endpoint of `https`.
    pub tls: OriginTlsSettings,
}

impl Default for TracingSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample: 10_000,
            headers: Vec::new(),
            service: "shellac".to_owned(),
            queue: 4096,
            timeout: Duration::from_secs(10),
            tls: OriginTlsSettings::default(),
        }
    }
}

impl TracingSettings {
    /// Reads `[tracing]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("endpoint", parsed(endpoint), &mut self.endpoint);
        table.read("sample", parsed(share), &mut self.sample);
        table.read_map("headers", field_value, &mut self.headers);
        for (name, _) in &self.headers {
            if HeaderName::try_from(name.as_str()).is_err() {
                let fault = Fault::new("must have field names as keys", "this is none");
                table.fault_of_entry("headers", name, fault);
            }
        }
        table.read("service", parsed(name), &mut self.service);
        table.read("queue", whole(64..=100_000), &mut self.queue);
        table.read("timeout", duration(TIMEOUT), &mut self.timeout);
        table.table("tls", |table| self.tls.read_table(table));
        let is_plain = self.endpoint.as_ref().is_some_and(|it| it.scheme() == Some(&Scheme::HTTP));
        if is_plain && self.tls != OriginTlsSettings::default() {
            let message = format!("`{}` is set, and `endpoint` is http://", table.path_of("tls"));
            let draft = ProblemBuilder::warning(message, "of no effect")
                .help("an endpoint of https:// for TLS to the collector");
            table.add_here(draft);
        }
    }
}

/// Reads the URL of a collector; empty text: there is none. Without a path it is the usual one.
fn endpoint(text: &str) -> Result<Option<Uri>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let fault = |label: &str| {
        let wants = "must be the URL of a collector's OTLP/HTTP receiver";
        Fault::new(wants, label).help("such as \"http://127.0.0.1:4318/v1/traces\"")
    };
    let uri: Uri = text.parse().map_err(|_malformed| fault("this is no URL"))?;
    let is_web = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    let Some(authority) = uri.authority().filter(|it| is_web && !it.host().is_empty()) else {
        return Err(fault("neither http:// nor https://"));
    };
    if authority.as_str().contains('@') {
        return Err(fault("a URL is no place for a password").help("write it in `headers`"));
    }
    if authority.port_u16() == Some(4317) {
        return Err(fault("4317 is the port for gRPC").help("OTLP over HTTP has 4318"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Ok(Some(uri));
    }
    let whole = format!("{}/v1/traces", text.trim_end_matches('/'));
    whole.parse().map(Some).map_err(|_malformed| fault("this is no URL"))
}

/// Reads the value of a field. What is wrong with it is told without it.
fn field_value(node: &Node) -> Result<Secret, Fault> {
    let value = text(node)?;
    let fault = || Fault::new("must be the value of a field", "it could not be sent");
    HeaderValue::try_from(value).map_err(|_unsendable| fault())?;
    Ok(Secret::new(value))
}

fn name(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Err(Fault::new("must name this service", "it is empty"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_of_http_and_has_the_usual_path_if_none() {
        let path = |text: &str| endpoint(text).unwrap().map(|uri| uri.to_string());
        assert_eq!(path(""), None);
        let usual = Some("http://c:4318/v1/traces".to_owned());
        assert_eq!(path("http://c:4318"), usual);
        assert_eq!(path("http://c:4318/"), usual);
        assert_eq!(path("https://c/otlp/x?y"), Some("https://c/otlp/x?y".to_owned()));
        for wrong in ["c:4318", "ftp://c/", "/v1/traces", "http://k:s@c/", "http://c:4317", "a b"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
