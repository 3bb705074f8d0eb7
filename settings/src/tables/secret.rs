//! A token: compared in constant time, never printed.

use std::fmt;

use subtle::ConstantTimeEq as _;

use crate::tree::Node;
use crate::value::{Fault, text};

/// A bearer token. `Debug` hides it; there is no `Display`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Returns the token itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether a peer's token is this one, in a time that depends on the lengths alone.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

/// Reads a token; empty text: there is none.
pub(super) fn secret(node: &Node) -> Result<Option<Secret>, Fault> {
    let token = text(node)?;
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(token).filter(|token| !token.is_empty()).map(Secret::new));
    }
    Err(Fault::new("must be visible ASCII without spaces", "it could not be sent in a field"))
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_hides_the_token() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
    }

    #[test]
    fn only_the_whole_token_matches() {
        let secret = Secret::new("hunter2");
        assert!(secret.matches(b"hunter2"));
        assert!(!secret.matches(b"hunter"));
        assert!(!secret.matches(b""));
    }
}
