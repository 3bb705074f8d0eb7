//! What the tests stand on: a broker, an origin, proxies and purgers as processes, and how to wait
//! for something.

pub(crate) mod client;
pub(crate) mod guard;
pub(crate) mod kafka;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod purger;
pub(crate) mod site;
pub(crate) mod relay;

use std::fmt::Display;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take before a test gives up. The machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again until there is an answer; fails with the last reason when that takes too long.
pub(crate) fn eventually<T, E: Display>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(reason) if Instant::now() > deadline => panic!("{what}: {reason}"),
            Err(_) => pause(),
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || if is_so() { Ok(()) } else { Err("it is not") });
}

pub(crate) fn pause() {
    rest(Duration::from_millis(20));
}

/// Lets time pass where time itself is what a test is about: how long somebody is away.
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
pub(crate) fn rest(time: Duration) {
    std::thread::sleep(time);
}

/// A free port that no outgoing connection takes while its server is away: below the range that
/// those are given.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 11_000;
    const COUNT: u16 = 20_000;
    let seed = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (seed.wrapping_mul(7).wrapping_add(step)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// One of the few tests that run at once: each has several processes, and what it waits for takes
/// them all.
#[derive(Debug)]
pub(crate) struct Turn;

static TURNS: (Mutex<usize>, Condvar) = (Mutex::new(TURNS_MAX), Condvar::new());
const TURNS_MAX: usize = 2;

impl Turn {
    /// Waits for a turn, which ends when it is dropped.
    pub(crate) fn take() -> Self {
        let (left, returned) = &TURNS;
        let left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left =
            returned.wait_while(left, |left| *left == 0).unwrap_or_else(PoisonError::into_inner);
        *left -= 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (left, returned) = &TURNS;
        *left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        returned.notify_one();
    }
}
