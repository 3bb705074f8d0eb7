//! Settings that are right alone and wrong, or dangerous, together.

use super::report::{ProblemBuilder, Report};
use super::tree::Node;
use super::{
    Config, Http2, ListenAddress, ListenSettings, PeerNetwork, ProxyProtocol, RuleOrigin,
    SaslMechanism, ServerSettings, StorageKind, StorageSettings,
};
use super::{key_warnings, rule_warnings};

/// Reports every combination that cannot work, and warns of those that can but should not.
///
/// A setting that could not be read is at its default and conflicts with nothing.
pub(super) fn check(config: &Config, root: &Node, report: &mut Report) {
    for (sections, find) in CHECKS {
        if !sections.iter().any(|section| report.has_fault_in(section)) {
            report.extend(find(config, root));
        }
    }
}

type Check = fn(&Config, &Node) -> Vec<ProblemBuilder>;

/// The checks, and the sections that each of them looks at.
const CHECKS: [(&[&str], Check); 23] = [
    (&["dns"], answers_that_hold_for_no_time),
    (&["storage"], objects_larger_than_the_store),
    (&["cookies"], cookies_in_two_lists),
    (&["key"], parameters_kept_and_dropped),
    (&["key", "listen", "rule"], key_warnings::countries_that_nobody_may_name),
    (&["key"], key_warnings::modes_without_effect),
    (&["origin"], origins_never_chosen),
    (&["origin"], servers_named_twice),
    (&["rule", "origin"], origins_that_rules_miss),
    (&["rule"], rule_warnings::rules_without_effect),
    (&["rule"], rule_warnings::rules_that_share),
    (&["rule"], rule_warnings::queries_that_presets_need),
    (&["origin"], servers_that_are_not_verified),
    (&["listen"], names_taken_twice),
    (&["listen"], http2_that_nobody_asks_for),
    (&["listen", "admin"], addresses_taken_twice),
    (&["listen", "purge"], proxies_that_may_purge),
    (&["admin"], open_admin),
    (&["kafka"], proofs_that_are_missing),
    (&["kafka", "purger"], purgers_without_targets),
    (&["purger", "purge"], leases_that_lapse_between_heartbeats),
    (&["admin", "purge"], purgers_that_cannot_come),
    (&["listen"], headers_that_nobody_may_send),
];

fn objects_larger_than_the_store(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let StorageSettings { kind, memory, file } = &config.storage;
    let mut drafts = Vec::new();
    if memory.max_object > memory.capacity {
        let message = format!(
            "`storage.memory.max_object` of {} bytes exceeds `storage.memory.capacity` of {} bytes",
            memory.max_object, memory.capacity
        );
        let draft = ProblemBuilder::error(message, "no such response would ever fit");
        let written = ["max_object", "capacity"].map(|key| root.at(&["storage", "memory", key]));
        drafts.push(placed(draft, written.into_iter().flatten().next()));
    }
    if *kind != StorageKind::Memory && file.max_object > file.capacity / 4 {
        let message = format!(
            "`storage.file.max_object` of {} bytes exceeds a quarter of `storage.file.capacity` of {} bytes",
            file.max_object, file.capacity
        );
        let draft = ProblemBuilder::error(message, "such a response would displace most others");
        let written = ["max_object", "capacity"].map(|key| root.at(&["storage", "file", key]));
        drafts.push(placed(draft, written.into_iter().flatten().next()));
    }
    drafts
}

fn answers_that_hold_for_no_time(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    if config.dns.min_ttl <= config.dns.max_ttl {
        return Vec::new();
    }
    let (least, most) = (config.dns.min_ttl, config.dns.max_ttl);
    let message = format!("`dns.min_ttl` of {least:?} exceeds `dns.max_ttl` of {most:?}");
    let draft = ProblemBuilder::error(message, "an answer cannot be used for longer and shorter")
        .help("raise `dns.max_ttl`, or lower `dns.min_ttl`");
    let written = ["min_ttl", "max_ttl"].map(|key| root.at(&["dns", key]));
    vec![placed(draft, written.into_iter().flatten().next())]
}

