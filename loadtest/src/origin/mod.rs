//! `loadtest origin`: a scripted origin server. Same request, same bytes, for ever.

pub(crate) mod page;
mod size;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::sleep;

use self::page::Page;
use self::size::BodySize;
use crate::random::Random;
use crate::server::{ServerArguments, serve};

/// The options of `loadtest origin`.
#[derive(Args, Debug)]
pub(crate) struct OriginArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// The size of a page: "1KiB", or "lognormal:16KiB" (the median), or "lognormal:16KiB:0.8" (and
    /// sigma).
    #[arg(long, default_value = "1KiB")]
    size: BodySize,
    /// How long a page takes to render.
    #[arg(long, default_value = "20ms", value_parser = humantime::parse_duration)]
    delay: Duration,
    /// Up to this much longer, at random.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    delay_jitter: Duration,
    /// How many pages there are: /p/0 to /p/{pages - 1}.
    #[arg(long, default_value_t = 10_000)]
    pages: u64,
    /// Their freshness lifetime.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Tags per page: product-{n}, category-{n mod 100}, and so on.
    #[arg(long, default_value_t = 3)]
    tags: u64,
}

/// Serves until its lifetime is over.
pub(crate) async fn run(arguments: OriginArguments) -> anyhow::Result<()> {
    let origin =
        Arc::new(Origin { arguments, requests: AtomicU64::new(0), validations: AtomicU64::new(0) });
    let shared = Arc::clone(&origin);
    serve(&origin.arguments.server, move |request| Arc::clone(&shared).answer(request)).await
}

/// The script and its counters. Relaxed: they are only ever read for show.
#[derive(Debug)]
struct Origin {
    arguments: OriginArguments,
    requests: AtomicU64,
    validations: AtomicU64,
}

impl Origin {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path == "/stats" {
            return self.stats();
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        sleep(self.delay(number)).await;
        match self.page(path) {
            Some(page) => self.respond(&page, request.headers().get(IF_NONE_MATCH)),
            None => plain(StatusCode::NOT_FOUND, "no such page\n"),
        }
    }

    fn delay(&self, number: u64) -> Duration {
        self.arguments.delay + self.arguments.delay_jitter.mul_f64(Random::nth(0, number).unit())
    }

    fn page(&self, path: &str) -> Option<Page> {
        if let Some(bytes) = path.strip_prefix("/size/") {
            let bytes = bytes.parse().ok().filter(|bytes| *bytes <= SIZE_MAX)?;
            return Some(Page::of_size(bytes));
        }
        let number = path
            .strip_prefix("/p/")?
            .parse()
            .ok()
            .filter(|number| *number < self.arguments.pages)?;
        Some(Page::numbered(number, self.arguments.size.of(number), self.arguments.tags))
    }

    /// Answers 304 if the client's stored response is the current one (RFC 9110 §13.1.2; one tag,
    /// no list).
    fn respond(&self, page: &Page, validator: Option<&HeaderValue>) -> Response<Full<Bytes>> {
        let fields = page.fields(self.arguments.ttl.as_secs());
        let is_current = validator.is_some() && validator == fields.get(ETAG);
        let body = if is_current { Bytes::new() } else { page.body() };
        let mut response = Response::new(Full::new(body));
        *response.headers_mut() = fields;
        if is_current {
            self.validations.fetch_add(1, Ordering::Relaxed);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response
    }

    fn stats(&self) -> Response<Full<Bytes>> {
        let requests = self.requests.load(Ordering::Relaxed);
        let validations = self.validations.load(Ordering::Relaxed);
        let stats = serde_json::json!({ "requests": requests, "validations": validations });
        let mut response = plain(StatusCode::OK, format!("{stats}\n"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// The largest body at `/size/{bytes}`.
const SIZE_MAX: usize = 64 << 20;

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: OriginArguments,
    }

    fn origin(line: &str) -> Origin {
        let Line { arguments } = Line::parse_from(line.split_whitespace());
        Origin { arguments, requests: AtomicU64::new(0), validations: AtomicU64::new(0) }
    }

    #[test]
    fn there_are_as_many_pages_as_asked_for() {
        let origin = origin("origin --pages 10");

        assert!(origin.page("/p/9").is_some());
        for path in ["/p/10", "/p/-1", "/p/", "/", "/size/x", "/size/67108865"] {
            assert!(origin.page(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_client_that_has_the_page_gets_a_304() {
        let origin = origin("origin");
        let page = origin.page("/size/2048").expect("a page");
        let validator = HeaderValue::from_static("\"0-2048\"");
        let outdated = HeaderValue::from_static("\"0-1\"");

        assert_eq!(origin.respond(&page, Some(&validator)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(origin.respond(&page, Some(&outdated)).status(), StatusCode::OK);
        assert_eq!(origin.respond(&page, None).status(), StatusCode::OK);
        assert_eq!(origin.validations.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_delay_stays_within_its_jitter() {
        let origin = origin("origin --delay 10ms --delay-jitter 5ms");

        for number in 0..1000 {
            let delay = origin.delay(number);
            assert!(
                (Duration::from_millis(10)..Duration::from_millis(15)).contains(&delay),
                "{delay:?}"
            );
        }
    }
}
