//! `[compression]`: what is read, and what is said about it.

use insta::assert_snapshot;

use super::problems::listed;
use super::{MINIMAL, load};
use crate::{Coding, CompressionLevels, CompressionMode};

#[test]
fn compression_names_codings_types_and_levels() {
    let file = r#"[origin.app]
servers = ["a:1"]
[compression]
mode = "yes"
encodings = ["br", "deflate", "br"]
types = ["text", "text/*", "*+", "@all", "*/*"]
min_bytes = 100
max_bytes = "1B"
levels = { br = 12, gzip = 0, lzma = 1 }
max_running = 0
"#;
    assert_snapshot!(listed(file), @r##"
    4:8: `compression.mode` must be one of "off", "on" (unknown value)
    5:13: `compression.encodings` must name each content coding once (repeated)
    5:20: `compression.encodings[1]` must be one of "br", "gzip", "zstd" (unknown value)
    6:10: `compression.types[0]` must be a media type, and `text` is none (not a type and a subtype) -> "text/html", "text/*", "*+json" or "@text"
    6:28: `compression.types[2]` must be a media type, and `*+` is none (no suffix) -> "text/html", "text/*", "*+json" or "@text"
    6:34: `compression.types[3]` must be a media type, and `@all` is none (there is no such list) -> "text/html", "text/*", "*+json" or "@text"
    6:42: `compression.types[4]` must be a media type, and `*/*` is none (not a type and a subtype) -> "text/html", "text/*", "*+json" or "@text"
    7:13: `compression.min_bytes` must be a size, and `100` is none (a number without a unit) -> did you mean "100MiB"?
    8:13: `compression.max_bytes` must be at least 1KiB (out of range)
    9:17: `compression.levels.br` must be a whole number from 0 to 11 (out of range)
    9:28: `compression.levels.gzip` must be a whole number from 1 to 9 (out of range)
    9:31: unknown key `compression.levels.lzma` (not a setting of this table) -> there is: br, gzip, zstd
    10:15: `compression.max_running` must be a whole number from 1 to 65536 (out of range)
    "##);
    let file = "[origin.app]\nservers = [\"a:1\"]\n[compression]\nencodings = []\n";
    assert_snapshot!(listed(file), @r##"
    4:13: `compression.encodings` must name a content coding (none) -> mode = "off" compresses nothing
    "##);
}

#[test]
fn compression_is_read() {
    let text = r#"[compression]
mode = "on"
encodings = ["zstd", "gzip"]
types = ["@text", "Application/X-Own", "font/*", "*+cbor"]
levels = { zstd = 9 }
"#;
    let read = load(&format!("{MINIMAL}{text}")).unwrap().compression;
    assert_eq!(read.mode, CompressionMode::On);
    assert_eq!(read.encodings, [Coding::Zstd, Coding::Gzip]);
    assert_eq!(read.levels, CompressionLevels { zstd: 9, ..CompressionLevels::default() });
    let matches = |essence: &str| read.types.iter().any(|of| of.matches(essence.as_bytes()));
    for essence in ["text/css", "application/x-own", "font/woff", "application/a+cbor"] {
        assert!(matches(essence), "{essence}");
    }
    for essence in ["image/png", "application/x-owner", "application/cbor", "context/css"] {
        assert!(!matches(essence), "{essence}");
    }
}
