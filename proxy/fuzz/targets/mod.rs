//! Fuzz targets: what reads bytes of strangers, with what must hold for any bytes.
//!
//! A target is a file here with `pub(crate) fn run(data: &[u8])`, and its name in the list below.
//! It is used twice: by libFuzzer (`proxy/fuzz/run.sh`, nightly), and by the test
//! `proxy/tests/corpus.rs`, which replays `corpus/<target>/` and mutations of it with every `cargo
//! test`.

mod head;

/// A function that panics when something does not hold.
pub(crate) type Target = fn(&[u8]);

macro_rules! targets {
    ($($name:ident)*) => {
        $(mod $name;)*

        pub(crate) const TARGETS: [(&str, Target); [$(stringify!($name)),*].len()] =
            [$((stringify!($name), $name::run)),*];
    };
}

// One line for each.
targets! {
    content_range
    directives
    encodings
    entity_tag
    http_date
    purge_request
    range
    requests
    responses
    rules
    store
    target
    vary
}
