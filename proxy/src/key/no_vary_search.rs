//! `No-Vary-Search` (draft-ietf-httpbis-no-vary-search-10): which parts of a query do not matter to
//! a response, and which URLs are equivalent therefore.
//!
//! Names and values are compared as the bytes that they stand for. The draft compares them as text,
//! in which all bytes that are no UTF-8 are one character: origins that read another encoding would
//! be asked for one word and answer for another.

use http::{HeaderMap, HeaderValue};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

/// What a response declares about the query of its URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchVariance {
    parameters: Parameters,
    ignores_order: bool,
}

/// The names of parameters, decoded, sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Parameters {
    /// All matter but these.
    AllBut(Box<[Vec<u8>]>),
    /// None matters but these.
    NoneBut(Box<[Vec<u8>]>),
}

impl SearchVariance {
    /// Reads the field of a response. Returns `None` where every byte of the query matters: without
    /// the field, where it is malformed, and where it is longer than any that means something.
    pub fn of(fields: &HeaderMap) -> Option<Self> {
        let mut lines = fields.get_all(NAME).iter().peekable();
        lines.peek()?;
        let text = lines.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]);
        let dictionary = (text.len() <= FIELD_BYTES_MAX)
            .then(|| Parser::new(&text).parse::<Dictionary>())?
            .ok()?;
        let flag = |name| match dictionary.get(name) {
            None => Some(false),
            Some(ListEntry::Item(item)) => match item.bare_item {
                BareItem::Boolean(flag) => Some(flag),
                _ => None,
            },
            Some(ListEntry::InnerList(_)) => None,
        };
        let ignores_order = flag("key-order")?;
        let parameters = match (dictionary.get("params"), dictionary.get("except")) {
            (Some(ListEntry::InnerList(names)), None) => Parameters::AllBut(names_in(names)?),
            (_, None) if flag("params")? => Parameters::NoneBut(Box::default()),
            (_, None) => Parameters::AllBut(Box::default()),
            (Some(ListEntry::Item(_)), Some(ListEntry::InnerList(names))) if flag("params")? => {
                Parameters::NoneBut(names_in(names)?)
            }
            (_, Some(_)) => return None,
        };
        Self { parameters, ignores_order }.or_default()
    }

    /// Declares that no parameter matters but these, and that their order does.
    pub fn only<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let names = names.into_iter().map(decoded).collect();
        Self { parameters: Parameters::NoneBut(sorted(names)), ignores_order: false }
    }

    /// Returns `None` if it says what holds without it.
    fn or_default(self) -> Option<Self> {
        let is_default = !self.ignores_order
            && matches!(&self.parameters, Parameters::AllBut(names) if names.is_empty());
        (!is_default).then_some(self)
    }

    /// Returns whether two paths with queries are equivalent for a response that declares this.
    pub fn are_equivalent(&self, one: &[u8], two: &[u8]) -> bool {
        let ((one_path, one_query), (two_path, two_query)) = (split(one), split(two));
        one_path == two_path && self.significant(one_query) == self.significant(two_query)
    }

    /// Returns bytes that are the same for equivalent queries, and for no others under this or
    /// another variance.
    pub fn class(&self, query: &[u8]) -> Vec<u8> {
        let mut bytes = self.to_bytes();
        for (name, value) in self.significant(query) {
            push(&mut bytes, &name);
            push(&mut bytes, &value);
        }
        bytes
    }

    /// Returns bytes from which it can be read back: how it reads names and order, the number of
    /// names, and the names.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = match &self.parameters {
            Parameters::AllBut(_) => 0,
            Parameters::NoneBut(_) => 1,
        };
        let names = self.parameters.names();
        let mut bytes = vec![kind, u8::from(self.ignores_order)];
        let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
        push(&mut bytes, &count.to_le_bytes()); // what follows could be names or parameters otherwise
        for name in names {
            push(&mut bytes, name);
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] has written, and nothing else.
    pub fn read_back(bytes: &[u8]) -> Option<Self> {
        let (&[kind, order], mut rest) = bytes.split_first_chunk()?;
        let count = u64::from_le_bytes(take(&mut rest)?.try_into().ok()?);
        let mut names = Vec::new();
        while !rest.is_empty() {
            names.push(take(&mut rest)?.to_vec());
        }
        let names = sorted(names);
        let parameters = match kind {
            0 => Parameters::AllBut(names),
            1 => Parameters::NoneBut(names),
            _ => return None,
        };
        let is_whole = u64::try_from(parameters.names().len()) == Ok(count) && order <= 1;
        let read = Self { parameters, ignores_order: order == 1 };
        read.or_default().filter(|read| is_whole && read.to_bytes() == bytes)
    }

    /// Bytes of it in memory, roughly.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self
                .parameters
                .names()
                .iter()
                .map(|name| size_of::<Vec<u8>>() + name.len())
                .sum::<usize>()
    }

    /// The parameters that matter, decoded, in the order in which they are compared.
    fn significant(&self, query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pairs = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let mut pairs: Vec<_> = pairs
            .map(|pair| {
                let mut halves = pair.splitn(2, |byte| *byte == b'=');
                let name = decoded(halves.next().unwrap_or_default());
                (name, decoded(halves.next().unwrap_or_default()))
            })
            .filter(|(name, _)| self.matters(name))
            .collect();
        if self.ignores_order {
            pairs.sort_by(|(one, _), (two, _)| one.cmp(two)); // stable: of one name, the order matters
        }
        pairs
    }

    fn matters(&self, name: &Vec<u8>) -> bool {
        match &self.parameters {
            Parameters::AllBut(names) => names.binary_search(name).is_err(),
            Parameters::NoneBut(names) => names.binary_search(name).is_ok(),
        }
    }
}

