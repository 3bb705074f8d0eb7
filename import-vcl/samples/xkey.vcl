vcl 4.1;
import xkey;
import std;

backend shop { .host = "shop.internal:8000"; }

acl purgers { "127.0.0.1"; "::1"; "172.16.0.0/12"; }

sub vcl_recv {
    if (req.method == "PURGEKEYS") {
        if (client.ip !~ purgers) {
            return (synth(403, "Forbidden"));
        }
        set req.http.n-gone = xkey.softpurge(req.http.xkey-softpurge);
        set req.http.n-gone = xkey.purge(req.http.xkey-purge);
        return (synth(200, "Invalidated " + req.http.n-gone + " objects"));
    }
    set req.url = std.querysort(req.url);
    if (req.url ~ "^/(account|widgets|checkout|admin|api)(/.*)?$") {
        return (pass);
    }
    if (req.http.cookie ~ "sw-states=[^;]*cart-filled") {
        return (pass);
    }
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
}

sub vcl_hash {
    hash_data(cookie.get("sw-currency"));
    hash_data(req.http.X-Country);
}

sub vcl_backend_response {
    if (beresp.http.Cache-Control ~ "private|no-cache|no-store") {
        set beresp.ttl = 0s;
        set beresp.uncacheable = true;
        return (deliver);
    }
    if (beresp.http.content-type ~ "^image/") {
        set beresp.ttl = 7d;
        set beresp.http.Cache-Control = "public, max-age=86400";
    }
    set beresp.grace = 1m;
}

sub vcl_deliver {
    unset resp.http.xkey;
    set resp.http.X-Content-Type-Options = "nosniff";
}
