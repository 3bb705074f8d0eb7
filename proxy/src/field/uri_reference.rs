//! Resolution of a URI reference against a base URI (RFC 3986 §5.2), as far as `http` and `https`
//! need it.

use http::Uri;
use http::uri::{Authority, Scheme};

/// Returns the target URI of a reference; what makes no URI is `None`. The fragment is dropped.
pub(crate) fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = without_fragment(reference.trim_ascii());
    if let Some((scheme, rest)) = split_scheme(reference) {
        return with_authority(&Scheme::try_from(scheme).ok()?, rest.strip_prefix("//")?);
    }
    if let Some(rest) = reference.strip_prefix("//") {
        return with_authority(base.scheme()?, rest);
    }
    let (path, query) = split_query(reference);
    let (merged, query) = match path {
        "" => (base.path().to_owned(), query.or_else(|| base.query())),
        _ if path.starts_with('/') => (path.to_owned(), query),
        _ => (merge(base.path(), path), query),
    };
    build(base.scheme()?, base.authority()?, &merged, query)
}

fn with_authority(scheme: &Scheme, rest: &str) -> Option<Uri> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    let (path, query) = split_query(rest);
    build(scheme, &Authority::try_from(authority).ok()?, path, query)
}

fn build(scheme: &Scheme, authority: &Authority, path: &str, query: Option<&str>) -> Option<Uri> {
    let mut path_and_query = remove_dot_segments(path);
    if let Some(query) = query {
        path_and_query.push('?');
        path_and_query.push_str(query);
    }
    let parts = Uri::builder().scheme(scheme.clone()).authority(authority.clone());
    parts.path_and_query(path_and_query).build().ok()
}

fn without_fragment(reference: &str) -> &str {
    reference.split_once('#').map_or(reference, |(before, _fragment)| before)
}

/// Splits off a scheme: letters, digits, `+`, `-` and `.` before the first `:` (RFC 3986 §3.1).
fn split_scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    is_scheme.then_some((scheme, rest))
}

fn split_query(reference: &str) -> (&str, Option<&str>) {
    reference.split_once('?').map_or((reference, None), |(path, query)| (path, Some(query)))
}

/// Replaces what follows the last `/` of the base path (RFC 3986 §5.2.3).
fn merge(base: &str, path: &str) -> String {
    let directory = base.rsplit_once('/').map_or("", |(directory, _last)| directory);
    format!("{directory}/{path}")
}

/// Removes `.` and `..` (RFC 3986 §5.2.4); the result begins with `/`.
fn remove_dot_segments(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_dots = segment == "." || segment == "..";
        if segment == ".." {
            kept.pop();
        }
        if !is_dots {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use proptest::prelude::proptest;

    use super::resolve;

    #[test]
    fn references_resolve_as_in_rfc_3986_section_5_4() {
        let base = Uri::from_static("http://a/b/c/d;p?q");
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("https://other:8443/x/../y?z#f", "https://other:8443/y?z"),
            ("http://other?z", "http://other/?z"),
            ("/a:b", "http://a/a:b"),
        ] {
            assert_eq!(resolve(&base, reference), Some(Uri::from_static(expected)), "{reference}");
        }
    }

    #[test]
    fn what_makes_no_uri_is_none() {
        let base = Uri::from_static("http://a/b");
        for reference in
            ["mailto:x@y", "http:g", "http://", "//", "http://a b/", "/a b", "http://a:b:c/"]
        {
            assert_eq!(resolve(&base, reference), None, "{reference}");
        }
        assert_eq!(resolve(&Uri::from_static("/only/a/path"), "/x"), None);
    }

    proptest! {
        #[test]
        fn no_dot_segment_is_left(reference in "[a-z./:?#@% ]{0,30}") {
            let base = Uri::from_static("http://a/b/c");
            if let Some(uri) = resolve(&base, &reference) {
                assert!(!uri.path().split('/').any(|segment| segment == "." || segment == ".."));
            }
        }
    }
}
