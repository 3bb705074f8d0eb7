//! `shellac import-vcl`: a configuration from Varnish's VCL, and what was not translated.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use import_vcl::{Imported, Remark, StatementFate, VCL_BYTES_MAX, import};

use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shellac import-vcl /etc/varnish/default.vcl > config.toml
  shellac import-vcl --all default.vcl > /dev/null     what became of each statement
  shellac check --config config.toml && shellac rules match --config config.toml https://shop.example/")]
pub(super) struct ImportVclArguments {
    /// The VCL file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show every statement, also those that were translated
    #[arg(long)]
    all: bool,
    /// Exit code 1 if a statement was not translated
    #[arg(long)]
    strict: bool,
}

/// Writes the configuration to standard output, and the report to standard error.
pub(super) fn import_vcl(arguments: &ImportVclArguments) -> ExitCode {
    let ImportVclArguments { file, all, strict } = arguments;
    let name = file.display().to_string();
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            say(format_args!("shellac: cannot read {name}: {error}"));
            return Exit::Io.into();
        }
    };
    let Imported { config, remarks } = match import(&name, &text) {
        Ok(imported) => imported,
        Err(error) => {
            say(format_args!("shellac: cannot translate {name}: {error}"));
            return Exit::No.into();
        }
    };
    if io::stdout().write_all(config.as_bytes()).is_err() {
        return Exit::Io.into();
    }
    let lost = report(&name, &remarks, *all);
    if lost > 0 && *strict { Exit::No.into() } else { Exit::Done.into() }
}

fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let most = VCL_BYTES_MAX as u64 + 1;
    if file == Path::new("-") {
        io::stdin().take(most).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Shows what is to be looked at, and returns the number of statements that were not translated.
fn report(name: &str, remarks: &[Remark], all: bool) -> usize {
    let kind = |fate: &StatementFate| match fate {
        StatementFate::Translated => (0, "translated"),
        StatementFate::BuiltIn(_) => (1, "built in"),
        StatementFate::Differs(_) => (2, "nearly the same"),
        StatementFate::NotTranslated(_) => (3, "NOT TRANSLATED"),
    };
    let mut counts = [0_usize; 4];
    for remark in remarks {
        let (place, word) = kind(&remark.fate);
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
        if all || place >= 2 {
            say(format_args!("{word:>15}  {remark}"));
        }
    }
    let [translated, built_in, differs, lost] = counts;
    say(format_args!(
        "{name}: {translated} translated, {built_in} built in, {differs} nearly the same, {lost} not translated"
    ));
    lost
}
