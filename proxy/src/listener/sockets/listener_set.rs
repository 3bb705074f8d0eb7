//! `ListenerSet`: the listeners that are open, and how others take their place.
//!
//! A change is prepared first: every new address is bound, and nothing is changed if one cannot be.
//! Sockets whose address stays are kept, with who is queued there, whatever else changes.

use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use tokio_util::sync::CancellationToken;

use super::{BindError, BindRules, BoundAddress, BoundListener, InheritedSockets, ListenSocket};
use crate::client::peer::ListenerId;
use crate::listener::ListenerHandle;
use settings::{ListenAddress, ListenSettings};

#[derive(Debug)]
pub(super) struct ListenerSet {
    /// By their ids.
    places: Vec<SocketPlace>,
    workers: usize,
}

/// A listener, or what is left of one: its settings and its connections.
#[derive(Debug)]
struct SocketPlace {
    settings: ListenSettings,
    handle: ListenerHandle,
    /// Empty when it is closed.
    open: Vec<OpenAddress>,
}

/// An address at which somebody accepts connections.
#[derive(Debug)]
struct OpenAddress {
    bound: BoundAddress,
    closing: CancellationToken,
}

/// An address of a listener that every worker is to accept at.
#[derive(Debug)]
pub struct Opening {
    pub listener: ListenerHandle,
    pub closing: CancellationToken,
    /// For each worker its own sockets.
    pub sockets: Vec<Vec<ListenSocket>>,
}

/// A change of the listeners that cannot fail any more.
#[derive(Debug)]
pub(super) struct ListenerChange(Vec<NextListener>);

#[derive(Debug)]
struct NextListener {
    settings: ListenSettings,
    place: usize,
    is_new: bool,
    addresses: Vec<NextAddress>,
}

#[derive(Debug)]
enum NextAddress {
    /// It is accepted at already, for this listener.
    Stays(ListenAddress),
    /// Another listener gives it up: the socket stays.
    Moves(ListenAddress, Vec<Vec<ListenSocket>>),
    Opens(BoundAddress, Vec<Vec<ListenSocket>>),
}

/// The steps that remain once the listeners are others.
#[derive(Debug, Default)]
pub struct Changed {
    /// Listeners with a new id, and the listener of the same name that keeps the counters of the
    /// last one with that id.
    pub begun: Vec<(ListenerId, Option<ListenerId>)>,
    pub openings: Vec<Opening>,
    /// Addresses that are no longer accepted at for the same listener.
    pub closings: Vec<CancellationToken>,
    pub opened: Vec<String>,
    pub closed: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot share a socket out to the workers: {0}")]
    Share(#[from] io::Error),
    #[error(
        "there can be {} listeners at once, with those whose connections still end",
        ListenerId::MAX
    )]
    TooMany,
}

impl ListenerSet {
    /// Takes the sockets of the start.
    pub(super) fn new(bound: Vec<BoundListener>, workers: usize) -> Self {
        let mut places = Vec::new();
        for (place, BoundListener { settings, addresses }) in bound.into_iter().enumerate() {
            let handle = ListenerHandle::new(ListenerId::at(place));
            let open = |bound| OpenAddress { bound, closing: CancellationToken::new() };
            places.push(SocketPlace {
                settings,
                handle,
                open: addresses.into_iter().map(open).collect(),
            });
        }
        Self { places, workers }
    }

    /// Returns what the workers are to accept at from the start.
    pub(super) fn openings(&self) -> Result<Vec<Opening>, ChangeError> {
        if self.places.len() > ListenerId::MAX {
            return Err(ChangeError::TooMany);
        }
        let mut openings = Vec::new();
        for place in &self.places {
            for open in &place.open {
                openings.push(Opening {
                    listener: place.handle.clone(),
                    closing: open.closing.clone(),
                    sockets: shared_out(&open.bound, self.workers)?,
                });
            }
        }
        Ok(openings)
    }

