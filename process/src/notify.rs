//! Messages to the service manager (`sd_notify(3)`): ready, reloading, stopping, alive.
//!
//! Without `NOTIFY_SOCKET` nothing is sent. A message that cannot be sent is logged: the program
//! goes on.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// Says that the program serves; `status` is shown by `systemctl status`.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the configuration is read again. [`ready`] has to follow, whatever comes of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// Says that the program is about to end.
pub fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Says what the program does.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// Asks for this much more time until the next message, for a start that takes long.
pub fn extend_timeout(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Says that another process takes the place of this one. With `NotifyAccess=main` only that one is
/// listened to from then on.
pub fn main_pid(pid: u32) {
    send(&[NotifyState::MainPid(pid)]);
}

/// Says that the program is alive.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// Says that the program is alive for as long as its runtime takes turns. Never returns, unless
/// nobody asks.
pub async fn keep_alive() {
    let Some(limit) = watchdog() else { return };
    loop {
        alive();
        tokio::time::sleep(limit / 2).await;
    }
}

/// Returns the time within which the service manager expects [`alive`], if it watches this process.
pub fn watchdog() -> Option<Duration> {
    let variable = |name| env::var(name).ok();
    watchdog_of(
        &variable("WATCHDOG_USEC")?,
        variable("WATCHDOG_PID").as_deref(),
        std::process::id(),
    )
}

fn watchdog_of(micros: &str, pid: Option<&str>, own: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let time = Duration::from_micros(micros.parse().ok()?);
    Some(time).filter(|time| is_ours && !time.is_zero())
}

fn send(states: &[NotifyState<'_>]) {
    let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
        return;
    };
    let mut message = String::new();
    for state in states {
        message.push_str(&state.to_string());
        message.push('\n');
    }
    if let Err(error) = send_to(&address, &message) {
        tracing::warn!(%error, ?address, "the service manager cannot be told");
    }
}

fn send_to(address: &OsStr, message: &str) -> io::Result<()> {
    // An `@` stands for the zero byte that begins an abstract address (unix(7)).
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not hold the program up.
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.send(message.as_bytes()).map(drop)
}

const SEND_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_message_reaches_a_path_and_an_abstract_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send_to(path.as_os_str(), "READY=1\nSTATUS=serving\n").unwrap();
        assert_eq!(received(&socket), "READY=1\nSTATUS=serving\n");

        let name = format!("shellac-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        send_to(OsStr::new(&format!("@{name}")), "STOPPING=1\n").unwrap();
        assert_eq!(received(&socket), "STOPPING=1\n");
    }

    #[test]
    fn a_manager_that_is_gone_is_an_error_and_no_end() {
        assert!(send_to(OsStr::new("/nowhere/notify"), "READY=1\n").is_err());
    }

    #[test]
    fn the_watchdog_is_obeyed_only_where_it_watches_this_process() {
        let three = Some(Duration::from_secs(3));
        assert_eq!(watchdog_of("3000000", None, 7), three);
        assert_eq!(watchdog_of("3000000", Some("7"), 7), three);
        assert_eq!(watchdog_of("3000000", Some("8"), 7), None);
        assert_eq!(watchdog_of("0", None, 7), None);
        assert_eq!(watchdog_of("soon", None, 7), None);
    }
}
