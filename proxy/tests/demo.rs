//! `shellac demo` becomes the program beside it that has the demonstration, or says where it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs a copy of the program that is alone in a directory but for what is in there already.
#[cfg(test)]
fn demo(directory: &Path, arguments: &[&str]) -> Output {
    let program = directory.join("shellac");
    fs::copy(env!("CARGO_BIN_EXE_shellac"), &program).unwrap();
    Command::new(program).arg("demo").args(arguments).output().unwrap()
}

#[cfg(test)]
fn it_becomes_the_purgers_demonstration_with_all_arguments() {
    let directory = TempDir::new().unwrap();
    let purger = directory.path().join("shellac-purger");
    fs::write(&purger, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&purger, fs::Permissions::from_mode(0o755)).unwrap();

    let output = demo(directory.path(), &["--for", "30s", "--json", "--help"]);

    assert_eq!(String::from_utf8(output.stdout).unwrap(), "demo --for 30s --json --help\n");
    assert_eq!(output.status.code(), Some(7));
}

#[cfg(test)]
fn without_a_purger_beside_it_it_says_what_to_run() {
    let directory = TempDir::new().unwrap();

    let output = demo(directory.path(), &[]);

    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("`shellac-purger demo`"), "{error}");
}

/// One after the other: while one thread writes a program, another one's child would hold it open,
/// and it could not be run.
#[test]
fn it_finds_the_purger_or_says_where_the_demonstration_is() {
    it_becomes_the_purgers_demonstration_with_all_arguments();
    without_a_purger_beside_it_it_says_what_to_run();
}
