//! Tokens (RFC 9110 §5.6.2): names that may stand in fields.

use http::HeaderName;

/// Returns whether this is a token (RFC 9110 §5.6.2), which is what a field's name is.
pub(crate) fn is_token(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_letters_digits_and_fifteen_other_characters() {
        let others = "!#$%&'*+-.^_`|~";
        for byte in 0..=u8::MAX {
            let text = char::from(byte).to_string();
            let is_tchar = byte.is_ascii_alphanumeric() || others.contains(&text);
            assert_eq!(is_token(&text), is_tchar, "{text:?}");
        }
        assert!(!is_token("") && is_token("X-a") && !is_token("a b"));
    }
}
