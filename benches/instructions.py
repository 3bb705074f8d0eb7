#!/usr/bin/env python3
"""Instructions per memory hit: the proxy under valgrind, counted by cachegrind in user space.

One client on one kept connection sends M requests, then N, to a proxy with one worker; the difference of
the two counts divided by M - N is what one hit costs, without start and end. Each count has its own process,
and both processes live equally long: what a proxy does by the clock (205,000 instructions a second under
valgrind) is in both counts, however busy the machine is.

  benches/instructions.py                 count, and print beside the recorded budget
  benches/instructions.py --check         fail where a count exceeds the budget by more than its slack
  benches/instructions.py --record        write what was counted as the new budget
  benches/instructions.py --binary FILE   count another build
"""

import argparse
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUDGET = ROOT / "benches" / "instructions.json"
# Bytes of the page, how many origins there are, and how many rules, the last of which matches.
CASES = {
    "1024": (1024, 1, 0),
    "102400": (102400, 1, 0),
    "1024, 200 origins": (1024, 200, 0),
    "1024, 10 rules": (1024, 1, 10),
    "1024, 1000 rules": (1024, 1, 1000),
}
FEW, MANY = 1000, 11000
START_SECONDS = 120


class Origin(http.server.BaseHTTPRequestHandler):
    """Answers `/SIZE` with so many bytes that stay fresh for an hour."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"x" * int(self.path.strip("/"))
        self.send_response(200)
        for name, value in (
            ("content-type", "text/html; charset=utf-8"),
            ("content-length", str(len(body))),
            ("cache-control", "public, s-maxage=3600"),
            ("etag", '"1"'),
            ("surrogate-key", "site-1 page-42 product-7 category-3 menu"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def tables(port, origins, rules):
    """Returns the tables of so many origins and rules. The last origin claims the requests, by their host if there are others."""
    others = [
        f'[origin.other-{number}]\nhosts = ["{number}.example", "*.{number}.example"]\npaths = ["/api/**"]\n'
        f'servers = ["127.0.0.1:{port}"]\n'
        for number in range(1, origins)
    ]
    hosts = 'hosts = ["shop.example"]' if others else ""
    paths = [f"/section-{number}/**" for number in range(1, rules)] + ["/*"] * (rules > 0)
    ruled = "".join(f'\n[[rule]]\npath = "{path}"\nttl = "1h"\n' for path in paths)
    return "".join(others) + f'[origin.app]\n{hosts}\nservers = ["127.0.0.1:{port}"]' + ruled


class Proxy:
    """A proxy under valgrind, with one worker and a store in memory."""

    def __init__(self, binary, origin_port, origins, rules):
        config = f"""
            workers = 1
            [[listen]]
            address = "127.0.0.1:0"
            [admin]
            listen = []
            {tables(origin_port, origins, rules)}
            [storage]
            kind = "memory"
            [storage.memory]
            capacity = "64MiB"
            [log]
            format = "pretty"
        """
        command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command += [str(binary), "run", "--config", "-"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.process.stdin.write(config)
        self.process.stdin.close()
        self.lines = []
        self.port = None
        started = threading.Event()

        def read():
            for line in self.process.stderr:
                self.lines.append(line)
                found = re.search(r"listen\s+http://127\.0\.0\.1:(\d+)", line)
                if found:
                    self.port = int(found[1])
                if "workers" in line:
                    started.set()
            started.set()

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        if not started.wait(START_SECONDS) or self.port is None:
            self.process.kill()
            sys.exit("the proxy did not start:\n" + "".join(self.lines))

    def end(self):
        """Ends the proxy and returns the instructions that it executed."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_SECONDS)
        self.reader.join(START_SECONDS)
        text = "".join(self.lines)
        found = re.search(r"I\s+refs:\s+([\d,]+)", text)
        if not found:
            sys.exit("valgrind told no count:\n" + text)
        return int(found[1].replace(",", ""))


def answer(connection, buffer):
    """Reads one response; returns its head and what was read behind its body."""
    while b"\r\n\r\n" not in buffer:
        more = connection.recv(1 << 20)
        if not more:
            sys.exit("the proxy closed the connection")
        buffer += more
    head, _, rest = buffer.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
    missing = length - len(rest)
    while missing > 0:
        missing -= len(connection.recv(min(missing, 1 << 20)))
    return head, rest[length:]


def hits(port, size, count):
    request = (
        f"GET /{size} HTTP/1.1\r\nhost: shop.example\r\nuser-agent: instructions/1\r\n"
        "accept: text/html,application/xhtml+xml\r\naccept-encoding: gzip, deflate, br\r\n"
        "accept-language: en-GB,en;q=0.5\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        for number in range(count + 1):
            connection.sendall(request)
            head, rest = answer(connection, rest)
            if number > 0 and b"; hit" not in head:
                sys.exit("this is no hit:\n" + head.decode())


def instructions(binary, size, origins, rules):
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    port = origin.server_address[1]
    many, seconds = count_hits(Proxy(binary, port, origins, rules), size, MANY, 0)
    few, _ = count_hits(Proxy(binary, port, origins, rules), size, FEW, seconds)
    origin.shutdown()
    return (many - few) / (MANY - FEW)


def count_hits(proxy, size, count, seconds):
    """Returns the instructions of a proxy that answers so many hits and lives for so many seconds, or longer, and for how long."""
    begun = time.monotonic()
    hits(proxy.port, size, count)
    time.sleep(max(0, begun + seconds - time.monotonic()))
    seconds = time.monotonic() - begun
    return proxy.end(), seconds


def build():
    command = ["cargo", "build", "--locked", "--quiet", "--profile", "instructions", "-p", "shellac", "--bin", "shellac"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return pathlib.Path(target) / "instructions" / "shellac"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, help="a build to count, instead of building this tree")
    parser.add_argument("--check", action="store_true", help="fail where the budget is exceeded")
    parser.add_argument("--record", action="store_true", help="write the counts as the new budget")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: apt-get install valgrind")
    binary = options.binary or build()
    budget = json.loads(BUDGET.read_text()) if BUDGET.exists() else {"slack": 0.02, "per_hit": {}}
    counted = {case: round(instructions(binary, *what)) for case, what in CASES.items()}
    is_over = False
    print(f"{'bytes':>18} {'instructions':>13} {'budget':>8} {'ratio':>6}")
    for case, count in counted.items():
        allowed = budget["per_hit"].get(case)
        ratio = count / allowed if allowed else float("nan")
        is_over |= not allowed or ratio > 1 + budget["slack"]
        print(f"{case:>18} {count:>13} {allowed or '-':>8} {ratio:>6.3f}")
    if options.record:
        BUDGET.write_text(json.dumps({**budget, "per_hit": counted}, indent=2) + "\n")
    if options.check and is_over:
        sys.exit(f"a hit costs more than {BUDGET.name} allows: make it cheaper, or record the new budget and say why")


if __name__ == "__main__":
    main()
