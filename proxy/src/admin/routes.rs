//! The routes of the admin listener. Health, readiness and metrics are open; all else needs the
//! token or this machine.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, VARY};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use process::metrics_page::PageFormat;
use process::timestamp::Timestamp;
use purge_protocol::foreign::is_purge_method;
use purge_protocol::url::canonical_host;
use purge_protocol::{PurgeRequest, log};
use tokio::time::timeout;

use super::body::AdminBody;
use super::origins::{self, ServerPath};
use super::{
    config, control, cross_site, dashboard, explain, hottest, live, log_stream, metrics, objects,
    purges, readiness, stats, streams, tags, version,
};
use crate::app::App;
use crate::client::busy::Busy;
use crate::client::peer::Peer;
use crate::policy::rules::CompiledRules;
use crate::purge::access;
use crate::purge::deploys::DeployReport;
use crate::purge::endpoint::{PURGE, json, problem, problem_with};
use crate::purge::log::PurgeLog;
use crate::purge::log::endpoint::PurgeLogEndpoint;
use crate::purge::metrics::Source;
use crate::purge::sender::PurgeSender;
use crate::response::body::ResponseBody;
use crate::response::failure::{self, ProxyError};

pub(super) async fn answer(
    app: &Arc<App>,
    peer: &Peer,
    request: Request<Incoming>,
    busy: Busy,
) -> Response<AdminBody> {
    let (parts, body) = request.into_parts();
    let is = |method: Method| {
        parts.method == method || method == Method::GET && parts.method == Method::HEAD
    };
    let answer = match parts.uri.path() {
        "/healthz" if is(Method::GET) => text(StatusCode::OK, "ok\n"),
        "/readyz" if is(Method::GET) => readiness::readiness(app, parts.uri.query()),
        "/metrics" if is(Method::GET) => metrics_page(app, &parts.headers),
        "/healthz" | "/readyz" | "/metrics" if parts.method.as_str() != PURGE => {
            not_allowed("GET, HEAD")
        }
        _ => match admit(app, peer, &parts) {
            Ok(()) => match streams::answer(app, &parts, busy) {
                Ok(stream) => return stream,
                Err(busy) => {
                    let answer = guarded(app, peer, parts, body).await;
                    drop(busy);
                    answer
                }
            },
            Err(refusal) => *refusal,
        },
    };
    answer.map(AdminBody::from)
}

/// Lets a request in that has the token, or is of this machine, and that no page of another site
/// has caused.
fn admit(app: &App, peer: &Peer, parts: &Parts) -> Result<(), Box<Response<ResponseBody>>> {
    let settings = app.settings.current();
    let token = settings.admin.token.as_ref();
    if let Err(refusal) = access::check_admin(token, peer, &parts.headers) {
        let error = ProxyError::from(refusal);
        let name = &settings.own_fields.name;
        let mut response = if parts.uri.path().starts_with("/api/") {
            let hint = "Send `Authorization: Bearer TOKEN` with the value of admin.token.";
            problem_with(error.status(), &error.to_string(), Some(hint))
        } else {
            failure::respond(&error, &parts.headers, name)
        };
        dashboard::ask_for_token(parts, &mut response);
        return Err(Box::new(response));
    }
    match cross_site::objection(parts, peer, token.is_some()) {
        Some(detail) => Err(Box::new(problem(StatusCode::FORBIDDEN, detail))),
        None => Ok(()),
    }
}

