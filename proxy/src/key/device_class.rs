//! The kind of device that a client says it is.

use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};

/// A kind of device, as far as layouts differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Mobile,
    Tablet,
    Desktop,
}

impl DeviceKind {
    /// Reads the kind off `Sec-CH-UA-Mobile`, which browsers send without being asked, or else off
    /// `User-Agent`. The hint does not tell tablets from desktops.
    pub fn of(fields: &HeaderMap) -> Self {
        let agent = fields.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
        let has = |word: &[u8]| memchr::memmem::find(agent, word).is_some();
        let hint = match fields.get(SEC_CH_UA_MOBILE).map(HeaderValue::as_bytes) {
            Some(b"?1") => Some(true),
            Some(b"?0") => Some(false),
            _ => None,
        };
        let says_tablet = has(b"iPad") || has(b"Tablet");
        if says_tablet || has(b"Android") && !has(b"Mobi") && hint != Some(true) {
            Self::Tablet
        } else if hint.unwrap_or_else(|| has(b"Mobi")) {
            Self::Mobile
        } else {
            Self::Desktop
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
        }
    }

    /// Returns the `User-Agent` that stands for all of this kind: the one to which Chrome has
    /// reduced its own.
    pub const fn user_agent(self) -> &'static str {
        match self {
            Self::Mobile => {
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/140.0.0.0 Mobile Safari/537.36"
            }
            Self::Tablet => {
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/140.0.0.0 Safari/537.36"
            }
            Self::Desktop => {
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
                 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
            }
        }
    }
}

/// Puts the `User-Agent` of its kind in the place of the client's, and takes the hints about the
/// browser away, which would contradict it.
pub fn normalize_user_agent(fields: &mut HeaderMap) {
    let kind = DeviceKind::of(fields);
    fields.insert(USER_AGENT, HeaderValue::from_static(kind.user_agent()));
    let is_hint = |name: &&HeaderName| name.as_str().starts_with("sec-ch-ua");
    let hints: Vec<HeaderName> = fields.keys().filter(is_hint).cloned().collect();
    for hint in hints {
        fields.remove(hint);
    }
}

const SEC_CH_UA_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(agent: &'static str, hint: Option<&'static str>) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(USER_AGENT, HeaderValue::from_static(agent));
        fields.extend(hint.map(|hint| (SEC_CH_UA_MOBILE, HeaderValue::from_static(hint))));
        fields
    }

    #[test]
    fn the_hint_goes_before_the_user_agent_and_knows_no_tablets() {
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148 Safari";
        let android = "Mozilla/5.0 (Linux; Android 10; K) Chrome/140.0.0.0 Safari/537.36";
        let desktop = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36";
        for (agent, hint, expected) in [
            (phone, None, "mobile"),
            (phone, Some("?0"), "desktop"),
            (desktop, None, "desktop"),
            (desktop, Some("?1"), "mobile"),
            (desktop, Some("yes"), "desktop"),
            (android, None, "tablet"),
            (android, Some("?0"), "tablet"),
            (android, Some("?1"), "mobile"),
            ("Mozilla/5.0 (iPad; CPU OS 12_0) Mobile/15E148", None, "tablet"),
            ("curl/8", None, "desktop"),
            ("", None, "desktop"),
        ] {
            assert_eq!(DeviceKind::of(&fields(agent, hint)).as_str(), expected, "{agent} {hint:?}");
        }
        assert_eq!(DeviceKind::of(&HeaderMap::new()), DeviceKind::Desktop);
    }

    #[test]
    fn the_user_agent_of_a_kind_is_of_that_kind() {
        for (agent, hint) in [("Mobi", None), ("iPad", None), ("x", Some("?0")), ("x", Some("?1"))]
        {
            let mut fields = fields(agent, hint);
            let kind = DeviceKind::of(&fields);
            normalize_user_agent(&mut fields);
            assert_eq!(DeviceKind::of(&fields), kind);
            let once = fields.clone();
            normalize_user_agent(&mut fields);
            assert_eq!(fields, once);
        }
    }
}
