//! The routes that change how the proxy runs: reload, drain, undrain.

use http::{Response, StatusCode};
use serde_json::json;

use crate::app::App;
use crate::app::reload::ReloadError;
use crate::purge::endpoint::json;
use crate::response::body::ResponseBody;

/// Reads the configuration again; with `?trial` it only says what would change.
pub(super) async fn reload(app: &App, query: Option<&str>) -> Response<ResponseBody> {
    let is_trial = match query {
        None | Some("") => false,
        Some("trial" | "trial=" | "trial=true") => true,
        Some(_) => {
            let detail = "The only parameter is `trial`: say what would change.";
            return problem(StatusCode::BAD_REQUEST, "bad_request", detail, None);
        }
    };
    match app.reloads.reload("POST /api/v1/reload", is_trial).await {
        Ok(report) => {
            json(StatusCode::OK, report.document().to_string().into_bytes(), "application/json")
        }
        Err(error) => {
            let status = match error {
                ReloadError::Invalid(_) | ReloadError::Unreadable(_) => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                ReloadError::CannotBind(_) | ReloadError::Refused(_) => StatusCode::CONFLICT,
            };
            problem(status, error.code(), &error.to_string(), Some(&error))
        }
    }
}

/// Has readiness say that nothing is to be sent here; what comes is served.
pub(super) fn drain(app: &App) -> Response<ResponseBody> {
    if !app.is_withdrawn() {
        tracing::info!("drained by an operator: not ready, requests are served");
    }
    app.withdraw(true);
    state(app)
}

/// Ends [`drain`].
pub(super) fn undrain(app: &App) -> Response<ResponseBody> {
    if app.is_leaving() || app.listeners.drain.is_begun() {
        let detail = "The proxy ends: it does not become ready again.";
        return problem(StatusCode::CONFLICT, "refused", detail, None);
    }
    if app.is_withdrawn() {
        tracing::info!("an operator has ended the drain");
    }
    app.withdraw(false);
    state(app)
}

fn state(app: &App) -> Response<ResponseBody> {
    let document =
        json!({"drained": app.is_withdrawn(), "connections": app.listeners.connections()});
    json(StatusCode::OK, document.to_string().into_bytes(), "application/json")
}

/// Answers as RFC 9457 says.
fn problem(
    status: StatusCode,
    code: &str,
    detail: &str,
    error: Option<&ReloadError>,
) -> Response<ResponseBody> {
    let title = status.canonical_reason().unwrap_or("Error");
    let mut document = json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    let problems = error.and_then(ReloadError::problems);
    if let (Some((problems, shown)), Some(fields)) = (problems, document.as_object_mut()) {
        fields.insert("problems".to_owned(), problems.into());
        fields.insert("shown".to_owned(), shown.into());
    }
    json(status, document.to_string().into_bytes(), "application/problem+json")
}

pub(super) const RELOAD: &str = "/api/v1/reload";
pub(super) const DRAIN: &str = "/api/v1/drain";
pub(super) const UNDRAIN: &str = "/api/v1/undrain";
