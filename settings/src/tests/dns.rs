//! `[dns]`.

use std::time::Duration;

use insta::assert_snapshot;

use super::{MINIMAL, load, load_with};
use crate::AddressFamily;

#[test]
fn name_servers_may_have_ports() {
    let text = "[dns]\nservers = [\"10.0.0.2\", \"[::1]:5353\", \"fd00::1\"]\nfamily = \"ipv4\"\n";
    let dns = load_with(text, &[]).unwrap().dns;
    let servers: Vec<_> = dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.2:53", "[::1]:5353", "[fd00::1]:53"]);
    assert_eq!((dns.family, dns.timeout), (AddressFamily::Ipv4, Duration::from_secs(5)));
}

#[test]
fn what_is_wrong_with_look_ups_is_told() {
    let listed = |text: &str| {
        let errors = load(&format!("{MINIMAL}{text}")).unwrap_err();
        super::problems::lines(errors.problems())
    };
    let wrong = "[dns]\nservers = [\"dns.example\"]\nfamily = \"ipv5\"\nmin_ttl = \"0s\"\nvalid = \"10s\"\n";
    assert_snapshot!(listed(wrong), @r#"
    4:12: `dns.servers[0]` must be the IP address of a name server, and `dns.example` is none (invalid socket address syntax) -> "10.0.0.2", "10.0.0.2:5353" or "[::1]:53"
    5:10: `dns.family` must be one of "any", "ipv4", "ipv6" (unknown value) -> did you mean "ipv4"?
    6:11: `dns.min_ttl` must be a duration from 100ms to 1d (out of range)
    7:1: unknown key `dns.valid` (not a setting of this table) -> there is: family, max_ttl, min_ttl, servers, timeout
    "#);
    let twisted = "[dns]\nmin_ttl = \"2m\"\nmax_ttl = \"1m\"\n";
    assert_snapshot!(listed(twisted), @"4:11: `dns.min_ttl` of 120s exceeds `dns.max_ttl` of 60s (an answer cannot be used for longer and shorter) -> raise `dns.max_ttl`, or lower `dns.min_ttl`");
}
