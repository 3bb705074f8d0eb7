//! `RequestDetails`: the rest of what is known of a request, for the sinks of records that ask for
//! it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use tokio::time::Instant;

use super::RequestHead;
use super::span::RequestSpan;
use crate::client::peer::Peer;
use crate::policy::SettingsSnapshot;
use crate::policy::rules::RuleEffects;

/// The client, the request and a part of the response. It is made only where a sink of records asks
/// for it; the head moves in when the response is made.
#[derive(Clone, Debug)]
pub struct RequestDetails {
    pub began: Instant,
    pub peer: Arc<Peer>,
    /// `None` where the request has no spans.
    pub span: Option<RequestSpan>,
    /// As the client sent it; `None` where the bytes were no request.
    pub line: Option<RequestLine>,
    /// In normal form; `None` where the request was refused while it was read.
    pub head: Option<Box<RequestHead>>,
    /// The fields of a request that was refused.
    pub refused_fields: HeaderMap,
    /// The response's fields that a sink names.
    pub response_fields: Vec<(HeaderName, HeaderValue)>,
    /// From the request's head to the response's, as long as a hit takes.
    pub until_head: Duration,
    /// From the request's head to the last byte of the response.
    pub total: Duration,
}

#[derive(Clone, Debug)]
pub struct RequestLine {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
}

/// The details that wait in a request's head. A copy of the head has none.
#[derive(Debug, Default)]
pub struct KeptDetails(Option<Box<RequestDetails>>);

impl RequestDetails {
    pub fn begin(parts: Option<&Parts>, peer: &Arc<Peer>) -> Self {
        let line = parts.map(|parts| RequestLine {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
        });
        Self {
            began: Instant::now(),
            peer: Arc::clone(peer),
            span: None,
            line,
            head: None,
            refused_fields: HeaderMap::new(),
            response_fields: Vec::new(),
            until_head: Duration::ZERO,
            total: Duration::ZERO,
        }
    }

    /// Takes the details that wait in a head, if a sink asks for them, with the head itself.
    #[cold]
    pub fn of(mut head: Box<RequestHead>) -> Option<Box<Self>> {
        let mut details = head.details.take()?;
        head.interim = None;
        details.head = Some(head);
        Some(details)
    }

    /// Returns a copy of the details that wait in a head, with one of the head itself.
    pub fn copy_of(head: &RequestHead) -> Option<Box<Self>> {
        let details = head.details.get()?;
        let head = Some(Box::new(RequestHead { interim: None, ..head.clone() }));
        Some(Box::new(Self { head, ..details.clone() }))
    }

    /// The request's fields: in normal form, or those of a request that was refused.
    pub fn fields(&self) -> &HeaderMap {
        self.head.as_ref().map_or(&self.refused_fields, |head| &head.fields)
    }

    /// Returns the method as the client sent it.
    pub fn method(&self) -> Option<&str> {
        self.line.as_ref().map(|line| line.method.as_str())
    }

    pub fn scheme(&self) -> &'static str {
        match &self.head {
            Some(head) => head.key.scheme().as_str(),
            None if self.peer.is_secure => "https",
            None => "http",
        }
    }

    /// Returns the client's address; `None` for a Unix socket, or where a trusted peer does not say
    /// it.
    pub fn client(&self) -> Option<IpAddr> {
        match &self.head {
            Some(head) => head.client(),
            None => self.peer.remote.ip(),
        }
    }

    /// Returns the settings that the request is answered by; `current` are those for one that was
    /// refused before it had any.
    pub fn settings<'a>(&'a self, current: &'a SettingsSnapshot) -> &'a SettingsSnapshot {
        self.head.as_ref().map_or(current, |head| head.policy.settings())
    }

    /// Returns the names of the rules that matched.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let effects = self.head.as_ref().and_then(|head| head.policy.effects());
        effects.into_iter().flat_map(RuleEffects::names)
    }
}

impl KeptDetails {
    pub const fn new(details: Option<Box<RequestDetails>>) -> Self {
        Self(details)
    }

    pub const fn take(&mut self) -> Option<Box<RequestDetails>> {
        self.0.take()
    }

    pub fn get(&self) -> Option<&RequestDetails> {
        self.0.as_deref()
    }

    /// Returns the request's spans, if it has some.
    pub fn span(&self) -> Option<&RequestSpan> {
        self.get()?.span.as_ref()
    }

    pub fn span_mut(&mut self) -> Option<&mut RequestSpan> {
        self.0.as_deref_mut()?.span.as_mut()
    }
}

impl Clone for KeptDetails {
    fn clone(&self) -> Self {
        Self(None)
    }
}
