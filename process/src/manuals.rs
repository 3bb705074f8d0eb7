//! The commands `completions` and `man` of each program: what packages install beside it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::terminal::{print, say};

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// The directory to write the pages to; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints the completions of a shell for a program.
pub fn completions(program: Command, arguments: &CompletionsArguments) -> ExitCode {
    print(&script(program, arguments.shell)).into()
}

/// Writes a page for each command of a program.
pub fn man(program: Command, arguments: &ManArguments) -> ExitCode {
    let name = program.get_name().to_owned();
    match write_pages(program, &arguments.out) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            say(format_args!("{name}: {}: {error}", arguments.out.display()));
            Exit::Io.into()
        }
    }
}

fn script(mut program: Command, shell: Shell) -> String {
    let (name, mut script) = (program.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut program, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn write_pages(program: Command, directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(program, directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let command = |name: &'static str| Command::new(name).about("does it");
        Command::new("program").subcommands([command("begin"), command("end")])
    }

    #[test]
    fn every_command_has_a_page_and_completions() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("new");
        write_pages(program(), &pages).unwrap();
        for page in ["program.1", "program-begin.1", "program-end.1"] {
            assert!(pages.join(page).exists(), "{page}");
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let script = script(program(), shell);
            assert!(script.contains("begin") && script.contains("end"), "{shell}");
        }
    }
}
