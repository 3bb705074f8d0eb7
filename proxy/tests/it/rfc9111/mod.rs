//! RFC 9111 and its smaller relatives, clause by clause, where no other file shows it end to end.
//!
//! A row says what the origin says, what is asked, and what becomes of it. `docs/conformance.md`
//! names the test of each clause.

mod storing;
mod reuse;
mod directives;

use crate::support::client::Answer;
use crate::support::origin::{Origin, Reply, ok, status};
use crate::support::proxy::Proxy;

type Lines = &'static [(&'static str, &'static str)];

const MINUTE_LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";
const MINUTE_BEFORE: &str = "Sun, 06 Nov 1994 08:48:37 GMT";
const TEN_MINUTES_BEFORE: &str = "Sun, 06 Nov 1994 08:39:37 GMT";
const ETAG: (&str, &str) = ("etag", "\"1\"");

/// An origin whose `/` says always the same, and a proxy before it.
struct Scene {
    origin: Origin,
    proxy: Proxy,
}

impl Scene {
    async fn of(reply: Reply) -> Self {
        let origin = Origin::start().await;
        origin.on("/", reply);
        let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
        Self { origin, proxy }
    }

    /// The same with a proxy that takes the advice of clients.
    async fn obliging(reply: Reply) -> Self {
        let Self { origin, .. } = Self::of(reply).await;
        let proxy =
            Proxy::start_with(&origin, |config| config.cache.ignore_client_no_cache = false);
        Self { origin, proxy }
    }

    async fn ask(&self, lines: &[(&str, &str)]) -> Answer {
        self.proxy.get_with("/", lines).await
    }

    /// What a second request hears after so many seconds.
    async fn second(&self, seconds: u64) -> Answer {
        self.ask(&[]).await;
        self.proxy.advance(seconds);
        self.ask(&[]).await
    }
}

fn page(lines: &[(&str, &str)]) -> Reply {
    with(ok("page"), lines)
}

/// Adds the lines in this order.
fn with(reply: Reply, lines: &[(&str, &str)]) -> Reply {
    lines.iter().rev().fold(reply, |reply, (name, value)| reply.field(name, value))
}

fn control(directives: &str) -> Reply {
    ok("page").field("cache-control", directives)
}

fn of_status(code: u16) -> Reply {
    if code == 204 {
        Reply::bytes("HTTP/1.1 204 No Content\r\n\r\n")
    } else {
        status(&format!("{code} Status"), "")
    }
}
