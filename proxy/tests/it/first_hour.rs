//! The first hour with the proxy: defaults that fit, answers that say what is wrong, signals that
//! do what was meant.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::Connection;
use crate::support::in_time;
use crate::support::origin::{Gate, Origin, cacheable, ok, status};
use crate::support::proxy::{Proxy, START_DATE};

async fn shellac(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
    command.args(arguments).stdin(Stdio::null());
    let run = move || command.output().unwrap();
    in_time("a command", tokio::task::spawn_blocking(run)).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_default_lifetime_goes_before_the_heuristic_one() {
    let origin = Origin::start().await;
    let old = "Sun, 06 Nov 1904 08:49:37 GMT";
    origin.on("/a", ok("").field("last-modified", old).field("date", START_DATE));
    let proxy = Proxy::start_with(&origin, |config| {
        config.cache.default_ttl = Duration::from_mins(2);
    });
    proxy.get("/a").await;
    assert_eq!(proxy.get("/a").await.cache_status(), "hit; ttl=120");
}

#[tokio::test]
async fn a_redirect_loop_behind_a_load_balancer_that_is_not_trusted_is_counted() {
    let origin = Origin::start().await;
    let redirect = status("301 Moved Permanently", "").field("location", "https://site.example/a");
    origin.on("/a", redirect);
    let https = [("X-Forwarded-Proto", "https")];
    for (is_trusted, count) in [(false, 2), (true, 0)] {
        let proxy = Proxy::start_with(&origin, |config| {
            let trusted = is_trusted.then(|| "127.0.0.0/8".parse().unwrap());
            config.listen[0].trusted_proxies = trusted.into_iter().collect();
        });
        proxy.get_with("/a", &https).await;
        proxy.get_with("/a", &https).await;
        proxy.get("/a").await;
        let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
        let line = format!("shellac_cache_untrusted_https_redirects_total {count}\n");
        assert!(metrics.text().contains(&line), "{is_trusted}");
    }
}

#[tokio::test]
async fn a_small_store_in_a_file_needs_no_other_setting_and_one_larger_than_the_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("storage.file.path=\"{}\"", folder.path().display());
    let file = folder.path().join("config.toml");
    for (capacity, code, text) in [("64MiB", 0, ""), ("8TiB", 78, "has room for")] {
        let config = format!(
            "[origin.app]\nservers = [\"127.0.0.1:1\"]\n[storage]\nkind = \"file\"\n\
             [storage.file]\npath = {:?}\ncapacity = \"{capacity}\"\n",
            folder.path()
        );
        std::fs::write(&file, config).unwrap();
        let output = shellac(&["check", "--config", file.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(code), "{path} {capacity}: {}", said(&output));
        assert!(said(&output).contains(text), "{}", said(&output));
    }
}

#[tokio::test]
async fn commands_tell_what_a_problem_says_and_print_no_pages() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let admin = proxy.admin.to_string();
    let output = shellac(&["purge", "--admin", &admin, "--url", "nope"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("names no host: write https://host/nope"), "{}", said(&output));
    assert!(!said(&output).contains('{'), "no JSON: {}", said(&output));

    origin.script("/api/v1/purge", |_| status("404 Not Found", "<html><body>lost</body></html>"));
    let origin = origin.address.to_string();
    let output = shellac(&["purge", "--admin", &origin, "--all", "--yes"]).await;
    assert!(said(&output).contains("an HTML page: is --admin"), "{}", said(&output));
}

#[tokio::test]
async fn warming_takes_paths_and_says_what_is_no_sitemap() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.on("/a", cacheable("page"));
    origin.on("/page.html", ok("<!doctype html><html></html>"));
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("pages.txt");
    std::fs::write(&list, "/a\n").unwrap();
    let target = format!("http://{}", proxy.address);
    let output = shellac(&["warm", "--target", &target, "--urls", list.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(proxy.get_with("/a", &[("Host", &proxy.address.to_string())]).await.is_hit());

    let sitemap = format!("http://{}/page.html", proxy.address);
    let output = shellac(&["warm", "--target", &target, "--sitemap", &sitemap]).await;
    assert!(said(&output).contains("is no sitemap"), "{}", said(&output));
}

/// A program that is killed when the test ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Program {
    /// Starts the proxy itself before this origin and waits until it serves.
    fn proxy(origin: SocketAddr) -> (Self, SocketAddr) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
        command
            .args(["run", "--listen", "127.0.0.1:0", "--origin", &format!("http://{origin}")])
            .env("SHELLAC__ADMIN__LISTEN", "[\"127.0.0.1:0\"]")
            .stderr(Stdio::piped());
        let mut program = Self(command.spawn().unwrap());
        let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.unwrap().trim_start().to_owned();
            if let Some(rest) = line.strip_prefix("listen") {
                address = rest.trim().strip_prefix("http://").map(|it| it.parse().unwrap());
            }
            if line.starts_with("workers") {
                break;
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        (program, address.unwrap())
    }

    fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    async fn ended(mut self) -> Option<i32> {
        let wait = move || self.0.wait().unwrap().code();
        in_time("the end", tokio::task::spawn_blocking(wait)).await.unwrap()
    }
}

/// Log collectors parse each line.
#[tokio::test]
async fn with_the_format_json_every_line_is_json() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
    command
        .args(["run", "--listen", "127.0.0.1:0", "--origin", "http://127.0.0.1:1"])
        .env("SHELLAC__ADMIN__LISTEN", "[\"127.0.0.1:0\"]")
        .env("SHELLAC__LOG__FORMAT", "json")
        .stderr(Stdio::piped());
    let mut program = Program(command.spawn().unwrap());
    let lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    let read = tokio::task::spawn_blocking(move || {
        let mut labels = Vec::new();
        for line in lines {
            let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            labels.push(event["message"].as_str().unwrap().to_owned());
            if labels.last().unwrap() == "workers" {
                program.terminate();
            }
        }
        labels
    });
    let labels = in_time("the end", read).await.unwrap();
    for label in ["listen", "origin", "storage", "admin", "workers"] {
        assert!(labels.iter().any(|own| own == label), "{label} in {labels:?}");
    }
}

