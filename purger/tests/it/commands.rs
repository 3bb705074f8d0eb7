//! Commands say in words what the client library knows, and are not content where nothing works.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::support::{Broker, Proxy, Purger, command, until};

#[tokio::test]
async fn status_is_not_content_with_a_missing_topic() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let missing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    broker.cluster.topic_error("purge", missing).unwrap();
    let (code, said) = command(&broker, &[proxy.url()], "", "status", &[]).await;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("topic purge does not exist"), "{said}");
}

#[tokio::test]
async fn check_says_which_right_is_missing() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let (code, said) = command(&broker, &[proxy.url()], "", "check", &[]).await;
    assert_eq!(code, 0, "{said}");
    let group = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    broker.cluster.request_errors(RDKafkaApiKey::FindCoordinator, &[group; 200]);
    let (code, said) = command(&broker, &[proxy.url()], "", "check", &[]).await;
    broker.cluster.clear_request_errors(RDKafkaApiKey::FindCoordinator);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("give the purger's user READ on this group"), "{said}");
    let topic = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    broker.cluster.topic_error("purge", topic).unwrap();
    let (code, said) = command(&broker, &[proxy.url()], "", "check", &[]).await;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("topic purge: not allowed"), "{said}");
}

#[tokio::test]
async fn check_says_why_tls_fails() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let more = "[kafka]\nsecurity = \"ssl\"";
    let (code, said) = command(&broker, &[proxy.url()], more, "check", &[]).await;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("SSL handshake failed") && said.contains("kafka.security"), "{said}");
}

#[tokio::test]
async fn a_purger_without_proxies_is_not_ready() {
    let broker = Broker::start(1);
    let purger = Purger::start(&broker, &[], "").await;
    until_not_ready(&purger, "there is no proxy").await;
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "group = \"other\"").await;
    until("adopted", || proxy.starts().len() == 1).await;
    assert_eq!(purger.get("/readyz").await.0, 200);
}

async fn until_not_ready(purger: &Purger, why: &str) {
    let mut looks = 0;
    loop {
        let (status, body) = purger.get("/readyz").await;
        assert_eq!(status, 503, "{body}");
        if body.contains(why) {
            return;
        }
        looks += 1;
        assert!(looks < 1000, "{body}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
