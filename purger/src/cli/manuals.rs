//! `shellac-purger completions` and `shellac-purger man`: what packages install beside the program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;
use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
pub(super) struct ShellArguments {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct PagesArguments {
    /// The directory to write the pages to; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints the completions of a shell.
pub(super) fn completions(arguments: &ShellArguments) -> ExitCode {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, NAME, &mut text);
    match std::io::Write::write_all(&mut std::io::stdout(), &text) {
        Ok(()) => Exit::Done.into(),
        Err(_closed) => Exit::Io.into(),
    }
}

/// Writes a page for each command.
pub(super) fn man(arguments: &PagesArguments) -> ExitCode {
    match write_pages(&arguments.out) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            say(format_args!("shellac-purger: {}: {error}", arguments.out.display()));
            Exit::Io.into()
        }
    }
}

fn write_pages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Arguments::command().name(NAME), directory)
}

const NAME: &str = "shellac-purger";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_completions() {
        let folder = tempfile::tempdir().unwrap();
        write_pages(folder.path()).unwrap();
        for command in Arguments::command().get_subcommands().filter(|it| it.get_name() != "help") {
            let page = folder.path().join(format!("shellac-purger-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut text);
            assert!(String::from_utf8(text).unwrap().contains("replay"), "{shell}");
        }
    }

    #[test]
    fn no_two_flags_of_a_command_are_the_same() {
        Arguments::command().debug_assert();
    }
}
