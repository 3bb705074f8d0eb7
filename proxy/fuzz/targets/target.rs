//! Request target and host: the target on the first line, then the fields. What is stored under a
//! key can be purged by the URL that the client used.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version};
use purge_protocol::request::{Target as PurgeTarget, UrlScope};
use purge_protocol::url::canonical_host;
use purge_protocol::{CanonicalUrl, UrlPrefix, UrlProblem, method};
use shellac::testing::client::peer::{ListenerId, Peer};
use shellac::testing::key::{Key, KeySeed, Scheme};
use shellac::testing::request::target::Target;

use super::head::{fields, split_line};

pub(crate) fn run(data: &[u8]) {
    let (target, head) = split_line(data);
    if let Ok(text) = std::str::from_utf8(target) {
        canonical_forms_are_idempotent(text);
    }
    let head = fields(head);
    // A `:path` alone is read otherwise than a whole target: it may be empty behind a fragment that
    // was cut off.
    let path = PathAndQuery::try_from(target).ok().map(Uri::from);
    for uri in Uri::try_from(target).ok().into_iter().chain(path) {
        the_key_of_a_target_holds_it(&uri, &head);
    }
}

fn the_key_of_a_target_holds_it(uri: &Uri, head: &HeaderMap) {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        for is_trusted in [false, true] {
            let peer = peer(is_trusted);
            let parts = parts(uri.clone(), version, head.clone());
            if let Ok(target) = Target::read(&parts, &peer, URL_BYTES_MAX) {
                the_key_holds_the_target(&target, peer.scheme_of(head));
            }
        }
    }
}

const URL_BYTES_MAX: usize = 2048;

fn canonical_forms_are_idempotent(text: &str) {
    if let Ok(host) = canonical_host(text) {
        assert_eq!(canonical_host(&host).as_ref(), Ok(&host));
        assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte)));
    }
    if let Ok(url) = CanonicalUrl::parse(text) {
        assert_eq!(CanonicalUrl::parse(&url.to_string()).as_ref(), Ok(&url));
        assert_eq!(CanonicalUrl::from_parts(url.host(), url.path()).as_ref(), Ok(&url));
    }
    if let Ok(prefix) = UrlPrefix::parse(text) {
        let path = text.get(text.find('/').unwrap_or(0)..).unwrap_or_default();
        assert!(!text.starts_with("//") || !prefix.covers(b"", path.as_bytes()), "a host was lost");
    }
}

fn the_key_holds_the_target(target: &Target, scheme: Scheme) {
    let (host, path) = (target.host(), target.path());
    assert_eq!(canonical_host(host).as_deref(), Ok(host), "the host is not canonical");
    assert!(path.starts_with('/') || path == "*", "{path:?} is not rooted");
    let line = Uri::from(target.path_and_query().clone()).to_string();
    assert_eq!(line, path, "another target is written");
    assert!(target.host_value().is_some_and(|value| value == host));

    let key = Key::new(KeySeed(1), scheme, host.as_bytes(), path.as_bytes());
    assert_eq!((key.host(), key.path(), key.scheme()), (host.as_bytes(), path.as_bytes(), scheme));
    if path.starts_with('/') {
        let own = CanonicalUrl::from_parts(host, path).expect("the URL of a key is a URL");
        assert_eq!((own.host(), own.path()), (host, path), "a purge of {key} misses it");
        match CanonicalUrl::parse(&key.to_string()) {
            Ok(written) if path.is_ascii() => {
                let again = Key::new(
                    KeySeed(1),
                    scheme,
                    written.host().as_bytes(),
                    written.path().as_bytes(),
                );
                assert_eq!(again.url(), key.url(), "a purge of {key} misses it");
            }
            Err(error) => {
                let is_no_page = matches!(error.problem, UrlProblem::Pattern(_) | UrlProblem::Path);
                assert!(is_no_page, "{error}");
                return;
            }
            Ok(_) => return, // no request holds bytes that are not ASCII
        }
        // Without the field, a path below /purge/ is taken for nginx's way to write a purge.
        let fields = HeaderMap::from_iter([(
            HeaderName::from_static("shellac-purge"),
            HeaderValue::from_static("url"),
        )]);
        let purge = method::read("PURGE", &fields, (host, path), UrlScope::Url);
        let purge = purge.expect("no tags");
        let selectors = purge.selectors(1).expect("a PURGE of a URL names it");
        match selectors.first() {
            Some((_, PurgeTarget::Url(_))) => {}
            Some((_, PurgeTarget::Prefix(prefix))) => {
                assert!(
                    prefix.covers(host.as_bytes(), path.as_bytes()),
                    "a purge of {key} misses it"
                );
            }
            Some((_, PurgeTarget::Host(purged))) => assert_eq!(&**purged, host),
            other => panic!("a purge of {key} is one of {other:?}"),
        }
    }
}

fn parts(uri: Uri, version: Version, head: HeaderMap) -> Parts {
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    *request.version_mut() = version;
    *request.headers_mut() = head;
    request.into_parts().0
}

fn peer(is_trusted: bool) -> Peer {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    Peer {
        remote: local.into(),
        local: local.into(),
        is_trusted,
        is_secure: false,
        listener: Some(ListenerId::at(0)),
        retained: Arc::default(),
        claims: Arc::default(),
    }
}
