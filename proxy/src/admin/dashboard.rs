//! The pages for people: `/` with the current values in it, and the files below `/assets/`.

use bytes::Bytes;
use dashboard::{Asset, Page};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::Value;
use settings::DashboardMode;

use super::live;
use crate::app::App;
use crate::response::body::ResponseBody;

/// Answers a request for a page, or returns `None` if it is for none, or if there are none.
pub(super) fn answer(app: &App, parts: &Parts) -> Option<Response<ResponseBody>> {
    let is_on = app.settings.current().admin.dashboard == DashboardMode::On;
    if !is_on || !matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    match parts.uri.path() {
        "/" => Some(page(dashboard::proxy(&snapshot(app)))),
        path => Asset::find(path).map(|asset| file(asset, &parts.headers)),
    }
}

/// Has a browser ask its user for the token, where a page was asked for without one.
pub(super) fn ask_for_token(parts: &Parts, response: &mut Response<ResponseBody>) {
    let path = parts.uri.path();
    if response.status() == StatusCode::UNAUTHORIZED && (path == "/" || path.starts_with(FILES)) {
        let ask = HeaderValue::from_static("Basic realm=\"Shellac: the password is admin.token\"");
        response.headers_mut().append(WWW_AUTHENTICATE, ask);
    }
}

fn snapshot(app: &App) -> Value {
    serde_json::to_value(live::snapshot(app, 0)).unwrap_or_default()
}

fn page(Page(text): Page) -> Response<ResponseBody> {
    respond(StatusCode::OK, "text/html; charset=utf-8", Bytes::from(text))
}

fn file(asset: &'static Asset, fields: &HeaderMap) -> Response<ResponseBody> {
    let is_there = fields.get(IF_NONE_MATCH).is_some_and(|tags| asset.is_in(tags.as_bytes()));
    let (status, content) = if is_there {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        (StatusCode::OK, Bytes::from_static(asset.content))
    };
    let mut response = respond(status, asset.content_type, content);
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    content: Bytes,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    dashboard::protect(response.headers_mut());
    response
}

const FILES: &str = "/assets/";
