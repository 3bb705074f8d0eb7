//! `traceparent` (W3C Trace Context): which trace a request belongs to. It passes through as it is.

use http::HeaderName;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The parts of a `traceparent` of version 00, or the same parts of a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent<'a> {
    /// 32 hexadecimal digits.
    pub trace_id: &'a str,
    /// The caller's span: 16 hexadecimal digits.
    pub parent_id: &'a str,
    pub is_sampled: bool,
}

impl<'a> TraceParent<'a> {
    /// Reads a value; `None` if it is none, which is then passed on all the same.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split('-');
        let (version, trace_id) = (parts.next()?, parts.next()?);
        let (parent_id, flags) = (parts.next()?, parts.next()?);
        let is_only = parts.next().is_none();
        let is_hex = |part: &str, length: usize| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            part.len() == length && part.bytes().all(is_digit)
        };
        let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|it| it != b'0');
        let is_version = is_hex(version, 2) && version != "ff" && (version != "00" || is_only);
        let is_sound =
            is_version && is_id(trace_id, 32) && is_id(parent_id, 16) && is_hex(flags, 2);
        let is_sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0);
        is_sound.then_some(Self { trace_id, parent_id, is_sampled })
    }
}

/// Returns the id of the trace that a field names.
pub fn trace_id(value: &[u8]) -> Option<&str> {
    TraceParent::parse(value).map(|parent| parent.trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_parent_is_read_as_the_recommendation_says() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let sound = format!("00-{id}-b7ad6b7169203331-01");
        let parent = TraceParent::parse(sound.as_bytes()).unwrap();
        assert_eq!((parent.trace_id, parent.parent_id), (id, "b7ad6b7169203331"));
        assert!(parent.is_sampled);
        let later = format!("cc-{id}-b7ad6b7169203331-00-what");
        assert!(!TraceParent::parse(later.as_bytes()).unwrap().is_sampled);
        for wrong in [
            format!("ff-{id}-b7ad6b7169203331-01"),
            format!("00-{id}-b7ad6b7169203331-01-x"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()),
            format!("00-{id}-0000000000000000-01"),
            format!("00-{id}-b7ad6b7169203331"),
            String::new(),
        ] {
            assert_eq!(trace_id(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
