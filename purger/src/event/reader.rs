//! `EventReader`: from a record to a [`Reading`].
//!
//! With `format = "auto"` the shape decides, in this order; the first that fits counts:
//!
//! 1. a `ce_specversion` or `ce_type` header: a `CloudEvent` in binary mode;
//! 2. a key `specversion`: a `CloudEvent` in structured mode;
//! 3. `op` with one of `before`, `after`, `source`, also inside `payload`: a Debezium envelope;
//! 4. `meta.uri`: a `resource_change`;
//! 5. one of `tags`, `urls`, `hosts`, `prefixes`, `prefix`, `all`, `scope`: plain;
//! 6. one of `siteId`, `site`, `etag`: a site event;
//! 7. anything else is unreadable.
//!
//! A record that repeats a purge is a `CloudEvent`, whatever the format. It is never too large or
//! too old, as the event that it repeats was not.
//!
//! A key whose value is `null` is not there.

use std::time::SystemTime;

use purge_protocol::PurgeMode;

use super::draft::{Draft, Stop};
use super::json::{Json, Object};
use super::record::Record;
use super::rules::{Format, Rules, Tombstone};
use super::unreadable::{Code, Problem, Unreadable, shown};
use super::{Ignored, PurgeEvent, Reading, cloud_event, debezium, plain, resource_change, site};

/// Reads records by one set of rules. It holds no state: the same record at the same time is always
/// read alike.
#[derive(Clone, Debug)]
pub struct EventReader {
    rules: Rules,
}

impl EventReader {
    pub fn new(rules: Rules) -> Self {
        Self { rules }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Reads a record. `now` decides whether an event is too old.
    pub fn read(&self, record: &Record<'_>, now: SystemTime) -> Reading {
        match self.event(record, now) {
            Ok(event) => Reading::Purge(Box::new(event)),
            Err(Stop::Ignored(ignored)) => Reading::Ignored(ignored),
            Err(Stop::Problem(Problem { code, detail })) => {
                let guess = self.guess(record, code, now).map(Box::new);
                Reading::Unreadable(Unreadable { code, detail, guess })
            }
        }
    }

    fn event(&self, record: &Record<'_>, now: SystemTime) -> Result<PurgeEvent, Stop> {
        match record.payload {
            None => self.tombstone(record)?,
            Some(payload) => self.draft(record, payload)?,
        }
        .finish(&self.rules, record, now)
    }

    fn draft(&self, record: &Record<'_>, payload: &[u8]) -> Result<Draft, Stop> {
        let max = self.rules.limits.payload_bytes;
        // A repetition takes more bytes than its event.
        if payload.len() > max && !record.is_repetition() {
            let detail = format!(
                "value: {} bytes exceed the limit of {max}; send several events",
                payload.len()
            );
            return Err(Problem::new(Code::TooLarge, detail).into());
        }
        cloud_event::check_content_type(record)?;
        let Json::Object(object) = document(payload)? else {
            let detail = "value: is JSON, but no object; write {\"tags\": [\"a\"]}";
            return Err(Problem::new(Code::Shape, detail).into());
        };
        let rules = &self.rules;
        match self.format(record, &object)? {
            Format::CloudEvents if cloud_event::is_binary(record) => {
                cloud_event::read_binary(record, &object, rules)
            }
            Format::CloudEvents => cloud_event::read_structured(&object, rules),
            Format::Debezium => debezium::read(&object, rules),
            Format::ResourceChange => Ok(resource_change::read(&object)?),
            Format::Site => Ok(site::read(&object, rules)?),
            Format::Plain | Format::Auto => Ok(plain::read(&object, rules)?),
        }
    }

    fn format(&self, record: &Record<'_>, object: &Object<'_>) -> Result<Format, Problem> {
        Ok(match self.rules.format {
            _ if record.is_repetition() => Format::CloudEvents,
            Format::Auto if cloud_event::is_binary(record) => Format::CloudEvents,
            Format::Auto if object.has("specversion") => Format::CloudEvents,
            Format::Auto if debezium::is_one(object) => Format::Debezium,
            Format::Auto if resource_change::is_one(object) => Format::ResourceChange,
            Format::Auto if plain::is_one(object) => Format::Plain,
            Format::Auto if site::is_one(object) => Format::Site,
            Format::Auto => return Err(no_shape(object)),
            given => given,
        })
    }

    fn tombstone(&self, record: &Record<'_>) -> Result<Draft, Stop> {
        let is_row = self.rules.format == Format::Debezium;
        match site_of_key(record) {
            Some(site) if self.rules.tombstone == Tombstone::Site && !is_row => {
                let mut draft = Draft { reason: Some("tombstone".to_owned()), ..Draft::default() };
                draft.note_site(site, "key")?;
                draft.add_site(site, &self.rules, "key")?;
                Ok(draft)
            }
            _ => Err(Ignored::Tombstone.into()),
        }
    }

    /// Returns the soft purge of the key's site, unless the event was forbidden.
    fn guess(&self, record: &Record<'_>, code: Code, now: SystemTime) -> Option<PurgeEvent> {
        if code == Code::Forbidden {
            return None;
        }
        let site = site_of_key(record)?;
        let mut draft = Draft {
            mode: Some(PurgeMode::Soft),
            reason: Some(format!("unreadable event ({code})")),
            ..Draft::default()
        };
        draft.note_site(site, "key").ok()?;
        draft.add_site(site, &self.rules, "key").ok()?;
        draft.finish(&self.rules, record, now).ok()
    }
}

/// Returns the key if it can be a site's id: text that is neither a JSON document nor anything with
/// quotes or braces in it.
fn site_of_key<'a>(record: &Record<'a>) -> Option<&'a str> {
    let key = std::str::from_utf8(record.key?).ok()?;
    (!key.is_empty() && !key.contains(['"', '{', '}', '[', ']'])).then_some(key)
}

fn document(payload: &[u8]) -> Result<Json<'_>, Problem> {
    if payload.first() == Some(&0) {
        let detail = "value: begins with a zero byte, as a schema registry frames Avro and Protobuf; write plain JSON";
        return Err(Problem::new(Code::Json, detail));
    }
    let text = std::str::from_utf8(payload).map_err(|error| {
        Problem::new(Code::Utf8, format!("value: {error}; write JSON in UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|error| {
        let error = error.to_string();
        let error = error.get(..error.floor_char_boundary(200)).unwrap_or_default();
        let detail = format!("value: {} is no JSON that is read: {error}", shown(text));
        Problem::new(Code::Json, detail)
    })
}

fn no_shape(object: &Object<'_>) -> Problem {
    let names: Vec<&str> = object.names().take(8).collect();
    let near = [("tag", "tags"), ("url", "urls"), ("host", "hosts"), ("site_id", "siteId")];
    let hint = near.iter().find(|(name, _)| object.has(name));
    let wanted = hint.map_or_else(
        || "write {\"tags\": [\"a\"]} or a CloudEvent".to_owned(),
        |(name, wanted)| format!("did you mean {wanted} instead of {name}?"),
    );
    let names = shown(&names.join(", "));
    Problem::new(Code::Shape, format!("value: its keys {names} are of no known event; {wanted}"))
}
