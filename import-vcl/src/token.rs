//! The words of VCL.

/// A word, a text, a number or a sign, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VclToken<'t> {
    pub(crate) kind: TokenKind,
    /// Of a text without its quotes.
    pub(crate) text: &'t str,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Name,
    Text,
    /// With its unit.
    Number,
    Sign,
    /// C code between `C{` and `}C`.
    Inline,
}

/// Splits VCL. What is not closed goes on to the end.
pub(crate) fn tokens(text: &str) -> Vec<VclToken<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (token, length) = next(rest);
        let covered = rest.get(..length).unwrap_or(rest);
        if let Some((kind, inner)) = token {
            tokens.push(VclToken { kind, text: inner, line, start: at, end: at + covered.len() });
        }
        line += covered.matches('\n').count();
        at += covered.len().max(1);
    }
    tokens
}

type NextToken<'t> = (Option<(TokenKind, &'t str)>, usize);

/// Returns the token that the text begins with, if it is one, and the bytes that are covered.
fn next(rest: &str) -> NextToken<'_> {
    for (open, close) in [("/*", "*/"), ("//", "\n"), ("#", "\n")] {
        if let Some(inner) = rest.strip_prefix(open) {
            let length = inner.find(close).map_or(inner.len(), |end| end + close.len());
            return (None, open.len() + length);
        }
    }
    for (open, close, kind) in [
        ("C{", "}C", TokenKind::Inline),
        ("{\"", "\"}", TokenKind::Text),
        ("\"\"\"", "\"\"\"", TokenKind::Text),
        ("\"", "\"", TokenKind::Text),
    ] {
        if let Some(inner) = rest.strip_prefix(open) {
            let end = inner.find(close).unwrap_or(inner.len());
            let length = (open.len() + end + close.len()).min(rest.len());
            return (Some((kind, inner.get(..end).unwrap_or(inner))), length);
        }
    }
    let Some(first) = rest.chars().next() else { return (None, 0) };
    if first.is_whitespace() {
        return (None, first.len_utf8());
    }
    let after_dot = rest.strip_prefix('.').unwrap_or(rest);
    if after_dot.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        let is_inside = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let length = rest.find(|letter| !is_inside(letter)).unwrap_or(rest.len());
        return (rest.get(..length).map(|name| (TokenKind::Name, name)), length);
    }
    if first.is_ascii_digit() {
        let is_inside = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
        let length = rest.find(|letter| !is_inside(letter)).unwrap_or(rest.len());
        return (rest.get(..length).map(|number| (TokenKind::Number, number)), length);
    }
    let two = SIGNS.iter().any(|sign| rest.starts_with(sign));
    let length = if two { 2 } else { first.len_utf8() };
    (rest.get(..length).map(|sign| (TokenKind::Sign, sign)), length)
}

const SIGNS: [&str; 12] = ["&&", "||", "==", "!=", "!~", ">=", "<=", "+=", "-=", "*=", "/=", "++"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_passed_by_and_texts_keep_their_inside() {
        let text =
            "a.b-c # x\n/* \n */ \"q\\d\" {\"long \"x\" y\"} 1.5h != // end\n.host C{ int }C";
        let found: Vec<_> = tokens(text).iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(
            found,
            [
                ("a.b-c", 1),
                ("q\\d", 3),
                ("long \"x\" y", 3),
                ("1.5h", 3),
                ("!=", 3),
                (".host", 4),
                (" int ", 4),
            ]
        );
    }

    #[test]
    fn what_is_never_closed_ends_with_the_text() {
        for text in ["\"abc", "/* abc", "C{ abc", "{\"abc", "# abc", "ä", "."] {
            assert!(tokens(text).len() <= 1, "{text}");
        }
    }
}
