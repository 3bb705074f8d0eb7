//! The file store's decoders: a head, a record's header, a frame of the journal, the records of a
//! segment.

pub(crate) fn run(data: &[u8]) {
    shellac::testing::store::file::read_any(data);
}
