//! A broker that asks its clients to log in: it stands before another one, which asks for nothing,
//! speaks SASL as Kafka does (KIP-43, KIP-152; RFC 4616, 5802, 7628), and passes everything on that
//! follows.
//!
//! It listens on another loopback address at the same port, and puts that address into all answers:
//! both are of the same length.

#![expect(clippy::big_endian_bytes, reason = "the protocol is big-endian")]

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Broker;

const INNER: &[u8] = b"127.0.0.1";
const OUTER: &[u8] = b"127.0.0.2";

const API_VERSIONS: i16 = 18;
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
const UNSUPPORTED_MECHANISM: i16 = 33;
const AUTHENTICATION_FAILED: i16 = 58;

pub(crate) struct LoginBroker {
    pub(crate) address: String,
    rules: Arc<Rules>,
    serving: JoinHandle<()>,
}

struct Rules {
    mechanism: &'static str,
    user: &'static str,
    /// The password, or the token.
    secret: Mutex<String>,
    logins: Mutex<usize>,
}

impl LoginBroker {
    /// Lets clients through to `broker` that log in by this mechanism as this user.
    pub(crate) async fn before(
        broker: &Broker,
        mechanism: &'static str,
        user: &'static str,
        secret: &str,
    ) -> Self {
        let inner: SocketAddr = broker.address().parse().unwrap();
        let outer = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), inner.port()));
        let listener = TcpListener::bind(outer).await.unwrap();
        let rules = Arc::new(Rules {
            mechanism,
            user,
            secret: Mutex::new(secret.to_owned()),
            logins: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, inner, Arc::clone(&rules)));
        Self { address: outer.to_string(), rules, serving }
    }

    pub(crate) fn logins(&self) -> usize {
        *self.rules.logins.lock()
    }
}

impl Drop for LoginBroker {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, inner: SocketAddr, rules: Arc<Rules>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let rules = Arc::clone(&rules);
        connections.spawn(async move {
            let broker = TcpStream::connect(inner).await.ok()?;
            converse(client, broker, &rules).await
        });
    }
}

