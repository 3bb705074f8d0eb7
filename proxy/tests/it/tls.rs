//! TLS on both sides of the proxy, with OpenSSL's tools, Python and curl as the other end.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use settings::{CertificateFiles, ClientCertificate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::support::message::Head;
use crate::support::origin::{Origin, cacheable, ok};
use crate::support::proxy::{Proxy, request};
use crate::support::secure::Authority;
use crate::support::{in_time, until};

/// Starts a proxy with TLS and a certificate for `site.example` before this origin.
fn secure(origin: &Origin, authority: &Authority) -> Proxy {
    let files = authority.issue("site", &["site.example"]);
    Proxy::start_with(origin, |config| Authority::secure_listener(config, vec![files]))
}

async fn curl(authority: &Authority, address: SocketAddr, protocol: &str, path: &str) -> String {
    let url = format!("https://site.example:{}{path}", address.port());
    let to = format!("site.example:{}:127.0.0.1", address.port());
    let resolve = ["--resolve", &to, "--cacert", "ca.pem", "-sS", "-D", "-", protocol];
    authority.run("curl", &[&resolve[..], &[&url]].concat()).await
}

#[tokio::test]
async fn curl_gets_hits_over_both_protocols_and_the_origin_is_told_https() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    origin.on("/page", cacheable("hello"));
    let proxy = secure(&origin, &authority);

    let first = curl(&authority, proxy.address, "--http1.1", "/page").await;
    assert!(first.starts_with("HTTP/1.1 200 ") && first.ends_with("hello"), "{first}");
    assert_eq!(origin.last("/page").head.field("x-forwarded-proto").as_deref(), Some("https"));
    for (protocol, status) in [("--http1.1", "HTTP/1.1 200 "), ("--http2", "HTTP/2 200 ")] {
        let next = curl(&authority, proxy.address, protocol, "/page").await;
        assert!(next.starts_with(status) && next.contains("shellac; hit"), "{next}");
    }
    assert_eq!(origin.count("/page"), 1);
    let plain = authority
        .run("curl", &["-sS", &format!("http://127.0.0.1:{}/", proxy.address.port())])
        .await;
    assert_eq!(plain, "This port speaks HTTPS, and the request is HTTP.");
}

/// Runs `openssl s_client` against the proxy.
async fn s_client(authority: &Authority, address: SocketAddr, arguments: &[&str]) -> String {
    let address = address.to_string();
    let always = ["s_client", "-connect", &address, "-CAfile", "ca.pem"];
    authority.run("openssl", &[&always[..], arguments].concat()).await
}

#[tokio::test]
async fn openssl_is_refused_what_is_old_or_weak() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    let proxy = secure(&origin, &authority);
    let name = ["-servername", "site.example"];
    for (arguments, expected) in [
        (&["-tls1_3"][..], "New, TLSv1.3, "),
        (&["-tls1_2"], "New, TLSv1.2, "),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], "New, TLSv1.2, "),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "New, (NONE)"),
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], "New, (NONE)"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], "New, (NONE)"),
        (&["-tls1_2", "-cipher", "AES128-GCM-SHA256:ALL:!ECDHE"], "New, (NONE)"),
        (&["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"], "New, (NONE)"),
    ] {
        let shown = s_client(&authority, proxy.address, &[&name[..], arguments].concat()).await;
        assert!(shown.contains(expected), "{arguments:?}: {shown}");
    }
    let renegotiation = s_client(&authority, proxy.address, &["-tls1_2"]).await;
    assert!(renegotiation.contains("Secure Renegotiation IS supported"), "{renegotiation}");
}

#[tokio::test]
async fn openssl_finds_the_ocsp_response_that_openssl_made() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    let files = authority.issue("site", &["site.example"]);
    let serial = authority.run("openssl", &["x509", "-in", "site.pem", "-noout", "-serial"]).await;
    let serial = serial.trim().strip_prefix("serial=").unwrap();
    let index = format!("V\t991231235959Z\t\t{serial}\tunknown\t/CN=site\n");
    fs::write(authority.path("index.txt"), index).unwrap();
    let made = ["ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ca.pem"];
    let of = ["-rkey", "ca.key", "-issuer", "ca.pem", "-cert", "site.pem"];
    let into = ["-ndays", "7", "-respout", "site.ocsp", "-noverify"];
    let shown = authority.run("openssl", &[&made[..], &of, &into].concat()).await;
    let files = CertificateFiles { ocsp: Some(authority.path("site.ocsp")), ..files };
    assert!(authority.path("site.ocsp").exists(), "{shown}");
    let proxy =
        Proxy::start_with(&origin, |config| Authority::secure_listener(config, vec![files]));

    let shown = s_client(&authority, proxy.address, &["-status"]).await;
    assert!(shown.contains("OCSP Response Status: successful"), "{shown}");
    assert!(shown.contains("Cert Status: good"), "{shown}");
}

