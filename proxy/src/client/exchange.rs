//! `ExchangeState`: what the socket and the service of one HTTP/1 connection tell each other about
//! its requests.
//!
//! hyper stands between them and answers one request after the other, so a number is enough to say
//! which one is meant. The socket knows which request breaks the rules of framing; the service
//! answers it. The service knows what became of a request to switch protocols; the socket holds
//! back what comes after it until then. And interim responses (RFC 9110 §15.2), which hyper does
//! not send, go from the one to the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use crate::field::hop_by_hop;
use crate::framing::Violation;

/// The state of one connection's requests. Requests count from 1.
#[derive(Debug, Default)]
pub struct ExchangeState {
    calls: AtomicU64,
    /// The request after which the socket waits for a decision; 0: it does not. With [`ENDING`],
    /// the connection ends with the next response.
    undecided: AtomicU64,
    refused: OnceLock<(u64, Violation)>,
    /// `waiting` names a request: hits need not look.
    is_waiting: AtomicBool,
    has_interim: AtomicBool,
    exchange: Mutex<ExchangeSignals>,
}

#[derive(Debug, Default)]
struct ExchangeSignals {
    is_switched: Option<bool>,
    /// The request that is being answered and has no final response yet; 0: none.
    waiting: u64,
    interim: Vec<u8>,
    reader: Option<Waker>,
}

impl ExchangeState {
    /// The service is given a request: returns its number, and why it is refused if it is.
    pub(crate) fn on_call(&self) -> (u64, Option<Violation>) {
        let number = self.calls.load(Ordering::Relaxed) + 1; // one task calls
        self.calls.store(number, Ordering::Relaxed);
        let refused = self.refused.get().filter(|(refused, _)| *refused == number);
        (number, refused.map(|(_, violation)| *violation))
    }

    /// The service has to wait for the response to this request: there may be interim ones.
    pub(crate) fn on_waiting(&self, number: u64) {
        self.exchange.lock().waiting = number;
        self.is_waiting.store(true, Ordering::Relaxed);
    }

    /// The response to this request is there; it switches protocols, or not. Returns whether it is
    /// the last of its connection.
    #[inline]
    pub(crate) fn on_answer(&self, number: u64, is_switched: bool) -> bool {
        let undecided = self.undecided.load(Ordering::Relaxed);
        // None is undecided that did not come yet.
        undecided >= number && self.on_special_answer(undecided, number, is_switched)
    }

    #[cold]
    fn on_special_answer(&self, undecided: u64, number: u64, is_switched: bool) -> bool {
        if undecided & !ENDING == number {
            let mut exchange = self.exchange.lock();
            exchange.is_switched = Some(is_switched);
            exchange.wake();
        }
        undecided & ENDING != 0
    }

    /// The next response is the last of the connection.
    pub(crate) fn end_with_next(&self) {
        self.undecided.fetch_or(ENDING, Ordering::Relaxed);
    }

    /// Returns the number of requests that the service was given.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// There will be no more interim responses.
    pub(crate) fn on_waited(&self) {
        let mut exchange = self.exchange.lock();
        self.is_waiting.store(false, Ordering::Relaxed);
        exchange.waiting = 0;
        exchange.interim.clear();
        self.has_interim.store(false, Ordering::Relaxed);
    }

    /// The socket has replaced this request: whatever the service is given is to be refused.
    pub(crate) fn refuse(&self, number: u64, violation: Violation) {
        self.refused.get_or_init(|| (number, violation));
    }

    /// The socket lets nothing pass after this request until it is decided.
    pub(crate) fn await_decision(&self, number: u64) {
        let ending = self.undecided.load(Ordering::Relaxed) & ENDING;
        self.undecided.store(number | ending, Ordering::Relaxed); // one task writes
    }

    /// Returns whether protocols were switched, once it is known; else `reader` is woken then.
    pub(crate) fn decision(&self, reader: &Waker) -> Option<bool> {
        let mut exchange = self.exchange.lock();
        let decision = exchange.is_switched.take();
        if decision.is_some() {
            self.undecided.fetch_and(ENDING, Ordering::Relaxed);
        } else {
            exchange.reader = Some(reader.clone());
        }
        decision
    }

    /// Takes the interim responses that are to be sent now.
    pub(crate) fn interim(&self) -> Option<Vec<u8>> {
        if !self.has_interim.load(Ordering::Relaxed) {
            return None;
        }
        let mut exchange = self.exchange.lock();
        self.has_interim.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut exchange.interim)).filter(|bytes| !bytes.is_empty())
    }

    /// Says whom to wake for an interim response, if there may be one.
    pub(crate) fn register(&self, reader: &Waker) {
        if !self.is_waiting.load(Ordering::Relaxed) {
            return;
        }
        let mut exchange = self.exchange.lock();
        if !exchange.reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
            exchange.reader = Some(reader.clone());
        }
        if !exchange.interim.is_empty() {
            reader.wake_by_ref();
        }
    }

    /// Gives an interim response to the socket, if the request still waits for its final one.
    fn send_interim(&self, number: u64, bytes: &[u8]) {
        let mut exchange = self.exchange.lock();
        if exchange.waiting == number && exchange.interim.len() + bytes.len() <= INTERIM_BYTES_MAX {
            exchange.interim.extend_from_slice(bytes);
            self.has_interim.store(true, Ordering::Relaxed);
            exchange.wake();
        }
    }
}

/// Relays interim responses to the client of one request.
#[derive(Clone, Debug)]
pub struct Interim {
    inspection: Arc<ExchangeState>,
    number: u64,
}

impl Interim {
    pub(crate) const fn new(inspection: Arc<ExchangeState>, number: u64) -> Self {
        Self { inspection, number }
    }

    /// Sends one, if the client still waits for the final response. A 100 is ours to send, and a
    /// 101 is none.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) {
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let mut fields = fields.clone();
        hop_by_hop::remove(&mut fields);
        let reason = status.canonical_reason().unwrap_or_default();
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
        for (name, value) in &fields {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        self.inspection.send_interim(self.number, &text);
    }
}

impl ExchangeSignals {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Above all numbers of requests.
const ENDING: u64 = 1 << 63;
/// Interim responses that may wait for the socket: more are left out, as they may be (RFC 9110
/// §15.2 asks no client for them).
const INTERIM_BYTES_MAX: usize = 32 << 10;
