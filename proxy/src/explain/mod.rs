//! `explain`: why a request is answered as it is, as a document for people and programs.
//!
//! The steps are taken by the cache itself ([`crate::cache::explanation`]); here they get words.

mod fix;
mod last_purge;
mod lookup;
mod question;

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

pub use self::question::{ExplainQuestion, Unanswerable};

use crate::cache::answer::Answer;
use crate::cache::decision::{Decision, Plan};
use crate::cache::explanation::{self, CacheExplanation};
use crate::cache::outcome::Outcome;
use crate::client::peer::ListenerId;
use crate::front::Front;
use crate::reason::Reason;
use crate::request::RequestHead;
use process::timestamp::Timestamp;

/// Answers a question about a request. Without `fetch`, nothing is sent to an origin.
pub async fn answer(front: &Arc<Front>, question: &ExplainQuestion) -> Result<Value, Unanswerable> {
    let settings = front.settings.current();
    let head = question.head(front.cache.seed(), Arc::clone(&settings))?;
    let before = head.clone();
    let explained = explanation::explain(&front.cache, head).await;
    let answer =
        if question.fetch { explanation::fetch(&front.cache, &explained).await } else { None };
    let fetched = match answer {
        Some(answer) => Some(fetched(front, answer, before.clone()).await),
        None => None,
    };
    let last_purge = last_purge::find(front, &explained).await;
    let listener = before.peer.listener.and_then(|id: ListenerId| id.of(&settings.listen));
    let request = json!({
        "may_be_cached": explained.bypass.is_none() && explained.own_answer.is_none(),
        "reason": explained.bypass.map(|why| why.reason().as_str()),
        "cookies": explained.bypass_cookies,
    });
    let store = fetched.as_ref().map(|fetched| fetched.document.clone());
    Ok(json!({
        "method": before.method.as_str(),
        "url": question.url,
        "listener": {
            "name": listener.map(|listen| listen.name.as_str()),
            "peer": before.peer.remote.to_string(),
            "is_trusted": before.peer.is_trusted,
        },
        "rules": rules(&before),
        "key": key(question, &before, &explained.head),
        "request": request,
        "lookup": lookup::document(&explained),
        "last_purge": last_purge,
        "origin": origin(&explained),
        "store": store,
        "verdict": verdict(&explained, fetched.as_ref()),
    }))
}

struct FetchTrial {
    is_stored: bool,
    /// Why it was not.
    reason: Option<Reason>,
    document: Value,
}

/// Reads a response to its end, and looks whether `head` finds it stored: the content may have been
/// too long, or have broken off.
async fn fetched(front: &Arc<Front>, answer: Answer, head: RequestHead) -> FetchTrial {
    let Answer { response, record } = answer;
    let (parts, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut broken) = (0, None);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                bytes += frame.data_ref().map_or(0, |data| bytes::Buf::remaining(data) as u64);
            }
            Err(error) => broken = Some(error.reason()),
        }
    }
    let is_wanted = broken.is_none()
        && matches!(record.outcome, Some(Outcome::Miss | Outcome::Revalidated | Outcome::Hit));
    let after = explanation::explain(&front.cache, head).await.decision;
    let is_stored = is_wanted && after.as_ref().is_some_and(finds);
    let reason = broken.or_else(|| record.cache_status.as_ref()?.detail());
    let reason = reason.or_else(|| known(after.as_ref()).filter(|_| !is_stored));
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let document = json!({
        "is_stored": is_stored,
        "status": parts.status.as_u16(),
        "seconds": record.first_byte.map(|span: Duration| span.as_secs_f64()),
        "bytes": bytes,
        "content_type": content_type,
        "reason": reason.map(Reason::as_str),
        "cause": reason.map(Reason::cause),
    });
    FetchTrial { is_stored, reason, document }
}

/// Returns whether there is a stored response that the request selects.
const fn finds(decision: &Decision) -> bool {
    match decision {
        Decision::Hit(_) | Decision::HitStale(_) | Decision::HitAccepted(_) => true,
        Decision::Forward(_, Plan::Fetch(stale)) => stale.is_some(),
        Decision::Forward(_, Plan::FetchUncollapsed(_) | Plan::Pass(_))
        | Decision::Unsatisfiable => false,
    }
}

/// Returns why it is known that no response to the request may be stored.
fn known(decision: Option<&Decision>) -> Option<Reason> {
    match decision? {
        Decision::Forward(_, Plan::FetchUncollapsed(why) | Plan::Pass(why)) => Some(why.reason()),
        _ => None,
    }
}

