//! Selecting fields and the secondary key (RFC 9111 §4.1): which variant of a URL a request asks
//! for.
//!
//! All lines of a field count, joined by commas and without optional white space. `Accept-Encoding`
//! and `Accept-Language` are compared by their meaning, in the forms that `accept_encoding` and
//! `accept_language` give them.

use std::num::NonZeroU64;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, HeaderMap, HeaderName, HeaderValue, VARY,
};
use smallvec::SmallVec;

pub use super::accept_encoding::normalize_accept_encoding;
use super::{accept_encoding, accept_language, derived};

/// The selecting fields of a response and the values that the request had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    names: Box<[HeaderName]>,
    /// A hash of the names, not zero.
    names_hash: u64,
    values: Box<[u8]>,
}

/// A hash of the values that select a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariantHash(NonZeroU64);

impl VariantHash {
    fn of(values: &[u8]) -> Self {
        Self(NonZeroU64::new(xxhash_rust::xxh3::xxh3_64(values)).unwrap_or(NonZeroU64::MIN))
    }

    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// Fields that we write, or that do not cross: what the origin saw is not what the client sent.
fn is_ours(name: &str) -> bool {
    let is_connections = matches!(name, "connection" | "te" | "upgrade" | "keep-alive" | "expect");
    is_connections
        || matches!(name, "via" | "forwarded" | "x-request-id" | "x-real-ip")
        || name.starts_with("x-forwarded")
}

/// These are ours, too, and in the key already; or a lower bound, which what is stored meets in
/// another way.
const KEYED: [&str; 4] = ["host", "x-forwarded-host", "x-forwarded-proto", "x-min-site-revision"];

/// Returns the fields that a response names in `Vary`.
pub fn named(response: &HeaderMap) -> Result<Vec<HeaderName>, VaryStar> {
    let mut names = Vec::new();
    let lines = response.get_all(VARY).iter();
    for member in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        match member.trim_ascii() {
            b"" => {}
            b"*" => return Err(VaryStar::Star),
            [b'~', ..] => return Err(VaryStar::Malformed), // such names are derived ones
            name => {
                names.push(HeaderName::from_bytes(name).map_err(|_no_name| VaryStar::Malformed)?);
            }
        }
    }
    Ok(names)
}

/// The reason why a response can be reused for no other request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaryStar {
    /// `*` among the members of `Vary` (RFC 9110 §12.5.5).
    Star,
    /// A field that the origin got from us: every client would share one value.
    Ours,
    /// A member that is not a field name.
    Malformed,
}

impl Variant {
    /// Reads `Vary` off a response and takes the values from the request; `None` when it does not
    /// vary.
    ///
    /// `always` are fields that select whatever the response says.
    pub fn of(
        response: &HeaderMap,
        request: &HeaderMap,
        always: &[HeaderName],
    ) -> Result<Option<Self>, VaryStar> {
        let mut names = named(response)?;
        names.extend_from_slice(always);
        Self::selected(names, request)
    }

    /// Takes the values of these fields from the request; `None` when none of them selects.
    pub fn selected(
        mut names: Vec<HeaderName>,
        request: &HeaderMap,
    ) -> Result<Option<Self>, VaryStar> {
        names.retain(|name| !KEYED.contains(&name.as_str()));
        if names.iter().any(|name| is_ours(name.as_str())) {
            return Err(VaryStar::Ours);
        }
        if names.is_empty() {
            return Ok(None);
        }
        names.sort_unstable_by(|one, two| one.as_str().cmp(two.as_str()));
        names.dedup();
        let values = secondary_key(&names, request);
        Ok(Some(Self::of_parts(names, &values)))
    }

