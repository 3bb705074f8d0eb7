//! Commands that ask a running purger, or nobody.

use crate::support::{Broker, Proxy, Purger, command, until_status};

async fn health(broker: &Broker, arguments: &[&str]) -> (i32, String) {
    command(broker, &[], "", "health", arguments).await
}

#[tokio::test]
async fn a_probe_says_whether_a_purger_is_there_and_whether_it_can_deliver() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until_status(&purger, "the brokers to answer", |status| status.kafka_connected).await;
    let url = purger.url();
    assert_eq!(health(&broker, &["--purger", &url]).await, (0, String::new()));
    let (code, said) = health(&broker, &["--ready", "--purger", &url]).await;
    let ready = purger.get("/readyz").await;
    assert_eq!((code, ready.0), (0, 200), "{said}{}", ready.1);

    let lonely = Purger::start(&broker, &[], "group = \"other\"").await;
    assert_eq!(health(&broker, &["--purger", &lonely.url()]).await.0, 0);
    let (code, said) = health(&broker, &["--ready", "--purger", &lonely.url()]).await;
    assert_eq!(code, 1, "there is no proxy: {said}");
    assert!(said.contains("503"), "{said}");

    let (code, said) = health(&broker, &["--purger", "127.0.0.1:1"]).await;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("no purger answers at http://127.0.0.1:1"), "{said}");
}
