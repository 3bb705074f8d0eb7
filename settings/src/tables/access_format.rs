//! `AccessFormat`: the form of a line of the access log: JSON, or a format string of `varnishncsa`.

use crate::value::{Fault, is_token};

/// The form of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// One object, with the fields that `docs/observability.md` lists.
    Json,
    /// Text, piece by piece.
    Text(Vec<FormatPiece>),
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatPiece {
    /// As it stands.
    Literal(String),
    /// `%b`: bytes of content, `-` if there is none.
    BytesOrDash,
    /// `%B`, `%O`: bytes of content that were sent.
    Bytes,
    /// `%I`: bytes of content that came with the request.
    BytesReceived,
    /// `%D`: microseconds from the request to the last byte.
    Microseconds,
    /// `%T`: the same in whole seconds.
    Seconds,
    /// `%h`: the client's address.
    Client,
    /// `%H`: the protocol, `HTTP/1.1`.
    Protocol,
    /// `%l`, `%u`: nothing; no client is asked for its name, and a name in `Authorization` is kept
    /// secret.
    Dash,
    /// `%m`: the method.
    Method,
    /// `%q`: the query with its `?`.
    Query,
    /// `%r`: the request line.
    RequestLine,
    /// `%s`: the status code.
    Status,
    /// `%t`: the time at which the request came, `[29/Nov/2026:12:00:00 +0000]`.
    Time,
    /// `%{FORMAT}t`: the same in another form.
    TimeAs(TimeFormat),
    /// `%U`: the path without its query.
    Path,
    /// `%{NAME}i`: a field of the request, in lower case.
    RequestField(String),
    /// `%{NAME}o`: a field of the response, in lower case.
    ResponseField(String),
    /// `%{Varnish:NAME}x`, `%{Shellac:NAME}x`.
    Extra(ExtraPiece),
}

/// Forms of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// `sec`: seconds since 1970.
    Seconds,
    /// `msec`: milliseconds since 1970.
    Milliseconds,
    /// `usec`: microseconds since 1970.
    Microseconds,
    /// `rfc3339`: `2026-11-29T12:00:00.123Z`.
    Rfc3339,
}

/// What only a cache knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraPiece {
    /// `Varnish:time_firstbyte`: seconds from the request to the response's head.
    FirstByte,
    /// `Varnish:hitmiss`: `hit` or `miss`.
    HitMiss,
    /// `Varnish:handling`: `hit`, `miss`, `pass`, `pipe` or `synth`.
    Handling,
    /// `Varnish:side`: `c`, as every line is of a client.
    Side,
    /// `Shellac:cache`: the outcome.
    Outcome,
    /// `Shellac:reason`: the reason code.
    Reason,
    /// `Shellac:fwd`: the reason of a forward (RFC 9211).
    Forward,
    /// `Shellac:origin`: the origin's name.
    Origin,
    /// `Shellac:rule`: the rules that matched.
    Rule,
    /// `Shellac:listener`: the listener's name.
    Listener,
    /// `Shellac:request_id`: the request's id, if it has one.
    RequestId,
    /// `Shellac:trace_id`: the id of the trace that it belongs to.
    TraceId,
    /// `Shellac:key`: the hash of the primary key.
    KeyHash,
}

impl AccessFormat {
    /// Returns the combined format of Apache.
    pub fn combined() -> Self {
        Self::parse("combined").unwrap_or(Self::Json)
    }

    /// Reads the value of `format`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "json" => Ok(Self::Json),
            "combined" | "common" => pieces(if text == "common" { COMMON } else { COMBINED }),
            _ if text.contains('%') => pieces(text),
            _ => Err(Fault::new(WANTS, format!("`{text}` is none of them"))
                .help("a format string has directives, such as `%h %t \"%r\" %s %b`")),
        }
        .map(|format| match format {
            Self::Text(pieces) => Self::Text(joined(pieces)),
            json @ Self::Json => json,
        })
    }
}

fn pieces(text: &str) -> Result<AccessFormat, Fault> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('%') {
        pieces.push(FormatPiece::Literal(literal.to_owned()));
        // A modifier of Apache's says when a piece is left out; the final request is the only one.
        let after = after.strip_prefix(['>', '<']).unwrap_or(after);
        rest = if let Some(named) = after.strip_prefix('{') {
            let (name, after) = named.split_once('}').ok_or_else(|| unclosed(after))?;
            let mut letters = after.chars();
            pieces.push(named_piece(name, letters.next())?);
            letters.as_str()
        } else {
            let mut letters = after.chars();
            pieces.push(short_piece(letters.next())?);
            letters.as_str()
        };
    }
    pieces.push(FormatPiece::Literal(rest.to_owned()));
    if text.contains(['\n', '\r']) {
        return Err(Fault::new(WANTS, "a line ends by itself").help("leave the line break out"));
    }
    Ok(AccessFormat::Text(pieces))
}

/// Makes one piece of literal text that stands together, and none of empty text.
fn joined(pieces: Vec<FormatPiece>) -> Vec<FormatPiece> {
    let mut all: Vec<FormatPiece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (piece, all.last_mut()) {
            (FormatPiece::Literal(text), _) if text.is_empty() => {}
            (FormatPiece::Literal(text), Some(FormatPiece::Literal(last))) => last.push_str(&text),
            (piece, _) => all.push(piece),
        }
    }
    all
}

