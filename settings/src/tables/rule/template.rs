//! `RuleTemplate`: text with places for what a request or a response says.

use http::HeaderName;

use crate::pattern::Captures;
use crate::value::Fault;

/// Text in which `$1` is what the first star or group of the rule's path left open, `$0` the path,
/// `$(host)`, `$(path)` and `$(query)` are those of the request, `$(response:FIELD)` a field of the
/// response, and `$$` a dollar sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTemplate {
    text: String,
    pieces: Vec<TemplatePiece>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePiece {
    /// This text.
    Literal(String),
    /// The capture of this number.
    Capture(usize),
    /// The canonical host, with a port unless it is the default one.
    Host,
    /// The path without its query.
    Path,
    /// The query without its question mark.
    Query,
    /// The first line of a response field.
    Response(HeaderName),
}

impl RuleTemplate {
    /// Returns the template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns its pieces in their order.
    pub fn pieces(&self) -> &[TemplatePiece] {
        &self.pieces
    }

    /// Returns whether its text depends on the pattern's captures or on the request.
    pub fn depends_on_request(&self) -> bool {
        let is_of_request = |piece: &TemplatePiece| {
            !matches!(piece, TemplatePiece::Literal(_) | TemplatePiece::Response(_))
        };
        self.pieces.iter().any(is_of_request)
    }

    /// Returns the highest number of a capture in it.
    pub(super) fn highest_capture(&self) -> usize {
        let number = |piece: &TemplatePiece| match piece {
            TemplatePiece::Capture(number) => *number,
            _ => 0,
        };
        self.pieces.iter().map(number).max().unwrap_or(0)
    }

    pub(super) fn looks_at_response(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, TemplatePiece::Response(_)))
    }

    /// Writes it out. `other` gives the text of the pieces that are no captures, or `None` where
    /// there is none: then there is no text at all.
    pub fn render<'r>(
        &'r self,
        captures: &Captures<'r>,
        other: impl Fn(&'r TemplatePiece) -> Option<&'r [u8]>,
    ) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(self.text.len() + 32);
        for piece in &self.pieces {
            match piece {
                TemplatePiece::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                TemplatePiece::Capture(number) => {
                    text.extend_from_slice(captures.get(*number).as_bytes());
                }
                piece => text.extend_from_slice(other(piece)?),
            }
        }
        Some(text)
    }
}

/// Reads a template.
pub(super) fn template(text: &str) -> Result<RuleTemplate, Fault> {
    let fault = |label: String| {
        Fault::new("must be a template", label).help(
            "$1 for the first star or group, $0, $(host), $(path), $(query), $(response:FIELD); \
             $$ for a dollar sign",
        )
    };
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(fault("neither letters, digits nor punctuation of ASCII".to_owned()));
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let (name, after) = if let Some(inside) = after.strip_prefix('(') {
            inside.split_once(')').ok_or_else(|| fault("`$(` is never closed".to_owned()))?
        } else {
            let digit = after.chars().next().filter(char::is_ascii_digit);
            let digit = digit.ok_or_else(|| fault("`$` before no number".to_owned()))?;
            after.split_at(digit.len_utf8())
        };
        let piece = piece(name).ok_or_else(|| fault(format!("there is no `{name}`")))?;
        if !literal.is_empty() {
            pieces.push(TemplatePiece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(TemplatePiece::Literal(literal));
    }
    Ok(RuleTemplate { text: text.to_owned(), pieces })
}

fn piece(name: &str) -> Option<TemplatePiece> {
    Some(match name {
        "host" => TemplatePiece::Host,
        "path" => TemplatePiece::Path,
        "query" => TemplatePiece::Query,
        name => match name.strip_prefix("response:") {
            Some(field) => TemplatePiece::Response(field.parse().ok()?),
            None => TemplatePiece::Capture(name.parse().ok().filter(|number| *number < 100)?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_with_places() {
        let found = template("a$1-$(response:X-Kind)$$b").unwrap();
        assert_eq!(
            found.pieces(),
            [
                TemplatePiece::Literal("a".to_owned()),
                TemplatePiece::Capture(1),
                TemplatePiece::Literal("-".to_owned()),
                TemplatePiece::Response(HeaderName::from_static("x-kind")),
                TemplatePiece::Literal("$b".to_owned()),
            ]
        );
        let captures = Captures::whole("/p");
        assert_eq!(found.render(&captures, |_| Some(&b"k"[..])).unwrap(), b"a-k$b");
        assert_eq!(found.render(&captures, |_| None), None);
        for text in ["$", "$x", "$(", "$(1", "$(nothing)", "$(response:a b)", "ä", "a\r\nb"] {
            assert!(template(text).is_err(), "{text}");
        }
    }
}
