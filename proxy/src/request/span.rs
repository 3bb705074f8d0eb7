//! `RequestSpan`: a request's place in a trace, and the ids of what is done for it here.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::field::trace_context::{TRACEPARENT, TraceParent};

/// Says more of a trace to those who know its vendor. It is of no use with another `traceparent`.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The spans of one request whose trace is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSpan {
    pub trace: TraceId,
    /// The span of the client that asked, if it has one.
    pub parent: Option<SpanId>,
    /// The span from the request's head to the response's end.
    pub own: SpanId,
    /// The span of the exchange with the origin, which the origin is told.
    pub exchange: SpanId,
    /// The request is on its way to the origin.
    pub is_forwarded: bool,
    /// The exchange of another request, whose response this one got.
    pub joined: Option<SpanContext>,
}

/// The name of a span in the whole system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    pub trace: TraceId,
    pub span: SpanId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub u128);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub u64);

impl RequestSpan {
    /// Begins the spans of a request with these fields: if its client says that the trace is
    /// recorded, or if it says nothing and chance wants so, in `share` of a million cases.
    pub fn begin(fields: &HeaderMap, share: u32) -> Option<Self> {
        let field = fields.get(TRACEPARENT).and_then(|value| TraceParent::parse(value.as_bytes()));
        let (trace, parent) = match field {
            Some(parent) if !parent.is_sampled => return None,
            Some(known) => {
                let trace = u128::from_str_radix(known.trace_id, 16).ok()?;
                let parent = u64::from_str_radix(known.parent_id, 16).ok()?;
                (TraceId(trace), Some(SpanId(parent)))
            }
            None if random() % MILLION >= u64::from(share) => return None,
            None => (TraceId(uuid::Uuid::new_v4().as_u128()), None),
        };
        let (own, exchange) = (SpanId::random(), SpanId::random());
        Some(Self { trace, parent, own, exchange, is_forwarded: false, joined: None })
    }

    /// Tells the origin that the exchange with it is its caller.
    pub fn forward(&mut self, fields: &mut HeaderMap) {
        self.is_forwarded = true;
        self.write(fields, self.exchange);
    }

    /// Returns the span of the exchange with the origin, if there is one.
    pub fn forwarded(&self) -> Option<SpanContext> {
        let Self { trace, exchange: span, .. } = *self;
        self.is_forwarded.then_some(SpanContext { trace, span })
    }

    /// Tells the origin of a fetch in the background that this request is its caller.
    pub fn call(&self, fields: &mut HeaderMap) {
        self.write(fields, self.own);
    }

    fn write(&self, fields: &mut HeaderMap, caller: SpanId) {
        if self.parent.is_none() {
            fields.remove(TRACESTATE); // of a `traceparent` that is none
        }
        if let Ok(value) = HeaderValue::try_from(format!("00-{}-{caller}-01", self.trace)) {
            fields.insert(TRACEPARENT, value);
        }
    }
}

impl SpanId {
    fn random() -> Self {
        Self(random().max(1))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The bits of a UUID that are not random lie in different places of its halves.
fn random() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    high.rotate_left(16) ^ low
}

const MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn fields(traceparent: &str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(TRACEPARENT, HeaderValue::try_from(traceparent).unwrap());
        fields.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        fields
    }

    fn told(fields: &HeaderMap) -> (String, String) {
        let parent = TraceParent::parse(fields[TRACEPARENT].as_bytes()).unwrap();
        assert!(parent.is_sampled);
        (parent.trace_id.to_owned(), parent.parent_id.to_owned())
    }

    #[test]
    fn the_callers_trace_goes_on_with_spans_of_ours() {
        let mut known = fields(&format!("00-{TRACE}-b7ad6b7169203331-01"));
        let mut span = RequestSpan::begin(&known, 0).unwrap();
        assert_eq!(span.trace.to_string(), TRACE);
        assert_eq!(span.parent.unwrap().to_string(), "b7ad6b7169203331");

        span.forward(&mut known);
        assert_eq!(told(&known), (TRACE.to_owned(), span.exchange.to_string()));
        assert!(span.is_forwarded && known.contains_key(TRACESTATE));
        span.call(&mut known);
        assert_eq!(told(&known), (TRACE.to_owned(), span.own.to_string()));
        assert_ne!(span.own, span.exchange);
    }

    #[test]
    fn a_caller_that_does_not_record_has_no_spans_whatever_the_share() {
        let known = fields(&format!("00-{TRACE}-b7ad6b7169203331-00"));
        assert_eq!(RequestSpan::begin(&known, 1_000_000), None);
    }

    #[test]
    fn chance_decides_where_nobody_has_begun_a_trace() {
        assert_eq!(RequestSpan::begin(&HeaderMap::new(), 0), None);
        let mut broken = fields("00-what");
        let mut span = RequestSpan::begin(&broken, 1_000_000).unwrap();
        assert_eq!(span.parent, None);
        span.forward(&mut broken);
        assert_eq!(told(&broken).0, span.trace.to_string());
        assert!(!broken.contains_key(TRACESTATE), "it belonged to the broken one");
        let half = (0..1000).filter(|_| RequestSpan::begin(&HeaderMap::new(), 500_000).is_some());
        let half = half.count();
        assert!((350..650).contains(&half), "{half}");
    }
}
