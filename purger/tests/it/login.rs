//! Brokers that ask their clients to log in: whatever works without works with each mechanism, and
//! what is wrong with a login is told with the setting to change.

use crate::support::{Broker, LoginBroker, Proxy, Purger, command, until, until_status};

const USER: &str = "purger";
const SECRET: &str = "c2VjcmV0";

/// Lines of `[kafka]` for a mechanism.
fn settings(mechanism: &str, secret: &str, directory: &std::path::Path) -> String {
    let file = directory.join("token");
    std::fs::write(&file, secret).unwrap();
    let credentials = match mechanism {
        "OAUTHBEARER" => format!("token_file = \"{}\"", file.display()),
        _ => format!("username = \"{USER}\"\npassword = \"{secret}\""),
    };
    format!(
        "[kafka]\nsecurity = \"sasl_plaintext\"\nsasl_mechanism = \"{mechanism}\"\n{credentials}\n"
    )
}

async fn everything_works_with(mechanism: &'static str) {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(1);
    let login = LoginBroker::before(&broker, mechanism, USER, SECRET).await;
    let broker = broker.behind(&login);
    let proxy = Proxy::start();
    let (urls, kafka) = ([proxy.url()], settings(mechanism, SECRET, directory.path()));
    let purger = Purger::start_for(&broker, &urls, &kafka).await;
    until("adopted", || proxy.starts().len() == 1).await;
    let (code, said) =
        command(&broker, &urls, &kafka, "send", &["--tag", "a", "--wait", "--timeout", "50s"])
            .await;
    assert_eq!(code, 0, "{mechanism}: {said}");
    assert!(proxy.has("a"), "{mechanism}");
    broker.write(0, "k", b"no event").await;
    until_status(&purger, "the letter", |status| status.partitions[0].confirmed == 2).await;
    for (name, arguments, content) in [
        ("check", &[][..], "group shellac-purger"),
        ("status", &[], "purge/0"),
        ("tail", &["--from", "earliest", "--once", "--json"], "\"a\""),
        ("dlq", &["list"], "0@0"),
        ("dlq", &["show", "0@0"], "no event"),
        ("dlq", &["retry", "--all"], ""),
        ("replay", &["--from", "earliest", "--dry-run"], "\"a\""),
    ] {
        let (code, said) = command(&broker, &urls, &kafka, name, arguments).await;
        assert_eq!(code, 0, "{mechanism}, {name}: {said}");
        assert!(said.contains(content), "{mechanism}, {name}: {said}");
    }
    assert!(login.logins() > 5, "{mechanism}: {}", login.logins());
    purger.stop().await; // while the broker answers
}

#[tokio::test]
async fn everything_works_with_plain() {
    everything_works_with("PLAIN").await;
}

#[tokio::test]
async fn everything_works_with_scram_sha_256() {
    everything_works_with("SCRAM-SHA-256").await;
}

#[tokio::test]
async fn everything_works_with_scram_sha_512() {
    everything_works_with("SCRAM-SHA-512").await;
}

#[tokio::test]
async fn everything_works_with_oauthbearer() {
    everything_works_with("OAUTHBEARER").await;
}

#[tokio::test]
async fn a_login_that_is_refused_is_told_with_the_setting_to_change() {
    for (of_broker, own, secret, setting) in [
        ("PLAIN", "PLAIN", "wrong", "kafka.password"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256", "wrong", "kafka.password"),
        ("SCRAM-SHA-512", "SCRAM-SHA-512", "wrong", "kafka.password"),
        ("OAUTHBEARER", "OAUTHBEARER", "wrong", "kafka.token_file"),
        ("SCRAM-SHA-512", "PLAIN", SECRET, "kafka.sasl_mechanism"),
        ("PLAIN", "OAUTHBEARER", SECRET, "kafka.sasl_mechanism"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::start(1);
        let login = LoginBroker::before(&broker, of_broker, USER, SECRET).await;
        let broker = broker.behind(&login);
        let proxy = Proxy::start();
        let kafka = settings(own, secret, directory.path());
        let (code, said) = command(&broker, &[proxy.url()], &kafka, "check", &[]).await;
        assert_eq!(code, 69, "{of_broker}, {own}: {said}");
        assert!(said.contains(setting), "{of_broker}, {own}: {said}");
        assert_eq!(login.logins(), 0);
    }
}
