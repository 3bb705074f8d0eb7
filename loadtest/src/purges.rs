//! Purges beside the load: one tag at a time, at a steady pace, popular pages more often.
//!
//! Sent as `PURGE` with the tag in `Surrogate-Key`, which Shellac's admin listener and Fastly-like
//! caches understand.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Empty;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::Connection;
use crate::popularity::Popularity;
use crate::random::Random;
use crate::target::Target;

/// A tag with `{n}` where a page's number goes.
#[derive(Clone, Debug)]
pub(crate) struct TagTemplate(String);

impl TagTemplate {
    fn tag(&self, number: usize) -> String {
        self.0.replace("{n}", &number.to_string())
    }
}

impl FromStr for TagTemplate {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        ensure!(text.contains("{n}"), "{text:?} has no {{n}} in it");
        ensure!(HeaderValue::from_str(text).is_ok(), "{text:?} cannot be in a field");
        Ok(Self(text.to_owned()))
    }
}

/// What to purge, and where.
#[derive(Debug)]
pub(crate) struct Purges {
    pub(crate) target: Arc<Target>,
    pub(crate) every: Duration,
    pub(crate) template: TagTemplate,
    pub(crate) popularity: Popularity,
    pub(crate) seed: u64,
}

/// How many purges were answered with success, and how many were not.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct PurgeCounts {
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

/// Purges until it is dropped.
pub(crate) async fn purge_steadily(purges: &Purges, counts: &Mutex<PurgeCounts>) -> Infallible {
    let mut ticks = interval(purges.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut random = Random::seeded(purges.seed);
    loop {
        ticks.tick().await;
        let tag = purges.template.tag(purges.popularity.pick(random.unit()));
        let is_done = purge(&purges.target, &tag).await.is_ok();
        let mut counts = counts.lock();
        if is_done {
            counts.done += 1;
        } else {
            counts.failed += 1;
        }
    }
}

async fn purge(target: &Arc<Target>, tag: &str) -> anyhow::Result<()> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::from_bytes(b"PURGE")?;
    *request.uri_mut() = target.path().clone();
    request
        .headers_mut()
        .insert(HeaderName::from_static("surrogate-key"), HeaderValue::from_str(tag)?);

    let mut connection = Connection::open(Arc::clone(target)).await?;
    let head = connection.send(request, PURGE_TIMEOUT, |_| ()).await?;
    ensure!(head.status.is_success(), "status {}", head.status);
    Ok(())
}

const PURGE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_one_tag_per_page() {
        let template: TagTemplate = "product-{n}".parse().expect("a template");

        assert_eq!(template.tag(42), "product-42");
    }

    #[test]
    fn a_template_that_always_names_the_same_tag_is_refused() {
        assert!("product".parse::<TagTemplate>().is_err());
        assert!("product-{n}\n".parse::<TagTemplate>().is_err());
    }
}
