//! Rules, applied to a request before it is looked up.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::refusal::Refusal;
use super::target::Target;
use crate::client::peer::Peer;
use crate::key::KeyRules;
use crate::policy::matcher::RequestView;
use crate::policy::rules::next_rsc;
use crate::policy::{RequestPolicy, SettingsSnapshot};

/// Resolves the policy of a request, rewrites its path, filters its query and edits its fields.
/// Returns also the rules that keep its response apart from others of the same URL.
///
/// `peer` has sent the request; `None`: it is one of our own.
pub fn apply(
    settings: Arc<SettingsSnapshot>,
    (method, client, peer): (&Method, Option<IpAddr>, Option<&Peer>),
    target: &mut Target,
    fields: &mut HeaderMap,
) -> Result<(RequestPolicy, Option<KeyRules>), Refusal> {
    let view =
        RequestView { client, ..RequestView::new(method, target.host(), target.path(), fields) };
    let policy = RequestPolicy::resolve(settings, &view);
    let mut apart = None;
    if let Some(effects) = policy.effects() {
        if effects.answers() {
            return Ok((policy, None)); // with the query as it is
        }
        apart = effects.apart();
        if let Some(rewritten) = effects.rewritten(target.host(), target.path()) {
            let limit = policy.settings().limits.max_url;
            if rewritten.len() > limit {
                return Err(Refusal::UriTooLong { limit });
            }
            let direct = RequestView::new(method, target.host(), &rewritten, fields);
            apart = policy.apart_when_rewritten(&RequestView { client, ..direct });
            target.rewrite(rewritten);
        }
        if let (Some(variants), Some(peer)) = (&policy.variants, peer) {
            variants.prepare(fields, peer.is_trusted); // a rule may know better
        }
        effects.request_fields().apply(fields);
        if effects.next_rsc() {
            target.rewrite(next_rsc::of_key(target.path(), fields));
        }
    }
    if let (Some(variants), Some(peer), None) = (&policy.variants, peer, policy.effects()) {
        variants.prepare(fields, peer.is_trusted);
    }
    target.filter(&policy.query);
    Ok((policy, apart))
}
