//! Names of settings in other caches, for operators who come from there.

/// A setting's name elsewhere.
pub(super) struct ForeignName {
    pub(super) name: &'static str,
    /// The other cache.
    pub(super) whose: &'static str,
    /// The setting or advice here.
    pub(super) help: &'static str,
}

/// Returns the entry of a foreign name.
pub(super) fn foreign(name: &str) -> Option<&'static ForeignName> {
    FOREIGN.iter().find(|foreign| foreign.name.eq_ignore_ascii_case(name))
}

const fn row(name: &'static str, whose: &'static str, help: &'static str) -> ForeignName {
    ForeignName { name, whose, help }
}

const VARNISH: &str = "Varnish";
const NGINX: &str = "nginx";
const OTHERS: &str = "another cache";

const ORIGIN: &str = "[origin.app]\nservers = [\"127.0.0.1:3000\"]";
const TTL: &str = "[cache]\ndefault_ttl = \"2m\"";
const CAPACITY: &str = "[storage.memory]\ncapacity = \"60%\"";

const FOREIGN: [ForeignName; 33] = [
    row(
        "grace",
        VARNISH,
        "here this is two settings of [cache]:\n\
        stale_while_revalidate = \"1h\"   (origin healthy)\n\
        stale_if_error = \"1h\"           (origin failing)",
    ),
    row("backend", VARNISH, ORIGIN),
    row("backends", OTHERS, ORIGIN),
    row(
        "director",
        VARNISH,
        "list the servers; they are used in turn:\n\
        [origin.app]\n\
        servers = [\"10.0.0.1:3000\", \"10.0.0.2:3000\"]",
    ),
    row("probe", VARNISH, "there are no health checks: a server that cannot be reached is skipped"),
    row("health", OTHERS, "there are no health checks: a server that cannot be reached is skipped"),
    row("acl", VARNISH, "[purge]\nallow = [\"10.0.0.0/8\"]"),
    row("vcl", VARNISH, "there is no VCL: see [cache], [cookies] and [purge]"),
    row("ttl", VARNISH, TTL),
    row(
        "default_grace",
        VARNISH,
        "stale_while_revalidate, and stale_if_error for a failing origin",
    ),
    row("default_keep", VARNISH, "[cache]\nkeep = \"1h\""),
    row("between_bytes_timeout", VARNISH, "[origin.app]\nidle_timeout = \"60s\""),
    row("malloc", VARNISH, CAPACITY),
    row("http_max_hdr", VARNISH, "[limits]\nmax_headers = 100"),
    row("max_age", OTHERS, TTL),
    row("memory_limit", OTHERS, CAPACITY),
    row("max_size", OTHERS, CAPACITY),
    row("upstream", NGINX, ORIGIN),
    row("upstreams", OTHERS, ORIGIN),
    row("proxy_pass", NGINX, ORIGIN),
    row("proxy_cache_valid", NGINX, TTL),
    row("proxy_cache_path", NGINX, CAPACITY),
    row("proxy_cache_convert_head", NGINX, "[cache]\nconvert_head = true"),
    row("proxy_cache_lock", NGINX, "[cache]\ncollapse = true"),
    row("proxy_cache_lock_timeout", NGINX, "[cache]\ncollapse_patience = \"5s\""),
    row("proxy_cache_use_stale", NGINX, "[cache]\nstale_if_error = \"1h\""),
    row("proxy_connect_timeout", NGINX, "[origin.app]\nconnect_timeout = \"3.5s\""),
    row(
        "proxy_read_timeout",
        NGINX,
        "here this is two settings of [origin.app]:\n\
        first_byte_timeout = \"60s\"   (until the response's head)\n\
        idle_timeout = \"60s\"         (between two pieces of its body)",
    ),
    row("proxy_send_timeout", NGINX, "[origin.app]\nidle_timeout = \"60s\""),
    row("client_max_body_size", NGINX, "[limits]\nmax_body = \"16MiB\""),
    row("keepalive_requests", NGINX, "connections are not counted: see [limits] keepalive_timeout"),
    row("worker_processes", NGINX, "workers = 0"),
    row("worker_connections", NGINX, "[limits]\nmax_connections = 20000"),
];
