//! The last purge of the page in question, of those that the proxy remembers.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cache::explanation::CacheExplanation;
use crate::front::Front;
use crate::lookup::Found;
use crate::purge::LastPurge;

/// Describes the purge; `null` where none is remembered that names the page.
pub(super) async fn find(front: &Front, explained: &CacheExplanation) -> Value {
    let executor = Arc::clone(front.purge_endpoint.executor());
    let (key, page) = (explained.head.key.clone(), explained.head.page());
    let loaded = match &explained.found {
        Some(Found::Stored(stored, _)) => Some(Arc::clone(stored)),
        Some(Found::Nothing(_)) | None => None,
    };
    let find =
        move || LastPurge::of(&executor, &key, page.as_deref().map(str::as_bytes), loaded.as_ref());
    let found = tokio::task::spawn_blocking(find).await.ok().flatten();
    found.as_ref().map_or(Value::Null, document)
}

fn document(last: &LastPurge) -> Value {
    let LastPurge { purge, selector, seconds_ago } = last;
    json!({
        "id": purge.id,
        "at": purge.at,
        "seconds_ago": seconds_ago,
        "selector": selector,
        "mode": purge.mode,
        "objects": purge.objects,
        "source": purge.source,
        "client": purge.client,
        "position": purge.position,
        "event": purge.event,
        "reason": purge.reason,
    })
}
