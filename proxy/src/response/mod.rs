//! Responses for clients: from a stored response, an arriving one, or one for a single client.
//!
//! Adds the fields of this proxy: `Age`, `Via`, `Cache-Status`. Evaluates preconditions and ranges
//! against stored responses.

pub mod body;
pub mod conditional;
pub mod failure;
mod multipart;
pub mod range;
mod recent;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, VIA};
use http::response::Parts;
use http::{Method, Response, StatusCode, Version};
use smallvec::SmallVec;

use self::body::{ArrivingSource, ResponseBody};
use self::conditional::{Precondition, Validators};
use self::multipart::Boundary;
use self::range::Ranges;
use self::recent::Rendering;
use crate::client::busy::Busy;
use crate::fetch::flight::FlightReader;
use crate::field::cache_status::{self, CacheStatus};
use crate::field::content_range::ContentRange;
use crate::field::hop_by_hop;
use crate::field::range::{self as range_field, ByteRange, RangeSpec};
use crate::field::server_timing;
use crate::freshness::Freshness;
use crate::policy::rules::{RuleEffects, edited};
use crate::policy::{OwnFields, SettingsSnapshot};
use crate::request::RequestHead;
use crate::store::{self, CopyMode, Show};
use process::timestamp::Timestamp;

/// The head of a response whose content is still arriving.
#[derive(Debug)]
pub struct ArrivingHead {
    pub status: StatusCode,
    pub fields: HeaderMap,
    /// `None` when it is not stored.
    pub freshness: Option<Freshness>,
    /// Bytes of content, if known.
    pub length: Option<u64>,
}

/// Makes responses, under the settings that hold for their requests.
#[derive(Clone, Copy, Debug)]
pub struct Responder<'a> {
    settings: &'a SettingsSnapshot,
}

impl<'a> Responder<'a> {
    pub const fn new(settings: &'a SettingsSnapshot) -> Self {
        Self { settings }
    }

    pub fn of(request: &'a RequestHead) -> Self {
        Self::new(request.policy.settings())
    }

    pub fn stored(
        self,
        request: &RequestHead,
        stored: &store::StoredResponse,
        now: Timestamp,
        status: &CacheStatus,
    ) -> Response<ResponseBody> {
        let tells_age = request.policy.effects().is_some_and(RuleEffects::has_browser_ttl);
        let mut fields = self.head_of(stored, now, status, tells_age);
        if let Some(part) = stored.part.as_deref() {
            return of_part(request, stored, *part, fields);
        }
        let length = stored.body.length();
        if !has_preconditions(&request.fields) {
            return if request.method == Method::HEAD {
                without_content(stored.status, fields, Some(length))
            } else {
                assemble(
                    stored.status,
                    fields,
                    ResponseBody::stored(&stored.body, supply_for(request)),
                )
            };
        }
        match requested(request, stored.status, &fields, stored.freshness.received(), Some(length))
        {
            Requested::NotModified => not_modified(&fields),
            Requested::Unsatisfiable => unsatisfiable(fields, length),
            Requested::Part(part) => partial(fields, part, length, |range| {
                ResponseBody::part(&stored.body, range, supply_for(request))
            }),
            // Of content in a file, one part is read or all of it.
            Requested::Parts(_) if matches!(stored.body, store::Body::Deferred(_)) => assemble(
                stored.status,
                fields,
                ResponseBody::stored(&stored.body, supply_for(request)),
            ),
            Requested::Parts(parts) => {
                without_digests(&mut fields);
                let body = multipart::render(&mut fields, &stored.body, &parts, Boundary::random());
                assemble(StatusCode::PARTIAL_CONTENT, fields, body)
            }
            Requested::Whole if request.method == Method::HEAD => {
                without_content(stored.status, fields, Some(length))
            }
            Requested::Whole => assemble(
                stored.status,
                fields,
                ResponseBody::stored(&stored.body, supply_for(request)),
            ),
        }
    }

