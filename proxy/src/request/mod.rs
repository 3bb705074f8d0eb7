//! `Inbound`: a request in normal form, field by field what the cache and the origin may rely on.
//!
//! Key bytes and forwarded bytes are the same bytes: the host is canonical, the path is as the
//! client wrote it or a rule rewrote it, and what a filter drops from the query is in neither.
//! Rules match what the client sent.

pub mod soundness;
pub mod refusal;
pub mod target;
mod forwarding;
pub mod ruled;
pub mod trace;
pub mod max_forwards;
pub mod details;
pub mod span;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HeaderMap, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use purge_protocol::foreign::is_purge_method;

use self::details::KeptDetails;
use self::refusal::Refusal;
use self::target::Target;
use crate::client::exchange::Interim;
use crate::client::peer::Peer;
use crate::field::hop_by_hop;
use crate::freshness::{RequestDirectives, RequestFacts};
use crate::key::{Key, KeySeed};
use crate::origins::OriginId;
use crate::policy::cookies::CookieRules;
use crate::policy::rules::ResponseTerms;
use crate::policy::{RequestPolicy, SettingsSnapshot};
use settings::LimitSettings;

#[derive(Debug)]
pub struct Inbound {
    /// In a box: it moves through every step of a request.
    pub head: Box<RequestHead>,
    pub body: Incoming,
    /// The handle by which the connection becomes a tunnel, if it asks for a WebSocket. An offer of
    /// any other protocol is as if it had not been made (RFC 9110 §7.8).
    pub upgrade: Option<OnUpgrade>,
}

#[derive(Clone, Debug)]
pub struct RequestHead {
    pub method: Method,
    pub version: Version,
    pub target: Target,
    pub policy: RequestPolicy,
    pub key: Key,
    /// The key of its own URL, where `key` is that of an equivalent one: its stored response is of
    /// use here, and what the origin is asked for it is for all of them.
    pub asked: Option<Box<Key>>,
    pub fields: HeaderMap,
    pub peer: Arc<Peer>,
    /// `None` where interim responses are not relayed.
    pub interim: Option<Interim>,
    pub details: KeptDetails,
}

/// A request that is not carried out.
#[derive(Debug)]
pub struct Refused {
    pub refusal: Refusal,
    /// Its fields, which say what kind of answer is wanted.
    pub fields: HeaderMap,
}

impl Inbound {
    /// Reads a request under these settings, or says why it is refused. `seed` is the secret of the
    /// key hashes.
    pub fn read(
        parts: Parts,
        body: Incoming,
        peer: &Arc<Peer>,
        seed: KeySeed,
        settings: Arc<SettingsSnapshot>,
    ) -> Result<Self, Refused> {
        let is_bare = http_body::Body::is_end_stream(&body);
        let (head, upgrade) = RequestHead::read(parts, is_bare, peer, seed, settings)?;
        Ok(Self { head, body, upgrade })
    }

    /// Applies the rules that stand behind both protocols' readers. Returns also whether
    /// `Connection` is there.
    fn check(
        parts: &mut Parts,
        peer: &Peer,
        limits: &LimitSettings,
    ) -> Result<(Target, bool), Refusal> {
        let has_options = parts.headers.contains_key(CONNECTION);
        if has_options && hop_by_hop::names_protected(&parts.headers) {
            return Err(Refusal::Connection);
        }
        if has_options {
            hop_by_hop::remove_named(&mut parts.headers);
        }
        CookieRules::join_crumbs(&mut parts.headers);
        soundness::check(parts, limits)?;
        let target = Target::read(parts, peer, limits.max_url)?;
        Ok((target, has_options))
    }

    /// Returns whether it carries content. Over HTTP/2, content without a byte may end in a frame
    /// of its own.
    pub fn has_body(&self) -> bool {
        let body = &self.body;
        let is_empty = http_body::Body::size_hint(body).exact() == Some(0);
        !is_empty && !http_body::Body::is_end_stream(body)
    }
}