/// The rules that the request matches, in the order in which they decide.
fn rules(head: &RequestHead) -> Vec<Value> {
    let Some(effects) = head.policy.effects() else { return Vec::new() };
    let list = head.policy.settings().policies.list();
    let places = effects.matched().iter().filter_map(|place| list.get(usize::from(*place)));
    places.map(|rule| json!({"name": rule.name, "number": rule.index + 1})).collect()
}

fn key(question: &ExplainQuestion, before: &RequestHead, after: &RequestHead) -> Value {
    let key = &before.key;
    let given: Vec<&str> = question.query().into_iter().flat_map(|it| it.split('&')).collect();
    let kept = before.target.path().split_once('?').map_or("", |(_, query)| query);
    let kept: Vec<&str> = kept.split('&').collect();
    let name = |part: &&str| part.split('=').next().unwrap_or_default().to_owned();
    let dropped: Vec<String> =
        given.iter().filter(|part| !kept.contains(*part)).map(name).collect();
    let cookies = |head: &RequestHead| -> Vec<String> {
        let lines = head.fields.get_all(http::header::COOKIE).iter();
        let pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        pairs.map(|pair| name(&pair.trim())).filter(|name| !name.is_empty()).collect()
    };
    let left = cookies(after);
    let dropped_cookies: Vec<String> =
        cookies(before).into_iter().filter(|name| !left.contains(name)).collect();
    json!({
        "url": key.to_string(),
        "hash": format!("{:016x}", key.hash()),
        "is_apart": key.rules().is_some(),
        "dropped_parameters": dropped,
        "dropped_cookies": dropped_cookies,
    })
}

fn origin(explained: &CacheExplanation) -> Option<Value> {
    let id = explained.origin?;
    let origin = explained.head.policy.settings().origins.get(id);
    let servers: Vec<Value> = origin
        .reports()
        .iter()
        .map(|server| {
            let state = server.health.state.as_str();
            json!({"server": server.name, "state": state, "in_flight": server.in_flight})
        })
        .collect();
    let is_of_rule = explained.head.policy.effects().is_some_and(|it| it.origin().is_some());
    Some(json!({
        "name": origin.name(),
        "because": if is_of_rule { "a rule names it" } else { "it claims the host and the path" },
        "is_usable": origin.is_usable(),
        "servers": servers,
    }))
}

/// What it comes to: the outcome, whether such a response can be a hit, and the way to change it.
fn verdict(explained: &CacheExplanation, fetched: Option<&FetchTrial>) -> Value {
    let decided = match &explained.decision {
        _ if explained.own_answer.is_some() => "answered here",
        Some(Decision::Hit(_)) => "hit",
        Some(Decision::HitStale(_) | Decision::HitAccepted(_)) => "stale",
        Some(Decision::Forward(_, Plan::Fetch(Some(_)))) => "validation",
        Some(Decision::Forward(_, Plan::Fetch(None))) => "miss",
        Some(Decision::Forward(_, Plan::FetchUncollapsed(_) | Plan::Pass(_))) => "bypass",
        Some(Decision::Unsatisfiable) | None => "answered here",
    };
    let known = known(explained.decision.as_ref())
        .or_else(|| explained.own_answer.map(|(_, reason)| reason));
    let of_fetch = fetched.map(|it| it.is_stored);
    let of_fetch_reason = fetched.and_then(|it| it.reason).filter(|_| of_fetch == Some(false));
    let is_cacheable = match (decided, of_fetch) {
        ("hit" | "stale" | "validation", _) => Some(true),
        ("bypass", Some(is_stored)) => Some(is_stored),
        ("bypass" | "answered here", _) => Some(false),
        (_, of_fetch) => of_fetch,
    };
    let reason = of_fetch_reason.or_else(|| known.filter(|_| of_fetch != Some(true)));
    json!({
        "outcome": decided,
        "is_cacheable": is_cacheable,
        "reason": reason.map(Reason::as_str),
        "cause": reason.map(Reason::cause),
        "remedy": reason.map(Reason::remedy),
        "fix": reason.and_then(|reason| fix::snippet(reason, explained)),
    })
}

/// Returns the seconds between two moments.
fn seconds_between(later: Timestamp, earlier: Timestamp) -> u64 {
    later.since(earlier).as_secs()
}
