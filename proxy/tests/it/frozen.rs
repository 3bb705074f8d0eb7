//! A process that was stopped and goes on: a virtual machine that was paused, a debugger, SIGSTOP.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::client::Connection;
use crate::support::origin::{Origin, cacheable, not_modified};
use crate::support::program::Program;
use crate::support::proxy::request;
use crate::support::{join_all, until};

/// Purges may have passed meanwhile. The clients' requests wait for the process, which answers them
/// before all of its threads run again.
#[tokio::test]
async fn no_response_is_used_when_its_lease_ran_out_while_the_process_was_stopped() {
    let origin = Origin::start().await;
    origin.script("/a", |received| match received.head.field("if-none-match") {
        Some(_) => not_modified(),
        None => cacheable("page").field("etag", "\"a\""),
    });
    let settings = format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
         [origin.app]\nservers = [\"{}\"]\n[storage.memory]\ncapacity = \"64MiB\"\n\
         [purge.log]\nlease = \"3s\"\non_expiry = \"validate\"\n",
        origin.address
    );
    let program = Program::start(&settings, &[]).await;
    deliver(&program, Some("adopt")).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Connection::open(program.traffic).await;
        client.send(request("GET", "/a", &[], "")).await;
        assert_eq!(client.answer().await.status(), 200);
        clients.push(client);
    }
    for _ in 0..ROUNDS {
        deliver(&program, None).await;
        for client in &mut clients {
            client.send(request("GET", "/a", &[], "")).await;
            assert!(client.answer().await.is_hit());
        }
        program.signal(Signal::STOP);
        until("all of its threads have stopped", || is_stopped(&program)).await;
        for client in &mut clients {
            client.send(request("GET", "/a", &[], "")).await;
        }
        tokio::time::sleep(LEASE + Duration::from_millis(100)).await; // the time is the test
        program.signal(Signal::CONT);
        let answers = join_all(clients.into_iter().map(async |mut client| {
            let answer = client.answer().await;
            (client, answer)
        }));
        clients = Vec::new();
        for (client, answer) in answers.await {
            assert!(!answer.is_hit(), "{}", answer.cache_status());
            clients.push(client);
        }
    }
}

fn is_stopped(program: &Program) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap();
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T "))
    })
}

/// Sets the proxy's position in the purge log, and renews the lease.
async fn deliver(program: &Program, start: Option<&str>) {
    let batch = json!({
        "log": {"cluster": "c", "topic": "t", "partition": 0}, "partitions": 1,
        "from": 0, "to": 0, "clean_ms": 0, "purger": "p-1", "purges": [], "start": start,
    });
    let mut admin = Connection::open(program.admin).await;
    let fields = [("Content-Type", "application/json"), ("Connection", "close")];
    let batch = batch.to_string();
    admin.send(request("POST", "/api/v1/log", &fields, &batch)).await;
    let answer = admin.answer().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

const LEASE: Duration = Duration::from_secs(3);
const CLIENTS: usize = 16;
const ROUNDS: usize = 2;