    /// Returns the fields of a stored response with ours. A plain hit's are the same for a second.
    fn head_of(
        self,
        stored: &store::StoredResponse,
        now: Timestamp,
        status: &CacheStatus,
        tells_age: bool,
    ) -> HeaderMap {
        let age = stored.freshness.age(now).as_secs();
        let render = || {
            let mut fields = stored.fields.to_map(Show::Public, OWN_FIELDS);
            fields.insert(AGE, HeaderValue::from(age));
            if tells_age {
                add_age(stored, &mut fields, age);
            }
            self.add_own(&mut fields, status);
            fields
        };
        match *status {
            CacheStatus::Hit { ttl, detail: None } => {
                let (fields, settings) = (stored.fields.number(), self.settings.number());
                recent::head(Rendering { fields, settings, age, ttl }, render)
            }
            CacheStatus::Hit { .. } | CacheStatus::Forward(_) | CacheStatus::Refused(_) => render(),
        }
    }

    pub fn arriving(
        self,
        request: &RequestHead,
        head: ArrivingHead,
        reader: FlightReader,
        status: &CacheStatus,
        now: Timestamp,
        busy: Busy,
    ) -> Response<ResponseBody> {
        let mut fields = head.fields;
        let age = head.freshness.map_or(0, |freshness| freshness.age(now).as_secs());
        // A stored response that is being compressed arrives, and is a hit.
        if age > 0 || matches!(status, CacheStatus::Hit { .. }) {
            fields.insert(AGE, HeaderValue::from(age));
        }
        self.add_own(&mut fields, status);
        let source = ArrivingSource::Flight(reader, supply_for(request));
        match requested(request, head.status, &fields, now, head.length) {
            Requested::NotModified => not_modified(&fields),
            Requested::Unsatisfiable => unsatisfiable(fields, head.length.unwrap_or_default()),
            Requested::Part(part) => {
                partial(fields, part, head.length.unwrap_or_default(), |range| {
                    ResponseBody::arriving_part(source, range, busy)
                })
            }
            // The reader is dropped: content that is not stored is not read any further.
            Requested::Whole | Requested::Parts(_) if request.method == Method::HEAD => {
                without_content(head.status, fields, head.length)
            }
            // Parts are sent in the order asked for, and the content arrives in its own.
            Requested::Whole | Requested::Parts(_) => {
                assemble(head.status, fields, ResponseBody::arriving(source, head.length, busy))
            }
        }
    }

    /// Answers with a response for this client only.
    pub fn passed(
        self,
        mut parts: Parts,
        (source, length): (ArrivingSource, Option<u64>),
        status: &CacheStatus,
        busy: Busy,
    ) -> Response<ResponseBody> {
        hop_by_hop::remove(&mut parts.headers);
        self.add_own(&mut parts.headers, status);
        let body = if length == Some(0) {
            ResponseBody::Empty
        } else {
            ResponseBody::arriving(source, length, busy)
        };
        assemble(parts.status, parts.headers, body)
    }

    /// Adds our fields to a response that we made ourselves.
    pub fn own(
        self,
        mut response: Response<ResponseBody>,
        status: &CacheStatus,
    ) -> Response<ResponseBody> {
        self.add_own(response.headers_mut(), status);
        response
    }

    fn add_own(self, fields: &mut HeaderMap, status: &CacheStatus) {
        let OwnFields { name, via, adds_cache_status, adds_server_timing } =
            &self.settings.own_fields;
        fields.append(VIA, via.clone());
        if *adds_cache_status {
            fields.append(cache_status::NAME, status.value(name));
        }
        // Of a response that is waited for, the cache adds it, with the time.
        if let (true, CacheStatus::Hit { detail, .. }) = (*adds_server_timing, status) {
            let kind = if detail.is_some() { "stale" } else { "hit" };
            fields.append(server_timing::NAME, server_timing::of_store(kind));
        }
    }
}

/// Adds the age to the lifetime that clients are told, if a rule has written it.
fn add_age(stored: &store::StoredResponse, shown: &mut HeaderMap, age: u32) {
    let mut told = None;
    stored.fields.for_each(|name, value, _| {
        if name == edited::BROWSER_TTL {
            told = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        }
    });
    if let Some(told) = told {
        edited::add_age(shown, told, u64::from(age));
    }
}

