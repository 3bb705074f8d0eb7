//! A boolean selector: `{"all_of":["tag:product-42","host:shop.example"],"none_of":["tag:eu"]}`.
//!
//! It selects a response that meets every term of `all_of`, at least one of `any_of` unless that is
//! empty, and none of `none_of`. A term is a kind, a colon and what a selector of that kind names.
//! At least one term has to be in `all_of` or `any_of`: a list of exceptions alone selects nearly
//! everything, which is hardly ever meant.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tag::{Tag, TagError};
use crate::url::{CanonicalUrl, UrlError, UrlPrefix, written_host};

/// A boolean selector as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expression {
    /// Terms that all have to hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all_of: Vec<String>,
    /// Terms of which one has to hold; empty: no such condition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<String>,
    /// Terms that must not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub none_of: Vec<String>,
}

/// A boolean selector that was read and found sound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// All of these hold.
    pub all_of: Vec<Term>,
    /// One of these holds; empty: no such condition.
    pub any_of: Vec<Term>,
    /// None of these holds.
    pub none_of: Vec<Term>,
}

/// One condition on a response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// It carries this tag.
    Tag(Tag),
    /// It is of this host, in canonical form.
    Host(String),
    /// It is of the page at this URL without a query.
    Page(CanonicalUrl),
    /// Its URL differs from this one, which has no query, by its query at most.
    Path(CanonicalUrl),
    /// It is a variant of this URL.
    Url(CanonicalUrl),
    /// Its URL begins so.
    Prefix(UrlPrefix),
}

/// The reason why a boolean selector is refused. The caller answers 400 with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It has no term that a response has to meet.
    #[error(
        "an expression says only what is left out: name in all_of or any_of what is purged, or \
        purge everything with \"all\": true"
    )]
    NoPositiveTerm,
    /// Too many terms. The caller writes several expressions.
    #[error("{count} terms of an expression exceed the limit of {max}: write several expressions")]
    TooManyTerms {
        /// Terms in it.
        count: usize,
        /// Terms allowed.
        max: usize,
    },
    /// A term of no known kind.
    #[error("{0:?} is no term: write one of {KINDS}, such as tag:product-42")]
    Term(String),
    /// A term of a kind that other caches have.
    #[error(
        "{0:?} cannot be a term: purges know what a response is named, not what it says; \
        write one of {KINDS}"
    )]
    Property(String),
    /// A tag that is none.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A URL, host or prefix that is none.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl Expression {
    /// The most terms of one expression, over its three lists.
    pub const TERMS_MAX: usize = 32;

    /// Returns whether it has no term at all.
    pub const fn is_empty(&self) -> bool {
        self.all_of.is_empty() && self.any_of.is_empty() && self.none_of.is_empty()
    }

    /// Reads the terms.
    ///
    /// # Errors
    /// The first term that cannot be read; none that a response has to meet, or too many.
    pub fn read(&self) -> Result<Terms, ExpressionError> {
        let count = self.all_of.len() + self.any_of.len() + self.none_of.len();
        if count > Self::TERMS_MAX {
            return Err(ExpressionError::TooManyTerms { count, max: Self::TERMS_MAX });
        }
        if self.all_of.is_empty() && self.any_of.is_empty() {
            return Err(ExpressionError::NoPositiveTerm);
        }
        let terms = |texts: &[String]| -> Result<Vec<Term>, ExpressionError> {
            texts.iter().map(|text| Term::parse(text)).collect()
        };
        let (all_of, any_of) = (terms(&self.all_of)?, terms(&self.any_of)?);
        Ok(Terms { all_of, any_of, none_of: terms(&self.none_of)? })
    }

    /// All its terms.
    pub fn terms(&self) -> impl Iterator<Item = &String> {
        self.all_of.iter().chain(&self.any_of).chain(&self.none_of)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists =
            [("all_of", &self.all_of), ("any_of", &self.any_of), ("none_of", &self.none_of)];
        let written = lists.iter().filter(|(_, terms)| !terms.is_empty());
        for (number, (name, terms)) in written.enumerate() {
            let gap = if number == 0 { "" } else { " " };
            write!(f, "{gap}{name}({})", terms.join(", "))?;
        }
        Ok(())
    }
}

