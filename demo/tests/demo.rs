//! `shellac-purger demo` as a user runs it: the whole story, and an end at Ctrl-C that leaves
//! nothing behind.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::net::TcpStream;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const DEMO: &str = env!("CARGO_BIN_EXE_shellac-demo");

#[test]
fn the_whole_story_turns_out_as_it_must() {
    let output = Command::new(DEMO)
        .args(["demo", "--for", "3s", "--json", "--pages", "200"])
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["ok"], true, "{document:#}");
    assert_eq!(document["complete"], true, "{document:#}");
    let steps = document["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["join", "cold", "warm", "change", "kafka", "fresh", "race", "crowd", "outage"],
        "{document:#}"
    );
    assert!(steps.iter().all(|step| step["ok"] == true), "{document:#}");
    assert_eq!(steps[4]["measured"]["purged"], 1);
    assert_eq!(steps[4]["measured"]["proxies"], 1);
    assert!(steps[4]["measured"]["took_ms"].as_f64().unwrap() > 0.0, "{document:#}");
    assert_eq!(steps[6]["measured"]["renders"], 2, "one before the purge, one after it");
    assert_eq!(steps[7]["measured"]["requests"], 200);
    assert_eq!(steps[7]["measured"]["origin_requests"], 1);
    let traffic = &document["traffic"];
    assert!(traffic["requests"].as_u64().unwrap() > 200, "{document:#}");
    assert!(traffic["purges"].as_u64().unwrap() > 0, "{document:#}");
    assert_eq!(traffic["purge_ms"]["count"], traffic["purges"], "{document:#}");
    assert!(traffic["origin_saved_ratio"].as_f64().unwrap() > 0.1, "{document:#}");
    assert_eq!(traffic["outdated_after_purge"], 0, "{document:#}");
    assert_ports_are_closed(&document);
}

#[test]
fn without_traffic_the_story_is_the_same() {
    let output = Command::new(DEMO)
        .args(["demo", "--for", "1ms", "--json", "--no-traffic"])
        .output()
        .unwrap();

    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{document:#}");
    assert_eq!(document["complete"], true, "{document:#}");
    assert_eq!(document["traffic"], Value::Null);
    assert_ports_are_closed(&document);
}

#[test]
fn ctrl_c_ends_the_demonstration_without_remains() {
    let (status, told) = interrupt_after(" cold ");

    assert!(status.success(), "{told}");
}

#[test]
fn ctrl_c_ends_the_demonstration_while_the_purger_joins() {
    let (status, told) = interrupt_after(" purger ");

    assert!(status.success(), "{told}");
    assert!(!told.contains(" join "), "it was to be interrupted before: {told}");
}

/// Interrupts a demonstration after it told a line with this in it; returns how it ended, and all
/// that it told.
#[cfg(test)]
fn interrupt_after(line: &str) -> (ExitStatus, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Command::new(DEMO)
        .arg("demo")
        .current_dir(directory.path())
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap());
    let mut told = String::new();
    while !told.contains(line) {
        assert_ne!(lines.read_line(&mut told).unwrap(), 0, "it ended by itself: {told}");
    }

    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();

    lines.read_to_string(&mut told).unwrap();
    let status = demo.wait().unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "it leaves files behind");
    (status, told)
}

#[cfg(test)]
fn assert_ports_are_closed(document: &Value) {
    for name in ["origin", "proxy", "admin", "kafka", "purger"] {
        let address = document[name].as_str().unwrap().trim_start_matches("http://");
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{name}: {error}");
    }
}
