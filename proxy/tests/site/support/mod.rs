//! What the tests stand on: the renderer, the proxy, and clients of both.

pub(crate) mod site;
pub(crate) mod renderer;
pub(crate) mod shellac;
pub(crate) mod client;
pub(crate) mod child;
pub(crate) mod framework;

pub(crate) use self::client::{Answer, Client};
pub(crate) use self::renderer::Renderer;
pub(crate) use self::shellac::Shellac;

use std::io::{Write as _, stderr};
use std::time::Duration;

/// After this long a test hangs. Nothing here takes a tenth of it, even on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Says that a test has not run, past the capture of the test runner.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test").to_owned();
    writeln!(stderr(), "SKIPPED {test}: {why}").expect("there is a standard error");
}
