//! `RecordSinks`: those who take the records of requests, replaced while the proxy runs.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use crate::cache::record::RequestRecord;
use crate::client::peer::Peer;
use crate::request::details::RequestDetails;
use crate::request::span::RequestSpan;

pub trait RecordSink: std::fmt::Debug + Send + Sync {
    /// Returns what this sink needs of each record. It is asked once, when it is added.
    fn wants(&self) -> Wants {
        Wants::default()
    }

    /// Takes the record of one request. Is called where the request was served: it must not block.
    fn take(&self, record: &RequestRecord);
}

/// Parts of records that are made only where a sink asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The request's head, its client, and how long everything took.
    pub details: bool,
    /// Fields of responses, in the details.
    pub response_fields: Vec<HeaderName>,
    /// Spans: of traces that begin here, of so many in a million.
    pub spans: Option<u32>,
}

/// The sinks by name. A worker reads its own copy of the list, and replaces it when the number has
/// changed: a request costs one relaxed load, and no two cores share a reference count.
#[derive(Debug, Default)]
pub struct RecordSinks {
    /// 0 while there is no sink.
    number: AtomicU64,
    current: Mutex<SinkList>,
}

#[derive(Clone, Debug, Default)]
pub struct SinkList {
    number: u64,
    sinks: Vec<(&'static str, Arc<dyn RecordSink>)>,
    wants: Wants,
}

impl RecordSinks {
    /// Puts a sink in the place of the one with its name, or takes that one away. A record that is
    /// being made meanwhile still goes to the sinks of its request's beginning.
    pub fn replace(&self, name: &'static str, sink: Option<Arc<dyn RecordSink>>) {
        let mut current = self.current.lock();
        current.sinks.retain(|(own, _)| *own != name);
        current.sinks.extend(sink.map(|sink| (name, sink)));
        let mut wants = Wants::default();
        for (_, sink) in &current.sinks {
            let Wants { details, response_fields, spans } = sink.wants();
            wants.details |= details;
            wants.spans = wants.spans.or(spans);
            wants.response_fields.extend(response_fields);
        }
        wants.response_fields.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        wants.response_fields.dedup();
        wants.details |= !wants.response_fields.is_empty();
        current.wants = wants;
        current.number =
            if current.sinks.is_empty() { 0 } else { NEXT.fetch_add(1, Ordering::Relaxed) };
        self.number.store(current.number, Ordering::Release);
    }

    /// Returns this worker's copy of the list; `None` where nobody takes records.
    #[inline]
    pub(super) fn local(&self) -> Option<Arc<SinkList>> {
        match self.number.load(Ordering::Relaxed) {
            0 => None,
            number => Some(self.copy_of(number)),
        }
    }

    /// Begins the details of a request, if a sink asks for them or for spans that it has.
    pub(super) fn details(
        &self,
        parts: Option<&Parts>,
        peer: &Arc<Peer>,
    ) -> Option<Box<RequestDetails>> {
        let list = self.local()?;
        let traced = list.wants.spans.zip(parts);
        let span = traced.and_then(|(share, parts)| RequestSpan::begin(&parts.headers, share));
        let is_wanted = list.wants.details || span.is_some();
        is_wanted.then(|| Box::new(RequestDetails { span, ..RequestDetails::begin(parts, peer) }))
    }

    #[cold]
    fn copy_of(&self, number: u64) -> Arc<SinkList> {
        LOCAL.with_borrow_mut(|local| match local {
            Some(list) if list.number == number => Arc::clone(list),
            _ => Arc::clone(local.insert(Arc::new(self.current.lock().clone()))),
        })
    }
}

impl SinkList {
    /// Returns the fields of a response that a sink asks for.
    pub(super) fn fields_of(&self, fields: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let wanted = self.wants.response_fields.iter();
        let found = wanted.flat_map(|name| {
            fields.get_all(name).iter().map(|value| (name.clone(), value.clone()))
        });
        found.collect()
    }

    pub(super) fn take(&self, record: &RequestRecord) {
        for (_, sink) in &self.sinks {
            sink.take(record);
        }
    }
}

/// The number of the next list, at least 1: lists of several proxies in one process differ, too.
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static LOCAL: RefCell<Option<Arc<SinkList>>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wanting(Wants);

    impl RecordSink for Wanting {
        fn wants(&self) -> Wants {
            self.0.clone()
        }

        fn take(&self, _record: &RequestRecord) {}
    }

    fn wanting(fields: &[&'static str]) -> Arc<dyn RecordSink> {
        let response_fields = fields.iter().copied().map(HeaderName::from_static).collect();
        Arc::new(Wanting(Wants { response_fields, ..Wants::default() }))
    }

    #[test]
    fn nobody_makes_a_record_that_no_sink_takes() {
        let sinks = RecordSinks::default();
        assert!(sinks.local().is_none());
        sinks.replace("log", Some(wanting(&[])));
        assert!(sinks.local().is_some_and(|list| !list.wants.details));
        sinks.replace("log", None);
        assert!(sinks.local().is_none());
    }

    #[test]
    fn sinks_get_what_any_of_them_asks_for_once() {
        let sinks = RecordSinks::default();
        sinks.replace("log", Some(wanting(&["etag", "age"])));
        sinks.replace("live", Some(wanting(&["age"])));
        let list = sinks.local().unwrap();
        assert_eq!(list.wants.response_fields, ["age", "etag"]);
        assert!(list.wants.details, "the fields are kept in the details");
        assert!(Arc::ptr_eq(&list, &sinks.local().unwrap()), "a worker keeps its copy");

        sinks.replace("log", Some(wanting(&[])));
        assert_eq!(sinks.local().unwrap().wants.response_fields, ["age"], "it was replaced");
        assert_eq!(sinks.local().unwrap().sinks.len(), 2);
    }
}
