//! `/api/v1/objects`: what is stored, page by page, or all that is stored of one URL.
//!
//! A walk through memory copies references of one shard at a time, so that no request waits for it.
//! A walk through the file reads heads in the order of the hashes of keys. Each ends after
//! [`WALK_MAX`], and the page says so, or ends there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Response, StatusCode};
use purge_protocol::CanonicalUrl;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::origins::decoded;
use crate::app::App;
use crate::compression;
use crate::compression::form::ContentForm;
use crate::fetch;
use crate::freshness::Staleness;
use crate::invalidation::{TagId, Verdict};
use crate::key::Key;
use crate::purge::endpoint::{json as respond, problem};
use crate::purge::stored_of;
use crate::response::body::ResponseBody;
use crate::store::{Show, Stored};
use process::timestamp::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ObjectsQuery {
    url: Option<String>,
    tag: Option<String>,
    /// The beginning of URLs.
    prefix: Option<String>,
    larger: u64,
    older: u64,
    limit: usize,
    /// The place after which the page begins.
    after: Option<u64>,
}

impl ObjectsQuery {
    fn parse(query: &str) -> Option<Self> {
        let mut read = Self { limit: LIMIT_DEFAULT, ..Self::default() };
        let text = |text: &str| Some(decoded(text)).filter(|text| !text.is_empty());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=')? {
                ("url", value) => read.url = Some(text(value)?),
                ("tag", value) => read.tag = Some(text(value)?),
                ("prefix", value) => read.prefix = Some(text(value)?),
                ("larger", value) => read.larger = value.parse().ok()?,
                ("older", value) => read.older = value.parse().ok()?,
                ("limit", value) => {
                    read.limit =
                        value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))?;
                }
                ("after", value) => read.after = Some(u64::from_str_radix(value, 16).ok()?),
                _ => return None,
            }
        }
        Some(read)
    }

    fn tag_id(&self, app: &App) -> Option<TagId> {
        self.tag.as_ref().map(|tag| app.invalidation.ids().tag(tag.as_bytes()))
    }

    fn accepts(&self, stored: &Stored, now: Timestamp) -> bool {
        let Some(response) = stored.response() else { return false };
        let is_of_prefix =
            self.prefix.as_ref().is_none_or(|prefix| url(&stored.key).starts_with(prefix));
        response.body.length() >= self.larger
            && u64::from(response.freshness.age(now).as_secs()) >= self.older
            && is_of_prefix
    }
}

pub(super) async fn objects(app: &Arc<App>, query: Option<&str>) -> Response<ResponseBody> {
    let Some(query) = ObjectsQuery::parse(query.unwrap_or_default()) else {
        let detail = format!(
            "The parameters are url, or tag, prefix, larger (bytes), older (seconds), limit, 1 to {LIMIT_MAX}, and after."
        );
        return problem(StatusCode::BAD_REQUEST, &detail);
    };
    let document = match &query.url {
        Some(url) => match CanonicalUrl::parse(url) {
            Ok(url) => show(app, &url).await,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("The url: {error}.")),
        },
        None => list(app, query).await,
    };
    respond(StatusCode::OK, document.to_string().into_bytes(), "application/json")
}

/// Shows every variant of a URL, those in the file, too.
async fn show(app: &App, url: &CanonicalUrl) -> Value {
    let stored = stored_of(&app.executor, url).await;
    let now = app.clock().now();
    let rules = app.settings.current();
    let one = |(stored, tier): &(Arc<Stored>, &'static str)| {
        let mut object = object(app, stored, now);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("tier".to_owned(), (*tier).into());
            let tags = stored.response().map(|response| {
                let fields = response.fields.to_map(Show::All, 0);
                fetch::tags::names(&fields, &rules.policies.default().tags)
            });
            fields.insert("tags".to_owned(), tags.unwrap_or_default().into());
        }
        object
    };
    let objects: Vec<_> =
        stored.iter().filter(|(stored, _)| stored.response().is_some()).map(one).collect();
    json!({"url": url.to_string(), "objects": objects})
}

