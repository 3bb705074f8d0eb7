#!/usr/bin/env python3
"""Clients that ask for a body and take nothing of it: what the proxy holds for them, over HTTP/1 or HTTP/2.

    loadtest/stalled.py target/release/shellac --protocol 2 --clients 600 --pages 600 --bytes 1MiB

Starts an origin and the proxy (capacity 64 MiB), connects the clients, lets them stall, and prints the proxy's resident memory
before, at its highest, and after `limits.send_timeout`, with the metrics that tell what was held and cut.
"""

import argparse
import http.server
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request

STREAMS = 50  # on one HTTP/2 connection


def size(text):
    number, unit = re.fullmatch(r"(\d+)(KiB|MiB|)", text).groups()
    return int(number) * {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}[unit]


def origin(length):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Cache-Control", "max-age=3600")
            self.send_header("Content-Length", str(length))
            self.end_headers()
            for _ in range(0, length, 1 << 16):
                self.wfile.write(b"x" * (1 << 16))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "http://127.0.0.1:%d" % server.server_port


def proxy(program, servers, settings):
    file = tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False)
    file.write("workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n")
    file.write("[origin.app]\nservers = [\"%s\"]\n[storage.memory]\ncapacity = \"64MiB\"\n" % servers)
    file.write("max_object = \"32MiB\"\n[limits]\nsend_timeout = \"30s\"\n" + settings)
    file.close()
    child = subprocess.Popen([program, "run", "--config", file.name], stderr=subprocess.PIPE, text=True)
    addresses = {}
    for line in child.stderr:
        words = line.split()
        if words[:1] in (["listen"], ["admin"]):
            addresses[words[0]] = words[1].removeprefix("http://").strip("/")
        if words[:1] == ["workers"]:
            break
    threading.Thread(target=lambda: [None for _ in child.stderr], daemon=True).start()
    os.unlink(file.name)
    return child, addresses


def resident(pid):
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) >> 10


def connect(address):
    host, port = address.rsplit(":", 1)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    return connection


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head(path):
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"site.example"), (b":path", path.encode())]
    return b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in fields)


def stall(address, options):
    paths = ["/%d" % (number % options.pages) for number in range(options.clients)]
    if options.protocol == 1:
        connections = []
        for path in paths:
            connections.append(connect(address))
            connections[-1].sendall(("GET %s HTTP/1.1\r\nHost: site.example\r\n\r\n" % path).encode())
        return connections
    connections = []
    for start in range(0, len(paths), STREAMS):
        connection = connect(address)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, 0)))
        for number, path in enumerate(paths[start:start + STREAMS]):
            connection.sendall(frame(1, 5, 2 * number + 1, head(path)))
        connections.append(connection)
    return connections


def metrics(address):
    with urllib.request.urlopen("http://%s/metrics" % address) as page:
        lines = page.read().decode().splitlines()
    wanted = ("shellac_cache_pinned_bytes", "shellac_cache_inflight_bytes", "shellac_http_errors_total", "shellac_http_reset")
    return [line for line in lines if line.startswith(wanted) and not line.endswith(" 0")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--protocol", type=int, choices=(1, 2), default=2)
    parser.add_argument("--clients", type=int, default=600)
    parser.add_argument("--pages", type=int, default=600)
    parser.add_argument("--bytes", type=size, default=size("1MiB"))
    parser.add_argument("--seconds", type=int, default=45)
    parser.add_argument("--settings", default="", help="further lines of [limits], and tables after it")
    options = parser.parse_args()
    child, addresses = proxy(options.program, origin(options.bytes).removeprefix("http://"), options.settings)
    try:
        print("before %d MiB" % resident(child.pid))
        connections = stall(addresses["listen"], options)
        highest, told = 0, []
        for second in range(options.seconds):
            time.sleep(1)
            now = resident(child.pid)
            highest = max(highest, now)
            if second in (10, options.seconds - 1):
                print("after %d s %d MiB, highest %d MiB" % (second + 1, now, highest), metrics(addresses["admin"]))
        del connections
    finally:
        child.terminate()
        child.wait()


if __name__ == "__main__":
    main()
