//! `/api/v1/stream/log`: requests as they end, as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use settings::{AccessFormat, RecordFilter};
use tokio::time::sleep;

use crate::app::App;
use crate::live::streams::EventSender;
use crate::log::{LogBatch, LogQuery, LogReader};

pub(super) const PATH: &str = "/api/v1/stream/log";

/// Reads `filter` (again and again: all have to hold), `sample` and `format`.
pub(super) fn query(query: Option<&str>) -> Result<LogQuery, String> {
    let mut read = LogQuery { filters: Vec::new(), sample: 1_000_000, format: AccessFormat::Json };
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = decoded(value);
        match name {
            "filter" => read.filters.push(
                RecordFilter::parse(&value)
                    .map_err(|error| format!("`filter` is none: {error}."))?,
            ),
            "sample" => {
                read.sample = settings::share_of(&value)
                    .ok_or("`sample` is a share, such as 1%: write it as `sample=1%25`.")?;
            }
            "format" if value == "json" => read.format = AccessFormat::Json,
            "format" if value == "combined" => read.format = AccessFormat::combined(),
            _ => {
                return Err(
                    "The parameters are filter, sample, and format: json or combined.".to_owned()
                );
            }
        }
    }
    Ok(read)
}

/// Sends lines as they come. A client that is too slow loses lines, and is told how many.
pub(super) async fn follow(app: Arc<App>, sender: EventSender, query: LogQuery) {
    let reader: LogReader = app.logs.live().follow(query);
    if !sender.send(Bytes::from_static(BEGIN)).await {
        return;
    }
    let mut number = 0;
    loop {
        tokio::select! {
            batch = reader.next() => {
                if !sender.send(events(&batch, &mut number)).await {
                    return;
                }
            }
            () = sleep(HEARTBEAT) => if !sender.send(Bytes::from_static(COMMENT)).await { return },
            () = sender.closed() => return,
            () = app.is_handed_over() => return,
        }
    }
}

/// Writes an event for each line, and one for those that are missing.
fn events(batch: &LogBatch, number: &mut u64) -> Bytes {
    let mut events = BytesMut::new();
    for line in &batch.lines {
        *number += 1;
        events.put_slice(format!("event: log\nid: {number}\ndata: ").as_bytes());
        events.put_slice(line);
        events.put_slice(b"\n\n");
    }
    if batch.dropped > 0 {
        let data = format!("event: dropped\ndata: {{\"dropped\":{}}}\n\n", batch.dropped);
        events.put_slice(data.as_bytes());
    }
    events.freeze()
}

/// Decodes a value of a query.
fn decoded(text: &str) -> String {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = text.as_bytes();
    let mut all = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2)));
        match (byte, pair) {
            (b'%', (Some(high), Some(low))) => {
                all.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            (byte, _) => {
                all.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

const HEARTBEAT: Duration = Duration::from_secs(15);
/// The comment makes the head leave at once.
const BEGIN: &[u8] = b"retry: 2000\n: requests follow as they end\n\n";
const COMMENT: &[u8] = b": nothing new\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_filters_a_share_and_a_format() {
        let read =
            query(Some("filter=status%3E%3D500+or+misses&filter=host=a&sample=1%25")).unwrap();
        let filters: Vec<&str> = read.filters.iter().map(RecordFilter::as_str).collect();
        assert_eq!(filters, ["status>=500 or misses", "host=a"]);
        assert_eq!((read.sample, read.format), (10_000, AccessFormat::Json));
        for wrong in ["filter=slow", "sample=2", "format=xml", "x=1", "x"] {
            assert!(query(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn missing_lines_are_told() {
        let batch = LogBatch { lines: vec![b"{}".to_vec()], dropped: 7 };
        let expected = "event: log\nid: 1\ndata: {}\n\nevent: dropped\ndata: {\"dropped\":7}\n\n";
        assert_eq!(events(&batch, &mut 0), expected);
    }
}
