//! `shellac-purger demo` becomes the program beside it that is the demonstration, or says which it
//! is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs a copy of the program that is alone in a directory but for what is in there already.
#[cfg(test)]
fn demo(directory: &Path, arguments: &[&str]) -> Output {
    let program = directory.join("shellac-purger");
    fs::copy(env!("CARGO_BIN_EXE_shellac-purger"), &program).unwrap();
    Command::new(program).arg("demo").args(arguments).output().unwrap()
}

#[cfg(test)]
fn the_program_becomes_the_demonstration_with_all_arguments() {
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("shellac-demo");
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

    let output = demo(directory.path(), &["--for", "30s", "--json", "--help"]);

    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--for 30s --json --help\n");
    assert_eq!(output.status.code(), Some(7));
}

#[cfg(test)]
fn without_the_demonstration_its_program_is_named() {
    let directory = TempDir::new().unwrap();

    let output = demo(directory.path(), &[]);

    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("`shellac-demo`"), "{error}");
}

/// One after the other: while one thread writes a program, another one's child would hold it open,
/// and it could not be run.
#[test]
fn the_demonstration_is_found_or_its_program_named() {
    the_program_becomes_the_demonstration_with_all_arguments();
    without_the_demonstration_its_program_is_named();
}
