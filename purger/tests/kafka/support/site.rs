//! A site: an origin, proxies before it, and whether what they show is what the origin has.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use purge_protocol::log::LogState;

use super::client::Client;
use super::origin::{Origin, shown_version};
use super::proxy::Proxy;
use super::{eventually, rest};

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) origin: Origin,
}

impl Site {
    /// Starts all of it; `log`: lines of the proxies' `[purge.log]`.
    pub(crate) fn start(pages: usize, proxies: usize, log: &str) -> Self {
        let origin = Origin::start(pages);
        let start = |number| Proxy::start(&format!("proxy {number}"), origin.address, log);
        Self { proxies: (0..proxies).map(start).collect(), origin }
    }

    /// Waits until all proxies have positions in all partitions of a topic, and are current.
    pub(crate) fn wait_for_purger(&self, topic: &str, partitions: usize) {
        for proxy in &self.proxies {
            eventually("the purger registers the proxy", || {
                let log_status = proxy.log_status();
                let positions =
                    log_status.positions.iter().filter(|p| p.log.topic == topic).count();
                let is_so = log_status.state == LogState::Current && positions == partitions;
                if is_so { Ok(()) } else { Err(format!("{log_status:?}")) }
            });
        }
    }

    /// Waits until all proxies stand at these offsets of a topic.
    pub(crate) fn wait_for_positions(&self, topic: &str, ends: &[i64]) {
        for (number, proxy) in self.proxies.iter().enumerate() {
            eventually(&format!("proxy {number} has applied everything"), || {
                let positions: Vec<i64> = proxy.positions(topic).into_values().collect();
                if positions == ends { Ok(()) } else { Err(format!("{positions:?} of {ends:?}")) }
            });
        }
    }

    pub(crate) fn warm(&self, pages: Range<usize>) {
        for proxy in &self.proxies {
            let mut client = proxy.client();
            for page in pages.clone() {
                let path = format!("/p/{page}");
                assert_eq!(client.get(&path).unwrap().status, 200);
            }
            let last = format!("/p/{}", pages.end - 1);
            assert!(client.get(&last).unwrap().is_hit(), "the proxy stores pages");
        }
    }

    /// Fails if some proxy shows another version of these pages than the origin has.
    pub(crate) fn assert_fresh(&self, pages: Range<usize>) {
        for (number, proxy) in self.proxies.iter().enumerate() {
            let mut client = proxy.client();
            let is_stale =
                |page: &usize| shown(&mut client, *page).0 != Some(self.origin.version(*page));
            let stale: Vec<usize> = pages.clone().filter(is_stale).collect();
            assert!(stale.is_empty(), "proxy {number} shows stale pages: {stale:?}");
        }
    }

    /// Fails unless all proxies answer with this version of these pages from what they stored.
    pub(crate) fn assert_untouched(&self, pages: Range<usize>, version: u64) {
        for (number, proxy) in self.proxies.iter().enumerate() {
            let mut client = proxy.client();
            let is_touched = |page: &usize| shown(&mut client, *page) != (Some(version), true);
            let touched: Vec<usize> = pages.clone().filter(is_touched).collect();
            assert!(touched.is_empty(), "proxy {number} lost pages without reason: {touched:?}");
        }
    }

    /// Visitors, one at each proxy, who read these pages again and again until they are told to
    /// stop.
    pub(crate) fn visitors(&self, pages: Range<usize>) -> Visitors {
        let stop = Arc::new(AtomicBool::new(false));
        let visit = |(number, proxy): (usize, &Proxy)| {
            let (mut client, stop) = (proxy.client(), Arc::clone(&stop));
            let (pages, mut state) = (pages.clone(), number);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let page = pages.start + (state >> 33) % pages.len();
                    let _maybe_stopped = client.get(&format!("/p/{page}"));
                    rest(Duration::from_millis(1));
                }
            })
        };
        let threads = self.proxies.iter().enumerate().map(visit).collect();
        Visitors { stop, threads }
    }
}

#[derive(Debug)]
pub(crate) struct Visitors {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Visitors {
    pub(crate) fn leave(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            thread.join().unwrap();
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The version that a page shows, and whether the proxy answered by itself.
pub(crate) fn shown(client: &mut Client, page: usize) -> (Option<u64>, bool) {
    let answer = client.get(&format!("/p/{page}")).expect("the proxy answers");
    (shown_version(&answer.text()), answer.is_hit())
}
