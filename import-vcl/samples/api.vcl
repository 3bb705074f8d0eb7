vcl 4.1;
import std;

backend api {
    .host = "api.internal";
    .port = "3000";
    .proxy_header = 2;
    .probe = { .url = "/healthz"; .expected_response = 204; .initial = 2; }
}

acl trusted { "10.0.0.0"/8; }

sub vcl_recv {
    if (req.restarts > 0) {
        set req.hash_always_miss = true;
    }
    if (req.http.Authorization || req.http.Cookie) {
        return (pass);
    }
    if (req.url ~ "^/v[0-9]+/private/") {
        return (pass);
    }
    if (client.ip ~ trusted && req.http.Cache-Control ~ "no-cache") {
        set req.hash_always_miss = true;
    }
    if (std.healthy(req.backend_hint)) {
        set req.grace = 10s;
    }
    if (req.url ~ "^/v1/legacy") {
        return (synth(410, "Gone"));
    }
    if (!(req.url ~ "^/v1/") && !(req.url ~ "^/v2/")) {
        return (synth(404, "No such version"));
    }
    if (req.http.User-Agent == "bad-bot" || client.ip ~ trusted) {
        set req.http.X-Class = "special";
    }
    std.log("seen:" + req.url);
}

sub vcl_hash {
    hash_data(req.url);
    if (req.http.host) { hash_data(req.http.host); } else { hash_data(server.ip); }
    return (lookup);
}

sub vcl_backend_response {
    set beresp.ttl = std.duration(beresp.http.X-TTL, 60s);
    if (beresp.http.Set-Cookie) {
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
        return (deliver);
    }
    if (bereq.retries < 2 && beresp.status == 503) {
        return (retry);
    }
    if (beresp.http.content-type ~ "application/json") {
        set beresp.ttl = 30s;
    } elsif (beresp.http.content-type ~ "^text/") {
        set beresp.ttl = 1h;
    } else {
        set beresp.ttl = 1w;
    }
}

sub vcl_backend_error {
    set beresp.http.Retry-After = "5";
    synthetic("later");
    return (deliver);
}
