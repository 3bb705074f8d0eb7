//! `CacheExplanation`: the steps by which a request would be answered, taken by the code that
//! answers requests.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use super::answer::Answer;
use super::decision::{Decision, Plan};
use super::{Cache, bypass};
use crate::client::busy::Busy;
use crate::freshness::Uncacheable;
use crate::lookup::Found;
use crate::origins::OriginId;
use crate::policy::cookies::BypassCookie;
use crate::reason::Reason;
use crate::request::{RequestHead, trace};
use crate::store::{Promote, Stored, cold};
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct CacheExplanation {
    /// As the cache works with it: without the cookies that were dropped.
    pub head: RequestHead,
    pub now: Timestamp,
    /// The answer that no look-up and no origin is needed for.
    pub own_answer: Option<(StatusCode, Reason)>,
    /// The reason for which the cache is not asked.
    pub bypass: Option<Uncacheable>,
    /// The names of cookies for which the cache is not asked.
    pub bypass_cookies: Vec<String>,
    /// The stored response that the request selects; `None` where none was looked for.
    pub found: Option<Found>,
    /// Every stored response of the key that is in memory.
    pub variants: Vec<Arc<Stored>>,
    /// A response had to be loaded from the disk.
    pub is_cold: bool,
    pub decision: Option<Decision>,
    /// The origin that the request would be forwarded to.
    pub origin: Option<OriginId>,
}

/// Takes the steps of [`Cache::begin`] for a request without content. Nothing is counted, and
/// nothing is sent.
pub async fn explain(cache: &Cache, mut head: RequestHead) -> CacheExplanation {
    let now = cache.clock.now();
    if let Some(Answer { response, record }) = cache.answer_of_rule(&head) {
        let reason = record.reason().unwrap_or(Reason::Rule);
        let own_answer = Some((response.status(), reason));
        return CacheExplanation { own_answer, ..CacheExplanation::new(head, now) };
    }
    let bypass = bypass(&head, false, false);
    let cookies = match bypass {
        Some((_, Uncacheable::Cookie)) => {
            let names = head.policy.cookies.bypassing(&head.fields);
            names.iter().map(name_of).collect()
        }
        _ => Vec::new(),
    };
    let (mut decision, _) = cache.consider(&mut head, bypass);
    let mut loaded = Vec::new();
    let is_cold = bypass.is_none() && cache.may_load(&head, &decision);
    if is_cold {
        loaded = cold::load(&*cache.store, &head.key, Promote::IfHot).await;
        (decision, _) = cache.look_up(&mut head, &loaded);
    }
    let found = bypass.is_none().then(|| cache.find(&head, &loaded, now).found);
    let mut variants = cache.store.by_hash(head.key.hash());
    variants.retain(|stored| stored.key == head.key);
    let mut own_answer = None;
    let mut origin = None;
    match &decision {
        Decision::Forward(..) => {
            let name = &head.policy.settings().own_fields.name;
            if trace::passes(&head.fields, name) > trace::PASSES_MAX {
                own_answer = Some((StatusCode::LOOP_DETECTED, Reason::Loop));
            } else {
                origin = head.claim();
            }
            if own_answer.is_none() && origin.is_none() {
                own_answer = Some(if head.policy.is_only_stored() {
                    (StatusCode::GATEWAY_TIMEOUT, Reason::NotStored)
                } else {
                    (StatusCode::NOT_FOUND, Reason::Unclaimed)
                });
            }
        }
        Decision::Unsatisfiable => {
            own_answer = Some((StatusCode::GATEWAY_TIMEOUT, Reason::OnlyIfCached));
        }
        Decision::Hit(_) | Decision::HitStale(_) | Decision::HitAccepted(_) => {}
    }
    CacheExplanation {
        own_answer,
        bypass: bypass.map(|(_, why)| why),
        bypass_cookies: cookies,
        found,
        variants,
        is_cold,
        decision: Some(decision),
        origin,
        ..CacheExplanation::new(head, now)
    }
}

/// Fetches the response of a request that would be fetched and could be shared, as a request of a
/// client would: it is stored if it may be. Returns `None` where the request is answered otherwise,
/// or passed.
pub async fn fetch(cache: &Cache, explanation: &CacheExplanation) -> Option<Answer> {
    explanation.origin?;
    let (reason, uncacheable, stale) = match explanation.decision.clone()? {
        Decision::Forward(reason, Plan::Fetch(stale)) => (reason, None, stale),
        Decision::Forward(reason, Plan::FetchUncollapsed(why)) => (reason, Some(why), None),
        _ => return None,
    };
    let mut head = Box::new(explanation.head.clone());
    trace::identify(&mut head.fields);
    let variant = cache.find(&head, &[], explanation.now).variant;
    let started = Instant::now();
    let mut answer = cache.fetch(head, reason, uncacheable, stale, variant, Busy::default()).await;
    answer.record.first_byte = Some(started.elapsed());
    Some(answer)
}

fn name_of(cookie: &BypassCookie<'_>) -> String {
    match cookie {
        BypassCookie::Listed(pattern) => (*pattern).to_owned(),
        BypassCookie::Unlisted(name) => String::from_utf8_lossy(name).into_owned(),
    }
}

impl CacheExplanation {
    const fn new(head: RequestHead, now: Timestamp) -> Self {
        Self {
            head,
            now,
            own_answer: None,
            bypass: None,
            bypass_cookies: Vec::new(),
            found: None,
            variants: Vec::new(),
            is_cold: false,
            decision: None,
            origin: None,
        }
    }
}
