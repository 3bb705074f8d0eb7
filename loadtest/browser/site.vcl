vcl 4.1;
# What an experienced user of Varnish writes for a shop: none of the five frameworks documents a VCL.

backend site { .host = "127.0.0.1"; .port = "ORIGIN_PORT"; }

sub vcl_recv {
    # Parameters of campaigns.
    set req.url = regsuball(req.url, "([?&])(utm_[a-z]+|gclid|fbclid)=[^&]*", "\1");
    set req.url = regsuball(req.url, "[?&]+(&|$)", "\1");
    set req.url = regsub(req.url, "\?&", "?");
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    if (req.url ~ "^/(_next/static|_nuxt|_app/immutable|assets|_astro|pictures)/") {
        unset req.http.Cookie;
    }
    # Who is logged in, or sees a preview.
    if (req.http.Cookie ~ "(^|; )(session|preview|__prerender_bypass)=") {
        return (pass);
    }
    unset req.http.Cookie;
    return (hash);
}

sub vcl_backend_response {
    # For the ban lurker: bans by tag.
    set beresp.http.x-tags = beresp.http.Cache-Tag;
}

sub vcl_deliver {
    unset resp.http.x-tags;
}
