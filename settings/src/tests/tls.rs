//! What may be written about TLS, on both sides.

use std::path::PathBuf;

use super::{Config, Flags, Sources, load, load_with, with};
use crate::{ClientCertificate, Http2, ServerAddress, TlsVersion};

fn messages(text: &str) -> Vec<String> {
    let problems = match load_with(text, &[]) {
        Ok(config) => config.warnings,
        Err(errors) => errors.problems().to_vec(),
    };
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_listener_with_a_certificate_speaks_tls_and_http2_by_alpn() {
    let config =
        load_with("[[listen]]\n[listen.tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n", &[]);
    let listen = config.unwrap().listen.remove(0);
    let tls = listen.tls.unwrap();
    assert_eq!(listen.http2, Http2::Alpn);
    assert_eq!(tls.certificates[0].key, PathBuf::from("a.key"));
    assert_eq!(
        (tls.min_version, tls.client_ca, tls.client_certificate),
        (TlsVersion::Tls12, None, ClientCertificate::Required)
    );
    assert!(load_with("[[listen]]\n[listen.tls]\ncertificate = \"\"\n", &[]).is_ok());
}

#[test]
fn what_a_listener_lacks_is_told() {
    let of = |tls: &str| messages(&format!("[[listen]]\n{tls}\n"));
    let pair = "certificate = \"a.pem\"\nkey = \"a.key\"";
    assert_eq!(of("[listen.tls]"), ["`listen[0].tls.certificate` is missing"]);
    assert_eq!(of("[listen.tls]\ncertificate = \"a.pem\""), ["`listen[0].tls.key` is missing"]);
    assert_eq!(
        of("[listen.tls]\ncertificate = \"\"\nclient_ca = \"ca.pem\""),
        ["`listen[0].tls.certificate` is missing"]
    );
    assert_eq!(
        of("[listen.tls]\ncertificates = [{ key = \"a.key\" }]"),
        ["`listen[0].tls.certificates[0].certificate` is missing"]
    );
    assert_eq!(
        of(&format!("[listen.tls]\n{pair}\ncertificates = [{{ {} }}]", pair.replace('\n', ", "))),
        ["`listen[0].tls.certificate` and `certificates` are both set"]
    );
    assert_eq!(
        of(&format!("http2 = \"cleartext\"\n[listen.tls]\n{pair}")),
        ["`listen[0].http2` is \"cleartext\" on a listener with TLS"]
    );
    assert_eq!(of("http2 = \"alpn\""), ["`listen[0].http2` is \"alpn\" on a listener without TLS"]);
    assert_eq!(
        of(&format!("[listen.tls]\n{pair}\nmin_version = \"1.1\"")),
        ["`listen[0].tls.min_version` must be one of \"1.2\", \"1.3\""]
    );
}

#[test]
fn an_https_origin_verifies_its_servers_unless_told_not_to() {
    let of = |text: &str| {
        load(&format!("[origin.app]\nservers = [\"app:443\"]\n{text}")).map(|config| {
            let origin = config.origins.into_iter().next().unwrap();
            (origin.tls, config.warnings.len())
        })
    };
    assert_eq!(of("").unwrap(), (None, 0));
    let (tls, warnings) = of("scheme = \"https\"").unwrap();
    let tls = tls.unwrap();
    assert_eq!((tls.dangerously_accept_any_certificate, tls.ca, warnings), (false, None, 0));
    let (tls, _) =
        of("scheme = \"https\"\n[origin.app.tls]\nserver_name = \"App.test.\"\n").unwrap();
    assert_eq!(tls.unwrap().server_name.as_deref(), Some("app.test"));

    let blind = "[origin.app.tls]\ndangerously_accept_any_certificate = true\n";
    let (tls, warnings) = of(&format!("scheme = \"https\"\n{blind}")).unwrap();
    assert!(tls.unwrap().dangerously_accept_any_certificate);
    assert_eq!(warnings, 1);
    assert_eq!(of(blind).unwrap(), (None, 1), "of no effect");
    assert!(of(&format!("scheme = \"https\"\n{blind}ca = \"ca.pem\"")).is_err());
    assert!(of("scheme = \"https\"\n[origin.app.tls]\nkey = \"a.key\"").is_err());
    for wrong in ["https://app", "app:443", "a b"] {
        let tls = format!("scheme = \"https\"\n[origin.app.tls]\nserver_name = \"{wrong}\"");
        assert!(of(&tls).is_err(), "{wrong}");
    }
}

#[test]
fn a_unix_socket_has_no_name_to_verify() {
    let unix = "[origin.app]\nservers = [\"unix:/run/app.sock\"]\nscheme = \"https\"\n";
    let errors = load(unix).unwrap_err();
    let message = errors.problems()[0].to_string();
    assert_eq!(message, "`origin.app.scheme` needs `server_name` for Unix sockets");
    assert!(load(&format!("{unix}[origin.app.tls]\nserver_name = \"app.test\"\n")).is_ok());
}

#[test]
fn an_origin_on_the_command_line_may_be_a_url() {
    let of = |url: &str| {
        let flags = Flags { origin: Some(url.to_owned()), ..Flags::default() };
        let config = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
        let origin = config.origins.into_iter().next().unwrap();
        let ServerAddress::Host(server) = &origin.servers[0].address else { panic!("{origin:?}") };
        (server.to_string(), origin.tls.is_some())
    };
    assert_eq!(of("https://app.test"), ("app.test:443".to_owned(), true));
    assert_eq!(of("https://[::1]/"), ("[::1]:443".to_owned(), true));
    assert_eq!(of("https://app.test:8443/"), ("app.test:8443".to_owned(), true));
    assert_eq!(of("http://app.test:80"), ("app.test:80".to_owned(), false));
    let flags = Flags { origin: Some("http://a:1".to_owned()), ..Flags::default() };
    let config = Config::load(&with("scheme = \"https\"\n", &[], flags)).unwrap();
    assert_eq!(config.origins[0].tls, None);
}
