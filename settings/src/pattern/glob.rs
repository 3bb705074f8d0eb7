//! `Glob`: one path in which `*` and `**` stand for more.

use super::Captures;

/// A path without alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    text: String,
    kind: GlobKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobKind {
    Exact,
    /// Everything that begins so: all but the `**` at the end.
    Below(String),
    Segments(Vec<GlobSegment>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobSegment {
    Literal(String),
    Glob(String),
    Any,
}

impl Glob {
    pub(super) fn new(text: String) -> Self {
        let kind = match text.strip_suffix("**") {
            Some(prefix) if !prefix.contains('*') => GlobKind::Below(prefix.to_owned()),
            None if !text.contains('*') => GlobKind::Exact,
            _ => GlobKind::Segments(text.split('/').skip(1).map(GlobSegment::of).collect()),
        };
        Self { text, kind }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.kind {
            GlobKind::Exact => self.text == path,
            GlobKind::Below(prefix) => path.starts_with(prefix),
            GlobKind::Segments(segments) => match path.strip_prefix('/') {
                Some(rest) => {
                    let parts: Vec<&str> = rest.split('/').collect();
                    segments_match(segments, &parts, &mut |_, _| {})
                }
                None => false,
            },
        }
    }

    /// Returns the text under each star, which is the shortest one that matches.
    pub(super) fn captures<'p>(&self, path: &'p str) -> Option<Captures<'p>> {
        let mut captures = Captures::whole(path);
        match &self.kind {
            GlobKind::Exact => (self.text == path).then_some(captures),
            GlobKind::Below(prefix) => {
                captures.push(path.strip_prefix(prefix.as_str())?);
                Some(captures)
            }
            GlobKind::Segments(segments) => {
                let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
                let mut places = vec![0; segments.len()];
                let is_match = segments_match(segments, &parts, &mut |at, place| {
                    if let Some(own) = places.get_mut(at) {
                        *own = place;
                    }
                });
                if !is_match {
                    return None;
                }
                let ends = places.iter().skip(1).copied().chain([parts.len()]);
                for (segment, (from, to)) in segments.iter().zip(places.iter().copied().zip(ends)) {
                    match segment {
                        GlobSegment::Literal(_) => {}
                        GlobSegment::Glob(glob) => {
                            part_captures(glob, parts.get(from)?, &mut captures);
                        }
                        GlobSegment::Any => captures.push(joined(path, &parts, from, to)),
                    }
                }
                Some(captures)
            }
        }
    }

    /// Returns whether every path of the other pattern is certainly one of this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match &self.kind {
            _ if self.text == other.text => true,
            GlobKind::Below(prefix) => other.text.starts_with(prefix),
            GlobKind::Exact | GlobKind::Segments(_) => {
                other.kind == GlobKind::Exact && self.matches(&other.text)
            }
        }
    }
}

impl GlobSegment {
    fn of(text: &str) -> Self {
        match text {
            "**" => Self::Any,
            text if text.contains('*') => Self::Glob(text.to_owned()),
            text => Self::Literal(text.to_owned()),
        }
    }

    fn matches(&self, part: &str) -> bool {
        match self {
            Self::Literal(text) => text == part,
            Self::Glob(glob) => part_matches(glob.as_bytes(), part.as_bytes(), &mut |_, _| {}),
            Self::Any => true,
        }
    }
}

/// Returns the segments from one place to another with the slashes between them.
fn joined<'p>(path: &'p str, parts: &[&'p str], from: usize, to: usize) -> &'p str {
    let before = |count: usize| parts.iter().take(count).map(|part| part.len() + 1).sum::<usize>();
    if from >= to {
        return "";
    }
    path.get(before(from) + 1..before(to)).unwrap_or_default()
}

/// Adds the text under each star of one segment.
fn part_captures<'p>(glob: &str, part: &'p str, captures: &mut Captures<'p>) {
    let mut places = vec![0; glob.len()];
    part_matches(glob.as_bytes(), part.as_bytes(), &mut |at, place| {
        if let Some(own) = places.get_mut(at) {
            *own = place;
        }
    });
    for (at, _star) in glob.match_indices('*') {
        let from = places.get(at).copied().unwrap_or_default();
        let to = places.get(at + 1).copied().unwrap_or(part.len());
        captures.push(part.get(from..to).unwrap_or_default());
    }
}

/// Compares segment by segment. After a mismatch, the last `**` takes one segment more. `note` is
/// told where each segment of the pattern begins; the last word counts.
fn segments_match(
    pattern: &[GlobSegment],
    path: &[&str],
    note: &mut dyn FnMut(usize, usize),
) -> bool {
    let (mut at, mut place, mut again) = (0, 0, None);
    loop {
        match (pattern.get(at), path.get(place)) {
            (None, None) => return true,
            (Some(GlobSegment::Any), part) if at + 1 == pattern.len() => {
                note(at, place);
                return part.is_some();
            }
            (Some(GlobSegment::Any), _) => {
                note(at, place);
                at += 1;
                again = Some((at, place));
            }
            (Some(segment), Some(part)) if segment.matches(part) => {
                note(at, place);
                (at, place) = (at + 1, place + 1);
            }
            _ => match again {
                Some((after, from)) if from < path.len() => {
                    (at, place) = (after, from + 1);
                    again = Some((after, place));
                }
                _ => return false,
            },
        }
    }
}

/// Compares byte by byte. After a mismatch, the last `*` takes one byte more. `note` is told where
/// each byte of the glob begins; the last word counts.
fn part_matches(glob: &[u8], part: &[u8], note: &mut dyn FnMut(usize, usize)) -> bool {
    let (mut at, mut place, mut again) = (0, 0, None);
    loop {
        match (glob.get(at), part.get(place)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                note(at, place);
                at += 1;
                again = Some((at, place));
            }
            (Some(one), Some(other)) if one == other => {
                note(at, place);
                (at, place) = (at + 1, place + 1);
            }
            _ => match again {
                Some((after, from)) if from < part.len() => {
                    (at, place) = (after, from + 1);
                    again = Some((after, place));
                }
                _ => return false,
            },
        }
    }
}
