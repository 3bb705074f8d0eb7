//! A broker that names no brokers.
#![expect(clippy::big_endian_bytes, reason = "Kafka's protocol is big-endian")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::purger::Purgers;
use crate::support::until;

/// A broker that has just started may know neither brokers nor topics. librdkafka 2.12.1 forgets
/// all that it knew then, the addresses of the configuration too (its issue 5301).
#[test]
fn a_purger_asks_again_after_it_was_told_of_no_brokers() {
    let broker = ForgetfulBroker::start();
    let brokers = format!("brokers = [\"{}\"]", broker.address);
    let nobody = ["127.0.0.1:9".parse().unwrap()];
    let _purger = Purgers::connecting(&brokers, &[TOPIC], &nobody, "").start("purger");
    let mut left = Instant::now();
    until("it is told of no brokers, and leaves", || {
        if !broker.is_left() {
            left = Instant::now(); // a connection that was being made asks once more
        }
        left.elapsed() > GONE
    });
    let asked = broker.asked();
    until("it asks again", || broker.asked() > asked);
}

/// Answers questions for topics, and nothing else. It names itself so many times, then nobody.
struct ForgetfulBroker {
    address: SocketAddr,
    talks: Arc<Talks>,
}

#[derive(Default)]
struct Talks {
    asked: AtomicU32,
    /// The connections on which somebody has asked for the topic.
    open: AtomicU32,
}

/// Somebody who is away so long does not come back by himself.
const GONE: Duration = Duration::from_secs(2);
const NAMES_ITSELF: u32 = 4;

impl ForgetfulBroker {
    /// Starts one that ends with the test's process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let talks = Arc::<Talks>::default();
        let theirs = Arc::clone(&talks);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let talks = Arc::clone(&theirs);
                thread::spawn(move || {
                    let mut has_asked = false;
                    let _ended = serve(client, address.port(), &talks, &mut has_asked);
                    talks.open.fetch_sub(u32::from(has_asked), Ordering::SeqCst);
                });
            }
        });
        Self { address, talks }
    }

    fn asked(&self) -> u32 {
        self.talks.asked.load(Ordering::SeqCst)
    }

    /// Returns whether nobody is there who has asked for the topic, after it named no brokers.
    fn is_left(&self) -> bool {
        self.asked() > NAMES_ITSELF && self.talks.open.load(Ordering::SeqCst) == 0
    }
}

/// Answers on one connection until it ends: `size key version correlation ...`.
fn serve(mut client: TcpStream, port: u16, talks: &Talks, has_asked: &mut bool) -> Option<()> {
    loop {
        let mut size = [0; 4];
        client.read_exact(&mut size).ok()?;
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(size)).ok()?];
        client.read_exact(&mut request).ok()?;
        if request.get(..2)? != METADATA.to_be_bytes() {
            continue;
        }
        let mut names_itself = true;
        if request.ends_with(&text(TOPIC)) {
            if !std::mem::replace(has_asked, true) {
                talks.open.fetch_add(1, Ordering::SeqCst);
            }
            names_itself = talks.asked.fetch_add(1, Ordering::SeqCst) < NAMES_ITSELF;
        }
        let mut answer = request.get(4..8)?.to_vec();
        answer.extend(metadata(names_itself.then_some(port)));
        let size = u32::try_from(answer.len()).ok()?;
        client.write_all(&[&size.to_be_bytes(), &*answer].concat()).ok()?;
    }
}

/// Version 0 of an answer: the brokers, and the topics with the partitions that they lead.
fn metadata(port: Option<u16>) -> Vec<u8> {
    let (error, count) = if port.is_some() { (0_u16, 1_u32) } else { (UNKNOWN_TOPIC, 0) };
    let mut answer = count.to_be_bytes().to_vec();
    if let Some(port) = port {
        answer.extend(0_u32.to_be_bytes());
        answer.extend(text("127.0.0.1"));
        answer.extend(u32::from(port).to_be_bytes());
    }
    answer.extend(1_u32.to_be_bytes());
    answer.extend(error.to_be_bytes());
    answer.extend(text(TOPIC));
    answer.extend(count.to_be_bytes());
    if port.is_some() {
        // No error, partition 0, led by 0, which is its only replica.
        answer.extend(0_u16.to_be_bytes());
        for number in [0_u32, 0, 1, 0, 1, 0] {
            answer.extend(number.to_be_bytes());
        }
    }
    answer
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

const TOPIC: &str = "site-purges";
const METADATA: u16 = 3;
const UNKNOWN_TOPIC: u16 = 3;