async fn guarded(
    app: &Arc<App>,
    peer: &Peer,
    parts: Parts,
    body: Incoming,
) -> Response<ResponseBody> {
    if let Some(page) = dashboard::answer(app, &parts) {
        return page;
    }
    if parts.method.as_str() == PURGE || is_purge_method(parts.method.as_str()) {
        return purge_by_fields(app, peer, &parts, !body.is_end_stream()).await;
    }
    let path = parts.uri.path();
    let Some(allow) = allowed(path) else { return no_such_page() };
    if !allow.split(", ").any(|method| method == parts.method.as_str()) {
        return not_allowed(allow);
    }
    if let Some(server) = ServerPath::parse(path) {
        return order(app, &server, &parts.method, body).await;
    }
    if parts.method == Method::DELETE {
        return PurgeLogEndpoint(&app.purge_log).forget(parts.uri.query()).await;
    }
    if parts.method == Method::POST {
        return match path {
            PURGE_PATH => purge_by_json(app, peer, parts.uri.query(), body).await,
            log::PATH => log_batch(app, body).await,
            explain::PATH => explain_request(app, body).await,
            control::RELOAD => control::reload(app, parts.uri.query()).await,
            control::DRAIN => control::drain(app),
            control::UNDRAIN => control::undrain(app),
            _ => no_such_page(),
        };
    }
    let query = parts.uri.query();
    match path {
        DEPLOYS => deploys(app),
        OPENAPI_PATH => json(StatusCode::OK, OPENAPI.as_bytes().to_vec(), "application/json"),
        STATS => json(StatusCode::OK, stats::document(app), "application/json"),
        RULES => {
            let rules = app.settings.current().policies.rules().map(CompiledRules::document);
            document(&serde_json::json!({ "rules": rules.unwrap_or_default() }))
        }
        hottest::PATH => hottest::hottest(app, query).await,
        log::PATH => PurgeLogEndpoint(&app.purge_log).show(),
        version::PATH => document(&version::document()),
        config::PATH => document(&config::document(app)),
        live::PATH => live::live(app, query),
        objects::PATH => objects::objects(app, query).await,
        purges::PATH => purges::purges(app, query),
        tags::PATH => tags::page(app, query),
        origins::PATH => origins::list(app),
        _ => no_such_page(),
    }
}

async fn explain_request(app: &Arc<App>, body: Incoming) -> Response<ResponseBody> {
    match read_body(app, body, explain::CONTENT_MAX).await {
        Ok(content) => explain::answer(app, &content).await,
        Err(Unread::TooLarge) => {
            let detail = format!("A question may have {} bytes.", explain::CONTENT_MAX);
            problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)
        }
        Err(Unread::BrokenOff) => broken_off(),
    }
}

/// Returns the methods of a path; `None`: there is no such page.
fn allowed(path: &str) -> Option<&'static str> {
    let listed = ROUTES.iter().find(|(own, _)| *own == path).map(|(_, methods)| *methods);
    listed.or_else(|| ServerPath::parse(path).map(|server| server.allow()))
}

fn no_such_page() -> Response<ResponseBody> {
    let paths: Vec<_> = ROUTES.iter().map(|(path, _)| *path).collect();
    let detail =
        format!("There is no such page: see /, /healthz, /readyz, /metrics, {}.", paths.join(", "));
    problem_with(StatusCode::NOT_FOUND, &detail, Some("GET /openapi.json describes all of them."))
}

fn document(document: &serde_json::Value) -> Response<ResponseBody> {
    json(StatusCode::OK, document.to_string().into_bytes(), "application/json")
}

fn deploys(app: &App) -> Response<ResponseBody> {
    let report = DeployReport::of(&app.executor);
    json(StatusCode::OK, serde_json::to_vec(&report).unwrap_or_default(), "application/json")
}

/// Purges; with `?dry_run` it only says what that would hit.
async fn purge_by_json(
    app: &App,
    peer: &Peer,
    query: Option<&str>,
    body: Incoming,
) -> Response<ResponseBody> {
    let is_trial = match query {
        None | Some("") => false,
        Some("dry_run" | "dry_run=" | "dry_run=true") => true,
        Some(_) => {
            let detail = "The only parameter is dry_run: say what would be purged.";
            return problem(StatusCode::BAD_REQUEST, detail);
        }
    };
    let purge_endpoint = &app.front.purge_endpoint;
    let limit = app.settings.current().purge.max_body;
    let body = match read_body(app, body, limit).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            purge_endpoint.executor().metrics.refused.add(1);
            let detail =
                format!("A purge may have {limit} bytes (`purge.max_body`): send several.");
            return problem(StatusCode::PAYLOAD_TOO_LARGE, &detail);
        }
        Err(Unread::BrokenOff) => return broken_off(),
    };
    let is_object = body.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<PurgeRequest>(&body) {
        Ok(_) if !is_object => {
            problem(StatusCode::BAD_REQUEST, "A purge request is a JSON object.")
        }
        Ok(request) if is_trial => purge_endpoint.forecast(request).await,
        Ok(request) => {
            let sender = PurgeSender::new(Source::Admin, None, peer);
            purge_endpoint.answer(Ok(request), sender).await
        }
        Err(error) => {
            purge_endpoint.executor().metrics.refused.add(1);
            problem(StatusCode::BAD_REQUEST, &format!("This is no purge request: {error}."))
        }
    }
}