/// Shows a page of what is stored, in the order of the hashes of keys.
async fn list(app: &Arc<App>, query: ObjectsQuery) -> Value {
    let walking = Arc::clone(app);
    let walk = move || {
        let mut page = ObjectsPage::new(&query, walking.clock().now());
        page.walk_memory(&walking);
        page.walk_file(&walking);
        page.into_document(&walking)
    };
    tokio::task::spawn_blocking(walk).await.unwrap_or_default()
}

/// A page while it is looked for.
struct ObjectsPage<'a> {
    query: &'a ObjectsQuery,
    now: Timestamp,
    /// By hash and version, with the tier. One more than a page holds, at most.
    found: BTreeMap<(u64, u64), (Arc<Stored>, &'static str)>,
    is_partial: bool,
    /// The place up to which the file was looked at, if the page ends there.
    cut: Option<u64>,
}

impl<'a> ObjectsPage<'a> {
    const fn new(query: &'a ObjectsQuery, now: Timestamp) -> Self {
        Self { query, now, found: BTreeMap::new(), is_partial: false, cut: None }
    }

    /// Returns whether everything at this hash and behind it is on a later page.
    fn ends_before(&self, hash: u64) -> bool {
        self.found.len() > self.query.limit
            && self.found.last_key_value().is_some_and(|((last, _), _)| hash > *last)
    }

    fn take(&mut self, stored: &Arc<Stored>, tier: &'static str) {
        let hash = stored.key.hash();
        let is_after = self.query.after.is_none_or(|after| hash > after);
        if is_after && !self.ends_before(hash) && self.query.accepts(stored, self.now) {
            // Without a file there are no versions.
            let address = Arc::as_ptr(stored).addr() as u64;
            let version = if stored.version == 0 { address } else { stored.version };
            self.found.entry((hash, version)).or_insert_with(|| (Arc::clone(stored), tier));
            if self.found.len() > self.query.limit + 1 {
                self.found.pop_last();
            }
        }
    }

    fn walk_memory(&mut self, app: &App) {
        let deadline = Instant::now() + WALK_MAX;
        if let Some(id) = self.query.tag_id(app) {
            let mut hashes = app.invalidation.ids().key_hashes(id);
            hashes.sort_unstable();
            hashes.dedup();
            for hash in hashes {
                if Instant::now() > deadline {
                    self.is_partial = true;
                    break;
                }
                let carries = |stored: &&Arc<Stored>| stored.provenance.carries(id);
                app.store
                    .by_hash(hash)
                    .iter()
                    .filter(carries)
                    .for_each(|it| self.take(it, "memory"));
            }
        } else {
            let mut walked = 0_u64;
            app.store.visit(&mut |stored| {
                walked += 1;
                if walked.is_multiple_of(WALK_STEP) && Instant::now() > deadline {
                    self.is_partial = true;
                }
                if !self.is_partial {
                    self.take(stored, "memory");
                }
            });
        }
    }

    /// Reads the heads of what is in the file only. Where that takes too long, the page ends there.
    fn walk_file(&mut self, app: &App) {
        let Some(file) = app.store.cold() else { return };
        let deadline = Instant::now() + WALK_MAX;
        let tag = self.query.tag_id(app);
        let Some(from) = self.query.after.map_or(Some(0), |after| after.checked_add(1)) else {
            return;
        };
        file.walk(from, tag, &mut |stored| {
            let hash = stored.key.hash();
            if self.ends_before(hash) {
                return ControlFlow::Break(());
            }
            if Instant::now() > deadline && hash > from {
                self.cut = Some(hash - 1);
                return ControlFlow::Break(());
            }
            if tag.is_none_or(|id| stored.provenance.carries(id)) {
                self.take(stored, "file");
            }
            ControlFlow::Continue(())
        });
        if let Some(cut) = self.cut {
            self.found.retain(|(hash, _), _| *hash <= cut);
        }
    }