    /// Makes a variant of what [`Self::names`] and [`Self::values`] said.
    pub fn of_parts(names: Vec<HeaderName>, values: &[u8]) -> Self {
        let mut text = SmallVec::<[u8; 128]>::new();
        for name in &names {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b',');
        }
        let names_hash = xxhash_rust::xxh3::xxh3_64(&text) | 1;
        Self { names: names.into(), names_hash, values: values.into() }
    }

    /// The selecting fields, sorted.
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// A hash of the selecting fields' names. Never zero.
    pub const fn names_hash(&self) -> u64 {
        self.names_hash
    }

    /// The secondary key: the values that the request had, in an unambiguous form.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// Returns whether the response of this variant may answer the request.
    pub fn matches(&self, request: &HeaderMap) -> bool {
        secondary_key(&self.names, request).as_slice() == &*self.values
    }

    /// Returns whether the response of this variant, which is in `language`, may answer a request
    /// that differs from the variant's own only in the order of its languages, see
    /// `accept_language::agree_on`.
    pub fn matches_in(&self, language: &[u8], request: &HeaderMap) -> bool {
        let Some(own) = self.request() else { return false };
        let Some(languages) = own.get(ACCEPT_LANGUAGE) else { return false };
        if !accept_language::agree_on(language, &own, request) {
            return false;
        }
        let mut request = request.clone();
        request.insert(ACCEPT_LANGUAGE, languages.clone());
        self.matches(&request)
    }

    /// A hash of the values, to tell a URL's variants apart.
    pub fn hash(&self) -> VariantHash {
        VariantHash::of(&self.values)
    }

    /// The hash that the variant has which this request selects, were it to vary on the same
    /// fields.
    pub fn selection_of(&self, request: &HeaderMap) -> VariantHash {
        VariantHash::of(&secondary_key(&self.names, request))
    }

    /// Returns the variant that this request selects, were it to vary on the same fields.
    #[must_use]
    pub fn selected_by(&self, request: &HeaderMap) -> Self {
        Self::of_parts(self.names.to_vec(), &secondary_key(&self.names, request))
    }

    /// Returns fields of a request that selects this variant, where they can be told from the
    /// values.
    pub fn request(&self) -> Option<HeaderMap> {
        let mut fields = HeaderMap::new();
        let mut rest = &*self.values;
        for name in &self.names {
            let (flag, after) = rest.split_first()?;
            let value = if *name == ACCEPT_ENCODING {
                let end = after.iter().position(|byte| *byte == b'\n')?;
                rest = after.get(end + 1..)?;
                after.get(..end)?
            } else {
                let (length, after) = after.split_first_chunk::<4>()?;
                let (value, after) =
                    after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
                rest = after;
                value
            };
            if *flag == DERIVED {
                derived::write(name, value, &mut fields);
                continue;
            }
            let value = match *flag {
                CANONICAL => accept_language::written(value),
                _ => value.to_vec(),
            };
            if *flag != 0 && !value.is_empty() {
                let name = if *name == RAW_LANGUAGE { ACCEPT_LANGUAGE } else { name.clone() };
                fields.insert(name, HeaderValue::try_from(value).ok()?);
            }
        }
        self.matches(&fields).then_some(fields)
    }

    /// Bytes it occupies on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.names.len() * size_of::<HeaderName>() + self.values.len()
    }
}

/// For each name: whether it is there, then its members, length-prefixed. Absent and empty differ.
fn secondary_key(names: &[HeaderName], request: &HeaderMap) -> SmallVec<[u8; 128]> {
    let mut key = SmallVec::new();
    for name in names {
        if *name == ACCEPT_ENCODING
            && let Some(text) = accept_encoding::canonical(request)
        {
            key.push(u8::from(!text.is_empty()));
            key.extend_from_slice(text.as_bytes());
            key.push(b'\n');
            continue;
        }
        if *name == ACCEPT_LANGUAGE
            && let Some(text) = accept_language::canonical(request)
        {
            key.push(CANONICAL);
            push_value(&mut key, &text);
            continue;
        }
        if let Some(text) = derived::value(name, request) {
            key.push(DERIVED);
            push_value(&mut key, &text);
            continue;
        }
        let mut value: SmallVec<[u8; 128]> = SmallVec::new();
        let field = if *name == RAW_LANGUAGE { &ACCEPT_LANGUAGE } else { name };
        let mut lines = request.get_all(field).iter().peekable();
        key.push(u8::from(lines.peek().is_some()));
        for line in lines {
            push_members(&mut value, line.as_bytes(), name == COOKIE);
        }
        push_value(&mut key, &value);
    }
    key
}

/// In the place of `Accept-Language` where it is compared as it was sent.
///
/// No field of a message has this name: `Vary` may not hold it, and no request is asked for it.
pub const RAW_LANGUAGE: HeaderName = HeaderName::from_static("~accept-language");

/// In the place of 0 and 1 for absent and present: what follows is not what was sent, and equals no
/// value that was.
const CANONICAL: u8 = 2;

/// What follows is the value of a derived field.
const DERIVED: u8 = 3;

fn push_value(key: &mut SmallVec<[u8; 128]>, value: &[u8]) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_le_bytes());
    key.extend_from_slice(value);
}

/// Adds the comma-separated members without white space around them. A cookie is one member: commas
/// may occur in it.
fn push_members(value: &mut SmallVec<[u8; 128]>, line: &[u8], is_whole: bool) {
    if is_whole {
        push_member(value, line);
    } else {
        line.split(|byte| *byte == b',').for_each(|member| push_member(value, member));
    }
}

