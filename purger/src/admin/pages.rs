//! The pages for people: the fleet with its current values, and the files that it is made of.

use bytes::Bytes;
use dashboard::{Asset, Page};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use super::fleet_status::FleetView;

/// Answers a request for the page or a file of it, or returns `None` if it is for none.
pub(super) async fn answer(
    view: &FleetView,
    path: &str,
    fields: &HeaderMap,
) -> Option<Response<Full<Bytes>>> {
    if path == "/" {
        let fleet = serde_json::to_value(&*view.status().await).unwrap_or_default();
        let Page(text) = dashboard::purger(&fleet);
        return Some(respond(StatusCode::OK, "text/html; charset=utf-8", Bytes::from(text)));
    }
    let asset = Asset::find(path)?;
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
    Some(response)
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    content: Bytes,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    dashboard::protect(response.headers_mut());
    response
}
