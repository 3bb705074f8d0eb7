vcl 4.1;
# A blog behind PHP-FPM, with a plugin that purges.
import std;

backend default {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 5s;
    .first_byte_timeout = 90s;
    .between_bytes_timeout = 2s;
    .max_connections = 200;
}

acl purgers {
    "localhost";
    "127.0.0.1";
    "10.8.0.0"/16;
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(405, "Purging is not allowed from here"));
        }
        if (req.http.X-Purge-Method == "regex") {
            ban("req.url ~ " + req.url + " && req.http.host == " + req.http.host);
            return (synth(200, "Banned"));
        }
        return (purge);
    }

    set req.http.Host = regsub(req.http.Host, ":[0-9]+", "");

    if (req.method != "GET" && req.method != "HEAD" && req.method != "POST" && req.method != "PUT" && req.method != "DELETE" && req.method != "OPTIONS") {
        return (pipe);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }

    if (req.url ~ "(\?|&)(utm_source|utm_medium|utm_campaign|gclid|fbclid)=") {
        set req.url = regsuball(req.url, "&(utm_source|utm_medium|utm_campaign|gclid|fbclid)=([A-z0-9_\-\.%25]+)", "");
        set req.url = regsuball(req.url, "\?(utm_source|utm_medium|utm_campaign|gclid|fbclid)=([A-z0-9_\-\.%25]+)", "?");
        set req.url = regsub(req.url, "\?&", "?");
        set req.url = regsub(req.url, "\?$", "");
    }

    if (req.url ~ "^/wp-(admin|login|cron)" || req.url ~ "[?&]preview=true") {
        return (pass);
    }
    if (req.url ~ "^/(cart|checkout|my-account)/") {
        return (pass);
    }
    if (req.http.Cookie ~ "wordpress_logged_in_|comment_author_|wp-postpass_") {
        return (pass);
    }
    if (req.http.Authorization) {
        return (pass);
    }
    if (req.url ~ "\.(css|js|png|jpe?g|gif|ico|svg|woff2?)(\?.*)?$") {
        unset req.http.Cookie;
        return (hash);
    }

    set req.http.Cookie = regsuball(req.http.Cookie, "(^|;\s*)(_ga|_gid|_fbp|has_js|__utm[a-z])=[^;]*", "");
    set req.http.Cookie = regsuball(req.http.Cookie, "^;\s*", "");
    if (req.http.Cookie ~ "^\s*$") {
        unset req.http.Cookie;
    }
    return (hash);
}

sub vcl_backend_response {
    set beresp.grace = 6h;
    if (beresp.status >= 500 && beresp.status < 600) {
        set beresp.uncacheable = true;
        return (deliver);
    }
    if (bereq.url ~ "\.(css|js|png|jpe?g|gif|ico|svg|woff2?)(\?.*)?$") {
        unset beresp.http.Set-Cookie;
        set beresp.ttl = 30d;
    } else {
        set beresp.ttl = 10m;
    }
    return (deliver);
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
    unset resp.http.X-Powered-By;
    unset resp.http.Server;
    unset resp.http.X-Varnish;
}
