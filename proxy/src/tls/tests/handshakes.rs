//! What clients get, and who is refused.

use std::future::poll_fn;
use std::time::Duration;

use settings::{ClientCertificate, Http2, ListenSettings, TlsVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::support::{Authority, certificate_in, listen};
use crate::tls::handshake::accept;
use crate::tls::{ListenerTls, ListenersTls};
use crate::transport::Transport;

fn made(listen: ListenSettings) -> ListenersTls {
    ListenersTls::default().renewed(&[listen])
}

fn only(all: &ListenersTls) -> &ListenerTls {
    &all.0[0]
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::new();
    let files = [authority.issue("a", &["a.test"]), authority.issue("b", &["*.b.test"])];
    let tls = made(listen(&files));
    let client = authority.client(None);

    for (host, shown) in [("a.test", 0), ("www.b.test", 1)] {
        let (client_end, server_end) = client.shake(only(&tls), host).await;
        assert!(client_end.is_ok() && server_end.is_some(), "{host}");
        assert_eq!(client.seen.take(), Some(certificate_in(&files[shown])));
    }
    let (unknown, _) = client.shake(only(&tls), "c.test").await;
    assert!(unknown.is_err(), "the default certificate is not for it");
    assert_eq!(client.seen.take(), Some(certificate_in(&files[0])));
}

#[tokio::test]
async fn http2_is_agreed_on_in_the_handshake_unless_it_is_off() {
    let authority = Authority::new();
    let with = listen(&[authority.issue("a", &["a.test"])]);
    let without = ListenSettings { http2: Http2::Off, ..with.clone() };
    let both: &[&str] = &["h2", "http/1.1"];
    for (settings, offered, is_http2, chosen) in [
        (&with, both, true, Some(&b"h2"[..])),
        (&with, &["http/1.1"], false, Some(b"http/1.1")),
        (&with, &[], false, None),
        (&without, both, false, Some(b"http/1.1")),
    ] {
        let tls = made(settings.clone());
        let client = authority.client(None).alpn(offered);
        let (client_end, server_end) = client.shake(only(&tls), "a.test").await;
        assert_eq!(client_end.unwrap().get_ref().1.alpn_protocol(), chosen);
        assert_eq!(server_end.unwrap().1, is_http2);
    }
    let tls = made(with);
    let client = authority.client(None).alpn(&["spdy/3"]);
    assert!(client.shake(only(&tls), "a.test").await.1.is_none());
    assert_eq!(only(&tls).metrics.failures(), [("alpn", 1)]);
}

#[tokio::test]
async fn old_versions_are_refused_where_the_operator_says_so() {
    let authority = Authority::new();
    let mut settings = listen(&[authority.issue("a", &["a.test"])]);
    let mut client = authority.client(None);
    client.config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(std::sync::Arc::clone(&client.seen) as _)
        .with_no_client_auth();
    let tls = made(settings.clone());
    assert!(client.shake(only(&tls), "a.test").await.1.is_some());

    settings.tls.as_mut().unwrap().min_version = TlsVersion::Tls13;
    let tls = made(settings);
    let (client_end, server_end) = client.shake(only(&tls), "a.test").await;
    assert!(client_end.is_err() && server_end.is_none());
    assert_eq!(only(&tls).metrics.failures(), [("version", 1)]);
}

#[tokio::test]
async fn clients_show_a_certificate_of_the_authority_or_stay_outside() {
    let authority = Authority::new();
    let elsewhere = Authority::new();
    let stranger = elsewhere.issue("s", &["client.test"]);
    let own = authority.issue("own", &["client.test"]);
    let mut settings = listen(&[authority.issue("a", &["a.test"])]);
    let tls = settings.tls.as_mut().unwrap();
    tls.client_ca = Some(authority.path("ca.pem"));

    let required = made(settings.clone());
    let is_let_in = async |files, all: &ListenersTls| {
        let (_, server_end) = authority.client(files).shake(only(all), "a.test").await;
        server_end.is_some()
    };
    assert!(is_let_in(Some(&own), &required).await);
    assert!(!is_let_in(None, &required).await);
    assert_eq!(only(&required).metrics.failures(), [("client_certificate_missing", 1)]);
    assert_eq!(only(&required).metrics.with_client_certificate.value(), 1);

    settings.tls.as_mut().unwrap().client_certificate = ClientCertificate::Optional;
    let optional = made(settings);
    assert!(is_let_in(Some(&own), &optional).await);
    assert!(is_let_in(None, &optional).await);
    let (_, server_end) = authority.client(Some(&stranger)).shake(only(&optional), "a.test").await;
    assert!(server_end.is_none(), "it is optional to have one, not to have a good one");
    assert_eq!(only(&optional).metrics.failures(), [("client_certificate_invalid", 1)]);
}

#[tokio::test]
async fn a_request_without_tls_is_told_so() {
    let authority = Authority::new();
    let tls = made(listen(&[authority.issue("a", &["a.test"])]));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let client = async {
        theirs.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        drop(theirs);
        answer
    };

    let (answer, accepted) = tokio::join!(client, accept(only(&tls), Transport::Unix(ours)));

    assert!(accepted.is_none());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    assert_eq!(only(&tls).metrics.failures(), [("not_tls", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_time_and_then_the_client_is_cut() {
    let authority = Authority::new();
    let tls = made(listen(&[authority.issue("a", &["a.test"])]));
    for sent in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1]] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(sent).await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(accept(only(&tls), Transport::Unix(ours)).await.is_none());
        assert_eq!(begun.elapsed().as_secs(), 10);
    }
    assert_eq!(only(&tls).metrics.failures(), [("timeout", 3)]);
    assert_eq!(only(&tls).slots.available_permits(), 4096, "they took no slot");
}

#[tokio::test(start_paused = true)]
async fn handshakes_past_the_limit_wait_for_their_turn() {
    let authority = Authority::new();
    let mut settings = listen(&[authority.issue("a", &["a.test"])]);
    settings.tls.as_mut().unwrap().max_handshakes = 1;
    let tls = made(settings);
    let slot = only(&tls).slots.acquire().await.unwrap();
    let client = authority.client(None);

    let waiting = client.shake(only(&tls), "a.test");
    let release = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(only(&tls).metrics.waiting.count(), 1);
        drop(slot);
    };
    let ((client_end, server_end), ()) = tokio::join!(waiting, release);

    assert!(client_end.is_ok() && server_end.is_some());
    assert_eq!(only(&tls).metrics.waiting.count(), 0);
}

#[tokio::test]
async fn the_end_of_a_client_is_seen_without_taking_its_bytes() {
    let authority = Authority::new();
    let tls = made(listen(&[authority.issue("a", &["a.test"])]));
    let (client_end, server_end) = authority.client(None).shake(only(&tls), "a.test").await;
    let (mut client, (mut server, _)) = (client_end.unwrap(), server_end.unwrap());
    assert!(server.is_secure() && !server.has_input());

    client.write_all(b"GET").await.unwrap();
    client.flush().await.unwrap();
    assert!(poll_fn(|cx| server.poll_readable(cx)).await.unwrap());
    assert!(server.has_input());
    let mut read = [0; 3];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"GET");
    assert!(!server.has_input());

    client.shutdown().await.unwrap(); // close_notify
    assert!(!poll_fn(|cx| server.poll_readable(cx)).await.unwrap());
    assert!(server.has_input(), "it has closed");
    server.write_all(b"still answered").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "still answered");
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_is_at_its_end() {
    let authority = Authority::new();
    let tls = made(listen(&[authority.issue("a", &["a.test"])]));
    let (client_end, server_end) = authority.client(None).shake(only(&tls), "a.test").await;
    let (mut client, (mut server, _)) = (client_end.unwrap(), server_end.unwrap());

    client.get_mut().0.shutdown().await.unwrap(); // no close_notify

    assert!(!poll_fn(|cx| server.poll_readable(cx)).await.unwrap());
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_sends_tickets_has_not_answered() {
    let authority = Authority::new();
    let tls = made(listen(&[authority.issue("a", &["a.test"])]));
    let (ours, theirs) = UnixStream::pair().unwrap();
    let client = authority.client(None);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client.config));
    let name = rustls_pki_types::ServerName::try_from("a.test").unwrap();
    let (client, server) = tokio::join!(
        connector.connect(name, Transport::Unix(theirs)),
        accept(only(&tls), Transport::Unix(ours))
    );
    let mut client = Transport::Tls(Box::new(client.unwrap().into()));
    let mut server = server.unwrap().stream;

    server.flush().await.unwrap();
    assert!(!client.has_input(), "tickets are no content");
    server.write_all(b"unasked").await.unwrap();
    server.flush().await.unwrap();
    assert!(client.has_input());
    let mut read = [0; 7];
    client.read_exact(&mut read).await.unwrap();
    drop(server);
    assert!(client.has_input(), "it has closed");
    let ended = client.read(&mut read).await.unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof, "the response may be cut");
}
