//! `/api/v1/explain`: why a request is answered as it is.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::app::App;
use crate::explain::{self, ExplainQuestion};
use crate::purge::endpoint::{json, problem};
use crate::response::body::ResponseBody;

pub(super) const PATH: &str = "/api/v1/explain";
/// Bytes of a question.
pub(super) const CONTENT_MAX: u64 = 64 << 10;

pub(super) async fn answer(app: &App, content: &Bytes) -> Response<ResponseBody> {
    let question: ExplainQuestion = match serde_json::from_slice(content) {
        Ok(question) => question,
        Err(error) => {
            let detail = format!(
                "The content is a JSON object with url, and perhaps method, headers (pairs), fetch, listener, peer: {error}."
            );
            return problem(StatusCode::BAD_REQUEST, &detail);
        }
    };
    match explain::answer(&app.front, &question).await {
        Ok(document) => json(StatusCode::OK, document.to_string().into_bytes(), "application/json"),
        Err(unanswerable) => problem(StatusCode::UNPROCESSABLE_ENTITY, &unanswerable.0),
    }
}
