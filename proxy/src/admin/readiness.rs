//! `/readyz`: whether requests are welcome; with `?verbose` what each check says, as JSON.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::origins::Origin;
use crate::purge::endpoint::json as respond;
use crate::response::body::ResponseBody;

pub(super) fn readiness(app: &App, query: Option<&str>) -> Response<ResponseBody> {
    let reason = unready(app);
    let status = if reason.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    if query.is_some_and(|query| query.split('&').any(|word| word == "verbose")) {
        let text = serde_json::to_vec_pretty(&document(app, reason)).unwrap_or_default();
        return respond(status, text, "application/json");
    }
    let text = reason.unwrap_or("ready\n");
    let mut response = Response::new(ResponseBody::whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// Returns why requests are not welcome. Servers that are down are none of the reasons: stored
/// responses are served without them, and another proxy would find the same servers.
pub(super) fn unready(app: &App) -> Option<&'static str> {
    if app.listeners.drain.is_begun() || app.is_leaving() {
        return Some("draining\n");
    }
    if app.is_withdrawn() {
        return Some("drained by an operator: undrain\n");
    }
    app.purge_log.unready()
}

fn document(app: &App, reason: Option<&str>) -> Value {
    let is_leaving = app.listeners.drain.is_begun() || app.is_leaving();
    let origins = app.origins();
    json!({
        "is_ready": reason.is_none(),
        "reason": reason.map(str::trim_end),
        "checks": {
            "is_leaving": is_leaving,
            "is_drained": app.is_withdrawn(),
            "purge_log": app.purge_log.unready().map(str::trim_end),
        },
        "origins": origins.iter().map(|origin| origin_of(origin)).collect::<Vec<_>>(),
    })
}

/// Names and numbers only: the page is open to everybody who reaches the listener.
fn origin_of(origin: &Origin) -> Value {
    let mut servers = Map::new();
    for server in origin.reports() {
        let count = servers.entry(server.health.state.as_str()).or_insert_with(|| json!(0));
        *count = json!(count.as_u64().unwrap_or(0) + 1);
    }
    json!({
        "name": origin.name(),
        "is_usable": origin.is_usable(),
        "circuit": origin.health().circuit_state(Instant::now()).as_str(),
        "servers": servers,
    })
}
