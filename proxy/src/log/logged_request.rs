//! `LoggedRequest`: a record, as the lines of logs speak of it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderName, Version};
use settings::ListenSettings;

use crate::cache::outcome::Outcome;
use crate::cache::record::RequestRecord;
use crate::field::cache_status::{CacheStatus, Forwarded};
use crate::field::trace_context::{self, TRACEPARENT};
use crate::policy::SettingsSnapshot;
use crate::reason::Reason;
use crate::request::details::RequestDetails;
use crate::request::trace::X_REQUEST_ID;

/// A request that ended, with its details.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedRequest<'a> {
    pub(super) record: &'a RequestRecord,
    pub(super) details: &'a RequestDetails,
    settings: &'a SettingsSnapshot,
    /// The time at which it came, in milliseconds since 1970.
    pub(super) received_millis: u64,
}

impl<'a> LoggedRequest<'a> {
    /// `current` are the settings for a request that was refused before it had any; `wall` is the
    /// time in milliseconds since 1970.
    pub(super) fn of(
        record: &'a RequestRecord,
        current: &'a SettingsSnapshot,
        wall: u64,
    ) -> Option<Self> {
        let details = record.details.as_deref()?;
        let settings = details.settings(current);
        let took = u64::try_from(details.total.as_millis()).unwrap_or(u64::MAX);
        Some(Self { record, details, settings, received_millis: wall.saturating_sub(took) })
    }

    pub(super) fn fields(&self) -> &'a HeaderMap {
        self.details.fields()
    }

    pub(super) fn field(&self, name: &HeaderName) -> Option<&'a [u8]> {
        self.fields().get(name).map(http::HeaderValue::as_bytes)
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.details.client()
    }

    pub(super) fn method(&self) -> &'a str {
        self.details.method().unwrap_or("-")
    }

    pub(super) fn host(&self) -> &'a [u8] {
        match &self.details.head {
            Some(head) => head.target.host().as_bytes(),
            None => self.field(&HOST).unwrap_or_default(),
        }
    }

    /// The path as the client sent it, without its query.
    pub(super) fn path(&self) -> &'a [u8] {
        self.details.line.as_ref().map_or(b"", |line| line.uri.path().as_bytes())
    }

    pub(super) fn query(&self) -> Option<&'a [u8]> {
        self.details.line.as_ref()?.uri.query().map(str::as_bytes)
    }

    pub(super) fn protocol(&self) -> &'static str {
        match self.details.line.as_ref().map(|line| line.version) {
            Some(Version::HTTP_10) => "HTTP/1.0",
            Some(Version::HTTP_11) => "HTTP/1.1",
            Some(Version::HTTP_2) => "HTTP/2.0",
            _ => "-",
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        self.details.scheme()
    }

    pub(super) fn status(&self) -> u16 {
        self.record.status_code()
    }

    pub(super) const fn total(&self) -> Duration {
        self.details.total
    }

    pub(super) fn first_byte(&self) -> Duration {
        self.record.first_byte.unwrap_or(self.details.until_head)
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.record.outcome
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.record.reason()
    }

    pub(super) fn forwarded(&self) -> Option<&'a Forwarded> {
        self.record.forwarded()
    }

    /// Seconds for which a hit is fresh; negative when it is stale.
    pub(super) fn ttl(&self) -> Option<i64> {
        match self.record.cache_status.as_ref()? {
            CacheStatus::Hit { ttl, .. } => Some(*ttl),
            CacheStatus::Forward(_) | CacheStatus::Refused(_) => None,
        }
    }

    pub(super) fn origin(&self) -> Option<&'a str> {
        self.record.origin.map(|origin| self.settings.origins.get(origin).name())
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &'a str> {
        self.details.rules()
    }

    pub(super) fn listener(&self) -> Option<&'a str> {
        let listen: &ListenSettings = self.record.listener?.of(&self.settings.listen)?;
        Some(&listen.name)
    }

    pub(super) fn request_id(&self) -> Option<&'a [u8]> {
        self.field(&X_REQUEST_ID)
    }

    pub(super) fn trace_id(&self) -> Option<Cow<'a, str>> {
        if let Some(span) = &self.details.span {
            return Some(Cow::Owned(span.trace.to_string()));
        }
        let field = self.field(&TRACEPARENT)?;
        trace_context::trace_id(field).map(Cow::Borrowed)
    }

    pub(super) fn is_failed(&self) -> bool {
        self.status() >= 500 || self.record.broken.is_some()
    }
}
