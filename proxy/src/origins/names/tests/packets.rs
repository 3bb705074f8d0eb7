//! The resolver against a name server over real packets.

use std::time::Duration;

use hickory_resolver::proto::rr::RecordType;
use settings::{AddressFamily, DnsSettings};
use tokio::time::Instant;

use super::dns_server::{DnsServer, Manner};
use crate::origins::names::answer::{FoundRecords, Missing};
use crate::origins::names::keeper::{KindPatience, NameLookup as _};
use crate::origins::names::resolver::Resolver;
use crate::origins::names::{NoAnswer, Question, Records, ServiceRecord};

fn patience() -> KindPatience {
    let until = Instant::now() + DnsSettings::default().timeout;
    KindPatience { after_first: Duration::from_millis(50), until }
}

fn dns(server: &DnsServer) -> DnsSettings {
    DnsSettings { servers: vec![server.address], ..DnsSettings::default() }
}

async fn look_up(server: &DnsServer, name: &str) -> Result<FoundRecords, NoAnswer> {
    let question = Question::Addresses(name.to_owned());
    Resolver::default().look_up(&question, &dns(server), patience()).await
}

fn addresses(texts: &[&str]) -> Records {
    Records::Addresses(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[tokio::test]
async fn both_kinds_of_addresses_are_looked_up_together() {
    let server = DnsServer::start().await;
    server.set("app.test", 7, &["10.0.0.1", "10.0.0.2", "fd00::1"]);

    let found = look_up(&server, "app.test").await.unwrap();
    assert!(found.records.is_same_set(&addresses(&["fd00::1", "10.0.0.1", "10.0.0.2"])));
    let Records::Addresses(all) = &found.records else { panic!("no addresses") };
    assert!(all[0].is_ipv6());
    assert_eq!((found.ttl, found.missing), (Duration::from_secs(7), None));
}

#[tokio::test]
async fn only_the_wanted_kind_is_asked_for() {
    let server = DnsServer::start().await;
    server.set("app.test", 7, &["10.0.0.1", "fd00::1"]);
    for (family, address, kind) in [
        (AddressFamily::Ipv4, "10.0.0.1", RecordType::A),
        (AddressFamily::Ipv6, "fd00::1", RecordType::AAAA),
    ] {
        let asked = server.questions().len();
        let question = Question::Addresses("app.test".to_owned());
        let dns = DnsSettings { family, ..dns(&server) };
        let found = Resolver::default().look_up(&question, &dns, patience()).await.unwrap();
        assert_eq!((found.records, found.missing), (addresses(&[address]), None));
        assert!(server.questions()[asked..].iter().all(|(_, of)| *of == kind));
    }
}

#[tokio::test]
async fn an_alias_is_followed_and_holds_no_longer_than_itself() {
    let server = DnsServer::start().await;
    server.set_alias("www.test", 3, "app.test.");
    server.set("app.test", 600, &["10.0.0.1"]);

    let found = look_up(&server, "www.test").await.unwrap();
    assert_eq!((found.records, found.ttl), (addresses(&["10.0.0.1"]), Duration::from_secs(3)));
}

#[tokio::test]
async fn a_name_that_does_not_exist_differs_from_one_without_addresses() {
    let server = DnsServer::start().await;
    server.set_services("app.test", 1, &[(0, 0, 80, "a.test.")]);

    assert_eq!(look_up(&server, "none.test").await, Err(NoAnswer::NoName));
    assert_eq!(look_up(&server, "app.test").await, Err(NoAnswer::NoRecords));
}

#[tokio::test]
async fn a_name_that_was_taken_away_is_known_to_be_gone() {
    let server = DnsServer::start().await;
    server.set("app.test", 1, &["10.0.0.1"]);
    server.behave(Manner::AnswersAfter(Duration::from_millis(20)));

    assert!(look_up(&server, "app.test").await.is_ok());
    server.remove("app.test");
    assert_eq!(look_up(&server, "app.test").await, Err(NoAnswer::NoName));
}

#[tokio::test]
async fn a_failing_server_is_no_proof_that_a_name_is_gone() {
    let server = DnsServer::start().await;
    server.set("app.test", 1, &["10.0.0.1"]);
    server.behave(Manner::Fails);

    let failure = look_up(&server, "app.test").await.unwrap_err();
    assert!(!failure.is_negative() && failure.to_string().contains("SERVFAIL"), "{failure}");
}

#[tokio::test]
async fn a_long_answer_comes_over_tcp() {
    let server = DnsServer::start().await;
    server.set("app.test", 1, &["10.0.0.1"]);
    server.behave(Manner::Truncates);

    let found = look_up(&server, "app.test").await.unwrap();
    assert_eq!(found.records, addresses(&["10.0.0.1"]));
}

#[tokio::test]
async fn a_kind_that_is_never_answered_delays_the_other_a_little() {
    let server = DnsServer::start().await;
    server.set("app.test", 60, &["10.0.0.1", "fd00::1"]);
    server.swallow(RecordType::AAAA);

    let start = Instant::now();
    let found = look_up(&server, "app.test").await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(found.records, addresses(&["10.0.0.1"]));
    assert_eq!(found.missing, Some(Missing::Ipv6));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_on() {
    let server = DnsServer::start().await;
    server.behave(Manner::Swallows);
    let dns = DnsSettings { timeout: Duration::from_millis(200), ..dns(&server) };

    let question = Question::Addresses("app.test".to_owned());
    let lookup = Resolver::default();
    let start = Instant::now();
    let failure = lookup.look_up(&question, &dns, patience()).await.unwrap_err();
    assert!(!failure.is_negative(), "{failure}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn services_have_hosts_ports_priorities_and_weights() {
    let server = DnsServer::start().await;
    let services = [(1, 5, 8080, "a.test."), (2, 0, 8081, "b.test."), (0, 0, 0, ".")];
    server.set_services("_http._tcp.app.test", 9, &services);

    let question = Question::Services("_http._tcp.app.test".to_owned());
    let found = Resolver::default().look_up(&question, &dns(&server), patience()).await.unwrap();
    let record = |priority, weight, target: &str, port| ServiceRecord {
        priority,
        weight,
        target: target.to_owned(),
        port,
    };
    let expected = vec![record(1, 5, "a.test.", 8080), record(2, 0, "b.test.", 8081)];
    assert!(found.records.is_same_set(&Records::Services(expected)), "{}", found.records);
    assert_eq!(found.ttl, Duration::from_secs(9));
}

#[tokio::test]
async fn a_service_that_is_said_to_be_absent_has_no_records() {
    let server = DnsServer::start().await;
    server.set_services("_http._tcp.app.test", 9, &[(0, 0, 0, ".")]);

    let question = Question::Services("_http._tcp.app.test".to_owned());
    let failure = Resolver::default().look_up(&question, &dns(&server), patience()).await;
    assert_eq!(failure, Err(NoAnswer::NoRecords));
}

#[tokio::test]
async fn names_with_underscores_are_names() {
    let server = DnsServer::start().await;
    server.set("my_app", 9, &["10.0.0.1"]);

    assert!(look_up(&server, "my_app").await.is_ok());
}

#[tokio::test]
async fn other_name_servers_are_asked_from_the_next_look_up_on() {
    let (one, other) = (DnsServer::start().await, DnsServer::start().await);
    one.set("app.test", 1, &["10.0.0.1"]);
    other.set("app.test", 1, &["10.0.0.2"]);
    let resolver = Resolver::default();
    let question = Question::Addresses("app.test".to_owned());

    for (server, address) in [(&one, "10.0.0.1"), (&other, "10.0.0.2"), (&one, "10.0.0.1")] {
        let found = resolver.look_up(&question, &dns(server), patience()).await.unwrap();
        assert_eq!(found.records, addresses(&[address]));
    }
}
