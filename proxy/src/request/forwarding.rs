//! The client that a trusted peer speaks for: its address, scheme and host.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::client::peer::{Peer, contains};
use settings::{ClientFields, ListenSettings, PeerNetwork};

/// Brings what a trusted peer says into the form of `X-Forwarded-*`, from the fields that the
/// listener believes. What the others say may be the client's own.
pub fn normalize(fields: &mut HeaderMap, listen: &ListenSettings) {
    match listen.client_fields {
        ClientFields::XForwarded => {}
        ClientFields::XRealIp => match fields.get(X_REAL_IP).cloned() {
            Some(address) => drop(fields.insert(X_FORWARDED_FOR, address)),
            None => drop(fields.remove(X_FORWARDED_FOR)),
        },
        ClientFields::Forwarded => from_forwarded(fields, &listen.trusted_proxies),
    }
}

/// Returns the client's address: the last one that is not a trusted peer's, looking back from the
/// connection.
pub fn client_address(fields: &HeaderMap, peer: &Peer, trusted: &[PeerNetwork]) -> Option<IpAddr> {
    if !peer.is_trusted {
        return peer.remote.ip();
    }
    let mut client = peer.remote.ip();
    let lines = fields.get_all(X_FORWARDED_FOR).iter().rev();
    let members = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for member in members {
        let Some(address) = address(member.trim_ascii()) else { break };
        client = Some(address);
        if !contains(trusted, SocketAddr::new(address, 0).into()) {
            break;
        }
    }
    client
}

/// Writes `X-Forwarded-*` from `Forwarded` (RFC 7239): scheme and host are those of the element
/// that names the client.
fn from_forwarded(fields: &mut HeaderMap, trusted: &[PeerNetwork]) {
    let lines: Vec<HeaderValue> = fields.get_all(FORWARDED).iter().cloned().collect();
    for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST] {
        fields.remove(name);
    }
    let mut addresses: Vec<String> = Vec::new();
    let (mut scheme, mut host) = (None, None);
    // The last element is the peer's own. What stands before an element of a peer that is not
    // trusted is that one's to say.
    for hop in lines.iter().rev().map_while(|line| hops(line.as_bytes())).flatten() {
        scheme = hop.scheme.or(scheme);
        host = hop.host.or(host);
        let Some(address) = hop.address else { break };
        addresses.push(address.to_string());
        if !contains(trusted, SocketAddr::new(address, 0).into()) {
            break;
        }
    }
    addresses.reverse();
    let list = (!addresses.is_empty()).then(|| addresses.join(", ").into_bytes());
    for (name, value) in
        [(X_FORWARDED_FOR, list), (X_FORWARDED_PROTO, scheme), (X_FORWARDED_HOST, host)]
    {
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
            fields.insert(name, value);
        }
    }
}

/// One element of `Forwarded`.
#[derive(Debug, Default, PartialEq, Eq)]
struct ForwardedHop {
    address: Option<IpAddr>,
    scheme: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
}

/// Reads the elements of a line, the last one first. `None`: the line is malformed. A quote that a
/// client left open would otherwise take in what the peer has appended.
fn hops(line: &[u8]) -> Option<Vec<ForwardedHop>> {
    split(line, b',')?.into_iter().rev().map(ForwardedHop::read).collect()
}

impl ForwardedHop {
    /// Returns `None` if the element is malformed.
    fn read(element: &[u8]) -> Option<Self> {
        let mut hop = Self::default();
        for pair in split(element, b';')? {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            if name.contains(&b'"') {
                return None;
            }
            let value = plain(value.get(1..).unwrap_or_default().trim_ascii())?;
            match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"for" => hop.address = address(&value),
                b"proto" => hop.scheme = Some(value),
                b"host" => hop.host = Some(value),
                _ => {}
            }
        }
        Some(hop)
    }
}

/// Splits at a separator that stands in no quoted string. `None`: a quoted string does not end.
fn split(bytes: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut parts, mut rest, mut at) = (Vec::new(), bytes, 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    while let Some(byte) = rest.get(at) {
        let is_end = *byte == separator && !is_quoted;
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        at += 1;
        if is_end {
            let (part, others) = rest.split_at(at);
            parts.push(part.get(..at - 1).unwrap_or_default().trim_ascii());
            (rest, at) = (others, 0);
        }
    }
    parts.push(rest.trim_ascii());
    (!is_quoted).then_some(parts)
}

/// Returns what a value says. `None`: it is neither free of quotes nor one quoted string.
fn plain(value: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return (!value.contains(&b'"')).then(|| value.to_vec());
    };
    let (mut plain, mut bytes) = (Vec::with_capacity(quoted.len()), quoted.iter());
    loop {
        match bytes.next()? {
            b'"' => return bytes.as_slice().is_empty().then_some(plain),
            b'\\' => plain.push(*bytes.next()?),
            byte => plain.push(*byte),
        }
    }
}