impl Parameters {
    fn names(&self) -> &[Vec<u8>] {
        let (Self::AllBut(names) | Self::NoneBut(names)) = self;
        names
    }
}

/// Adds a part behind its length.
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (part, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// Divides a path from its query. A URL without a query has an empty one.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = path.splitn(2, |byte| *byte == b'?');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

fn names_in(list: &InnerList) -> Option<Box<[Vec<u8>]>> {
    let names = list.items.iter().map(|item| match &item.bare_item {
        BareItem::String(name) => Some(decoded(name.as_str().as_bytes())),
        _ => None,
    });
    names.collect::<Option<Vec<_>>>().map(sorted)
}

fn sorted(mut names: Vec<Vec<u8>>) -> Box<[Vec<u8>]> {
    names.sort_unstable();
    names.dedup();
    names.into()
}

/// Decodes `+` and percent-escapes as `application/x-www-form-urlencoded` has them. A `%` that
/// begins no escape stands for itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escape = match after {
            [high, low, tail @ ..] if *first == b'%' => {
                digit(*high).zip(digit(*low)).zip(Some(tail))
            }
            _ => None,
        };
        match escape {
            Some(((high, low), tail)) => {
                bytes.push(high << 4 | low);
                rest = tail;
            }
            None => bytes.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

const NAME: &str = "no-vary-search";

/// Bytes of the longest field that is read.
const FIELD_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::proptest;

    use super::*;

    fn variance(value: &str) -> Option<SearchVariance> {
        let name = HeaderName::from_static(NAME);
        SearchVariance::of(&HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]))
    }

    fn are_equivalent(value: &str, one: &str, two: &str) -> bool {
        variance(value).unwrap().are_equivalent(one.as_bytes(), two.as_bytes())
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_else_is() {
        for value in
            ["params", "key-order", "params=(\"a\" \"\")", "params, except=(\"x\"), key-order"]
        {
            let variance = variance(value).unwrap();
            let bytes = variance.to_bytes();
            assert_eq!(SearchVariance::read_back(&bytes), Some(variance), "{value}");
            let more = [&*bytes, b"\0"].concat();
            assert_eq!(SearchVariance::read_back(&more), None, "{value}");
            for end in 0..bytes.len() {
                assert_eq!(SearchVariance::read_back(&bytes[..end]), None, "{value} to {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_back_as_they_are(bytes: Vec<u8>) {
            if let Some(variance) = SearchVariance::read_back(&bytes) {
                proptest::prop_assert_eq!(variance.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn what_is_malformed_or_says_nothing_makes_every_byte_matter() {
        for value in [
            "unknown-key",
            "key-order=\"not a boolean\"",
            "params=\"not a boolean or inner list\"",
            "params=(not-a-string)",
            "params=(\"a\"), except=(\"x\")",
            "params=(), except=()",
            "params=?0, except=(\"x\")",
            "params, except=(not-a-string)",
            "params, except=\"not an inner list\"",
            "params, except=?1",
            "except=(\"x\")",
            "except=()",
            "params=?0",
            "params=()",
            "key-order=?0",
            "",
            "params=(\"a\"",
        ] {
            assert_eq!(variance(value), None, "{value}");
        }
        assert_eq!(SearchVariance::of(&HeaderMap::new()), None);
        assert_eq!(variance(&format!("params, x=\"{}\"", "y".repeat(FIELD_BYTES_MAX))), None);
    }

    #[test]
    fn one_declaration_can_be_written_in_several_ways() {
        for (one, two) in [
            ("params=?1", "params"),
            ("key-order=?1", "key-order"),
            ("params, key-order, except=(\"x\")", "key-order, params, except=(\"x\")"),
            ("params=(\"b\" \"a\" \"b\")", "params=(\"a\" \"b\");x=1, other=2"),
            ("params, except=()", "params"),
            ("params=(\"%61+b\")", "params=(\"a%20b\")"),
        ] {
            assert_eq!(variance(one), variance(two), "{one}");
            assert!(variance(one).is_some(), "{one}");
        }
    }

    #[test]
    fn lines_of_the_field_are_one_dictionary() {
        let name = HeaderName::from_static(NAME);
        let lines = ["params", "except=(\"x\")"].map(HeaderValue::from_static);
        let fields = HeaderMap::from_iter(lines.map(|line| (name.clone(), line)));
        assert_eq!(SearchVariance::of(&fields), variance("params, except=(\"x\")"));
    }

    #[test]
    fn a_query_is_compared_as_a_form_is_read() {
        for (one, two) in [
            ("/", "/?"),
            ("/?a=x", "/?%61=%78"),
            ("/?a=x&&&&", "/?a=x"),
            ("/?a=", "/?a"),
            ("/?a=%20", "/?a=+"),
            ("/?a=%2", "/?a=%252"),
            ("/?a==b", "/?a=%3db"),
        ] {
            assert!(are_equivalent("key-order", one, two), "{one} {two}");
        }
        for (one, two) in [
            ("/?a=%f6", "/?a=%ef%bf%bd"), // other bytes, for an origin that reads Latin-1
            ("/?a=%2B", "/?a=+"),
            ("/?a=1;b=2", "/?b=2;a=1"),
            ("/a?x=1", "/b?x=1"),
            ("/%7Ea", "/~a"),
            ("/?a=1&a=2", "/?a=2&a=1"),
            ("/?a=1", "/?A=1"),
        ] {
            assert!(!are_equivalent("key-order", one, two), "{one} {two}");
        }
    }

    #[test]
    fn parameters_and_order_matter_as_declared() {
        for (value, one, two, expected) in [
            ("key-order", "/?a=1&b=2", "/?b=2&a=1", true),
            ("params=(\"u\")", "/?a=1&u=2", "/?a=1", true),
            ("params=(\"u\")", "/?u=1&a=1&u=2", "/?a=1&u", true),
            ("params=(\"u\")", "/?a=1&b=2", "/?b=2&a=1", false),
            ("params=(\"u\")", "/?a=1&U=2", "/?a=1", false),
            ("params", "/?a=1&u=2", "/", true),
            ("params, except=(\"id\")", "/?id=1&u=2", "/?x&id=1", true),
            ("params, except=(\"id\")", "/?id=1", "/?id=2", false),
            ("params, except=(\"a\" \"b\")", "/?a=1&b=2", "/?b=2&a=1", false),
            ("params, except=(\"a\" \"b\"), key-order", "/?a=1&b=2", "/?b=2&c&a=1", true),
        ] {
            assert_eq!(are_equivalent(value, one, two), expected, "{value} {one} {two}");
        }
    }

    #[test]
    fn other_declarations_make_other_classes() {
        let class = |value| variance(value).unwrap().class(b"a=1");
        assert_ne!(class("params"), class("params, except=(\"b\")"));
        assert_ne!(class("params=(\"u\")"), class("params=(\"u\"), key-order"));
        let with_nul = variance("key-order, params=(\"%00\" \"a\")").unwrap().class(b"");
        assert_ne!(variance("key-order").unwrap().class(b"a=%00"), with_nul);
        let only = SearchVariance::only([&b"a"[..], b"b"]);
        assert_eq!(Some(only), variance("params, except=(\"a\" \"b\")"));
    }

    proptest! {
        #[test]
        fn equivalent_queries_and_no_others_are_of_one_class(
            one in "[ab%62&=+]{0,8}", two in "[ab%62&=+]{0,8}",
            value in "key-order|params|params=\\(\"a\"\\)|params, except=\\(\"b\"\\), key-order",
        ) {
            let variance = variance(&value).unwrap();
            let class = |query: &str| variance.class(query.as_bytes());
            let (first, second) = (format!("/?{one}"), format!("/?{two}"));
            let is_one = variance.are_equivalent(first.as_bytes(), second.as_bytes());
            assert_eq!(class(&one) == class(&two), is_one);
            assert!(variance.are_equivalent(first.as_bytes(), first.as_bytes()));
        }
    }
}
