//! The admin listener: health, readiness, metrics, stats and purges, on sockets of their own.

mod config;
mod control;
mod explain;
mod log_stream;
mod body;
mod cross_site;
mod dashboard;
mod hottest;
pub mod live;
pub mod metrics;
mod process_metrics;
mod storage;
mod origins;
mod readiness;
mod routes;
mod objects;
mod purges;
mod stats;
mod tags;
pub mod version;
mod streams;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;

use self::body::AdminBody;
use crate::app::App;
use crate::client::end_address::EndAddress;
use crate::client::peer::{ListenerId, Peer};
use crate::framing::Violation;
use crate::limit::Limit;
use crate::listener::drain::Drain;
use crate::listener::rules::ConnectionRules;
use crate::listener::service::{Caller, Handler, Reply};
use crate::listener::{ListenerMetrics, Listeners};
use crate::request::refusal::Refusal;
use crate::response::failure;
use settings::{Http2, LimitSettings};

#[derive(Debug)]
pub struct Admin {
    app: Arc<App>,
}

type AdminFuture = Pin<Box<dyn Future<Output = Response<AdminBody>> + Send>>;

impl Handler for Admin {
    type Body = AdminBody;
    type Later = AdminFuture;

    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        caller: Caller<'_>,
    ) -> Reply<AdminBody, AdminFuture> {
        let (app, peer, busy) = (Arc::clone(&self.app), Arc::clone(caller.peer()), caller.busy());
        Reply::Later(Box::pin(async move { routes::answer(&app, &peer, request, busy).await }))
    }

    fn rules(&self, _listener: ListenerId) -> ConnectionRules {
        let limits = LimitSettings {
            header_timeout: HEAD_TIMEOUT,
            keepalive_timeout: HEAD_TIMEOUT,
            max_header_bytes: HEAD_BYTES_MAX,
            ..self.app.settings.current().limits.clone()
        };
        ConnectionRules::new(&limits, Http2::Cleartext, None)
    }

    /// Admin requests have no client but their peer.
    fn is_trusted(&self, _remote: EndAddress, _listener: ListenerId) -> bool {
        false
    }

    fn refuse(&self, violation: Violation, _peer: &Arc<Peer>) -> Response<AdminBody> {
        let refusal = Refusal::from(violation);
        let settings = self.app.settings.current();
        let name = &settings.own_fields.name;
        failure::respond(&refusal.into(), &HeaderMap::new(), name).map(AdminBody::from)
    }
}

/// Makes the admin listeners. Their connections outlive the drain of the others, which the
/// readiness page tells of.
pub fn listeners(app: Arc<App>) -> Arc<Listeners<Admin>> {
    Arc::new(Listeners {
        clock: app.clock().clone(),
        permits: Limit::new(CONNECTIONS_MAX),
        limit: "connections of the admin listener",
        metrics: ListenerMetrics::default(),
        handler: Arc::new(Admin { app }),
        drain: Drain::default(),
        open: Arc::default(),
        stalls: Arc::default(),
        peers: Arc::default(),
    })
}

const CONNECTIONS_MAX: usize = 256;
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Purges may name many tags in fields.
const HEAD_BYTES_MAX: usize = 408 << 10;