impl Term {
    /// Reads a term: a kind, a colon and the name of such a thing.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let unknown = || ExpressionError::Term(text.to_owned());
        let (kind, name) = text.split_once(':').ok_or_else(unknown)?;
        let name = name.trim_start();
        Ok(match kind.trim() {
            "tag" => Self::Tag(Tag::parse(name)?),
            "host" => Self::Host(written_host(name)?),
            "page" => Self::Page(CanonicalUrl::parse(name)?.without_query()),
            "path" => Self::Path(CanonicalUrl::parse(name)?.without_query()),
            "url" => Self::Url(CanonicalUrl::parse(name)?),
            "prefix" => Self::Prefix(UrlPrefix::parse(name)?),
            "status" | "content-type" | "content_type" | "header" | "ttl" | "age" | "method" => {
                return Err(ExpressionError::Property(text.to_owned()));
            }
            _ => return Err(unknown()),
        })
    }

    /// Returns the host that it names; `None`: responses of several hosts may meet it.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Host(host) => Some(host),
            Self::Page(url) | Self::Path(url) | Self::Url(url) => Some(url.host()),
            Self::Prefix(prefix) => prefix.host(),
            Self::Tag(_) => None,
        }
    }
}

const KINDS: &str = "tag:, host:, page:, path:, url: and prefix:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PurgeRequest;

    fn expression(all_of: &[&str], any_of: &[&str], none_of: &[&str]) -> Expression {
        let [all_of, any_of, none_of] =
            [all_of, any_of, none_of].map(|it| it.iter().map(|term| (*term).to_owned()).collect());
        Expression { all_of, any_of, none_of }
    }

    #[test]
    fn terms_are_read_as_selectors_are() {
        let written = expression(&["tag:a:b", "host:SHOP.example"], &["path:shop.example/é"], &[]);
        let terms = written.read().unwrap();
        assert_eq!(terms.all_of[0], Term::Tag(Tag::parse("a:b").unwrap()));
        assert_eq!(terms.all_of[1], Term::Host("shop.example".to_owned()));
        assert!(matches!(&terms.any_of[0], Term::Path(url) if url.path() == "/%C3%A9"));
    }

    #[test]
    fn an_expression_without_a_positive_term_is_refused_in_words() {
        let error = expression(&[], &[], &["tag:eu"]).read().unwrap_err().to_string();
        assert!(error.contains("only what is left out") && error.contains("all_of"), "{error}");
    }

    #[test]
    fn a_term_that_is_none_says_which_there_are() {
        for (term, word) in [
            ("product-42", "is no term"),
            ("colour:red", "is no term"),
            ("status:404", "cannot be a term"),
            ("tag:a b", "white space"),
            ("tag:", "empty"),
            ("url:/p", "names no host"),
        ] {
            let error = expression(&[term], &[], &[]).read().unwrap_err().to_string();
            assert!(error.contains(word), "{term}: {error}");
        }
        let many = vec!["tag:a"; Expression::TERMS_MAX + 1];
        let error = expression(&many, &[], &[]).read().unwrap_err().to_string();
        assert!(error.contains("33 terms") && error.contains("limit of 32"), "{error}");
    }

    #[test]
    fn an_expression_may_stand_alone_or_in_a_list() {
        let alone = r#"{"all_of":["tag:a"],"none_of":["tag:b"],"mode":"soft"}"#;
        let list = r#"{"expressions":[{"all_of":["tag:a"],"none_of":["tag:b"]}],"mode":"soft"}"#;
        let [alone, list_read]: [PurgeRequest; 2] =
            [alone, list].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(alone, list_read);
        assert_eq!(serde_json::to_string(&alone).unwrap(), list);
        assert_eq!(alone.expressions[0].to_string(), "all_of(tag:a) none_of(tag:b)");
    }
}
