//! The running binary is replaced: by the real program, and by processes that fail at each step.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader};
use tokio::net::UnixStream;

use crate::support::client::{Answer, Connection};
use crate::support::impostor::Impostor;
use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::proxy::request;
use crate::support::{in_time, join_all, until};

/// A running program. Dropped, it is killed, and so is who has taken over from it.
pub(crate) struct Program {
    folder: TempDir,
    child: Child,
    pub(crate) said: Arc<Mutex<Vec<String>>>,
    newest: Mutex<i32>,
    /// Each main process that the service manager was told of, and its parent at that moment.
    main_processes: Arc<Mutex<Vec<(i32, i32)>>>,
    traffic: SocketAddr,
    admin: SocketAddr,
}

const MEMORY: &str = "[storage.memory]\ncapacity = \"64MiB\"\n";
const FILE: &str = "[storage]\nkind = \"file\"\n[storage.memory]\ncapacity = \"8MiB\"\n\
                    max_object = \"1MiB\"\n[storage.file]\npath = \"store\"\ncapacity = \"64MiB\"\n\
                    max_object = \"8MiB\"\nsync = \"100ms\"\n";

impl Program {
    pub(crate) async fn start(origin: &Origin, storage: &str) -> Self {
        Self::start_at(origin, "\"127.0.0.1:0\"", storage, None).await
    }

    /// Starts one; a socket is passed as a service manager does, under the name `http`.
    async fn start_at(
        origin: &Origin,
        listen: &str,
        storage: &str,
        passed: Option<OwnedFd>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = listen.replace("FOLDER", folder.path().to_str().unwrap());
        let config = format!(
            "workers = 2\n[[listen]]\naddress = [{listen}]\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
             [origin.site]\nservers = [\"{}\"]\n[limits]\ndrain_timeout = \"5s\"\n{storage}",
            origin.address
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let binary = env!("CARGO_BIN_EXE_shellac");
        let mut command = match passed {
            None => Command::new(binary),
            Some(socket) => {
                let mut shell = Command::new("sh");
                let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 \
                              LISTEN_FDNAMES=http; exec \"$0\" \"$@\"";
                shell.args(["-c", script, binary]).stdin(socket);
                shell
            }
        };
        let main_processes = listen_as_service_manager(&folder.path().join("notify"));
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder.path());
        command.env("NOTIFY_SOCKET", folder.path().join("notify"));
        command.args(["run", "--config", "config.toml"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stderr.take().unwrap());
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| heard.lock().push(line));
        });
        let announced = |name: &str| -> Option<SocketAddr> {
            said.lock().iter().find_map(|line| {
                let url = line.trim_start().strip_prefix(name)?.trim_start();
                url.strip_prefix("http://")?.split(['/', ' ']).next()?.parse().ok()
            })
        };
        let all = || said.lock().iter().any(|line| line.trim_start().starts_with("workers"));
        until("the announcement", all).await;
        let (traffic, admin) = (announced("listen").unwrap(), announced("admin").unwrap());
        let newest = Mutex::new(child.id().cast_signed());
        let program = Self { folder, child, said, newest, main_processes, traffic, admin };
        program.until_loaded().await;
        program
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The process that serves now.
    fn newest(&self) -> i32 {
        *self.newest.lock()
    }

    pub(crate) fn count_of(&self, text: &str) -> usize {
        self.said.lock().iter().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.count_of(text) > 0
    }

    /// Waits until pages are written to a file, if there is one.
    async fn until_loaded(&self) {
        let loaded = async {
            loop {
                let page = self.ask_admin("GET", "/metrics", "").await;
                if !page.text().lines().any(|line| line == "shellac_storage_loading 1") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        in_time("loading", loaded).await;
    }

    pub(crate) async fn upgrade(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
        command.args(["upgrade", "--pid", &self.newest().to_string()]).args(arguments);
        command.stdin(Stdio::null());
        let run = move || command.output().unwrap();
        let output = in_time("an upgrade", tokio::task::spawn_blocking(run)).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let serves =
            |line: &str| line.strip_prefix("process ")?.strip_suffix(" serves")?.parse().ok();
        if let Some(pid) = said.lines().find_map(serves) {
            *self.newest.lock() = pid;
        }
        output
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let mut connection = Connection::open(self.traffic).await;
        connection.send(request("GET", path, &[], "")).await;
        connection.answer().await
    }

    pub(crate) async fn purge(&self, path: &str) -> u16 {
        let content = json!({"urls": [format!("http://site.example{path}")]}).to_string();
        self.post_purge(&content).await
    }

    pub(crate) async fn post_purge(&self, content: &str) -> u16 {
        self.post("/api/v1/purge", content).await
    }

    /// Sends a request to the admin listener. Returns the status.
    pub(crate) async fn post(&self, path: &str, content: &str) -> u16 {
        self.ask_admin("POST", path, content).await.status()
    }

    async fn ask_admin(&self, method: &str, path: &str, content: &str) -> Answer {
        let mut connection = Connection::open(self.admin).await;
        connection.send(request(method, path, &[], content)).await;
        connection.answer().await
    }

    /// Returns the order that the only server of the origin has.
    async fn assigned(&self, origin: &Origin) -> Value {
        let answer = self.ask_admin("GET", &server_path(origin), "").await;
        serde_json::from_str::<Value>(answer.text()).unwrap()["assigned"].take()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn listen_as_service_manager(path: &Path) -> Arc<Mutex<Vec<(i32, i32)>>> {
    let main_processes: Arc<Mutex<Vec<(i32, i32)>>> = Arc::default();
    let told = Arc::clone(&main_processes);
    let socket = UnixDatagram::bind(path).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let pids = message.lines().filter_map(|line| line.strip_prefix("MAINPID="));
            told.lock().extend(pids.map(|pid| (pid.parse().unwrap(), parent_of(pid))));
        }
    });
    main_processes
}

fn parent_of(pid: &str) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_name, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(1).unwrap().parse().unwrap()
}

