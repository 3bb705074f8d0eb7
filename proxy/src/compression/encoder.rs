//! `Encoder`: one content coding of one response, piece by piece.

use std::fmt;
use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression as GzipLevel;
use flate2::write::GzEncoder;
use settings::{Coding, CompressionLevels};

/// A compressor that has not seen the end of its content.
pub struct Encoder(Kind);

enum Kind {
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// Takes nothing more.
    Finished(Vec<u8>),
    /// Gives its content back once, and breaks down then.
    #[cfg(test)]
    Faulty(Fault, Vec<u8>),
}

#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Error,
    Panic,
}

impl Encoder {
    /// `length` is that of the content, if it is known: a small one needs small tables.
    pub fn new(
        coding: Coding,
        levels: &CompressionLevels,
        length: Option<u64>,
    ) -> io::Result<Self> {
        let kind = match coding {
            Coding::Br => {
                let window = window_bits(length);
                let buffer = BUFFER_BYTES;
                let writer =
                    brotli::CompressorWriter::new(Vec::new(), buffer, levels.br.min(11), window);
                Kind::Br(Box::new(writer))
            }
            Coding::Gzip => Kind::Gzip(GzEncoder::new(Vec::new(), GzipLevel::new(levels.gzip))),
            Coding::Zstd => {
                let level = i32::try_from(levels.zstd).unwrap_or(3);
                let mut writer = zstd::stream::write::Encoder::new(Vec::new(), level)?;
                writer.window_log(window_bits(length))?;
                Kind::Zstd(writer)
            }
        };
        Ok(Self(kind))
    }

    #[cfg(test)]
    pub(crate) const fn faulty(fault: Fault) -> Self {
        Self(Kind::Faulty(fault, Vec::new()))
    }

    /// Takes content in, and returns what there is of its compressed form.
    pub fn write(&mut self, content: &[u8]) -> io::Result<Bytes> {
        match &mut self.0 {
            Kind::Br(writer) => writer.write_all(content)?,
            Kind::Gzip(writer) => writer.write_all(content)?,
            Kind::Zstd(writer) => writer.write_all(content)?,
            #[cfg(test)]
            Kind::Faulty(fault, taken) => fault.write(taken, content)?,
            Kind::Finished(_) => return Err(io::Error::other(AFTER_THE_END)),
        }
        Ok(self.take())
    }

    /// Returns what makes all content that was taken in readable: its source pauses.
    pub fn flush(&mut self) -> io::Result<Bytes> {
        match &mut self.0 {
            Kind::Br(writer) => writer.flush()?,
            Kind::Gzip(writer) => writer.flush()?,
            Kind::Zstd(writer) => writer.flush()?,
            #[cfg(test)]
            Kind::Faulty(..) => {}
            Kind::Finished(_) => return Err(io::Error::other(AFTER_THE_END)),
        }
        Ok(self.take())
    }

    /// Returns the end of the compressed form.
    pub fn finish(&mut self) -> io::Result<Bytes> {
        let end = match std::mem::replace(&mut self.0, Kind::Finished(Vec::new())) {
            Kind::Br(writer) => writer.into_inner(),
            Kind::Gzip(writer) => writer.finish()?,
            Kind::Zstd(writer) => writer.finish()?,
            #[cfg(test)]
            Kind::Faulty(..) => return Ok(Bytes::new()),
            Kind::Finished(_) => return Err(io::Error::other(AFTER_THE_END)),
        };
        Ok(end.into_boxed_slice().into())
    }

    fn take(&mut self) -> Bytes {
        let written = match &mut self.0 {
            Kind::Br(writer) => std::mem::take(writer.get_mut()),
            Kind::Gzip(writer) => std::mem::take(writer.get_mut()),
            Kind::Zstd(writer) => std::mem::take(writer.get_mut()),
            #[cfg(test)]
            Kind::Faulty(_, taken) => std::mem::replace(taken, Vec::with_capacity(1)),
            Kind::Finished(rest) => std::mem::take(rest),
        };
        written.into_boxed_slice().into()
    }
}