    /// Returns the settings of all, by their ids.
    pub(super) fn settings(&self) -> Vec<ListenSettings> {
        self.places.iter().map(|place| place.settings.clone()).collect()
    }

    /// Binds what is new.
    pub(super) fn prepare(
        &self,
        next: &[ListenSettings],
        inherited: &mut InheritedSockets,
    ) -> Result<ListenerChange, ChangeError> {
        let chosen = self.choose_places(next)?;
        let mut listeners = Vec::new();
        for (settings, (place, is_new)) in next.iter().zip(&chosen) {
            let mut addresses = Vec::new();
            for address in &settings.addresses {
                let own = self.places.get(*place).filter(|_| !is_new);
                addresses.push(match own.and_then(|own| own.find(address)) {
                    Some(_) => NextAddress::Stays(address.clone()),
                    None => self.next_address(address, settings, next, inherited)?,
                });
            }
            let (settings, place, is_new) = (settings.clone(), *place, *is_new);
            listeners.push(NextListener { settings, place, is_new, addresses });
        }
        Ok(ListenerChange(listeners))
    }

    fn next_address(
        &self,
        address: &ListenAddress,
        settings: &ListenSettings,
        next: &[ListenSettings],
        inherited: &mut InheritedSockets,
    ) -> Result<NextAddress, ChangeError> {
        let holder = self.places.iter().find_map(|place| Some((place, place.find(address)?)));
        if let Some((place, open)) = holder {
            let keeps = |listen: &ListenSettings| {
                listen.name == place.settings.name && listen.addresses.contains(address)
            };
            if !next.iter().any(keeps) {
                let sockets = shared_out(&open.bound, self.workers)?;
                return Ok(NextAddress::Moves(address.clone(), sockets));
            }
        }
        let rules = BindRules {
            backlog: settings.backlog,
            mode: settings.socket_mode,
            workers: self.workers,
            is_shared: self.has_port_of(address),
        };
        let bound = BoundAddress::bind(address, rules, inherited)?;
        let sockets = shared_out(&bound, self.workers)?;
        Ok(NextAddress::Opens(bound, sockets))
    }

    /// Returns whether an address of this process has the same port: whether another process has it
    /// cannot be told then.
    fn has_port_of(&self, address: &ListenAddress) -> bool {
        let port = |address: &ListenAddress| address.tcp().map(|address| address.port());
        let mut open = self.places.iter().flat_map(|place| &place.open);
        port(address).is_some() && open.any(|own| port(&own.bound.configured) == port(address))
    }

    /// Returns the place of each listener, and whether it is new there. A listener keeps its place
    /// by its name, or by its addresses under another name.
    fn choose_places(&self, next: &[ListenSettings]) -> Result<Vec<(usize, bool)>, ChangeError> {
        let mut is_taken = vec![false; self.places.len()];
        let mut take = |fits: &dyn Fn(&SocketPlace) -> bool| {
            let mut free = self.places.iter().zip(&is_taken);
            let place = free.position(|(place, is_taken)| !is_taken && fits(place))?;
            *is_taken.get_mut(place)? = true;
            Some(place)
        };
        let mut chosen: Vec<Option<(usize, bool)>> = Vec::new();
        for listen in next {
            let same = |place: &SocketPlace| place.is_open() && place.settings.name == listen.name;
            chosen.push(take(&same).map(|place| (place, false)));
        }
        for (listen, place) in next.iter().zip(&mut chosen).filter(|(_, place)| place.is_none()) {
            let renamed = |place: &SocketPlace| {
                place.is_open() && place.settings.addresses == listen.addresses
            };
            *place = take(&renamed).map(|place| (place, false));
        }
        let mut end = self.places.len();
        for place in chosen.iter_mut().filter(|place| place.is_none()) {
            let unused = |place: &SocketPlace| !place.is_open() && place.handle.connections() == 0;
            let number = take(&unused).unwrap_or_else(|| {
                end += 1;
                end - 1
            });
            *place = Some((number, true));
        }
        if end > ListenerId::MAX {
            return Err(ChangeError::TooMany);
        }
        Ok(chosen.into_iter().flatten().collect())
    }