impl Drop for Program {
    fn drop(&mut self) {
        let newest = self.newest();
        if let Some(process) = Pid::from_raw(newest).filter(|_| newest != self.pid()) {
            let _ended = kill_process(process, Signal::KILL);
        }
        let _already_ended = self.child.kill();
        let _already_waited_for = self.child.wait();
    }
}

/// Asks again and again, on one connection as long as it lasts, or on a new one each time.
async fn client(address: SocketAddr, is_kept: bool, is_over: Arc<AtomicBool>) -> u64 {
    let mut connection = None;
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut used = match connection.take() {
            Some(kept) => kept,
            None => Connection::open(address).await,
        };
        used.send(request("GET", &format!("/page/{}", count % 5), &[], "")).await;
        let answer = used.answer().await;
        assert_eq!((answer.status(), answer.text()), (200, "page"));
        let is_last = answer.field("connection").is_some_and(|value| value == "close");
        connection = Some(used).filter(|_| is_kept && !is_last);
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_upgrades_under_load_fail_no_request() {
    let origin = Origin::start().await;
    for page in 0..5 {
        origin.on(&format!("/page/{page}"), cacheable("page"));
    }
    let program = Program::start(&origin, MEMORY).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let clients = (0..16).map(|number| {
        let (is_over, count) = (Arc::clone(&is_over), Arc::clone(&count));
        let address = program.traffic;
        async move {
            count.fetch_add(client(address, number % 2 == 0, is_over).await, Ordering::Relaxed);
        }
    });
    let clients = tokio::spawn(join_all(clients.collect::<Vec<_>>()));
    for number in 0..20 {
        let output = program.upgrade(&["--wait"]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "upgrade {number}: {said}");
        assert!(said.contains("has ended"), "{said}");
    }
    is_over.store(true, Ordering::Relaxed);
    in_time("the clients", clients).await.unwrap();
    assert!(count.load(Ordering::Relaxed) > 500, "{count:?}");
    assert_ne!(program.newest(), program.pid());
}

/// systemd waits for the end of a stopped service only if its main process is a child of its own.
#[tokio::test]
async fn the_new_process_is_no_child_of_the_old_one_when_the_service_manager_hears_of_it() {
    let origin = Origin::start().await;
    let program = Program::start(&origin, MEMORY).await;
    let mut before = program.pid();
    for number in 0..2 {
        assert!(program.upgrade(&[]).await.status.success());
        until("MAINPID", || program.main_processes.lock().len() > number).await;
        let (pid, parent) = program.main_processes.lock()[number];
        assert_eq!(pid, program.newest());
        assert_ne!(parent, before);
        before = pid;
    }
}

#[tokio::test]
async fn a_unix_socket_and_its_file_outlive_an_upgrade() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let listen = "\"127.0.0.1:0\", \"unix:FOLDER/http.sock\"";
    let program = Program::start_at(&origin, listen, MEMORY, None).await;
    let socket = program.path("http.sock");
    assert_eq!(ask_over_unix(&socket).await, "page");
    assert!(program.upgrade(&["--wait"]).await.status.success());
    assert_eq!(ask_over_unix(&socket).await, "page");

    let newest = Pid::from_raw(program.newest()).unwrap();
    kill_process(newest, Signal::TERM).unwrap();
    until("the file's end", || !socket.exists()).await;
}