/// Connects with Python's TLS: shows the version, the protocol chosen, the names in the
/// certificate, and whether a second connection resumed the session.
const PYTHON: &str = r#"
import socket, ssl, sys
port, name, version, alpn, certificate = sys.argv[1:]
context = ssl.create_default_context(cafile="ca.pem")
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.set_alpn_protocols([one for one in alpn.split(",") if one])
if certificate:
    context.load_cert_chain(certificate + ".pem", certificate + ".key")
def visit(session):
    plain = socket.create_connection(("127.0.0.1", int(port)), timeout=20)
    with context.wrap_socket(plain, server_hostname=name, session=session) as secure:
        secure.sendall(b"GET /page HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n"
                       if secure.selected_alpn_protocol() != "h2" else b"")
        if secure.selected_alpn_protocol() != "h2":
            answer = b""
            while part := secure.recv(65536):
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 "), answer
        names = [value for _, value in secure.getpeercert()["subjectAltName"]]
        print(secure.version(), secure.selected_alpn_protocol(), *names, secure.session_reused)
        return secure.session
try:
    session = visit(None)
    visit(session)
except ssl.SSLError as error:
    print(error.reason)
"#;

async fn python(authority: &Authority, address: SocketAddr, arguments: [&str; 4]) -> Vec<String> {
    let port = address.port().to_string();
    let shown = authority.run("python3", &[&["-c", PYTHON, &port][..], &arguments].concat()).await;
    shown.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn python_gets_versions_protocols_names_and_resumption() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    origin.on("/page", cacheable("hello"));
    let files = vec![
        authority.issue("site", &["site.example"]),
        authority.issue("other", &["*.other.example"]),
    ];
    let proxy = Proxy::start_with(&origin, |config| Authority::secure_listener(config, files));
    let of = async |arguments| python(&authority, proxy.address, arguments).await;

    assert_eq!(
        of(["site.example", "TLSv1_3", "http/1.1", ""]).await,
        ["TLSv1.3 http/1.1 site.example False", "TLSv1.3 http/1.1 site.example True"]
    );
    assert_eq!(
        of(["a.other.example", "TLSv1_2", "", ""]).await,
        ["TLSv1.2 None *.other.example False", "TLSv1.2 None *.other.example True"]
    );
    let both = of(["site.example", "TLSv1_3", "http/1.1,h2", ""]).await;
    assert_eq!(both[0], "TLSv1.3 h2 site.example False");
    let neither = of(["site.example", "TLSv1_3", "spdy/1", ""]).await;
    assert!(neither.len() == 1 && !neither[0].starts_with("TLSv1.3 "), "{neither:?}");
    let page = proxy.ask_admin("GET", "/metrics", &[], "").await;
    assert!(page.text().contains("reason=\"alpn\"} 1\n"));
}

#[tokio::test]
async fn python_shows_its_certificate_or_is_refused() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    origin.on("/page", cacheable("hello"));
    let files = authority.issue("site", &["site.example"]);
    authority.issue("client", &["client.example"]);
    let proxy = |clients| {
        let files = files.clone();
        Proxy::start_with(&origin, |config| {
            Authority::secure_listener(config, vec![files]);
            let tls = config.listen[0].tls.as_mut().unwrap();
            tls.client_ca = Some(authority.path("ca.pem"));
            tls.client_certificate = clients;
        })
    };
    let required = proxy(ClientCertificate::Required);
    for (version, certificate, expected) in [
        ("TLSv1_3", "client", "TLSv1.3 None site.example False"),
        ("TLSv1_2", "client", "TLSv1.2 None site.example False"),
        ("TLSv1_3", "", "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        ("TLSv1_2", "", "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    ] {
        let arguments = ["site.example", version, "", certificate];
        let shown = python(&authority, required.address, arguments).await;
        assert_eq!(shown[0], expected, "{version} {certificate}");
    }
    let optional = proxy(ClientCertificate::Optional);
    let shown = python(&authority, optional.address, ["site.example", "TLSv1_3", "", ""]).await;
    assert_eq!(shown[0], "TLSv1.3 None site.example False");
}

