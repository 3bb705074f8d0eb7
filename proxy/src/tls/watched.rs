//! `Watched`: what was read from files, and is read again when they change.

use std::path::PathBuf;

use super::files::{FileProblem, FileStamps};

#[derive(Debug)]
pub(super) struct Watched<T> {
    files: Vec<PathBuf>,
    /// `None`: they were never read.
    stamps: Option<FileStamps>,
    current: Option<T>,
    /// Why they cannot be used as they are now. They are tried again each time.
    problem: Option<FileProblem>,
    failures: u64,
}

impl<T> Watched<T> {
    /// Watches files; what an earlier watch has read of them is used until they are read.
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>, before: Option<T>) -> Self {
        Self {
            files: files.into_iter().collect(),
            stamps: None,
            current: before,
            problem: None,
            failures: 0,
        }
    }

    pub(super) const fn current(&self) -> Option<&T> {
        self.current.as_ref()
    }

    /// Returns how often the files became such that they cannot be used.
    pub(super) const fn failures(&self) -> u64 {
        self.failures
    }

    /// Reads the files if they have changed, or `is_due`. Returns whether there is something else
    /// now. What cannot be used is logged once, with `user`, and replaces nothing.
    pub(super) fn refresh(
        &mut self,
        user: &str,
        is_due: bool,
        read: impl FnOnce() -> Result<T, FileProblem>,
    ) -> bool {
        // First: a file that changes while it is read is read once more.
        let stamps = FileStamps::of(self.files.iter().map(PathBuf::as_path));
        let is_same = self.stamps.as_ref() == Some(&stamps);
        if is_same && !is_due && self.problem.is_none() {
            return false;
        }
        let is_first = self.stamps.is_none();
        self.stamps = Some(stamps);
        match read() {
            Ok(new) => {
                if !is_first {
                    let files = self.listed();
                    tracing::info!(user, files, "TLS files were read again");
                }
                self.current = Some(new);
                self.problem = None;
                true
            }
            Err(problem) => {
                if self.problem.as_ref() != Some(&problem) {
                    self.failures += 1;
                    if self.current.is_some() {
                        tracing::warn!(user, %problem, "TLS files cannot be used: what was read before stays in use");
                    } else {
                        tracing::error!(user, %problem, "TLS files cannot be used: connections fail");
                    }
                }
                self.problem = Some(problem);
                false
            }
        }
    }

    fn listed(&self) -> String {
        let names: Vec<_> = self.files.iter().map(|file| file.to_string_lossy()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tls::files;

    #[test]
    fn a_file_is_read_when_it_changes_and_a_bad_one_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let read = || {
            let text = String::from_utf8(files::read(&file)?).unwrap();
            text.parse::<u32>().map_err(|error| FileProblem::new(&file, error.to_string()))
        };
        let mut watched = Watched::new([file.clone()], None);
        assert!(!watched.refresh("test", false, read), "it is not there yet");
        assert_eq!((watched.current(), watched.failures()), (None, 1));

        fs::write(&file, "1").unwrap();
        assert!(watched.refresh("test", false, read));
        assert!(!watched.refresh("test", false, read));
        assert!(watched.refresh("test", true, read));

        fs::write(&file, "one").unwrap();
        assert!(!watched.refresh("test", false, read));
        assert!(!watched.refresh("test", false, read));
        assert_eq!((watched.current(), watched.failures()), (Some(&1), 2));

        fs::write(folder.path().join("new"), "2").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert!(watched.refresh("test", false, read));
        assert_eq!(watched.current(), Some(&2));
    }
}