/// A batch of the purge log. The time is taken before its content has come: what it says of the
/// past is older then, not newer.
async fn log_batch(app: &App, body: Incoming) -> Response<ResponseBody> {
    let received = app.clock().now();
    let endpoint = PurgeLogEndpoint(&app.purge_log);
    let limit = endpoint.max_body();
    match read_body(app, body, limit).await {
        Ok(body) => log_batch_to_the_end(Arc::clone(&app.purge_log), body, received).await,
        Err(Unread::TooLarge) => endpoint.refuse_unread(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("A batch may have {limit} bytes (`purge.log.max_body`): send several."),
        ),
        Err(Unread::BrokenOff) => broken_off(),
    }
}

/// Applies a batch though the purger may lose patience and leave: what it sends again finds the
/// position moved, or waits for this one, and purges nothing twice.
async fn log_batch_to_the_end(
    log: Arc<PurgeLog>,
    batch: Bytes,
    received: Timestamp,
) -> Response<ResponseBody> {
    let work = async move { PurgeLogEndpoint(&log).answer(&batch, received).await };
    tokio::spawn(work).await.unwrap_or_else(|error| {
        problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("The batch was not applied: {error}."))
    })
}

/// An order to a server of an origin, or a look at it.
async fn order(
    app: &App,
    server: &ServerPath,
    method: &Method,
    body: Incoming,
) -> Response<ResponseBody> {
    let content = if server.takes_content(method) {
        match read_body(app, body, origins::CONTENT_MAX).await {
            Ok(content) => content,
            Err(Unread::TooLarge) => {
                let detail = format!("An order may have {} bytes.", origins::CONTENT_MAX);
                return problem(StatusCode::PAYLOAD_TOO_LARGE, &detail);
            }
            Err(Unread::BrokenOff) => return broken_off(),
        }
    } else {
        Bytes::new()
    };
    let answer = server.answer(app, method, &content).await;
    answer.unwrap_or_else(|| not_allowed(server.allow()))
}

/// A request whose content could not be read whole.
#[derive(Clone, Copy, Debug)]
enum Unread {
    /// It exceeds the limit; the rest was read and discarded.
    TooLarge,
    /// The client went away, or took longer than `limits.body_timeout`.
    BrokenOff,
}

/// Reads content up to `limit` bytes. A client that sends more is heard out up to
/// [`DISCARDED_MAX`]: a client that is answered while it writes would see a broken connection
/// instead of the answer (RFC 9112 §9.6).
async fn read_body(app: &App, mut body: Incoming, limit: u64) -> Result<Bytes, Unread> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let read = async {
        let (mut content, mut length) = (BytesMut::new(), 0_usize);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_broken| Unread::BrokenOff)?.into_data() else {
                continue;
            };
            length = length.saturating_add(data.len());
            if length <= limit {
                content.extend_from_slice(&data);
            } else {
                content = BytesMut::new();
            }
            if length > limit.max(DISCARDED_MAX) {
                break;
            }
        }
        if length > limit { Err(Unread::TooLarge) } else { Ok(content.freeze()) }
    };
    timeout(app.settings.current().limits.body_timeout, read)
        .await
        .unwrap_or(Err(Unread::BrokenOff))
}

