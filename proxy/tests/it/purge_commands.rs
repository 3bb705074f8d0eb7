//! What an operator of the program reads of purges and failures: commands, and lines of its log.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::client::Connection;
use crate::support::in_time;
use crate::support::origin::{Origin, cacheable};
use crate::support::program::Program;
use crate::support::proxy::request;

fn settings(server: &str) -> String {
    format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
         [origin.app]\nservers = [\"{server}\"]\n[storage.memory]\ncapacity = \"64MiB\"\n\
         [purge]\nallow = [\"127.0.0.0/8\"]\n"
    )
}

async fn ask(program: &Program, method: &str, path: &str) -> u16 {
    let mut client = Connection::open(program.traffic).await;
    let fields = [("Host", "h"), ("Connection", "close")];
    client.send(request(method, path, &fields, "")).await;
    in_time("an answer", client.answer()).await.status()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the lines of the log with this message, as JSON.
fn lines(program: &Program, message: &str) -> Vec<Value> {
    let said = program.said();
    let all = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn purges_are_watched_from_the_last_ones_on() {
    let origin = Origin::start().await;
    let program = Program::start(&settings(&origin.address.to_string()), &[]).await;
    for tag in ["one", "two"] {
        program.command(&["purge", "--tag", tag]).await;
    }
    let watched = program.command(&["purges", "--watch", "--limit", "1", "-n", "2", "--json"]);
    // Whenever one is carried out, it comes once: in the list, or as it comes.
    let purging = async {
        loop {
            program.command(&["purge", "--tag", "three", "--soft"]).await;
        }
    };
    let watched = tokio::select! {
        watched = watched => watched,
        () = purging => unreachable!("it goes on"),
    };

    assert_eq!(watched.status.code(), Some(0), "{watched:?}");
    let text = text(&watched);
    let shown: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<u64> = shown.iter().map(|purge| purge["id"].as_u64().unwrap()).collect();
    assert_eq!(ids[1], ids[0] + 1, "none is missing, none comes twice: {text}");
    assert_eq!((ids.len(), &shown[0]["client"]), (2, &"127.0.0.1".into()));
}

#[tokio::test]
async fn a_dry_run_says_how_many_a_purge_would_hit() {
    let origin = Origin::start().await;
    origin.on("/p", cacheable("hello").field("cache-tag", "t"));
    let program = Program::start(&settings(&origin.address.to_string()), &[]).await;
    assert_eq!(ask(&program, "GET", "/p").await, 200);

    let purge = ["purge", "--tag", "t", "--url", "http://H/p", "--dry-run"];
    let trial = program.command(&purge).await;
    let again = program.command(&purge).await;
    let wrong = program.command(&["purge", "--url", "p", "--dry-run"]).await;

    let expected = "         1  tag t\n         1  url http://H/p, which is //h/p\n         1  stored responses would be purged\n";
    assert_eq!([text(&trial), text(&again)], [expected, expected]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(lines(&program, "purged").is_empty(), "nothing was");
}

/// A topic that was renamed keeps a proxy degraded until it is forgotten.
#[tokio::test]
async fn a_topic_without_a_purger_is_forgotten_by_a_command() {
    let origin = Origin::start().await;
    let program = Program::start(&settings(&origin.address.to_string()), &[]).await;
    let mut client = Connection::open(program.admin).await;
    for (topic, clean_ms) in [("new", 0), ("old", 60_000)] {
        let batch = json!({
            "log": {"cluster": "c", "topic": topic, "partition": 0}, "partitions": 1, "from": 7, "to": 7,
            "start": "adopt", "clean_ms": clean_ms, "purger": "p", "purges": [],
        });
        client.send(request("POST", "/api/v1/log", &[], &batch.to_string())).await;
        assert_eq!(in_time("an answer", client.answer()).await.status(), 200);
    }
    for (topic, code, said) in [
        ("new", 2, "take it out of `purger.topics`"),
        ("none", 1, "there is no position in this topic"),
        ("a b", 2, "the name of a Kafka topic"),
        ("old", 0, "forgot old (partitions: 1)"),
        ("old", 1, "there is no position in this topic"),
    ] {
        let output = program.command(&["purges", "forget", topic]).await;
        let all = text(&output) + &String::from_utf8_lossy(&output.stderr);
        assert!(all.contains(said), "{topic}: {all}");
        assert_eq!(output.status.code(), Some(code), "{topic}: {all}");
    }
}

#[tokio::test]
async fn an_object_that_is_not_stored_is_the_answer_no() {
    let origin = Origin::start().await;
    let program = Program::start(&settings(&origin.address.to_string()), &[]).await;
    let output = program.command(&["objects", "show", "http://h/none"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nothing is stored of http://h/none"), "{said}");
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(1), ""));
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let origin = Origin::start().await;
    let program = Program::start(&settings(&origin.address.to_string()), &[]).await;
    program.command(&["purge", "--tag", "t"]).await;
    for arguments in [
        &["top", "--json"][..],
        &["top", "--once"],
        &["stats"],
        &["stats", "--watch"],
        &["purges"],
        &["purges", "--watch"],
        &["origins"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program.command_into(arguments, writer.into()).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn a_line_says_who_purged_what() {
    let origin = Origin::start().await;
    let program = Program::start(&settings(&origin.address.to_string()), &[]).await;
    program.command(&["purge", "--tag", "t"]).await;
    assert_eq!(ask(&program, "PURGE", "/p").await, 200);
    let batch = r#"{"log":{"cluster":"c","topic":"purges","partition":3},"partitions":4,"from":7,"to":9,
        "start":"adopt","purger":"p","purges":[{"offset":7,"tags":["a"]},{"offset":8,"tags":["b"]}]}"#;
    let mut client = Connection::open(program.admin).await;
    client.send(request("POST", "/api/v1/log", &[("Connection", "close")], batch)).await;
    let answer = in_time("an answer", client.answer()).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());

    program.says("\"source\":\"kafka\"").await;
    let [by_command, by_method, by_kafka] = &lines(&program, "purged")[..] else {
        panic!("{}", program.said())
    };
    assert_eq!(
        (&by_command["source"], &by_command["client"]),
        (&"admin".into(), &"127.0.0.1".into())
    );
    assert_eq!((&by_method["source"], &by_method["client"]), (&"http".into(), &"127.0.0.1".into()));
    assert_eq!(by_command["named"], "tag t");
    let place = ["topic", "partition", "from", "to"].map(|field| by_kafka[field].clone());
    assert_eq!(place, ["purges".into(), Value::from(3), 7.into(), 8.into()]);
    assert_eq!(by_kafka["named"], "tag a, and more");
}

#[tokio::test]
async fn a_failure_of_the_origin_is_one_line() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let program = Program::start(&settings(&address.to_string()), &[]).await;
    for _ in 0..3 {
        assert_eq!(ask(&program, "GET", "/p").await, 502);
    }
    program.says("the origin does not answer").await;
    let said = program.said();
    let of_requests: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("\"WARN\"") && line.contains("connect_refused"))
        .collect();
    assert_eq!(of_requests.len(), 1, "{said}");
    assert!(of_requests[0].contains("\"origin\":\"app\""), "{said}");
}

#[tokio::test]
async fn a_purge_is_as_hard_as_the_settings_say_unless_a_flag_says_it() {
    let origin = Origin::start().await;
    let settings = settings(&origin.address.to_string()) + "default_mode = \"soft\"\n";
    let program = Program::start(&settings, &[]).await;
    for (flags, done) in [
        (&[][..], "stored responses made stale"),
        (&["--hard"], "stored responses purged"),
        (&["--soft"], "stored responses made stale"),
    ] {
        let purged = program.command(&[&["purge", "--tag", "a"], flags].concat()).await;
        assert!(text(&purged).contains(done), "{flags:?}: {purged:?}");
    }
}

#[tokio::test]
async fn everything_is_purged_only_if_that_is_confirmed() {
    let origin = Origin::start().await;
    let program = Program::start(&settings(&origin.address.to_string()), &[]).await;
    for (flags, code) in [(&[][..], 2), (&["--dry-run"], 0), (&["--yes"], 0)] {
        let purged = program.command(&[&["purge", "--all"], flags].concat()).await;
        assert_eq!(purged.status.code(), Some(code), "{flags:?}: {purged:?}");
    }
}
