# The syntax of Varnish 3.
backend one { .host = "192.168.1.10"; .port = "80"; }
backend two { .host = "192.168.1.11"; .port = "80"; }

director web random {
    { .backend = one; .weight = 3; }
    { .backend = two; .weight = 1; }
}

acl office { "192.168.0.0"/16; ! "192.168.66.0"/24; }

sub vcl_recv {
    set req.backend = web;
    set req.grace = 2m;
    if (req.request == "PURGE") {
        if (!client.ip ~ office) { error 405 "Not allowed."; }
        return (lookup);
    }
    if (req.request != "GET" && req.request != "HEAD") { return (pass); }
    if (req.url ~ "^/members/" || req.http.Cookie ~ "loggedin=1") { return (pass); }
    remove req.http.Cookie;
    return (lookup);
}

sub vcl_fetch {
    set beresp.ttl = 5m;
    if (req.url ~ "\.(gif|jpg)$") {
        set beresp.ttl = 24h;
        remove beresp.http.Set-Cookie;
    }
    if (beresp.http.X-No-Cache) { return (hit_for_pass); }
}

sub vcl_error {
    synthetic {"<html>Sorry</html>"};
    return (deliver);
}
