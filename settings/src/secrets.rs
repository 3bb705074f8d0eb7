//! The settings that are secrets, by their paths, and passwords in URLs.

/// Returns whether a setting is never to be shown. Keys in quotes stand in the path as they are.
pub(crate) fn is_secret(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let mut above = path.rsplit('.');
    let name = above.next().unwrap_or_default();
    let table = above.next().unwrap_or_default();
    let is_field = matches!(table, "set" | "add" | "request_headers" | "response_headers");
    is_header_of_ours(&path)
        || is_secret_name(name)
        || SECRET_ENDS.iter().any(|end| path.ends_with(end))
        || is_sent_to_origins(&path)
        || is_field && FIELD_WORDS.iter().any(|word| name.contains(word))
}

/// Blacks out what stands before the `@` of a URL, byte for byte.
pub(crate) fn without_userinfo(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|char: char| char.is_whitespace() || "/?#\"'`,]".contains(char));
        let authority = end.and_then(|end| after.get(..end)).unwrap_or(after);
        let userinfo = authority.rsplit_once('@').map_or("", |(userinfo, _)| userinfo);
        shown.push_str(before);
        shown.push_str("://");
        shown.push_str(&blacked(userinfo));
        rest = after.get(userinfo.len()..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

/// Blacks out all but line ends and references, which tell no secret: `${NAME}`, `${file:PATH}`,
/// and of `${NAME:-default}` all but the default.
pub(crate) fn blacked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((reference, after)) = after.split_once('}') else { break };
        let (name, default) = reference.split_at(reference.find(":-").unwrap_or(reference.len()));
        cover(before, &mut shown);
        shown.push_str("${");
        shown.push_str(name);
        if let Some(default) = default.strip_prefix(":-") {
            shown.push_str(":-");
            cover(default, &mut shown);
        }
        shown.push('}');
        rest = after;
    }
    cover(rest, &mut shown);
    shown
}

fn cover(text: &str, shown: &mut String) {
    for char in text.chars() {
        match char {
            '\n' | '\r' => shown.push(char),
            _ => shown.extend(std::iter::repeat_n('*', char.len_utf8())),
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !name.ends_with("_file")
}

/// The fields that rules add for origins: any may be how the proxy proves who it is.
fn is_sent_to_origins(path: &str) -> bool {
    let field = ["request_headers.set.", "request_headers.add."]
        .into_iter()
        .find_map(|table| Some(path.split_once(table)?.1));
    field.is_some_and(|name| !PUBLIC_FIELDS.contains(&name))
}

/// The fields of a message that we send: any may hold a key. Those of `respond` are public.
fn is_header_of_ours(path: &str) -> bool {
    let (mut keys, mut above) = (path.split('.').peekable(), "");
    while let Some(key) = keys.next() {
        let is_table = keys.peek().is_some() && !above.starts_with("respond");
        if key == "headers" && (is_table || above == "tracing") {
            return true;
        }
        above = key;
    }
    false
}

pub(crate) const SECRET_WORDS: [&str; 9] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "authorization",
    "api_key",
    "api-key",
    "credential",
];
/// Properties of librdkafka that hold keys.
const SECRET_ENDS: [&str; 3] = ["key.pem", "jaas.config", "oauthbearer.config"];
/// Fields of requests that tell no secret.
const PUBLIC_FIELDS: [&str; 10] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "host",
    "user-agent",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
];
/// Parts of the names of fields that servers know each other by.
const FIELD_WORDS: [&str; 5] = ["auth", "cookie", "key", "sign", "verify"];
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_secret_by_its_name_or_its_table() {
        for secret in [
            "admin.token",
            "purger.targets.TOKEN",
            "kafka.key_password",
            "kafka.properties.sasl.password",
            "kafka.properties.sasl.oauthbearer.client.secret",
            "kafka.properties.ssl.key.pem",
            "tracing.headers",
            "tracing.headers.x-team",
            "rule[0].request_headers.set.Authorization",
            "rule[0].request_headers.add.x-origin-verify",
            "rule[0].request_headers.set.cookie",
            "rule[0].request_headers.set.x-team",
            "rule[0].request_headers.add.X.Y",
            "rule[3].header.x-api-key",
            "origin.app.headers.x",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for public in [
            "kafka.token_file",
            "key.headers",
            "key.headers[0].name",
            "limits.max_headers",
            "log.access.redact_headers",
            "rule[0].request_headers.set.Accept",
            "rule[0].request_headers.add.x-forwarded-proto",
            "rule[0].request_headers.remove[0]",
            "rule[0].response_headers.set.x-team",
            "rule[0].respond.headers.location",
            "rule[0].cookie.session",
            "origin.app.servers",
        ] {
            assert!(!is_secret(public), "{public}");
        }
    }

    #[test]
    fn no_url_shows_its_password() {
        for (text, shown) in [
            ("http://u:p@host:80/a@b", "http://***@host:80/a@b"),
            ("\"http://${U}:pw@h\", \"ftp://k@é\"", "\"http://${U}***@h\", \"ftp://*@é\""),
            ("http://host/?to=http://a:b@c", "http://host/?to=http://***@c"),
            ("https://host/@", "https://host/@"),
            ("a://", "a://"),
        ] {
            assert_eq!(without_userinfo(text), shown);
        }
    }
}
