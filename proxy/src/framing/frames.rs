//! `Frames`: where the frames of one direction of an HTTP/2 connection begin, and what they say of
//! flow control (RFC 9113 §4.1).
//!
//! Pure, and never in the way: frames that are malformed are hyper's to refuse. Bytes may come in
//! any pieces.

/// A frame that opens, feeds or closes a stream, or moves a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum H2Frame {
    /// Fields; the stream ends with them or not.
    Headers {
        stream: u32,
        is_last: bool,
    },
    /// Content: so many bytes of the windows, padding included.
    Data {
        stream: u32,
        length: u32,
        is_last: bool,
    },
    /// The stream ends at once.
    Reset {
        stream: u32,
    },
    /// A window grows; stream 0 is the connection.
    WindowUpdate {
        stream: u32,
        increment: u32,
    },
    InitialWindow(u32),
}

#[derive(Debug)]
pub(crate) struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of the next frame's head that have come.
    in_head: usize,
    /// Bytes of the payload that are still to come.
    payload_left: usize,
    /// The kind of entries in the payload, if it is read.
    entries: Entries,
    entry: [u8; SETTING_BYTES],
    in_entry: usize,
    /// A field block is open: nothing but its continuation may follow (RFC 9113 §6.10).
    is_in_block: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entries {
    Skipped,
    Settings,
    Increment { stream: u32 },
}

#[expect(clippy::big_endian_bytes, reason = "numbers in frames are big-endian (RFC 9113 §2.2)")]
impl Frames {
    /// Reads what a client sends: first the preface (RFC 9113 §3.4).
    pub(crate) const fn of_client() -> Self {
        Self { payload_left: PREFACE_BYTES, ..Self::of_server() }
    }

    pub(crate) const fn of_server() -> Self {
        Self {
            head: [0; HEAD_BYTES],
            in_head: 0,
            payload_left: 0,
            entries: Entries::Skipped,
            entry: [0; SETTING_BYTES],
            in_entry: 0,
            is_in_block: false,
        }
    }

    /// Returns whether another frame may be put in here.
    pub(crate) const fn is_between_frames(&self) -> bool {
        self.payload_left == 0 && self.in_head == 0 && !self.is_in_block
    }

    /// Reads on, and shows the frames that matter: content when it begins.
    pub(crate) fn read(&mut self, mut bytes: &[u8], show: &mut impl FnMut(H2Frame)) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let (payload, rest) = bytes.split_at(self.payload_left.min(bytes.len()));
                self.payload_left -= payload.len();
                if self.entries != Entries::Skipped {
                    self.read_entries(payload, show);
                }
                bytes = rest;
                continue;
            }
            let count = (HEAD_BYTES - self.in_head).min(bytes.len());
            let (part, rest) = bytes.split_at(count);
            for (to, from) in self.head.iter_mut().skip(self.in_head).zip(part) {
                *to = *from;
            }
            self.in_head += count;
            bytes = rest;
            if self.in_head == HEAD_BYTES {
                self.in_head = 0;
                self.begin(show);
            }
        }
    }

    fn begin(&mut self, show: &mut impl FnMut(H2Frame)) {
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let stream = u32::from_be_bytes(stream) & STREAM_MASK;
        let is_last = flags & END_STREAM != 0;
        self.payload_left = usize::try_from(length).unwrap_or(usize::MAX);
        self.entries = Entries::Skipped;
        self.in_entry = 0;
        match kind {
            DATA => show(H2Frame::Data { stream, length, is_last }),
            HEADERS => {
                self.is_in_block = flags & END_HEADERS == 0;
                show(H2Frame::Headers { stream, is_last });
            }
            CONTINUATION => self.is_in_block = flags & END_HEADERS == 0,
            RST_STREAM => show(H2Frame::Reset { stream }),
            SETTINGS => self.entries = Entries::Settings,
            WINDOW_UPDATE => self.entries = Entries::Increment { stream },
            _ => {}
        }
    }

    fn read_entries(&mut self, payload: &[u8], show: &mut impl FnMut(H2Frame)) {
        for byte in payload {
            if let Some(place) = self.entry.get_mut(self.in_entry) {
                *place = *byte;
            }
            self.in_entry += 1;
            let [first, second, third, fourth, ..] = self.entry;
            match self.entries {
                Entries::Settings if self.in_entry == SETTING_BYTES => {
                    self.in_entry = 0;
                    let [.., fifth, sixth] = self.entry;
                    if u16::from_be_bytes([first, second]) == INITIAL_WINDOW_SIZE {
                        let window = u32::from_be_bytes([third, fourth, fifth, sixth]);
                        show(H2Frame::InitialWindow(window));
                    }
                }
                Entries::Increment { stream } if self.in_entry == INCREMENT_BYTES => {
                    self.in_entry = 0;
                    let increment =
                        u32::from_be_bytes([first, second, third, fourth]) & STREAM_MASK;
                    show(H2Frame::WindowUpdate { stream, increment });
                }
                _ => {}
            }
        }
    }
}

