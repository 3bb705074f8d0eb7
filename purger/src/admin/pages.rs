//! The pages for people: the fleet with its current values, and the files that it is made of.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;

use super::fleet_status::FleetView;

/// Answers a request for the page or a file of it, or returns `None` if it is for none.
pub(super) async fn answer(
    view: &FleetView,
    path: &str,
    fields: &HeaderMap,
) -> Option<Response<Full<Bytes>>> {
    let response = if path == "/" {
        let fleet = serde_json::to_value(&*view.status().await).unwrap_or_default();
        Some(dashboard::page(dashboard::purger(&fleet)))
    } else {
        dashboard::file(path, fields)
    };
    response.map(|response| response.map(Full::new))
}
