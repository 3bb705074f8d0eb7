//! `Json`: a document that borrows its strings from the record, and in which no key appears twice.
//!
//! Readers differ on which of two equal keys counts (RFC 8259 §4). An event whose second `tags` hid
//! the first one would purge less than it says, so it is refused. Nesting is bounded by
//! `serde_json` (128 levels).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Object<'a>),
}

/// A JSON object, its members in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    /// Returns the member of that name; `null` is no member.
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        let member = self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        member.filter(|value| **value != Json::Null)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the object of that name, if it is one.
    pub(super) fn object(&self, name: &str) -> Option<&Self> {
        match self.get(name) {
            Some(Json::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// Returns the text of that name, if it is one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

impl Json<'_> {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Returns the one text that stands for a string, number or boolean.
    ///
    /// A number with more than 15 significant digits that is no 64-bit integer has none: what was
    /// read is not what was written, and a tag that differs in its last digit purges nothing.
    pub(super) fn scalar(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Self::Unsigned(number) => Some(Cow::Owned(number.to_string())),
            Self::Signed(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => decimal(*number).map(Cow::Owned),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }
}

const DIGITS_EXACT: usize = 15;

fn decimal(number: f64) -> Option<String> {
    let text = if number == 0.0 { "0".to_owned() } else { number.to_string() };
    let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit);
    (digits.count() <= DIGITS_EXACT).then_some(text)
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_element()? {
            list.push(member);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some((Name(name), value)) = members.next_entry()? {
            object.push((name, value));
        }
        match repeated(&object) {
            None => Ok(Json::Object(Object(object))),
            Some(name) => Err(A::Error::custom(format_args!("the key {name:?} appears twice"))),
        }
    }
}

/// Members up to which each is compared with each.
const FEW: usize = 24;

fn repeated<'a, T>(members: &'a [(Cow<'_, str>, T)]) -> Option<&'a str> {
    if members.len() <= FEW {
        let mut rest = members.iter();
        while let Some((name, _)) = rest.next() {
            if rest.clone().any(|(other, _)| other == name) {
                return Some(name);
            }
        }
        return None;
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    })
}

/// A member's name, borrowed where it holds no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameReading;
        impl<'de> Visitor<'de> for NameReading {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, value: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(value.to_owned())))
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(value)))
            }
        }
        deserializer.deserialize_str(NameReading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(text: &str) -> Option<String> {
        serde_json::from_str::<Json<'_>>(text).unwrap().scalar().map(Cow::into_owned)
    }

    #[test]
    fn a_key_that_appears_twice_is_refused_in_small_and_large_objects() {
        assert!(serde_json::from_str::<Json<'_>>(r#"{"a":{"b":1,"c":2,"\u0062":3}}"#).is_err());
        let members: Vec<_> = (0..500).map(|number| format!("\"k{number}\":0")).collect();
        let once = format!("{{{}}}", members.join(","));
        assert!(serde_json::from_str::<Json<'_>>(&once).is_ok());
        let twice = format!("{{{},\"k250\":1}}", members.join(","));
        let error = serde_json::from_str::<Json<'_>>(&twice).unwrap_err().to_string();
        assert!(error.contains("\"k250\" appears twice"), "{error}");
    }

    #[test]
    fn a_value_has_one_text_or_none() {
        for (text, wanted) in [
            ("\"a\"", "a"),
            ("true", "true"),
            ("42", "42"),
            ("-7", "-7"),
            ("18446744073709551615", "18446744073709551615"),
            ("1.50", "1.5"),
            ("-0.0", "0"),
            ("3.0", "3"),
            ("1e3", "1000"),
        ] {
            assert_eq!(scalar(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["18446744073709551616", "0.1234567890123456789", "null", "[]", "{}", "1e300"] {
            assert_eq!(scalar(text), None, "{text}");
        }
    }
}
