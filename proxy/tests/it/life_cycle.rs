//! The program as an operator and a service manager see it: signals, exit codes, notifications,
//! reloads by command, and nothing that leaks.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::client::Connection;
use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::program::Program;
use crate::support::proxy::request;
use crate::support::{PATIENCE, in_time};

fn settings(origin: &Origin, more: &str) -> String {
    format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
         [origin.app]\nservers = [\"{}\"]\n[storage.memory]\ncapacity = \"64MiB\"\n{more}",
        origin.address
    )
}

/// A program with a request at the origin that is never answered.
async fn held_up(more: &str) -> (Program, Connection, Origin) {
    let origin = Origin::start().await;
    origin.on("/a", ok("never").after(&Gate::closed()));
    let program = Program::start(&settings(&origin, more), &[]).await;
    let mut client = Connection::open(program.traffic).await;
    client.send(request("GET", "/a", &[], "")).await;
    origin.seen("/a", 1).await;
    (program, client, origin)
}

#[tokio::test]
async fn sighup_reloads_and_says_what_became_of_it() {
    let origin = Origin::start().await;
    let program = Program::start(&settings(&origin, ""), &[]).await;
    program.write(&settings(&origin, "[limits]\nmax_headers = 7\n"));
    program.signal(Signal::HUP);
    program.says("limits.max_headers: (default) → 7").await;
    program.says("reload: applied").await;

    program.write(&settings(&origin, "[limits]\nmax_headers = 0\n"));
    program.signal(Signal::HUP);
    program.says("the configuration has a problem: nothing is changed").await;
    program.says("`limits.max_headers`").await;

    program.write(&settings(&origin, "[log]\nlevel = \"error\"\n"));
    program.signal(Signal::HUP);
    let applied = |count: u32| {
        let sample = format!("reloads_total{{outcome=\"applied\"}} {count}\n");
        let admin = program.admin;
        async move {
            let mut client = Connection::open(admin).await;
            client.send(request("GET", "/metrics", &[("Connection", "close")], "")).await;
            client.answer().await.text().contains(&sample)
        }
    };
    in_time("the second reload", async { while !applied(2).await {} }).await;
    // What happens while only errors are logged is not in the log.
    program.write(&settings(&origin, "[log]\nlevel = \"error\"\n[limits]\nmax_headers = 8\n"));
    program.signal(Signal::HUP);
    in_time("the third reload", async { while !applied(3).await {} }).await;
    program.write(&settings(&origin, "[log]\nlevel = \"info\"\n[limits]\nmax_headers = 8\n"));
    program.signal(Signal::HUP);
    program.says("log.level: error → info").await;
    assert!(!program.said().contains("max_headers: (default) → 8"), "{}", program.said());
    program.signal(Signal::USR1);
    program.says("SIGUSR1: no log goes to a file: none is opened again").await;
}

#[tokio::test]
async fn the_command_reload_waits_and_says_why_by_its_exit_code() {
    let origin = Origin::start().await;
    let mut program = Program::start(&settings(&origin, ""), &[]).await;
    program.write(&settings(&origin, "[limits]\nmax_headers = 7\n"));

    let trial = program.command(&["reload", "--dry-run"]).await;
    let done = program.command(&["reload"]).await;
    let again = program.command(&["reload", "--json"]).await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!([&trial, &done, &again].map(|output| output.status.code()), [Some(0); 3]);
    assert!(text(&trial.stdout).contains("would reload 1 setting changed"), "{trial:?}");
    assert!(text(&done.stdout).contains("limits.max_headers: (default) → 7"), "{done:?}");
    let document: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(document["changed"], serde_json::json!([]));

    program.write("nonsense");
    let bad = program.command(&["reload"]).await;
    assert_eq!(bad.status.code(), Some(78), "{bad:?}");
    assert!(text(&bad.stderr).contains("nothing is changed"), "{bad:?}");
    assert!(text(&bad.stderr).contains("╭─["), "the place is shown as `check` shows it: {bad:?}");

    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0));
    assert_eq!(program.command(&["reload"]).await.status.code(), Some(69));
}

