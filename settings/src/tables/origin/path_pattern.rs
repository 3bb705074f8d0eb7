//! `PathPattern`: the paths that an origin serves.

use std::fmt;

use crate::value::Fault;

/// A path, in which `*` stands for any characters of one segment, and the segment `**` for any
/// segments: none between two others, at least one at the end.
///
/// Paths are compared byte by byte, as the client wrote them, without their queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    kind: GlobKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobKind {
    Exact,
    /// Everything that begins so: all but the `**` at the end.
    Below(String),
    Glob(Vec<GlobSegment>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobSegment {
    Literal(String),
    Glob(String),
    Any,
}

impl PathPattern {
    /// Returns whether a path without its query is meant. Takes time in proportion to the lengths
    /// of both.
    pub fn matches(&self, path: &str) -> bool {
        match &self.kind {
            GlobKind::Exact => self.text == path,
            GlobKind::Below(prefix) => path.starts_with(prefix),
            GlobKind::Glob(segments) => match path.strip_prefix('/') {
                Some(rest) => segments_match(segments, &rest.split('/').collect::<Vec<_>>()),
                None => false,
            },
        }
    }

    /// Returns whether every path of the other pattern is certainly one of this.
    pub fn covers(&self, other: &Self) -> bool {
        match &self.kind {
            _ if self.text == other.text => true,
            GlobKind::Below(prefix) => other.text.starts_with(prefix),
            GlobKind::Exact | GlobKind::Glob(_) => {
                other.kind == GlobKind::Exact && self.matches(&other.text)
            }
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
            Self::Glob(glob) => part_matches(glob.as_bytes(), part.as_bytes()),
            Self::Any => true,
        }
    }
}

/// Compares segment by segment. After a mismatch, the last `**` takes one segment more.
fn segments_match(pattern: &[GlobSegment], path: &[&str]) -> bool {
    let (mut at, mut place, mut again) = (0, 0, None);
    loop {
        match (pattern.get(at), path.get(place)) {
            (None, None) => return true,
            (Some(GlobSegment::Any), part) if at + 1 == pattern.len() => return part.is_some(),
            (Some(GlobSegment::Any), _) => {
                at += 1;
                again = Some((at, place));
            }
            (Some(segment), Some(part)) if segment.matches(part) => {
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

/// Compares byte by byte. After a mismatch, the last `*` takes one byte more.
fn part_matches(glob: &[u8], part: &[u8]) -> bool {
    let (mut at, mut place, mut again) = (0, 0, None);
    loop {
        match (glob.get(at), part.get(place)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                at += 1;
                again = Some((at, place));
            }
            (Some(one), Some(other)) if one == other => (at, place) = (at + 1, place + 1),
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

/// Reads `/path`, `/static/*` or `/api/**`.
pub(super) fn path_pattern(text: &str) -> Result<PathPattern, Fault> {
    let fault = |label: &str| Fault::new(format!("must be a path, and `{text}` is none"), label);
    if !text.starts_with('/') {
        let meant = format!("/{}", text.trim_start_matches("http://"));
        return Err(fault("it begins with no slash").help(format!("did you mean \"{meant}\"?")));
    }
    if text.contains(['?', '#']) {
        return Err(fault("a path with more after it").help("queries do not matter here"));
    }
    if text.contains(['{', '}']) {
        return Err(fault("braces mean nothing here").help("one pattern for each path"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault("not as it is sent").help("with percent-encoding: \"/caf%C3%A9\""));
    }
    let parts = || text.split('/').skip(1);
    if parts().any(|part| part != "**" && part.contains("**")) {
        return Err(fault("`**` stands for whole segments")
            .help("\"/api/**\" is all below /api/; in one segment, write `*`"));
    }
    let kind = match text.strip_suffix("**") {
        Some(prefix) if !prefix.contains('*') => GlobKind::Below(prefix.to_owned()),
        None if !text.contains('*') => GlobKind::Exact,
        _ => GlobKind::Glob(parts().map(GlobSegment::of).collect()),
    };
    Ok(PathPattern { text: text.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        path_pattern(text).unwrap()
    }

    #[test]
    fn one_star_is_within_a_segment_and_two_are_across() {
        for (text, matching, others) in [
            ("/", &["/"][..], &["", "*", "/a"][..]),
            ("/a", &["/a"], &["/", "/A", "/a/", "/ab"]),
            ("/**", &["/", "/a", "/a/b"], &["", "*"]),
            ("/api/**", &["/api/", "/api/a", "/api/a/b"], &["/api", "/apis", "/x/api/a"]),
            ("/static/*", &["/static/", "/static/a.js"], &["/static", "/static/a/b"]),
            ("/*.js", &["/a.js", "/.js", "/a.js.js"], &["/a.jsx", "/a/b.js"]),
            ("/a*b*c", &["/abc", "/axbxc", "/abbcc"], &["/ab", "/abcd", "/ab/c"]),
            ("/**/*.js", &["/a.js", "/a/b/c.js"], &["/a.css", "/a.js/b"]),
            ("/a/**/b", &["/a/b", "/a/x/b", "/a/b/b", "/a//b"], &["/a/bb", "/ab", "/a/b/c"]),
            ("/*/x/**", &["/a/x/", "/a/x/b"], &["/a/x", "/a/b/x/c"]),
            ("/**/a/**/b", &["/a/b", "/x/a/y/a/b"], &["/b/a", "/a"]),
        ] {
            let pattern = pattern(text);
            let is_matched = |path: &&&str| pattern.matches(path);
            assert_eq!(matching.iter().find(|path| !is_matched(path)), None, "{text}");
            assert_eq!(others.iter().find(is_matched), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_refused() {
        for text in
            ["", "a", "*.js", "/a?b", "/a#b", "/a{b,c}", "/a**", "/**.js", "/***", "/ä", "/ "]
        {
            assert!(path_pattern(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_long_path_costs_time_in_proportion() {
        let path = format!("/{}", "a/".repeat(4096));
        assert!(!pattern("/**/a/**/a/**/b").matches(&path));
        let path = format!("/{}", "a".repeat(8192));
        assert!(!pattern("/**/*a*a*a*b").matches(&path));
    }

    #[test]
    fn a_pattern_covers_narrower_ones() {
        for (one, other, expected) in [
            ("/**", "/", true),
            ("/**", "/a/*", true),
            ("/api/**", "/api/v1/**", true),
            ("/api/**", "/api/*/x", true),
            ("/api/v1/**", "/api/**", false),
            ("/api/**", "/api", false),
            ("/*.js", "/a.js", true),
            ("/*.js", "/*.js", true),
            ("/*.js", "/a*.js", false),
            ("/a", "/**", false),
        ] {
            assert_eq!(pattern(one).covers(&pattern(other)), expected, "{one} {other}");
        }
    }
}
