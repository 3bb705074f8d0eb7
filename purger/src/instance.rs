//! `Instance`: a name that this purger has in its group, and has again after a restart, also when it was killed. Kafka then gives
//! it the same partitions at once, instead of waiting for `session_timeout`.

use std::hash::Hasher as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use settings::{Kafka, Purger};
use xxhash_rust::xxh3::Xxh3;

/// The name, and what keeps others on this machine from taking it.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    /// Empty: Kafka names the member itself, anew each time.
    pub(crate) name: String,
    /// The system frees it when the process ends, however that happens.
    _place: Option<UnixListener>,
}

impl Instance {
    /// Takes the configured name, else one of this machine's: the first that no other purger of the group has here.
    pub(crate) fn take(kafka: &Kafka, purger: &Purger) -> Self {
        match purger.instance.as_str() {
            "none" => Self::default(),
            "" => machine()
                .filter(|(host, _)| !is_old(kafka) && is_stable(host, is_in_kubernetes()))
                .and_then(|(host, boot)| Self::of(&format!("{host}-{boot}"), kafka, purger))
                .unwrap_or_default(),
            name => Self { name: name.to_owned(), _place: None },
        }
    }

    fn of(machine: &str, kafka: &Kafka, purger: &Purger) -> Option<Self> {
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

/// The machine's name, of characters that Kafka takes, and what tells this machine from others of that name, until it boots.
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

/// Returns whether the name will be this machine's for long. The pods of a Deployment have random names: when one is replaced,
/// nobody would ever come back under its name, and Kafka would wait in vain. Those of a `StatefulSet` are numbered.
fn is_stable(host: &str, is_in_kubernetes: bool) -> bool {
    let is_number = |end: &str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
    !is_in_kubernetes || host.rsplit_once('-').is_some_and(|(_, end)| is_number(end))
}

/// Brokers before 2.3 know no static members.
fn is_old(kafka: &Kafka) -> bool {
    kafka.properties.iter().any(|(name, _)| name == "broker.version.fallback")
}

/// Purgers of one group on one machine that have names.
const PLACES: usize = 64;
const HOST_MAX: usize = 200;
const BOOT_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_purgers_on_one_machine_have_two_names_and_one_that_comes_back_has_its_own() {
        let brokers = vec![format!("test-{}:9092", std::process::id())];
        let kafka = Kafka { brokers, ..Kafka::default() };
        let take = || Instance::of("web", &kafka, &Purger::default()).unwrap();
        let (first, second) = (take(), take());
        assert_eq!((first.name.as_str(), second.name.as_str()), ("web-0", "web-1"));
        drop(first);
        assert_eq!(take().name, "web-0");
        let other = Purger { group: "other".to_owned(), ..Purger::default() };
        assert_eq!(Instance::of("web", &kafka, &other).unwrap().name, "web-0");
    }

    #[test]
    fn a_random_name_is_none() {
        assert!(is_stable("purger-0", true) && is_stable("web17.example.com", false));
        assert!(!is_stable("purger-7d9f8b6c5d-x2x4z", true));
    }

    #[test]
    fn the_operator_has_the_last_word() {
        let name = |instance: &str| {
            let purger = Purger { instance: instance.to_owned(), ..Purger::default() };
            Instance::take(&Kafka::default(), &purger).name
        };
        assert_eq!((name("mine").as_str(), name("none").as_str()), ("mine", ""));
    }
}
