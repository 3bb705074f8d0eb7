//! Files that change, settings that change, sessions that go on.

use std::fs;
use std::sync::Arc;

use settings::{CertificateFiles, Config, Flags, Http2, ListenSettings, Sources};
use tokio::io::AsyncReadExt as _;

use super::support::{Authority, SERIAL, TestClient, certificate_in, listen, replace};
use crate::tls::{ListenersTls, inspect};

/// Connects once; reads, so that tickets are taken. Returns whether the listener let it in.
async fn visit(client: &TestClient, all: &ListenersTls) -> bool {
    let (client_end, server_end) = client.shake(&all.0[0], "a.test").await;
    drop(server_end);
    let Ok(mut stream) = client_end else { return false };
    let ended = stream.read(&mut [0; 1]).await;
    matches!(ended, Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof)
}

#[tokio::test]
async fn new_files_are_used_and_bad_ones_are_not() {
    let authority = Authority::new();
    let files = authority.issue("a", &["a.test"]);
    let all = ListenersTls::default().renewed(&[listen(std::slice::from_ref(&files))]);
    let shown = async || {
        let client = authority.client(None);
        assert!(visit(&client, &all).await);
        client.seen.take().unwrap()
    };
    let first = certificate_in(&files);
    assert_eq!(shown().await, first);

    authority.issue("a", &["a.test"]);
    assert_eq!(shown().await, first, "nobody has looked yet");
    all.refresh();
    let second = certificate_in(&files);
    assert_eq!(shown().await, second);

    let other_key = fs::read(authority.issue("b", &["b.test"]).key).unwrap();
    replace(&files.key, &other_key);
    all.refresh();
    all.refresh();
    assert_eq!(shown().await, second);
    assert_eq!(all.0[0].certificates()[0].failures, 1);

    fs::remove_file(&files.certificate).unwrap();
    all.refresh();
    assert_eq!(shown().await, second);
    authority.issue("a", &["a.test"]);
    all.refresh();
    assert_eq!(shown().await, certificate_in(&files));
}

#[tokio::test]
async fn sessions_go_on_under_a_new_certificate_and_other_settings() {
    let authority = Authority::new();
    let files = authority.issue("a", &["a.test"]);
    let settings = listen(std::slice::from_ref(&files));
    let all = ListenersTls::default().renewed(std::slice::from_ref(&settings));
    let client = authority.client(None);
    assert!(visit(&client, &all).await);
    assert_eq!(all.0[0].metrics.resumed(), 0);

    authority.issue("a", &["a.test"]);
    all.refresh();
    assert!(visit(&client, &all).await);
    assert_eq!(all.0[0].metrics.resumed(), 1);

    let without = ListenSettings { http2: Http2::Off, ..settings.clone() };
    let renewed = all.renewed(&[without]);
    assert!(!Arc::ptr_eq(&all.0[0], &renewed.0[0]));
    assert!(visit(&client, &renewed).await);
    assert_eq!(renewed.0[0].metrics.resumed(), 2, "the counters go on, too");
    let same = all.renewed(&[settings]);
    assert!(Arc::ptr_eq(&all.0[0], &same.0[0]));
}

#[tokio::test]
async fn a_session_does_not_outlive_the_authority_that_let_the_client_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut settings = listen(&[authority.issue("a", &["a.test"])]);
    let trusted = authority.path("trusted.pem");
    fs::copy(authority.path("ca.pem"), &trusted).unwrap();
    settings.tls.as_mut().unwrap().client_ca = Some(trusted.clone());
    let all = ListenersTls::default().renewed(&[settings]);
    let client = authority.client(Some(&authority.issue("own", &["client.test"])));
    assert!(visit(&client, &all).await);
    assert!(visit(&client, &all).await);
    assert_eq!(all.0[0].metrics.resumed(), 1);

    replace(&trusted, &fs::read(other.path("ca.pem")).unwrap());
    all.refresh();

    let (_, server_end) = client.shake(&all.0[0], "a.test").await;
    assert!(server_end.is_none());
    assert_eq!(all.0[0].metrics.resumed(), 1);
}

#[tokio::test]
async fn without_authorities_nobody_is_let_in() {
    let authority = Authority::new();
    let mut settings = listen(&[authority.issue("a", &["a.test"])]);
    settings.tls.as_mut().unwrap().client_ca = Some(authority.path("none.pem"));
    let all = ListenersTls::default().renewed(&[settings]);
    let own = authority.issue("own", &["client.test"]);

    let (_, server_end) = authority.client(Some(&own)).shake(&all.0[0], "a.test").await;

    assert!(server_end.is_none());
    assert_eq!(all.0[0].metrics.failures(), [("no_certificate", 1)]);
}

/// An OCSP response (RFC 6960 §4.2.1) without a signature that anybody would check here.
fn staple(serial: &[u8], is_good: bool, next_update: &str) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap();
        let [high, low] = [length >> 8, length & 0xff].map(|byte| u8::try_from(byte).unwrap());
        [&[tag, 0x82, high, low], content].concat()
    };
    let time = |text: &str| element(0x18, text.as_bytes());
    let id = [
        element(0x30, &element(0x06, &[0x2b, 0x0e, 3, 2, 0x1a])),
        element(0x04, &[1; 20]),
        element(0x04, &[2; 20]),
        element(0x02, serial),
    ];
    let status = if is_good { element(0x80, &[]) } else { element(0xa1, &time("20250101000000Z")) };
    let next_update = element(0xa0, &time(next_update));
    let single = [element(0x30, &id.concat()), status, time("20250101000000Z"), next_update];
    let responses = element(0x30, &element(0x30, &single.concat()));
    let responder = element(0xa2, &element(0x04, &[3; 20]));
    let data = [responder, time("20250101000000Z"), responses].concat();
    let basic = element(0x30, &element(0x30, &data));
    let bytes = [element(0x06, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]), element(0x04, &basic)];
    let bytes = element(0xa0, &element(0x30, &bytes.concat()));
    element(0x30, &[element(0x0a, &[0]), bytes].concat())
}

