//! `Program`: how this process was started, so that another one can be started alike.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::launcher::LaunchedProcess;

#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// Notes it. Has to be called at the start: the file may be replaced later.
    pub fn of_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let called = arguments.next().unwrap_or_default();
        let path = find(&called, std::env::var_os("PATH").as_deref());
        let path = path.map_or_else(std::env::current_exe, std::path::absolute)?;
        Ok(Self { path, arguments: without_take_over(arguments) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether it read its configuration from standard input, which is at its end.
    pub(super) fn reads_input(&self) -> bool {
        let mut before = OsStr::new("");
        self.arguments.iter().any(|argument| {
            let is_after = (before == "-c" || before == "--config") && argument == "-";
            before = argument;
            is_after || argument == "-c-" || argument == "--config=-"
        })
    }

    /// Starts it again, to take over from a process. The environment and the standard output are
    /// this process's.
    pub(super) fn start(&self, take_over: u32) -> io::Result<LaunchedProcess> {
        let mut arguments = self.arguments.clone();
        arguments.push(format!("--take-over={take_over}").into());
        LaunchedProcess::start(&self.path, &arguments)
    }
}

/// Returns the file that a shell would have started by this name, links in its path not followed:
/// an upgrade may have set them anew.
fn find(called: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if called.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(called));
    }
    let folders = std::env::split_paths(path?);
    folders.map(|folder| folder.join(called)).find(|file| !called.is_empty() && file.is_file())
}

fn without_take_over(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if argument == "--take-over" {
            let _pid = arguments.next();
        } else if !argument.as_encoded_bytes().starts_with(b"--take-over=") {
            kept.push(argument);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(arguments: &[&str]) -> Program {
        let arguments = without_take_over(arguments.iter().map(OsString::from));
        Program { path: PathBuf::from("/bin/shellac"), arguments }
    }

    #[test]
    fn an_earlier_take_over_is_not_repeated() {
        let run = program(&["run", "--take-over", "7", "-c", "a.toml", "--take-over=8"]);
        assert_eq!(run.arguments, ["run", "-c", "a.toml"]);
        assert!(!run.reads_input());
    }

    #[test]
    fn a_configuration_from_standard_input_cannot_be_read_again() {
        for arguments in [&["run", "-c", "-"][..], &["run", "--config=-"], &["run", "-c-"]] {
            assert!(program(arguments).reads_input(), "{arguments:?}");
        }
        assert!(!program(&["run", "-c", "a"]).reads_input());
    }

    #[test]
    fn a_name_without_a_folder_is_looked_up_as_a_shell_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shellac");
        std::fs::write(&file, "").unwrap();
        let path = std::env::join_paths([Path::new("/nowhere"), folder.path()]).unwrap();
        assert_eq!(find(OsStr::new("shellac"), Some(&path)), Some(file));
        assert_eq!(find(OsStr::new("./a/shellac"), None), Some(PathBuf::from("./a/shellac")));
        assert_eq!(find(OsStr::new("other"), Some(&path)), None);
    }
}
