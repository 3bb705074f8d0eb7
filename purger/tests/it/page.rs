//! The purger's page in a real browser: its values against the API, rows of proxies and partitions,
//! keys, accessibility, what may not run in it, a purger that has ended.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _, stderr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::support::{Broker, Proxy, Purger, until_status};

/// Installs what the check needs, once; the error says why it cannot.
fn install(folder: &Path) -> Result<(), String> {
    let wanted = File::open(folder.join("package-lock.json")).map_err(|error| error.to_string())?;
    wanted.lock().map_err(|error| error.to_string())?;
    let changed = |path: &str| fs::metadata(folder.join(path)).and_then(|found| found.modified());
    let installed = changed("node_modules/.package-lock.json");
    if let (Ok(wanted), Ok(installed)) = (changed("package-lock.json"), installed)
        && installed >= wanted
    {
        return Ok(());
    }
    let output = Command::new("npm").arg("ci").current_dir(folder).output();
    let output = output.map_err(|error| format!("npm cannot be run: {error}"))?;
    let said = || format!("npm ci: {}", String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said()) }
}

fn skipped(why: &str) {
    writeln!(stderr(), "SKIPPED the purger's page in a browser: {why}").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_purgers_page_shows_the_fleet_in_a_browser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard/browser");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&chromium).exists() {
        return skipped(&format!("there is no {chromium} (Debian: apt-get install chromium)"));
    }
    if let Err(why) = install(&folder) {
        return skipped(&why);
    }
    let broker = Broker::start(2);
    let (calm, busy) = (Proxy::start(), Proxy::start());
    calm.says_live(
        r#"{"version":"9.9.8","config":{"hash":"abcdef0123456789"},"hit_ratio":{"1m":0.25},
        "rates":{"requests":10,"origin_requests":8},"uptime_seconds":60}"#,
    );
    busy.says_live(
        r#"{"version":"9.9.9<img src=x onerror=window.hacked=1>","config":{"hash":"0123456789abcdef"},
        "hit_ratio":{"1m":0.75},"rates":{"requests":30,"origin_requests":8},"uptime_seconds":90}"#,
    );
    let purger = Purger::start(&broker, &[&calm, &busy], "").await;
    for (partition, tag) in [(0, "one"), (1, "two"), (1, "three")] {
        broker.purge(partition, tag).await;
    }
    broker.write(0, "k", b"no purge").await;
    until_status(&purger, "everything to be confirmed", |status| {
        let read: i64 = status.partitions.iter().map(|one| one.read_to).sum();
        read == 4 && status.partitions.iter().all(|one| one.lag == 0) && status.dead_letters == 1
    })
    .await;

    let mut check = Command::new("node");
    check.arg("fleet.mjs").current_dir(&folder).env("CHROMIUM", chromium);
    check.arg(purger.url().trim_start_matches("http://")).args([calm.url(), busy.url()]);
    let mut check = check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, mut err) = (check.stdout.take().unwrap(), check.stderr.take().unwrap());
    let (lines, said) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _gone = lines.send(line);
        }
    });
    let watched = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        let mut purger = Some(purger);
        for line in said {
            if line == "stop" {
                drop(purger.take()); // it ends, and the page says so
            }
            all.push(line);
        }
        let mut errors = String::new();
        err.read_to_string(&mut errors).unwrap();
        (check.wait().unwrap(), all, errors)
    });
    let (status, said, errors) = watched.await.unwrap();
    assert!(status.success() && said.iter().any(|line| line == "ok all"), "{said:?}\n{errors}");
}
