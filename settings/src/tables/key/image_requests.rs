//! `key.images`: the requests whose `Accept` is reduced to image formats.

/// The requests that are for images. Their `Accept` is reduced to whether it names AVIF and WebP,
/// in the key and for the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageRequests {
    /// None is known: `Accept` stays as it is.
    #[default]
    Off,
    /// Those for a path that ends like an image's name.
    ByExtension,
    /// All: for a rule that matches an image service.
    All,
}

pub(super) const IMAGE_REQUESTS: [(&str, ImageRequests); 3] = [
    ("off", ImageRequests::Off),
    ("by-extension", ImageRequests::ByExtension),
    ("all", ImageRequests::All),
];
