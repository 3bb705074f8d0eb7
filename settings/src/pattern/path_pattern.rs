//! `PathPattern`: paths, by globs.

use std::fmt;

use super::Captures;
use super::glob::Glob;
use crate::value::Fault;

/// A path, in which `*` stands for any characters of one segment, the segment `**` for any
/// segments (none between two others, at least one at the end), and `{a,b}` for either text.
///
/// Paths are compared byte by byte, as the client wrote them, without their queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    /// The pattern without braces: one for each combination.
    globs: Vec<Glob>,
}

impl PathPattern {
    /// Returns whether a path without its query is meant. Takes time in proportion to the lengths
    /// of both.
    pub fn matches(&self, path: &str) -> bool {
        self.globs.iter().any(|glob| glob.matches(path))
    }

    /// Returns the text under each star.
    pub fn captures<'p>(&self, path: &'p str) -> Option<Captures<'p>> {
        self.globs.iter().find_map(|glob| glob.captures(path))
    }

    /// Returns the number of its stars.
    pub fn stars(&self) -> usize {
        self.text
            .split('/')
            .map(|part| if part == "**" { 1 } else { part.matches('*').count() })
            .sum()
    }

    /// Returns whether every path of the other pattern is certainly one of this.
    pub fn covers(&self, other: &Self) -> bool {
        other.globs.iter().all(|other| self.globs.iter().any(|own| own.covers(other)))
    }

    /// Returns the patterns without braces that this one stands for.
    pub fn globs(&self) -> impl Iterator<Item = &str> {
        self.globs.iter().map(Glob::as_str)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads `/path`, `/static/*`, `/{de,en}/*` or `/api/**`.
pub(crate) fn path_pattern(text: &str) -> Result<PathPattern, Fault> {
    let fault = |label: &str| Fault::new(format!("must be a path, and `{text}` is none"), label);
    if !text.starts_with('/') {
        let meant = format!("/{}", text.trim_start_matches("http://"));
        return Err(fault("it begins with no slash").help(format!("did you mean \"{meant}\"?")));
    }
    if text.contains(['?', '#']) {
        return Err(fault("a path with more after it").help("queries do not matter here"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault("not as it is sent").help("with percent-encoding: \"/caf%C3%A9\""));
    }
    let mut texts = Vec::new();
    expand(text, String::new(), &mut texts).map_err(|label| {
        fault(label).help("\"/{de,en}/*\": a few texts without stars and braces")
    })?;
    if texts.iter().flat_map(|text| text.split('/')).any(|part| part != "**" && part.contains("**"))
    {
        return Err(fault("`**` stands for whole segments")
            .help("\"/api/**\" is all below /api/; in one segment, write `*`"));
    }
    let globs = texts.into_iter().map(Glob::new).collect();
    Ok(PathPattern { text: text.to_owned(), globs })
}

/// Writes out each combination of the texts in braces.
fn expand(rest: &str, before: String, all: &mut Vec<String>) -> Result<(), &'static str> {
    let Some(open) = rest.find(['{', '}']) else {
        if all.len() == GLOBS_MAX {
            return Err("too many combinations");
        }
        all.push(before + rest);
        return Ok(());
    };
    let (literal, braced) = rest.split_at(open);
    let inside = braced.strip_prefix('{').ok_or("a brace that closes nothing")?;
    let (choices, after) = inside.split_once('}').ok_or("a brace that is never closed")?;
    if choices.contains(['{', '*']) {
        return Err("a star or a brace within braces");
    }
    choices
        .split(',')
        .try_for_each(|choice| expand(after, format!("{before}{literal}{choice}"), all))
}

/// The combinations of one pattern.
const GLOBS_MAX: usize = 64;

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
        for text in [
            "",
            "a",
            "*.js",
            "/a?b",
            "/a#b",
            "/a{b",
            "/a}b",
            "/{a,*}",
            "/{a,{b,c}}",
            "/a**",
            "/**.js",
            "/***",
            "/ä",
            "/ ",
        ] {
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

    #[test]
    fn braces_stand_for_either_text() {
        let languages = pattern("/{de,en}/{p,}x");
        assert_eq!(languages.globs().collect::<Vec<_>>(), ["/de/px", "/de/x", "/en/px", "/en/x"]);
        assert!(languages.matches("/en/x") && !languages.matches("/fr/x"));
        assert!(pattern("/{a,b}/**").covers(&pattern("/b/c")));
        assert!(!pattern("/a/**").covers(&pattern("/{a,b}/c")));
        assert!(path_pattern(&format!("/{}", "{a,b}".repeat(7))).is_err(), "128 combinations");
    }

    #[test]
    fn the_text_under_each_star_is_captured() {
        for (text, path, expected) in [
            ("/a", "/a", &[][..]),
            ("/p/*", "/p/42", &["42"]),
            ("/static/**", "/static/a/b.js", &["a/b.js"]),
            ("/static/**", "/static/", &[""]),
            ("/{de,en}/*/x-*.html", "/en/shop/x-1.html", &["shop", "1"]),
            ("/**/*.js", "/a.js", &["", "a"]),
            ("/**/*.js", "/a/b/c.js", &["a/b", "c"]),
            ("/a/**/b/*", "/a/x/b/y/b/z", &["x/b/y", "z"]),
            ("/*/x/**", "/a/x/b/c", &["a", "b/c"]),
            ("/a*b*c", "/axbybzc", &["x", "ybz"]),
        ] {
            let pattern = pattern(text);
            let found = pattern.captures(path).unwrap();
            let parts: Vec<_> = (1..=found.len()).map(|number| found.get(number)).collect();
            assert_eq!(parts, expected, "{text} {path}");
            assert_eq!(pattern.stars(), expected.len(), "{text}");
        }
        assert_eq!(pattern("/p/*").captures("/q/1"), None);
    }
}