    /// Makes the change. What it returns is to be done at once.
    pub(super) fn apply(&mut self, change: ListenerChange) -> Changed {
        let mut changed = Changed::default();
        let mut staying: Vec<(usize, OpenAddress)> = Vec::new();
        for (number, place) in self.places.iter_mut().enumerate() {
            staying.extend(place.open.drain(..).map(|open| (number, open)));
        }
        for NextListener { settings, place, is_new, addresses } in change.0 {
            let mut open = Vec::new();
            let handle = match self.places.get(place).filter(|_| !is_new) {
                Some(same) => same.handle.clone(),
                None => ListenerHandle::new(ListenerId::at(place)),
            };
            if is_new {
                changed.begun.push((handle.id, self.heir_of(place)));
            }
            for address in addresses {
                match address {
                    NextAddress::Stays(address) => {
                        if let Some(kept) = take(&mut staying, |(of, _)| *of == place, &address) {
                            let before = self.places.get(place).map(|place| &place.settings);
                            adjust(&kept.bound, before, &settings);
                            open.push(kept);
                        }
                    }
                    NextAddress::Moves(address, sockets) => {
                        if let Some(moved) = take(&mut staying, |_| true, &address) {
                            changed.closings.push(moved.closing);
                            adjust(&moved.bound, None, &settings);
                            open.push(changed.open(moved.bound, &handle, sockets));
                        }
                    }
                    NextAddress::Opens(bound, sockets) => {
                        changed.opened.push(format!(
                            "{} {}",
                            settings.name,
                            bound.shown(scheme_of(&settings))
                        ));
                        open.push(changed.open(bound, &handle, sockets));
                    }
                }
            }
            self.put(place, SocketPlace { settings, handle, open });
        }
        for (number, OpenAddress { bound, closing }) in staying {
            let place = self.places.get(number);
            let (name, scheme) = place.map_or(("", "http"), |place| {
                (place.settings.name.as_str(), scheme_of(&place.settings))
            });
            changed.closed.push(format!("{name} {}", bound.shown(scheme)));
            changed.closings.push(closing);
        }
        changed
    }

    /// Closes all: the workers serve who is queued.
    pub(super) fn close(&mut self) {
        for place in &mut self.places {
            for open in place.open.drain(..) {
                open.closing.cancel();
            }
        }
    }

    /// Returns where clients find each of its addresses.
    pub(super) fn shown(&self) -> Vec<String> {
        let shown = self.places.iter().flat_map(|place| {
            place.open.iter().map(|open| open.bound.shown(scheme_of(&place.settings)))
        });
        shown.collect()
    }

    /// Returns every address that is open.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &BoundAddress> {
        self.places.iter().flat_map(|place| &place.open).map(|open| &open.bound)
    }

    /// Returns the listeners that are open, with their settings as they are now.
    pub(super) fn listeners(&self) -> Vec<BoundListener> {
        let open = self.places.iter().filter(|place| place.is_open());
        open.map(|place| BoundListener {
            settings: place.settings.clone(),
            addresses: place.open.iter().map(|open| open.bound.clone()).collect(),
        })
        .collect()
    }

    /// Returns the open listener with the name of what was at this place before.
    fn heir_of(&self, place: usize) -> Option<ListenerId> {
        let gone = self.places.get(place)?;
        let is_heir = |other: &&SocketPlace| {
            other.handle.id != gone.handle.id && other.settings.name == gone.settings.name
        };
        self.places.iter().find(is_heir).map(|heir| heir.handle.id)
    }

    fn put(&mut self, place: usize, listener: SocketPlace) {
        match self.places.get_mut(place) {
            Some(there) => *there = listener,
            None => self.places.push(listener),
        }
    }
}

