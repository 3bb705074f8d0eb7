//! `ListenAddress`: where a listener's sockets come from.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `"127.0.0.1:8080"`. Port 0 takes any free port.
    Tcp(SocketAddr),
    /// `"unix:/run/shellac/http.sock"`, an absolute path.
    Unix(PathBuf),
    /// `"fd:NAME"`: sockets that a service manager passes under this name (`LISTEN_FDNAMES`).
    Inherited(String),
}

impl ListenAddress {
    /// Returns the IP address and port, unless it is a socket of another kind.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Inherited(_) => None,
        }
    }

    /// Returns whether only processes of this machine can connect, as far as the address tells.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
            Self::Inherited(_) => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    /// Reads what is written in a configuration. The error says what is wrong, in a few words.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                _ if !path.starts_with('/') => Err("the path is not absolute".to_owned()),
                _ if path.ends_with('/') => Err("the path is a directory".to_owned()),
                _ if path.len() > PATH_BYTES_MAX => {
                    Err(format!("the path is longer than {PATH_BYTES_MAX} bytes"))
                }
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        if let Some(name) = text.strip_prefix("fd:") {
            let is_sound = !name.is_empty()
                && name.len() <= NAME_BYTES_MAX
                && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
            let fault = || "the name is empty, too long, or has characters that no name has";
            return is_sound
                .then(|| Self::Inherited(name.to_owned()))
                .ok_or_else(|| fault().to_owned());
        }
        text.parse().map(Self::Tcp).map_err(|error: std::net::AddrParseError| error.to_string())
    }
}

/// The bytes that the system's socket addresses hold (`unix(7)`: 108 with the end).
const PATH_BYTES_MAX: usize = 107;
/// The limit of systemd (`sd_is_fdname_valid`).
const NAME_BYTES_MAX: usize = 255;
