//! What is said about files that cannot be used: place, problem, (label) -> help.

use insta::assert_snapshot;
use miette::Diagnostic as _;

use super::{MINIMAL, load};
use crate::{NamePattern, Problem, QueryParameters, QuerySettings};

/// Lists the problems of a file, one line each: where, what, label, help.
pub(super) fn listed(text: &str) -> String {
    lines(load(text).unwrap_err().problems())
}

pub(super) fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(line).collect();
    lines.join("\n")
}

fn line(problem: &Problem) -> String {
    let place = problem.location().map(|place| format!("{}: ", place.replace("config.toml:", "")));
    let label =
        problem.labels().into_iter().flatten().find_map(|label| label.label().map(str::to_owned));
    let label = label.map(|label| format!(" ({label})"));
    let help = problem.help().map(|help| format!(" -> {}", help.to_string().replace('\n', " | ")));
    format!(
        "{}{problem}{}{}",
        place.unwrap_or_default(),
        label.unwrap_or_default(),
        help.unwrap_or_default()
    )
}

#[test]
fn what_can_be_parsed_around_a_syntax_error_is_checked() {
    let file = r#"[origin.app]
servers = ["a:1"]
idle_timeout = 10s
retries =
[cache
keep = "1h"
[cahe]
[limits]
max_headers = 1
max_headers = 2
"#;
    assert_snapshot!(listed(file), @r##"
    3:16: text must be in quotes (here) -> did you mean "10s"?
    4:10: a value is missing (here)
    5:7: unclosed table, expected `]` (here)
    7:2: unknown key `cahe` (not a setting) -> did you mean `cache`?
    10:1: this key is set twice (the second time)
    "##);
}

#[test]
fn a_list_that_is_never_closed_is_one_problem() {
    let file = "[origin.app]\nservers = [\"a:1\"\nkeepalive = 3\n[cache]\nkeep = \"1h\"\n";
    assert_snapshot!(listed(file), @r##"
    3:1: `,` or `]` is missing in a list (before this) -> is the list above closed with `]`?
    "##);
}

#[test]
fn unknown_keys_are_answered_with_what_was_meant() {
    let file = r#"ttl = "2m"
servers = []
[origin.app]
servers = ["a:1"]
proxy_read_timeout = "1s"
backlog = 5
[cache]
colapse = true
frobnicate = 1
[memory]
[response]
x = 1
"#;
    assert_snapshot!(listed(file), @r##"
    1:1: `ttl` is Varnish's name (not a setting) -> [cache] | default_ttl = "2m"
    2:1: unknown key `servers` (not a setting) -> `servers` belongs to [origin.app]
    5:1: `origin.app.proxy_read_timeout` is nginx's name (not a setting) -> here this is two settings of [origin.app]: | first_byte_timeout = "60s"   (until the response's head) | idle_timeout = "60s"         (between two pieces of its body)
    6:1: unknown key `origin.app.backlog` (not a setting of this table) -> `backlog` belongs to [[listen]]
    8:1: unknown key `cache.colapse` (not a setting of this table) -> did you mean `collapse`?
    9:1: unknown key `cache.frobnicate` (not a setting of this table) -> there is: collapse, collapse_patience, convert_head, deception_armor, default_ttl, heuristic, ignore_client_no_cache, keep, max_followers, max_inflight_bytes, max_pinned_bytes, max_stale_while_revalidate, share_languages, stale_if_error, stale_while_revalidate, strip_cdn_cache_control, ttl_by_status, uncacheable_for, vary_max_variants
    10:2: unknown key `memory` (not a setting) -> `memory` belongs to [storage]
    12:1: unknown key `response.x` (not a setting of this table) -> there is: cache_status, server_timing, via
    "##);
}

#[test]
fn assigned_lifetimes_name_status_codes_and_shares() {
    let file = r#"[origin.app]
servers = ["a:1"]
[cache]
heuristic = { share = "0%", max = "0s", cap = "1h" }
ttl_by_status = { "404" = 10, "9xx" = "1s", "504-500" = "1s" }
"#;
    assert_snapshot!(listed(file), @r##"
    4:23: `cache.heuristic.share` must be a share from 1% to 100% (out of range)
    4:35: `cache.heuristic.max` must be a duration from 1s to 3650d (out of range)
    4:41: unknown key `cache.heuristic.cap` (not a setting of this table) -> `cap` belongs to [purge.log]
    5:17: `cache.ttl_by_status` must be a status code or a range of them, and `900-999` is none (not from 100 to 599) -> "200" or "200-299"
    5:17: `cache.ttl_by_status` must be a status code or a range of them, and `504-500` is none (it begins after its end)
    5:27: `cache.ttl_by_status.404` must be a duration, and `10` is none (a number without a unit) -> did you mean "10s"?
    "##);
    let file = "[origin.app]\nservers = [\"a:1\"]\n[cache]\nheuristic = \"on\"\n";
    assert_snapshot!(listed(file), @r##"
    4:13: `cache.heuristic` must be a table (this is text) -> name one of its settings
    "##);
}

#[test]
fn assigned_lifetimes_are_read() {
    let cache = |text: &str| load(&format!("{MINIMAL}[cache]\n{text}")).unwrap().cache;
    assert_eq!(cache("heuristic = \"off\"").heuristic, None);
    let half = cache("heuristic = { share = \"50%\" }").heuristic.unwrap();
    assert_eq!((half.share, half.max.as_secs()), (50, 86_400));
    let by_status = cache(r#"ttl_by_status = { "404" = "10s", "5xx" = "1s" }"#).ttl_by_status;
    let listed: Vec<_> =
        by_status.iter().map(|(range, ttl)| (range.codes(), ttl.as_secs())).collect();
    assert_eq!(listed, [(404..=404, 10), (500..=599, 1)]);
}

#[test]
fn durations_and_sizes_have_units_and_ranges() {
    let file = r#"[origin.app]
servers = ["a:1"]
connect_timeout = 10
first_byte_timeout = "1.5"
idle_timeout = "5M"
total_timeout = "1 fortnight"
queue_timeout = "0s"
keepalive_timeout = true
[storage.memory]
capacity = "4Gb"
max_object = 64
[purge]
max_body = "100GiB"
[limits]
max_body = "64 parrots"
max_url = "1B"
"#;
    assert_snapshot!(listed(file), @r##"
    3:19: `origin.app.connect_timeout` must be a duration, and `10` is none (a number without a unit) -> did you mean "10s"?
    4:22: `origin.app.first_byte_timeout` must be a duration, and `1.5` is none (a number without a unit) -> did you mean "1.5s"?
    5:16: `origin.app.idle_timeout` must be a duration, and `5M` is none (`M` is no unit) -> did you mean "5m"?
    6:17: `origin.app.total_timeout` must be a duration, and `1 fortnight` is none (`fortnight` is no unit) -> units are ms, s, m, h and d
    7:17: `origin.app.queue_timeout` must be a duration from 1ms to 1d (out of range)
    8:21: `origin.app.keepalive_timeout` must be a duration (this is a boolean)
    10:12: `storage.memory.capacity` must be a size, and `4Gb` is none (unknown unit) -> 4GB (4000000000 bytes) or 4GiB (4294967296 bytes)
    11:14: `storage.memory.max_object` must be a size, and `64` is none (a number without a unit) -> did you mean "64MiB"?
    13:12: `purge.max_body` must be a size from 1KiB to 64MiB (out of range)
    15:12: `limits.max_body` must be a size, and `64 parrots` is none (unknown unit) -> units are B, kB, KB, KiB, MB, MiB, GB, GiB, TB, TiB
    16:11: `limits.max_url` must be a size from 64B to 1MiB (out of range)
    "##);
}

#[test]
fn addresses_are_complete() {
    let file = r#"[[listen]]
address = "8080"
trusted_proxies = ["10.0.0.5", "10.0.0.5/8", "office"]
[admin]
listen = ["localhost:8081", "here"]
[origin.app]
servers = ["3000", "http://a:1/", "https://a", "::1:3000", "app", "u@a:1"]
"#;
    assert_snapshot!(listed(file), @r##"
    2:11: `listen[0].address` must be an IP address with a port, and `8080` is none (invalid socket address syntax) -> did you mean "0.0.0.0:8080"?
    3:20: `listen[0].trusted_proxies[0]` must be a CIDR block, and `10.0.0.5` is none (an address without a prefix length) -> did you mean "10.0.0.5/32"?
    3:32: `listen[0].trusted_proxies[1]` must be a CIDR block, and `10.0.0.5/8` is none (it has bits after its prefix) -> did you mean "10.0.0.0/8" or "10.0.0.5/32"?
    3:46: `listen[0].trusted_proxies[2]` must be a CIDR block, and `office` is none (invalid IP address syntax) -> "10.0.0.0/8" or "fd00::/8"
    5:11: `admin.listen[0]` must be an IP address with a port, and `localhost:8081` is none (invalid socket address syntax) -> did you mean "127.0.0.1:8081"?
    5:29: `admin.listen[1]` must be an IP address with a port, and `here` is none (invalid socket address syntax) -> "0.0.0.0:8080" or "[::]:8080"
    7:12: `origin.app.servers[0]` must be host:port, and `3000` is none (not host:port) -> did you mean "127.0.0.1:3000"?
    7:20: `origin.app.servers[1]` must be host:port, and `http://a:1/` is none (a URL) -> did you mean "a:1"?
    7:35: `origin.app.servers[2]` must be host:port, and `https://a` is none (a URL) -> host:port alone, and scheme = "https" beside `servers`
    7:48: `origin.app.servers[3]` must be host:port, and `::1:3000` is none (invalid authority) -> "127.0.0.1:3000", "app.internal:3000" or "[::1]:3000"
    7:60: `origin.app.servers[4]` must be host:port, and `app` is none (not host:port) -> did you mean "app:80"?
    7:67: `origin.app.servers[5]` must be host:port, and `u@a:1` is none (not host:port) -> did you mean "a:1"?
    "##);
}

#[test]
fn values_have_the_right_type_and_range() {
    let file = r#"workers = 1.5
[[listen]]
http2 = true
name = ""
backlog = 70000
[admin]
token = "two words"
[origin.app]
servers = []
host_header = "preserv"
retries = "1"
[storage]
kind = "disk"
[cache]
collapse = "true"
max_followers = -1
[cookies]
drop = ["@anything", "a b"]
vary_on = ["@tracking", "a*b", { name = "ab", values = ["x", "other", "a;b"] }, { values = [] }]
otherwise = "Drop"
[tags]
read = "xkey"
strip = 2026-11-23
[purge]
default_mode = "gentle"
allow = [8]
[limits]
max_headers = 0
[response]
via = "1.1 shellac"
[log]
level = 3
"#;
    assert_snapshot!(listed(file), @r##"
    1:11: `workers` must be a whole number from 0 to 1024 (not a whole number)
    3:9: `listen[0].http2` must be one of "cleartext", "alpn", "off" (this is a boolean)
    4:8: `listen[0].name` must not be empty (a name is needed)
    5:11: `listen[0].backlog` must be a whole number from 1 to 65535 (out of range)
    7:9: `admin.token` must be visible ASCII without spaces (it could not be sent in a field)
    9:11: `origin.app.servers` must hold something (an empty list)
    10:15: `origin.app.host_header` must be "preserve", "server" or a host (not a host) -> did you mean "preserve"?
    11:11: `origin.app.retries` must be a whole number from 0 to 10 (this is text) -> 1, without quotes
    13:8: `storage.kind` must be one of "memory", "file", "tiered" (unknown value)
    15:12: `cache.collapse` must be true or false (this is text) -> true, without quotes
    16:17: `cache.max_followers` must be a whole number from 1 to 1000000 (out of range)
    18:9: `cookies.drop[0]` must be the name of a cookie or a built-in list (there is no list `@anything`) -> the built-in lists are @analytics, @consent, @session, @preview
    18:22: `cookies.drop[1]` must be the name of a cookie, and `a b` is none (no name)
    19:12: `cookies.vary_on[0]` must be the name of a cookie or a built-in list (`@tracking` is a list of something else) -> the built-in lists are @analytics, @consent, @session, @preview
    19:25: `cookies.vary_on[1]` must be the name of a cookie, and `a*b` is none (no name) -> `*` may stand at the end only
    19:62: `cookies.vary_on[2].values[1]` must not hold `other` (every value that is not listed) -> leave it out
    19:71: `cookies.vary_on[2].values[2]` must be a cookie's value, and `a;b` is none (as it is sent)
    19:81: `cookies.vary_on[3].name` is missing (not in this table)
    19:92: `cookies.vary_on[3].values` must hold something (an empty list)
    20:13: `cookies.otherwise` must be one of "bypass", "drop" (unknown value) -> did you mean "drop"?
    22:8: `tags.read` must be a list (this is text) -> did you mean ["xkey"]?
    23:9: `tags.strip` must be true or false (this is a date)
    25:16: `purge.default_mode` must be one of "hard", "soft" (unknown value)
    26:10: `purge.allow[0]` must be text (this is a number)
    28:15: `limits.max_headers` must be a whole number from 1 to 10000 (out of range)
    30:7: `response.via` must be a token (RFC 9110 §5.6.2) (letters, digits and !#$%&'*+-.^_`|~) -> a bare name such as "shellac"; the version is added
    32:9: `log.level` must be one of "error", "warn", "info", "debug", "trace" (this is a number)
    "##);
}

#[test]
fn tables_are_tables_and_lists_are_lists() {
    let file = "cache = 1\nlisten = 2\nlimits = []\n[origin]\napp = \"a:1\"\n";
    assert_snapshot!(listed(file), @r##"
    1:9: `cache` must be a table (this is a number) -> name one of its settings
    2:10: `listen` must be a list of tables (this is a number) -> [[listen]]
    3:10: `limits` must be a table (this is a list) -> name one of its settings
    5:7: `origin.app` must be a table (this is text) -> name one of its settings
    "##);
    assert_snapshot!(listed("origin = \"a:1\"\nlisten = []\n"), @r##"
    1:10: `origin` must be a table (this is text) -> name one of its settings
    2:10: `listen` must hold something (an empty list)
    "##);
    assert_snapshot!(listed("listen = [3]\n[origin.app]\n"), @r##"
    1:11: `listen[0]` must be a table (this is a number) -> name one of its settings
    2:1: `origin.app.servers` is missing (not in this table)
    "##);
}

#[test]
fn what_cannot_work_together_is_an_error() {
    let file = r#"[origin.app]
servers = ["a:1"]
[origin.web]
servers = ["b:1"]
[[listen]]
[[listen]]
name = "main"
address = "127.0.0.1:8080"
[[listen]]
address = "127.0.0.1:0"
[[listen]]
name = "other"
address = "127.0.0.1:0"
[admin]
listen = ["[::1]:8080", "0.0.0.0:8080"]
[storage.memory]
capacity = "1MiB"
[cookies]
vary_on = ["lang", "_ga_123"]
drop = ["lang", "x"]
ignore = ["y"]
bypass_on = ["_ga", "x"]
[key]
query = { keep = ["page"], drop = ["a"] }
"#;
    assert_snapshot!(listed(file), @r##"
    7:8: two listeners are named `main` (the second one)
    8:11: the address 127.0.0.1:8080 of `main` is taken: `main` listens on 0.0.0.0:8080 (taken)
    15:25: the address 0.0.0.0:8080 of `admin` is taken: `main` listens on 0.0.0.0:8080 (taken)
    17:12: `storage.memory.max_object` of 8388608 bytes exceeds `storage.memory.capacity` of 1048576 bytes (no such response would ever fit)
    19:12: `cookies.vary_on` names `lang`, and so does `cookies.drop` (it cannot be both) -> take it out of one of them
    21:1: `cookies.ignore` is called `drop` now (its old name) -> write `drop` in its place
    22:21: `cookies.bypass_on` names `x`, and so does `cookies.drop` (it cannot be both) -> take it out of one of them
    24:35: `key.query.drop` has no effect beside `key.query.keep` (what `keep` does not name is dropped anyway) -> empty one of them
    "##);
}

#[test]
fn the_purge_logs_settings_are_checked_alone_and_together() {
    let log = "[purge.log]\nlease = \"100ms\"\non_expiry = \"caps\"\nrewarm_concurrency = 0\nmax_bdy = 1\n";
    assert_snapshot!(listed(&format!("{MINIMAL}{log}")), @r##"
    4:9: `purge.log.lease` must be a duration from 1s to 1d (out of range)
    5:13: `purge.log.on_expiry` must be one of "serve", "cap", "validate", "bypass" (unknown value) -> did you mean "cap"?
    6:22: `purge.log.rewarm_concurrency` must be a whole number from 1 to 1000 (out of range)
    7:1: unknown key `purge.log.max_bdy` (not a setting of this table) -> did you mean `max_body`?
    "##);
    let nobody = "[admin]\nlisten = []\n[purge.log]\nrequired = true\n";
    assert_snapshot!(listed(&format!("{MINIMAL}{nobody}")), @r##"
    6:12: `purge.log.required` is set, and `admin.listen` is empty (no purger could ever deliver: the proxy would never be ready) -> let the admin listener listen, or do not require a purger
    "##);
}

#[test]
fn what_works_but_should_not_be_so_is_a_warning() {
    let file = r#"
[[listen]]
trusted_proxies = ["10.0.0.0/8"]
[purge]
allow = ["192.168.0.0/16", "10.1.0.0/16"]
[admin]
listen = ["127.0.0.1:8081", "10.1.2.3:8081"]
"#;
    let config = load(&format!("{MINIMAL}{file}")).unwrap();
    assert_snapshot!(lines(&config.warnings), @r##"
    7:28: `purge.allow` contains 10.1.0.0/16, where there are trusted proxies, and `purge.token` is not set (every client behind such a proxy could purge) -> set purge.token, or purge through the admin listener
    9:29: the admin listener 10.1.2.3:8081 is open to others, and `admin.token` is not set (purges are refused, except from loopback peers) -> set admin.token, for example "${file:/run/secrets/shellac-admin-token}"
    "##);
}

#[test]
fn an_origins_servers_and_claims_are_checked() {
    let file = r#"[origin.app]
hosts = ["*", "www.example.com:80", "https://example.com"]
paths = ["api", "/a**", "/a?b"]
servers = [
  { address = "a:1", wieght = 2 },
  { weight = 2 },
  { dns = "app" },
  { dns = "http.app", srv = true },
  { address = "unix:run/app.sock", weight = 0 },
  7,
]
"#;
    assert_snapshot!(listed(file), @r##"
    2:10: `origin.app.hosts[0]` must be a host or *.DOMAIN, and `*` is none (not a host) -> without `hosts`, every host is meant
    2:15: `origin.app.hosts[1]` must be a host or *.DOMAIN, and `www.example.com:80` is none (a host with a port) -> the port of a request does not matter here
    2:37: `origin.app.hosts[2]` must be a host or *.DOMAIN, and `https://example.com` is none (a URL) -> only the host of it: "www.example.com"
    3:10: `origin.app.paths[0]` must be a path, and `api` is none (it begins with no slash) -> did you mean "/api"?
    3:17: `origin.app.paths[1]` must be a path, and `/a**` is none (`**` stands for whole segments) -> "/api/**" is all below /api/; in one segment, write `*`
    3:25: `origin.app.paths[2]` must be a path, and `/a?b` is none (a path with more after it) -> queries do not matter here
    5:22: unknown key `origin.app.servers[0].wieght` (not a setting of this table) -> did you mean `weight`?
    6:3: `origin.app.servers[1]` must have `address` or `dns` (one of them) -> { address = "10.0.0.1:3000", weight = 2 } or { dns = "app.internal:3000" }
    7:11: `origin.app.servers[2].dns` must be host:port, and `app` is none (not host:port) -> did you mean "app:80"?
    8:11: `origin.app.servers[3].dns` must be the name of an SRV record, and `http.app` is none (not _service._protocol.name) -> "_http._tcp.app.internal"
    9:15: `origin.app.servers[4].address` must be unix:/path, and `unix:run/app.sock` is none (not an absolute path) -> "unix:/run/app/http.sock"
    9:45: `origin.app.servers[4].weight` must be a whole number from 1 to 256 (out of range)
    10:3: `origin.app.servers[5]` must be text (this is a number)
    "##);
    let file = "[origin.app]\nservers = [\"a:1\", { address = \"a:1\" }]\n";
    assert_snapshot!(listed(file), @r##"
    2:19: `origin.app` names the server a:1 twice (the second time) -> { address = "a:1", weight = 2 }
    "##);
}

#[test]
fn an_origin_that_an_earlier_one_hides_is_a_warning() {
    let file = r#"[origin.api]
hosts = ["example.com", "*.example.com"]
paths = ["/api/**"]
servers = ["a:1"]
[origin.v1]
hosts = ["www.example.com"]
paths = ["/api/v1/**", "/api/status"]
servers = ["a:1"]
[origin.app]
servers = ["a:1"]
[origin.web]
hosts = ["other.example"]
servers = ["a:1"]
"#;
    assert_snapshot!(lines(&load(file).unwrap().warnings), @r##"
    5:1: `origin.v1` is never chosen: `origin.api` claims all its requests (the first one that matches is chosen) -> write [origin.v1] first, or give `api` other hosts or paths
    11:1: `origin.web` is never chosen: `origin.app` claims all its requests (the first one that matches is chosen) -> write [origin.web] first, or give `app` other hosts or paths
    "##);
}

#[test]
fn references_to_nothing_are_errors() {
    let file = r#"[origin.app]
servers = ["${HOST}:3000", "a:${PORT"]
[admin]
token = "${file:/nowhere/token}"
"#;
    assert_snapshot!(listed(file), @r##"
    2:12: the environment variable `HOST` is not set, or empty (needed here) -> set it, or write a default: ${HOST:-...}
    2:28: `${` is never closed (`}` is missing) -> ${NAME}, ${NAME:-default} or ${file:PATH}
    4:9: cannot read the file `/nowhere/token`: No such file or directory (os error 2) (needed here)
    "##);
}

#[test]
fn listeners_may_have_several_addresses_of_several_kinds() {
    let file = r#"[[listen]]
address = ["127.0.0.1:8080", "unix:/run/a.sock", "fd:http"]
socket_mode = "0666"
trusted_proxies = ["unix:"]
[[listen]]
address = ["[::1]:0", "unix:/run/b.sock"]
[admin]
listen = ["unix:/run/admin.sock", "fd:admin"]
[origin.app]
servers = ["a:1"]
"#;
    let config = load(file).unwrap();
    let shown = |listen: &crate::ListenSettings| format!("{}: {:?}", listen.name, listen.addresses);
    assert_eq!(
        config.listen.iter().map(shown).collect::<Vec<_>>(),
        [
            r#"main: [Tcp(127.0.0.1:8080), Unix("/run/a.sock"), Inherited("http")]"#,
            r#"[::1]:0, unix:/run/b.sock: [Tcp([::1]:0), Unix("/run/b.sock")]"#,
        ]
    );
    assert_eq!(config.listen[0].socket_mode, 0o666);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn each_address_of_a_listener_is_checked() {
    let file = r#"[[listen]]
address = []
[[listen]]
name = "other"
address = ["/run/a.sock", "unix:a.sock", "fd:", "unix:/run/b.sock"]
socket_mode = "rw-"
[admin]
listen = ["unix:/run/b.sock"]
[purge]
allow = ["unix"]
[origin.app]
servers = ["a:1"]
"#;
    assert_snapshot!(listed(file), @r##"
    2:11: `listen[0].address` must hold something (an empty list)
    5:12: `listen[1].address[0]` must be an address to listen on, and `/run/a.sock` is none (a path) -> did you mean "unix:/run/a.sock"?
    5:27: `listen[1].address[1]` must be an address to listen on, and `unix:a.sock` is none (the path is not absolute) -> "unix:/run/shellac/http.sock" or "fd:http"
    5:42: `listen[1].address[2]` must be an address to listen on, and `fd:` is none (the name is empty, too long, or has characters that no name has) -> "unix:/run/shellac/http.sock" or "fd:http"
    6:15: `listen[1].socket_mode` must be a file's mode in octal digits, from 0000 to 0777 (not three or four digits) -> "0660" for the owner and the group, "0666" for everybody
    10:10: `purge.allow[0]` must be a CIDR block or `unix:` (the colon is missing) -> did you mean "unix:"?
    "##);
    let taken = r#"[[listen]]
address = ["127.0.0.1:80", "unix:/run/b.sock", "127.0.0.1:80"]
[admin]
listen = ["unix:/run/b.sock"]
[origin.app]
servers = ["a:1"]
"#;
    assert_snapshot!(listed(taken), @r##"
    2:48: the address 127.0.0.1:80 of `main` is taken: `main` listens on 127.0.0.1:80 (taken)
    4:11: the address unix:/run/b.sock of `admin` is taken: `main` listens on unix:/run/b.sock (taken)
    "##);
}

#[test]
fn what_makes_a_server_usable_is_checked() {
    let file = r#"[origin.app]
servers = ["a:1", "b:1"]
slow_start = 30
[origin.app.health]
path = "healthz"
host = "a b"
method = "POST"
interval = "10ms"
threshold = 9
expect_status = ["2xx", "600"]
[origin.app.outlier]
consecutive_failures = 0
max_ejected = "80%"
failure_status = ["504-502"]
[origin.app.circuit]
failure_rate = 0.5
trials = 0
"#;
    assert_snapshot!(listed(file), @r##"
    3:14: `origin.app.slow_start` must be a duration, and `30` is none (a number without a unit) -> did you mean "30s"?
    5:8: `origin.app.health.path` must be a path or "off", and `healthz` is neither (it begins with no /) -> did you mean "/healthz"?
    6:8: `origin.app.health.host` must be a host, and `a b` is none (invalid uri character)
    7:10: `origin.app.health.method` must be one of "GET", "HEAD", "OPTIONS" (unknown value)
    8:12: `origin.app.health.interval` must be a duration from 100ms to 1d (out of range)
    9:13: `origin.app.health.threshold` must be at most `window`, which is 8 (so many probes do not count) -> lower it, or set `window` to 9 or more
    10:18: `origin.app.health.expect_status[0]` must be a status code or a range of them, and `2xx` is none (a class) -> did you mean "200-299"?
    10:25: `origin.app.health.expect_status[1]` must be a status code or a range of them, and `600` is none (not from 100 to 599) -> "200" or "200-299"
    12:24: `origin.app.outlier.consecutive_failures` must be a whole number from 1 to 1000 (out of range)
    13:15: `origin.app.outlier.max_ejected` must be a share from 1% to 50% (out of range)
    14:19: `origin.app.outlier.failure_status[0]` must be a status code or a range of them, and `504-502` is none (it begins after its end)
    16:16: `origin.app.circuit.failure_rate` must be a share from 1% to 100% (a number without a unit) -> did you mean "50%"?
    17:10: `origin.app.circuit.trials` must be a whole number from 1 to 1000 (out of range)
    "##);
    let file = r#"[origin.app]
servers = ["a:1"]
[origin.app.health]
path = "http://a/healthz"
window = 2
expect_status = []
"#;
    assert_snapshot!(listed(file), @r##"
    4:8: `origin.app.health.path` must be a path or "off", and `http://a/healthz` is neither (a URL) -> the path alone: the servers are those of the origin
    5:10: `origin.app.health.window` must be at least `threshold`, which is 3 (no server could pass)
    6:17: `origin.app.health.expect_status` must hold something (an empty list)
    "##);
}

#[test]
fn a_new_server_is_given_as_many_good_probes_as_it_needs() {
    let health = |text: &str| {
        let file = format!("{MINIMAL}[origin.app.health]\npath = \"/h?x=1\"\n{text}");
        load(&file).unwrap().origins.swap_remove(0).health
    };
    assert_eq!(health("threshold = 5").initial, 5);
    assert_eq!(health("threshold = 5\ninitial = 0").initial, 0);
    assert_eq!(health("").path.unwrap(), "/h?x=1");
}

#[test]
fn a_query_is_a_table_or_a_word() {
    let query = |text: &str| load(&format!("{MINIMAL}[key]\nquery = {text}\n")).unwrap().key.query;
    let names = |names: &[&str]| names.iter().map(|name| NamePattern::new(name)).collect();
    assert_eq!(query("\"none\"").parameters, QueryParameters::Ignored);
    assert_eq!(query("\"all\"").parameters, QueryParameters::Drop(Vec::new()));
    assert_eq!(query("{}"), QuerySettings::default());
    assert_eq!(query("{ drop = [] }").parameters, QueryParameters::Drop(Vec::new()));
    let kept = query("{ keep = [\"page\", \"filter[*\"], sort = true }");
    assert_eq!(kept.parameters, QueryParameters::Keep(names(&["page", "filter[*"])));
    assert!(kept.sort && !kept.reflect);

    let file = format!(
        "{MINIMAL}[key]\nquery = {{ drop = [\"@session\", \"a%5Bb\", \"a=b\", \"a*b\"] }}\n"
    );
    assert_snapshot!(listed(&file), @r##"
    4:19: `key.query.drop[0]` must be the name of a parameter or a built-in list (`@session` is a list of something else) -> the built-in lists are @tracking
    4:31: `key.query.drop[1]` must be the name of a parameter, and `a%5Bb` is none (no name) -> names are compared after percent-decoding: write what it stands for
    4:40: `key.query.drop[2]` must be the name of a parameter, and `a=b` is none (no name)
    4:47: `key.query.drop[3]` must be the name of a parameter, and `a*b` is none (no name) -> `*` may stand at the end only
    "##);
    let wrong = listed(&format!("{MINIMAL}[key]\nquery = \"non\"\n"));
    assert_snapshot!(wrong, @r##"4:9: `key.query` must be one of "all", "none" (unknown value) -> did you mean "none"?"##);
}

#[test]
fn the_access_logs_settings_are_checked() {
    let log = "[log.access]\ntarget = \"/var/log/a\"\nformat = \"%h %z\"\nsample = 1\nalways = [\"slow\"]\nrotate_at = \"1MiB\"\n";
    assert_snapshot!(listed(&format!("{MINIMAL}{log}")), @r##"
    4:10: `log.access.target` must be "off", "stdout", "stderr", "file:/PATH", "unix:/PATH", "syslog" or "syslog:/PATH" (`/var/log/a` is none of them) -> did you mean "file:/var/log/a"?
    5:10: `log.access.format` must be "json", "combined", "common", or a format string of varnishncsa (there is no `%z`) -> directives are %b %B %D %h %H %I %l %m %O %q %r %s %t %T %u %U %%, %{NAME}i, %{NAME}o, %{FORMAT}t, %{Varnish:NAME}x and %{Shellac:NAME}x
    6:10: `log.access.sample` must be text (this is a number)
    7:11: `log.access.always[0]` must be a filter of requests (`slow` is no filter: write `status>=500`, `cache=miss`, `path=/p/*`, `slower than 200ms`, `errors`, joined by `and`, `or`, `not`)
    8:13: `log.access.rotate_at` is for a file (there is no file) -> write target = "file:PATH"
    "##);
}
