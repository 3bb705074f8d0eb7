//! What is where on the admin listener. Health, readiness and metrics are open; all else needs the token or this machine.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use purge_protocol::url::canonical_host;
use purge_protocol::{PurgeRequest, log};
use tokio::time::timeout;

use super::{metrics, stats};
use crate::app::App;
use crate::listener::peer::Peer;
use crate::listener::service::PURGE;
use crate::purge::access;
use crate::purge::door::{json, problem};
use crate::purge::metrics::Source;
use crate::response::body::ResponseBody;
use crate::response::failure::{self, ProxyError};

/// Answers a request to the admin listener.
pub(super) async fn answer(
    app: &App,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let (parts, body) = request.into_parts();
    let is = |method: Method| {
        parts.method == method || method == Method::GET && parts.method == Method::HEAD
    };
    match parts.uri.path() {
        "/healthz" if is(Method::GET) => text(StatusCode::OK, "ok\n"),
        "/readyz" if is(Method::GET) => readiness(app),
        "/metrics" if is(Method::GET) => metrics_page(app),
        "/healthz" | "/readyz" | "/metrics" if parts.method.as_str() != PURGE => {
            not_allowed("GET, HEAD")
        }
        _ => match access::check_admin(app.config.admin.token.as_ref(), peer, &parts.headers) {
            Ok(()) => guarded(app, peer, parts, body).await,
            Err(refusal) => {
                failure::respond(&refusal.into(), &parts.headers, &app.config.response.via)
            }
        },
    }
}

async fn guarded(app: &App, peer: &Peer, parts: Parts, body: Incoming) -> Response<ResponseBody> {
    if parts.method.as_str() == PURGE {
        return purge_by_fields(app, peer, &parts).await;
    }
    match (parts.uri.path(), &parts.method) {
        ("/api/v1/purge", &Method::POST) => purge_by_json(app, body).await,
        ("/api/v1/purge", _) => not_allowed("POST"),
        (log::PATH, &Method::POST) => log_batch(app, body).await,
        (log::PATH, &Method::GET) => app.purge_log.show(),
        (log::PATH, _) => not_allowed("GET, POST"),
        ("/api/v1/stats", &Method::GET) => {
            json(StatusCode::OK, stats::document(app), "application/json")
        }
        ("/api/v1/stats", _) => not_allowed("GET"),
        _ => problem(
            StatusCode::NOT_FOUND,
            "There is no such page: see /healthz, /readyz, /metrics, /api/v1/stats, /api/v1/purge, /api/v1/log.",
        ),
    }
}

async fn purge_by_json(app: &App, body: Incoming) -> Response<ResponseBody> {
    let door = &app.front.door;
    let body = match read_body(app, body, door.rules().max_body).await {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let is_object = body.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<PurgeRequest>(&body) {
        Ok(_) if !is_object => {
            problem(StatusCode::BAD_REQUEST, "A purge request is a JSON object.")
        }
        Ok(request) => door.answer(Ok(request), Source::Admin).await,
        Err(error) => {
            door.purger().metrics.refused.add(1);
            problem(StatusCode::BAD_REQUEST, &format!("This is no purge request: {error}."))
        }
    }
}

/// A batch of the purge log. The time is taken before its content has come: what it says of the past is older then, not newer.
async fn log_batch(app: &App, body: Incoming) -> Response<ResponseBody> {
    let received = app.clock().now();
    match read_body(app, body, app.purge_log.max_body()).await {
        Ok(body) => app.purge_log.answer(&body, received).await,
        Err(refusal) => {
            app.purge_log.refused();
            *refusal
        }
    }
}

async fn read_body(
    app: &App,
    body: Incoming,
    limit: u64,
) -> Result<Bytes, Box<Response<ResponseBody>>> {
    let read = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    match timeout(app.config.limits.body_timeout, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Box::new(problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("A purge may have {limit} bytes: send several."),
        ))),
        Ok(Err(_)) | Err(_) => {
            Err(Box::new(problem(StatusCode::BAD_REQUEST, "The request's content broke off.")))
        }
    }
}

/// `PURGE /path` with `Host`, or with tag fields, as on a traffic listener that allows it.
async fn purge_by_fields(app: &App, peer: &Peer, parts: &Parts) -> Response<ResponseBody> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let field = || parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = authority.or_else(field).map_or_else(|| peer.local.to_string(), str::to_owned);
    let host = canonical_host(&host).unwrap_or(host);
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    app.front
        .door
        .answer(PurgeRequest::from_fields(&parts.headers, &host, path), Source::Http)
        .await
}

fn readiness(app: &App) -> Response<ResponseBody> {
    if app.listeners.drain.is_begun() || app.is_leaving() {
        let error = ProxyError::ShuttingDown;
        return text(error.status(), "draining\n");
    }
    match app.purge_log.unready() {
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
        None => text(StatusCode::OK, "ready\n"),
    }
}

fn metrics_page(app: &App) -> Response<ResponseBody> {
    match metrics::page(app) {
        Ok(page) => {
            let mut response = Response::new(ResponseBody::whole(Bytes::from(page)));
            let content_type = HeaderValue::from_static(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            );
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(error) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("The metrics cannot be written: {error}."),
        ),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn not_allowed(allow: &'static str) -> Response<ResponseBody> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("Only {allow}."));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}
