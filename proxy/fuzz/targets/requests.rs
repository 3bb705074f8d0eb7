//! The bytes of a client's connection: what passes is the same however it was cut, and what is
//! behind it is refused for good.

use shellac::testing::framing::HeadLimits;
use shellac::testing::framing::requests::{RequestViolation, Requests};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 512, fields_max: 8 };

pub(crate) fn run(data: &[u8]) {
    let (piece, stream) = data.split_first().unwrap_or((&0, &[]));
    let (whole, refused) = pass(stream, stream.len().max(1));
    let (pieces, refused_in_pieces) = pass(stream, usize::from(*piece % 32) + 1);
    assert_eq!(refused.is_some(), refused_in_pieces.is_some());
    assert!(pieces.starts_with(&whole), "cut in pieces, less passes");
    if let (None, Some(RequestViolation::Request(..))) = (refused, refused_in_pieces) {
        panic!("a request is refused only where it was cut");
    }
    let again = pass(&whole, whole.len().max(1));
    assert!(again.0.len() <= whole.len() && again.1.is_none(), "what passed does not pass again");
}

fn pass(stream: &[u8], piece: usize) -> (Vec<u8>, Option<RequestViolation>) {
    let mut requests = Requests::new(LIMITS);
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        held.extend_from_slice(bytes);
        loop {
            let now = requests.pass(&held);
            passed.extend(held.drain(..now.bytes));
            if now.refusal.is_some() {
                return (passed, now.refusal);
            }
            if !requests.is_undecided() {
                break;
            }
            requests.decide(false);
        }
        assert!(held.len() <= LIMITS.head_bytes_max + (2 << 10), "too much is held back");
    }
    (passed, None)
}
