//! `/api/v1/purges`: the last purges, the newest first.

use http::{Response, StatusCode};
use serde_json::json;

use crate::app::App;
use crate::live::purges::PURGES_MAX;
use crate::purge::endpoint::{json, problem};
use crate::response::body::ResponseBody;

pub(super) fn purges(app: &App, query: Option<&str>) -> Response<ResponseBody> {
    let Some(limit) = limit(query.unwrap_or_default()) else {
        let detail = format!("The only parameter is limit, 1 to {PURGES_MAX}.");
        return problem(StatusCode::BAD_REQUEST, &detail);
    };
    // Numbers begin again with each process.
    let process = app.purge_log.log_status().instance;
    let document = json!({"process": process, "purges": app.live.purges.last(limit)});
    json(StatusCode::OK, document.to_string().into_bytes(), "application/json")
}

fn limit(query: &str) -> Option<usize> {
    if query.is_empty() {
        return Some(LIMIT_DEFAULT);
    }
    let limit = query.strip_prefix("limit=")?.parse().ok()?;
    (1..=PURGES_MAX).contains(&limit).then_some(limit)
}

pub(super) const PATH: &str = "/api/v1/purges";
const LIMIT_DEFAULT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_purges_that_are_remembered() {
        assert_eq!([limit(""), limit("limit=5")], [Some(100), Some(5)]);
        for wrong in ["limit=0", "limit=1001", "limit", "other=1"] {
            assert_eq!(limit(wrong), None, "{wrong}");
        }
    }
}