#[tokio::test]
async fn an_ocsp_response_is_sent_along_while_it_is_good() {
    let authority = Authority::new();
    let ocsp = authority.path("a.ocsp");
    let files = authority.issue("a", &["a.test"]);
    let files = CertificateFiles { ocsp: Some(ocsp.clone()), ..files };
    let good = staple(&SERIAL, true, "20990101000000Z");
    fs::write(&ocsp, &good).unwrap();
    let all = ListenersTls::default().renewed(&[listen(&[files])]);
    let sent = async || {
        let client = authority.client(None);
        assert!(visit(&client, &all).await);
        let seen = client.seen.last.lock().take().unwrap();
        seen.1
    };
    assert_eq!(sent().await, good);

    all.0[0].refresh(4_070_908_800); // 2099-01-01
    assert!(sent().await.is_empty(), "it has become too old");

    for bad in [
        staple(&[7], true, "20990101000000Z"),
        staple(&SERIAL, false, "20990101000000Z"),
        staple(&SERIAL, true, "20250102000000Z"),
        b"none".to_vec(),
    ] {
        replace(&ocsp, &bad);
        all.refresh();
        assert!(sent().await.is_empty());
    }
    replace(&ocsp, &good);
    all.refresh();
    assert_eq!(sent().await, good);
}

/// Lists what is wrong with the files of one listener: the place and the message, folders left out.
fn listed(authority: &Authority, tls: &str) -> Vec<String> {
    let folder = format!("{}/", authority.path("").display()).replace("//", "/");
    let tls = tls.replace('@', &folder);
    let text = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{tls}\n\
         [origin.app]\nservers = [\"127.0.0.1:1\"]\n"
    );
    let file = Some(("config.toml".to_owned(), text));
    let sources = Sources { file, flags: Flags::default(), ..Sources::default() };
    let problems = match Config::load_inspected(&sources, inspect) {
        Ok(config) => config.warnings,
        Err(errors) => errors.problems().to_vec(),
    };
    let line = |problem: &settings::Problem| {
        let place = problem.location().unwrap_or_default().replace("config.toml:", "");
        format!("{place} {problem}").replace(&folder, "")
    };
    problems.iter().map(line).collect()
}

#[test]
fn check_says_what_is_wrong_with_each_file_and_where_it_is_named() {
    let authority = Authority::new();
    authority.issue("a", &["a.test"]);
    authority.issue("b", &["b.test"]);
    authority.issue("nameless", &[]);
    authority.issue_until("old", &["a.test"], 2021);
    let chain = fs::read_to_string(authority.path("a.pem")).unwrap();
    fs::write(authority.path("cut.pem"), chain.get(..chain.len() / 2).unwrap()).unwrap();
    fs::write(authority.path("der.pem"), [0x30, 0x82, 1, 1]).unwrap();
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(authority.path("locked.key"), locked).unwrap();
    let of = |certificate: &str, key: &str| {
        listed(&authority, &format!("certificate = \"@{certificate}\"\nkey = \"@{key}\""))
    };

    assert_eq!(of("a.pem", "a.key"), [""; 0]);
    assert_eq!(of("a.pem", "b.key"), ["5:7 `listen[0].tls.key`: b.key is not the key of a.pem"]);
    assert_eq!(
        of("a.key", "a.key"),
        [
            "4:15 `listen[0].tls.certificate`: a.key holds no certificate, but \"PRIVATE KEY\" in line 1"
        ]
    );
    assert_eq!(
        of("a.pem", "a.pem"),
        ["5:7 `listen[0].tls.key`: a.pem holds no private key, but \"CERTIFICATE\" in line 1"]
    );
    assert_eq!(
        of("a.pem", "locked.key"),
        ["5:7 `listen[0].tls.key`: locked.key is encrypted, and there is no password for it"]
    );
    assert_eq!(
        of("der.pem", "a.key"),
        ["4:15 `listen[0].tls.certificate`: der.pem holds no certificate, but is no PEM"]
    );
    assert_eq!(
        of("none.pem", "a.key"),
        [
            "4:15 `listen[0].tls.certificate`: none.pem cannot be read: No such file or directory (os error 2)"
        ]
    );
    assert!(of("cut.pem", "a.key")[0].contains("cut.pem is malformed PEM: missing section end"));
    assert!(of("old.pem", "old.key")[0].contains("old.pem has expired "));
    assert_eq!(
        of("nameless.pem", "nameless.key"),
        [
            "4:15 `listen[0].tls.certificate`: nameless.pem names no host (no subject alternative name): clients refuse it"
        ]
    );
    let second = "certificates = [\n{ certificate = \"@a.pem\", key = \"@a.key\" },\n\
                  { certificate = \"@b.pem\", key = \"@a.key\" },\n]\nclient_ca = \"@a.key\"";
    assert_eq!(
        listed(&authority, second),
        [
            "6:48 `listen[0].tls.key`: a.key is not the key of b.pem",
            "8:13 `listen[0].tls.client_ca`: a.key holds no certificate, but \"PRIVATE KEY\" in line 1"
        ]
    );
}
