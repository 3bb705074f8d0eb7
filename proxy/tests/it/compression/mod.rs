//! Compression: made once of what the origin sends plain, stored beside it, and purged, validated
//! and renewed with it.

mod forms;
mod renewal;

use std::io::Read as _;

use settings::{CompressionMode, Config};

use crate::support::client::Answer;
use crate::support::origin::{Reply, cacheable};
use crate::support::proxy::Proxy;

pub(super) const BR: &[(&str, &str)] = &[("accept-encoding", "gzip, deflate, br")];
pub(super) const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];
pub(super) const PLAIN: &[(&str, &str)] = &[];

pub(super) fn on(config: &mut Config) {
    config.compression.mode = CompressionMode::On;
}

pub(super) fn page(word: &str) -> String {
    format!("<li class=\"item\">{word}</li>\n").repeat(200)
}

pub(super) fn html(word: &str) -> Reply {
    cacheable(&page(word)).field("content-type", "text/html").field("etag", &format!("\"{word}\""))
}

pub(super) fn coding(answer: &Answer) -> String {
    answer.field("content-encoding").unwrap_or_default()
}

pub(super) fn decoded(answer: &Answer) -> String {
    let (content, mut text) = (&*answer.content, String::new());
    match &*coding(answer) {
        "br" => brotli::Decompressor::new(content, 4096).read_to_string(&mut text),
        "gzip" => flate2::read::GzDecoder::new(content).read_to_string(&mut text),
        "zstd" => zstd::stream::read::Decoder::new(content).unwrap().read_to_string(&mut text),
        _ => (&mut &*content).read_to_string(&mut text),
    }
    .unwrap();
    text
}

/// Gets a page until its form is a stored one.
pub(super) async fn stored(proxy: &Proxy, path: &str, fields: &[(&str, &str)]) -> Answer {
    for _ in 0..100 {
        let answer = proxy.get_with(path, fields).await;
        if answer.is_hit() && answer.field("content-length").is_some() {
            return answer;
        }
    }
    panic!("never stored");
}
