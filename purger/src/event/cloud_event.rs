//! `CloudEvents` 1.0: read in structured and in binary mode, and written.
//!
//! The type is `cache.purge.requested.v1`. Another major version is unreadable, as its fields may
//! mean other things; another type altogether is no purge.

use std::borrow::Cow;

use serde::Serialize;

use purge_protocol::log::Rewarm;
use purge_protocol::{Deploy, Expression, PurgeMode};

use super::draft::{Draft, Stop};
use super::fields::Fields;
use super::json::Object;
use super::record::Record;
use super::rules::Rules;
use super::unreadable::{Code, Problem, shown};
use super::{Ignored, PurgeEvent, body, time};

/// The type of events that are read and written.
pub const TYPE: &str = "cache.purge.requested.v1";

/// The type without its major version.
const TYPE_FAMILY: &str = "cache.purge.requested";

/// The source of an event that has none, since the attribute is required.
const NO_SOURCE: &str = "urn:shellac:unknown";

pub(super) fn read_structured(object: &Object<'_>, rules: &Rules) -> Result<Draft, Stop> {
    let fields = Fields { object, path: "" };
    let attributes = Attributes {
        kind: fields.text("type")?,
        specversion: fields.text("specversion")?,
        id: fields.text("id")?,
        source: fields.text("source")?,
        time: fields.object.text("time"),
    };
    attributes.check()?;
    match fields.object("data")? {
        Some(data) => Ok(attributes.draft(data, rules)?),
        None if object.has("data_base64") => {
            Err(Problem::new(Code::Format, "data_base64: is not read; write data as a JSON object")
                .into())
        }
        None => Err(missing("data", "an object that says what to purge").into()),
    }
}

/// Reads an event in binary mode: attributes in `ce_` headers, data as the value.
pub(super) fn read_binary(
    record: &Record<'_>,
    data: &Object<'_>,
    rules: &Rules,
) -> Result<Draft, Stop> {
    let header = |name: &'static str| match record.header(name).map(std::str::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(error)) => {
            Err(Problem::new(Code::Utf8, format!("header {name}: {error}; write UTF-8")))
        }
    };
    let attributes = Attributes {
        kind: header("ce_type")?,
        specversion: header("ce_specversion")?,
        id: header("ce_id")?,
        source: header("ce_source")?,
        time: header("ce_time")?,
    };
    attributes.check()?;
    Ok(attributes.draft(data, rules)?)
}

pub(super) fn is_binary(record: &Record<'_>) -> bool {
    record.header("ce_specversion").is_some() || record.header("ce_type").is_some()
}

/// Refuses content types that are not JSON objects, before their bytes are taken for JSON.
pub(super) fn check_content_type(record: &Record<'_>) -> Result<(), Problem> {
    let Some(value) = record.header("content-type") else { return Ok(()) };
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    let is_batch = media_type.contains("-batch");
    let is_json = media_type.ends_with("/json") || media_type.ends_with("+json");
    let is_text = media_type.is_empty()
        || media_type.starts_with("text/")
        || media_type == "application/octet-stream";
    if !is_batch && (is_json || is_text) {
        return Ok(());
    }
    let detail =
        format!("header content-type: {} is not read; write application/json", shown(media_type));
    Err(Problem::new(Code::Format, detail))
}

struct Attributes<'a> {
    kind: Option<&'a str>,
    specversion: Option<&'a str>,
    id: Option<&'a str>,
    source: Option<&'a str>,
    time: Option<&'a str>,
}

