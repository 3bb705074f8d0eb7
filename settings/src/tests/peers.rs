//! Settings about peers: the PROXY protocol, forwarded fields, the limit of one peer.

use insta::assert_snapshot;

use super::{MINIMAL, load, load_with};
use crate::{ClientFields, ProxyProtocol};

#[test]
fn a_listener_says_how_its_peers_name_the_client() {
    let text = "[[listen]]\nproxy_protocol = \"required\"\nclient_fields = \"forwarded\"\n\
                trusted_proxies = [\"10.0.0.0/8\"]\n[limits]\nmax_connections_per_peer = 50\n";
    let config = load_with(text, &[]).unwrap();
    let listen = &config.listen[0];
    assert_eq!(listen.proxy_protocol, ProxyProtocol::Required);
    assert_eq!(listen.client_fields, ClientFields::Forwarded);
    assert_eq!(config.limits.max_connections_per_peer, Some(50));
}

#[test]
fn what_is_wrong_with_peers_is_told() {
    let listed = |text: &str| {
        let errors = load(&format!("{MINIMAL}{text}")).unwrap_err();
        super::problems::lines(errors.problems())
    };
    let wrong = "[[listen]]\nproxy_protocol = true\nclient_fields = \"x-forwarded-for\"\n\
                 [limits]\nmax_connections_per_peer = 0\n";
    assert_snapshot!(listed(wrong), @r#"
    4:18: `listen[0].proxy_protocol` must be one of "off", "optional", "required" (this is a boolean)
    5:17: `listen[0].client_fields` must be one of "x-forwarded", "x-real-ip", "forwarded" (unknown value)
    7:28: `limits.max_connections_per_peer` must be a whole number from 1 to 1000000 (out of range)
    "#);
    let nobody = "[[listen]]\nproxy_protocol = \"optional\"\n";
    assert_snapshot!(listed(nobody), @r#"4:18: `proxy_protocol` of the listener `main` is on, and its `trusted_proxies` is empty (a header would be refused from everybody) -> name the load balancers: trusted_proxies = ["10.0.0.0/8"]"#);
}
