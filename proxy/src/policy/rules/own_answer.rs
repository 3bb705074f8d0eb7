//! `OwnAnswer`: what a rule answers by itself.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use settings::{Respond, RespondContent, RuleSettings};

/// An answer of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAnswer {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub content: Bytes,
}

/// The content of an answer, read when the rules were.
#[derive(Clone, Debug)]
pub(super) struct OwnContent {
    answer: OwnAnswer,
}

impl OwnContent {
    /// Reads what a rule answers. Blocks on its file.
    pub(super) fn of(rule: &RuleSettings) -> Option<Self> {
        let Respond { status, content, fields } = rule.actions.request.respond.as_ref()?;
        let mut map = HeaderMap::new();
        let (kind, content) = match content {
            RespondContent::Text(text) => ("text/plain; charset=utf-8", Bytes::from(text.clone())),
            RespondContent::File(path) => match std::fs::read(path) {
                Ok(bytes) => (media_type(&path.to_string_lossy()), Bytes::from(bytes)),
                Err(error) => {
                    tracing::error!(rule = rule.name, path = %path.display(), %error,
                        "the file of a rule cannot be read: it answers 500");
                    let answer = OwnAnswer {
                        status: StatusCode::INTERNAL_SERVER_ERROR,
                        fields: HeaderMap::new(),
                        content: Bytes::new(),
                    };
                    return Some(Self { answer });
                }
            },
        };
        if !content.is_empty() {
            map.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in fields {
            if name == CONTENT_TYPE {
                map.insert(name, value.clone());
            } else {
                map.append(name, value.clone());
            }
        }
        Some(Self { answer: OwnAnswer { status: *status, fields: map, content } })
    }

    pub(super) fn answer(&self) -> OwnAnswer {
        self.answer.clone()
    }
}

/// Returns the media type of a file by the end of its name.
fn media_type(path: &str) -> &'static str {
    let end = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let known = TYPES.iter().find(|(own, _)| *own == end);
    known.map_or("application/octet-stream", |(_, kind)| *kind)
}

const TYPES: [(&str, &str); 16] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("xml", "application/xml"),
    ("svg", "image/svg+xml"),
    ("ico", "image/x-icon"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("woff2", "font/woff2"),
];
