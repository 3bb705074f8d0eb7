//! The sources of settings as text: file, environment and command line.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

/// The input of [`Config::load`](super::Config::load).
#[derive(Clone, Default)]
pub struct Sources {
    /// The file's name, for messages, and its text.
    pub file: Option<(String, String)>,
    /// All variables. `SHELLAC__SECTION__KEY` are settings; text may refer to any other as
    /// `${NAME}`.
    pub environment: Vec<(String, String)>,
    /// The flags that are settings.
    pub flags: Flags,
}

/// Settings from the command line. Each goes before the file and the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen ADDRESS`: replaces all of `[[listen]]`.
    pub listen: Vec<String>,
    /// `--origin URL`: replaces the origin's servers, and makes `[origin.app]` when there is no
    /// origin.
    pub origin: Option<String>,
    /// `--admin ADDRESS`: replaces `admin.listen`.
    pub admin: Option<String>,
    /// `--ttl DURATION`: sets `cache.default_ttl`.
    pub ttl: Option<String>,
    /// `--config PATH`: for [`find_file`].
    pub config: Option<PathBuf>,
}

/// The environment holds secrets: only its size is shown.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file.as_ref().map(|(name, _text)| name))
            .field("environment", &self.environment.len())
            .field("flags", &self.flags)
            .finish()
    }
}

impl Sources {
    /// Returns the file to use, this process's environment, and the flags.
    pub fn of_process(flags: Flags) -> io::Result<Self> {
        let sources = Self::without_file(flags);
        let variable = sources.environment.iter().find(|(name, _)| name == "SHELLAC_CONFIG");
        let variable = variable.map(|(_, path)| Path::new(path.as_str()));
        let file = find_file(sources.flags.config.as_deref(), variable)?;
        Ok(Self { file, ..sources })
    }

    /// Returns this process's environment and the flags.
    pub fn without_file(flags: Flags) -> Self {
        // A variable that is not UTF-8 can be no setting, and no name can refer to it.
        let environment = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file: None, environment, flags }
    }

    /// Reads the same file again, and keeps environment and flags. Without a file there is nothing
    /// to read.
    ///
    /// Standard input cannot be read a second time, which is an error.
    pub fn again(&self) -> io::Result<Self> {
        let file = match &self.file {
            None => None,
            Some((name, _)) if name == STANDARD_INPUT => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the configuration came from standard input, which cannot be read again: \
                     start with --config FILE",
                ));
            }
            Some((name, _)) => Some(read(Path::new(name))?),
        };
        Ok(Self { file, environment: self.environment.clone(), flags: self.flags.clone() })
    }
}

/// Returns the name and the text of the file to use: the flag's, else `$SHELLAC_CONFIG`'s, else the
/// first that exists of `./config.toml` and `/etc/shellac/config.toml`, else none. `-` is standard
/// input.
///
/// A file that was named, or exists, and cannot be read is an error.
pub fn find_file(
    flag: Option<&Path>,
    variable: Option<&Path>,
) -> io::Result<Option<(String, String)>> {
    let variable = variable.filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = flag.or(variable) {
        return read(path).map(Some);
    }
    for path in PLACES {
        match read(Path::new(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.map(Some),
        }
    }
    Ok(None)
}

fn read(path: &Path) -> io::Result<(String, String)> {
    if path == Path::new("-") {
        return Ok((STANDARD_INPUT.to_owned(), read_bounded(io::stdin())?));
    }
    let name = path.display().to_string();
    match fs::File::open(path).and_then(read_bounded) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot read {name}: {error}"))),
    }
}

fn read_bounded(source: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    let bytes = source.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if bytes as u64 > FILE_BYTES_MAX {
        let message = "it has more than 16 MiB, so it is no configuration";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

const FILE_BYTES_MAX: u64 = 16 << 20;
/// The name of what `-` reads.
const STANDARD_INPUT: &str = "standard input";
const PLACES: [&str; 2] = ["config.toml", "/etc/shellac/config.toml"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Sources, find_file};

    #[test]
    fn the_flag_goes_before_the_variable() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        std::fs::write(&one, "1").unwrap();
        std::fs::write(&other, "2").unwrap();

        let text = |flag, variable| find_file(flag, variable).unwrap().unwrap().1;

        assert_eq!(text(Some(&*one), Some(&*other)), "1");
        assert_eq!(text(None, Some(&*other)), "2");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let error = find_file(Some(Path::new("/dev/zero")), None).unwrap_err().to_string();
        assert!(error.contains("more than 16 MiB"), "{error}");
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there() {
        let error = find_file(Some(Path::new("/nowhere/config.toml")), None).unwrap_err();
        assert!(error.to_string().starts_with("cannot read /nowhere/config.toml: "), "{error}");
    }

    #[test]
    fn the_same_file_is_read_again_whatever_else_is_there_by_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.toml");
        std::fs::write(&path, "1").unwrap();
        let file = find_file(Some(&path), None).unwrap();
        let sources = Sources { file, ..Sources::default() };

        std::fs::write(&path, "2").unwrap();
        assert_eq!(sources.again().unwrap().file.unwrap().1, "2");

        std::fs::remove_file(&path).unwrap();
        let error = sources.again().unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.contains("one.toml"), "{error}");
    }

    #[test]
    fn standard_input_is_not_read_twice() {
        let file = Some(("standard input".to_owned(), String::new()));
        let error = Sources { file, ..Sources::default() }.again().unwrap_err();
        assert!(error.to_string().contains("start with --config FILE"), "{error}");
        assert_eq!(Sources::default().again().unwrap().file, None);
    }

    #[test]
    fn debug_hides_the_environment() {
        let environment = vec![("SHELLAC__ADMIN__TOKEN".to_owned(), "hunter2".to_owned())];
        let shown = format!("{:?}", Sources { environment, ..Sources::default() });
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
