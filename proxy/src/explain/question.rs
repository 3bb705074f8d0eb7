//! `ExplainQuestion`: the request that is asked about.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use serde::Deserialize;

use crate::client::account::Account;
use crate::client::end_address::EndAddress;
use crate::client::peer::{ListenerId, Peer, contains};
use crate::client::untrusted_claims::UntrustedClaims;
use crate::key::KeySeed;
use crate::policy::SettingsSnapshot;
use crate::request::RequestHead;

/// The content of `POST /api/v1/explain`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuestion {
    /// With scheme and host.
    pub url: String,
    #[serde(default = "get")]
    pub method: String,
    /// Pairs of names and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Whether the origin is asked, if it would be.
    #[serde(default)]
    pub fetch: bool,
    /// The listener's name [default: the first one].
    #[serde(default)]
    pub listener: Option<String>,
    /// The address of the client's end of the connection [default: this machine].
    #[serde(default)]
    pub peer: Option<IpAddr>,
}

/// Why there is no answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswerable(pub String);

impl ExplainQuestion {
    pub(super) fn query(&self) -> Option<&str> {
        let url = self.url.split('#').next().unwrap_or_default();
        url.split_once('?').map(|(_, query)| query)
    }

    /// Reads the request as a connection would: what it is told of is what a client would send.
    pub(super) fn head(
        &self,
        seed: KeySeed,
        settings: Arc<SettingsSnapshot>,
    ) -> Result<RequestHead, Unanswerable> {
        let fault = |text: &str| Unanswerable(text.to_owned());
        let uri: Uri = self.url.split('#').next().unwrap_or_default().parse().map_err(
            |error: http::uri::InvalidUri| Unanswerable(format!("The URL is none: {error}.")),
        )?;
        let authority = uri.authority().ok_or_else(|| {
            fault("The URL has no host: write it whole, as in https://shop.example/p.")
        })?;
        let is_secure = uri.scheme_str() == Some("https");
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_invalid| fault("The method is none."))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(path).version(Version::HTTP_11);
        let names_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !names_host {
            request = request.header(HOST, authority.as_str());
        }
        for (name, value) in &self.headers {
            let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(value)) = pair else {
                return Err(Unanswerable(format!("`{name}: {value}` is no field.")));
            };
            request = request.header(name, value);
        }
        let request = request.body(()).map_err(|error| Unanswerable(format!("{error}.")))?;
        let peer = Arc::new(self.peer(is_secure, &settings)?);
        let read = RequestHead::read(request.into_parts().0, true, &peer, seed, settings);
        let (head, _) = read.map_err(|refused| {
            let code = refused.refusal.reason().as_str();
            Unanswerable(format!("The request is refused ({code}): {}", refused.refusal))
        })?;
        Ok(*head)
    }

    fn peer(&self, is_secure: bool, settings: &SettingsSnapshot) -> Result<Peer, Unanswerable> {
        let place = match &self.listener {
            None => 0,
            Some(name) => {
                let place = settings.listen.iter().position(|listen| listen.name == *name);
                place.ok_or_else(|| Unanswerable(format!("There is no listener `{name}`.")))?
            }
        };
        let address = self.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let remote = EndAddress::Ip(SocketAddr::new(address, 0));
        let listen = settings.listen.get(place);
        let is_trusted = listen.is_some_and(|it| contains(&it.trusted_proxies, remote));
        Ok(Peer {
            remote,
            local: EndAddress::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80)),
            is_trusted,
            is_secure,
            listener: Some(ListenerId::at(place)),
            retained: Arc::<Account>::default(),
            claims: Arc::<UntrustedClaims>::default(),
        })
    }
}

fn get() -> String {
    "GET".to_owned()
}
