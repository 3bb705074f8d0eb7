//! The bytes of an origin's connection after one request: what passes does not depend on how it was
//! cut.

use shellac::testing::framing::responses::Responses;
use shellac::testing::framing::{HeadLimits, Violation};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 512, fields_max: 8 };

pub(crate) fn run(data: &[u8]) {
    let (piece, stream) = data.split_first().unwrap_or((&0, &[]));
    for is_to_head in [false, true] {
        let (whole, violation) = pass(stream, stream.len().max(1), is_to_head);
        let (pieces, in_pieces) = pass(stream, usize::from(*piece % 32) + 1, is_to_head);
        assert_eq!(violation.is_some(), in_pieces.is_some());
        // Content that is broken passes up to where it breaks, which is found later in a larger
        // piece.
        assert!(pieces.starts_with(&whole) || whole.starts_with(&pieces));
        assert!(stream.starts_with(&whole) && stream.starts_with(&pieces));
    }
}

fn pass(stream: &[u8], piece: usize, is_to_head: bool) -> (Vec<u8>, Option<Violation>) {
    let mut responses = Responses::new(LIMITS);
    responses.expect(is_to_head).unwrap();
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        held.extend_from_slice(bytes);
        let (count, violation) = responses.pass(&held);
        passed.extend(held.drain(..count));
        if violation.is_some() {
            return (passed, violation);
        }
    }
    (passed, None)
}