/// Returns the client's address if a rule asks for it.
fn client_of(fields: &HeaderMap, peer: &Peer, settings: &SettingsSnapshot) -> Option<IpAddr> {
    if !settings.policies.rules()?.asks_for_client() {
        return None;
    }
    let listen = peer.listener.and_then(|listener| listener.of(&settings.listen));
    let trusted = listen.map_or(&[][..], |listen| &listen.trusted_proxies);
    forwarding::client_address(fields, peer, trusted)
}

impl RequestHead {
    /// Tells the origin which span of ours calls it, if there is one.
    pub fn forward_span(&mut self) {
        if let Some(span) = self.details.span_mut() {
            span.forward(&mut self.fields);
        }
    }

    /// Returns the key of its own URL.
    pub fn own_key(&self) -> &Key {
        self.asked.as_deref().unwrap_or(&self.key)
    }

    /// Looks for its response under the key of an equivalent URL.
    pub fn answer_as(&mut self, key: Key) {
        let before = std::mem::replace(&mut self.key, key);
        self.asked.get_or_insert_with(|| Box::new(before));
    }

    /// Looks for its response under its own URL again.
    pub fn answer_as_asked(&mut self) {
        if let Some(own) = self.asked.take() {
            self.key = *own;
        }
    }

    /// Returns whether a response with these fields, for its own URL, is one for the URL of `key`
    /// as well.
    pub fn is_shared_by(&self, response: &HeaderMap) -> bool {
        self.asked.as_ref().is_none_or(|own| {
            let variance = self.policy.search_variance(response);
            variance.is_some_and(|it| it.are_equivalent(own.path(), self.key.path()))
        })
    }

    /// Returns a copy of this head for a fetch in the background, which this request calls.
    #[must_use]
    pub fn for_refresh(&self) -> Self {
        let mut head = self.clone();
        if let Some(span) = self.details.span() {
            span.call(&mut head.fields);
        }
        head
    }

    /// Returns whether the response says for how long it was waited for.
    pub fn tells_times(&self) -> bool {
        self.policy.settings().own_fields.adds_server_timing
    }

    /// Reads a head under these settings, or says why it is refused. Returns also the handle by
    /// which the connection becomes a tunnel. `is_bare` says that no content follows.
    pub fn read(
        mut parts: Parts,
        is_bare: bool,
        peer: &Arc<Peer>,
        seed: KeySeed,
        settings: Arc<SettingsSnapshot>,
    ) -> Result<(Box<Self>, Option<OnUpgrade>), Refused> {
        if let (true, Some(listener)) = (peer.is_trusted, peer.listener)
            && let Some(listen) = listener.of(&settings.listen)
        {
            forwarding::normalize(&mut parts.headers, listen);
        }
        let (mut target, has_options) = match Inbound::check(&mut parts, peer, &settings.limits) {
            Ok(sound) => sound,
            Err(refusal) => return Err(Refused { refusal, fields: parts.headers }),
        };
        let Parts { method, version, mut headers, mut extensions, .. } = parts;
        // A purge is of what it names, however that is stored, and whatever rules say.
        let is_purge = method != Method::GET && is_purge_method(method.as_str());
        let (policy, apart) = if is_purge {
            (RequestPolicy::without_rules(settings), None)
        } else if settings.policies.rules().is_none() {
            let policy = RequestPolicy::without_rules(settings);
            target.filter(&policy.query);
            if let Some(variants) = &policy.variants {
                variants.prepare(&mut headers, peer.is_trusted);
            }
            (policy, None)
        } else {
            let client = client_of(&headers, peer, &settings);
            match ruled::apply(settings, (&method, client, Some(peer)), &mut target, &mut headers) {
                Ok(ruled) => ruled,
                Err(refusal) => return Err(Refused { refusal, fields: headers }),
            }
        };
        if let Some(compression) = &policy.compression {
            compression.reduce(&mut headers);
        }
        let mut key = policy.key(seed, peer.scheme_of(&headers), target.host(), target.path());
        if apart.is_some() {
            key = key.with_rules(seed, apart);
        }
        // With content, nobody could tell where the tunnel begins.
        let asks_for_tunnel = has_options
            && method == Method::GET
            && version == Version::HTTP_11
            && is_bare
            && hop_by_hop::ask_for_websocket(&headers);
        let upgrade = asks_for_tunnel.then(|| extensions.remove()).flatten();
        let head = Box::new(Self {
            method,
            version,
            target,
            policy,
            key,
            asked: None,
            fields: headers,
            peer: Arc::clone(peer),
            interim: None,
            details: KeptDetails::default(),
        });
        Ok((head, upgrade))
    }

