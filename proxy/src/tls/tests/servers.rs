//! What servers are accepted, and what is said of others.

use std::fs;
use std::sync::Arc;

use settings::{CertificateFiles, ListenSettings, OriginTlsSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::support::{Authority, listen};
use crate::tls::handshake::accept;
use crate::tls::{HttpOffer, ListenerTls, ListenersTls, OriginTls, ServerTlsError};
use crate::transport::Transport;

fn trusting(authority: &Authority) -> OriginTlsSettings {
    OriginTlsSettings { ca: Some(authority.path("ca.pem")), ..OriginTlsSettings::default() }
}

fn made(settings: &OriginTlsSettings) -> Arc<OriginTls> {
    OriginTls::renewed("app", settings, false, None)
}

fn server(listen: ListenSettings) -> ListenersTls {
    ListenersTls::default().renewed(&[listen])
}

/// Connects to a server, as the one of this host. Returns our end and the server's.
async fn connected(
    ours: &OriginTls,
    server: &ListenerTls,
    host: &str,
) -> (Result<Transport, ServerTlsError>, Option<Transport>) {
    let (near, far) = UnixStream::pair().unwrap();
    let name = ours.name_of(host).unwrap();
    let (client, server) = tokio::join!(
        ours.connect(Transport::Unix(near), name, HttpOffer::Any),
        accept(server, Transport::Unix(far))
    );
    (client, server.map(|secured| secured.stream))
}

/// Connects, and returns why that failed.
async fn refused(settings: &OriginTlsSettings, server: &ListenersTls, host: &str) -> String {
    let (client, _) = connected(&made(settings), &server.0[0], host).await;
    let error = client.map(drop).unwrap_err();
    format!("{}: {error}", error.proxy_status_type())
}

#[tokio::test]
async fn a_server_shows_a_good_certificate_of_its_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = server(listen(&[authority.issue("a", &["a.test", "127.0.0.1"])]));
    let old = server(listen(&[authority.issue_until("old", &["a.test"], 2021)]));
    let settings = trusting(&authority);

    for host in ["a.test", "A.test.", "127.0.0.1"] {
        let (client, server) = connected(&made(&settings), &good.0[0], host).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        server.write_all(b"hello").await.unwrap();
        server.shutdown().await.unwrap();
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "hello");
    }
    assert_eq!(
        refused(&settings, &good, "b.test").await,
        "tls_certificate_error: its certificate is not for b.test, but for a.test, 127.0.0.1"
    );
    assert_eq!(
        refused(&settings, &old, "a.test").await,
        "tls_certificate_error: its certificate has expired"
    );
    assert_eq!(
        refused(&trusting(&other), &good, "a.test").await,
        "tls_certificate_error: its certificate is signed by another authority of the same name, or not at all"
    );
    let named = OriginTlsSettings { server_name: Some("a.test".to_owned()), ..settings.clone() };
    assert!(connected(&made(&named), &good.0[0], "10.0.0.1").await.0.is_ok());
}

#[tokio::test]
async fn any_certificate_is_accepted_only_where_the_settings_say_so() {
    let authority = Authority::new();
    let old = server(listen(&[authority.issue_until("old", &["a.test"], 2021)]));
    let blind = OriginTlsSettings {
        dangerously_accept_any_certificate: true,
        ..OriginTlsSettings::default()
    };

    assert!(connected(&made(&blind), &old.0[0], "b.test").await.0.is_ok());
}

#[tokio::test]
async fn a_server_that_asks_for_our_certificate_gets_it() {
    let authority = Authority::new();
    let own = authority.issue("own", &["proxy.test"]);
    let mut asking = listen(&[authority.issue("a", &["a.test"])]);
    asking.tls.as_mut().unwrap().client_ca = Some(authority.path("ca.pem"));
    let asking = server(asking);
    let with = OriginTlsSettings { certificate: Some(own), ..trusting(&authority) };

    let (client, accepted) = connected(&made(&with), &asking.0[0], "a.test").await;
    assert!(client.is_ok() && accepted.is_some());

    // With TLS 1.3 it is refused after our side of the handshake.
    let (client, accepted) = connected(&made(&trusting(&authority)), &asking.0[0], "a.test").await;
    assert!(accepted.is_none());
    let error = client.unwrap().read(&mut [0]).await.unwrap_err();
    let error = ServerTlsError::of_exchange(&error).unwrap();
    assert_eq!(error.proxy_status_type(), "tls_alert_received");
    assert_eq!(error.alert(), Some(116), "certificate_required");
}

