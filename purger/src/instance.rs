//! `Instance`: this purger's name in its group, which is the same after a restart or a kill. Kafka
//! then assigns it the same partitions immediately, instead of waiting for `session_timeout`.

use std::hash::Hasher as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use settings::{KafkaSettings, PurgerSettings};
use xxhash_rust::xxh3::Xxh3;

/// The name, with a lock that keeps other purgers on this machine from taking it.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    /// Empty: Kafka assigns a new name at each start.
    pub(crate) name: String,
    /// The system releases it when the process ends, however that happens.
    _place: Option<UnixListener>,
}

impl Instance {
    /// Takes the configured name, else the first of this machine's names that no other purger of
    /// the group has taken here.
    pub(crate) fn take(kafka: &KafkaSettings, purger: &PurgerSettings) -> Self {
        match purger.instance.as_str() {
            "none" => Self::default(),
            "" => machine()
                .filter(|(host, _)| !is_old(kafka) && is_stable(host, is_in_kubernetes()))
                .and_then(|(host, boot)| Self::of(&format!("{host}-{boot}"), kafka, purger))
                .unwrap_or_default(),
            name => Self { name: name.to_owned(), _place: None },
        }
    }

    fn of(machine: &str, kafka: &KafkaSettings, purger: &PurgerSettings) -> Option<Self> {
        let mut brokers = Xxh3::new();
        kafka.brokers.iter().for_each(|broker| brokers.write(broker.as_bytes()));
        let (cluster, group) = (brokers.finish(), &purger.group);
        (0..PLACES).find_map(|number| {
            let place = format!("shellac-purger/{cluster:016x}/{group}/{number}");
            let address = SocketAddr::from_abstract_name(place).ok()?;
            let place = UnixListener::bind_addr(&address).ok()?;
            Some(Self { name: format!("{machine}-{number}"), _place: Some(place) })
        })
    }
}

/// Returns the host's name in characters that Kafka takes, and the beginning of its boot id, which
/// differs on another machine of that name.
fn machine() -> Option<(String, String)> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let host: String = host.trim().chars().filter(is_plain).take(HOST_MAX).collect();
    let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(BOOT_MAX).collect();
    (!host.is_empty() && !boot.is_empty()).then_some((host, boot))
}

fn is_in_kubernetes() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// Returns whether a restarted process will have this host name again. Pods of a Deployment have
/// random names: after a replacement, Kafka would wait in vain for the old one. Pods of a
/// `StatefulSet` are numbered.
fn is_stable(host: &str, is_in_kubernetes: bool) -> bool {
    let is_number = |end: &str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
    !is_in_kubernetes || host.rsplit_once('-').is_some_and(|(_, end)| is_number(end))
}

/// Returns whether brokers may be older than 2.3, which know no static members.
fn is_old(kafka: &KafkaSettings) -> bool {
    kafka.properties.iter().any(|(name, _)| name == "broker.version.fallback")
}

/// Purgers of one group that can have names on one machine.
const PLACES: usize = 64;
const HOST_MAX: usize = 200;
const BOOT_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purgers_on_one_machine_have_names_that_survive_restarts() {
        let brokers = vec![format!("test-{}:9092", std::process::id())];
        let kafka = KafkaSettings { brokers, ..KafkaSettings::default() };
        let take = || Instance::of("web", &kafka, &PurgerSettings::default()).unwrap();
        let (first, second) = (take(), take());
        assert_eq!((first.name.as_str(), second.name.as_str()), ("web-0", "web-1"));
        drop(first);
        assert_eq!(take().name, "web-0");
        let other = PurgerSettings { group: "other".to_owned(), ..PurgerSettings::default() };
        assert_eq!(Instance::of("web", &kafka, &other).unwrap().name, "web-0");
    }

    #[test]
    fn a_random_name_is_none() {
        assert!(is_stable("purger-0", true) && is_stable("web17.example.com", false));
        assert!(!is_stable("purger-7d9f8b6c5d-x2x4z", true));
    }

    #[test]
    fn operators_settings_override_all_others() {
        let name = |instance: &str| {
            let purger =
                PurgerSettings { instance: instance.to_owned(), ..PurgerSettings::default() };
            Instance::take(&KafkaSettings::default(), &purger).name
        };
        assert_eq!((name("mine").as_str(), name("none").as_str()), ("mine", ""));
    }
}
