//! `Replay`: the beginning of a request's content, kept until its response begins. A server that
//! did not process the request takes no content with it (RFC 9113 §8.7).

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

#[derive(Debug, Default)]
pub(super) struct Replay {
    pieces: Vec<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    /// The trailers are to be given again.
    are_trailers_due: bool,
    is_ended: bool,
    /// Not all that was taken is here.
    is_lost: bool,
    /// The next piece to be given again.
    next: usize,
}

impl Replay {
    /// Keeps a copy of what the client sent, as long as it is little.
    pub(super) fn note(&mut self, frame: Option<&Frame<Bytes>>) {
        match frame {
            None => self.is_ended = true,
            Some(frame) => {
                if let Some(data) = frame.data_ref() {
                    self.keep(data);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.trailers = Some(trailers.clone());
                    self.is_ended = true;
                }
            }
        }
        self.next = self.pieces.len();
    }

    fn keep(&mut self, data: &Bytes) {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.bytes <= BYTES_MAX {
            self.pieces.push(Bytes::copy_from_slice(data));
        } else {
            self.forget();
        }
    }

    /// Keeps nothing any more: the response has begun.
    pub(super) fn forget(&mut self) {
        *self = Self { is_lost: true, ..Self::default() };
    }

    /// Begins again. Returns whether everything that was taken is here.
    pub(super) fn rewind(&mut self) -> bool {
        self.next = 0;
        self.are_trailers_due = self.trailers.is_some();
        !self.is_lost
    }

    /// Returns the next frame that is given again.
    pub(super) fn take(&mut self) -> Option<Frame<Bytes>> {
        if let Some(piece) = self.pieces.get(self.next) {
            self.next += 1;
            return Some(Frame::data(piece.clone()));
        }
        let trailers = self.trailers.clone().filter(|_| self.are_trailers_due);
        self.are_trailers_due = false;
        trailers.map(Frame::trailers)
    }

    /// Returns whether the client has sent everything.
    pub(super) const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns whether content is to be given again.
    pub(super) fn has_more(&self) -> bool {
        self.next < self.pieces.len() || self.are_trailers_due
    }

    /// Returns the bytes that are to be given again.
    pub(super) fn left(&self) -> u64 {
        self.pieces.iter().skip(self.next).map(|piece| piece.len() as u64).sum()
    }
}

/// Most messages of calls and forms fit in.
const BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    fn again(replay: &mut Replay) -> String {
        let mut all = String::new();
        while let Some(frame) = replay.take() {
            all += match frame.into_data() {
                Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
                Err(frame) => format!("{:?}", frame.into_trailers().unwrap()),
            }
            .as_str();
        }
        all
    }

    #[test]
    fn what_was_taken_is_given_again_and_then_the_client_goes_on() {
        let mut replay = Replay::default();
        replay.note(Some(&data("one")));
        replay.note(Some(&data("two")));
        assert!(!replay.has_more());

        assert!(replay.rewind());
        assert_eq!((replay.left(), again(&mut replay).as_str()), (6, "onetwo"));
        assert!(!replay.is_ended());
        replay.note(Some(&data("three")));
        replay.note(None);
        assert!(replay.rewind());
        assert_eq!(again(&mut replay), "onetwothree");
        assert!(replay.is_ended());
    }

    #[test]
    fn trailers_come_again_at_the_end() {
        let mut replay = Replay::default();
        replay.note(Some(&data("one")));
        let trailers = HeaderMap::from_iter([(http::header::AGE, 1.into())]);
        replay.note(Some(&Frame::trailers(trailers)));
        assert!(!replay.has_more() && replay.take().is_none(), "they were given once");

        assert!(replay.rewind());
        assert_eq!(again(&mut replay), "one{\"age\": \"1\"}");
    }

    #[test]
    fn long_content_and_content_of_an_answered_request_are_not_kept() {
        let mut replay = Replay::default();
        replay.note(Some(&Frame::data(vec![0; BYTES_MAX].into())));
        assert!(replay.rewind());
        replay.note(Some(&data("x")));
        assert!(!replay.rewind());

        let mut replay = Replay::default();
        replay.forget();
        assert!(!replay.rewind());
    }
}
