//! `Site`: the program in front of an origin, its log, and a client.
#![expect(clippy::disallowed_methods, reason = "these tests have no runtime to block")]
#![expect(clippy::string_slice, reason = "an address is ASCII")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[derive(Debug)]
pub(crate) struct Site {
    child: Child,
    traffic: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

/// A response as the client sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// 0 when the connection ended before a status line.
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
    /// The content is as long as its length says.
    pub(crate) is_whole: bool,
    pub(crate) after: Duration,
}

impl Site {
    /// Starts the program with time-outs of a second.
    pub(crate) fn start(servers: &[SocketAddr], settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("shellac.toml");
        let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
        let text = format!(
            "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
             [log]\nformat = \"json\"\n[origin.app]\nservers = [{}]\nconnect_timeout = \"1s\"\n\
             first_byte_timeout = \"1s\"\nidle_timeout = \"1s\"\n{settings}\n",
            servers.join(", ")
        );
        std::fs::write(&config, text).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_shellac"))
            .env_clear()
            .current_dir(folder.path())
            .args(["run", "--config", "shellac.toml"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut site = Self { child, traffic: unknown, admin: unknown, folder };
        site.until_logged("workers");
        let log = site.log();
        site.traffic = address_after(&log, "listen");
        site.admin = address_after(&log, "admin");
        site
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log holds the text.
    pub(crate) fn until_logged(&self, text: &str) {
        let begun = Instant::now();
        while !self.log().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "{text:?} is not in the log:\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    pub(crate) fn get(&self, path: &str) -> Seen {
        ask(
            self.traffic,
            &format!("GET {path} HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n"),
        )
    }

    pub(crate) fn post(&self, path: &str) -> Seen {
        let fields = "Host: site\r\nConnection: close\r\nContent-Length: 0";
        ask(self.traffic, &format!("POST {path} HTTP/1.1\r\n{fields}\r\n\r\n"))
    }

    /// Repeats a request until its response is 200.
    pub(crate) fn until_served(&self, path: &str) -> Seen {
        let begun = Instant::now();
        loop {
            let seen = self.get(path);
            if seen.status == 200 {
                return seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} stays {}:\n{}", seen.status, self.log());
            thread::sleep(POLL);
        }
    }

    /// Returns a counter of the page of metrics, by its name and labels.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let page =
            ask(self.admin, "GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        let line = page.text.lines().find_map(|line| line.strip_prefix(sample));
        let value = line.and_then(|rest| rest.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{sample} is not in\n{}", page.text))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the error type of `Proxy-Status` (RFC 9209 §2.3).
    pub(crate) fn error(&self) -> Option<&str> {
        let (_, rest) = self.field("proxy-status")?.split_once("error=")?;
        rest.split([';', ' ', ',']).next()
    }
}

fn ask(address: SocketAddr, request: &str) -> Seen {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, content) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut seen = Seen {
        status,
        head: head.to_owned(),
        text: content.to_owned(),
        is_whole: false,
        after: begun.elapsed(),
    };
    let length = seen.field("content-length").and_then(|length| length.parse().ok());
    seen.is_whole = length == Some(content.len()) || content.ends_with("0\r\n\r\n");
    seen
}

fn address_after(log: &str, word: &str) -> SocketAddr {
    let announced = log.lines().find(|line| line.contains(word) && line.contains("http://127"));
    let (_, rest) = announced.unwrap().split_once("http://").unwrap();
    let end = rest.find(|byte: char| !byte.is_ascii_digit() && byte != '.' && byte != ':');
    rest[..end.unwrap_or(rest.len())].parse().unwrap()
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
