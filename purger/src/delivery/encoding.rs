//! The body of a batch. Its purges were encoded once, when their records were read, and are copied
//! for each proxy.

use bytes::{BufMut as _, Bytes, BytesMut};
use purge_protocol::log::{Batch, Start};

use crate::partition::Partition;
use crate::partition::window::Slice;

/// The moment as of which a proxy has applied every purge, once it has applied the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CleanSince {
    /// Milliseconds before the batch was encoded.
    pub(super) ms: Option<u64>,
    pub(super) at: Option<u64>,
}

/// Encodes a batch that covers a slice, for the proxy's process `instance`.
pub(super) fn batch(
    partition: &Partition,
    purger: &str,
    instance: &str,
    slice: &Slice,
    start: Option<Start>,
    clean: CleanSince,
) -> Bytes {
    let head = Batch {
        log: partition.log.clone(),
        partitions: partition.partitions(),
        from: slice.from,
        to: slice.to,
        last: slice.last,
        clean_ms: clean.ms,
        clean_at: clean.at,
        end: partition.last_end_offset().map(|end_offset| end_offset.high),
        start,
        instance: Some(instance.to_owned()).filter(|instance| !instance.is_empty()),
        purger: purger.to_owned(),
        purges: Vec::new(),
    };
    // A struct of strings and numbers always serializes.
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let Some(open) = head.strip_suffix(END) else { return Bytes::new() };
    let content: usize = slice.purges.iter().map(|(_, purge)| purge.len() + 1).sum();
    let mut body = BytesMut::with_capacity(head.len() + content);
    body.put_slice(open);
    for (index, (_, purge)) in slice.purges.iter().enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(purge);
    }
    body.put_slice(END);
    body.freeze()
}

const END: &[u8] = b"]}";

#[cfg(test)]
mod tests {
    use purge_protocol::log::LogId;
    use tokio::time::Instant;

    use super::*;
    use crate::partition::end_offsets::EndOffset;
    use crate::partition::window::WindowLimits;

    #[test]
    fn copied_purges_make_a_batch_that_is_read_back() {
        let log = LogId { cluster: "c\"".into(), topic: "t".into(), partition: 1 };
        let partition = Partition::open(
            log.clone(),
            WindowLimits { records: 9, bytes: 1 << 20, batch: 1 << 20 },
        );
        partition.record_end_offset(EndOffset { at: Instant::now(), high: 12 });
        let clean = CleanSince { ms: Some(1), at: Some(77) };
        let purge = |offset: i64| {
            (offset, Bytes::from(format!(r#"{{"offset":{offset},"tags":["a]}}"]}}"#)))
        };
        for purges in [vec![], vec![purge(4)], vec![purge(4), purge(6)]] {
            let slice =
                Slice { from: 3, to: 8, last: Some(7), purges: purges.clone(), is_urgent: false };
            let body = batch(&partition, "p", "i", &slice, Some(Start::Adopt), clean);
            let read: Batch = serde_json::from_slice(&body).unwrap();
            assert_eq!((read.log, read.from, read.to, read.last), (log.clone(), 3, 8, Some(7)));
            assert_eq!((read.purges.len(), read.end), (purges.len(), Some(12)));
            assert!(read.purges.iter().all(|purge| purge.request.tags == ["a]}"]));
        }
    }
}