impl SocketPlace {
    const fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn find(&self, address: &ListenAddress) -> Option<&OpenAddress> {
        self.open.iter().find(|open| open.bound.configured == *address)
    }
}

impl Changed {
    fn open(
        &mut self,
        bound: BoundAddress,
        listener: &ListenerHandle,
        sockets: Vec<Vec<ListenSocket>>,
    ) -> OpenAddress {
        let closing = CancellationToken::new();
        let listener = listener.clone();
        self.openings.push(Opening { listener, closing: closing.clone(), sockets });
        OpenAddress { bound, closing }
    }
}

const fn scheme_of(settings: &ListenSettings) -> &'static str {
    if settings.tls.is_some() { "https" } else { "http" }
}

/// Takes an open address out of those of a place that fits.
fn take(
    all: &mut Vec<(usize, OpenAddress)>,
    fits: impl Fn(&(usize, OpenAddress)) -> bool,
    address: &ListenAddress,
) -> Option<OpenAddress> {
    let is_it = |one: &(usize, OpenAddress)| fits(one) && one.1.bound.configured == *address;
    let place = all.iter().position(is_it)?;
    Some(all.swap_remove(place).1)
}

fn shared_out(bound: &BoundAddress, workers: usize) -> io::Result<Vec<Vec<ListenSocket>>> {
    (0..workers).map(|number| bound.of_worker(number, workers)).collect()
}

