#!/usr/bin/env python3
"""Spans as OpenTelemetry's own messages read them (opentelemetry-proto, from PyPI), sent by the real program.

    cargo build -p shellac --features otlp
    python3 -m venv venv && venv/bin/python -m pip install --requirement deploy/requirements.txt
    venv/bin/python deploy/otlp.py        # the program from target/debug or $SHELLAC_PROGRAMS
"""
import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = pathlib.Path(os.environ.get("SHELLAC_PROGRAMS", ROOT / "target/debug"))
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SETTINGS = """
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = ["127.0.0.1:0"]
[origin.app]
servers = ["127.0.0.1:ORIGIN"]
[log]
format = "json"
[tracing]
endpoint = "http://127.0.0.1:COLLECTOR"
service = "shop-cache"
headers = { x-key = "hunter2" }
"""


@contextlib.contextmanager
def serving(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, content, **fields):
        self.send_response(code)
        for name, value in {"content-length": str(len(content)), **fields}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


class App(Quiet):
    told = []

    def do_GET(self):
        self.told.append(self.headers["traceparent"])
        self.answer(500 if self.path == "/fails" else 200, b"hello", cache_control="max-age=60")


class Collector(Quiet):
    exports, keys = [], []

    def do_POST(self):
        export = service.ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        self.exports.append(export)
        self.keys.append((self.path, self.headers["content-type"], self.headers["x-key"]))
        self.answer(200, service.ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf")

    @classmethod
    def spans(cls, count):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            spans = [span for export in cls.exports for of in export.resource_spans for scope in of.scope_spans for span in scope.spans]
            if len(spans) >= count:
                return spans
            time.sleep(0.02)
        raise AssertionError(f"{len(spans)} spans, not {count}")


def attributes(of):
    plain = {"stringValue": str, "boolValue": bool, "intValue": int}
    pairs = [(it.key, MessageToDict(it.value)) for it in of.attributes]
    return {key: kind(value[name]) for key, value in pairs for name, kind in plain.items() if name in value}


class Otlp(unittest.TestCase):
    def test_opentelemetrys_own_messages_read_our_spans(self):
        with serving(App) as origin, serving(Collector) as collector, tempfile.TemporaryDirectory() as folder:
            text = SETTINGS.replace("ORIGIN", str(origin)).replace("COLLECTOR", str(collector))
            pathlib.Path(folder, "config.toml").write_text(text)
            log = open(pathlib.Path(folder, "log"), "w+")
            proxy = subprocess.Popen([PROGRAMS / "shellac", "run"], cwd=folder, stderr=log)
            try:
                traffic = self.address(proxy, log)
                before = time.time_ns()
                for path in ["/a?key=1", "/a?key=1", "/fails"]:
                    fields = {"traceparent": f"00-{TRACE}-{CALLER}-01", "user-agent": "test"}
                    with contextlib.suppress(urllib.error.HTTPError):
                        urllib.request.urlopen(urllib.request.Request(f"http://{traffic}{path}", headers=fields), timeout=10).read()
                spans, after = Collector.spans(5), time.time_ns()
            finally:
                proxy.terminate()
                proxy.wait(30)
                log.close()
        for span in spans:
            self.assertEqual(span.trace_id.hex(), TRACE)
            self.assertTrue(before <= span.start_time_unix_nano <= span.end_time_unix_nano <= after)
            self.assertEqual(span.flags & 1, 1)
        servers = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
        clients = [span for span in spans if span.kind == Span.SPAN_KIND_CLIENT]
        self.assertEqual((len(servers), len(clients)), (3, 2))
        self.assertEqual({span.parent_span_id.hex() for span in servers}, {CALLER})
        for server, client in zip([servers[0], servers[2]], clients):
            self.assertEqual(client.parent_span_id, server.span_id)
        self.assertEqual(App.told, [f"00-{TRACE}-{client.span_id.hex()}-01" for client in clients])
        miss, hit, failed = map(attributes, servers)
        self.assertEqual([of["shellac.cache"] for of in (miss, hit)], ["miss", "hit"])
        self.assertEqual((miss["http.request.method"], miss["http.response.status_code"], miss["url.path"]), ("GET", 200, "/a"))
        self.assertEqual((failed["http.response.status_code"], failed["error.type"] != ""), (500, True))
        self.assertEqual(servers[2].status.code, Status.STATUS_CODE_ERROR)
        resource = attributes(Collector.exports[0].resource_spans[0].resource)
        self.assertEqual(resource["service.name"], "shop-cache")
        self.assertEqual(set(Collector.keys), {("/v1/traces", "application/x-protobuf", "hunter2")})
        # Nothing that this version of the messages does not know.
        for export in Collector.exports:
            self.assertEqual(service.ExportTraceServiceRequest.FromString(export.SerializeToString()), export)

    def address(self, proxy, log):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and proxy.poll() is None:
            log.seek(0)
            events = [json.loads(line) for line in log.read().splitlines()]
            said = {event["message"]: event.get("value", "") for event in events}
            if "workers" in said:
                return said["listen"].removeprefix("http://")
            time.sleep(0.02)
        log.seek(0)
        raise AssertionError(log.read())


if __name__ == "__main__":
    unittest.main(verbosity=2)
