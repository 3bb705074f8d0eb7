//! `OpenSockets`: the sockets that this process listens at.

use std::io;
use std::net::SocketAddr;

use parking_lot::Mutex;

use super::{BoundAddress, BoundListener, ListenSocket};
use crate::client::peer::ListenerId;

/// Shared by those who serve, and those who hand the sockets over or close them.
#[derive(Debug)]
pub struct OpenSockets {
    all: Mutex<All>,
}

#[derive(Debug)]
struct All {
    traffic: Vec<BoundListener>,
    admin: Vec<BoundAddress>,
}

impl OpenSockets {
    pub fn new(traffic: Vec<BoundListener>, admin: Vec<BoundAddress>) -> Self {
        Self { all: Mutex::new(All { traffic, admin }) }
    }

    /// Returns the sockets of the traffic listeners at which a worker accepts.
    pub fn of_worker(
        &self,
        number: usize,
        workers: usize,
    ) -> io::Result<Vec<(ListenerId, ListenSocket)>> {
        let mut sockets = Vec::new();
        for (index, listener) in self.all.lock().traffic.iter().enumerate() {
            let own = listener.of_worker(number, workers)?;
            sockets.extend(own.into_iter().map(|socket| (ListenerId::at(index), socket)));
        }
        Ok(sockets)
    }

    /// Returns the sockets of the admin listener.
    pub fn of_admin(&self) -> io::Result<Vec<(ListenerId, ListenSocket)>> {
        let mut sockets = Vec::new();
        for (index, address) in self.all.lock().admin.iter().enumerate() {
            let own = address.of_worker(0, 1)?;
            sockets.extend(own.into_iter().map(|socket| (ListenerId::at(index), socket)));
        }
        Ok(sockets)
    }

    /// Where the traffic listeners are found.
    pub fn shown(&self) -> Vec<String> {
        let all = self.all.lock();
        all.traffic
            .iter()
            .flat_map(|listener| {
                let scheme = if listener.settings.tls.is_some() { "https" } else { "http" };
                listener.addresses.iter().map(move |address| address.shown(scheme))
            })
            .collect()
    }

    pub fn shown_admin(&self) -> Vec<String> {
        self.all.lock().admin.iter().map(|address| address.shown("http")).collect()
    }

    pub fn tcp(&self) -> Vec<SocketAddr> {
        let all = self.all.lock();
        let addresses = all.traffic.iter().flat_map(|listener| &listener.addresses);
        addresses.filter_map(BoundAddress::tcp).collect()
    }

    pub fn tcp_admin(&self) -> Vec<SocketAddr> {
        self.all.lock().admin.iter().filter_map(BoundAddress::tcp).collect()
    }

    /// Closes the sockets of the traffic listeners here, and removes their files. Nobody is let in
    /// any more once the workers have closed theirs.
    pub fn close_traffic(&self) {
        let closed = std::mem::take(&mut self.all.lock().traffic);
        drop(closed);
    }

    /// Closes all sockets here and leaves their files to the process that has them from now on.
    pub fn leave(&self) {
        let mut all = self.all.lock();
        let All { traffic, admin } = &mut *all;
        let addresses = traffic.iter_mut().flat_map(|listener| &mut listener.addresses);
        addresses.chain(admin.iter_mut()).for_each(BoundAddress::leave_file);
        traffic.clear();
        admin.clear();
    }
}
