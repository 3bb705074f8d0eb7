//! Entity tags (RFC 9110 §8.8.3) and their comparison, on borrowed bytes.

/// An entity tag of a field.
///
/// Text without quotes is none by the grammar, but some origin servers send it. It is kept as a
/// weak tag that equals only itself: enough to answer 304, never enough to join ranges.
#[derive(Clone, Copy, Debug)]
pub struct EntityTag<'a> {
    /// With its quotes, so that `"a"` and `a` differ.
    opaque: &'a [u8],
    is_weak: bool,
}

impl<'a> EntityTag<'a> {
    pub fn of(value: &'a [u8]) -> Self {
        let value = value.trim_ascii();
        let (opaque, is_weak) =
            value.strip_prefix(b"W/").map_or((value, false), |opaque| (opaque, true));
        match opaque {
            [b'"', inside @ .., b'"'] if !inside.contains(&b'"') => Self { opaque, is_weak },
            _ => Self { opaque: value, is_weak: true },
        }
    }

    /// Returns the members of a list, as in `If-None-Match`; a tag may contain commas.
    pub fn list(value: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = value;
        std::iter::from_fn(move || {
            let start = rest.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
            let list = rest.get(start..)?;
            let (tag, tail) = list.split_at_checked(tag_length(list))?;
            rest = tail;
            Some(Self::of(tag))
        })
    }

    pub fn is_weak(self) -> bool {
        self.is_weak
    }

    /// Strong comparison (RFC 9110 §8.8.3.2): both strong, and equal.
    pub fn strongly_equals(self, other: Self) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110 §8.8.3.2): equal, weak or not.
    pub fn weakly_equals(self, other: Self) -> bool {
        self.opaque == other.opaque
    }
}

fn tag_length(list: &[u8]) -> usize {
    let prefix = if list.starts_with(b"W/") { 2 } else { 0 };
    let quoted = list.get(prefix..).and_then(|tag| tag.strip_prefix(b"\""));
    let closing = quoted.and_then(|inside| inside.iter().position(|byte| *byte == b'"'));
    let comma = || list.iter().position(|byte| *byte == b',').unwrap_or(list.len());
    closing.map_or_else(comma, |length| prefix + length + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::EntityTag;

    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3.2
    //= type=test
    //# *  Strong comparison: two entity tags are equivalent if both are not
    //#    weak and their opaque-tags match character-by-character.
    #[test]
    fn comparison_follows_the_table_of_the_rfc() {
        for (one, other, strongly, weakly) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
            ("site-1", "site-1", false, true),
            ("site-1", r#""site-1""#, false, false),
            (r#"w/"1""#, r#""1""#, false, false),
            (r#""a"b""#, r#""a"b""#, false, true),
        ] {
            let (one, other) = (EntityTag::of(one.as_bytes()), EntityTag::of(other.as_bytes()));
            assert_eq!(one.strongly_equals(other), strongly, "{one:?} {other:?}");
            assert_eq!(one.weakly_equals(other), weakly, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_list_keeps_commas_inside_tags() {
        let list = br#" "a,b" ,, W/"c", site-1,"d""e", "open"#;
        let tags: Vec<_> =
            EntityTag::list(list).map(|tag| String::from_utf8_lossy(tag.opaque)).collect();
        assert_eq!(tags, [r#""a,b""#, r#""c""#, "site-1", r#""d""#, r#""e""#, r#""open"#]);
    }

    proptest! {
        #[test]
        fn any_list_ends(list in any::<Vec<u8>>()) {
            assert!(EntityTag::list(&list).count() <= list.len());
        }
    }
}