#[tokio::test]
async fn the_files_of_unix_sockets_go_with_the_process() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let [traffic, admin] = ["traffic", "admin"].map(|name| folder.path().join(name));
    let unix = |path: &Path| format!("[\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let settings = settings(&origin, "")
        .replace("address = \"127.0.0.1:0\"", &format!("address = {}", unix(&traffic)))
        .replace("listen = [\"127.0.0.1:0\"]", &format!("listen = {}", unix(&admin)));
    let mut program = Program::start(&settings, &[]).await;
    assert!(traffic.exists() && admin.exists());
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0));
    assert!(!traffic.exists() && !admin.exists());
}

#[tokio::test]
async fn the_exit_code_tells_which_signal_cut_the_drain_short() {
    for (signals, code, more) in [
        (&[Signal::TERM, Signal::TERM][..], 143, ""),
        (&[Signal::INT, Signal::INT], 130, ""),
        (&[Signal::TERM, Signal::QUIT], 131, ""),
        (&[Signal::QUIT], 131, ""),
        (&[Signal::TERM], 143, "[limits]\ndrain_timeout = \"50ms\"\n"),
        (&[Signal::INT], 130, "[limits]\ndrain_timeout = \"50ms\"\n"),
    ] {
        let (mut program, _client, _origin) = held_up(more).await;
        for (number, signal) in signals.iter().enumerate() {
            program.signal(*signal);
            if number == 0 && signals.len() > 1 {
                program.says("nobody new is let in").await;
            }
        }
        let status = program.ended().await;
        let seen = (status.code(), status.signal(), status.core_dumped());
        assert_eq!(seen, (Some(code), None, false), "{signals:?}: {}", program.said());
        if signals.contains(&Signal::QUIT) {
            assert!(program.said().contains("\"connections\":1"), "{}", program.said());
        }
    }
}

/// A service manager's socket.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Returns the next message that begins so; others are passed over.
    async fn hears(&self, start: &str) -> String {
        let (socket, start) = (self.0.try_clone().unwrap(), start.to_owned());
        let hear = move || loop {
            let mut buffer = [0; 1024];
            let length = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("nobody says {start}"));
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.starts_with(&start) {
                return message;
            }
        };
        tokio::task::spawn_blocking(hear).await.unwrap()
    }
}

#[tokio::test]
async fn a_service_manager_is_told_of_start_reload_life_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::listen(&path);
    let origin = Origin::start().await;
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let mut program = Program::start(&settings(&origin, ""), &variables).await;
    assert_eq!(manager.hears("READY=1").await, "READY=1\nSTATUS=serving\n");
    manager.hears("WATCHDOG=1").await;

    program.signal(Signal::HUP);
    let reloading = manager.hears("RELOADING=1").await;
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim();
    assert!(micros.parse::<u64>().unwrap() > 0);
    assert!(manager.hears("READY=1").await.contains("reloaded"));

    program.write("nonsense");
    program.signal(Signal::HUP);
    manager.hears("RELOADING=1").await;
    assert!(manager.hears("READY=1").await.contains("the last reload failed"));
    manager.hears("WATCHDOG=1").await;

    program.signal(Signal::TERM);
    assert_eq!(manager.hears("STOPPING=1").await, "STOPPING=1\nSTATUS=draining\n");
    assert_eq!(program.ended().await.code(), Some(0));
}

/// Listeners, origins and limits that are others each time.
fn changing(origin: &Origin, number: usize) -> String {
    let more = format!(
        "[[listen]]\nname = \"l{number}\"\naddress = \"127.0.0.1:0\"\n\
         [origin.o{number}]\nhosts = [\"o{number}.example\"]\nservers = [\"127.0.0.1:{}\", \"127.0.0.1:1\"]\n\
         [cache]\nkeep = \"{}s\"\n[limits]\nmax_connections = {}\n",
        1000 + number % 1000,
        3600 + number,
        500 + number % 7
    );
    let all = settings(origin, "");
    let (head, tail) = all.split_at(all.find("[admin]").unwrap());
    let (listen, rest) = more.split_at(more.find("[origin").unwrap());
    format!("{head}{listen}{tail}{rest}")
}

