//! `/api/v1/hottest`: the URLs of the most requested responses in memory.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use http::{Response, StatusCode};

use super::origins::decoded;
use crate::app::App;
use crate::invalidation::{TagId, Verdict};
use crate::key::Key;
use crate::purge::endpoint::{json, problem};
use crate::response::body::ResponseBody;
use crate::store::Stored;

#[derive(Debug, Default, PartialEq, Eq)]
struct HottestQuery {
    max: usize,
    deployment: Option<String>,
}

impl HottestQuery {
    fn parse(query: &str) -> Option<Self> {
        let mut read = Self { max: MAX_DEFAULT, deployment: None };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=')? {
                ("max", text) => {
                    read.max = text.parse().ok().filter(|max| (1..=MAX).contains(max))?;
                }
                ("deployment", text) => {
                    read.deployment = Some(decoded(text)).filter(|name| !name.is_empty());
                }
                _ => return None,
            }
        }
        Some(read)
    }
}

/// Answers with the URLs, the most requested one first.
pub(super) async fn hottest(app: &App, query: Option<&str>) -> Response<ResponseBody> {
    let Some(query) = HottestQuery::parse(query.unwrap_or_default()) else {
        let detail = format!("The parameters are max, 1 to {MAX}, and deployment.");
        return problem(StatusCode::BAD_REQUEST, &detail);
    };
    let (store, invalidation) = (Arc::clone(&app.store), Arc::clone(&app.invalidation));
    let of = query.deployment.map(|name| invalidation.ids().deployment(name.as_bytes()));
    let visit = move || {
        let mut found: Vec<Arc<Stored>> = Vec::new();
        store.visit(&mut |stored| {
            let is_meant = |tag: TagId| stored.provenance.carries(tag);
            if stored.response().is_some()
                && of.is_none_or(is_meant)
                && invalidation.verdict(&stored.provenance, &stored.key) != Verdict::Purged
            {
                found.push(Arc::clone(stored));
            }
        });
        urls(found, query.max)
    };
    let urls = tokio::task::spawn_blocking(visit).await.unwrap_or_default();
    let document = serde_json::json!({ "urls": urls });
    json(StatusCode::OK, document.to_string().into_bytes(), "application/json")
}

/// Returns the URLs of the most used of these, each once.
fn urls(mut found: Vec<Arc<Stored>>, max: usize) -> Vec<String> {
    found.sort_by_key(|stored| Reverse((stored.uses(), stored.last_use())));
    let mut seen = HashSet::new();
    let mut urls = Vec::new();
    for url in found.iter().map(|stored| url(&stored.key)) {
        if urls.len() == max {
            break;
        }
        if seen.insert(url.clone()) {
            urls.push(url);
        }
    }
    urls
}

fn url(key: &Key) -> String {
    let [host, path] = [key.host(), key.path()].map(String::from_utf8_lossy);
    format!("{}://{host}{path}", key.scheme().as_str())
}

pub(super) const PATH: &str = "/api/v1/hottest";
const MAX_DEFAULT: usize = 100;
const MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_many_and_of_which_deployment() {
        let of = |max, name: &str| HottestQuery {
            max,
            deployment: (!name.is_empty()).then(|| name.to_owned()),
        };
        assert_eq!(HottestQuery::parse(""), Some(of(100, "")));
        assert_eq!(HottestQuery::parse("max=5&deployment=a%26b"), Some(of(5, "a&b")));
        for wrong in ["max=0", "max=100001", "max=x", "max", "other=1"] {
            assert_eq!(HottestQuery::parse(wrong), None, "{wrong}");
        }
    }
}