/// The same text in two lists. Of different ones, the longest decides.
fn cookies_in_two_lists(_config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let lists = ["drop", "vary_on", "bypass_on"].map(|list| {
        let node = root.at(&["cookies", list]);
        let items = node.and_then(Node::items).unwrap_or_default().iter();
        let named = |item: &Node| item.at(&["name"]).unwrap_or(item).text().map(str::to_owned);
        let texts = items.filter_map(|item| Some((named(item)?, item))).collect::<Vec<_>>();
        (list, texts)
    });
    let mut drafts = Vec::new();
    for (place, (list, texts)) in lists.iter().enumerate() {
        for (text, item) in texts {
            let mut earlier = lists.iter().take(place);
            let has_it =
                |(_, texts): &&(_, Vec<(String, _)>)| texts.iter().any(|(other, _)| other == text);
            if let Some((other, _)) = earlier.find(has_it) {
                let message =
                    format!("`cookies.{list}` names `{text}`, and so does `cookies.{other}`");
                let draft = ProblemBuilder::error(message, "it cannot be both");
                drafts.push(draft.help("take it out of one of them").at(&item.place));
            }
        }
    }
    drafts
}

/// All parameters are dropped but those that are kept, where some are.
fn parameters_kept_and_dropped(_config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let written = |list| {
        let node = root.at(&["key", "query", list])?;
        (!node.items()?.is_empty()).then_some(node)
    };
    let (Some(drop), Some(_)) = (written("drop"), written("keep")) else { return Vec::new() };
    let message = "`key.query.drop` has no effect beside `key.query.keep`";
    let draft = ProblemBuilder::error(message, "what `keep` does not name is dropped anyway");
    vec![draft.help("empty one of them").at(&drop.place)]
}

/// The first origin that claims a request serves it.
fn origins_never_chosen(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let is_for_rules = |origin: &super::OriginSettings| {
        let named = RuleOrigin::Named(origin.name.clone());
        config.rules.iter().any(|rule| rule.actions.request.origin.as_ref() == Some(&named))
    };
    let later = config.origins.iter().enumerate().filter(|(_, origin)| !is_for_rules(origin));
    let hidden = later.filter_map(|(index, origin)| {
        let earlier = config.origins.iter().take(index).find(|earlier| earlier.covers(origin))?;
        Some((earlier, origin))
    });
    hidden
        .map(|(earlier, origin)| {
            let (earlier, name) = (&earlier.name, &origin.name);
            let draft = ProblemBuilder::warning(
                format!(
                    "`origin.{name}` is never chosen: `origin.{earlier}` claims all its requests"
                ),
                "the first one that matches is chosen",
            )
            .help(format!("write [origin.{name}] first, or give `{earlier}` other hosts or paths"));
            placed(draft, root.at(&["origin", name]))
        })
        .collect()
}

/// A rule sends requests to an origin of the file.
fn origins_that_rules_miss(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let is_there = |name: &str| config.origins.iter().any(|origin| origin.name == name);
    let named = config.rules.iter().filter_map(|rule| match &rule.actions.request.origin {
        Some(RuleOrigin::Named(name)) if !is_there(name) => Some((rule, name)),
        _ => None,
    });
    named
        .map(|(rule, name)| {
            let message = format!("the rule `{}` names the origin `{name}`", rule.name);
            let draft = ProblemBuilder::error(message, "there is no such origin")
                .help(format!("write [origin.{name}], or \"none\" for what is stored only"));
            let rules = root.at(&["rule"]).and_then(Node::items).unwrap_or_default();
            placed(draft, rules.get(rule.index).map(|rule| rule.at(&["origin"]).unwrap_or(rule)))
        })
        .collect()
}

/// Servers are known by their addresses. One that needs more requests has a weight.
fn servers_named_twice(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let mut drafts = Vec::new();
    for origin in &config.origins {
        for (index, server) in origin.servers.iter().enumerate() {
            let is_same = |earlier: &ServerSettings| earlier.address == server.address;
            if origin.servers.iter().take(index).any(is_same) {
                let message =
                    format!("`origin.{}` names the server {} twice", origin.name, server.address);
                let draft = ProblemBuilder::error(message, "the second time")
                    .help(format!("{{ address = \"{}\", weight = 2 }}", server.address));
                let path = ["origin", &origin.name, "servers", &index.to_string()];
                drafts.push(placed(draft, root.at(&path)));
            }
        }
    }
    drafts
}

