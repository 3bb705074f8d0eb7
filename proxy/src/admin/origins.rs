//! `/api/v1/origins`: the origins and their servers, and orders to single servers.

use std::time::Duration;

use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::origins::health::{AdminState, HealthReport, ProbeResult};
use crate::origins::{Origin, ServerReport};
use crate::purge::endpoint::{json as respond, problem};
use crate::response::body::ResponseBody;

/// A path below [`PATH`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerPath {
    origin: String,
    server: String,
    is_check: bool,
}

impl ServerPath {
    /// Reads `/api/v1/origins/ORIGIN/servers/SERVER` and the same with `/check` behind it. Names
    /// may be percent-encoded.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PATH)?.strip_prefix('/')?;
        let (origin, rest) = rest.split_once("/servers/")?;
        let (server, is_check) = match rest.strip_suffix("/check") {
            Some(server) => (server, true),
            None => (rest, false),
        };
        let named = !origin.is_empty() && !server.is_empty();
        named.then(|| Self { origin: decoded(origin), server: decoded(server), is_check })
    }

    /// Returns the methods that this path has.
    pub(super) const fn allow(&self) -> &'static str {
        if self.is_check { "POST" } else { "GET, PATCH" }
    }

    /// Returns whether the request has content that [`ServerPath::answer`] is to be given.
    pub(super) fn takes_content(&self, method: &Method) -> bool {
        method == Method::PATCH && !self.is_check
    }

    /// Answers a request, or returns `None` if the path has no such method.
    pub(super) async fn answer(
        &self,
        app: &App,
        method: &Method,
        content: &[u8],
    ) -> Option<Response<ResponseBody>> {
        let origins = app.origins();
        let Some(origin) = origins.find(&self.origin) else {
            let names: Vec<&str> = origins.iter().map(|origin| origin.name()).collect();
            let detail = format!("There is no origin `{}`: see {}.", self.origin, names.join(", "));
            return Some(problem(StatusCode::NOT_FOUND, &detail));
        };
        if !origin.reports().iter().any(|server| server.name == self.server) {
            let servers: Vec<_> = origin.reports().into_iter().map(|server| server.name).collect();
            let detail = format!(
                "The origin `{}` has no server `{}`: see {}.",
                self.origin,
                self.server,
                servers.join(", ")
            );
            return Some(problem(StatusCode::NOT_FOUND, &detail));
        }
        match (self.is_check, method) {
            (true, &Method::POST) => {
                let result = origin.check(&self.server).await;
                Some(self.show(app, origin, result.as_ref()))
            }
            (false, &Method::GET) => Some(self.show(app, origin, None)),
            (false, &Method::PATCH) => Some(match assignment(content) {
                Ok(assignment) => {
                    origin.assign(&self.server, assignment);
                    self.show(app, origin, None)
                }
                Err(detail) => problem(StatusCode::BAD_REQUEST, &detail),
            }),
            _ => None,
        }
    }

    /// Shows the server, and the result of a probe that was asked for.
    fn show(
        &self,
        app: &App,
        origin: &Origin,
        checked: Option<&ProbeResult>,
    ) -> Response<ResponseBody> {
        let server = origin.reports().into_iter().find(|server| server.name == self.server);
        let mut document = server.map_or(Value::Null, |server| server_document(app, &server));
        let fields = document.as_object_mut();
        if let Some(fields) = fields {
            fields.insert("origin".to_owned(), self.origin.clone().into());
            if let Some(result) = checked {
                fields.insert("check".to_owned(), probe_document(result));
            }
            if !origin.is_usable() {
                let warning = format!("no server of `{}` is in use now", self.origin);
                fields.insert("warning".to_owned(), warning.into());
            }
        }
        respond(StatusCode::OK, document.to_string().into_bytes(), "application/json")
    }
}

/// Returns what is asked for: `{"state": "drain"}`.
fn assignment(content: &[u8]) -> Result<AdminState, String> {
    let words = "\"enabled\", \"drain\" or \"disabled\"";
    let wanted = format!("The content is a JSON object: {{\"state\": {words}}}");
    let document: Value =
        serde_json::from_slice(content).map_err(|error| format!("{wanted}: {error}."))?;
    let fields = document.as_object().ok_or_else(|| format!("{wanted}."))?;
    if let Some(other) = fields.keys().find(|key| *key != "state") {
        return Err(format!("{wanted}; `{other}` cannot be set."));
    }
    let state = fields.get("state").and_then(Value::as_str).ok_or_else(|| format!("{wanted}."))?;
    AdminState::parse(state).ok_or_else(|| format!("The state is {words}, not `{state}`."))
}

