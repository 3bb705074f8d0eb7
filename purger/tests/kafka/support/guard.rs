//! Nothing outlives the tests: a helper process kills what is left when this process ends, however
//! that ends.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

pub(crate) fn script() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/kafka.sh"))
}

/// Has a process killed when this one ends.
pub(crate) fn watch(pid: u32) {
    tell(&format!("+{pid}\n"));
}

/// A process that has ended, and was waited for.
pub(crate) fn forget(pid: u32) {
    tell(&format!("-{pid}\n"));
}

fn tell(line: &str) {
    static GUARD: OnceLock<Mutex<Child>> = OnceLock::new();
    let guard = GUARD.get_or_init(|| {
        let mut command = Command::new(script());
        command.arg("guard").stdin(Stdio::piped()).stdout(Stdio::null());
        Mutex::new(command.spawn().expect("bash runs"))
    });
    let mut guard = guard.lock().unwrap();
    guard.stdin.as_mut().unwrap().write_all(line.as_bytes()).expect("the guard lives");
}