/// One connection. `None`: it has ended.
async fn converse(mut client: TcpStream, mut broker: TcpStream, rules: &Rules) -> Option<()> {
    let mut exchange = Exchange::new(rules);
    while !exchange.is_over {
        let request = frame(&mut client).await?;
        let answer = match (field(&request, 0)?, field(&request, 2)?) {
            (API_VERSIONS, _) => {
                send(&mut broker, &request).await?;
                with_sasl(frame(&mut broker).await?)
            }
            (SASL_HANDSHAKE, _) => exchange.handshake(&request)?,
            (SASL_AUTHENTICATE, version) => exchange.authenticate(&request, version)?,
            _ => return None, // Kafka closes the connection as well
        };
        send(&mut client, &answer).await?;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    tokio::select! {
        _ended = tokio::io::copy(&mut from_client, &mut to_broker) => None,
        ended = async {
            loop {
                let mut answer = frame(&mut from_broker).await?;
                readdress(&mut answer);
                to_client.write_all(&length(&answer)).await.ok()?;
                to_client.write_all(&answer).await.ok()?;
            }
        } => ended,
    }
}

async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn send(stream: &mut TcpStream, frame: &[u8]) -> Option<()> {
    stream.write_all(&[&length(frame), frame].concat()).await.ok()
}

fn length(frame: &[u8]) -> [u8; 4] {
    u32::try_from(frame.len()).unwrap().to_be_bytes()
}

fn field(bytes: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn readdress(answer: &mut [u8]) {
    for at in 0..answer.len().saturating_sub(INNER.len()) {
        if answer[at..].starts_with(INNER) {
            answer[at..at + OUTER.len()].copy_from_slice(OUTER);
        }
    }
}

/// Adds both calls of SASL to the answer of `ApiVersions`: of version 3 if its array is compact,
/// else of an earlier one.
fn with_sasl(mut answer: Vec<u8>) -> Vec<u8> {
    const KEYS: [(i16, i16); 2] = [(SASL_HANDSHAKE, 1), (SASL_AUTHENTICATE, 1)];
    let count = answer[6..10].to_vec();
    let is_compact = count[0] != 0;
    let tags: &[u8] = if is_compact { &[0] } else { &[] };
    let entry = |(key, version_max): (i16, i16)| {
        [&key.to_be_bytes()[..], &0_i16.to_be_bytes(), &version_max.to_be_bytes(), tags].concat()
    };
    let entries: Vec<u8> = KEYS.into_iter().flat_map(entry).collect();
    let begin = if is_compact {
        assert!(count[0] < 120, "a length of one byte");
        answer[6] += 2;
        7
    } else {
        let count = u32::from_be_bytes(count.try_into().unwrap()) + 2;
        answer[6..10].copy_from_slice(&count.to_be_bytes());
        10
    };
    answer.splice(begin..begin, entries);
    answer
}

/// The steps of one login.
struct Exchange<'a> {
    rules: &'a Rules,
    is_over: bool,
    /// Of SCRAM: the client's first message without its header, and the server's.
    first: Option<(String, String)>,
}

/// The server's next message, or the refusal of the login.
type Step = Result<String, &'static str>;

impl<'a> Exchange<'a> {
    const fn new(rules: &'a Rules) -> Self {
        Self { rules, is_over: false, first: None }
    }

    fn handshake(&self, request: &[u8]) -> Option<Vec<u8>> {
        let (name, _) = text(request, content_at(request)?)?;
        let error = if name == self.rules.mechanism { 0 } else { UNSUPPORTED_MECHANISM };
        let mut answer = request.get(4..8)?.to_vec();
        answer.extend(error.to_be_bytes());
        answer.extend(1_u32.to_be_bytes());
        put_text(&mut answer, self.rules.mechanism);
        Some(answer)
    }

    fn authenticate(&mut self, request: &[u8], version: i16) -> Option<Vec<u8>> {
        let at = content_at(request)? + 4;
        let message = String::from_utf8(request.get(at..)?.to_vec()).ok()?;
        let step = match self.rules.mechanism {
            "PLAIN" => self.plain(&message),
            "OAUTHBEARER" => self.bearer(&message),
            "SCRAM-SHA-256" => self.scram(&message, &SHA_256),
            _ => self.scram(&message, &SHA_512),
        };
        let mut answer = request.get(4..8)?.to_vec();
        let bytes = match &step {
            Ok(next) => {
                answer.extend(0_i16.to_be_bytes());
                answer.extend((-1_i16).to_be_bytes());
                next.as_bytes()
            }
            Err(why) => {
                answer.extend(AUTHENTICATION_FAILED.to_be_bytes());
                put_text(&mut answer, why);
                b""
            }
        };
        answer.extend(length(bytes));
        answer.extend(bytes);
        if version > 0 {
            answer.extend(0_i64.to_be_bytes());
        }
        if self.is_over && step.is_ok() {
            *self.rules.logins.lock() += 1;
        }
        Some(answer)
    }

    fn plain(&mut self, message: &str) -> Step {
        let secret = self.rules.secret.lock();
        self.is_over = message == format!("\0{}\0{secret}", self.rules.user);
        if self.is_over { Ok(String::new()) } else { Err("Invalid username or password") }
    }

    fn bearer(&mut self, message: &str) -> Step {
        let secret = self.rules.secret.lock();
        self.is_over = message.contains(&format!("\u{1}auth=Bearer {secret}\u{1}"));
        if self.is_over { Ok(String::new()) } else { Err("{\"status\":\"invalid_token\"}") }
    }

    fn scram(&mut self, message: &str, hash: &Hash) -> Step {
        let failed = Err("Authentication failed during authentication due to invalid credentials");
        let value = |name: &str| message.split(',').find_map(|part| part.strip_prefix(name));
        let Some((client, server)) = &self.first else {
            let nonce = format!("{}server", value("r=").unwrap_or_default());
            let server = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(SALT));
            let client = message.trim_start_matches("n,,").to_owned();
            if value("n=") != Some(self.rules.user) {
                return failed;
            }
            self.first = Some((client, server.clone()));
            return Ok(server);
        };
        let (without_proof, proof) = message.split_once(",p=").unwrap_or_default();
        let signed = format!("{client},{server},{without_proof}");
        let salted = hash.salted(&self.rules.secret.lock());
        let client_key = hash.sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash.digest, &client_key);
        let signature = hash.sign(stored_key.as_ref(), signed.as_bytes());
        let expected: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        if STANDARD.decode(proof) != Ok(expected) {
            return failed;
        }
        self.is_over = true;
        let server_key = hash.sign(&salted, b"Server Key");
        Ok(format!("v={}", STANDARD.encode(hash.sign(&server_key, signed.as_bytes()))))
    }
}

struct Hash {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

static SHA_256: Hash =
    Hash { digest: &digest::SHA256, hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256 };
static SHA_512: Hash =
    Hash { digest: &digest::SHA512, hmac: hmac::HMAC_SHA512, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512 };

impl Hash {
    fn salted(&self, password: &str) -> Vec<u8> {
        let mut salted = vec![0; self.digest.output_len()];
        let iterations = NonZeroU32::new(ITERATIONS).unwrap();
        pbkdf2::derive(self.pbkdf2, iterations, SALT, password.as_bytes(), &mut salted);
        salted
    }

    fn sign(&self, key: &[u8], text: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac, key), text).as_ref().to_vec()
    }
}

const SALT: &[u8] = b"a grain of salt";
const ITERATIONS: u32 = 4096;

/// Where a request's content begins: behind its kind, version, number and the client's name.
fn content_at(request: &[u8]) -> Option<usize> {
    Some(text(request, 8)?.1)
}

/// A text and where it ends.
fn text(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let length = usize::try_from(field(bytes, at)?).unwrap_or(0);
    let end = at + 2 + length;
    Some((std::str::from_utf8(bytes.get(at + 2..end)?).ok()?, end))
}

fn put_text(answer: &mut Vec<u8>, text: &str) {
    answer.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    answer.extend(text.as_bytes());
}
