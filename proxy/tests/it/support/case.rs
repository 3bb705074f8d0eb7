//! One request, written as HTTP/1 and as HTTP/2: what is so over one protocol has to be so over the
//! other.

use super::frames::{Frames, Outcome};

/// A request before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) method: String,
    /// `:scheme`; HTTP/1 has none outside of the target.
    pub(crate) scheme: String,
    pub(crate) target: Vec<u8>,
    /// `Host`, and `:authority`.
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) content: Option<Vec<u8>>,
    /// With them, the content has no length.
    pub(crate) trailers: Option<Vec<(String, Vec<u8>)>>,
}

impl Case {
    /// A request of the site `site.example` without anything else.
    pub(crate) fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            target: target.as_ref().to_vec(),
            authority: Some(b"site.example".to_vec()),
            fields: Vec::new(),
            content: None,
            trailers: None,
        }
    }

    pub(crate) fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn authority(mut self, authority: Option<&str>) -> Self {
        self.authority = authority.map(|authority| authority.as_bytes().to_vec());
        self
    }

    pub(crate) fn content(mut self, content: &str) -> Self {
        self.content = Some(content.as_bytes().to_vec());
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        let trailers = self.trailers.get_or_insert_default();
        trailers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// The length of the content, unless a field says one or the content ends in trailers.
    fn length(&self) -> Option<String> {
        let is_told =
            self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let content = self.content.as_ref().filter(|_| !is_told && self.trailers.is_none());
        content.map(|content| content.len().to_string())
    }

    /// Its bytes as HTTP/1.1.
    pub(crate) fn http1(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        let mut line = |name: &[u8], value: &[u8]| {
            bytes.extend([name, b": ", value, b"\r\n"].concat());
        };
        if let Some(authority) = &self.authority {
            line(b"Host", authority);
        }
        for (name, value) in &self.fields {
            line(name.as_bytes(), value);
        }
        if let Some(length) = self.length() {
            line(b"Content-Length", length.as_bytes());
        }
        let content = self.content.as_deref().unwrap_or_default();
        let Some(trailers) = &self.trailers else {
            return [&*bytes, b"\r\n", content].concat();
        };
        line(b"Transfer-Encoding", b"chunked");
        let chunk = match content {
            [] => String::new(),
            some => format!("{:x}\r\n{}\r\n", some.len(), String::from_utf8_lossy(some)),
        };
        bytes.extend(format!("\r\n{chunk}0\r\n").into_bytes());
        for (name, value) in trailers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        [&*bytes, b"\r\n"].concat()
    }

    /// Sends it as HTTP/2, and reads what becomes of it.
    pub(crate) async fn http2(&self, client: &mut Frames) -> Outcome {
        let length = self.length();
        let lower = |fields: &[(String, Vec<u8>)]| -> Vec<(String, Vec<u8>)> {
            fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect()
        };
        let mut head: Vec<(&[u8], &[u8])> = vec![
            (b":method", self.method.as_bytes()),
            (b":scheme", self.scheme.as_bytes()),
            (b":path", &self.target),
        ];
        if let Some(authority) = &self.authority {
            head.push((b":authority", authority));
        }
        let (fields, trailers) = (lower(&self.fields), self.trailers.as_deref().map(lower));
        head.extend(fields.iter().map(|(name, value)| (name.as_bytes(), &**value)));
        if let Some(length) = &length {
            head.push((b"content-length", length.as_bytes()));
        }
        let trailers = trailers.as_ref().map(|fields| {
            fields.iter().map(|(name, value)| (name.as_bytes(), &**value)).collect::<Vec<_>>()
        });
        let stream = client.send(head, self.content.as_deref(), trailers).await;
        client.outcome(stream).await
    }
}
