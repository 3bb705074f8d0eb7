vcl 4.1;
import cookie;
import std;

probe alive {
    .request = "HEAD /user/login HTTP/1.1"
               "Host: cms.example.com"
               "Connection: close";
    .interval = 10s;
    .expected_response = 200;
}
backend web1 { .host = "192.0.2.11"; .port = "80"; .probe = alive; .max_connections = 120; }
backend web2 { .host = "192.0.2.12"; .port = "80"; .probe = alive; }

acl upstream { "192.0.2.0"/24; "2001:db8::"/32; }

sub vcl_init {
    new pool = directors.round_robin();
    pool.add_backend(web1);
    pool.add_backend(web2);
}

sub vcl_recv {
    set req.backend_hint = pool.backend();
    if (req.method == "PURGE") {
        if (!client.ip ~ upstream) { return (synth(405, "No.")); }
        return (purge);
    }
    if (req.method == "BAN") {
        if (!client.ip ~ upstream) { return (synth(403, "No.")); }
        if (req.http.Cache-Tags) {
            ban("obj.http.Cache-Tags ~ " + req.http.Cache-Tags);
        } else {
            return (synth(403, "Cache-Tags header missing."));
        }
        return (synth(200, "Ban added."));
    }
    if (req.url ~ "^/(status|update|install|cron)\.php$" || req.url ~ "^/admin($|/)" || req.url ~ "^/flag/" || req.url ~ "/ajax/") {
        return (pass);
    }
    if (req.url ~ "(?i)\.(pdf|asc|dat|txt|doc|xls|ppt|tgz|csv|png|gif|jpeg|jpg|ico|swf|css|js)(\?.*)?$") {
        unset req.http.Cookie;
    }
    if (req.http.Cookie) {
        set req.http.Cookie = ";" + req.http.Cookie;
        set req.http.Cookie = regsuball(req.http.Cookie, "; +", ";");
        set req.http.Cookie = regsuball(req.http.Cookie, ";(SESS[a-z0-9]+|SSESS[a-z0-9]+|NO_CACHE)=", "; \1=");
        set req.http.Cookie = regsuball(req.http.Cookie, ";[^ ][^;]*", "");
        set req.http.Cookie = regsuball(req.http.Cookie, "^[; ]+|[; ]+$", "");
        if (req.http.Cookie == "") {
            unset req.http.Cookie;
        } else {
            return (pass);
        }
    }
    return (hash);
}

sub vcl_backend_response {
    set beresp.http.X-Url = bereq.url;
    set beresp.http.X-Host = bereq.http.host;
    if (bereq.url ~ "(?i)\.(png|gif|jpeg|jpg|ico|css|js)$") {
        unset beresp.http.set-cookie;
    }
    if (beresp.status == 404 || beresp.status == 301) {
        set beresp.ttl = 10m;
    }
    set beresp.keep = 1h;
    set beresp.grace = 12h;
}

sub vcl_deliver {
    unset resp.http.X-Url;
    unset resp.http.X-Host;
    unset resp.http.Cache-Tags;
    if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "MISS"; }
}
