//! Purges: a JSON body, and, from the same bytes, the fields of a `PURGE` request.

use purge_protocol::request::{Target, UrlScope};
use purge_protocol::{CanonicalUrl, PurgeReport, PurgeRequest, Tag, method, tag};

use super::head::fields;

const SELECTORS_MAX: usize = 100;

pub(crate) fn run(data: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<PurgeRequest>(data) {
        let text = serde_json::to_string(&request).expect("it is made of strings");
        assert_eq!(serde_json::from_str::<PurgeRequest>(&text).expect("it reads back"), request);
        what_is_selected_is_canonical(&request);
    }
    if let Ok(report) = serde_json::from_slice::<PurgeReport>(data) {
        let text = serde_json::to_string(&report).expect("it is made of strings and numbers");
        assert_eq!(serde_json::from_str::<PurgeReport>(&text).expect("it reads back"), report);
    }
    for name in tag::split(data) {
        assert!(!name.iter().any(|byte| b" \t,".contains(byte)) && !name.is_empty());
    }
    let place = ("shop.example", "/p/1");
    for name in ["PURGE", "PURGEKEYS", "BAN"] {
        let request = method::read(name, &fields(data), place, UrlScope::Url);
        if let Ok(request) = request {
            assert!(request.all || request.selector_count() > 0, "a {name} means something");
            what_is_selected_is_canonical(&request);
        }
    }
}

fn what_is_selected_is_canonical(request: &PurgeRequest) {
    let Ok(selectors) = request.selectors(SELECTORS_MAX) else { return };
    assert!((1..=SELECTORS_MAX).contains(&selectors.len()));
    for (selector, target) in selectors {
        assert_eq!(selector.target().as_ref(), Ok(&target));
        match target {
            Target::Tag(tag) => assert_eq!(Tag::parse(&format!("\"{tag}\"")), Ok(tag)),
            Target::Url(url) | Target::Page(url) | Target::Path(url) => {
                assert_eq!(CanonicalUrl::parse(&url.to_string()), Ok(url));
            }
            Target::Host(host) => {
                assert_eq!(purge_protocol::url::canonical_host(&host), Ok(host));
            }
            Target::Prefix(_) | Target::Expression(_) | Target::Deploy(_) | Target::All => {}
        }
    }
}
