//! Commands say in words what the client library knows, and are not content where nothing works.

use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr, Command, Stdio};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, from_str};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{Broker, PATIENCE, Proxy, Purger, command, until};

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
    let is_handshake = said.contains("SSL handshake failed") || said.contains("SSL_HANDSHAKE");
    assert!(is_handshake && said.contains("kafka.security"), "{said}");
}

#[tokio::test]
async fn send_refuses_an_event_that_would_not_be_purged() {
    let broker = Broker::start(1);
    let hosts = "hosts = [\"site.test\"]";
    for (settings, arguments, exit, why) in [
        ("", &["--all"][..], 77, "may_purge_all"),
        ("", &["--prefix", "/"], 77, "may_purge_all"),
        (hosts, &["--host", "other.test"], 1, "purger.hosts"),
        (hosts, &["--host", "site.test", "--url", "http://other.test/a"], 1, "other.test/a"),
        ("may_purge_hard = []", &["--tag", "a"], 77, "may_purge_hard"),
    ] {
        let arguments = [&["--wait"], arguments].concat();
        let (code, said) = command(&broker, &[], settings, "send", &arguments).await;
        assert_eq!(code, exit, "{arguments:?}: {said}");
        assert!(said.contains("not sent") && said.contains(why), "{arguments:?}: {said}");
    }
    let after = broker.purge(0, "after").await;
    assert_eq!(after, 0, "nothing was sent");
}

#[tokio::test]
async fn send_is_done_when_proxies_have_reported_their_purges() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let receipts = "receipts = \"receipts\"";
    let _purger = Purger::start(&broker, &[&proxy], receipts).await;
    until("adopted", || proxy.starts().len() == 1).await;
    let send = ["--tag", "a", "--wait"];
    let (code, said) = command(&broker, &[proxy.url()], receipts, "send", &send).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("produced in") && said.contains("2 responses"), "{said}");
}

#[tokio::test]
async fn send_never_reports_success_for_an_event_that_is_given_up() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let strict = "receipts = \"receipts\"\nmay_purge_hard = []\nsites = [\"own\"]";
    let _purger = Purger::start(&broker, &[&proxy], strict).await;
    until("adopted", || proxy.starts().len() == 1).await;
    // This configuration allows more than the purger's.
    let here = "receipts = \"receipts\"";
    let send = ["--tag", "a", "--wait"];
    let (code, said) = command(&broker, &[proxy.url()], here, "send", &send).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("dead letter") && said.contains("may_purge_hard"), "{said}");
    let send = ["--site", "other", "--soft", "--wait", "--timeout", "2s"];
    let (code, said) = command(&broker, &[proxy.url()], here, "send", &send).await;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("no receipt"), "{said}");
}

#[tokio::test]
async fn a_signal_right_after_the_announcement_is_handled() {
    let broker = Broker::start(1);
    let url = Proxy::start().url();
    for (signals, code) in [
        (&[Signal::TERM][..], 0),
        (&[Signal::INT], 0),
        (&[Signal::HUP, Signal::TERM], 0),
        (&[Signal::USR1, Signal::TERM], 0),
        (&[Signal::QUIT], 131),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac-purger"));
        command.args(["run", "--broker", &broker.address(), "--target", &url]);
        command.args(["--admin", "127.0.0.1:0"]).stderr(Stdio::piped());
        let run = move || {
            let mut program = command.spawn().unwrap();
            let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
            lines.find(|line| line.as_ref().unwrap().starts_with("  admin")).unwrap().unwrap();
            let pid = Pid::from_child(&program);
            for signal in signals {
                kill_process(pid, *signal).unwrap();
            }
            lines.for_each(drop);
            program.wait().unwrap().code()
        };
        let ended = tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(ended, Some(code), "{signals:?}");
    }
}

#[tokio::test]
async fn a_service_manager_is_told_of_start_life_and_end() {
    let broker = Broker::start(1);
    let url = Proxy::start().url();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shellac-purger"));
    command.args(["run", "--broker", &broker.address(), "--target", &url]);
    command.args(["--admin", "127.0.0.1:0"]).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let run = move || {
        let hears = |start: &str| loop {
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("nobody says {start}"));
            if buffer[..length].starts_with(start.as_bytes()) {
                return;
            }
        };
        let mut program = command.spawn().unwrap();
        hears("READY=1\nSTATUS=consuming and delivering\n");
        hears("WATCHDOG=1\n");
        kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
        hears("STOPPING=1\n");
        program.wait().unwrap().code()
    };
    assert_eq!(tokio::task::spawn_blocking(run).await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_purger_without_proxies_is_not_ready() {
    let broker = Broker::start(1);
    let purger = Purger::start(&broker, &[], "").await;
    until_not_ready(&purger, "there is no proxy").await;
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "group = \"other\"").await;
    until("adopted", || proxy.starts().len() == 1).await;
    until_ready(&purger).await;
}

/// Log collectors parse each line.
#[tokio::test]
async fn with_the_format_json_every_line_of_the_purger_is_json() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    let text = "[log]\nformat = \"json\"\n[kafka]\nbrokers = [\"127.0.0.1:1\"]\n\
        [purger.targets]\nurls = [\"http://127.0.0.1:1\"]\n";
    std::fs::write(&config, text).unwrap();
    let run = |admin: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac-purger"));
        command.arg("run").arg("--config").arg(&config).args(["--admin", admin]);
        Running(command.stderr(Stdio::piped()).spawn().unwrap())
    };
    let mut first = run("127.0.0.1:0");
    let (events, _open) = events_until(&mut first, "admin").await;
    for label in ["kafka", "topics", "proxy", "admin"] {
        assert!(events.iter().any(|event| event["message"] == label), "{label} in {events:?}");
    }
    let url = events.last().unwrap()["value"].as_str().unwrap();
    let mut second = run(url.split('/').nth(2).unwrap());
    let (events, _open) = events_until(&mut second, "shellac-purger cannot run").await;
    assert!(events.last().unwrap()["error"].is_string(), "{events:?}");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = (self.0.kill(), self.0.wait());
    }
}

/// Events that may wait for the test to look at them.
const EVENTS: usize = 1000;

/// Reads a program's log up to an event, and keeps the log open.
async fn events_until(
    program: &mut Running,
    message: &'static str,
) -> (Vec<Value>, Lines<BufReader<ChildStderr>>) {
    let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    let (sender, mut receiver) = mpsc::channel(EVENTS);
    let read = std::thread::spawn(move || {
        loop {
            let line = lines.next().expect("the log goes on").unwrap();
            let event: Value = from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let is_last = event["message"] == message;
            if sender.blocking_send(event).is_err() || is_last {
                return lines;
            }
        }
    });
    let mut events: Vec<Value> = Vec::new();
    while let Some(event) = timeout(PATIENCE, receiver.recv()).await.expect(message) {
        events.push(event);
    }
    (events, read.join().unwrap())
}

async fn until_ready(purger: &Purger) {
    let mut looks = 0;
    while purger.get("/readyz").await.0 != 200 {
        looks += 1;
        assert!(looks < 1000, "{:?}", purger.get("/readyz").await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
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
