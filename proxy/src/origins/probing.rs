//! Probes: requests that find out whether a server is fit for use. Each has a connection of its
//! own, made as those for requests are.

use std::sync::Arc;

use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use settings::{HealthSettings, HostHeader, OriginSettings, ProbeMethod};
use tokio::time::{Instant, timeout};

use super::attempts::Failed;
use super::content::ResponseContent;
use super::error::OriginError;
use super::health::ProbeResult;
use super::request_body::RequestBody;
use super::sending::SendingLimits;
use super::server::Server;

/// The settings of an origin that its probes follow.
#[derive(Clone, Debug)]
pub(super) struct ProbeRules {
    health: HealthSettings,
    host: HostHeader,
}

impl ProbeRules {
    pub(super) fn of(settings: &OriginSettings) -> Self {
        Self { health: settings.health.clone(), host: settings.host_header.clone() }
    }
}

/// Probes a server now. Without a path it is connected to, and nothing is asked.
pub(super) async fn check(server: Arc<Server>, rules: ProbeRules) -> ProbeResult {
    let (begun, limit) = (Instant::now(), rules.health.timeout);
    let ended = timeout(limit, probe(&server, &rules, begun)).await;
    let result = match ended {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => ProbeResult::failed(&error, begun.elapsed()),
        Err(_elapsed) => ProbeResult::timed_out(limit, begun.elapsed()),
    };
    server.health().end_probe(result.clone(), Instant::now());
    result
}

async fn probe(
    server: &Arc<Server>,
    rules: &ProbeRules,
    begun: Instant,
) -> Result<ProbeResult, OriginError> {
    let mut connection = Arc::clone(server).connect_unshared().await?;
    let Some(request) = request(server, rules) else {
        return Ok(ProbeResult::connected(begun.elapsed()));
    };
    let limit = rules.health.timeout;
    let limits = SendingLimits { send_timeout: limit, first_byte_timeout: limit, deadline: None };
    let response = connection.answer(request, limits).await.map_err(Failed::into_error)?;
    judge(response, &rules.health, begun).await
}

async fn judge(
    response: Response<ResponseContent>,
    health: &HealthSettings,
    begun: Instant,
) -> Result<ProbeResult, OriginError> {
    let status = response.status();
    if !health.expect_status.iter().any(|range| range.contains(status.as_u16())) {
        return Ok(ProbeResult::wrong_status(status, begun.elapsed()));
    }
    let Some(expected) = &health.expect_body else {
        return Ok(ProbeResult::good(status, begun.elapsed()));
    };
    let (mut body, mut content) = (response.into_body(), Vec::new());
    while content.len() < CONTENT_MAX
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            let room = CONTENT_MAX - content.len();
            content.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        }
    }
    let found = memchr::memmem::find(&content, expected.as_bytes());
    Ok(match found {
        Some(_) => ProbeResult::good(status, begun.elapsed()),
        None => ProbeResult::wrong_body(status, begun.elapsed()),
    })
}

/// Returns the request of a probe, if there is anything to ask for.
fn request(server: &Server, rules: &ProbeRules) -> Option<Request<RequestBody>> {
    let health = &rules.health;
    let host = match (&health.host, &rules.host) {
        (Some(host), _) | (None, HostHeader::Literal(host)) => host.clone(),
        (None, HostHeader::Preserve | HostHeader::Server) => server.host()?,
    };
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = match health.method {
        ProbeMethod::Get => Method::GET,
        ProbeMethod::Head => Method::HEAD,
        ProbeMethod::Options => Method::OPTIONS,
    };
    *request.uri_mut() = health.path.clone()?.into();
    let fields = request.headers_mut();
    fields.insert(HOST, host);
    fields.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    Some(request)
}

const AGENT: &str = concat!("shellac-probe/", env!("CARGO_PKG_VERSION"));

/// Bytes of a response's content that are looked through.
const CONTENT_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use settings::{DnsSettings, ServerAddress, ServerSettings};

    use super::*;
    use crate::origins::background::Background;
    use crate::origins::names::ServerNames;
    use crate::origins::origin::Origin;

    #[tokio::test]
    async fn a_probe_names_its_server_as_requests_do() {
        let listed = ServerAddress::Host("app.example:3000".parse().unwrap());
        let unix = ServerAddress::Unix("/run/app.sock".into());
        for (address, host) in [(listed, "app.example:3000"), (unix, "localhost")] {
            let server = ServerSettings { address, weight: 1 };
            let mut settings = OriginSettings::new("app", vec![server]);
            settings.health.path = Some("/healthz".parse().unwrap());
            let names = Arc::new(ServerNames::new(DnsSettings::default(), Background::default()));
            let rules = ProbeRules::of(&settings);
            let origin = Origin::new(settings, &names);

            let probe = request(&origin.servers()[0], &rules).unwrap();
            assert_eq!(probe.headers()[HOST], host);
        }
    }
}