fn push_member(value: &mut SmallVec<[u8; 128]>, member: &[u8]) {
    let member = member.trim_ascii();
    if !member.is_empty() {
        if !value.is_empty() {
            value.push(b',');
        }
        value.extend_from_slice(member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn variant(vary: &str, request: &[(&'static str, &str)]) -> Variant {
        Variant::of(&fields(&[("vary", vary)]), &fields(request), &[]).unwrap().unwrap()
    }

    #[test]
    fn the_revision_that_we_ask_for_selects_nothing() {
        let forged = fields(&[("x-min-site-revision", "7")]);
        let response = fields(&[("vary", "X-Min-Site-Revision")]);
        assert_eq!(Variant::of(&response, &forged, &[]), Ok(None));
    }

    #[test]
    fn a_request_can_be_made_that_selects_the_variant() {
        for request in [
            &[][..],
            &[("accept-encoding", "gzip, br;q=0.5"), ("accept-language", "de-CH, de;q=0.8")],
            &[("accept-encoding", "br"), ("x-device", "phone , tablet")],
            &[("cookie", "a=1,2; b=3"), ("x-device", "phone")],
        ] {
            let variant = variant("accept-encoding, accept-language, x-device, cookie", request);
            let made = variant.request().unwrap_or_else(|| panic!("{request:?}"));
            assert!(variant.matches(&made), "{request:?}");
        }
    }

    #[test]
    fn a_star_anywhere_matches_nothing() {
        for vary in ["*", "accept, *", "*,accept"] {
            assert_eq!(
                Variant::of(&fields(&[("vary", vary)]), &fields(&[]), &[]),
                Err(VaryStar::Star)
            );
        }
        assert_eq!(
            Variant::of(&fields(&[("vary", "a b")]), &fields(&[]), &[]),
            Err(VaryStar::Malformed)
        );
        assert_eq!(Variant::of(&fields(&[("vary", " , ")]), &fields(&[]), &[]), Ok(None));
    }

    #[test]
    fn absent_and_empty_fields_differ_and_absent_matches_absent() {
        let absent = variant("foo", &[]);
        assert!(absent.matches(&fields(&[("bar", "1")])));
        assert!(!absent.matches(&fields(&[("foo", "")])));
    }

    #[test]
    fn white_space_and_line_breaks_between_members_do_not_matter() {
        let one = variant("foo", &[("foo", "a, b"), ("foo", "c")]);
        assert!(one.matches(&fields(&[("foo", " a ,b,c ")])));
        assert!(!one.matches(&fields(&[("foo", "a,b")])));
        assert!(!one.matches(&fields(&[("foo", "b,a,c")])));
    }

    #[test]
    fn all_named_fields_count_whatever_their_order_and_case() {
        let one = variant("Foo, BAR", &[("foo", "1"), ("bar", "2")]);
        assert_eq!(one, variant("bar,foo, foo", &[("bar", "2"), ("foo", "1")]));
        assert!(!one.matches(&fields(&[("foo", "1")])));
    }

    #[test]
    fn languages_are_compared_by_their_meaning() {
        let one = variant("accept-language", &[("accept-language", "en-US,en;q=0.5")]);
        let matches = |value| one.matches(&fields(&[("accept-language", value)]));
        assert!(matches("EN-us, en;q=0.50"));
        assert!(matches("en;q=0.5, en-us"));
        assert!(!matches("en-us, en"));
        assert!(!matches("en-us,en;q=0.5,x;y"));
        assert!(!one.matches(&fields(&[])));
        let none = variant("accept-language", &[]);
        assert!(!none.matches(&fields(&[("accept-language", "")])));
    }

    #[test]
    fn languages_that_are_compared_raw_are_those_of_the_field() {
        let request = fields(&[("accept-language", "en-US, en;q=0.5"), ("~accept-language", "x")]);
        let raw = Variant::selected(vec![RAW_LANGUAGE], &request).unwrap().unwrap();
        let matches = |value| raw.matches(&fields(&[("accept-language", value)]));
        assert!(matches("en-US,en;q=0.5") && !matches("en-us,en;q=0.5"));
        assert!(raw.matches(&raw.request().unwrap()));
        let forged = fields(&[("vary", "~accept-language")]);
        assert_eq!(Variant::of(&forged, &request, &[]), Err(VaryStar::Malformed));
    }

    #[test]
    fn malformed_languages_are_compared_as_they_are() {
        let one = variant("accept-language", &[("accept-language", "en_US,en")]);
        assert!(one.matches(&fields(&[("accept-language", "en_US, en")])));
        assert!(!one.matches(&fields(&[("accept-language", "en_us, en")])));
    }
}
