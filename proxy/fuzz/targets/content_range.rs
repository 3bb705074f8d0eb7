//! `Content-Range`: what is read is written the same way, and parts are put together without losing
//! a byte.

use shellac::testing::field::content_range::ContentRange;

pub(crate) fn run(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let one = lines.next().and_then(ContentRange::parse);
    let other = lines.next().and_then(ContentRange::parse);
    for range in [one, other].into_iter().flatten() {
        assert_eq!(ContentRange::parse(range.to_string().as_bytes()), Some(range));
        assert!(range.first() <= range.last());
        assert_eq!(range.len(), range.last() - range.first() + 1);
        if let Some(gap) = range.missing() {
            let whole = range.union(gap).expect("a gap touches the part");
            assert!(whole.is_whole() && whole.len() == range.len() + gap.len());
        }
    }
    if let (Some(one), Some(other)) = (one, other)
        && let Some(union) = one.union(other)
    {
        assert!(union.first() == one.first().min(other.first()));
        assert!(union.last() == one.last().max(other.last()));
        assert!(union.len() <= one.len().saturating_add(other.len()));
    }
}
