//! A page of the site, the first and the second time.

use crate::support::{Renderer, Shellac};

#[tokio::test]
async fn a_page_is_a_miss_then_a_hit_with_the_same_bytes() {
    let renderer = Renderer::shared();
    let shellac = Shellac::before(renderer.address());
    let path = "/s/delta/p/2600?from=hit";

    let miss = shellac.client().get(path).await;
    let hit = shellac.client().get(path).await;

    assert!(miss.cache_says("fwd=uri-miss") && miss.cache_says("stored"), "{:?}", miss.fields);
    assert!(hit.is_hit(), "{:?}", hit.fields);
    assert_eq!(miss.body, hit.body);
    assert_eq!(renderer.requests_for(path).await, 1);
}

#[tokio::test]
async fn a_hit_has_the_renderers_fields_but_not_its_tags() {
    let renderer = Renderer::shared();
    let shellac = Shellac::before(renderer.address());
    let path = "/s/delta/p/2601?from=fields";
    let original = renderer.client().get(path).await;

    shellac.client().get(path).await;
    let hit = shellac.client().get(path).await;

    assert!(hit.is_hit());
    for name in ["etag", "content-type", "content-length", "cache-control"] {
        assert_eq!(hit.field(name), original.field(name), "{name}");
    }
    assert_ne!(original.field("surrogate-key"), "");
    assert_eq!(hit.field("surrogate-key"), "");
    assert_eq!(hit.body, original.body);
}