/// Writes a frame that resets a stream because nobody takes what is on it.
#[expect(clippy::big_endian_bytes, reason = "numbers in frames are big-endian (RFC 9113 §2.2)")]
pub(crate) const fn reset(stream: u32) -> [u8; HEAD_BYTES + 4] {
    let [a, b, c, d] = stream.to_be_bytes();
    [0, 0, 4, RST_STREAM, 0, a, b, c, d, 0, 0, 0, CANCEL]
}

const HEAD_BYTES: usize = 9;
/// `PRI * HTTP/2.0`, two line ends, `SM`, two line ends.
const PREFACE_BYTES: usize = 24;
const SETTING_BYTES: usize = 6;
const INCREMENT_BYTES: usize = 4;
const STREAM_MASK: u32 = 0x7fff_ffff;

// H2Frame types (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
// Flags.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// A setting (RFC 9113 §6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;
/// An error code (RFC 9113 §7): the stream is no longer needed.
const CANCEL: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    fn conversation() -> Vec<u8> {
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9, 0, 4, 0, 0, 1, 0]),
            frame(SETTINGS, 1, 0, &[]),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 7]),
            frame(HEADERS, END_STREAM, 1, b"half"),
            frame(CONTINUATION, END_HEADERS, 1, b"rest"),
            frame(6, 0, 0, b"a ping.."),
            frame(DATA, END_STREAM, 3, b"content"),
            reset(5).to_vec(),
        ]
        .concat()
    }

    fn shown(pieces: &[&[u8]]) -> Vec<H2Frame> {
        let mut frames = Frames::of_client();
        let mut all = Vec::new();
        for piece in pieces {
            frames.read(piece, &mut |frame| all.push(frame));
        }
        assert!(frames.is_between_frames());
        all
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let bytes = conversation();
        let expected = [
            H2Frame::InitialWindow(256),
            H2Frame::WindowUpdate { stream: 0, increment: 7 },
            H2Frame::Headers { stream: 1, is_last: true },
            H2Frame::Data { stream: 3, length: 7, is_last: true },
            H2Frame::Reset { stream: 5 },
        ];
        assert_eq!(shown(&[&bytes]), expected);
        for cut in 0..bytes.len() {
            let (one, two) = bytes.split_at(cut);
            assert_eq!(shown(&[one, two]), expected, "cut at {cut}");
        }
        assert_eq!(shown(&bytes.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn nothing_fits_into_a_preface_a_frame_or_a_field_block() {
        let bytes = conversation();
        let mut frames = Frames::of_client();
        let mut gaps = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            frames.read(&[*byte], &mut |_| {});
            if frames.is_between_frames() {
                gaps.push(at + 1);
            }
        }
        assert_eq!(gaps, [24, 45, 54, 67, 93, 110, 126, 139]);
    }
}
