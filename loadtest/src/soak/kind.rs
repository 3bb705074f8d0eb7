//! `Kind`: what an exchange is about, and how often it happens.

use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hit,
    Miss,
    Chunked,
    Head,
    Range,
    Ranges,
    Conditional,
    Vary,
    Short,
    Uncacheable,
    Slow,
    Early,
    Post,
    PostChunked,
    Truncated,
    Surplus,
    Abort,
    AbortUpload,
    Pipelined,
    Malformed,
    PurgeTag,
    PurgeUrl,
    Tunnel,
    Http2,
}

impl Kind {
    /// All of them, with how many of a thousand choices of a client of HTTP/1.1 they are.
    pub(crate) const ALL: [(Self, &'static str, u64); 24] = [
        (Self::Hit, "hit", 330),
        (Self::Miss, "miss", 80),
        (Self::Chunked, "chunked", 50),
        (Self::Head, "head", 50),
        (Self::Range, "range", 60),
        (Self::Ranges, "ranges", 30),
        (Self::Conditional, "conditional", 60),
        (Self::Vary, "vary", 60),
        (Self::Short, "one second", 40),
        (Self::Uncacheable, "uncacheable", 50),
        (Self::Slow, "slow", 10),
        (Self::Early, "1xx", 20),
        (Self::Post, "post", 40),
        (Self::PostChunked, "post chunked", 30),
        (Self::Truncated, "truncated", 15),
        (Self::Surplus, "surplus", 15),
        (Self::Abort, "abort", 10),
        (Self::AbortUpload, "abort upload", 5),
        (Self::Pipelined, "pipelined", 20),
        (Self::Malformed, "malformed", 13),
        (Self::PurgeTag, "purge tag", 5),
        (Self::PurgeUrl, "purge url", 5),
        (Self::Tunnel, "tunnel", 2),
        (Self::Http2, "http/2", 0),
    ];

    pub(crate) fn chosen_by(random: &mut Random) -> Self {
        let mut left = random.bits() % 1000;
        for (kind, _, weight) in Self::ALL {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Self::Hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_of_a_thousand_and_rows_are_in_order() {
        assert_eq!(Kind::ALL.iter().map(|(_, _, weight)| weight).sum::<u64>(), 1000);
        for (row, (kind, _, _)) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, row);
        }
    }
}
