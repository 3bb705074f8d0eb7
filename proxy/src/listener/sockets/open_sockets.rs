//! `OpenSockets`: the sockets that this process listens at.

use std::io;
use std::net::SocketAddr;

use parking_lot::Mutex;

use super::listener_set::{ChangeError, Changed, ListenerChange, ListenerSet, Opening};
use super::{BoundAddress, BoundListener, InheritedSockets};
use settings::{AdminSettings, Config, ListenSettings};

/// Shared by those who serve, those who change what is listened at, and those who hand the sockets
/// over or close them.
#[derive(Debug)]
pub struct OpenSockets {
    all: Mutex<All>,
}

#[derive(Debug)]
struct All {
    traffic: ListenerSet,
    admin: ListenerSet,
    /// Set when no client is let in and no socket opened any more.
    is_closed: bool,
}

/// Other descriptors of open sockets, for a process or a start that takes over.
#[derive(Debug)]
pub struct DuplicateSockets {
    pub traffic: Vec<BoundListener>,
    pub admin: Vec<BoundAddress>,
}

/// Sockets for other settings, bound and not used yet.
#[derive(Debug)]
pub struct SocketsChange {
    traffic: ListenerChange,
    admin: ListenerChange,
}

impl OpenSockets {
    /// Takes the sockets of the start: the traffic is for so many workers, the rest for one thread.
    pub fn new(config: &Config, traffic: Vec<BoundListener>, admin: Vec<BoundAddress>) -> Self {
        let traffic = ListenerSet::new(traffic, config.workers);
        let settings = admin_listener(&config.admin);
        let admin = ListenerSet::new(vec![BoundListener { settings, addresses: admin }], 1);
        Self { all: Mutex::new(All { traffic, admin, is_closed: false }) }
    }

    /// Returns what is to be accepted at from the start: by the workers, and by the control thread.
    pub fn openings(&self) -> Result<(Vec<Opening>, Vec<Opening>), ChangeError> {
        let all = self.all.lock();
        Ok((all.traffic.openings()?, all.admin.openings()?))
    }

    /// Binds what other settings need.
    pub fn prepare(&self, config: &Config) -> Result<SocketsChange, ChangeError> {
        let all = self.all.lock();
        // The sockets that the service manager has passed were taken at the start.
        let mut inherited = InheritedSockets::default();
        Ok(SocketsChange {
            traffic: all.traffic.prepare(&config.listen, &mut inherited)?,
            admin: all.admin.prepare(&[admin_listener(&config.admin)], &mut inherited)?,
        })
    }

    /// Makes the change and, before anybody else closes or hands over a socket, does with it what
    /// `adopt` says: for the settings of the traffic listeners by their ids. Returns what is to be
    /// done for the traffic and for the admin listener; `None` if all is closed by now.
    pub fn apply(
        &self,
        change: SocketsChange,
        adopt: impl FnOnce(&Changed, Vec<ListenSettings>),
    ) -> Option<(Changed, Changed)> {
        let mut all = self.all.lock();
        if all.is_closed {
            return None;
        }
        let traffic = all.traffic.apply(change.traffic);
        adopt(&traffic, all.traffic.settings());
        let admin = all.admin.apply(change.admin);
        Some((traffic, admin))
    }

    /// Returns the URLs or paths of the traffic listeners.
    pub fn shown(&self) -> Vec<String> {
        self.all.lock().traffic.shown()
    }

    pub fn shown_admin(&self) -> Vec<String> {
        self.all.lock().admin.shown()
    }

    pub fn tcp(&self) -> Vec<SocketAddr> {
        self.all.lock().traffic.addresses().filter_map(BoundAddress::tcp).collect()
    }

    pub fn tcp_admin(&self) -> Vec<SocketAddr> {
        self.all.lock().admin.addresses().filter_map(BoundAddress::tcp).collect()
    }

    /// Closes the sockets of the traffic listeners here, and removes their files. Nobody is let in
    /// any more once the workers have closed theirs.
    pub fn close_traffic(&self) {
        let mut all = self.all.lock();
        all.is_closed = true;
        all.traffic.close();
    }

    /// Closes the sockets of the admin listener here, and removes their files.
    pub fn close_admin(&self) {
        self.all.lock().admin.close();
    }

    /// Takes responsibility for the files of all Unix sockets.
    pub fn take_files(&self) {
        self.addresses().iter().for_each(|(_, address)| address.take_file());
    }

    /// Returns each address, and whether it is the admin listener's.
    pub fn addresses(&self) -> Vec<(bool, BoundAddress)> {
        let all = self.all.lock();
        let traffic = all.traffic.addresses().map(|address| (false, address.clone()));
        traffic.chain(all.admin.addresses().map(|address| (true, address.clone()))).collect()
    }

    /// Returns other descriptors of the same sockets, and the listeners that have them.
    pub fn duplicate(&self) -> io::Result<DuplicateSockets> {
        let all = self.all.lock();
        let copies = |addresses: &[BoundAddress]| {
            addresses.iter().map(BoundAddress::duplicate).collect::<io::Result<Vec<_>>>()
        };
        let traffic = all.traffic.listeners().into_iter().map(|listener| {
            let addresses = copies(&listener.addresses)?;
            Ok(BoundListener { addresses, ..listener })
        });
        let traffic = traffic.collect::<io::Result<_>>()?;
        let admin: Vec<BoundAddress> = all.admin.addresses().cloned().collect();
        Ok(DuplicateSockets { traffic, admin: copies(&admin)? })
    }

    /// Closes all sockets here and leaves their files to the process that has them from now on.
    pub fn leave(&self) {
        let mut all = self.all.lock();
        let All { traffic, admin, is_closed } = &mut *all;
        *is_closed = true;
        traffic.addresses().chain(admin.addresses()).for_each(BoundAddress::leave_file);
        traffic.close();
        admin.close();
    }
}

/// Returns the admin listener as if it were one for traffic.
fn admin_listener(admin: &AdminSettings) -> ListenSettings {
    ListenSettings {
        name: "admin".to_owned(),
        addresses: admin.listen.clone(),
        socket_mode: admin.socket_mode,
        backlog: ADMIN_BACKLOG,
        ..ListenSettings::default()
    }
}

pub const ADMIN_BACKLOG: u32 = 128;