#[tokio::test]
async fn a_thousand_reloads_leak_nothing() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let program = Program::start(&settings(&origin, ""), &[]).await;
    let mut traffic = Connection::open(program.traffic).await;
    let mut admin = Connection::open(program.admin).await;
    let mut before = None;
    for number in 0..1100 {
        program.write(&changing(&origin, number));
        admin.send(request("POST", "/api/v1/reload", &[], "")).await;
        let answer = admin.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        traffic.send(request("GET", "/a", &[], "")).await;
        assert_eq!(traffic.answer().await.text(), "hello");
        if number == 99 {
            before = Some((program.descriptors(), program.threads(), program.resident()));
        }
    }
    let (descriptors, threads, resident) = before.unwrap();
    // What ends in the background takes its time, and threads for blocking work come and go.
    let leaks = || {
        let grown = program.resident().saturating_sub(resident);
        [
            (program.descriptors().saturating_sub(descriptors), 2, "descriptors"),
            (program.threads().saturating_sub(threads), 2, "threads"),
            (usize::try_from(grown >> 10).unwrap(), 8 << 10, "KiB resident"),
        ]
        .into_iter()
        .find(|(more, most, _)| more > most)
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Some(leak) = leaks() {
        assert!(tokio::time::Instant::now() < deadline, "more after 1000 reloads: {leak:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_purge_no_request_and_no_signal() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    for more in ["", "[log.access]\ntarget = \"stderr\"\n"] {
        let mut program = Program::start(&settings(&origin, more), &[]).await;
        program.ignore();
        let mut admin = Connection::open(program.admin).await;
        let mut client = Connection::open(program.traffic).await;
        // The lines of far fewer are more than a pipe holds.
        for number in 0..500 {
            let purge = format!("{{\"tags\": [\"product-{number}\"]}}");
            let fields = [("content-type", "application/json")];
            admin.send(request("POST", "/api/v1/purge", &fields, &purge)).await;
            assert_eq!(in_time("the purge", admin.answer()).await.status(), 200);
            client.send(request("GET", "/a", &[], "")).await;
            assert_eq!(in_time("the answer", client.answer()).await.status(), 200);
        }
        admin.send(request("GET", "/metrics", &[], "")).await;
        let page = admin.answer().await;
        assert!(page.text().contains("shellac_log_dropped_total{sink=\"program\"} 0\n"));
        drop((admin, client));
        program.signal(Signal::TERM);
        assert_eq!(program.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_reload_reaches_a_proxy_whose_token_and_address_are_others_in_the_file() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
    let settings = |socket: &Path, token: &str| {
        let admin = format!(
            "listen = [\"127.0.0.1:0\", \"unix:{}\"]\ntoken = \"{token}\"",
            socket.display()
        );
        settings(&origin, "").replace("listen = [\"127.0.0.1:0\"]", &admin)
    };
    let program = Program::start(&settings(&old, "first"), &[]).await;
    program.write(&settings(&new, "second"));
    let admin = format!("unix:{}", new.display());
    let reload = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
        command.args(["reload", "--admin", &admin, "--config"]).arg(program.file()).args(more);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        async move { in_time("the command", run).await.unwrap() }
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let alone = reload(&[]).await;
    assert_eq!(alone.status.code(), Some(69), "{alone:?}");
    assert!(said(&alone).contains("`kill -HUP PID` has it read them"), "{alone:?}");
    let pid = program.pid().to_string();
    let done = reload(&["--pid", &pid]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(said(&done).contains("was sent SIGHUP"), "{done:?}");

    program.write(&settings(&new, "third"));
    let alone = reload(&[]).await;
    assert_eq!(alone.status.code(), Some(77), "{alone:?}");
    assert!(said(&alone).contains("`kill -HUP PID` has it read them"), "{alone:?}");
    assert_eq!(reload(&["--pid", &pid]).await.status.code(), Some(0));
    assert_eq!(reload(&[]).await.status.code(), Some(0), "it is known now");
}
