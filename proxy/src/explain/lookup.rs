//! What was found under the key, and why it may be used or not.

use serde_json::{Value, json};

use super::seconds_between;
use crate::cache::decision::{Decision, Plan};
use crate::cache::explanation::CacheExplanation;
use crate::invalidation::Verdict;
use crate::key::vary::Variant;
use crate::lookup::Found;
use crate::store::{Content, Stored};

/// Describes the look-up; `null` where there was none.
pub(super) fn document(explained: &CacheExplanation) -> Value {
    let Some(found) = &explained.found else { return Value::Null };
    let fields: Vec<&str> = explained
        .variants
        .iter()
        .filter_map(|stored| stored.variant.as_deref())
        .flat_map(Variant::names)
        .map(http::HeaderName::as_str)
        .collect();
    let mut fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
    fields.sort_unstable();
    fields.dedup();
    let mut document = match found {
        Found::Nothing(reason) => json!({"fwd": reason.as_str()}),
        Found::Stored(stored, verdict) => of_stored(explained, stored, *verdict),
    };
    if let Some(map) = document.as_object_mut() {
        map.insert("why".to_owned(), why(explained, found).into());
        map.insert("variants".to_owned(), explained.variants.len().into());
        map.insert("variants_differ_by".to_owned(), fields.into());
        map.insert("is_from_disk".to_owned(), explained.is_cold.into());
    }
    document
}

fn of_stored(explained: &CacheExplanation, stored: &Stored, verdict: Verdict) -> Value {
    let now = explained.now;
    let purge = match verdict {
        Verdict::Valid => Value::Null,
        Verdict::Purged => json!({"mode": "hard"}),
        Verdict::Soft(at) => json!({"mode": "soft", "seconds_ago": seconds_between(now, at)}),
        Verdict::Unproven => json!({"mode": "unproven"}),
    };
    let fwd = match &explained.decision {
        Some(Decision::Forward(reason, _)) => Some(reason.as_str()),
        _ => None,
    };
    match &stored.content {
        Content::Uncacheable { reason, until } => json!({
            "fwd": fwd,
            "marker": reason.reason().as_str(),
            "marker_seconds": until.since(now).as_secs(),
            "purge": purge,
        }),
        Content::Response(response) => {
            let soft = stored.provenance.soft_purged();
            json!({
                "fwd": fwd,
                "status": response.status.as_u16(),
                "age": response.freshness.age(now).as_secs(),
                "ttl": response.freshness.ttl(now, soft),
                "lifetime": response.freshness.lifetime().as_secs(),
                "bytes": response.body.length(),
                "is_part": response.part.is_some(),
                "purge": purge,
            })
        }
    }
}

/// Says in words why the stored response, if there is one, may be used or not.
fn why(explained: &CacheExplanation, found: &Found) -> &'static str {
    use crate::field::cache_status::ForwardReason;

    match (&explained.decision, found) {
        (Some(Decision::Hit(_)), _) => "it is stored and fresh",
        (Some(Decision::HitStale(_)), _) => {
            "it is stale, and served while it is validated in the background"
        }
        (Some(Decision::HitAccepted(_)), _) => "it is stale, and the client accepts that",
        (_, Found::Nothing(ForwardReason::VaryMiss)) => {
            "other variants of the URL are stored, and none for these fields"
        }
        (_, Found::Nothing(ForwardReason::Partial)) => {
            "a part is stored, and not the one asked for"
        }
        (_, Found::Nothing(_)) => "nothing is stored under this key",
        (_, Found::Stored(_, Verdict::Purged)) => "it was purged",
        (_, Found::Stored(_, Verdict::Unproven)) => {
            "it may have missed a purge: the origin has to confirm it"
        }
        (_, Found::Stored(stored, _)) if stored.response().is_none() => {
            "the last response could not be stored: requests do not wait for one another"
        }
        (Some(Decision::Forward(ForwardReason::Request, _)), _) => {
            "the request's own fields do not accept what is stored"
        }
        (Some(Decision::Forward(_, Plan::Fetch(Some(_)))), Found::Stored(_, Verdict::Soft(_))) => {
            "it was purged softly: the origin has to confirm it"
        }
        (Some(Decision::Forward(_, Plan::Fetch(Some(_)))), _) => {
            "it is stale: the origin has to confirm it"
        }
        _ => "it may not be used",
    }
}
