//! The pages for people: `/` with the current values in it, and the files below `/assets/`.

use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, Response, StatusCode};
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
        "/" => Some(dashboard::page(dashboard::proxy(&snapshot(app)))),
        path => dashboard::file(path, &parts.headers),
    }
    .map(|response| response.map(ResponseBody::whole))
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

const FILES: &str = "/assets/";
