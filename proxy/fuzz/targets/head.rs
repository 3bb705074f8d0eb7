//! Heads as the corpus has them: `name: value` lines, and an empty line between one head and the
//! next.

use http::{HeaderMap, HeaderName, HeaderValue};
use process::timestamp::Timestamp;

/// 1994-11-06 08:49:37.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(784_111_777);

/// Splits at the first empty line; without one the second part is empty.
pub(crate) fn split_at_empty_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    end.and_then(|end| Some((data.get(..end)?, data.get(end + 2..)?))).unwrap_or((data, &[]))
}

pub(crate) fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    (line, rest.strip_prefix(b"\n").unwrap_or(rest))
}

/// Reads the lines that are fields; what is none is skipped, as there are sixty-four of one name at
/// most.
pub(crate) fn fields(data: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

/// Returns the head with each value changed.
pub(crate) fn map_values(fields: &HeaderMap, change: impl Fn(&[u8]) -> Vec<u8>) -> HeaderMap {
    let mut changed = HeaderMap::new();
    for (name, value) in fields {
        let value = change(value.as_bytes());
        changed.append(name, HeaderValue::from_bytes(&value).expect("it stays a field value"));
    }
    changed
}
