//! `shellac check`: says whether a configuration is right, all problems at once, and whether this
//! machine has what it needs.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use bytesize::ByteSize;
use rustix::process::{Resource, getrlimit};

use process::configuration::load_with_sources;
use process::exit::Exit;
use process::terminal::{print, say};
use settings::{Config, Flags, StorageKind, WrittenSettings};

use crate::policy;

/// What is asked for besides the check.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CheckScope {
    /// Every setting, with its source.
    pub(super) is_effective: bool,
    /// Nothing of this machine.
    pub(super) is_pure: bool,
}

pub(super) fn check(flags: Flags, wants: CheckScope) -> ExitCode {
    match load_with_sources(flags, policy::inspect) {
        Ok((config, _sources, written)) => {
            if !wants.is_pure {
                if let Some(problem) = shortage(&config).or_else(|| unbindable(&config)) {
                    say(format_args!("shellac: {problem}"));
                    return Exit::Config.into();
                }
                for note in notes(&config) {
                    say(format_args!("shellac: {note}"));
                }
            }
            let page = if wants.is_effective {
                effective(&written)
            } else {
                format!("{}\n", config.check_summary())
            };
            print(&page).into()
        }
        Err(exit) => exit.into(),
    }
}

/// Returns a line for each setting.
fn effective(written: &WrittenSettings) -> String {
    let all = written.effective();
    let line = |one: &settings::EffectiveSetting| {
        let assignment = format!("{} = {}", one.setting, one.value);
        format!("{assignment:<60} # {}\n", one.source)
    };
    all.iter().map(line).collect()
}

fn addresses(config: &Config) -> impl Iterator<Item = SocketAddr> {
    let traffic = config.listen.iter().flat_map(|listen| &listen.addresses);
    traffic.chain(&config.admin.listen).filter_map(settings::ListenAddress::tcp)
}

/// Returns why an address cannot be bound here, whoever else runs.
fn unbindable(config: &Config) -> Option<String> {
    addresses(config).find_map(|address| match TcpListener::bind(address) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Some(format!(
            "{address} cannot be bound by this user: choose a port from 1024 on, or give the program CAP_NET_BIND_SERVICE"
        )),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            Some(format!("{address} is no address of this machine: {error}"))
        }
        _ => None,
    })
}

/// Returns what may be as it should be: a proxy that runs has its ports.
fn notes(config: &Config) -> Vec<String> {
    let is_taken = |address: &SocketAddr| {
        let bound = TcpListener::bind(address);
        bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    };
    let taken = addresses(config).filter(|address| address.port() != 0 && is_taken(address));
    let mut notes: Vec<_> = taken
        .map(|address| {
            format!("{address} is in use: by the proxy that runs, or by another program")
        })
        .collect();
    let wanted = (config.limits.max_connections as u64).saturating_mul(2) + 1024;
    if let Some(hard) = getrlimit(Resource::Nofile).maximum.filter(|hard| *hard < wanted) {
        notes.push(format!(
            "{hard} file descriptors are allowed, and limits.max_connections may need {wanted}: raise LimitNOFILE"
        ));
    }
    notes
}

/// Says so where the disk is too small for the store: the file system that its directory is, or
/// would be, on.
fn shortage(config: &Config) -> Option<String> {
    let file = &config.storage.file;
    if config.storage.kind == StorageKind::Memory {
        return None;
    }
    let room = file.path.ancestors().find_map(|path| rustix::fs::statvfs(path).ok())?;
    let own = std::fs::metadata(file.path.join("store.dat")).map_or(0, |own| own.len());
    let free = room.f_bavail.saturating_mul(room.f_frsize).saturating_add(own);
    (free < file.capacity).then(|| {
        format!(
            "the file system of {} has room for {}, and storage.file.capacity is {}: free some, or lower it",
            file.path.display(),
            ByteSize::b(free),
            ByteSize::b(file.capacity),
        )
    })
}
