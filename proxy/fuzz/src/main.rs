//! All fuzz targets in one binary: `SHELLAC_FUZZ` names the one to run. `run.sh` builds and starts
//! it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../targets/mod.rs"]
mod targets;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let asked = std::env::var("SHELLAC_FUZZ").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|(name, _)| *name == asked);
    let names = || targets::TARGETS.map(|(name, _)| name).join(" ");
    found.unwrap_or_else(|| panic!("SHELLAC_FUZZ={asked:?} is none of: {}", names())).1
});

fuzz_target!(|data: &[u8]| TARGET(data));
