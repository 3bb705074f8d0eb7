//! `[tags]`: the names responses carry so that they can be purged together.

use http::HeaderName;
use http::header::InvalidHeaderName;

use crate::table::Table;
use crate::value::{Fault, boolean, parsed, whole};

/// The fields that carry tags, and their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSettings {
    /// Response fields that hold tags; all of them count.
    pub read: Vec<HeaderName>,
    /// Takes a response's `ETag` as a tag as well.
    pub etag: bool,
    /// Whether clients are spared the tag fields and `Surrogate-Control`. `false` for a proxy whose
    /// clients are proxies only: they need the tags to be purged by them.
    pub strip: bool,
    /// Tags of one response that are kept apart, 1 to 100000. Of more, those that begin alike are
    /// kept as one, which a purge of any tag that begins so hits. A tag costs 28 bytes in each
    /// response, and 200 once.
    pub max_per_object: usize,
    /// Bytes of one tag, 1 to 8192; longer ones are kept by their beginning, as too many are.
    pub max_length: usize,
    /// The response field by which the origin reports the revision of its site, a whole number.
    pub revision: HeaderName,
    /// Whether an `ETag` of the form `"<anything>-<revision>-<hash>"` reports it, too, where that
    /// field is absent.
    pub revision_in_etag: bool,
}

impl Default for TagSettings {
    fn default() -> Self {
        Self {
            read: READ.map(HeaderName::from_static).to_vec(),
            etag: true,
            strip: true,
            max_per_object: 20_000,
            max_length: 1024,
            revision: HeaderName::from_static("x-site-revision"),
            revision_in_etag: false,
        }
    }
}

impl TagSettings {
    /// Reads `[tags]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read_each("read", parsed(field_name), &mut self.read);
        table.read("etag", boolean, &mut self.etag);
        table.read("strip", boolean, &mut self.strip);
        table.read("max_per_object", whole(1..=100_000), &mut self.max_per_object);
        table.read("max_length", whole(1..=8192), &mut self.max_length);
        table.read("revision", parsed(field_name), &mut self.revision);
        table.read("revision_in_etag", boolean, &mut self.revision_in_etag);
    }
}

fn field_name(text: &str) -> Result<HeaderName, Fault> {
    text.parse().map_err(|error: InvalidHeaderName| {
        Fault::new(format!("must be a field name, and `{text}` is none"), error.to_string())
    })
}

/// The fields that origins put tags in: those of Fastly, Varnish, Cloudflare, RFC 9875, Akamai,
/// `FOSHttpCache`, Drupal and its modules, and Magento.
const READ: [&str; 10] = [
    "surrogate-key",
    "xkey",
    "cache-tag",
    "cache-groups",
    "cache-tags",
    "edge-cache-tag",
    "x-cache-tags",
    "purge-cache-tags",
    "x-drupal-cache-tags",
    "x-magento-tags",
];