async fn ask_over_unix(path: &Path) -> String {
    let stream = in_time("connecting", UnixStream::connect(path)).await.unwrap();
    let mut stream = AsyncBufReader::new(stream);
    let text = request("GET", "/a", &[("Connection", "close")], "");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_socket_that_was_passed_outlives_an_upgrade() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let program = Program::start_at(&origin, "\"fd:http\"", MEMORY, Some(listener.into())).await;
    assert_eq!(program.traffic, address);
    assert_eq!(program.get("/a").await.text(), "page");
    assert!(program.upgrade(&["--wait"]).await.status.success());
    assert_eq!(program.get("/a").await.text(), "page");
}

#[tokio::test]
async fn a_new_process_that_cannot_start_changes_nothing() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let program = Program::start(&origin, MEMORY).await;
    program.get("/a").await;
    let config = fs::read_to_string(program.path("config.toml")).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("\"127.0.0.1:0\", \"{}\"", taken.local_addr().unwrap());
    for (broken, reason) in [
        (config.replace("workers", "worker"), "its configuration is wrong"),
        (config.replacen("\"127.0.0.1:0\"", &taken, 1), "cannot listen on"),
        (config.replace("[storage.memory]", "[storage]\nkind = \"file\"\n[storage.file]\npath = \"/proc/none\"\n[storage.memory]"), "/proc/none"),
    ] {
        fs::write(program.path("config.toml"), broken).unwrap();
        let output = program.upgrade(&[]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason) && said.contains("goes on"), "{said}");
        assert!(program.get("/a").await.is_hit(), "after: {said}");
    }
    fs::write(program.path("config.toml"), config).unwrap();
    assert!(program.upgrade(&["--wait"]).await.status.success());
}

#[tokio::test]
async fn a_new_process_that_dies_with_the_store_gives_it_back() {
    for (storage, name) in [(FILE, "file"), (MEMORY, "memory")] {
        let origin = Origin::start().await;
        origin.on("/kept", cacheable("kept"));
        origin.on("/purged", cacheable("old"));
        let program = Program::start(&origin, storage).await;
        program.get("/kept").await;
        program.get("/purged").await;
        assert_eq!(program.purge("/purged").await, 200);
        origin.on("/purged", cacheable("new"));

        origin.on("/kept", cacheable("other"));
        origin.on("/queued", ok("answered"));

        let impostor = Impostor::take(program.pid());
        let mut queued = Connection::open(program.traffic).await;
        queued.send(request("GET", "/queued", &[], "")).await;
        drop(impostor);

        assert_eq!(queued.answer().await.text(), "answered", "{name}");
        let loads = if name == "file" { 2 } else { 0 };
        until("the store", || program.count_of("the store is loaded") == loads).await;
        let answer = program.get("/kept").await;
        assert!(answer.is_hit(), "{name}: {}\n{:#?}", answer.cache_status(), program.said.lock());
        assert_eq!(program.get("/purged").await.text(), "new", "{name}");
        assert!(program.has_said("this one opens it again"), "{name}");
        assert_eq!(program.purge("/kept").await, 200, "{name}");
        assert!(!program.get("/kept").await.is_hit(), "{name}");
        assert!(program.upgrade(&["--wait"]).await.status.success(), "{name}");
        assert_eq!(program.get("/kept").await.text(), "other", "{name}");
    }
}

/// It takes as long as a hand-over waits for changes.
#[tokio::test]
async fn a_change_that_ends_after_a_failed_hand_over_is_purged() {
    let of_storage = |storage: &'static str, loads: usize| async move {
        let origin = Origin::start().await;
        let (early, late) = (Gate::closed(), Gate::closed());
        let program = Program::start(&origin, storage).await;
        let mut changes = Vec::new();
        for (name, gate) in [("early", &early), ("late", &late)] {
            let (page, change) = (format!("/page/{name}"), format!("/change/{name}"));
            origin.on(&page, cacheable("old"));
            program.get(&page).await;
            origin.on(&page, cacheable("new"));
            origin.on(&change, ok("changed").field("location", &page).after(gate));
            let mut connection = Connection::open(program.traffic).await;
            connection.send(request("POST", &change, &[], "x")).await;
            origin.seen(&change, 1).await;
            changes.push(connection);
        }
        let pid = program.pid();
        let taking = tokio::task::spawn_blocking(move || Impostor::take(pid));
        let impostor = in_time("the hand-over", taking).await.unwrap();
        early.open();
        drop(impostor);
        let (mut after, mut before) = (changes.pop().unwrap(), changes.pop().unwrap());
        assert_eq!(before.answer().await.text(), "changed");
        until("the store", || program.count_of("the store is loaded") == loads).await;
        assert_eq!(program.get("/page/early").await.text(), "new", "{:#?}", program.said.lock());
        let kept = program.get("/page/late").await;
        assert_eq!((kept.text(), kept.is_hit()), ("old", true), "{:#?}", program.said.lock());
        late.open();
        assert_eq!(after.answer().await.text(), "changed");
        assert_eq!(program.get("/page/late").await.text(), "new", "{:#?}", program.said.lock());
    };
    tokio::join!(of_storage(MEMORY, 0), of_storage(FILE, 2));
}

