//! `ServerTls`: TLS to one server, and the name in its certificate.

use std::sync::Arc;

use rustls_pki_types::ServerName;
use settings::ServerAddress;

use crate::tls::{HttpOffer, OriginTls, ServerTlsError};
use crate::transport::Transport;

#[derive(Clone, Debug)]
pub(in crate::origins) struct ServerTls {
    origin: Arc<OriginTls>,
    name: Option<ServerName<'static>>,
}

impl ServerTls {
    /// `host` is the name whose look-up has brought this address, if one has.
    pub(in crate::origins) fn new(
        origin: &Arc<OriginTls>,
        address: &ServerAddress,
        host: Option<&str>,
    ) -> Self {
        let host = host.unwrap_or_else(|| match address {
            ServerAddress::Host(authority) | ServerAddress::Dns(authority) => authority.host(),
            ServerAddress::Srv(name) => name,
            ServerAddress::Unix(_) => "localhost", // the settings name another one
        });
        Self { origin: Arc::clone(origin), name: origin.name_of(host) }
    }

    /// Completes the handshake. Has no time-out: the caller drops the future.
    pub(super) async fn secure(
        &self,
        stream: Transport,
        offer: HttpOffer,
    ) -> Result<Transport, ServerTlsError> {
        match &self.name {
            Some(name) => self.origin.connect(stream, name.clone(), offer).await,
            None => Err(ServerTlsError::Setup("`server_name` is needed".to_owned())),
        }
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.origin, &other.origin) && self.name == other.name
    }
}
