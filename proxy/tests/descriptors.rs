//! The real program with few file descriptors: clients wait, and are served as soon as there is
//! room.

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Ends when it is dropped.
    struct Program(Child);

    impl Drop for Program {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    /// Starts the program. Returns also the addresses of its traffic and of its admin listener.
    fn start() -> (Program, [SocketAddr; 2]) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shellac"))
            .args(["run", "--origin", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0"])
            .env("SHELLAC__WORKERS", "1")
            .env("SHELLAC__STORAGE__MEMORY__CAPACITY", "32MiB")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |label: &str| {
            let line = lines.by_ref().map(Result::unwrap);
            let line = line.into_iter().find(|line| line.trim_start().starts_with(label)).unwrap();
            let text = line.split("http://").nth(1).unwrap();
            text.split(['/', ' ']).next().unwrap().parse().unwrap()
        };
        let addresses = [address("listen"), address("admin")];
        std::thread::spawn(move || lines.for_each(drop));
        (Program(child), addresses)
    }

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn failures(admin: SocketAddr) -> u64 {
        let metrics = get(admin, "/metrics");
        let line = metrics.lines().find(|line| line.contains("reason=\"accept\"")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "this test has no runtime to block")]
    fn without_descriptors_clients_wait_and_the_program_does_not_spin() {
        let (program, [traffic, admin]) = start();
        let mut held: Vec<_> = (0..4).map(|_| TcpStream::connect(traffic).unwrap()).collect();
        let mut observer = TcpStream::connect(admin).unwrap();
        let mut ask = || {
            observer.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut answer = BufReader::new(&observer);
            let mut length = 0;
            loop {
                let mut line = String::new();
                answer.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut page = vec![0; length];
            answer.read_exact(&mut page).unwrap();
            let page = String::from_utf8(page).unwrap();
            let line = page.lines().find(|line| line.contains("reason=\"accept\"")).unwrap();
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(ask(), 0);
        let pid = Pid::from_child(&program.0);
        let few = Rlimit { current: Some(16), maximum: Some(16) };
        prlimit(Some(pid), Resource::Nofile, few).unwrap();

        held.extend((0..4).map(|_| TcpStream::connect(traffic).unwrap()));
        let start = Instant::now();
        while ask() == 0 {
            assert!(start.elapsed() < PATIENCE, "it never runs out of descriptors");
        }
        let (before, span) = (ask(), Duration::from_secs(1));
        std::thread::sleep(span);
        let failures_in_span = ask() - before;
        assert!(failures_in_span <= 40, "{failures_in_span} failures in {span:?}");

        let many = Rlimit { current: Some(256), maximum: Some(256) };
        let raised = prlimit(Some(pid), Resource::Nofile, many);
        if raised.is_ok() {
            assert!(get(traffic, "/a").starts_with("HTTP/1.1 502"), "nobody is shut out for good");
            assert!(failures(admin) >= before);
        }
        drop(held);
    }
}