fn short_piece(letter: Option<char>) -> Result<FormatPiece, Fault> {
    Ok(match letter {
        Some('b') => FormatPiece::BytesOrDash,
        Some('B' | 'O') => FormatPiece::Bytes,
        Some('I') => FormatPiece::BytesReceived,
        Some('D') => FormatPiece::Microseconds,
        Some('T') => FormatPiece::Seconds,
        Some('h' | 'a') => FormatPiece::Client,
        Some('H') => FormatPiece::Protocol,
        Some('l' | 'u') => FormatPiece::Dash,
        Some('m') => FormatPiece::Method,
        Some('q') => FormatPiece::Query,
        Some('r') => FormatPiece::RequestLine,
        Some('s') => FormatPiece::Status,
        Some('t') => FormatPiece::Time,
        Some('U') => FormatPiece::Path,
        Some('%') => FormatPiece::Literal("%".to_owned()),
        Some(letter) => return Err(unknown(&format!("%{letter}"))),
        None => return Err(Fault::new(WANTS, "ends in `%`").help("a percent sign is `%%`")),
    })
}

fn named_piece(name: &str, letter: Option<char>) -> Result<FormatPiece, Fault> {
    let written = || format!("%{{{name}}}{}", letter.map(String::from).unwrap_or_default());
    let field = || {
        let lower = name.to_ascii_lowercase();
        let no_name = || Fault::new(WANTS, format!("`{name}` is no name of a field"));
        Some(lower).filter(|name| is_token(name)).ok_or_else(no_name)
    };
    match letter {
        Some('i') => field().map(FormatPiece::RequestField),
        Some('o') => field().map(FormatPiece::ResponseField),
        Some('t') => {
            let found = TIMES.iter().find(|(own, _)| *own == name).map(|(_, time)| time.clone());
            found.map(FormatPiece::TimeAs).ok_or_else(|| {
                let names: Vec<&str> = TIMES.iter().map(|(name, _)| *name).collect();
                unknown(&written()).help(format!("forms of a time are {}", names.join(", ")))
            })
        }
        Some('x') => {
            let found = EXTRAS.iter().find(|(own, _)| *own == name).map(|(_, extra)| *extra);
            found.map(FormatPiece::Extra).ok_or_else(|| {
                let names: Vec<&str> = EXTRAS.iter().map(|(name, _)| *name).collect();
                unknown(&written()).help(format!("there are {}", names.join(", ")))
            })
        }
        _ => Err(unknown(&written())),
    }
}

fn unknown(directive: &str) -> Fault {
    Fault::new(WANTS, format!("there is no `{directive}`")).help(DIRECTIVES)
}

fn unclosed(rest: &str) -> Fault {
    Fault::new(WANTS, format!("`%{rest}` has no `}}`"))
}

const WANTS: &str = "must be \"json\", \"combined\", \"common\", or a format string of varnishncsa";
const DIRECTIVES: &str = "directives are %b %B %D %h %H %I %l %m %O %q %r %s %t %T %u %U %%, \
    %{NAME}i, %{NAME}o, %{FORMAT}t, %{Varnish:NAME}x and %{Shellac:NAME}x";
const COMBINED: &str = "%h %l %u %t \"%r\" %s %b \"%{Referer}i\" \"%{User-agent}i\"";
const COMMON: &str = "%h %l %u %t \"%r\" %s %b";

const TIMES: [(&str, TimeFormat); 4] = [
    ("sec", TimeFormat::Seconds),
    ("msec", TimeFormat::Milliseconds),
    ("usec", TimeFormat::Microseconds),
    ("rfc3339", TimeFormat::Rfc3339),
];

const EXTRAS: [(&str, ExtraPiece); 13] = [
    ("Varnish:time_firstbyte", ExtraPiece::FirstByte),
    ("Varnish:hitmiss", ExtraPiece::HitMiss),
    ("Varnish:handling", ExtraPiece::Handling),
    ("Varnish:side", ExtraPiece::Side),
    ("Shellac:cache", ExtraPiece::Outcome),
    ("Shellac:reason", ExtraPiece::Reason),
    ("Shellac:fwd", ExtraPiece::Forward),
    ("Shellac:origin", ExtraPiece::Origin),
    ("Shellac:rule", ExtraPiece::Rule),
    ("Shellac:listener", ExtraPiece::Listener),
    ("Shellac:request_id", ExtraPiece::RequestId),
    ("Shellac:trace_id", ExtraPiece::TraceId),
    ("Shellac:key", ExtraPiece::KeyHash),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_of_varnishncsa_is_read_piece_by_piece() {
        let format = AccessFormat::parse("%h%l \"%>s\" %{X-A}i 100%% %{Varnish:handling}x%{sec}t");
        let literal = |text: &str| FormatPiece::Literal(text.to_owned());
        let expected = [
            FormatPiece::Client,
            FormatPiece::Dash,
            literal(" \""),
            FormatPiece::Status,
            literal("\" "),
            FormatPiece::RequestField("x-a".to_owned()),
            literal(" 100% "),
            FormatPiece::Extra(ExtraPiece::Handling),
            FormatPiece::TimeAs(TimeFormat::Seconds),
        ];
        assert_eq!(format.unwrap(), AccessFormat::Text(expected.to_vec()));
        assert_eq!(AccessFormat::parse("json").unwrap(), AccessFormat::Json);
        assert_eq!(
            AccessFormat::parse("combined").unwrap(),
            AccessFormat::parse(COMBINED).unwrap()
        );
    }

    #[test]
    fn directives_that_are_not_there_are_errors() {
        for format in
            ["%z", "%", "%{a", "%{a}", "%{a b}i", "%{%Y}t", "%{VCL_Log:x}x", "plain", "%h\n"]
        {
            assert!(AccessFormat::parse(format).is_err(), "{format}");
        }
    }
}
