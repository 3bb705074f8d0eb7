//! `Target`: the file, stream or socket that lines are written to.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::stderr;
use settings::{AccessLogSettings, AccessLogTarget};

use super::wall_time::push_rfc3339;

/// An open target, or one that is opened with the next line.
#[derive(Debug)]
pub(super) struct Target {
    place: AccessLogTarget,
    rotate_at: Option<u64>,
    keep: u32,
    open: Option<OpenTarget>,
    /// The last line was not written whole.
    is_torn: bool,
}

#[derive(Debug)]
enum OpenTarget {
    File { file: File, bytes: u64 },
    Socket(UnixDatagram),
}

impl Target {
    pub(super) fn new(settings: &AccessLogSettings) -> Self {
        let AccessLogSettings { target, rotate_at, keep, .. } = settings;
        let (place, rotate_at, keep) = (target.clone(), *rotate_at, *keep);
        Self { place, rotate_at, keep, open: None, is_torn: false }
    }

    pub(super) fn name(&self) -> String {
        match &self.place {
            AccessLogTarget::Off => "off".to_owned(),
            AccessLogTarget::Stdout => "stdout".to_owned(),
            AccessLogTarget::Stderr => "stderr".to_owned(),
            AccessLogTarget::File(path)
            | AccessLogTarget::Datagram(path)
            | AccessLogTarget::Syslog(path) => path.display().to_string(),
        }
    }

    /// Opens the target again with the next line: its file may have been renamed.
    pub(super) fn reopen(&mut self) {
        self.open = None;
    }

    /// Opens the target. May block, for a pipe that nobody reads.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            self.open = match &self.place {
                AccessLogTarget::File(path) => Some(open_file(path)?),
                AccessLogTarget::Datagram(path) | AccessLogTarget::Syslog(path) => {
                    Some(OpenTarget::Socket(connect(path)?))
                }
                AccessLogTarget::Off | AccessLogTarget::Stdout | AccessLogTarget::Stderr => None,
            };
        }
        Ok(())
    }

    /// Writes whole lines; `wall` is the time in milliseconds since 1970.
    pub(super) fn write(&mut self, lines: &[u8], wall: u64) -> io::Result<()> {
        self.rotate(lines.len())?;
        self.open()?;
        let result = match (&self.place, &mut self.open) {
            (_, Some(OpenTarget::File { file, bytes })) => {
                if self.is_torn {
                    file.write_all(b"\n")?;
                }
                *bytes += lines.len() as u64;
                let result = file.write_all(lines);
                self.is_torn = result.is_err();
                return result;
            }
            (AccessLogTarget::Syslog(_), Some(OpenTarget::Socket(socket))) => {
                send_each(socket, lines, &syslog_head(wall))
            }
            (_, Some(OpenTarget::Socket(socket))) => send_each(socket, lines, b""),
            (AccessLogTarget::Stdout, None) => io::stdout().lock().write_all(lines),
            (AccessLogTarget::Stderr, None) => stderr::write_now(lines),
            (_, None) => Ok(()),
        };
        if result.is_err() {
            self.open = None; // another one may listen there soon
        }
        result
    }

    /// Renames a file that would become too large: `access.log` to `access.log.1`, and so on.
    fn rotate(&mut self, more: usize) -> io::Result<()> {
        let (Some(bytes_max), AccessLogTarget::File(path), Some(OpenTarget::File { bytes, .. })) =
            (self.rotate_at, &self.place, &self.open)
        else {
            return Ok(());
        };
        if *bytes == 0 || bytes.saturating_add(more as u64) <= bytes_max {
            return Ok(());
        }
        for number in (1..self.keep).rev() {
            let (from, to) = (numbered(path, number), numbered(path, number + 1));
            if fs::exists(&from)? {
                fs::rename(from, to)?;
            }
        }
        fs::rename(path, numbered(path, 1))?;
        self.open = None;
        Ok(())
    }
}

fn open_file(path: &Path) -> io::Result<OpenTarget> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(OpenTarget::File { file, bytes })
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(SEND_PATIENCE))?;
    Ok(socket)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Sends each line, behind a head, as a datagram.
fn send_each(socket: &UnixDatagram, lines: &[u8], head: &[u8]) -> io::Result<()> {
    let mut message = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        message.clear();
        message.extend_from_slice(head);
        message.extend_from_slice(line);
        match socket.send(&message) {
            Ok(_) => {}
            // The one line is too long for the socket.
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the head of a message (RFC 5424 §6.2): facility local0, severity informational.
fn syslog_head(wall: u64) -> Vec<u8> {
    let mut head = b"<134>1 ".to_vec();
    push_rfc3339(&mut head, wall);
    let name = rustix::system::uname();
    head.push(b' ');
    head.extend_from_slice(name.nodename().to_bytes());
    head.extend_from_slice(format!(" shellac {} access - ", std::process::id()).as_bytes());
    head
}

/// How long a socket's reader may take nothing.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(target: AccessLogTarget) -> AccessLogSettings {
        AccessLogSettings { target, ..AccessLogSettings::default() }
    }

    #[test]
    fn a_file_is_renamed_at_its_size_and_as_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut settings = settings(AccessLogTarget::File(path.clone()));
        (settings.rotate_at, settings.keep) = (Some(10), 2);
        let mut target = Target::new(&settings);
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "six\n"] {
            target.write(line.as_bytes(), 0).unwrap();
        }
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(text(&path), "six\n");
        assert_eq!(text(&numbered(&path, 1)), "four\nfive\n", "as much as has room");
        assert_eq!(text(&numbered(&path, 2)), "three\n", "the older ones are gone");
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn a_renamed_file_is_left_when_the_target_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a"), folder.path().join("b"));
        let mut target = Target::new(&settings(AccessLogTarget::File(path.clone())));
        target.write(b"1\n", 0).unwrap();
        fs::rename(&path, &moved).unwrap();
        target.write(b"2\n", 0).unwrap();
        target.reopen();
        target.write(b"3\n", 0).unwrap();
        assert_eq!(fs::read_to_string(moved).unwrap(), "1\n2\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "3\n");
    }

    #[test]
    fn a_full_disk_is_an_error_and_nothing_more() {
        let mut target = Target::new(&settings(AccessLogTarget::File("/dev/full".into())));
        let error = target.write(b"1\n", 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn each_line_is_a_datagram_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let receive = || {
            let mut buffer = [0; 200];
            let length = server.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let mut plain = Target::new(&settings(AccessLogTarget::Datagram(path.clone())));
        plain.write(b"one\ntwo\n", 0).unwrap();
        assert_eq!([receive(), receive()], ["one", "two"]);

        let mut syslog = Target::new(&settings(AccessLogTarget::Syslog(path)));
        syslog.write(b"one\n", 1_000).unwrap();
        let message = receive();
        assert!(message.starts_with("<134>1 1970-01-01T00:00:01.000Z "), "{message}");
        assert!(message.ends_with(" access - one"), "{message}");
    }
}