    /// Returns the client's address, as far as trusted peers tell it.
    pub fn client(&self) -> Option<IpAddr> {
        let listen =
            self.peer.listener.and_then(|listener| listener.of(&self.policy.settings().listen));
        let trusted = listen.map_or(&[][..], |listen| &listen.trusted_proxies);
        forwarding::client_address(&self.fields, &self.peer, trusted)
    }

    /// Chooses the origin that the request is forwarded to, or returns `None` if none claims it.
    pub fn claim(&mut self) -> Option<OriginId> {
        self.peer.note_claims(&self.fields);
        self.policy.claim(self.target.host(), self.target.path())
    }

    /// Returns whether the answer to this HEAD is what everyone's GET would be given: nothing in it
    /// is this client's own. One that forbids storing, or asks for more than a look, tells nothing
    /// about what is stored.
    pub fn describes_get(&self) -> bool {
        let is_own = [AUTHORIZATION, COOKIE, IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH]
            .iter()
            .chain(&[IF_MODIFIED_SINCE, RANGE, CONTENT_LENGTH, TRANSFER_ENCODING])
            .any(|name| self.fields.contains_key(name));
        self.method == Method::HEAD && !is_own && !RequestDirectives::of(&self.fields).no_store
    }

    /// Returns whether it asks for a stored response or none (RFC 9111 §5.2.1.7).
    pub fn wants_stored_only(&self) -> bool {
        let may_be_stored = self.method == Method::GET || self.method == Method::HEAD;
        may_be_stored && RequestDirectives::of(&self.fields).only_if_cached
    }

    /// Returns its fields as they select the plain form of a response that is stored in several.
    pub fn fields_of_plain(&self) -> Cow<'_, HeaderMap> {
        if !self.fields.contains_key(ACCEPT_ENCODING) {
            return Cow::Borrowed(&self.fields);
        }
        let mut fields = self.fields.clone();
        fields.remove(ACCEPT_ENCODING);
        Cow::Owned(fields)
    }

    /// Returns the path of the page that the URL belongs to, if a rule names it.
    pub fn page(&self) -> Option<String> {
        self.policy.effects()?.page(self.target.host(), self.target.original())
    }

    /// Returns what the rules say of a response; `None` where none says anything of responses.
    pub fn judge(&self, status: StatusCode, fields: &HeaderMap) -> Option<ResponseTerms> {
        let url = (self.target.host(), self.target.original());
        self.policy.effects()?.judge(url, status, fields)
    }

    /// Returns the fields that clients see of a response that is not stored.
    pub fn shown(&self, status: StatusCode, fields: &HeaderMap) -> HeaderMap {
        let mut shown = self.policy.public(fields);
        if let Some(ruled) = self.judge(status, fields) {
            ruled.fields.apply(&mut shown);
        }
        shown
    }

    pub fn facts(&self) -> RequestFacts {
        RequestFacts {
            method: self.method.clone(),
            has_authorization: self.fields.contains_key(AUTHORIZATION),
            directives: RequestDirectives::of(&self.fields),
        }
    }
}
