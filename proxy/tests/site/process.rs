//! The program as an operator sees it: exit codes, sentences, signals.

use http::StatusCode;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::shellac::{configuration, run};
use crate::support::{PATIENCE, Renderer, Shellac};

#[tokio::test]
async fn what_is_in_flight_at_sigterm_is_completed_and_nobody_else_is_let_in() {
    let renderer = Renderer::start();
    let shellac = Shellac::before(renderer.address());
    let (client, traffic) = (shellac.client(), shellac.traffic());
    let visit = tokio::spawn(async move { client.get("/slow?ms=1500&id=last").await });
    let arrived = async { while renderer.count("inFlight").await == 0 {} };
    timeout(PATIENCE, arrived).await.expect("the request reaches the renderer");

    shellac.terminate();

    let refused = async { while TcpStream::connect(traffic).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("new connections are refused");
    let answer = visit.await.expect("the visit has a result");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.shown("ms"), "1500");
    assert_eq!(shellac.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_proxy_ends_at_once_at_sigterm() {
    let shellac = Shellac::before(Renderer::shared().address());
    shellac.client().get("/healthz").await;
    shellac.terminate();
    assert_eq!(shellac.ended().await.code(), Some(0));
}

#[test]
fn a_sound_configuration_is_checked_with_exit_code_0() {
    let output = run(&["check", "--config", "FILE"], &configuration(ORIGIN, "", ""));
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.is_empty(), "it says what would be served");
}

#[test]
fn a_wrong_configuration_is_refused_with_exit_code_78_and_all_its_problems() {
    let wrong = configuration(ORIGIN, "retires = 1", "[cache]\ndefault_ttl = \"10 parsecs\"");
    for command in ["check", "run"] {
        let output = run(&[command, "--config", "FILE"], &wrong);
        assert_eq!(output.status.code(), Some(78), "shellac {command}");
        let said = String::from_utf8_lossy(&output.stderr);
        for part in ["retires", "retries", "default_ttl", "10 parsecs", "shellac.toml"] {
            assert!(said.contains(part), "shellac {command} does not say {part:?}:\n{said}");
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_told_in_a_sentence_with_exit_code_74() {
    let shellac = Shellac::before(ORIGIN);
    let address = shellac.traffic().to_string();
    let output =
        run(&["run", "--config", "FILE", "--listen", &address], &configuration(ORIGIN, "", ""));
    assert_eq!(output.status.code(), Some(74));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}

#[test]
fn a_purge_without_a_proxy_has_exit_code_69() {
    // Port 1 is not ours to listen on, and nobody does.
    let output = run(&["purge", "--all", "--yes", "--admin", "127.0.0.1:1"], "");
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.0.1:1"));
}

/// An origin that is never asked.
const ORIGIN: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
