//! A real browser in front of real sites behind their presets (`loadtest/browser.sh`).

use std::path::Path;
use std::process::Command;

use crate::support::skipped;

/// The script's exit code where there is no Chromium, or its driver cannot be installed.
const UNAVAILABLE: i32 = 3;

#[test]
fn what_visitors_see_behind_a_preset_is_what_the_site_shows() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/browser.sh");
    let mut command = Command::new(script);
    command.args(["--caches", "preset", "--visitors", "1"]);
    command.env("SHELLAC", env!("CARGO_BIN_EXE_shellac"));
    let output = command.output().expect("the script can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(UNAVAILABLE) {
        skipped(said.trim());
        return;
    }
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}\n{said}");
    for site in ["next-app", "nuxt", "sveltekit", "react-router", "astro"] {
        assert!(table.contains(&format!("| {site} | preset | ")), "{table}");
    }
}
