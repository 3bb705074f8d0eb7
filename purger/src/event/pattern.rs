//! `Pattern` and `Filter`: selection of hosts, sites, tables and sources.

/// A text in which `*` stands for any run of characters, also an empty one. It is compared with
/// whole texts, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes the pattern as it is written: `*.example`, `inventory.*`, `shop.example`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn matches(&self, text: &str) -> bool {
        matches(&self.0, text)
    }
}

/// Returns whether the text is what the pattern means, `*` standing for any run of characters.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.split_once(piece) {
            _ if piece.is_empty() => {}
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(end)
}

/// Lets texts pass that one of `only` matches and none of `except`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Empty: everything.
    pub only: Vec<Pattern>,
    /// Exceptions from `only`.
    pub except: Vec<Pattern>,
}

impl Filter {
    pub fn allows(&self, text: &str) -> bool {
        let is_meant = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(text));
        (self.only.is_empty() || is_meant(&self.only)) && !is_meant(&self.except)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text, wanted) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("*", "", true),
            ("a*", "a", true),
            ("*.example", "shop.example", true),
            ("*.example", ".exampl", false),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "ac", false),
            ("**x**", "x", true),
            ("/ops/*", "/ops/", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn an_exception_wins_and_an_empty_filter_lets_all_pass() {
        assert!(Filter::default().allows("x"));
        let filter =
            Filter { only: vec![Pattern::new("*.example")], except: vec![Pattern::new("test.*")] };
        assert!(
            filter.allows("a.example") && !filter.allows("test.example") && !filter.allows("b")
        );
    }

    proptest::proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            fn is(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => is(rest, text) || (!text.is_empty() && is(pattern, &text[1..])),
                    ([one, pattern @ ..], [other, text @ ..]) => one == other && is(pattern, text),
                    _ => false,
                }
            }
            proptest::prop_assert_eq!(Pattern::new(&*pattern).matches(&text), is(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