fn broken_off() -> Response<ResponseBody> {
    problem(StatusCode::BAD_REQUEST, "The request's content broke off.")
}

/// `PURGE /path` with `Host`, or with tag fields, as on a traffic listener that allows it.
async fn purge_by_fields(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    has_content: bool,
) -> Response<ResponseBody> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let field = || parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = authority.or_else(field).map_or_else(|| peer.local.authority(), str::to_owned);
    let host = canonical_host(&host).unwrap_or(host);
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let purge_endpoint = &app.front.purge_endpoint;
    let sender = PurgeSender::new(Source::Http, None, peer);
    let url = (&*host, path);
    purge_endpoint.answer_method(&parts.method, has_content, &parts.headers, url, sender).await
}

/// The page of metrics: Prometheus' text format, or `OpenMetrics` for those who name it.
fn metrics_page(app: &App, fields: &HeaderMap) -> Response<ResponseBody> {
    let format = PageFormat::accepted(fields);
    match metrics::page(app, format) {
        Ok(page) => {
            let mut response = Response::new(ResponseBody::whole(Bytes::from(page)));
            let content_type = HeaderValue::from_static(format.media_type());
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
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

/// Bytes of a request that are read and discarded before it is answered with 413.
const DISCARDED_MAX: usize = 64 << 20;

const DEPLOYS: &str = "/api/v1/deploys";
const PURGE_PATH: &str = "/api/v1/purge";
const STATS: &str = "/api/v1/stats";
const RULES: &str = "/api/v1/rules";
const OPENAPI_PATH: &str = "/openapi.json";
/// Kept by hand; a test holds it against [`ROUTES`].
const OPENAPI: &str = include_str!("openapi.json");

/// Every guarded page, with its methods; those of single servers are in [`ServerPath`]. A page that
/// is not here is not found.
const ROUTES: [(&str, &str); 22] = [
    (OPENAPI_PATH, "GET"),
    (version::PATH, "GET"),
    (config::PATH, "GET"),
    (live::PATH, "GET"),
    (streams::STATS, "GET"),
    (streams::PURGES, "GET"),
    (log_stream::PATH, "GET"),
    (explain::PATH, "POST"),
    (STATS, "GET"),
    (objects::PATH, "GET"),
    (purges::PATH, "GET"),
    (tags::PATH, "GET"),
    (hottest::PATH, "GET"),
    (RULES, "GET"),
    (origins::PATH, "GET"),
    (PURGE_PATH, "POST"),
    (DEPLOYS, "GET"),
    (log::PATH, "GET, POST, DELETE"),
    (control::RELOAD, "POST"),
    (control::DRAIN, "POST"),
    (control::UNDRAIN, "POST"),
    ("/api/v1/origins/ORIGIN/servers/SERVER", "GET, PATCH"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_openapi_file_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut written = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                let path = path.replace("{origin}", "ORIGIN").replace("{server}", "SERVER");
                written.insert((path, method.to_uppercase()));
            }
        }
        let mut routes = BTreeSet::new();
        let open = [("/healthz", "GET"), ("/readyz", "GET"), ("/metrics", "GET")];
        let check = [("/api/v1/origins/ORIGIN/servers/SERVER/check", "POST")];
        for (path, methods) in ROUTES.into_iter().chain(open).chain(check) {
            for method in methods.split(", ") {
                routes.insert((path.to_owned(), method.to_owned()));
            }
        }
        assert_eq!(written, routes);
    }

    #[test]
    fn each_operation_has_a_summary_an_id_of_its_own_and_answers() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}");
                assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
                assert!(operation["responses"]["200"].is_object(), "{method} {path}");
            }
        }
    }

    #[test]
    fn servers_have_pages_though_their_names_are_not_listed() {
        assert_eq!(allowed("/api/v1/origins/app/servers/127.0.0.1:3000"), Some("GET, PATCH"));
        assert_eq!(allowed("/api/v1/origins/app/servers/a:1/check"), Some("POST"));
        assert_eq!(allowed("/api/v1/other"), None);
    }
}
