//! Server-sent events: `/api/v1/stream/stats`, `purges` and `log`. A task for each client waits for
//! what is new and hands it over.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use tokio::time::sleep;

use super::body::AdminBody;
use super::{live, log_stream};
use crate::app::App;
use crate::client::busy::Busy;
use crate::live::streams::{EventReceiver, EventSender, STREAMS_MAX};
use crate::purge::endpoint::problem;

/// Answers a request for a stream, or returns what keeps its connection busy: it is for something
/// else.
pub(super) fn answer(
    app: &Arc<App>,
    parts: &Parts,
    busy: Busy,
) -> Result<Response<AdminBody>, Busy> {
    let path = parts.uri.path();
    if parts.method != Method::GET {
        return Err(busy);
    }
    match path {
        STATS | PURGES => {}
        log_stream::PATH => return Ok(log(app, parts, busy)),
        _ => return Err(busy),
    }
    let Some(seconds) = live::seconds(parts.uri.query()) else {
        return Ok(problem(StatusCode::BAD_REQUEST, &live::wanted()).map(AdminBody::from));
    };
    let Some((sender, receiver)) = app.live.streams.open() else { return Ok(too_many()) };
    let (app, last) = (Arc::clone(app), last_event(parts).map(str::to_owned));
    if path == STATS {
        let last = last.and_then(|last| last.parse().ok());
        tokio::spawn(stats(app, sender, last, seconds));
    } else {
        tokio::spawn(purges(app, sender, last));
    }
    Ok(response(receiver, busy))
}

fn log(app: &Arc<App>, parts: &Parts, busy: Busy) -> Response<AdminBody> {
    let query = match log_stream::query(parts.uri.query()) {
        Ok(query) => query,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, &detail).map(AdminBody::from),
    };
    let Some((sender, receiver)) = app.live.streams.open() else { return too_many() };
    tokio::spawn(log_stream::follow(Arc::clone(app), sender, query));
    response(receiver, busy)
}

fn too_many() -> Response<AdminBody> {
    let detail = format!("There are {STREAMS_MAX} streams of events already: end one of them.");
    problem(StatusCode::SERVICE_UNAVAILABLE, &detail).map(AdminBody::from)
}

fn response(receiver: EventReceiver, busy: Busy) -> Response<AdminBody> {
    let mut response = Response::new(AdminBody::Events { receiver, _busy: busy });
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The last event that the client has seen.
fn last_event(parts: &Parts) -> Option<&str> {
    parts.headers.get("last-event-id")?.to_str().ok().map(str::trim)
}

/// Returns the number of a purge after which a client goes on. That of another process tells
/// nothing of this one's; a number alone is taken for this one's.
fn purge_number(last: &str, process: &str) -> Option<u64> {
    let number = match last.rsplit_once('.') {
        Some((other, number)) => Some(number).filter(|_| other == process)?,
        None => last,
    };
    number.parse().ok()
}

/// Sends a snapshot at once, unless the client has seen it, and one each second.
async fn stats(app: Arc<App>, sender: EventSender, mut last: Option<u64>, seconds: usize) {
    let mut numbers = app.live.numbers();
    if !sender.send(Bytes::from_static(BEGIN)).await {
        return;
    }
    loop {
        let number = *numbers.borrow_and_update();
        if last != Some(number) {
            last = Some(number);
            let event = event("stats", &number.to_string(), &live::text(&app, seconds));
            if !sender.send(event).await {
                return;
            }
        }
        tokio::select! {
            changed = numbers.changed() => if changed.is_err() { return },
            () = sleep(HEARTBEAT) => if !sender.send(Bytes::from_static(COMMENT)).await { return },
            () = sender.closed() => return,
            () = app.is_handed_over() => return,
        }
    }
}

/// Sends purges after the last that the client has seen: those that are remembered, then the others
/// as they come.
async fn purges(app: Arc<App>, sender: EventSender, last: Option<String>) {
    let mut newest = app.live.purges.newest();
    let process = app.purge_log.log_status().instance;
    let last = last.and_then(|last| purge_number(&last, &process));
    let mut last = last.filter(|last| *last <= *newest.borrow()).unwrap_or(0);
    if !sender.send(Bytes::from_static(BEGIN)).await {
        return;
    }
    loop {
        newest.borrow_and_update();
        for purge in app.live.purges.after(last) {
            last = purge.id;
            let text = serde_json::to_vec(&purge).unwrap_or_default();
            let id = format!("{process}.{last}");
            if !sender.send(event("purge", &id, &text)).await {
                return;
            }
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = sleep(HEARTBEAT) => if !sender.send(Bytes::from_static(COMMENT)).await { return },
            () = sender.closed() => return,
            () = app.is_handed_over() => return,
        }
    }
}

/// Writes an event whose data is one line.
fn event(name: &str, id: &str, data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 64);
    event.put_slice(format!("event: {name}\nid: {id}\ndata: ").as_bytes());
    event.put_slice(data);
    event.put_slice(b"\n\n");
    event.freeze()
}

pub(super) const PURGES: &str = "/api/v1/stream/purges";
pub(super) const STATS: &str = "/api/v1/stream/stats";
/// The longest silence: proxies between the two close connections that say nothing.
const HEARTBEAT: Duration = Duration::from_secs(15);
const BEGIN: &[u8] = b"retry: 2000\n\n";
const COMMENT: &[u8] = b": nothing new\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_name_a_number_and_one_line() {
        let event = event("stats", "7", b"{}");
        assert_eq!(event, "event: stats\nid: 7\ndata: {}\n\n");
    }

    #[test]
    fn a_purge_of_another_process_is_none_to_go_on_from() {
        assert_eq!(purge_number("a-1.7", "a-1"), Some(7));
        assert_eq!(purge_number("7", "a-1"), Some(7));
        for other in ["b-2.7", "a-1.x", "a-1.", ".7", "", "a-1"] {
            assert_eq!(purge_number(other, "a-1"), None, "{other}");
        }
    }
}
