//! The responses with the page and with its files.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{Response, StatusCode};

use crate::asset::Asset;
use crate::page::Page;
use crate::protect;

pub fn page(Page(text): Page) -> Response<Bytes> {
    respond(StatusCode::OK, "text/html; charset=utf-8", text.into())
}

/// Answers a request with these fields for the file at a path that begins with `/assets/`: 304
/// where the client has it. `None`: there is no such file.
pub fn file(path: &str, fields: &HeaderMap) -> Option<Response<Bytes>> {
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

fn respond(status: StatusCode, content_type: &'static str, content: Bytes) -> Response<Bytes> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    protect(response.headers_mut());
    response
}
