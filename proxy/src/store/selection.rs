//! Selection of the stored response under a key that may answer a request (RFC 9111 §4.1).
//!
//! Origins often name a field in `Vary` only where a request had it: `Origin` with CORS. Their
//! response to a request without it does not name it, and would seem to answer every request. So a
//! field that one stored response of a URL names selects among all of them: a response that does
//! not name it answers requests that lack it.

use std::cell::Cell;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};

use super::{Store, Stored, StoredResponse};
use crate::key::vary::VariantHash;
use crate::key::{Key, declared_vary, derived};

#[derive(Debug)]
pub struct Selected {
    /// The newest response that may answer the request.
    pub stored: Option<Arc<Stored>>,
    /// The variant that it selects; `None` where the URL is not known to vary.
    pub variant: Option<VariantHash>,
    pub is_known: bool,
}

#[derive(Debug, Default)]
struct Seen {
    is_known: Cell<bool>,
    wanted: Cell<Option<VariantHash>>,
    /// The hash of the names of selecting fields of the response that was seen first.
    names: Cell<Option<u64>>,
    is_mixed: Cell<bool>,
}

impl Seen {
    fn accepts(&self, stored: &Stored, request: &HeaderMap) -> bool {
        self.is_known.set(true);
        if stored.response().is_some() {
            let names = stored.variant.as_ref().map_or(0, |variant| variant.names_hash());
            match self.names.get() {
                None => self.names.set(Some(names)),
                Some(first) if first != names => self.is_mixed.set(true),
                Some(_) => {}
            }
        }
        let Some(variant) = &stored.variant else { return true };
        let wanted = variant.selection_of(request);
        self.wanted.set(Some(wanted));
        wanted == variant.hash() && variant.matches(request)
    }
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.1
//# When multiple stored responses are available for a target URI,
//# and one or more omits the Vary header field, the cache SHOULD choose
//# the most recent (see Section 4.2.3) stored response with a valid Vary
//# field value.
pub fn select(store: &dyn Store, key: &Key, request: &HeaderMap) -> Selected {
    let seen = Seen::default();
    let stored = store.lookup(key, &|stored| seen.accepts(stored, request));
    let is_known = seen.is_known.get();
    if !seen.is_mixed.get() {
        return Selected { stored, variant: seen.wanted.get(), is_known };
    }
    let under = under(store, key);
    let names = present(&under, request);
    let stored =
        store.lookup(key, &|stored| seen.accepts(stored, request) && has_names(stored, &names));
    let variants = under.iter().filter_map(|stored| stored.variant.as_ref());
    let widest = variants.max_by_key(|variant| variant.names().len());
    let variant = widest.map(|variant| variant.selection_of(request));
    Selected { stored, variant, is_known }
}

/// Looks for a response that a request would select if its languages of equal weight stood in
/// another order, and that is in the one language that it names first.
pub fn select_by_language(
    store: &dyn Store,
    key: &Key,
    request: &HeaderMap,
) -> Option<Arc<Stored>> {
    let names = present(&under(store, key), request);
    store.lookup(key, &|stored| {
        let (Some(variant), Some(response)) = (&stored.variant, stored.response()) else {
            return false;
        };
        let mut languages = Vec::new();
        response.fields.for_each(|field, value, _| {
            if field == "content-language" {
                languages.push(value.trim_ascii().to_vec());
            }
        });
        let [language] = &*languages else { return false };
        variant.matches_in(language, request) && has_names(stored, &names)
    })
}

/// Returns whether this stored response may answer a request for its key.
pub fn is_selected(store: &dyn Store, stored: &Stored, request: &HeaderMap) -> bool {
    stored.variant.as_ref().is_none_or(|variant| variant.matches(request))
        && has_names(stored, &present(&under(store, &stored.key), request))
}

/// Returns the fields that the responses stored under a key name in `Vary`: a new one varies on
/// them, too.
pub fn names_under(store: &dyn Store, key: &Key) -> Vec<HeaderName> {
    named(&under(store, key))
}

fn under(store: &dyn Store, key: &Key) -> Vec<Arc<Stored>> {
    let mut under = store.by_hash(key.hash());
    under.retain(|stored| stored.key == *key);
    under
}

fn present(under: &[Arc<Stored>], request: &HeaderMap) -> Vec<HeaderName> {
    let mut names = named(under);
    names.retain(|name| derived::is_derived(name) || request.contains_key(name));
    names
}

fn named(under: &[Arc<Stored>]) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for stored in under {
        let (Some(variant), Some(response)) = (&stored.variant, stored.response()) else {
            continue;
        };
        response.fields.for_each(|field, vary, _| {
            let is_declared = field == declared_vary::NAME.as_str();
            if field != "vary" && !is_declared {
                return;
            }
            let is_own = |name: &&HeaderName| is_declared || is_member(vary, name);
            for name in variant.names().iter().filter(is_own) {
                if !names.contains(name) && names.len() < NAMES_MAX {
                    names.push(name.clone());
                }
            }
        });
    }
    names
}

/// Returns whether a response varies on all of these, or names them and does not vary on them all
/// the same, as settings may have it. A marker is for all requests.
fn has_names(stored: &Stored, names: &[HeaderName]) -> bool {
    let own = stored.variant.as_ref().map(|variant| variant.names()).unwrap_or_default();
    let Some(response) = stored.response() else { return true };
    names.iter().all(|name| own.contains(name) || names_in_vary(response, name))
}

fn names_in_vary(response: &StoredResponse, name: &HeaderName) -> bool {
    let mut is_named = false;
    response.fields.for_each(|field, vary, _| {
        is_named |= field == "vary" && is_member(vary, name);
    });
    is_named
}

fn is_member(vary: &[u8], name: &HeaderName) -> bool {
    let members = vary.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    members.into_iter().any(|it| it.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Fields that one response of a URL names and all others are held to.
const NAMES_MAX: usize = 16;