#[tokio::test]
async fn sessions_with_servers_are_resumed() {
    let authority = Authority::new();
    let good = server(listen(&[authority.issue("a", &["a.test"])]));
    let ours = made(&trusting(&authority));

    for _ in 0..3 {
        let (client, server) = connected(&ours, &good.0[0], "a.test").await;
        server.unwrap().shutdown().await.unwrap();
        assert_eq!(client.unwrap().read(&mut [0]).await.unwrap(), 0);
    }

    assert_eq!(good.0[0].metrics.resumed(), 2);
}

#[tokio::test]
async fn what_is_no_tls_is_a_protocol_error_and_an_end_is_told_apart() {
    let authority = Authority::new();
    let ours = made(&trusting(&authority));
    let name = ours.name_of("a.test").unwrap();
    for (answer, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "tls_protocol_error"),
        (b"", "connection_terminated"),
    ] {
        let (near, mut far) = UnixStream::pair().unwrap();
        let server = async {
            assert!(far.read(&mut [0; 2048]).await.unwrap() > 0);
            far.write_all(answer).await.unwrap();
            far.shutdown().await.unwrap();
        };
        let (client, ()) =
            tokio::join!(ours.connect(Transport::Unix(near), name.clone(), HttpOffer::Any), server);
        assert_eq!(client.map(drop).unwrap_err().proxy_status_type(), expected);
    }
}

#[tokio::test]
async fn files_that_change_are_used_for_new_connections_and_bad_ones_are_not() {
    let (authority, other) = (Authority::new(), Authority::new());
    let bundle = authority.path("bundle.pem");
    let own = authority.issue("own", &["proxy.test"]);
    let good = server(listen(&[authority.issue("a", &["a.test"])]));
    let settings = OriginTlsSettings {
        ca: Some(bundle.clone()),
        certificate: Some(CertificateFiles { ..own }),
        ..OriginTlsSettings::default()
    };
    let ours = made(&settings);
    let is_connected = async || connected(&ours, &good.0[0], "a.test").await.0;
    assert_eq!(is_connected().await.unwrap_err().proxy_status_type(), "proxy_configuration_error");

    fs::copy(authority.path("ca.pem"), &bundle).unwrap();
    ours.refresh();
    assert!(is_connected().await.is_ok());
    super::support::replace(&bundle, b"none");
    ours.refresh();
    assert!(is_connected().await.is_ok());
    super::support::replace(&bundle, &fs::read(other.path("ca.pem")).unwrap());
    ours.refresh();
    assert_eq!(is_connected().await.unwrap_err().proxy_status_type(), "tls_certificate_error");

    let same = OriginTls::renewed("app", &settings, false, Some(&ours));
    assert!(Arc::ptr_eq(&same, &ours));
    let with_http2 = OriginTls::renewed("app", &settings, true, Some(&ours));
    assert!(!Arc::ptr_eq(&with_http2, &ours));
}

#[tokio::test]
async fn http2_is_offered_to_a_server_unless_the_request_needs_http1() {
    let authority = Authority::new();
    let good = server(listen(&[authority.issue("a", &["a.test"])]));
    let settings = trusting(&authority);
    for (offers_http2, offer, expected) in [
        (true, HttpOffer::Any, true),
        (true, HttpOffer::Http1, false),
        (false, HttpOffer::Any, false),
    ] {
        let ours = OriginTls::renewed("app", &settings, offers_http2, None);
        let (near, far) = UnixStream::pair().unwrap();
        let name = ours.name_of("a.test").unwrap();
        let (client, secured) = tokio::join!(
            ours.connect(Transport::Unix(near), name, offer),
            accept(&good.0[0], Transport::Unix(far))
        );
        assert_eq!(client.unwrap().has_agreed_on_http2(), expected);
        assert_eq!(secured.unwrap().is_http2, expected);
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_a_servers_own_where_the_operator_names_it() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (own, old) = (authority.self_signed("own", 2099), authority.self_signed("old", 2021));
    let shown_by = |files: &CertificateFiles| server(listen(std::slice::from_ref(files)));
    let settings = |files: &CertificateFiles| OriginTlsSettings {
        ca: Some(files.certificate.clone()),
        ..OriginTlsSettings::default()
    };
    let (good, expired) = (shown_by(&own), shown_by(&old));

    assert!(connected(&made(&settings(&own)), &good.0[0], "self.test").await.0.is_ok());
    for (settings, server, host, expected) in [
        (settings(&own), &good, "b.test", "is not for b.test, but for self.test"),
        (settings(&old), &expired, "self.test", "has expired"),
        (trusting(&other), &good, "self.test", "is an authority's: put it into `ca`"),
    ] {
        let error = refused(&settings, server, host).await;
        assert!(error.contains(expected), "{error}");
    }
}
