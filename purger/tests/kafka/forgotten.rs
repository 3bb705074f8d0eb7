//! A broker that names no brokers.
#![expect(clippy::big_endian_bytes, reason = "Kafka's protocol is big-endian")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
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
    broker.is_asked_again();
}

#[test]
fn tail_asks_again_after_it_was_told_of_no_brokers() {
    let broker = ForgetfulBroker::start();
    let brokers = format!("brokers = [\"{}\"]", broker.address);
    let nobody = ["127.0.0.1:9".parse().unwrap()];
    let purgers = Purgers::connecting(&brokers, &[TOPIC], &nobody, "");
    let _tail = purgers.start_command("tail", &["tail", "--from", "earliest"]);
    broker.is_asked_again();
}

/// Answers questions for topics and for the extent of a log that is empty, and nothing else. It
/// names itself so many times, then nobody.
struct ForgetfulBroker {
    address: SocketAddr,
    questions: Arc<Mutex<Questions>>,
}

/// The questions for the topic.
#[derive(Default)]
struct Questions {
    count: u32,
    /// When it was first said that there are no brokers, and when somebody asked last.
    told: Option<(Instant, Instant)>,
}

/// Connections that were being made when somebody was told may ask once more until then.
const GONE: Duration = Duration::from_secs(5);
const NAMES_ITSELF: u32 = 4;

impl ForgetfulBroker {
    /// Starts one that ends with the test's process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let questions = Arc::<Mutex<Questions>>::default();
        let theirs = Arc::clone(&questions);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let questions = Arc::clone(&theirs);
                thread::spawn(move || serve(client, address.port(), &questions));
            }
        });
        Self { address, questions }
    }

    /// Waits until it is asked again, long after it has told of no brokers.
    fn is_asked_again(&self) {
        let told = || self.questions.lock().unwrap().told;
        until("it tells of no brokers", || told().is_some());
        until("it is asked again, long after", || {
            told().is_some_and(|(told, asked)| asked.duration_since(told) > GONE)
        });
    }
}

impl Questions {
    /// Notes a question; returns whether it is answered with a broker.
    fn ask(&mut self) -> bool {
        self.count += 1;
        if self.count <= NAMES_ITSELF {
            return true;
        }
        let now = Instant::now();
        self.told = Some((self.told.map_or(now, |(told, _)| told), now));
        false
    }
}

/// Answers on one connection until it ends: `size key version correlation ...`.
fn serve(mut client: TcpStream, port: u16, questions: &Mutex<Questions>) -> Option<()> {
    loop {
        let mut size = [0; 4];
        client.read_exact(&mut size).ok()?;
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(size)).ok()?];
        client.read_exact(&mut request).ok()?;
        let mut answer = request.get(4..8)?.to_vec();
        match u16::from_be_bytes(*request.first_chunk()?) {
            METADATA => {
                let is_of_topic = request.ends_with(&text(TOPIC));
                let names_itself = !is_of_topic || questions.lock().unwrap().ask();
                answer.extend(metadata(names_itself.then_some(port)));
            }
            LIST_OFFSETS => answer.extend(offsets()),
            _ => continue,
        }
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

/// Version 0 of an answer: partition 0 begins and ends at offset 0.
fn offsets() -> Vec<u8> {
    let mut answer = 1_u32.to_be_bytes().to_vec();
    answer.extend(text(TOPIC));
    answer.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]); // one partition, its number, no error
    answer.extend(1_u32.to_be_bytes());
    answer.extend(0_u64.to_be_bytes());
    answer
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

const TOPIC: &str = "site-purges";
const LIST_OFFSETS: u16 = 2;
const METADATA: u16 = 3;
const UNKNOWN_TOPIC: u16 = 3;