/// Over TLS, clients agree on HTTP/2 in the handshake; without, they can only know it beforehand.
fn http2_that_nobody_asks_for(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let listeners = config.listen.iter().enumerate();
    let wrong = listeners.filter_map(|(index, listen)| match (listen.http2, &listen.tls) {
        (Http2::Cleartext, Some(_)) => Some((index, "cleartext", "with TLS", "alpn")),
        (Http2::Alpn, None) => Some((index, "alpn", "without TLS", "cleartext")),
        _ => None,
    });
    wrong
        .map(|(index, written, kind, meant)| {
            let message = format!("`listen[{index}].http2` is \"{written}\" on a listener {kind}");
            let draft = ProblemBuilder::error(message, "no client would ask for it")
                .help(format!("did you mean \"{meant}\"?"));
            placed(draft, root.at(&["listen", &index.to_string(), "http2"]))
        })
        .collect()
}

fn servers_that_are_not_verified(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let all = config.origins.iter();
    let blind = all.filter(|origin| {
        origin.tls.as_ref().is_some_and(|tls| tls.dangerously_accept_any_certificate)
    });
    blind
        .map(|origin| {
            let message = format!("`origin.{}` accepts any certificate", origin.name);
            let label = "whoever is on the way can read and change everything";
            let draft = ProblemBuilder::warning(message, label)
                .help("ca = \"/path/to/their/authority.pem\" verifies servers with certificates of your own");
            let path = ["origin", &origin.name, "tls", "dangerously_accept_any_certificate"];
            placed(draft, root.at(&path))
        })
        .collect()
}

/// Metrics and logs tell listeners apart by name.
fn names_taken_twice(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let listeners = config.listen.iter().enumerate();
    let is_taken = |index: usize, name: &str| {
        config.listen.iter().take(index).any(|earlier| earlier.name == name)
    };
    let second = listeners.filter(|(index, listen)| is_taken(*index, &listen.name));
    second
        .map(|(index, listen)| {
            let draft = ProblemBuilder::error(
                format!("two listeners are named `{}`", listen.name),
                "the second one",
            );
            placed(draft, root.at(&["listen", &index.to_string(), "name"]))
        })
        .collect()
}

/// A bound address, its owner and its place in the file.
struct ClaimedAddress<'c> {
    address: &'c ListenAddress,
    owner: &'c str,
    written: Option<&'c Node>,
}

fn addresses_taken_twice(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let bound = bound(config, root);
    let later = bound.iter().enumerate();
    later
        .filter_map(|(index, later)| {
            let earlier =
                bound.iter().take(index).find(|earlier| collide(earlier.address, later.address))?;
            let message = format!(
                "the address {} of `{}` is taken: `{}` listens on {}",
                later.address, later.owner, earlier.owner, earlier.address
            );
            Some(placed(ProblemBuilder::error(message, "taken"), later.written))
        })
        .collect()
}

fn bound<'c>(config: &'c Config, root: &'c Node) -> Vec<ClaimedAddress<'c>> {
    let traffic = config.listen.iter().enumerate().flat_map(|(index, listen)| {
        let written = root.at(&["listen", &index.to_string(), "address"]);
        listen.addresses.iter().enumerate().map(move |(place, address)| ClaimedAddress {
            address,
            owner: &listen.name,
            written: written.map(|list| list.at(&[&place.to_string()]).unwrap_or(list)),
        })
    });
    let admin = config.admin.listen.iter().enumerate().map(|(index, address)| ClaimedAddress {
        address,
        owner: "admin",
        written: root.at(&["admin", "listen", &index.to_string()]),
    });
    traffic.chain(admin).collect()
}

/// Returns whether these addresses exclude each other; port 0 is any free one.
fn collide(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) = (one, other) else {
        return one == other;
    };
    let is_wildcard = one.ip().is_unspecified() || other.ip().is_unspecified();
    let is_same_host = one.ip() == other.ip() || (is_wildcard && one.is_ipv4() == other.is_ipv4());
    one.port() != 0 && one.port() == other.port() && is_same_host
}

/// Every client behind a load balancer has its address as peer.
fn headers_that_nobody_may_send(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let is_wanted = |listen: &ListenSettings| {
        listen.proxy_protocol != ProxyProtocol::Off && listen.trusted_proxies.is_empty()
    };
    let listeners = config.listen.iter().enumerate().filter(|(_, listen)| is_wanted(listen));
    listeners
        .map(|(index, listen)| {
            let message = format!(
                "`proxy_protocol` of the listener `{}` is on, and its `trusted_proxies` is empty",
                listen.name
            );
            let draft = ProblemBuilder::error(message, "a header would be refused from everybody")
                .help("name the load balancers: trusted_proxies = [\"10.0.0.0/8\"]");
            placed(draft, root.at(&["listen", &index.to_string(), "proxy_protocol"]))
        })
        .collect()
}

