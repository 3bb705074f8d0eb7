//! `Reason`: why a request was answered as it was, in one closed set of codes.
//!
//! `Cache-Status`, the access log, metrics, error pages and `shellac explain` use these codes and
//! no others. `docs/reason-codes.md` lists them with the same words.

macro_rules! reasons {
    ($($reason:ident $code:literal $cause:literal $remedy:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($reason),*
        }

        impl Reason {
            /// Every reason, in the order of [`Reason::index`].
            pub const ALL: &[Self] = &[$(Self::$reason),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$reason => $code),* }
            }

            pub const fn cause(self) -> &'static str {
                match self { $(Self::$reason => $cause),* }
            }

            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$reason => $remedy),* }
            }
        }
    };
}

reasons! {
    Method "method"
        "The method is none that a cache answers, or a GET has content or a precondition that only the origin can evaluate (RFC 9110 §13.1)."
        "None is needed: such requests go to the origin.";
    RuleBypass "rule_bypass"
        "A rule with `bypass = true` matches."
        "Narrow the rule: `shellac rules match URL` names it.";
    Authorization "authorization"
        "The request has `Authorization`, and the response does not say that it may be shared (RFC 9111 §3.5)."
        "Send `Cache-Control: public` or `s-maxage` with responses that are the same for everyone.";
    Cookie "cookie"
        "The request has a cookie that is neither ignored nor part of the key."
        "Name it in `cookies.drop` if pages do not depend on it, or in `cookies.vary_on` if they do.";
    RequestNoStore "request_no_store"
        "The request says `Cache-Control: no-store`."
        "None is needed: the client does not want it stored.";
    Status "status"
        "The status code is not stored, or only with an explicit lifetime that is missing."
        "Send `Cache-Control: max-age` with it, or set `cache.ttl_by_status`.";
    NoStore "no_store"
        "The response says `Cache-Control: no-store`."
        "Remove it at the origin where the page is the same for everyone, or set `ttl` in a rule.";
    Private "private"
        "The response says `Cache-Control: private`."
        "Send `public` or `s-maxage` where the page is the same for everyone.";
    NoCache "no_cache"
        "The response says `no-cache` and has no validator to validate it with."
        "Send an `ETag`, or a lifetime.";
    NoFreshness "no_freshness"
        "The response has no lifetime that outlasts the way here, and no validator."
        "Send `Cache-Control: max-age`, or set `cache.default_ttl` or a rule's `ttl`.";
    SetCookie "set_cookie"
        "The response sets a cookie, which would be given to everyone."
        "Set the cookie elsewhere, or drop it by `set_cookie = \"strip\"` in a rule.";
    VaryStar "vary_star"
        "The response says `Vary: *`, which matches no request (RFC 9111 §4.1)."
        "Name the fields on which the page depends.";
    VaryLimit "vary_limit"
        "As many variants of the URL are stored as `cache.vary_max_variants` allows."
        "Vary on fewer fields, or on fields with few values.";
    TooLarge "too_large"
        "The content is longer than the `max_object` of the storage."
        "Raise it, or leave such content to the origin.";
    Range "range"
        "The response is a part (206) that cannot be stored."
        "Answer ranges with a strong `ETag`.";
    OriginError "origin_error"
        "The origin server failed, or its response did not arrive whole."
        "See the log of failures, `shellac origins list`, and the origin's own log.";
    StorageFull "storage_full"
        "The store has no room that could be made."
        "Raise `storage.memory.capacity` or `storage.file.capacity`.";
    PurgedInFlight "purged_in_flight"
        "A purge named the page while it was on its way."
        "None is needed: the next request fetches it again.";
    Limit "limit"
        "A limit on the bytes or requests that wait for the origin was reached."
        "Raise `cache.max_inflight_bytes` or the origin's `max_connections` and `max_queue`.";
    ContentType "content_type"
        "A page or JSON under the name of a static file: perhaps one user's, by cache deception."
        "Send the right `Content-Type`, or 404, for names that do not exist.";
    Degraded "degraded"
        "The purger's lease has run out, and `purge.log.on_expiry` is `bypass`."
        "Look after the purger: `shellac-purger status`.";
    OriginLagging "origin_lagging"
        "The response is of a lower revision than a purge has announced."
        "None is needed, unless the origin never catches up.";
    Upgrade "upgrade"
        "The request asks for a WebSocket."
        "None is needed.";
    VaryBypass "vary_bypass"
        "The response varies on a field whose mode in `key.vary` is `bypass`."
        "None is needed; give the field another mode, or none, to store such pages.";
    StaleWhileRevalidate "stale_while_revalidate"
        "A stale response was served while it is validated in the background (RFC 5861 §3)."
        "None is needed; `cache.stale_while_revalidate` is the window.";
    StaleIfError "stale_if_error"
        "A stale response was served because the origin failed (RFC 5861 §4)."
        "See the log of failures and `shellac origins list`.";
    MaxStale "max_stale"
        "A stale response was served that the client accepts by `max-stale`."
        "None is needed.";
    OnlyIfCached "only_if_cached"
        "The request says `only-if-cached`, and nothing that may be used is stored."
        "None is needed: the client asked for that.";
    NotStored "not_stored"
        "A rule lets only stored responses answer, and none is stored."
        "Fill the store by `shellac warm`, or give the rule an origin.";
    Unclaimed "unclaimed"
        "No `[origin.NAME]` has this host and path."
        "Add the host to an origin's `hosts`, or an origin without `hosts`.";
    Rule "rule"
        "A rule answers by itself: `redirect` or `respond`."
        "None is needed; `shellac rules match URL` names the rule.";
    MaxForwards "max_forwards"
        "OPTIONS or TRACE with `Max-Forwards: 0` ends here (RFC 9110 §7.6.2)."
        "None is needed.";
    Loop "loop"
        "The request has come through here too often: it runs in a circle."
        "See that no origin of this proxy is the proxy itself, or leads to it.";
    BadRequest "bad_request"
        "The request is malformed, or can be read in more than one way."
        "The page says what is wrong; mend the client.";
    UrlTooLong "url_too_long"
        "The URL is longer than `limits.max_url`."
        "Raise the limit, or shorten the URL.";
    HeadTooLarge "head_too_large"
        "The fields of the request are longer or more than the limits allow."
        "Raise `limits.max_header_bytes` or `limits.max_headers`, or have clients send fewer cookies.";
    RequestTooLarge "request_too_large"
        "The content of the request is longer than `limits.max_body`."
        "Raise the limit for uploads.";
    MethodNotAllowed "method_not_allowed"
        "The method is not served here."
        "None is needed.";
    PurgeOff "purge_off"
        "`PURGE` is switched off on this listener."
        "Set `purge.allow`, or purge through the admin listener.";
    PurgeForbidden "purge_forbidden"
        "The address may not purge here."
        "Add its network to `purge.allow`, or purge through the admin listener.";
    Unauthorized "unauthorized"
        "The token is missing or wrong."
        "Send `Authorization: Bearer TOKEN`.";
    Draining "draining"
        "The proxy ends, or hands over to another process."
        "None is needed: clients try again.";
    Resolve "resolve"
        "The name of an origin server cannot be resolved."
        "See that the name exists and that `dns` names servers that answer.";
    ConnectRefused "connect_refused"
        "The origin server refused the connection: nothing listens there."
        "Start it, or correct its address.";
    Unreachable "unreachable"
        "The origin server cannot be reached."
        "See the routes and firewalls between here and there.";
    ConnectTimeout "connect_timeout"
        "The origin server accepted no connection within `connect_timeout`."
        "See whether it is overloaded, or a firewall drops packets.";
    TlsCertificate "tls_certificate"
        "The certificate of the origin server is not accepted."
        "Renew it, or name its authority in the origin's `tls.ca`.";
    TlsAlert "tls_alert"
        "The origin server ended the TLS handshake with an alert."
        "See its log: it may want a client certificate or another name.";
    TlsProtocol "tls_protocol"
        "The origin server does not speak TLS as it should."
        "See that the port is one for TLS.";
    TlsBroken "tls_broken"
        "The connection broke within the TLS handshake."
        "See the origin server's log.";
    TlsTimeout "tls_timeout"
        "The origin server accepted a connection, and did not complete the TLS handshake within `connect_timeout`."
        "See whether it is overloaded, or something between here and there speaks no TLS.";
    TlsSetup "tls_setup"
        "TLS to the origin cannot be set up here."
        "See the log: a file of the origin's `tls` cannot be used.";
    Unavailable "unavailable"
        "No server of the origin may get a request: all are down, drained, or their circuits are open."
        "`shellac origins list` says why; they are tried again by themselves.";
    Busy "busy"
        "All connections to the origin are in use, and the queue is full or the wait was too long."
        "Raise the origin's `max_connections` or `max_queue`, or give it more servers.";
    SendTimeout "send_timeout"
        "The origin server did not read the request within `idle_timeout`."
        "See why it does not read.";
    FirstByteTimeout "first_byte_timeout"
        "The origin server sent no response within `first_byte_timeout`."
        "Make the page faster, or raise the origin's `first_byte_timeout`.";
    IdleTimeout "idle_timeout"
        "The response stalled for longer than `idle_timeout`."
        "See why the origin pauses, or raise its `idle_timeout`.";
    StreamIdleTimeout "stream_idle_timeout"
        "Nothing came on an event stream or a call for `stream_idle_timeout`."
        "Have the origin send a comment now and then, or raise the limit.";
    TunnelTimeout "tunnel_timeout"
        "No byte moved in a WebSocket for `limits.tunnel_timeout`."
        "Have either side send pings, or raise the limit.";
    TotalTimeout "total_timeout"
        "The exchange with the origin took longer than `total_timeout`."
        "Raise the origin's `total_timeout`, or remove it.";
    Broken "broken"
        "The connection to the origin broke before the response."
        "See whether the origin server crashed or was restarted.";
    Unprocessed "unprocessed"
        "The origin server did not take the request (RFC 9113 §8.7)."
        "See its limits on streams.";
    Reset "reset"
        "The origin server reset the stream before the response."
        "See its log.";
    Malformed "malformed"
        "The response of the origin is malformed, or can be read in more than one way."
        "Mend the origin: the failure log says what is wrong.";
    Incomplete "incomplete"
        "The connection to the origin broke within the response."
        "See whether the origin server crashed or was restarted.";
    RequestStalled "request_stalled"
        "The content of the request stalled for longer than `limits.body_timeout`."
        "None is needed, unless many clients are slow: raise the limit.";
    RequestBody "request_body"
        "The content of the request broke off or is malformed."
        "None is needed: the client left, or has to be mended.";
    Descriptors "descriptors"
        "This process has no file descriptor left."
        "Raise the limit on open files, or lower `limits.max_connections`.";
    Unwritable "unwritable"
        "The request cannot be written to the origin."
        "Report it: earlier checks should have refused the request.";
    Abandoned "abandoned"
        "The fetch ended without a result: its reader was too slow, or the proxy ends."
        "None is needed.";
    ClientLeft "client_left"
        "The client left, or was cut for reading too slowly, before it had the whole response."
        "None is needed, unless pages are slow: see `ttfb_ms`.";
}

impl Reason {
    /// Returns the position in [`Reason::ALL`], for a table of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the reason with this code.
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[test]
    fn every_code_is_a_token_of_its_own_and_found_again() {
        let mut codes = BTreeSet::new();
        for (position, reason) in Reason::ALL.iter().enumerate() {
            let code = reason.as_str();
            assert_eq!((reason.index(), Reason::of(code)), (position, Some(*reason)));
            assert!(codes.insert(code), "{code} is there twice");
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
        }
        assert_eq!(Reason::of("none"), None);
    }

    /// The table of the document, made of the same words.
    #[test]
    fn the_document_lists_exactly_these_codes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reason-codes.md");
        let document = std::fs::read_to_string(path).unwrap();
        let listed: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = Reason::ALL
            .iter()
            .map(|it| format!("| `{}` | {} | {} |", it.as_str(), it.cause(), it.remedy()))
            .collect();
        assert_eq!(listed, expected, "the table has to be:\n{}", expected.join("\n"));
    }
}
