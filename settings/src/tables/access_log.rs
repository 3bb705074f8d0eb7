//! `[log.access]`: one line a request, where it goes, and which requests have one.

use std::path::PathBuf;

use super::access_format::AccessFormat;
use super::name_pattern::{NamePattern, name_patterns};
use crate::record_filter::RecordFilter;
use crate::table::Table;
use crate::value::{Fault, is_token, parsed, size, size_or_off, whole};

/// The log of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// Where lines go.
    pub target: AccessLogTarget,
    /// The form of a line.
    pub format: AccessFormat,
    /// Requests that have a line, in millionths.
    pub sample: u32,
    /// Requests that always have one.
    pub always: Vec<RecordFilter>,
    /// Parameters of queries whose values are not written.
    pub redact_query: Vec<NamePattern>,
    /// Fields whose values are not written, in lower case.
    pub redact_headers: Vec<String>,
    /// Bytes of lines that wait for the target, 64KiB to 1GiB; past it lines are dropped and
    /// counted.
    pub buffer: u64,
    /// The size at which a file is renamed and begun anew, 1MiB and more; `None`: never.
    pub rotate_at: Option<u64>,
    /// Renamed files that are kept, 1 to 1000.
    pub keep: u32,
}

/// The place where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Nowhere: there are none.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// `file:PATH`, to which lines are added.
    File(PathBuf),
    /// `unix:PATH`: a datagram a line.
    Datagram(PathBuf),
    /// `syslog` or `syslog:PATH`: a datagram a line, with the head of RFC 5424.
    Syslog(PathBuf),
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        let always = ["status>=500", "slower than 1s"].into_iter();
        let owned = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
        Self {
            target: AccessLogTarget::Off,
            format: AccessFormat::Json,
            sample: ALL,
            always: always.filter_map(|text| RecordFilter::parse(text).ok()).collect(),
            redact_query: SECRET_PARAMETERS.iter().copied().map(NamePattern::new).collect(),
            redact_headers: owned(&SECRET_FIELDS),
            buffer: 4 << 20,
            rotate_at: None,
            keep: 5,
        }
    }
}

impl AccessLogSettings {
    /// Reads `[log.access]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("target", parsed(target), &mut self.target);
        table.read("format", parsed(AccessFormat::parse), &mut self.format);
        table.read("sample", parsed(share), &mut self.sample);
        table.read_each("always", parsed(filter), &mut self.always);
        let mut names = vec![self.redact_query.clone()];
        table.read_each("redact_query", parsed(parameters), &mut names);
        self.redact_query = names.into_iter().flatten().collect();
        table.read_each("redact_headers", parsed(field), &mut self.redact_headers);
        table.read("buffer", size(64 << 10..=1 << 30), &mut self.buffer);
        table.read("rotate_at", size_or_off(1 << 20..=u64::MAX), &mut self.rotate_at);
        table.read("keep", whole(1..=1000), &mut self.keep);
        if self.rotate_at.is_some() && !matches!(self.target, AccessLogTarget::File(_)) {
            let fault = Fault::new("is for a file", "there is no file");
            table.fault_of("rotate_at", fault.help("write target = \"file:PATH\""));
        }
    }
}

fn target(text: &str) -> Result<AccessLogTarget, Fault> {
    let path = |prefix: &str| {
        let path = text.strip_prefix(prefix).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    match text {
        "off" => return Ok(AccessLogTarget::Off),
        "stdout" => return Ok(AccessLogTarget::Stdout),
        "stderr" => return Ok(AccessLogTarget::Stderr),
        "syslog" => return Ok(AccessLogTarget::Syslog("/dev/log".into())),
        _ => {}
    }
    let found = path("file:")
        .map(AccessLogTarget::File)
        .or_else(|| path("unix:").map(AccessLogTarget::Datagram))
        .or_else(|| path("syslog:").map(AccessLogTarget::Syslog));
    found.ok_or_else(|| {
        let fault = Fault::new(
            "must be \"off\", \"stdout\", \"stderr\", \"file:/PATH\", \"unix:/PATH\", \"syslog\" or \"syslog:/PATH\"",
            format!("`{text}` is none of them"),
        );
        let is_path = text.starts_with(['/', '.']);
        if is_path { fault.help(format!("did you mean \"file:{text}\"?")) } else { fault }
    })
}

/// Returns the millionths that a share means, such as `1%` or `0.01%`.
pub fn share_of(text: &str) -> Option<u32> {
    share(text).ok()
}

pub(super) fn share(text: &str) -> Result<u32, Fault> {
    let percent = text.strip_suffix('%').and_then(|text| text.trim_end().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    let millionths = percent.and_then(|percent| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and a million"
        )]
        let millionths = (percent * 10_000.0).round() as u32;
        (millionths > 0 || percent == 0.0).then_some(millionths)
    });
    millionths.ok_or_else(|| {
        Fault::new("must be a share, such as \"1%\" or \"0.01%\"", format!("`{text}` is none"))
    })
}

fn filter(text: &str) -> Result<RecordFilter, Fault> {
    RecordFilter::parse(text).map_err(|error| Fault::new("must be a filter of requests", error))
}

fn parameters(text: &str) -> Result<Vec<NamePattern>, Fault> {
    name_patterns(text, ("parameter", &[]), |name| !name.is_empty())
}

fn field(text: &str) -> Result<String, Fault> {
    if is_token(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Fault::new("must be the name of a field", format!("`{text}` is none")))
}

/// A million millionths.
const ALL: u32 = 1_000_000;

const SECRET_PARAMETERS: [&str; 9] = [
    "access_token",
    "token",
    "api_key",
    "apikey",
    "password",
    "secret",
    "sig",
    "signature",
    "code",
];

const SECRET_FIELDS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_word_or_an_absolute_path() {
        let file = AccessLogTarget::File("/var/log/a.log".into());
        assert_eq!(target("file:/var/log/a.log").unwrap(), file);
        assert_eq!(target("syslog").unwrap(), AccessLogTarget::Syslog("/dev/log".into()));
        for wrong in ["file:a.log", "/var/log/a.log", "tcp:1.2.3.4:5", ""] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_may_be_small_and_not_nothing_by_mistake() {
        for (text, millionths) in [("100%", 1_000_000), ("1%", 10_000), ("0.0001 %", 1), ("0%", 0)]
        {
            assert_eq!(share(text).unwrap(), millionths, "{text}");
        }
        for wrong in ["1", "101%", "-1%", "0.00001%", "x%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