#[tokio::test]
async fn a_client_that_leaves_over_tls_while_it_waits_ends_its_fetch() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    let proxy = secure(&origin, &authority);
    let gate = crate::support::origin::Gate::closed();
    origin.on("/private", ok("x").field("cache-control", "private").after(&gate));
    for is_polite in [true, false] {
        let mut client = in_time("connecting", authority.connect(proxy.address)).await;
        let fields = [("Authorization", "Basic x")];
        client.write_all(request("GET", "/private", &fields, "").as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        origin.seen("/private", 1 + usize::from(!is_polite)).await;
        // A client that half-closes does so with its request.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        proxy.advance(2);
        if is_polite {
            client.shutdown().await.unwrap();
        }
        drop(client);
        until("the end of the exchange", || proxy.app.origins().connections().0 == 0).await;
    }
}

#[tokio::test]
async fn requests_in_a_row_and_large_content_pass_whole() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    let numbers: Vec<String> = (0..400_000).map(|number| format!("{number:07}")).collect();
    let large = numbers.join(",");
    origin.on("/large", cacheable(&large));
    origin.on("/small", cacheable("small"));
    let proxy = secure(&origin, &authority);
    proxy_warm(&authority, &proxy).await;

    let client = in_time("connecting", authority.connect(proxy.address)).await;
    let mut client = BufReader::new(client);
    let both = [request("GET", "/large", &[], ""), request("GET", "/small", &[], "")].concat();
    client.write_all(both.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    for expected in [large.as_str(), "small"] {
        let head = in_time("a head", Head::read(&mut client)).await.unwrap().unwrap();
        let mut content = vec![0; head.length().unwrap()];
        in_time("content", client.read_exact(&mut content)).await.unwrap();
        assert!(content == expected.as_bytes());
    }
}

async fn proxy_warm(authority: &Authority, proxy: &Proxy) {
    for path in ["/large", "/small"] {
        curl(authority, proxy.address, "--http1.1", path).await;
    }
}

#[tokio::test]
async fn an_origin_over_tls_serves_and_is_named_when_its_certificate_is_wrong() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    origin.on("/page", cacheable("hello"));
    let good = authority.before(origin.address, &authority.issue("o", &["127.0.0.1"])).await;
    let start = |address: SocketAddr| {
        Proxy::start_with(&origin, |config| {
            config.origins[0].servers = vec![address.into()];
            authority.secure_origin(config);
        })
    };
    let proxy = start(good);
    assert_eq!(proxy.get("/page").await.text(), "hello");
    origin.on("/again", cacheable("again"));
    assert_eq!(proxy.get("/again").await.text(), "again");
    assert_eq!(origin.last("/again").connection, 0, "the connection was kept");

    let other = authority.before(origin.address, &authority.issue("p", &["else.test"])).await;
    let wrong = start(other).get("/page").await;
    assert_eq!(wrong.status(), 502);
    assert_eq!(
        wrong.field("proxy-status").as_deref(),
        Some("shellac; error=tls_certificate_error")
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let plain = start(address).get("/page").await;
    answering.abort();
    assert_eq!(plain.field("proxy-status").as_deref(), Some("shellac; error=tls_protocol_error"));
}

#[tokio::test]
async fn a_handshake_that_the_origin_never_answers_has_a_name_of_its_own() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap(); // the kernel accepts
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].servers = vec![silent.local_addr().unwrap().into()];
        config.origins[0].connect_timeout = Duration::from_millis(200);
        authority.secure_origin(config);
    });

    let answer = proxy.get("/page").await;

    assert_eq!(answer.status(), 504);
    assert_eq!(
        answer.field("proxy-status").as_deref(),
        Some("shellac; error=connection_timeout; details=\"connect_timeout in the TLS handshake\"")
    );
    assert!(answer.field("cache-status").unwrap().contains("detail=tls_timeout"), "{answer:?}");
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    let counted = "shellac_origin_failures_total{origin=\"app\",reason=\"tls_timeout\"} 1";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[tokio::test]
async fn a_response_without_a_length_is_whole_only_if_tls_says_that_it_ends() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    let acceptor = Authority::acceptor(&authority.issue("o", &["127.0.0.1"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).await.unwrap();
            let is_whole = request[..count].starts_with(b"GET /whole ");
            let response = b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n\r\nhello";
            stream.write_all(response).await.unwrap();
            stream.flush().await.unwrap();
            if is_whole {
                stream.shutdown().await.unwrap();
            } else {
                stream.get_mut().0.shutdown().await.unwrap();
            }
        }
    }));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].servers = vec![address.into()];
        authority.secure_origin(config);
    });

    for (path, is_stored) in [("/whole", true), ("/cut", false)] {
        let mut first = proxy.begin(path, &[]).await;
        let head = first.head().await;
        assert_eq!(first.rest(head).await.is_ok(), is_stored, "{path}");
        let mut second = proxy.begin(path, &[]).await;
        let is_hit = second.head().await.field("cache-status").unwrap().contains("hit");
        assert_eq!(is_hit, is_stored, "{path}");
    }
}