/// Answers a request for bytes of a stored part; the look-up leaves all other requests to the
/// origin.
fn of_part(
    request: &RequestHead,
    stored: &store::StoredResponse,
    part: ContentRange,
    fields: HeaderMap,
) -> Response<ResponseBody> {
    let complete = part.complete().unwrap_or_default();
    let asked = RangeSpec::only_one(&request.method, &request.fields)
        .filter(|asked| asked.is_within(part))
        .and_then(|asked| asked.of(complete));
    match asked {
        Some(asked) => partial(fields, asked, complete, |range| {
            let within = range.start - part.first()..range.end - part.first();
            ResponseBody::part(&stored.body, &within, supply_for(request))
        }),
        None => unsatisfiable(fields, complete),
    }
}

/// Returns how content is taken from a file: mapped where only the kernel reads it. HTTP/2's
/// library copies the ends of frames.
fn supply_for(request: &RequestHead) -> CopyMode {
    if request.version < Version::HTTP_2 { CopyMode::Mapped } else { CopyMode::Copied }
}

enum Requested {
    Whole,
    Part(ByteRange),
    Parts(SmallVec<[ByteRange; 4]>),
    NotModified,
    Unsatisfiable,
}

fn requested(
    request: &RequestHead,
    status: StatusCode,
    fields: &HeaderMap,
    received: Timestamp,
    length: Option<u64>,
) -> Requested {
    let validators = Validators::of(fields, received);
    if conditional::evaluate(&request.method, &request.fields, status, &validators)
        == Precondition::NotModified
    {
        return Requested::NotModified;
    }
    let Some(length) = length else { return Requested::Whole };
    match range::evaluate(&request.method, &request.fields, status, &validators, length) {
        Ranges::Single(part) => Requested::Part(part),
        Ranges::Multiple(parts) => Requested::Parts(parts),
        Ranges::Unsatisfiable => Requested::Unsatisfiable,
        Ranges::Whole => Requested::Whole,
    }
}

/// Returns whether a request has a range, or a condition that a cache evaluates.
pub fn has_preconditions(fields: &HeaderMap) -> bool {
    use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
    // One pass over the few names of a request costs less than three look-ups by hash.
    fields.keys().any(|name| *name == IF_NONE_MATCH || *name == IF_MODIFIED_SINCE || *name == RANGE)
}

fn assemble(status: StatusCode, fields: HeaderMap, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// Makes the response to HEAD, with the length of the content that it does not carry. A 204 has no
/// `Content-Length` (RFC 9110 §8.6).
fn without_content(
    status: StatusCode,
    mut fields: HeaderMap,
    length: Option<u64>,
) -> Response<ResponseBody> {
    if let Some(length) = length.filter(|_| status != StatusCode::NO_CONTENT) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    assemble(status, fields, ResponseBody::Empty)
}

fn not_modified(fields: &HeaderMap) -> Response<ResponseBody> {
    assemble(StatusCode::NOT_MODIFIED, conditional::not_modified_head(fields), ResponseBody::Empty)
}

fn partial(
    mut fields: HeaderMap,
    part: ByteRange,
    length: u64,
    body: impl FnOnce(&std::ops::Range<u64>) -> ResponseBody,
) -> Response<ResponseBody> {
    without_digests(&mut fields);
    fields.insert(CONTENT_RANGE, part.content_range(length));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(part.len()));
    assemble(StatusCode::PARTIAL_CONTENT, fields, body(&(part.first()..part.last() + 1)))
}

/// Removes digests: those of the whole content are not those of a part (RFC 9530 §2).
fn without_digests(fields: &mut HeaderMap) {
    for name in ["content-digest", "content-md5"] {
        fields.remove(name);
    }
}

fn unsatisfiable(mut fields: HeaderMap, length: u64) -> Response<ResponseBody> {
    fields.remove(http::header::CONTENT_TYPE);
    fields.remove(http::header::CONTENT_ENCODING);
    fields.insert(CONTENT_RANGE, range_field::unsatisfied_range(length));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(0));
    assemble(StatusCode::RANGE_NOT_SATISFIABLE, fields, ResponseBody::Empty)
}

const OWN_FIELDS: usize = 3;
