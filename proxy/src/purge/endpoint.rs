//! `PurgeEndpoint`: `PURGE` requests and the JSON API. Both end in [`PurgeExecutor::apply`].

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use purge_protocol::foreign::Foreign;
use purge_protocol::request::UrlScope;
use purge_protocol::{PurgeReport, PurgeRequest, RequestError, method};

use settings::RuleSettings;

use super::PurgeExecutor;
use super::hint::Hints;
use super::preview::preview;
use super::sender::PurgeSender;
use super::watched::{kept, note_purge, word_of};
use crate::policy::LiveSettings;
use crate::response::body::ResponseBody;
use crate::store::journal::JournalError;

#[derive(Clone, Debug)]
pub struct PurgeEndpoint {
    executor: Arc<PurgeExecutor>,
    settings: Arc<LiveSettings>,
    hints: Hints,
}

impl PurgeEndpoint {
    pub const fn new(
        executor: Arc<PurgeExecutor>,
        settings: Arc<LiveSettings>,
        hints: Hints,
    ) -> Self {
        Self { executor, settings, hints }
    }

    pub const fn executor(&self) -> &Arc<PurgeExecutor> {
        &self.executor
    }

    /// Answers a `PURGE` request, and one with a method by which other caches are purged.
    pub async fn answer_method(
        &self,
        method: &Method,
        has_content: bool,
        fields: &HeaderMap,
        (host, path): (&str, &str),
        sender: PurgeSender,
    ) -> Response<ResponseBody> {
        let request = if has_content {
            Err(Foreign::Content.into())
        } else {
            method::read(method.as_str(), fields, (host, path), self.scope())
        };
        self.answer(request, sender).await
    }

    /// Returns what a `PURGE` of a URL is for: its page, where rules say to which page a URL
    /// belongs.
    fn scope(&self) -> UrlScope {
        let names_page = |rule: &RuleSettings| rule.actions.request.page.is_some();
        let settings = self.settings.current();
        let has_pages = settings.policies.list().iter().any(names_page);
        if has_pages { UrlScope::Page } else { UrlScope::Url }
    }

    /// Says what a purge would hit, and does nothing.
    pub async fn forecast(&self, request: PurgeRequest) -> Response<ResponseBody> {
        let settings = self.settings.current();
        let selectors = match request.selectors(settings.purge.max_selectors) {
            Ok(selectors) => selectors,
            Err(error) => return refuse(&error),
        };
        let mode = request.mode.unwrap_or(settings.purge.default_mode);
        let report = preview(&self.executor, request.id, selectors, mode).await;
        let mut document = serde_json::to_value(&report).unwrap_or_default();
        if let Some(fields) = document.as_object_mut() {
            fields.insert("dry_run".to_owned(), true.into());
            let has_file = self.executor.store.cold().is_some();
            fields.insert("is_lower_bound".to_owned(), has_file.into());
        }
        json(StatusCode::OK, document.to_string().into_bytes(), "application/json")
    }

    /// Carries a purge out and answers with its report, or says what is wrong with it.
    pub async fn answer(
        &self,
        request: Result<PurgeRequest, RequestError>,
        sender: PurgeSender,
    ) -> Response<ResponseBody> {
        let settings = self.settings.current();
        let rules = &settings.purge;
        let selectors = request.and_then(|request| {
            let selectors = request.selectors(rules.max_selectors)?;
            Ok((request, selectors))
        });
        match selectors {
            Ok((request, selectors)) => {
                let mode = request.mode.unwrap_or(rules.default_mode);
                let (kept, reason) = (kept(&selectors), request.reason);
                match self.executor.apply(request.id, selectors, mode, sender.source).await {
                    Ok(mut report) => {
                        tracing::info!(
                            mode = word_of(mode),
                            named = kept.0,
                            selectors = report.selectors.len(),
                            objects = report.matched.objects,
                            took_us = report.took_us,
                            source = sender.source.as_str(),
                            client = sender.client,
                            reason,
                            id = report.id,
                            "purged"
                        );
                        note_purge(&self.executor, sender, kept, &report, reason);
                        let listen = &self.settings.current().listen;
                        report.hint = self.hints.of(&report, &self.executor, listen);
                        answer(&report)
                    }
                    Err(error @ JournalError::HandedOver) => {
                        problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
                    }
                    Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
                }
            }
            Err(error) => {
                self.executor.metrics.refused.add(1);
                refuse(&error)
            }
        }
    }
}

pub const PURGE: &str = "PURGE";

fn answer(report: &PurgeReport) -> Response<ResponseBody> {
    let mut response =
        json(StatusCode::OK, serde_json::to_vec(report).unwrap_or_default(), "application/json");
    let count = HeaderValue::from(report.matched.objects);
    response.headers_mut().insert(HeaderName::from_static("x-purged-count"), count);
    response
}

/// Answers as RFC 9457 says.
fn refuse(error: &RequestError) -> Response<ResponseBody> {
    let status = match error {
        RequestError::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        RequestError::Foreign(Foreign::Method(_)) => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = problem(status, &error.to_string());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allow = HeaderValue::from_static("GET, HEAD, POST, PURGE, PURGEKEYS, BAN");
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Answers as RFC 9457 says, with a code for programs.
pub fn problem(status: StatusCode, detail: &str) -> Response<ResponseBody> {
    problem_with(status, detail, None)
}

/// The same, with advice.
pub fn problem_with(
    status: StatusCode,
    detail: &str,
    hint: Option<&str>,
) -> Response<ResponseBody> {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::CONFLICT => "conflict",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "failed",
    };
    let mut document = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    if let (Some(hint), Some(fields)) = (hint, document.as_object_mut()) {
        fields.insert("hint".to_owned(), hint.into());
    }
    json(status, document.to_string().into_bytes(), "application/problem+json")
}

pub fn json(
    status: StatusCode,
    mut text: Vec<u8>,
    content_type: &'static str,
) -> Response<ResponseBody> {
    text.push(b'\n');
    let mut response = Response::new(ResponseBody::whole(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
