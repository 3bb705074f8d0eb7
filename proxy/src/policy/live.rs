//! `LiveSettings`: the current settings snapshot, and the copy of it that each worker has.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use settings::Config;

use super::snapshot::SettingsSnapshot;
use crate::origins::Origins;
use crate::tls::ListenersTls;

/// The current settings. A worker reads its own copy, and replaces it when the number has changed:
/// a request costs one relaxed load, and no two cores share a reference count.
#[derive(Debug)]
pub struct LiveSettings {
    number: AtomicU64,
    current: Mutex<Arc<SettingsSnapshot>>,
}

impl LiveSettings {
    pub fn new(config: &Config) -> Arc<Self> {
        let origins = Origins::new(&config.origins, &config.dns);
        let tls = ListenersTls::default().renewed(&config.listen);
        let snapshot = SettingsSnapshot::new(config, origins, (config.listen.clone(), tls), None);
        let number = AtomicU64::new(snapshot.number());
        Arc::new(Self { number, current: Mutex::new(Arc::new(snapshot)) })
    }

    /// Returns the defaults, with an origin without a server behind it.
    #[cfg(test)]
    pub(crate) fn with_defaults() -> Arc<Self> {
        Self::new(&tests::config())
    }

    /// Replaces the settings, of which each listener takes those of its addresses.
    pub fn replace(&self, config: &Config) {
        let current = self.current();
        // Sockets stay as they are, and so does the order of the listeners.
        let listener = |listen: &settings::ListenSettings| {
            let same = config.listen.iter().find(|new| new.addresses == listen.addresses);
            same.unwrap_or(listen).clone()
        };
        self.replace_with(config, current.listen.iter().map(listener).collect());
    }

    /// Replaces the settings, with listeners in the order of their ids. They hold for requests that
    /// are read from now on, also on open connections. Origins with the same settings stay, with
    /// their connections and failures.
    pub fn replace_with(&self, config: &Config, listen: Vec<settings::ListenSettings>) {
        let mut current = self.current.lock();
        let origins = current.origins.renewed(&config.origins, &config.dns);
        let tls = current.tls.renewed(&listen);
        let snapshot = SettingsSnapshot::new(config, origins, (listen, tls), Some(&**current));
        let number = snapshot.number();
        *current = Arc::new(snapshot);
        self.number.store(number, Ordering::Relaxed);
    }

    pub fn local(&self) -> Arc<SettingsSnapshot> {
        let number = self.number.load(Ordering::Relaxed);
        LOCAL.with_borrow_mut(|local| match local {
            Some(snapshot) if snapshot.number() == number => Arc::clone(snapshot),
            _ => Arc::clone(local.insert(self.copy())),
        })
    }

    pub fn current(&self) -> Arc<SettingsSnapshot> {
        Arc::clone(&self.current.lock())
    }

    #[cold]
    fn copy(&self) -> Arc<SettingsSnapshot> {
        Arc::new(SettingsSnapshot::clone(&self.current()))
    }
}

thread_local! {
    static LOCAL: RefCell<Option<Arc<SettingsSnapshot>>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use settings::{Flags, Sources};

    use super::*;

    pub(super) fn config() -> Config {
        let origin = Some("http://127.0.0.1:9".to_owned());
        let flags = Flags { origin, ..Flags::default() };
        Config::load(&Sources { flags, ..Sources::default() }).unwrap()
    }

    #[test]
    fn each_thread_has_a_copy_and_replaces_it_when_the_settings_were_replaced() {
        let mut config = config();
        let live = LiveSettings::new(&config);
        let first = live.local();
        assert!(Arc::ptr_eq(&first, &live.local()));
        assert!(!Arc::ptr_eq(&first, &live.current()), "it is a copy");

        config.limits.max_body = 7;
        live.replace(&config);

        assert_eq!(live.local().limits.max_body, 7);
        assert_ne!(first.limits.max_body, 7, "a request keeps what it was read under");
        assert!(Arc::ptr_eq(first.origins.first(), live.local().origins.first()));
    }

    #[test]
    fn a_listener_takes_the_settings_of_its_address_whatever_the_order() {
        let mut config = config();
        let here = config.listen[0].clone();
        let port = |port| vec![SocketAddr::from(([127, 0, 0, 1], port)).into()];
        let listen = |addresses| settings::ListenSettings { addresses, ..here.clone() };
        config.listen = vec![listen(port(1)), listen(port(2))];
        let live = LiveSettings::new(&config);

        let trusting = vec!["10.0.0.0/8".parse().unwrap()];
        let second =
            settings::ListenSettings { trusted_proxies: trusting.clone(), ..listen(port(2)) };
        config.listen = vec![second, listen(port(3))];
        live.replace(&config);

        let after = live.local();
        assert_eq!([&after.listen[0].addresses, &after.listen[1].addresses], [&port(1), &port(2)]);
        assert_eq!(after.listen[0].trusted_proxies, []);
        assert_eq!(after.listen[1].trusted_proxies, trusting);
    }

    #[test]
    fn an_origin_with_other_settings_is_made_anew_and_keeps_its_counters() {
        let mut config = config();
        let live = LiveSettings::new(&config);
        let before = live.current();
        config.origins[0].retries += 1;
        live.replace(&config);
        let (before, after) = (before.origins.first(), live.current());
        let after = after.origins.first();
        assert!(!Arc::ptr_eq(before, after) && Arc::ptr_eq(&before.metrics, &after.metrics));
    }
}