fn proxies_that_may_purge(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    if config.purge.token.is_some() {
        return Vec::new();
    }
    let trusted: Vec<&PeerNetwork> =
        config.listen.iter().flat_map(|listen| &listen.trusted_proxies).collect();
    let is_shared = |allowed: &PeerNetwork| trusted.iter().any(|trusted| allowed.overlaps(trusted));
    let shared = config.purge.allow.iter().enumerate().filter(|(_, allowed)| is_shared(allowed));
    shared
        .map(|(index, allowed)| {
            let message = format!(
                "`purge.allow` contains {allowed}, where there are trusted proxies, and `purge.token` is not set"
            );
            let draft = ProblemBuilder::warning(message, "every client behind such a proxy could purge")
                .help("set purge.token, or purge through the admin listener");
            placed(draft, root.at(&["purge", "allow", &index.to_string()]))
        })
        .collect()
}

fn open_admin(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    if config.admin.token.is_some() {
        return Vec::new();
    }
    let listen = config.admin.listen.iter().enumerate();
    let open = listen.filter(|(_, address)| {
        address.tcp().is_some_and(|address| !address.ip().to_canonical().is_loopback())
    });
    open.map(|(index, address)| {
        let message =
            format!("the admin listener {address} is open to others, and `admin.token` is not set");
        let draft =
            ProblemBuilder::warning(message, "purges are refused, except from loopback peers")
                .help("set admin.token, for example \"${file:/run/secrets/shellac-admin-token}\"");
        placed(draft, root.at(&["admin", "listen", &index.to_string()]))
    })
    .collect()
}

fn proofs_that_are_missing(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let kafka = &config.kafka;
    let is_token = kafka.sasl_mechanism == SaslMechanism::OauthBearer;
    let is_proven = if is_token {
        kafka.token_file.is_some()
    } else {
        !kafka.username.is_empty() && kafka.password.is_some()
    };
    let mut drafts = Vec::new();
    if kafka.security.has_sasl() && !is_proven {
        let (message, help) = if is_token {
            ("`kafka.token_file` is missing", "token_file = \"/run/secrets/kafka-token\"")
        } else {
            (
                "`kafka.username` or `kafka.password` is missing",
                "password = \"${file:/run/secrets/kafka}\"",
            )
        };
        let draft =
            ProblemBuilder::error(message, "this asks for a proof of who we are").help(help);
        drafts.push(placed(draft, root.at(&["kafka", "security"])));
    }
    if kafka.certificate.is_some() != kafka.key.is_some() {
        let draft = ProblemBuilder::error(
            "`kafka.certificate` and `kafka.key` go together",
            "one is missing",
        );
        drafts.push(placed(draft, root.at(&["kafka"])));
    }
    drafts
}

fn leases_that_lapse_between_heartbeats(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let (heartbeat, lease) = (config.purger.heartbeat, config.purge.log.lease);
    if heartbeat * 2 <= lease || config.kafka.brokers.is_empty() {
        return Vec::new();
    }
    let message = format!(
        "`purger.heartbeat` of {heartbeat:?} is more than half of `purge.log.lease`, which is {lease:?}"
    );
    let draft = ProblemBuilder::error(message, "one late heartbeat would degrade every proxy");
    vec![placed(
        draft.help("a longer lease, or a shorter heartbeat"),
        root.at(&["purger", "heartbeat"]),
    )]
}

fn purgers_without_targets(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    if config.kafka.brokers.is_empty() || !config.purger.targets.is_empty() {
        return Vec::new();
    }
    let draft = ProblemBuilder::warning(
        "`purger.targets` names nobody: the purger has no proxies to purge",
        "",
    )
    .help("[purger.targets]\nurls = [\"http://127.0.0.1:8081\"]");
    vec![placed(draft, root.at(&["kafka", "brokers"]))]
}

/// A purger delivers to the admin listener.
fn purgers_that_cannot_come(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    if !config.purge.log.required || !config.admin.listen.is_empty() {
        return Vec::new();
    }
    let message = "`purge.log.required` is set, and `admin.listen` is empty";
    let draft = ProblemBuilder::error(
        message,
        "no purger could ever deliver: the proxy would never be ready",
    )
    .help("let the admin listener listen, or do not require a purger");
    vec![placed(draft, root.at(&["purge", "log", "required"]))]
}

fn placed(draft: ProblemBuilder, node: Option<&Node>) -> ProblemBuilder {
    match node {
        Some(node) => draft.at(&node.place),
        None => draft,
    }
}
