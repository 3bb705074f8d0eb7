//! `ConnectionRules`: the limits of one client connection, as hyper, the socket and the watch need
//! them.

use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::activity::Patience;
use crate::framing;
use crate::framing::requests::Requests;
use crate::tls::ListenerTls;
use settings::{Http2, LimitSettings, ProxyProtocol};

#[derive(Clone, Debug)]
pub struct ConnectionRules {
    pub(super) http2: Http2,
    pub(super) tls: Option<Arc<ListenerTls>>,
    pub(super) patience: Patience,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) connections_per_peer_max: Option<usize>,
    head_bytes_max: usize,
    headers_max: usize,
}

impl ConnectionRules {
    pub const fn new(limits: &LimitSettings, http2: Http2, tls: Option<Arc<ListenerTls>>) -> Self {
        let patience = Patience {
            header: limits.header_timeout,
            keepalive: limits.keepalive_timeout,
            send: limits.send_timeout,
        };
        Self {
            http2,
            tls,
            patience,
            proxy_protocol: ProxyProtocol::Off,
            connections_per_peer_max: None,
            head_bytes_max: limits.max_header_bytes,
            headers_max: limits.max_headers,
        }
    }

    /// Lets trusted peers say whom they speak for, and limits the connections of each other peer.
    #[must_use]
    pub fn with_peers(
        self,
        proxy_protocol: ProxyProtocol,
        connections_per_peer_max: Option<usize>,
    ) -> Self {
        Self { proxy_protocol, connections_per_peer_max, ..self }
    }

    pub(super) const fn requests(&self) -> Requests {
        let limits = framing::HeadLimits {
            head_bytes_max: self.head_bytes_max,
            fields_max: self.headers_max,
        };
        Requests::new(limits)
    }

    pub(super) fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .max_header_size(self.head_bytes_max)
            .max_buf_size(WRITE_BUFFER_BYTES.max(self.head_bytes_max))
            .header_read_timeout(None)
            .half_close(true); // whether its client has left is decided in `departure`
        // Told a number, hyper allocates room for so many fields with every request. Ours are
        // counted before it sees them.
        if self.headers_max > HYPER_HEADERS_MAX {
            builder.max_headers(self.headers_max);
        }
        builder
    }

    /// Returns the bound of the HTTP/2 library, which counts 32 bytes for each field and answers
    /// more with a bare 431. It leaves room for heads that are too large by the limits of all
    /// protocols, so that their answer is ours.
    fn field_section_bytes_max(&self) -> u32 {
        let bytes = self.head_bytes_max * 2 + self.headers_max * 32;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    pub(super) fn http2(&self) -> http2::Builder<TokioExecutor> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(self.field_section_bytes_max())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(STREAM_RESETS_MAX)
            .max_local_error_reset_streams(STREAM_RESETS_MAX)
            .max_send_buf_size(WRITE_BUFFER_BYTES)
            .keep_alive_interval(Some(self.patience.send / 2))
            .keep_alive_timeout(self.patience.send / 2);
        builder
    }
}

/// hyper sends at most so much before it asks the body for more.
const WRITE_BUFFER_BYTES: usize = 128 << 10;
/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 256;
/// Streams that may be reset before we answered them ("rapid reset", CVE-2023-44487).
const STREAM_RESETS_MAX: usize = 64;
/// Fields that hyper takes without being told.
const HYPER_HEADERS_MAX: usize = 100;
