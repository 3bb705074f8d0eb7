//! Reflection: dropped parameters in a redirect, which would lose them.

/// Returns a `Location` with these parameters added, if it leads to a URL of the same host. Those
/// that it names itself are left out.
///
/// A browser reads a backslash as a slash, and ignores tabs and line breaks: a location with one of
/// these may lead anywhere.
pub fn reflect(location: &str, host: &str, dropped: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if !location.bytes().all(is_plain) || !is_of_host(location, host) {
        return None;
    }
    let (before, fragment) = location.split_at(location.find('#').unwrap_or(location.len()));
    let query = before.split_once('?').map(|(_path, query)| query);
    let name = |parameter: &str| parameter.split('=').next().unwrap_or_default().to_owned();
    let own: Vec<String> = query.unwrap_or_default().split('&').map(name).collect();
    let added: Vec<&str> =
        dropped.split('&').filter(|parameter| !own.contains(&name(parameter))).collect();
    if added.is_empty() {
        return None;
    }
    let joint = match query {
        None => "?",
        Some(query) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    Some(format!("{before}{joint}{}{fragment}", added.join("&")))
}

/// Returns whether a reference leads to this host, whatever the scheme and the port.
fn is_of_host(location: &str, host: &str) -> bool {
    let lower = location.get(..8).unwrap_or(location).to_ascii_lowercase();
    let authority = if lower.starts_with("https://") {
        location.get(8..)
    } else if lower.starts_with("http://") {
        location.get(7..)
    } else if let Some(rest) = location.strip_prefix("//") {
        Some(rest)
    } else {
        // Relative, unless there is a scheme.
        let end = location.find(['/', '?', '#']).unwrap_or(location.len());
        return !location.get(..end).is_some_and(|first| first.contains(':'));
    };
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| {
        let (own, other) = (without_port(host), without_port(authority));
        !authority.contains('@') && own.eq_ignore_ascii_case(other.trim_end_matches('.'))
    })
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_on_the_same_host_gets_back_what_was_dropped() {
        for (location, expected) in [
            ("/b", "/b?utm_source=x&gclid=1"),
            ("b/", "b/?utm_source=x&gclid=1"),
            ("?a=1", "?a=1&utm_source=x&gclid=1"),
            ("/b?", "/b?utm_source=x&gclid=1"),
            ("/b?a=1&#top", "/b?a=1&utm_source=x&gclid=1#top"),
            ("/b#top?x", "/b?utm_source=x&gclid=1#top?x"),
            ("/b?gclid=2", "/b?gclid=2&utm_source=x"),
            ("https://Shop.example/b", "https://Shop.example/b?utm_source=x&gclid=1"),
            ("HTTP://shop.example.:81", "HTTP://shop.example.:81?utm_source=x&gclid=1"),
            ("//shop.example/", "//shop.example/?utm_source=x&gclid=1"),
            ("/a:b", "/a:b?utm_source=x&gclid=1"),
        ] {
            let reflected = reflect(location, "shop.example:8080", "utm_source=x&gclid=1");
            assert_eq!(reflected.as_deref(), Some(expected), "{location}");
        }
    }

    #[test]
    fn no_other_host_is_told_what_was_dropped() {
        for location in [
            "https://evil.example/",
            "//evil.example",
            "https://shop.example.evil.example/",
            "https://shop.example@evil.example/",
            "https://shop.example:x@evil.example/",
            "https:/evil.example",
            "\\\\evil.example/",
            "/\\evil.example/",
            "/\t/evil.example/",
            "javascript:alert(1)",
            "/b?t=1",
        ] {
            assert_eq!(reflect(location, "shop.example", "t=1"), None, "{location}");
        }
    }
}
