//! Access to purges: by the socket's address and a token, never by other fields of a request.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::client::peer::Peer;
use crate::request::refusal::Refusal;
use settings::Secret;

/// Decides on a `PURGE` that came in on a traffic listener.
///
/// Behind a load balancer every client has the load balancer's address. So a request that carries
/// forwarding fields counts as its client's, unless the peer is trusted to write them; and then it
/// is the client who would need the permission, which nobody can check: refused, too, unless there
/// is a token.
pub fn check_traffic(
    rules: &settings::PurgeSettings,
    peer: &Peer,
    fields: &HeaderMap,
) -> Result<(), Refusal> {
    if rules.allow.is_empty() {
        return Err(Refusal::PurgeOff);
    }
    let is_forwarding = |name: &str| name.starts_with("x-forwarded") || FORWARDING.contains(&name);
    let is_forwarded = fields.keys().any(|name| is_forwarding(&name.as_str().replace('_', "-")));
    if !peer.is_in(&rules.allow) || is_forwarded && rules.token.is_none() {
        return Err(Refusal::PurgeForbidden);
    }
    check_token(rules.token.as_ref(), fields)
}

/// Decides on a request to the admin listener: with the token, or without one from this machine
/// only. Browsers give the token as the password of basic authentication.
pub fn check_admin(token: Option<&Secret>, peer: &Peer, fields: &HeaderMap) -> Result<(), Refusal> {
    if token.is_none() && !peer.remote.is_of_this_machine() {
        return Err(Refusal::AdminForbidden);
    }
    let password = || fields.get(AUTHORIZATION).and_then(|value| password(value.as_bytes()));
    let is_password = |token: &Secret| password().is_some_and(|given| token.matches(&given));
    if token.is_some_and(is_password) { Ok(()) } else { check_token(token, fields) }
}

fn check_token(token: Option<&Secret>, fields: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = token else { return Ok(()) };
    let given = fields.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    match given {
        Some(given) if token.matches(given) => Ok(()),
        _ => Err(Refusal::Unauthorized),
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
}

/// Returns the password of basic authentication (RFC 7617), whoever the user is.
fn password(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, given) = value.split_at_checked(BASIC.len())?;
    let given = scheme.eq_ignore_ascii_case(BASIC).then(|| given.trim_ascii())?;
    let given = BASE64_STANDARD.decode(given).ok()?;
    let colon = memchr::memchr(b':', &given)?;
    given.get(colon + 1..).map(<[u8]>::to_vec)
}

const BEARER: &[u8] = b"bearer ";
const BASIC: &[u8] = b"basic ";
const FORWARDING: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "via",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "x-cluster-client-ip",
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::client::end_address::EndAddress;
    use crate::client::peer::ListenerId;

    fn peer(remote: &str) -> Peer {
        let address = |text: &str| EndAddress::Ip(text.parse().unwrap());
        Peer {
            remote: address(&format!("{remote}:1")),
            local: address("127.0.0.1:80"),
            is_trusted: false,
            is_secure: false,
            listener: Some(ListenerId::at(0)),
            retained: Arc::default(),
            claims: Arc::default(),
        }
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn rules(token: Option<&str>) -> settings::PurgeSettings {
        let allow = vec!["10.0.0.0/8".parse().unwrap()];
        settings::PurgeSettings {
            allow,
            token: token.map(Secret::new),
            ..settings::PurgeSettings::default()
        }
    }

    #[test]
    fn without_an_allow_list_it_is_off() {
        let off = settings::PurgeSettings::default();
        assert_eq!(check_traffic(&off, &peer("127.0.0.1"), &fields(&[])), Err(Refusal::PurgeOff));
    }

    #[test]
    fn the_sockets_address_decides() {
        assert_eq!(check_traffic(&rules(None), &peer("10.1.2.3"), &fields(&[])), Ok(()));
        let claims = fields(&[("x-forwarded-for", "10.1.2.3")]);
        assert_eq!(
            check_traffic(&rules(None), &peer("192.0.2.1"), &claims),
            Err(Refusal::PurgeForbidden)
        );
    }

    #[test]
    fn a_client_behind_an_allowed_load_balancer_may_not_purge() {
        for name in FORWARDING {
            let forwarded = fields(&[(name, "192.0.2.1")]);
            assert_eq!(
                check_traffic(&rules(None), &peer("10.1.2.3"), &forwarded),
                Err(Refusal::PurgeForbidden)
            );
        }
    }

    #[test]
    fn a_token_is_needed_when_there_is_one() {
        let check = |lines: &[(&'static str, &'static str)]| {
            check_traffic(&rules(Some("s3cret")), &peer("10.0.0.1"), &fields(lines))
        };
        assert_eq!(check(&[]), Err(Refusal::Unauthorized));
        assert_eq!(check(&[("authorization", "Bearer wrong")]), Err(Refusal::Unauthorized));
        assert_eq!(check(&[("authorization", "bearer s3cret")]), Ok(()));
    }

    #[test]
    fn the_admin_listener_serves_other_machines_only_with_a_token() {
        let none = fields(&[]);
        assert_eq!(check_admin(None, &peer("127.0.0.1"), &none), Ok(()));
        assert_eq!(check_admin(None, &peer("10.0.0.1"), &none), Err(Refusal::AdminForbidden));
        let token = Secret::new("t");
        assert_eq!(
            check_admin(Some(&token), &peer("127.0.0.1"), &none),
            Err(Refusal::Unauthorized)
        );
    }

    #[test]
    fn a_browser_gives_the_admin_token_as_a_password() {
        let token = Secret::new("t:1");
        let check = |value: &'static str| {
            check_admin(Some(&token), &peer("127.0.0.1"), &fields(&[("authorization", value)]))
        };
        for right in ["Basic OnQ6MQ==", "basic YW55Ym9keTp0OjE=", "Bearer t:1"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in ["Basic OnQ=", "Basic dDox", "Basic t:1", "Basic ", "Basic !", "Basic"] {
            assert_eq!(check(wrong), Err(Refusal::Unauthorized), "{wrong}");
        }
        let traffic = check_traffic(
            &rules(Some("t")),
            &peer("10.0.0.1"),
            &fields(&[("authorization", "Basic OnQ=")]),
        );
        assert_eq!(traffic, Err(Refusal::Unauthorized));
    }
}
