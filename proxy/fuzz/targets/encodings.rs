//! Compression: `Accept-Encoding` on the first line, the origin's `ETag` on the second, then the
//! content, whose first byte says how it is cut into pieces.

use std::io::Read as _;

use http::header::{ACCEPT_ENCODING, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use settings::{Coding, CompressionLevels, CompressionMode, CompressionSettings};
use shellac::testing::compression::encoder::Encoder;
use shellac::testing::compression::form::ContentForm;
use shellac::testing::compression::{ALL, Compression, etags, name};

use super::head::split_line;

pub(crate) fn run(data: &[u8]) {
    let (accepted, rest) = split_line(data);
    let (tag, content) = split_line(rest);
    if let Ok(accepted) = HeaderValue::from_bytes(accepted) {
        one_coding_is_chosen(&accepted);
    }
    if let Ok(tag) = HeaderValue::from_bytes(tag) {
        heads_come_back(&tag);
    }
    let size = 1 + usize::from(content.first().copied().unwrap_or(0)) * 8;
    for coding in ALL {
        assert_eq!(decoded(coding, &encoded(coding, content, size)), content, "{coding:?}");
    }
}

fn one_coding_is_chosen(accepted: &HeaderValue) {
    let settings = CompressionSettings {
        mode: CompressionMode::On,
        encodings: ALL.to_vec(),
        ..CompressionSettings::default()
    };
    let rules = Compression::new(&settings).expect("it is on");
    let mut fields = HeaderMap::from_iter([(ACCEPT_ENCODING, accepted.clone())]);
    rules.reduce(&mut fields);
    if let Some(coding) = rules.wanted(&fields) {
        let text = String::from_utf8_lossy(accepted.as_bytes()).to_ascii_lowercase();
        assert!(text.contains(name(coding)) || text.contains('*'), "{accepted:?} {coding:?}");
    } else if let Some(kept) = fields.get(ACCEPT_ENCODING) {
        assert_eq!(kept, accepted, "it is one of ours, or as it was");
    }
    let reduced = fields.clone();
    rules.reduce(&mut fields);
    assert_eq!(fields, reduced);
}

fn heads_come_back(tag: &HeaderValue) {
    let received = HeaderMap::from_iter([
        (ETAG, tag.clone()),
        (http::header::VARY, HeaderValue::from_static("accept-encoding")),
    ]);
    for coding in ALL {
        let mut head = received.clone();
        ContentForm::Compressed(coding).describe(&mut head);
        assert_eq!(ContentForm::of(&head), ContentForm::Compressed(coding));
        if let Some(own) = head.get(ETAG) {
            assert_ne!(own, tag, "two forms have one tag");
            let mut asked = HeaderMap::from_iter([(IF_NONE_MATCH, own.clone())]);
            etags::add_origins(&mut asked);
            assert!(asked.contains_key(IF_NONE_MATCH));
        }
        ContentForm::restore(&mut head);
        assert_eq!(head.get(ETAG).map(HeaderValue::as_bytes).unwrap_or_default(), tag.as_bytes());
    }
}

fn encoded(coding: Coding, content: &[u8], size: usize) -> Vec<u8> {
    let levels = CompressionLevels { br: 3, gzip: 3, zstd: 1 };
    let mut encoder =
        Encoder::new(coding, &levels, Some(content.len() as u64)).expect("there is a compressor");
    let mut all = Vec::new();
    for (number, piece) in content.chunks(size).enumerate() {
        all.extend_from_slice(&encoder.write(piece).expect("it takes content"));
        if number % 2 == 1 {
            all.extend_from_slice(&encoder.flush().expect("it can be flushed"));
            let mut sofar = vec![0; (number * size + piece.len()).min(content.len())];
            reader(coding, &all).read_exact(&mut sofar).expect("what was flushed can be read");
            assert!(content.starts_with(&sofar));
        }
        if number > 16 {
            all.extend_from_slice(
                &encoder
                    .write(content.get((number + 1) * size..).unwrap_or_default())
                    .expect("more"),
            );
            break;
        }
    }
    all.extend_from_slice(&encoder.finish().expect("it can be ended"));
    assert!(encoder.write(b"more").is_err(), "it took content after its end");
    all
}

fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    reader(coding, coded).read_to_end(&mut plain).expect("it can be read");
    plain
}

fn reader<'a>(coding: Coding, coded: &'a [u8]) -> Box<dyn std::io::Read + 'a> {
    match coding {
        Coding::Br => Box::new(brotli::Decompressor::new(coded, 4096)),
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(coded)),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(coded).expect("a decoder")),
    }
}