impl Attributes<'_> {
    fn check(&self) -> Result<(), Stop> {
        let kind = self.kind.ok_or_else(|| missing("type", TYPE))?;
        if kind != TYPE {
            let version = kind.strip_prefix(TYPE_FAMILY);
            if version.is_none_or(|version| !version.is_empty() && !version.starts_with('.')) {
                return Err(Ignored::OtherType.into());
            }
            let detail = format!("type: {} has another version; write {TYPE}", shown(kind));
            return Err(Problem::new(Code::Version, detail).into());
        }
        let specversion = self.specversion.ok_or_else(|| missing("specversion", "1.0"))?;
        if specversion != "1.0" {
            let detail = format!("specversion: is {}; write \"1.0\"", shown(specversion));
            return Err(Problem::new(Code::Version, detail).into());
        }
        self.id.ok_or_else(|| missing("id", "an id that no other event of the source has"))?;
        self.source.ok_or_else(|| missing("source", "who sends it, such as /publisher/editor"))?;
        Ok(())
    }

    fn draft(&self, data: &Object<'_>, rules: &Rules) -> Result<Draft, Problem> {
        let mut draft = body::read(Fields { object: data, path: "data." }, rules)?;
        draft.id = self.id.map(str::to_owned);
        draft.source = self.source.filter(|source| *source != NO_SOURCE).map(str::to_owned);
        draft.time = self.time.and_then(time::parse);
        Ok(draft)
    }
}

fn missing(name: &str, wanted: &str) -> Problem {
    Problem::new(Code::Field, format!("{name}: is not there; write {wanted}"))
}

/// Writes the event in structured mode. A reader with the same rules reads it back as it was.
pub fn cloud_event(event: &PurgeEvent) -> Vec<u8> {
    written(event, false)
}

/// Writes an event that repeats a purge. A reader with the same selectors' rules reads it back as
/// it was, whatever its format and its limits.
pub fn repetition(event: &PurgeEvent) -> Vec<u8> {
    written(event, true)
}

fn written(event: &PurgeEvent, shellacrepetition: bool) -> Vec<u8> {
    let request = &event.request;
    let data = Data {
        site_id: event.site.as_deref(),
        scope: scope(event),
        tags: &request.tags,
        urls: &request.urls,
        hosts: &request.hosts,
        prefixes: &request.prefixes,
        pages: &request.pages,
        paths: &request.paths,
        expressions: &request.expressions,
        deploys: &request.deploys,
        mode: request.mode.unwrap_or_default(),
        revision: event.revision,
        reason: request.reason.as_deref(),
        priority: event.priority.as_str(),
        settle_ms: event.settle.iter().map(std::time::Duration::as_millis).collect(),
        rewarm: event.rewarm.as_ref(),
    };
    let envelope = Envelope {
        shellacrepetition,
        specversion: "1.0",
        id: &event.id,
        source: event.source.as_deref().unwrap_or(NO_SOURCE),
        kind: TYPE,
        subject: event.site.as_ref().map(|site| Cow::Owned(format!("site/{site}"))),
        time: event.time.and_then(time::format),
        datacontenttype: "application/json",
        partitionkey: event.site.as_deref(),
        data,
    };
    // Strings, numbers and lists of them: there is nothing in it that could not be written.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// Returns the scope. Selectors are written one by one, so that a site's selector is not made
/// twice: `site` only without others.
fn scope(event: &PurgeEvent) -> &'static str {
    let request = &event.request;
    match request {
        _ if request.all => "all",
        _ if !request.tags.is_empty() => "tags",
        _ if !request.urls.is_empty() => "urls",
        _ if !request.hosts.is_empty() => "hosts",
        _ if !request.prefixes.is_empty() => "prefix",
        _ if !request.pages.is_empty() => "pages",
        _ if !request.paths.is_empty() => "paths",
        _ if !request.expressions.is_empty() => "expressions",
        _ if !request.deploys.is_empty() => "deploys",
        _ if event.site.is_some() => "site",
        _ => "prefix",
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    /// First, as [`Record::is_repetition`] expects.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shellacrepetition: bool,
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<&'a str>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    site_id: Option<&'a str>,
    scope: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    urls: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hosts: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    prefixes: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pages: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    paths: &'a [String],
    #[serde(skip_serializing_if = "<[Expression]>::is_empty")]
    expressions: &'a [Expression],
    #[serde(skip_serializing_if = "<[Deploy]>::is_empty")]
    deploys: &'a [Deploy],
    mode: PurgeMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    priority: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settle_ms: Vec<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewarm: Option<&'a Rewarm>,
}