#[tokio::test]
async fn a_file_survives_an_upgrade_with_its_purges() {
    let origin = Origin::start().await;
    origin.on("/kept", cacheable("kept"));
    origin.on("/purged", cacheable("old"));
    let program = Program::start(&origin, FILE).await;
    program.get("/kept").await;
    program.get("/purged").await;
    assert_eq!(program.purge("/purged").await, 200);
    origin.on("/purged", cacheable("new"));
    assert!(program.upgrade(&["--wait"]).await.status.success());
    until("the store", || program.count_of("the store is loaded") == 2).await;
    assert!(program.get("/kept").await.is_hit());
    assert_eq!(program.get("/purged").await.text(), "new");
}

#[tokio::test]
async fn who_is_no_successor_is_refused_in_words() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let program = Program::start(&origin, MEMORY).await;
    let refusal = |begin: Value| {
        let impostor = Impostor::to(program.pid());
        impostor.say(&begin);
        impostor.hear_until("refused")["reason"].as_str().unwrap().to_owned()
    };
    let hello = json!({"type": "hello", "protocol": 1, "program": "0"});
    let later = refusal(json!({"type": "hello", "protocol": 99, "program": "9"}));
    assert!(later.contains("version 1 of the protocol, not 99"), "{later}");
    assert_eq!(refusal(json!({"type": "serving"})), "that begins nothing");

    let first = Impostor::to(program.pid());
    first.say(&hello);
    first.hear_until("complete");
    let second = refusal(hello);
    assert!(second.contains("handing over to another process already"), "{second}");
    let reload = "/api/v1/reload";
    assert_eq!(program.post(reload, "").await, 409, "the first would not know of it");
    first.say(&json!({"type": "failed", "reason": "no reason"}));
    until("the end of the first", || program.has_said("no reason")).await;
    assert_eq!(program.get("/a").await.text(), "page");
    in_time("a reload", async { while program.post(reload, "").await != 200 {} }).await;
    assert!(program.upgrade(&["--wait"]).await.status.success());
}

#[tokio::test]
async fn kept_connections_are_told_and_idle_ones_are_not_cut_off() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let program = Program::start(&origin, MEMORY).await;
    let mut idle = Connection::open(program.traffic).await;
    idle.send(request("GET", "/a", &[], "")).await;
    assert_eq!(idle.answer().await.field("connection"), None);
    assert!(program.upgrade(&[]).await.status.success());

    idle.send(request("GET", "/a", &[], "")).await;
    let last = idle.answer().await;
    assert_eq!(last.text(), "page");
    assert_eq!(last.field("connection").as_deref(), Some("close"));
    assert_eq!(idle.until_closed().await, b"");
}

/// It takes as long as a hand-over waits for changes.
#[tokio::test]
async fn a_change_that_ends_after_the_hand_over_is_purged_in_the_new_process() {
    let of_storage = |storage: &'static str, upgrades: usize| async move {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        origin.on("/page", cacheable("old"));
        origin.on("/change", ok("changed").field("location", "/page").after(&gate));
        let program = Program::start(&origin, storage).await;
        let mut change = Connection::open(program.traffic).await;
        change.send(request("POST", "/change", &[], "x")).await;
        origin.seen("/change", 1).await;
        for _ in 0..upgrades {
            assert!(program.upgrade(&[]).await.status.success());
        }

        assert_eq!(program.get("/page").await.text(), "old");
        assert!(program.get("/page").await.is_hit());
        origin.on("/page", cacheable("new"));
        gate.open();
        assert_eq!(change.answer().await.text(), "changed");
        assert_eq!(program.get("/page").await.text(), "new", "{:#?}", program.said.lock());
    };
    tokio::join!(of_storage(MEMORY, 1), of_storage(FILE, 1), of_storage(MEMORY, 3));
}

#[tokio::test]
async fn a_server_that_was_drained_stays_so_in_the_next_process() {
    let origin = Origin::start().await;
    let program = Program::start(&origin, MEMORY).await;
    assert_eq!(program.assigned(&origin).await, "enabled");
    let order = r#"{"state":"drain"}"#;
    assert_eq!(program.ask_admin("PATCH", &server_path(&origin), order).await.status(), 200);

    for _ in 0..2 {
        assert!(program.upgrade(&["--wait"]).await.status.success());
        assert_eq!(program.assigned(&origin).await, "drain");
    }

    drop(Impostor::take(program.newest()));
    until("the old process", || program.has_said("this one opens it again")).await;
    assert_eq!(program.assigned(&origin).await, "drain");
}

fn server_path(origin: &Origin) -> String {
    format!("/api/v1/origins/site/servers/{}", origin.address)
}