#[cfg(test)]
impl Fault {
    fn write(self, taken: &mut Vec<u8>, content: &[u8]) -> io::Result<()> {
        match self {
            _ if taken.capacity() == 0 => taken.extend_from_slice(content), // the first time
            Self::Error => return Err(io::Error::other("out of order")),
            Self::Panic => panic!("out of order"),
        }
        Ok(())
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Encoder")
    }
}

/// Returns the window for content of this length: no larger than helps. Browsers take zstd up to
/// 2^23; a large window costs its bytes while it is in use, here and in each client.
fn window_bits(length: Option<u64>) -> u32 {
    let needed = length.map_or(WINDOW_BITS_MAX, |length| u64::BITS - length.leading_zeros());
    needed.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
}

const AFTER_THE_END: &str = "content after its end";
const WINDOW_BITS_MIN: u32 = 14;
/// 1 MiB.
const WINDOW_BITS_MAX: u32 = 20;
/// The output buffer of brotli's writer.
const BUFFER_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::{any, prop, proptest};

    use super::*;
    use crate::compression::ALL;

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Br => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
            Coding::Zstd => {
                zstd::stream::read::Decoder::new(coded).unwrap().read_to_end(&mut plain)
            }
        }
        .unwrap();
        plain
    }

    fn new(coding: Coding, length: Option<u64>) -> Encoder {
        Encoder::new(coding, &CompressionLevels::default(), length).unwrap()
    }

    fn encoded(coding: Coding, pieces: &[Vec<u8>], length: Option<u64>) -> Vec<u8> {
        let mut encoder = new(coding, length);
        let mut all = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            all.extend_from_slice(&encoder.write(piece).unwrap());
            if number % 3 == 1 {
                all.extend_from_slice(&encoder.flush().unwrap());
            }
        }
        all.extend_from_slice(&encoder.finish().unwrap());
        all
    }

    #[test]
    fn text_becomes_smaller_at_every_level() {
        let text = "<li class=\"item\">one of many</li>\n".repeat(400).into_bytes();
        for coding in ALL {
            for level in [1, 3, 6, 9] {
                let levels = CompressionLevels { br: level, gzip: level, zstd: level };
                let length = text.len() as u64;
                let mut encoder = Encoder::new(coding, &levels, Some(length)).unwrap();
                let mut all = encoder.write(&text).unwrap().to_vec();
                all.extend_from_slice(&encoder.finish().unwrap());
                assert!(all.len() * 10 < text.len(), "{coding:?} {level}: {}", all.len());
                assert_eq!(decoded(coding, &all), text);
            }
        }
    }

    #[test]
    fn what_was_flushed_can_be_read_before_the_end() {
        for coding in ALL {
            let mut encoder = new(coding, None);
            let mut sent = encoder.write(b"<html><body>first").unwrap().to_vec();
            sent.extend_from_slice(&encoder.flush().unwrap());
            let mut plain = vec![0; 17];
            match coding {
                Coding::Br => brotli::Decompressor::new(&*sent, 4096).read_exact(&mut plain),
                Coding::Gzip => flate2::read::GzDecoder::new(&*sent).read_exact(&mut plain),
                Coding::Zstd => {
                    zstd::stream::read::Decoder::new(&*sent).unwrap().read_exact(&mut plain)
                }
            }
            .unwrap();
            assert_eq!(plain, b"<html><body>first", "{coding:?}");
        }
    }

    proptest! {
        #[test]
        fn every_body_comes_back_through_every_coding(
            pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8), is_known in any::<bool>(),
        ) {
            let plain = pieces.concat();
            let length = is_known.then_some(plain.len() as u64);
            for coding in ALL {
                assert_eq!(decoded(coding, &encoded(coding, &pieces, length)), plain);
            }
        }
    }
}
