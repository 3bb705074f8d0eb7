//! `InheritedSockets`: the sockets that a service manager passes (`sd_listen_fds(3)`).
#![expect(unsafe_code, reason = "owning the descriptors that the process was started with")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::OnceLock;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::ListenSocket;

/// The sockets that are not used yet, under their names.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    named: Vec<(String, OwnedFd)>,
}

impl InheritedSockets {
    /// Takes those that were passed to this process. They can be taken once.
    pub fn of_process() -> Self {
        let mut named = Vec::new();
        if TAKEN.set(()).is_ok() {
            let variable = |name: &str| std::env::var(name).ok();
            let passed = passed(
                std::process::id(),
                variable("LISTEN_PID").as_deref(),
                variable("LISTEN_FDS").as_deref(),
                variable("LISTEN_FDNAMES").as_deref(),
            );
            for (descriptor, name) in passed {
                match own(descriptor) {
                    Ok(owned) => named.push((name, owned)),
                    Err(error) => tracing::error!(%error, name, "a passed socket is unusable"),
                }
            }
        }
        Self { named }
    }

    /// Says which sockets no address of the configuration asks for: whoever connects there waits
    /// for ever.
    pub fn warn_of_unused(&self) {
        for (name, _) in &self.named {
            tracing::warn!(
                "a socket was passed under the name {name}, and no address is \"fd:{name}\""
            );
        }
    }

    /// Takes the sockets of a name.
    pub fn take(&mut self, name: &str) -> io::Result<Vec<ListenSocket>> {
        let (taken, left) =
            std::mem::take(&mut self.named).into_iter().partition(|(of, _)| of == name);
        self.named = left;
        let taken: Vec<(String, OwnedFd)> = taken;
        if taken.is_empty() {
            let names: Vec<&str> = self.named.iter().map(|(name, _)| name.as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no socket of this name was passed (LISTEN_FDNAMES names {there})"),
            ));
        }
        taken.into_iter().map(|(_, socket)| ListenSocket::from_descriptor(socket)).collect()
    }
}

impl FromIterator<(String, OwnedFd)> for InheritedSockets {
    fn from_iter<I: IntoIterator<Item = (String, OwnedFd)>>(named: I) -> Self {
        Self { named: named.into_iter().collect() }
    }
}

/// Returns the descriptors and names that the variables speak of, if they are for this process.
fn passed(
    own: u32,
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
) -> Vec<(RawFd, String)> {
    let is_ours = pid.and_then(|pid| pid.parse().ok()) == Some(own);
    let count = count.and_then(|count| count.parse::<RawFd>().ok()).filter(|_| is_ours);
    let mut names = names.into_iter().flat_map(|names| names.split(':'));
    (0..count.unwrap_or(0).min(COUNT_MAX))
        .map(|number| {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
            (FIRST + number, name.to_owned())
        })
        .collect()
}

fn own(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: it is borrowed for the one call that says whether it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let flags = fcntl_getfd(borrowed)?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: it is open, was opened for this process by whoever started it, and `TAKEN` sees to it
    // that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

static TAKEN: OnceLock<()> = OnceLock::new();

/// `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
const COUNT_MAX: RawFd = 1024;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn descriptors_have_names_and_belong_to_one_process() {
        let named = |names| passed(7, Some("7"), Some("3"), names);
        let shown = |names| named(names).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(shown(Some("http:admin:http")), ["http", "admin", "http"]);
        assert_eq!(shown(None), ["unknown"; 3]);
        assert_eq!(shown(Some("http")), ["http", "unknown", "unknown"]);
        assert_eq!(named(None).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4, 5]);
        assert!(passed(7, Some("8"), Some("3"), None).is_empty(), "of a process before");
        assert!(passed(7, None, Some("3"), None).is_empty());
        assert!(passed(7, Some("7"), Some("-1"), None).is_empty());
    }

    #[test]
    fn sockets_are_taken_by_name_and_anything_else_is_refused() {
        let tcp = |name: &str| (name.to_owned(), TcpListener::bind("127.0.0.1:0").unwrap().into());
        let folder = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(folder.path().join("a")).unwrap();
        let (stream, _other) = UnixStream::pair().unwrap();
        let passed = [
            tcp("http"),
            ("unix".to_owned(), unix.into()),
            tcp("http"),
            ("stream".to_owned(), stream.into()),
        ];
        let mut inherited = InheritedSockets::from_iter(passed);
        assert_eq!(inherited.take("http").unwrap().len(), 2);
        assert!(matches!(inherited.take("unix").unwrap()[..], [ListenSocket::Unix(_)]));
        let missing = inherited.take("http").unwrap_err();
        assert!(missing.to_string().contains("names stream"), "{missing}");
        let refused = inherited.take("stream").unwrap_err();
        assert!(refused.to_string().contains("listens"), "{refused}");
    }
}
