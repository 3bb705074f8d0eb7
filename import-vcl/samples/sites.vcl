vcl 4.1;

backend www { .host = "10.0.0.1"; .port = "8080"; }
backend api { .host = "10.0.0.2"; .port = "8080"; .first_byte_timeout = 5s; }
backend images1 { .host = "10.0.0.3"; .port = "80"; }
backend images2 { .path = "/run/images.sock"; }

sub vcl_init {
    new images = directors.fallback();
    images.add_backend(images1);
    images.add_backend(images2);
    return (ok);
}

sub vcl_recv {
    if (req.http.host ~ "^(www\.)?example\.com$") {
        set req.backend_hint = www;
    } elsif (req.http.host == "api.example.com") {
        set req.backend_hint = api;
    } elsif (req.http.host ~ "\.img\.example\.com$") {
        set req.backend_hint = images.backend();
    } else {
        return (synth(404, "Unknown host"));
    }
    if (req.http.X-Forwarded-Proto != "https") {
        return (synth(750, "https://" + req.http.host + req.url));
    }
    if (req.http.host == "api.example.com" && req.url !~ "^/public/") {
        return (pass);
    }
    if (req.url ~ "^/old-blog/") {
        return (synth(751, "https://blog.example.com/"));
    }
    if (req.url == "/robots.txt" && req.http.host == "staging.example.com") {
        return (synth(200, "User-agent: *"));
    }
    if (req.url ~ "^/shop/") {
        set req.url = regsub(req.url, "^/shop/", "/store/");
    }
    call normalise;
}

sub normalise {
    unset req.http.Proxy;
    set req.http.X-Cache-Proxy = "varnish";
    if (req.url ~ "^/static/") {
        unset req.http.Cookie;
    }
}

sub vcl_synth {
    if (resp.status == 750) {
        set resp.status = 301;
        set resp.http.Location = resp.reason;
        return (deliver);
    }
    if (resp.status == 751) {
        set resp.status = 302;
        set resp.http.Location = resp.reason;
        return (deliver);
    }
}

sub vcl_backend_response {
    if (bereq.http.host ~ "\.img\.example\.com$") {
        set beresp.ttl = 365d;
        set beresp.do_stream = true;
        return (deliver);
    }
    if (beresp.status == 404) {
        set beresp.ttl = 30s;
    }
}