    fn into_document(mut self, app: &App) -> Value {
        let next = next_page(&mut self.found, self.query.limit).or(self.cut);
        let shown = |(stored, tier): &(Arc<Stored>, &str)| {
            let mut object = object(app, stored, self.now);
            if let Some(fields) = object.as_object_mut() {
                fields.insert("tier".to_owned(), (*tier).into());
            }
            object
        };
        json!({
            "objects": self.found.values().map(shown).collect::<Vec<_>>(),
            "next": next.map(|next| format!("{next:016x}")),
            "is_partial": self.is_partial,
        })
    }
}

/// Cuts what was found to a page. Variants of one key are not divided, but where they alone are
/// more than a page. Returns the place after which the next one begins.
fn next_page<T>(found: &mut BTreeMap<(u64, u64), T>, limit: usize) -> Option<u64> {
    if found.len() <= limit {
        return None;
    }
    let ((over, _), _) = found.pop_last()?;
    let begins_with_it = found.first_key_value().is_some_and(|((first, _), _)| *first == over);
    if !begins_with_it {
        found.retain(|(hash, _), _| *hash != over);
    }
    found.last_key_value().map(|((last, _), _)| *last)
}

/// Returns what operators may know of a stored response: no field of it, and no value of a field
/// that selects it.
fn object(app: &App, stored: &Stored, now: Timestamp) -> Value {
    let Some(response) = stored.response() else { return Value::Null };
    let verdict = app.invalidation.verdict(&stored.provenance, &stored.key);
    let soft = stored.provenance.soft_purged();
    let state = match (verdict, response.freshness.state(now, soft)) {
        (Verdict::Purged, _) => "purged",
        (Verdict::Unproven, _) => "unproven",
        (_, Staleness::Fresh) => "fresh",
        _ => "stale",
    };
    let form = match stored.form() {
        ContentForm::Compressed(coding) => Some(compression::name(coding)),
        ContentForm::AsReceived | ContentForm::Compressible => None,
    };
    let varies = stored.variant.as_ref().map_or(&[][..], |variant| variant.names());
    let media = response.fields.to_map(Show::Public, 0).remove("content-type");
    json!({
        "url": url(&stored.key),
        "status": response.status.as_u16(),
        "media_type": media.and_then(|media| media.to_str().ok().map(str::to_owned)),
        "bytes": response.body.length(),
        "occupies_bytes": stored.cost(),
        "age_seconds": response.freshness.age(now).as_secs(),
        "ttl_seconds": response.freshness.ttl(now, soft),
        "state": state,
        "compressed": form,
        "varies_by": varies.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
        "is_part": response.part.is_some(),
        "tag_count": stored.provenance.ids().collect::<Vec<TagId>>().len(),
        "seconds_used": stored.uses(),
    })
}

fn url(key: &Key) -> String {
    let [host, path] = [key.host(), key.path()].map(String::from_utf8_lossy);
    format!("{}://{host}{path}", key.scheme().as_str())
}

pub(super) const PATH: &str = "/api/v1/objects";
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;
/// The longest walk.
const WALK_MAX: Duration = Duration::from_secs(2);
/// Responses between two looks at the time.
const WALK_STEP: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_what_is_wanted() {
        let read = ObjectsQuery::parse(
            "tag=a%26b&prefix=http%3A%2F%2Fh%2F&larger=5&older=6&limit=7&after=ff",
        );
        let expected = ObjectsQuery {
            url: None,
            tag: Some("a&b".to_owned()),
            prefix: Some("http://h/".to_owned()),
            larger: 5,
            older: 6,
            limit: 7,
            after: Some(255),
        };
        assert_eq!(read, Some(expected));
        for wrong in ["limit=0", "limit=1001", "after=x", "larger=1MB", "tag=", "other=1", "url"] {
            assert_eq!(ObjectsQuery::parse(wrong), None, "{wrong}");
        }
    }
}