/// A program that will not serve tells a log collector why.
#[tokio::test]
async fn with_the_format_json_problems_of_the_configuration_are_json_too() {
    let refused = async |text: &str, environment: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shellac.toml");
        if !text.is_empty() {
            std::fs::write(&file, text).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
        command.args(["run", "--config"]).arg(&file).envs(environment.iter().copied());
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = in_time("the end", run).await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let json = [("SHELLAC__LOG__FORMAT", "json")];
    let events = |said: &str| -> Vec<serde_json::Value> {
        said.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    };
    let (code, said) = refused("worker = 2\n[log]\nformat = \"json\"\nlevl = 1\n", &[]).await;
    let told = events(&said);
    assert_eq!((code, told.len()), (Some(78), 3), "{said}");
    for event in &told {
        assert_eq!(event["level"], "ERROR");
        assert_eq!(event["message"], "the configuration cannot be used");
    }
    assert_eq!(told[0]["problem"], "unknown key `worker`");
    assert!(told[0]["at"].as_str().unwrap().ends_with("shellac.toml:1:1"), "{said}");
    assert!(told[0]["help"].as_str().unwrap().contains("workers"), "{said}");

    let (code, said) = refused("workers = \n[log]\nformat = \"json\"\n", &[]).await;
    assert_eq!((code, events(&said).len()), (Some(78), 1), "a syntax error: {said}");
    let (code, said) = refused("worker = 2", &json).await;
    assert_eq!((code, events(&said).is_empty()), (Some(78), false), "{said}");
    let (code, said) = refused("", &json).await;
    let told = events(&said);
    assert_eq!((code, told.len()), (Some(74), 1), "{said}");
    assert!(told[0]["error"].as_str().unwrap().starts_with("cannot read "), "{said}");
    let (code, said) = refused("worker = 2", &[]).await;
    assert!(code == Some(78) && said.contains("[1:1]") | said.contains(":1:1"), "{said}");
    assert!(serde_json::from_str::<serde_json::Value>(said.lines().next().unwrap()).is_err());
}

#[tokio::test]
async fn a_second_sigterm_ends_the_proxy_at_once_with_143() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/slow", cacheable("late").after(&gate));
    let at = origin.address;
    let start = tokio::task::spawn_blocking(move || Program::proxy(at));
    let (program, address) = in_time("the start", start).await.unwrap();
    let mut connection = Connection::open(address).await;
    connection.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    origin.seen("/slow", 1).await;
    program.terminate();
    let drains = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    in_time("the drain", drains).await;
    program.terminate();
    assert_eq!(program.ended().await, Some(143));
    assert!(connection.until_closed().await.is_empty());
}

#[tokio::test]
async fn a_signal_right_after_the_announcement_is_handled() {
    for signals in [&[Signal::TERM][..], &[Signal::INT], &[Signal::HUP, Signal::TERM]] {
        for _ in 0..8 {
            let start = move || {
                let (program, _) = Program::proxy(([127, 0, 0, 1], 1).into());
                for signal in signals {
                    program.signal(*signal);
                }
                program
            };
            let start = tokio::task::spawn_blocking(start);
            let program = in_time("the start", start).await.unwrap();
            assert_eq!(program.ended().await, Some(0), "{signals:?}");
        }
    }
}

#[tokio::test]
async fn a_shell_that_listens_to_the_signal_is_not_asked_to_hand_over() {
    let mut command = Command::new("sh");
    command.args(["-c", "trap 'exit 3' USR2; echo ready; read line"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = Program(command.spawn().unwrap());
    let mut ready = [0; 5];
    shell.0.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    let pid = shell.0.id().to_string();
    let run = ["run", "--origin", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"];
    let output = shellac(&[&run[..], &["--take-over", &pid]].concat()).await;
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(said(&output).contains("it is another program"), "{}", said(&output));
    drop(shell.0.stdin.take());
    assert_ne!(shell.ended().await, Some(3), "it was not signalled");
}
