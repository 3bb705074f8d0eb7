//! `Template`: how columns or a site become a tag: `{table}:{id}`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A text with names in braces. `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace has no partner.
    #[error("{0:?} has a brace without a partner: write {{column}}, or {{{{ for a brace")]
    Brace(String),
    /// A pair of braces holds no name.
    #[error("{0:?} has braces without a name in them")]
    NoName(String),
    #[error("a template is empty: write for example {{table}}:{{id}}")]
    Empty,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let brace = || TemplateError::Brace(text.to_owned());
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, found) = rest.split_at_checked(at).ok_or_else(brace)?;
            literal.push_str(before);
            if let Some(behind) = found.strip_prefix("{{") {
                literal.push('{');
                rest = behind;
            } else if let Some(behind) = found.strip_prefix("}}") {
                literal.push('}');
                rest = behind;
            } else {
                let inner = found.strip_prefix('{').ok_or_else(brace)?;
                let (name, behind) = inner.split_once('}').ok_or_else(brace)?;
                match name.trim() {
                    "" => return Err(TemplateError::NoName(text.to_owned())),
                    name if name.contains('{') => return Err(brace()),
                    name => {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                        pieces.push(Piece::Name(name.to_owned()));
                    }
                }
                rest = behind;
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(literal));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        if pieces.is_empty() {
            Err(TemplateError::Empty)
        } else {
            Ok(Self { text: text.to_owned(), pieces })
        }
    }
}

impl Template {
    /// The template that is one name and nothing else.
    pub(super) fn of_name(name: &str) -> Self {
        Self { text: format!("{{{name}}}"), pieces: vec![Piece::Name(name.to_owned())] }
    }

    /// Returns the names in it, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Returns the text with every name replaced by its value, or `Ok(None)` if one has none.
    pub(super) fn render<'v, E>(
        &self,
        mut value: impl FnMut(&str) -> Result<Option<Cow<'v, str>>, E>,
    ) -> Result<Option<String>, E> {
        let mut text = String::with_capacity(self.text.len() + 16);
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Name(name) => match value(name)? {
                    Some(value) => text.push_str(&value),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(text))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Option<String> {
        let template: Template = text.parse().unwrap();
        let value =
            |name: &str| Ok::<_, ()>((name != "none").then(|| Cow::Owned(name.to_uppercase())));
        template.render(value).unwrap()
    }

    #[test]
    fn names_are_replaced_and_a_missing_one_yields_no_text() {
        assert_eq!(render("{table}:{id}").as_deref(), Some("TABLE:ID"));
        assert_eq!(render("p-{ id }-{{x}}").as_deref(), Some("p-ID-{x}"));
        assert_eq!(render("all").as_deref(), Some("all"));
        assert_eq!(render("{id}{none}"), None);
    }

    #[test]
    fn an_invalid_template_says_why() {
        for text in ["{", "}", "a{b", "a}b", "{a{b}}"] {
            assert_eq!(
                text.parse::<Template>(),
                Err(TemplateError::Brace(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!("{ }".parse::<Template>(), Err(TemplateError::NoName("{ }".to_owned())));
        assert_eq!("".parse::<Template>(), Err(TemplateError::Empty));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "[a{}é ]{0,12}") {
            drop(text.parse::<Template>());
        }
    }
}
