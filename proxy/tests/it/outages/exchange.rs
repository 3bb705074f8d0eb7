//! One runtime for origin and fetcher, whose time stands still until it is moved: steps that take
//! no time are seen to take none.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use http::header::HOST;
use http::{Method, Request, Version};
use process::clock::Clock;
use settings::{Config, Sources};
use shellac::app::App;
use shellac::testing::cache::decision::{Decision, Plan, decide};
use shellac::testing::client::end_address::EndAddress;
use shellac::testing::client::peer::{ListenerId, Peer};
use shellac::testing::fetch::Fetched;
use shellac::testing::fetch::request::FetchRequest;
use shellac::testing::key::{Key, Scheme};
use shellac::testing::lookup::look_up;
use shellac::testing::policy::RequestPolicy;
use shellac::testing::request::RequestHead;
use shellac::testing::request::details::KeptDetails;
use shellac::testing::request::target::Target;
use shellac::testing::store::Stored;
use tokio::time::Instant;

use crate::support::origin::Origin;
use crate::support::proxy::START;

/// A proxy without its listeners.
pub(super) struct Bench {
    pub(super) app: Arc<App>,
    clock: Clock,
    /// While a thread that may block is busy, tokio does not move a paused clock by itself.
    _still: mpsc::Sender<()>,
}

/// The kind of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hit,
    Stale,
    Fetched,
    Failed,
}

/// One request that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) kind: Kind,
    pub(super) waited: Duration,
}

impl Bench {
    pub(super) fn new(origin: &Origin, change: impl FnOnce(&mut Config)) -> Self {
        let text = format!("[origin.app]\nservers = [\"{}\"]\n{CONFIG}", origin.address);
        let file = Some(("config.toml".to_owned(), text));
        let mut config = Config::load(&Sources { file, ..Sources::default() }).unwrap();
        change(&mut config);
        let clock = Clock::manual(START);
        let (sender, receiver) = mpsc::channel();
        drop(tokio::task::spawn_blocking(move || receiver.recv()));
        Self { app: App::new(config, clock.clone()).unwrap(), clock, _still: sender }
    }

    /// Moves time, in steps, and lets all that is due happen after each.
    pub(super) async fn advance(&self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = left.min(STEP);
            left -= step;
            self.clock.advance(step);
            tokio::time::advance(step).await;
            settle().await;
        }
    }

    /// Sends a request as a client's would be.
    pub(super) fn ask(&self, path: &str) -> tokio::task::JoinHandle<Answered> {
        let (app, head) = (Arc::clone(&self.app), self.head(path));
        tokio::spawn(async move {
            let begun = Instant::now();
            let kind = answer(&app, head).await;
            Answered { kind, waited: begun.elapsed() }
        })
    }

    fn head(&self, path: &str) -> RequestHead {
        let nowhere = EndAddress::Ip("127.0.0.1:1".parse().unwrap());
        let peer = Peer {
            remote: nowhere,
            local: nowhere,
            is_trusted: false,
            is_secure: false,
            listener: Some(ListenerId::at(0)),
            retained: Arc::default(),
            claims: Arc::default(),
        };
        let request = Request::get(path).header(HOST, "site.example").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let target = Target::read(&parts, &peer, 1000).unwrap();
        let seed = self.app.front.cache.seed();
        let key = Key::new(seed, Scheme::Http, b"site.example", path.as_bytes());
        let (method, version, peer) = (Method::GET, Version::HTTP_11, Arc::new(peer));
        let fields = parts.headers;
        let settings = self.app.settings.local();
        let mut policy = RequestPolicy::without_rules(settings);
        policy.claim(target.host(), target.path());
        let details = KeptDetails::default();
        RequestHead {
            method,
            version,
            target,
            policy,
            key,
            asked: None,
            fields,
            peer,
            interim: None,
            details,
        }
    }
}

/// The way of a request through the cache.
async fn answer(app: &App, head: RequestHead) -> Kind {
    let (fetcher, invalidation) = (app.front.cache.fetcher(), &app.invalidation);
    let lookup = look_up(&*app.store, &[], invalidation, &head);
    let now = app.clock().now();
    let trust = invalidation.lease().trust(now);
    let facts = head.facts();
    let decision = decide(lookup.found, &facts, &head.policy.freshness, trust, now);
    let (arrived, variant, range) = (invalidation.sequence(), lookup.variant, None);
    let request_with = |stale: Option<Arc<Stored>>| {
        let stale = stale.and_then(|stale| fetcher.hold(&stale));
        FetchRequest { head: Box::new(head), facts, arrived, stale, variant, range, span: None }
    };
    match decision {
        Decision::Hit(_) => Kind::Hit,
        Decision::HitStale(stale) => {
            fetcher.refresh(request_with(None), &stale);
            Kind::Hit
        }
        Decision::Forward(_, Plan::Fetch(stale)) => {
            match fetcher.fetch(request_with(stale)).await {
                Ok(Fetched::Arriving { head, .. }) if head.status.is_success() => Kind::Fetched,
                Ok(Fetched::Validated(..)) => Kind::Fetched,
                Ok(Fetched::Stored(_)) => Kind::Hit,
                Ok(Fetched::StaleIfError(_)) => Kind::Stale,
                Ok(Fetched::Arriving { .. } | Fetched::Unshared(..)) | Err(_) => Kind::Failed,
            }
        }
        other => panic!("{other:?}"),
    }
}

/// Lets tasks and loopback sockets do what they can do now. Bytes are at the other end's socket as
/// soon as they are written; while another thread answers, the runtime waits for sockets, and time
/// stands still.
pub(super) async fn settle() {
    for _ in 0..16 {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(thread::yield_now).await.unwrap();
    }
}

/// Time moves by so much at once.
pub(super) const STEP: Duration = Duration::from_millis(100);

const CONFIG: &str = r#"
connect_timeout = "100ms"
queue_timeout = "100ms"
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = ["127.0.0.1:0"]
[storage.memory]
capacity = "64MiB"
"#;