/// Gives sockets that stay the length of their queue and the mode of their file, where these have
/// changed.
fn adjust(bound: &BoundAddress, before: Option<&ListenSettings>, now: &ListenSettings) {
    let warn = |error: io::Error| {
        tracing::warn!(%error, listener = now.name, "a socket stays as it was");
    };
    if before.is_none_or(|before| before.backlog != now.backlog) {
        let backlog = i32::try_from(now.backlog).unwrap_or(i32::MAX);
        for socket in bound.sockets() {
            if let Err(error) = rustix::net::listen(socket, backlog) {
                warn(error.into());
            }
        }
    }
    if let ListenAddress::Unix(path) = &bound.configured
        && before.is_none_or(|before| before.socket_mode != now.socket_mode)
        && let Err(error) = set_permissions(path, Permissions::from_mode(now.socket_mode))
    {
        warn(error);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::listener::sockets::AvailableSockets;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn listen(name: &str, addresses: &[SocketAddr]) -> ListenSettings {
        let addresses = addresses.iter().map(|address| (*address).into()).collect();
        ListenSettings { name: name.to_owned(), addresses, ..ListenSettings::default() }
    }

    fn set(listeners: &[ListenSettings]) -> ListenerSet {
        let bind = |listen: &ListenSettings| {
            BoundListener::bind(listen, 2, &mut AvailableSockets::default()).unwrap()
        };
        ListenerSet::new(listeners.iter().map(bind).collect(), 2)
    }

    fn change(set: &mut ListenerSet, next: &[ListenSettings]) -> Changed {
        let change = set.prepare(next, &mut InheritedSockets::default()).unwrap();
        set.apply(change)
    }

    fn names(set: &ListenerSet) -> Vec<String> {
        set.settings().into_iter().map(|settings| settings.name).collect()
    }

    /// A port that is free for now.
    fn free() -> SocketAddr {
        std::net::TcpListener::bind(ANY).unwrap().local_addr().unwrap()
    }

    #[test]
    fn a_listener_that_stays_keeps_its_socket_whatever_else_of_it_changes() {
        let mut set = set(&[listen("a", &[ANY]), listen("b", &[ANY])]);
        let before: Vec<_> = set.addresses().map(BoundAddress::tcp).collect();

        let next = ListenSettings { backlog: 7, ..listen("b", &[ANY]) };
        let changed = change(&mut set, &[next, listen("a", &[ANY])]);

        assert!(
            changed.openings.is_empty() && changed.closings.is_empty() && changed.begun.is_empty()
        );
        assert_eq!(set.addresses().map(BoundAddress::tcp).collect::<Vec<_>>(), before);
        assert_eq!(names(&set), ["a", "b"], "ids are not given by the order in the file");
        assert_eq!(set.settings()[1].backlog, 7);
    }

    #[test]
    fn another_name_for_the_same_addresses_is_the_same_listener() {
        let address = free();
        let mut set = set(&[listen("a", &[address])]);
        let changed = change(&mut set, &[listen("b", &[address])]);
        assert!(changed.openings.is_empty() && changed.closings.is_empty());
        assert_eq!(names(&set), ["b"]);
    }

    #[test]
    fn an_id_is_given_to_another_listener_only_when_nobody_is_connected() {
        let mut set = set(&[listen("a", &[ANY]), listen("b", &[ANY])]);
        let connected = set.places[1].handle.count();

        let changed = change(&mut set, &[listen("a", &[ANY])]);
        assert_eq!((changed.closings.len(), changed.closed.len()), (1, 1));
        let changed = change(&mut set, &[listen("a", &[ANY]), listen("c", &[ANY])]);
        assert_eq!(changed.begun, [(ListenerId::at(2), None)]);
        assert_eq!(names(&set), ["a", "b", "c"], "b still has a connection");

        drop(connected);
        let next = ["a", "c", "d"].map(|name| listen(name, &[ANY]));
        let changed = change(&mut set, &next);
        assert_eq!(changed.begun, [(ListenerId::at(1), None)]);
        assert_eq!(names(&set), ["a", "d", "c"]);
    }

    #[test]
    fn counters_go_to_the_listener_that_has_the_name_now() {
        let (one, other) = (free(), free());
        let mut set = set(&[listen("a", &[one])]);
        change(&mut set, &[listen("b", &[other])]);
        let changed = change(&mut set, &[listen("b", &[other]), listen("a", &[one])]);
        assert_eq!(changed.begun, [(ListenerId::at(0), None)], "it is a's place again");
        assert_eq!(set.heir_of(0), None);
    }

    #[test]
    fn an_address_that_goes_to_another_listener_is_never_unbound() {
        let (first, second) = (free(), free());
        let mut set = set(&[listen("a", &[first, second])]);

        let changed = change(&mut set, &[listen("a", &[first]), listen("b", &[second])]);

        assert_eq!((changed.openings.len(), changed.closings.len()), (1, 1));
        assert!(changed.opened.is_empty() && changed.closed.is_empty());
        assert_eq!(changed.openings[0].listener.id, ListenerId::at(1));
        assert!(
            changed.openings[0].sockets.iter().all(|own| own.len() == 1),
            "one for each worker"
        );
    }

    #[test]
    fn an_address_that_cannot_be_bound_changes_nothing() {
        let taken = std::net::TcpListener::bind(ANY).unwrap();
        let set = set(&[listen("a", &[ANY])]);
        let next = [listen("a", &[free()]), listen("b", &[taken.local_addr().unwrap()])];

        let error = set.prepare(&next, &mut InheritedSockets::default()).unwrap_err();

        assert!(error.to_string().contains("cannot listen on"), "{error}");
        assert_eq!((names(&set).len(), set.addresses().count()), (1, 1));
    }

    #[test]
    fn there_is_an_end_to_the_number_of_listeners() {
        let mut set = set(&[listen("a", &[ANY])]);
        let handle = ListenerHandle::new(ListenerId::at(1));
        let connected = handle.count();
        let gone = || SocketPlace {
            settings: listen("gone", &[]),
            handle: handle.clone(),
            open: Vec::new(),
        };
        set.places.extend((1..ListenerId::MAX).map(|_| gone()));
        let next = [listen("a", &[ANY]), listen("b", &[ANY])];
        let refused = set.prepare(&next, &mut InheritedSockets::default());
        assert!(matches!(refused, Err(ChangeError::TooMany)));
        drop(connected);
        assert!(set.prepare(&next, &mut InheritedSockets::default()).is_ok());
    }
}
