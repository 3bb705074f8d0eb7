vcl 4.1;
backend "quoted" { .host = 1; }
backend b { .host = "no port or name at all"; .port = "notaport"; .connect_timeout = 999999d; }
probe p { .url = no_text; .window = 4000000000; }
acl a { "999.1.1.1"; "10.0.0.1"/99; "host.example"; }
C{ int main(void) { return 0; } }C
sub vcl_recv {
    if (req.url ~ "(?<=x)y(?!z)\1") { return (pass); }
    if (req.url ~ "[") { return (pass); }
    set req.http.X-Injected = "a
b = 1
[purge]
allow = ['0.0.0.0/0']";
    set req.http.Connection = "close";
    set req.http.quote = "it's \"this\" \ one";
    if (req.http.host == "bad host!") { return (pass); }
    if (req.method == "get") { return (pass); }
    if (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((req.url ~ "a"))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))) { return (pass); }
    call vcl_recv;
    set req.url = ;
    return (pass) oops;
    if (req.url ~ "^/a/**" { return (pass); }
}
sub vcl_backend_response {
    set beresp.ttl = 99999y;
    set beresp.http.Cache-Control = "max-age=99999999999";
    if (beresp.status == 999) { set beresp.ttl = 1s; }