/// Shows all origins.
pub(super) fn list(app: &App) -> Response<ResponseBody> {
    let origins = app.origins();
    let documents: Vec<Value> = origins.iter().map(|origin| origin_document(app, origin)).collect();
    let document = json!({"origins": documents});
    let text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    respond(StatusCode::OK, text, "application/json")
}

fn origin_document(app: &App, origin: &Origin) -> Value {
    let reports = origin.reports();
    let servers: Vec<Value> = reports.iter().map(|server| server_document(app, server)).collect();
    let (in_use, idle) = origin.connections();
    json!({
        "name": origin.name(),
        "is_usable": origin.is_usable(),
        "circuit": origin.health().circuit_state(Instant::now()).as_str(),
        "in_flight": in_use,
        "queued": origin.queued(),
        "idle_connections": idle,
        "servers": servers,
    })
}

fn server_document(app: &App, server: &ServerReport) -> Value {
    let HealthReport { state, assigned, reason, lasted, share, latency, .. } = &server.health;
    let since = app.clock().wall().minus(*lasted).as_millis();
    let mut document = json!({
        "server": server.name,
        "weight": server.weight,
        "state": state.as_str(),
        "assigned": assigned.as_str(),
        "reason": reason,
        "since_ms": since,
        "lasted_seconds": lasted.as_secs(),
        "share": share,
        "latency_ms": latency.map(millis),
        "ejections": server.health.ejections,
        "in_flight": server.in_flight,
        "idle_connections": server.idle_connections,
    });
    if let Some(fields) = document.as_object_mut() {
        if let Some((good, window, threshold)) = server.health.probes {
            let probes = json!({"good": good, "window": window, "threshold": threshold});
            fields.insert("probes".to_owned(), probes);
        }
        if let Some((result, ago)) = &server.health.last_probe {
            let mut probe = probe_document(result);
            if let Some(fields) = probe.as_object_mut() {
                fields.insert("ago_seconds".to_owned(), ago.as_secs().into());
            }
            fields.insert("last_probe".to_owned(), probe);
        }
    }
    document
}

fn probe_document(result: &ProbeResult) -> Value {
    json!({
        "is_good": result.is_good(),
        "status": result.status().map(|status| status.as_u16()),
        "took_ms": millis(result.took),
        "error": (!result.is_good()).then(|| result.to_string()),
    })
}

/// Milliseconds with one digit behind the point.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Decodes percent-escapes.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let pair = (byte == b'%').then(|| Some((hex(ahead.next()?)?, hex(ahead.next()?)?)));
        match pair.flatten() {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                bytes = ahead;
            }
            None => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

pub(super) const PATH: &str = "/api/v1/origins";

/// Bytes of an order.
pub(super) const CONTENT_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_the_path() {
        for (path, origin, server, is_check) in [
            ("/api/v1/origins/app/servers/10.0.0.1:3000", "app", "10.0.0.1:3000", false),
            ("/api/v1/origins/app/servers/10.0.0.1:3000/check", "app", "10.0.0.1:3000", true),
            ("/api/v1/origins/app/servers/unix:%2Frun%2Fa.sock", "app", "unix:/run/a.sock", false),
            ("/api/v1/origins/app/servers/%5B::1%5D:80", "app", "[::1]:80", false),
            ("/api/v1/origins/a%/servers/b%4", "a%", "b%4", false),
        ] {
            let named = ServerPath::parse(path).unwrap();
            let expected =
                ServerPath { origin: origin.to_owned(), server: server.to_owned(), is_check };
            assert_eq!(named, expected, "{path}");
        }
        for path in ["/api/v1/origins", "/api/v1/origins/app", "/api/v1/origins/app/servers/"] {
            assert_eq!(ServerPath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn an_order_is_one_of_three_words() {
        assert_eq!(assignment(br#"{"state":"drain"}"#), Ok(AdminState::Drain));
        for content in ["", "[]", "{}", r#"{"state":1}"#, r#"{"state":"off"}"#, r#"{"weight":1}"#] {
            assert!(assignment(content.as_bytes()).is_err(), "{content}");
        }
    }
}
