//! The real program, killed again and again in the middle of traffic and purges, or replaced by
//! another: never a wrong byte, never a response from before a purge that was acknowledged, and
//! what was stored before is found again.
//!
//! `SHELLAC_KILL_ROUNDS` says how often, `SHELLAC_KILL_SEED` repeats the choices, though not the
//! timing.

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    const PAGES: usize = 64;
    /// One more, of which no socket takes all at once.
    const LARGE: usize = PAGES;

    /// The versions of all pages: at the origin, and the lowest that may still be shown.
    struct Site {
        current: Vec<AtomicU64>,
        floor: Vec<AtomicU64>,
        /// Raised after the versions of a deployment, and read before the version of a page.
        deployment: AtomicU64,
        fetches: AtomicU64,
    }

    impl Site {
        fn new() -> Arc<Self> {
            let versions = || (0..=LARGE).map(|_| AtomicU64::new(1)).collect();
            let (deployment, fetches) = (AtomicU64::new(1), AtomicU64::new(0));
            Arc::new(Self { current: versions(), floor: versions(), deployment, fetches })
        }
    }

    /// Counted over all rounds.
    #[derive(Debug, Default)]
    struct Tally {
        answers: AtomicU64,
        /// Without a whole answer.
        cut: AtomicU64,
        hits: AtomicU64,
        /// Hits before anything was fetched since the start.
        revenants: AtomicU64,
        purges: AtomicU64,
    }

    #[test]
    fn nothing_wrong_and_nothing_purged_is_shown_however_often_the_program_is_killed() {
        let rounds = setting("SHELLAC_KILL_ROUNDS", 200);
        let seed = setting("SHELLAC_KILL_SEED", u64::from(std::process::id()));
        println!("SHELLAC_KILL_SEED={seed}");
        let site = Site::new();
        let origin = serve(&site);
        let folder = tempfile::tempdir().unwrap();
        let (tally, mut random) = (Tally::default(), Random(seed | 1));
        for _ in 0..rounds {
            let mut proxy = Proxy::start(origin, folder.path());
            let is_over = AtomicBool::new(false);
            let lasts = Duration::from_millis(100 + random.below(400));
            thread::scope(|scope| {
                let (site, tally, is_over) = (&*site, &tally, &is_over);
                for number in 0..3 {
                    let mut random = Random(random.next() | 1);
                    scope.spawn(move || {
                        read(site, proxy.traffic, tally, (is_over, number == 0), &mut random);
                    });
                }
                let mut purger_random = Random(random.next() | 1);
                scope.spawn(move || {
                    purge(site, proxy.admin, tally, is_over, &mut purger_random);
                });
                pause(lasts);
                proxy.child.kill().unwrap();
                proxy.child.wait().unwrap();
                is_over.store(true, Ordering::Relaxed);
            });
        }
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!("{tally:?}, {} fetches", of(&site.fetches));
        assert!(of(&tally.revenants) >= rounds / 4, "what was stored is found again: {tally:?}");
        assert!(
            of(&tally.purges) >= rounds && of(&tally.hits) > of(&tally.answers) / 10,
            "{tally:?}"
        );
    }

    #[test]
    fn another_process_takes_over_under_load_and_nothing_is_lost_wrong_or_purged() {
        let (site, folder) = (Site::new(), tempfile::tempdir().unwrap());
        let (origin, tally) = (serve(&site), Tally::default());
        let mut old = Proxy::start(origin, folder.path());
        let (traffic, admin) = (old.traffic, old.admin);
        let is_over = AtomicBool::new(false);
        let stopped = thread::scope(|scope| {
            let (site, tally, is_over) = (&*site, &tally, &is_over);
            let _ended = EndsAll(is_over);
            for seed in 1..4 {
                let reader = move || {
                    read(site, traffic, tally, (is_over, false), &mut Random(seed));
                };
                scope.spawn(reader);
            }
            scope.spawn(move || keep_asking(traffic, is_over));
            scope.spawn(move || purge(site, admin, tally, is_over, &mut Random(9)));
            until("hits", || tally.hits.load(Ordering::Relaxed) > 200);
            let large = |query: usize| {
                format!(
                    "GET /p/{LARGE}?{query} HTTP/1.1\r\nhost: site\r\nconnection: close\r\n\r\n"
                )
            };
            assert!(ask(traffic, &large(0)).is_some());
            until("a large hit", || {
                ask(traffic, &large(0)).is_some_and(|it| it.0.contains("; hit"))
            });
            // It is being sent, as far as nobody reads it.
            let mut slow = slow_hit(traffic, &large(0));
            let new = Proxy::take_over(&old, origin, folder.path());
            until("the new one to find the old one reading", || {
                ask(admin, METRICS).is_some_and(|(_, page)| holds(&page, "storage_shared 1"))
            });
            // One and a half times what the file holds: nothing of it may be written where the old
            // one reads.
            for query in 1..13 {
                assert!(ask(traffic, &large(query)).is_some());
            }
            let mut rest = Vec::new();
            slow.read_to_end(&mut rest).unwrap();
            version_of(LARGE, &rest, "of the slow client");
            assert!(old.child.wait().unwrap().success());
            until("the new one to be alone", || {
                ask(admin, METRICS).is_some_and(|(_, page)| holds(&page, "storage_shared 0"))
            });
            let before = tally.hits.load(Ordering::Relaxed);
            until("hits again", || tally.hits.load(Ordering::Relaxed) > before + 200);
            new
        });
        let recovered = ask(admin, METRICS).unwrap().1;
        assert!(
            !holds(&recovered, "shellac_storage_recovered_objects 0\n"),
            "it found what was stored"
        );
        drop(stopped);
        println!("{tally:?}");
        let cut = tally.cut.load(Ordering::Relaxed);
        assert!(
            cut < 5,
            "the moment in which a listener is closed may cost a connection, not {cut}"
        );
    }

    /// Ends the threads of a test when it ends, also where it fails.
    struct EndsAll<'a>(&'a AtomicBool);

    impl Drop for EndsAll<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Returns a connection on which a hit is being sent, its head read. A purge may come between.
    fn slow_hit(traffic: SocketAddr, request: &str) -> TcpStream {
        loop {
            let mut slow = TcpStream::connect(traffic).unwrap();
            slow.write_all(request.as_bytes()).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                slow.read_exact(&mut byte).unwrap();
                head.extend_from_slice(&byte);
            }
            if String::from_utf8_lossy(&head).contains("; hit") {
                return slow;
            }
        }
    }

    /// Asks on one connection as long as it is kept; an answer may say that it is the last, but
    /// each is whole.
    fn keep_asking(proxy: SocketAddr, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let mut stream = TcpStream::connect(proxy).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap());
            let mut is_last = false;
            while !is_last && !is_over.load(Ordering::Relaxed) {
                if stream.write_all(b"GET /p/1 HTTP/1.1\r\nhost: site\r\n\r\n").is_err() {
                    break; // it was closed between two answers
                }
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if answers.read_line(&mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                if head.is_empty() {
                    break;
                }
                assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
                let mut content = vec![0; content_of(1, 1).len()];
                answers.read_exact(&mut content).unwrap();
                is_last = head.to_lowercase().contains("connection: close");
            }
        }
    }

    /// A terminal that is closed, and files that may not grow beyond a limit, end other programs.
    #[test]
    fn signals_that_end_others_do_not_end_it() {
        use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
        let (site, folder) = (Site::new(), tempfile::tempdir().unwrap());
        let mut proxy = Proxy::start(serve(&site), folder.path());
        let pid = Pid::from_raw(i32::try_from(proxy.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
        let limit = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
        prlimit(Some(pid), Resource::Fsize, limit).unwrap();
        let get = |page| {
            let request =
                format!("GET /p/{page} HTTP/1.1\r\nhost: site\r\nconnection: close\r\n\r\n");
            ask(proxy.traffic, &request).unwrap()
        };
        let mut page = 0;
        until("an error of the device", || {
            page += 1;
            assert!(get(page % PAGES).0.starts_with("HTTP/1.1 200"));
            let metrics = ask(proxy.admin, METRICS).unwrap().1;
            !holds(&metrics, "shellac_storage_faults_total{reason=\"device\"} 0\n")
        });
        let _stored = get(1);
        assert!(get(1).0.contains("; hit"), "memory goes on");
        assert!(proxy.child.try_wait().unwrap().is_none());
    }

    const METRICS: &str = "GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n";

    fn holds(page: &[u8], text: &str) -> bool {
        String::from_utf8_lossy(page).contains(text)
    }

    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        for _ in 0..3000 {
            if is_so() {
                return;
            }
            pause(Duration::from_millis(10));
        }
        panic!("{what} did not come within 30 s");
    }

    /// Asks for random pages. The first thing that the first reader does after a start is to look
    /// for what was stored before it.
    fn read(
        site: &Site,
        proxy: SocketAddr,
        tally: &Tally,
        (is_over, looks_back): (&AtomicBool, bool),
        random: &mut Random,
    ) {
        let mut is_first = looks_back;
        while !is_over.load(Ordering::Relaxed) {
            let page = usize::try_from(random.below(PAGES as u64)).unwrap();
            let floor = site.floor[page].load(Ordering::Acquire);
            let fetches = site.fetches.load(Ordering::Relaxed);
            let path = path_of(page);
            let request = format!("GET {path} HTTP/1.1\r\nhost: site\r\nconnection: close\r\n\r\n");
            let Some((head, content)) = ask(proxy, &request) else {
                tally.cut.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let version = version_of(page, &content, &head);
            assert!(
                version >= floor,
                "page {page}: version {version} after the purge of {floor}\n{head}"
            );
            tally.answers.fetch_add(1, Ordering::Relaxed);
            let is_hit = head.contains("; hit");
            tally.hits.fetch_add(u64::from(is_hit), Ordering::Relaxed);
            let is_revenant = is_first && is_hit && site.fetches.load(Ordering::Relaxed) == fetches;
            tally.revenants.fetch_add(u64::from(is_revenant), Ordering::Relaxed);
            is_first = is_first && !is_hit;
        }
    }

    /// Raises versions and purges; from an acknowledgement on, nothing older may be shown.
    fn purge(
        site: &Site,
        admin: SocketAddr,
        tally: &Tally,
        is_over: &AtomicBool,
        random: &mut Random,
    ) {
        announce(site, admin); // again, if the last one came too late
        while !is_over.load(Ordering::Relaxed) {
            pause(Duration::from_millis(3));
            if random.below(200) == 0 {
                deploy(site, admin, tally);
                continue;
            }
            let page = usize::try_from(random.below(PAGES as u64)).unwrap();
            let version = site.current[page].fetch_add(1, Ordering::AcqRel) + 1;
            let body = match random.below(6) {
                0 => format!(r#"{{"tags":["page-{page}"]}}"#),
                1 => format!(r#"{{"pages":["http://site/p/{page}"]}}"#),
                2 => format!(r#"{{"paths":["http://site/p/{page}?other"]}}"#),
                3 => format!(r#"{{"all_of":["tag:page-{page}","host:site"]}}"#),
                4 => format!(r#"{{"any_of":["path:site/p/{page}"],"none_of":["tag:none"]}}"#),
                _ => format!(r#"{{"urls":["http://site{}"]}}"#, path_of(page)),
            };
            if is_done(admin, &body) {
                site.floor[page].fetch_max(version, Ordering::AcqRel);
                tally.purges.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Changes every page, and the deployment with them.
    fn deploy(site: &Site, admin: SocketAddr, tally: &Tally) {
        let raise = |version: &AtomicU64| version.fetch_add(1, Ordering::AcqRel) + 1;
        let versions: Vec<_> = site.current.iter().map(raise).collect();
        raise(&site.deployment);
        if announce(site, admin) {
            for (floor, version) in site.floor.iter().zip(versions) {
                floor.fetch_max(version, Ordering::AcqRel);
            }
            tally.purges.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn announce(site: &Site, admin: SocketAddr) -> bool {
        let deployment = site.deployment.load(Ordering::Acquire);
        is_done(admin, &format!(r#"{{"deploys":[{{"id":"d{deployment}"}}]}}"#))
    }

    fn is_done(admin: SocketAddr, body: &str) -> bool {
        let length = body.len();
        let request = format!(
            "POST /api/v1/purge HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        ask(admin, &request).is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200"))
    }

    /// One page in three is asked for with a query.
    fn path_of(page: usize) -> String {
        let query = if page % 3 == 1 { "?v=1" } else { "" };
        format!("/p/{page}{query}")
    }

    /// Sends a request and reads a whole answer; `None`: the program was killed meanwhile.
    fn ask(address: SocketAddr, request: &str) -> Option<(String, Vec<u8>)> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let content = bytes.split_off(end + 4);
        let head = String::from_utf8_lossy(&bytes).to_lowercase().replace("http/1.1", "HTTP/1.1");
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.parse().ok())?;
        (content.len() == length).then_some((head, content))
    }

    /// Each byte of a page follows from its number and version.
    fn content_of(page: usize, version: u64) -> Vec<u8> {
        let length = match page {
            LARGE => 7_900_000,
            page if page.is_multiple_of(7) => 300_000 + page,
            page => 500 + page * 300,
        };
        format!("page {page} version {version} | ").bytes().cycle().take(length).collect()
    }

    fn version_of(page: usize, content: &[u8], head: &str) -> u64 {
        let text = String::from_utf8_lossy(content.get(..60).unwrap_or_default()).into_owned();
        let version = text.split(' ').nth(3).and_then(|word| word.parse().ok());
        let version = version.unwrap_or_else(|| panic!("page {page}: {text:?}\n{head}"));
        assert!(content == content_of(page, version), "page {page}: wrong bytes\n{head}");
        version
    }

    /// An origin that answers with the page as it is when the request arrives.
    fn serve(site: &Arc<Site>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::clone(site);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let site = Arc::clone(&site);
                thread::spawn(move || answer(&site, stream));
            }
        });
        address
    }

    fn answer(site: &Site, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            let page = line.split(' ').nth(1).and_then(|path| path.strip_prefix("/p/"));
            let page: usize =
                page.and_then(|page| page.split('?').next()?.parse().ok()).unwrap_or(0);
            while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
            let deployment = site.deployment.load(Ordering::Acquire);
            let version = site.current[page].load(Ordering::Acquire);
            site.fetches.fetch_add(1, Ordering::Relaxed);
            let content = content_of(page, version);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncache-control: max-age=3600\r\nsurrogate-key: page-{page}\r\nx-deployment-id: d{deployment}\r\ncontent-length: {}\r\n\r\n",
                content.len()
            );
            if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content)).is_err()
            {
                return;
            }
        }
    }

    /// The program. Dropping it kills it.
    struct Proxy {
        child: Child,
        traffic: SocketAddr,
        admin: SocketAddr,
    }

    impl Proxy {
        fn start(origin: SocketAddr, folder: &std::path::Path) -> Self {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            Self::start_with(origin, folder, (any, any), &[])
        }

        /// Starts another one in the place of this one.
        fn take_over(old: &Self, origin: SocketAddr, folder: &std::path::Path) -> Self {
            let pid = old.child.id().to_string();
            let places = (old.traffic, old.admin);
            Self::start_with(origin, folder, places, &["--take-over", &pid])
        }

        fn start_with(
            origin: SocketAddr,
            folder: &std::path::Path,
            (listen, admin): (SocketAddr, SocketAddr),
            arguments: &[&str],
        ) -> Self {
            let config = folder.join("shellac.toml");
            let text = format!(
                "workers = 2\n[[listen]]\naddress = \"{listen}\"\n[admin]\nlisten = [\"{admin}\"]\n\
                 [origin.site]\nservers = [\"{origin}\"]\n[key]\ndeployment = {{ header = \"X-Deployment-Id\" }}\n[storage]\nkind = \"file\"\n\
                 [storage.memory]\ncapacity = \"8MiB\"\nmax_object = \"1MiB\"\n\
                 [storage.file]\npath = \"store\"\ncapacity = \"64MiB\"\nmax_object = \"8MiB\"\nsync = \"100ms\"\n"
            );
            std::fs::write(&config, text).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
            command.env_clear().current_dir(folder).arg("run").arg("--config").arg(config);
            command.args(arguments);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut output = BufReader::new(child.stderr.take().unwrap());
            let (mut said, mut line) = (Vec::new(), String::new());
            while !line.trim_start().starts_with("workers") {
                line.clear();
                assert!(output.read_line(&mut line).unwrap() > 0, "it ended at once: {said:?}");
                said.push(line.clone());
            }
            thread::spawn(move || drop(std::io::copy(&mut output, &mut std::io::sink())));
            let address = |name: &str| -> SocketAddr {
                let rest =
                    said.iter().find_map(|line| line.trim_start().strip_prefix(name)).unwrap();
                let url = rest.trim_start().strip_prefix("http://").unwrap();
                url.split(['/', ' ', '\n']).next().unwrap().parse().unwrap()
            };
            let (traffic, admin) = (address("listen"), address("admin"));
            Self { child, traffic, admin }
        }
    }

    impl Drop for Proxy {
        fn drop(&mut self) {
            let _already_ended = self.child.kill();
            let _already_waited_for = self.child.wait();
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "traffic goes on for so long, in threads of its own"
    )]
    fn pause(span: Duration) {
        thread::sleep(span);
    }

    fn setting(name: &str, default: u64) -> u64 {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: u64) -> u64 {
            (self.next() >> 16) % end
        }
    }
}
