//! `Accept` (RFC 9110 §12.5.1) of a request for an image, reduced to the formats that origins
//! choose by.

use http::header::{ACCEPT, HeaderMap, HeaderValue};

/// Reduces `Accept` to whether AVIF and WebP are accepted by name: one of four values.
pub fn normalize_accept_image(fields: &mut HeaderMap) {
    let (mut avif, mut webp) = (false, false);
    let lines = fields.get_all(ACCEPT).iter();
    for member in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let (range, is_accepted) = super::accept_encoding::member(member);
        if range.eq_ignore_ascii_case(b"image/avif") {
            avif = is_accepted;
        } else if range.eq_ignore_ascii_case(b"image/webp") {
            webp = is_accepted;
        }
    }
    let value = match (avif, webp) {
        (true, true) => "image/avif,image/webp,*/*",
        (true, false) => "image/avif,*/*",
        (false, true) => "image/webp,*/*",
        (false, false) => "*/*",
    };
    fields.insert(ACCEPT, HeaderValue::from_static(value));
}

/// Returns whether a path ends like the name of an image that servers also have in other formats.
pub fn is_image_path(path: &[u8]) -> bool {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut parts = name.rsplitn(2, |byte| *byte == b'.');
    let (Some(extension), Some(_)) = (parts.next(), parts.next()) else { return false };
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known.as_bytes()))
}

const EXTENSIONS: [&str; 10] =
    ["jpg", "jpeg", "jpe", "png", "gif", "webp", "avif", "bmp", "tif", "tiff"];

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(lines: &[&str]) -> String {
        let line = |line: &&str| (ACCEPT, HeaderValue::from_str(line).unwrap());
        let mut fields: HeaderMap = lines.iter().map(line).collect();
        normalize_accept_image(&mut fields);
        assert_eq!(fields.get_all(ACCEPT).iter().count(), 1);
        fields.get(ACCEPT).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn browsers_differ_in_the_two_formats_only() {
        for (lines, expected) in [
            (
                &["image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"][..],
                "image/avif,image/webp,*/*",
            ),
            (&["image/webp, image/png;q=0.9", "IMAGE/AVIF;q=0.5"], "image/avif,image/webp,*/*"),
            (&["image/webp,image/png,image/svg+xml,image/*;q=0.8"], "image/webp,*/*"),
            (&["image/avif"], "image/avif,*/*"),
            (&["image/avif;q=0, image/webp;q=0.000, */*"], "*/*"),
            (&["image/*", "*/*;q=0.1"], "*/*"),
            (&["text/html, image/webpx"], "*/*"),
            (&[], "*/*"),
        ] {
            assert_eq!(normal(lines), expected, "{lines:?}");
            assert_eq!(normal(&[expected]), expected);
        }
    }

    #[test]
    fn a_path_is_an_images_by_its_extension_alone() {
        for (path, is_image) in [
            ("/a.jpg", true),
            ("/a.b/c.PNG?w=100", true),
            ("/a.webp", true),
            ("/a.jpg/", false),
            ("/jpg", false),
            ("/a.svg", false),
            ("/a?b.jpg", false),
            ("/a.jpg.html", false),
        ] {
            assert_eq!(is_image_path(path.as_bytes()), is_image, "{path}");
        }
    }
}
