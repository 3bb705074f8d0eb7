//! `Verifier`: whether a response has the bytes that it must have, and no others.

use super::content::Content;
use super::wire::End;

#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) host: &'static str,
    pub(crate) path: String,
    pub(crate) variant: String,
    /// First and last byte of each range; none: the whole.
    pub(crate) ranges: Vec<(u64, u64)>,
    pub(crate) is_head: bool,
    /// The generation in `If-None-Match`.
    pub(crate) known: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) status: u16,
    pub(crate) etag: Option<&'a str>,
    pub(crate) length: Option<u64>,
    pub(crate) content_range: Option<&'a str>,
    pub(crate) content_type: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All bytes, and the right ones. The generation of what was sent, zero where that means
    /// nothing.
    Good(u64),
    /// Bytes that do not belong here.
    Wrong(&'static str),
    /// It ended as if it were whole, and was not.
    Truncated,
    /// A response from before a purge that had been answered.
    Stale,
    Cut,
    Refused(u16),
    Stuck,
}

#[derive(Debug)]
pub(crate) struct Verifier {
    content: Content,
    generation: u64,
    mode: Mode,
    is_wrong: bool,
}

#[derive(Debug)]
enum Mode {
    Span { at: u64, end: u64 },
    Parts { boundary: String, ranges: Vec<(u64, u64)>, body: Vec<u8> },
}

impl Question {
    pub(crate) fn whole(host: &'static str, path: String, variant: String) -> Self {
        Self { host, path, variant, ranges: Vec::new(), is_head: false, known: None }
    }

    /// Returns what the content has to be, or the verdict at once.
    pub(crate) fn begin(&self, facts: &Facts<'_>) -> Result<Verifier, Verdict> {
        if facts.status >= 400 {
            return Err(Verdict::Refused(facts.status));
        }
        let generation = facts.etag.and_then(generation_of);
        let generation = generation.ok_or(Verdict::Wrong("without a generation"))?;
        let content = Content::of(self.host, &self.path, &self.variant, generation);
        let mode = match facts.status {
            304 if self.known == Some(generation) => Mode::Span { at: 0, end: 0 },
            304 => return Err(Verdict::Wrong("with another's validator")),
            200 => {
                if facts.length.is_some_and(|length| length != content.length()) {
                    return Err(Verdict::Wrong("with another's length"));
                }
                Mode::Span { at: 0, end: if self.is_head { 0 } else { content.length() } }
            }
            206 => self.parts(facts, &content).ok_or(Verdict::Wrong("with another's range"))?,
            _ => return Err(Verdict::Wrong("with a status that nobody sends")),
        };
        Ok(Verifier { content, generation, mode, is_wrong: false })
    }

    fn parts(&self, facts: &Facts<'_>, content: &Content) -> Option<Mode> {
        if let Some(field) = facts.content_range {
            let (first, last) = read_range(field, content.length())?;
            let (asked, to) = *self.ranges.first()?;
            let is_asked =
                self.ranges.len() == 1 && first == asked && last == to.min(content.length() - 1);
            return is_asked.then_some(Mode::Span { at: first, end: last + 1 });
        }
        let boundary = facts.content_type?.split_once("boundary=")?.1.trim_matches('"').to_owned();
        let clamp = |(first, last): &(u64, u64)| (*first, (*last).min(content.length() - 1));
        let ranges = self.ranges.iter().map(clamp).collect();
        Some(Mode::Parts { boundary, ranges, body: Vec::new() })
    }
}

impl Verifier {
    /// Returns a verifier of bytes that are known from the start.
    pub(crate) fn of(content: Content) -> Self {
        let mode = Mode::Span { at: 0, end: content.length() };
        Self { content, generation: 0, mode, is_wrong: false }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        match &mut self.mode {
            Mode::Span { at, end } => {
                let length = bytes.len() as u64;
                self.is_wrong |= *at + length > *end || !self.content.has_at(*at, bytes);
                *at += length;
            }
            Mode::Parts { body, .. } => body.extend_from_slice(bytes),
        }
    }

    pub(crate) fn finish(self, end: End) -> Verdict {
        let is_whole = match &self.mode {
            Mode::Span { at, end } => at == end,
            Mode::Parts { boundary, ranges, body } if end == End::Clean => {
                if !has_parts(&self.content, boundary, ranges, body) {
                    return Verdict::Wrong("in a part");
                }
                true
            }
            Mode::Parts { .. } => false,
        };
        match (self.is_wrong, end, is_whole) {
            (true, _, _) => Verdict::Wrong("in the content"),
            (false, End::Cut, _) => Verdict::Cut,
            (false, End::Clean, true) => Verdict::Good(self.generation),
            (false, End::Clean, false) => Verdict::Truncated,
        }
    }
}

fn has_parts(content: &Content, boundary: &str, ranges: &[(u64, u64)], body: &[u8]) -> bool {
    let mut rest = body;
    for (first, last) in ranges {
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        let Some((head, tail)) = rest.split_at_checked(end + 4) else { return false };
        let head = String::from_utf8_lossy(head);
        let expected = format!("bytes {first}-{last}/{}", content.length());
        let has_head = head.contains(&format!("--{boundary}\r\n")) && head.contains(&expected);
        let length = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        let Some((part, tail)) = tail.split_at_checked(length) else { return false };
        if !has_head || !content.has_at(*first, part) {
            return false;
        }
        rest = tail;
    }
    rest.trim_ascii() == format!("--{boundary}--").as_bytes()
}

pub(crate) fn generation_of(etag: &str) -> Option<u64> {
    etag.trim_start_matches("W/").trim_matches('"').strip_prefix('g')?.parse().ok()
}

fn read_range(field: &str, length: u64) -> Option<(u64, u64)> {
    let (span, complete) = field.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (complete.parse() == Ok(length) && first <= last && last < length).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(ranges: &[(u64, u64)]) -> Question {
        let path = "/c/1".to_owned();
        Question { ranges: ranges.to_vec(), ..Question::whole("a.soak.test", path, String::new()) }
    }

    fn facts(status: u16) -> Facts<'static> {
        Facts {
            status,
            etag: Some("\"g7\""),
            length: None,
            content_range: None,
            content_type: None,
        }
    }

    #[test]
    fn only_the_whole_content_that_ends_cleanly_is_good() {
        let all = Content::of("a.soak.test", "/c/1", "", 7).all();
        let other = Content::of("a.soak.test", "/c/1", "", 8).all();
        let long = [&all[..], b"!"].concat();
        for (body, end, expected) in [
            (&all[..], End::Clean, Verdict::Good(7)),
            (&all[..100], End::Clean, Verdict::Truncated),
            (&all[..100], End::Cut, Verdict::Cut),
            (&other[..], End::Clean, Verdict::Wrong("in the content")),
            (&long[..], End::Clean, Verdict::Wrong("in the content")),
        ] {
            let mut verifier = asked(&[]).begin(&facts(200)).unwrap();
            body.chunks(33).for_each(|piece| verifier.feed(piece));
            assert_eq!(verifier.finish(end), expected);
        }
    }

    #[test]
    fn a_part_has_to_be_the_one_that_was_asked_for() {
        let content = Content::of("a.soak.test", "/c/1", "", 7);
        let field = format!("bytes 10-19/{}", content.length());
        let part = Facts { content_range: Some(&field), ..facts(206) };
        let mut verifier = asked(&[(10, 19)]).begin(&part).unwrap();
        verifier.feed(&content.part(10, 10));
        assert_eq!(verifier.finish(End::Clean), Verdict::Good(7));
        assert!(asked(&[(10, 20)]).begin(&part).is_err());
    }
}
