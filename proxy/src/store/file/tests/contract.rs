//! Both engines with a file keep the contract of all stores.

use super::bench::engine;
use crate::store::contract::check;
use crate::store::file::tiering::Tiering;

#[test]
fn the_file_engine_keeps_the_contract() {
    check(&|limits| engine(limits, Tiering::File));
}

#[test]
fn the_tiered_engine_keeps_the_contract() {
    check(&|limits| engine(limits, Tiering::Tiered));
}