/// Reads an address with or without port, IPv6 with or without brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let plain = bare.parse::<IpAddr>().ok();
    let address = plain.or_else(|| text.parse().ok().map(|end: SocketAddr| end.ip()));
    address.map(|address| address.to_canonical())
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::end_address::EndAddress;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn listen(client_fields: ClientFields) -> ListenSettings {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|block| block.parse().unwrap());
        ListenSettings {
            client_fields,
            trusted_proxies: trusted.to_vec(),
            ..ListenSettings::default()
        }
    }

    fn client_of(peer: &str, forwarded_for: &'static str) -> String {
        let remote = EndAddress::Ip(SocketAddr::new(peer.parse().unwrap(), 1));
        let trusted = listen(ClientFields::XForwarded).trusted_proxies;
        let peer = Peer {
            remote,
            local: remote,
            is_trusted: contains(&trusted, remote),
            is_secure: false,
            listener: None,
            retained: Arc::default(),
            claims: Arc::default(),
        };
        let fields = fields(&[("x-forwarded-for", forwarded_for)]);
        client_address(&fields, &peer, &trusted).unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_peers() {
        for (peer, list, client) in [
            ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "203.0.113.9, 192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "203.0.113.9, 192.0.2.1, 10.0.0.2, fd00::1", "192.0.2.1"),
            ("10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
            ("10.0.0.1", "[2001:db8::1]:4711, 10.0.0.2", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "192.0.2.1, ", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("192.0.2.7", "192.0.2.1", "192.0.2.7"),
        ] {
            assert_eq!(client_of(peer, list), client, "{peer}: {list}");
        }
    }

    #[test]
    fn forwarded_is_believed_up_to_the_client_and_no_further() {
        let of = |forwarded| {
            let mut fields = fields(&[
                ("forwarded", forwarded),
                ("x-forwarded-for", "203.0.113.66"),
                ("x-forwarded-host", "evil.example"),
            ]);
            normalize(&mut fields, &listen(ClientFields::Forwarded));
            let shown = |name: &HeaderName| {
                fields.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned()
            };
            [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST].map(|name| shown(&name))
        };

        assert_eq!(
            of("for=203.0.113.9;proto=ftp;host=evil.example, \
                for=192.0.2.1;proto=https;host=www.example, for=10.0.0.2;proto=http"),
            ["192.0.2.1, 10.0.0.2", "https", "www.example"]
        );
        assert_eq!(
            of("For=\"[2001:db8::1]:4711\";Proto=https; host=\"a.example:8443\""),
            ["2001:db8::1", "https", "a.example:8443"]
        );
        assert_eq!(of("for=203.0.113.9, for=_hidden;proto=https"), ["-", "https", "-"]);
        assert_eq!(of("for=\"a,b;c\\\"d\";proto=https"), ["-", "https", "-"]);
        assert_eq!(of("nonsense"), ["-", "-", "-"]);
    }

    #[test]
    fn nothing_of_a_malformed_line_of_forwarded_is_believed() {
        let of = |lines: &[&'static str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
            let mut fields = fields(&lines);
            normalize(&mut fields, &listen(ClientFields::Forwarded));
            [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST].map(|name| {
                fields.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned()
            })
        };

        for line in [
            "host=victim.example;proto=https;for=\", for=192.0.2.1;proto=http",
            "host=victim.example;proto=https;for=\", for=\"[2001:db8::1]\"",
            "host=victim.example;proto=https;for=\", for=\"[2001:db8::1]\";by=\"",
            "host=victim.example;for=\"a\\, for=192.0.2.1",
            "host=victim.example;for=a\"b\", for=192.0.2.1",
            "host=victim.example;for=\"a\"b, for=192.0.2.1",
            "host=victim.example;\"for\"=a, for=192.0.2.1",
            "host=victim.example;\"for, for=\", for=192.0.2.1",
        ] {
            assert_eq!(of(&[line]), ["-", "-", "-"], "{line}");
            let own = "for=10.0.0.2;proto=http;host=www.example";
            assert_eq!(of(&[line, own]), ["10.0.0.2", "http", "www.example"], "{line}");
            let earlier = "for=203.0.113.9;proto=ftp;host=evil.example";
            assert_eq!(of(&[earlier, line]), ["-", "-", "-"], "{line}");
        }
    }

    #[test]
    fn one_field_alone_names_the_client_if_the_listener_says_so() {
        let mut fields = fields(&[("x-real-ip", "192.0.2.1"), ("x-forwarded-for", "203.0.113.9")]);
        normalize(&mut fields, &listen(ClientFields::XRealIp));
        assert_eq!(fields.get("x-forwarded-for").unwrap(), "192.0.2.1");
        fields.remove("x-real-ip");
        normalize(&mut fields, &listen(ClientFields::XRealIp));
        assert!(!fields.contains_key("x-forwarded-for"));
    }

    proptest::proptest! {
        #[test]
        fn no_field_does_any_harm(value in "[ -~]{0,60}") {
            let mut fields = HeaderMap::new();
            fields.insert(FORWARDED, HeaderValue::from_str(&value).unwrap());
            normalize(&mut fields, &listen(ClientFields::Forwarded));
            let parts = split(value.as_bytes(), b',').map_or(0, |parts| parts.len());
            proptest::prop_assert!(parts <= value.len() + 1);
        }
    }
}
